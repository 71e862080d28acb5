"""``confkit asterisk engine start``: an Asterisk to develop against, from the command line."""

from __future__ import annotations

import json
import signal
import sys
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Add ``asterisk engine start`` to a command line."""
    group = typer.Typer(name="asterisk", help="Asterisk, through ARI.", no_args_is_help=True)
    engine = typer.Typer(name="engine", help="An Asterisk to develop against.", no_args_is_help=True)
    group.callback()(_group)
    engine.callback()(_group)
    engine.command()(start)
    group.add_typer(engine)
    app.add_typer(group)


def _group() -> None:
    """Asterisk, through ARI."""


def start(
    suite: Annotated[str | None, typer.Option(help="Of Debian: sid, or bullseye; by default what can be had.")] = None,
    numbers_at: Annotated[
        int, typer.Option(metavar="PORT", help="Loopback port, UDP, at which a telephone answers for every number.")
    ] = 5060,
) -> None:
    """Run Asterisk on free loopback ports until interrupted.

    It is fetched from Debian's packages into the user's cache at the first time, without root and without touching
    the system. The first line of output is one JSON object: the provider's settings.
    """
    from confkit_asterisk.server import Engine, EngineUnavailable, install

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        engine = Engine(install(suite, say=_say), say=_say)
        with engine:
            print(json.dumps(engine.settings(numbers_at=numbers_at)), flush=True)
            _say(f"Asterisk {engine.installation.release} runs as process {engine.pid}; Ctrl-C stops it")
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return
    except EngineUnavailable as error:
        typer.echo(f"confkit asterisk engine start: {error}", err=True)
        raise typer.Exit(1) from None


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
