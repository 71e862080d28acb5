"""The commands, their options, and how the command line ends."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer
import typer.main
from attrs import define
from rich.console import Console
from rich.text import Text

from confkit.cli import demo as demonstration
from confkit.cli import diagram, listening, matrix, screen, tables
from confkit.cli.extensions import Commands, run_demo
from confkit.cli.failures import REFUSED, complain, explain
from confkit.cli.scaffold import command as scaffold
from confkit.cli.session import Session, Wanted
from confkit.client.meeting import Meeting
from confkit.models.errors import PolicyError, SettingsError
from confkit.models.text import one_line

if TYPE_CHECKING:
    from confkit.cli.console import Controls

app = typer.Typer(
    cls=Commands,
    help="Connect people by telephone, through whichever provider is installed.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
#: What the client itself takes; a provider's settings have other names.
_NOT_SETTINGS = {
    "caller_id": "use --from",
    "plugins": "it is for programs",
    "policy": "it is for programs",
    "provider": "use --provider",
    "public_url": "use --public-url",
    "request_timeout": "it is for programs",
    "show_numbers": "it is for programs",
}
_LISTEN = f"{listening.LOOPBACK}:8080"
_WHERE_NEXT = """
by webhooks             confkit demo --webhooks
the same as data        confkit demo --json
as a Mermaid diagram    confkit connect ... --mermaid FILE
what providers can do   confkit providers"""


@define
class _Globals:
    debug: bool = False


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout and nothing else.")]


def run(arguments: Sequence[str]) -> int:
    """Run the command line.

    Returns:
        The exit status: 0 when all went well, 1 when the provider or the people failed, 2 when nothing was sent
        because something was wrong with the request, 128 and the signal's number when it was interrupted before
        anybody was connected.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    options = _Globals()
    try:
        command = typer.main.get_command(app)
        status = command.main(args=list(arguments), prog_name="confkit", standalone_mode=False, obj=options)
    except typer.TyperException as error:
        if message := " ".join(error.format_message().split()):
            complain(f"{message} (confkit --help lists what there is)")
        return REFUSED
    except (typer.Abort, KeyboardInterrupt):
        return _interrupted(signal.SIGINT)
    except Exception as error:
        return explain(error, debug=options.debug)
    return status if isinstance(status, int) else 0


