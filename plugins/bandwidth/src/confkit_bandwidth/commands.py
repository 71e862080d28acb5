"""``confkit bandwidth simulate``: the simulator of the Bandwidth v1 API from the command line."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Annotated, NoReturn

import anyio
import typer

if TYPE_CHECKING:
    from confkit_bandwidth.simulator import SimulatorOptions


def add(app: typer.Typer) -> None:
    """Add ``bandwidth simulate`` to a command line."""
    group = typer.Typer(name="bandwidth", help="Bandwidth Voice v1.", no_args_is_help=True)
    group.callback()(_group)
    group.command()(simulate)
    app.add_typer(group)


def _group() -> None:
    """Bandwidth Voice v1."""


def simulate(
    port: Annotated[int, typer.Option(help="Loopback port; 0 lets the system choose.", min=0, max=65535)] = 0,
    answer_after: Annotated[float, typer.Option(help="Seconds until a called party answers.")] = 0.0,
    latency: Annotated[float, typer.Option(help="Seconds that every reply takes at least.")] = 0.0,
    rate_limits: Annotated[str, typer.Option(help="off, or documented.")] = "off",
    number: Annotated[
        list[str] | None, typer.Option(help="A number on the account, E.164; repeatable. Any by default.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help='Such as "create_call=drop-reply:2", "*=503:30%", "play=slow"; repeatable.'),
    ] = None,
    slow: Annotated[float, typer.Option(help="Seconds by which the faults slow and late are late.")] = 1.0,
    callbacks: Annotated[
        str, typer.Option(help='Mishaps by probability: "lose=0.1,duplicate=0.1,delay=0.2,reorder=0.1".')
    ] = "",
    switch: Annotated[
        list[str] | None,
        typer.Option(help='What the documentation leaves open: "locations=reference", "timestamps=utc"; repeatable.'),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything drawn by chance, ids and credentials included.")] = 0,
) -> None:
    """Serve the Bandwidth v1 API on loopback, over telephones that exist only in memory.

    The first line of output is one JSON object: base_url, user_id, token, secret. It serves until interrupted. It
    only calls back to loopback addresses.
    """
    try:
        from confkit_bandwidth.simulator import CallbackFaults, Fault, SimulatorOptions, Switches
    except ImportError as error:
        _fail(f"the simulator is not installed ({error.name} is missing): pip install 'confkit-bandwidth[simulator]'")
    try:
        options = SimulatorOptions(
            numbers=frozenset(number or ()),
            answer_after=answer_after,
            latency=latency,
            rate_limits=rate_limits,  # type: ignore[arg-type]  # checked by the class
            faults=tuple(Fault.parse(text) for text in fault or ()),
            slow_seconds=slow,
            callbacks=CallbackFaults.parse(callbacks) if callbacks else CallbackFaults(),
            seed=seed,
            switches=Switches.parse(switch or ()),
        )
    except ValueError as error:
        _fail(str(error))
    try:
        anyio.run(_serve, options, port)
    except OSError as error:
        _fail(f"cannot serve on port {port}: {error.strerror or error}", status=1)


def _fail(message: str, *, status: int = 2) -> NoReturn:
    typer.echo(f"confkit bandwidth simulate: {message}", err=True)
    raise typer.Exit(status)


async def _serve(options: SimulatorOptions, port: int) -> None:
    from confkit_bandwidth.simulator import Simulator

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with Simulator(options).serve(port) as running:
            first_line = {
                "base_url": running.base_url,
                "user_id": running.user_id,
                "token": running.token,
                "secret": running.secret,
            }
            print(json.dumps(first_line), flush=True)
            async for _ in signals:
                break