@app.callback(invoke_without_command=True)
def main(
    ctx: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Log everything to stderr, and show tracebacks.")] = False,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Connect people by telephone, through whichever provider is installed."""
    from confkit.cli import log  # structlog takes its time, which --help need not wait for

    ctx.obj.debug = debug
    log.configure(debug=debug)
    if show_version:
        typer.echo(f"confkit {version('confkit')}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help(), nl=False)
        raise typer.Exit


@app.command()
def demo(
    parties: Annotated[int, typer.Option(help="How many people to connect.", min=1)] = 5,
    provider: Annotated[
        str, typer.Option("--provider", metavar="NAME", help="bandwidth, or another whose plugin brings a demo.")
    ] = "bandwidth",
    webhooks: Annotated[bool, typer.Option("--webhooks", help="Be called back instead of asking.")] = False,
    as_json: Json = False,
) -> None:
    """Watch a conference being established over HTTP.

    Starts a simulator of the Bandwidth API on a loopback port, with telephones that exist only in memory, and
    connects people through it. Needs no account and no network.
    """
    if provider != "bandwidth":
        if webhooks:
            raise typer.BadParameter("--webhooks is for the demo of bandwidth")
        raise typer.Exit(run_demo(provider, parties=parties, as_json=as_json))
    console = Console(highlight=False)
    with (
        demonstration.simulator().in_thread() as running,
        listening.Callbacks() if webhooks else nullcontext() as callbacks,
    ):
        shown = _screen(console, "bandwidth", as_json=as_json, stay=False)

        def established(meeting: Meeting) -> None:
            shown.stop()
            if not as_json:
                _print_meeting(console, "bandwidth", meeting, callbacks=session.callbacks)

        session = Session(demonstration.wanted(running, parties), shown, callbacks=callbacks, established=established)
        anyio.run(session.run)
        if session.failure is None and session.interrupted is None:
            held = demonstration.check_nothing_is_up(running)
            if not as_json:
                _print_end(console, session)
                console.print(Text.assemble(("✓ ", "green"), f"nothing is left up at the simulator: {held}"))
                console.print(Text(_WHERE_NEXT, style="dim"))
    _conclude(session, console, as_json=as_json)


@app.command()
def connect(
    parties: Annotated[list[str], typer.Argument(metavar="PARTY", help="E.164 numbers or SIP URIs.")],
    provider: Annotated[str, typer.Option("--provider", metavar="NAME", help="An installed provider.")],
    caller_id: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NUMBER",
            help="The number that parties see, E.164; by default <PROVIDER>_CALLER_ID of the environment.",
        ),
    ] = None,
    quorum: Annotated[int, typer.Option(metavar="N", help="How many must join; all where there are fewer.")] = 2,
    expandable: Annotated[
        bool, typer.Option("--expandable", help="Start as a conference even with two, so that others can be added.")
    ] = False,
    answer_timeout: Annotated[float, typer.Option(metavar="SECONDS", help="How long each phone may ring.")] = 30.0,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of the provider; repeatable. Keep secrets in the environment: others see this line.",
        ),
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where the provider reaches --listen: it calls back instead of being asked."),
    ] = None,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help=f"Where callbacks arrive; {_LISTEN} by default.")
    ] = None,
    mermaid: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the sequence there as a Mermaid diagram.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Connect people: three or more in a conference, two on a bridge.

    Stays in the meeting until Ctrl-C or until everyone has left, on a terminal with keys to mute, hold, drop and add
    people; with --json it ends the meeting once it is established.
    """
    if not (math.isfinite(answer_timeout) and answer_timeout < 86_400):
        raise typer.BadParameter("--answer-timeout takes seconds, less than a day")
    if mermaid is not None:
        _must_be_writable(mermaid)
    console, messages = Console(highlight=False), Console(stderr=True, highlight=False)
    stay = not as_json
    given = _settings(provider, settings or [])
    callbacks = _callbacks(public_url, listen)
    controls = _controls() if stay and _is_interactive(messages) else None
    shown = _screen(messages, provider, as_json=as_json, stay=stay, controls=controls)

    def established(meeting: Meeting) -> None:
        if not as_json:
            shown.say(tables.summary(meeting, callbacks=session.callbacks))

    session = Session(
        Wanted(
            provider=provider,
            parties=tuple(parties),
            caller_id=caller_id,
            quorum=quorum,
            expandable=expandable,
            answer_timeout=timedelta(seconds=answer_timeout),
            settings=given,
        ),
        shown,
        stay=stay,
        controls=controls,
        callbacks=callbacks,
        established=established,
    )
    with callbacks or nullcontext():
        anyio.run(session.run)
    if mermaid is not None and session.meeting is not None:
        mermaid.write_text(session.meeting.trace.mermaid())
    if session.established and not as_json and session.meeting is not None:
        console.print(tables.roster(session.meeting, width=console.width))
        _print_end(console, session)
    if isinstance(session.failure, PolicyError) and not _has_caller_id(provider, caller_id):
        session.failure.add_note(f"(give the caller ID by --from, or in {_variable(provider)})")
    _conclude(session, console, as_json=as_json)


@app.command()
def providers(as_json: Json = False) -> None:
    """List the installed providers and what each can do."""
    found = matrix.providers()
    if as_json:
        _print_json({"providers": [each.as_dict() for each in found]})
        return
    console = Console(highlight=False)
    if not found:
        console.print("no provider is installed; confkit-bandwidth and confkit-fake are two")
        return
    console.print()
    console.print(matrix.matrix(found))
    if (rates := matrix.rates(found)) is not None:
        console.print(Text("\nrate limits", style="dim"))
        console.print(rates)
    for each in found:
        if each.problems:
            console.print(Text(f"\n{each.name} is not ready:", style="yellow"))
            for problem in each.problems:
                console.print(Text(f"  {one_line(problem)}"))


scaffold.add(app)


def _screen(
    console: Console, provider: str, *, as_json: bool, stay: bool, controls: Controls | None = None
) -> screen.Screen:
    if _is_interactive(console) and not (as_json and console.file is sys.stdout):
        return screen.Table(console, provider, stay=stay, controls=controls)
    return screen.Silent() if as_json else screen.Lines(console)


def _is_interactive(console: Console) -> bool:
    return console.is_terminal and console.is_interactive


def _controls() -> Controls | None:
    if os.name == "nt":
        return None
    from confkit.cli.console import Controls  # termios is POSIX's
    from confkit.cli.keys import Keyboard

    keyboard = Keyboard.of(sys.stdin)
    return Controls(keyboard) if keyboard is not None else None


def _callbacks(public_url: str | None, listen: str | None) -> listening.Callbacks | None:
    if public_url is None:
        if listen is not None:
            raise typer.BadParameter("--listen is for a --public-url, where the provider reaches it")
        return None
    try:
        host, port = listening.host_and_port(listen or _LISTEN)
        return listening.Callbacks(host, port, public_url=public_url)
    except ValueError as error:
        raise typer.BadParameter(f"--listen takes {error}") from error
    except OSError as error:
        raise typer.BadParameter(f"cannot listen on {listen or _LISTEN}: {error.strerror or error}") from error


def _settings(provider: str, given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    problems = []
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            # Not shown: it may be a secret.
            problems.append("--set takes KEY=VALUE")
        elif name in _NOT_SETTINGS:
            problems.append(f"{name} is no setting of a provider: {_NOT_SETTINGS[name]}")
        found[name] = value
    if problems:
        raise SettingsError(provider, problems)
    return found


def _must_be_writable(path: Path) -> None:
    try:
        path.touch()
    except OSError as error:
        raise typer.BadParameter(f"cannot write {path}: {error.strerror}") from error


def _variable(provider: str) -> str:
    return f"{provider.upper().replace('-', '_')}_CALLER_ID"


def _has_caller_id(provider: str, caller_id: str | None) -> bool:
    return bool(caller_id or os.environ.get(_variable(provider)))


def _print_meeting(console: Console, provider: str, meeting: Meeting, *, callbacks: int | None) -> None:
    console.print()
    console.print(tables.heading(provider, meeting))
    console.print()
    console.print(tables.roster(meeting, width=console.width))
    console.print()
    drawn = diagram.draw(meeting.trace.records, meeting.participants, provider, width=console.width)
    console.print(drawn, no_wrap=True, crop=True)
    console.print()
    console.print(tables.summary(meeting, callbacks=callbacks))


def _print_end(console: Console, session: Session) -> None:
    console.print(Text.assemble(("✓ ", "green"), ("meeting ended", "bold"), f": {session.epitaph()}"))


def _print_json(value: Any) -> None:
    print(json.dumps(value), flush=True)


def _conclude(session: Session, console: Console, *, as_json: bool) -> None:
    """Say how it ended, and leave with the status for it."""
    if as_json:
        _print_json(session.report)
    elif not session.established and session.meeting is not None and session.meeting.participants:
        console.print(tables.roster(session.meeting, width=console.width))
    if session.failure is not None:
        raise session.failure
    if session.interrupted is not None and not session.established:
        complain(f"interrupted before the meeting was established: {session.epitaph()}")
        raise typer.Exit(128 + session.interrupted)


def _interrupted(received: signal.Signals) -> int:
    complain("interrupted")
    return 128 + received
