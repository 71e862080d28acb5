"""The commands, their options, and how the command line ends."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
import typer.main
from attrs import define
from rich.console import Console
from rich.text import Text

from confkit.cli import demo as demonstration
from confkit.cli import diagram, matrix, screen, tables
from confkit.cli.extensions import Commands
from confkit.cli.failures import REFUSED, complain, explain
from confkit.cli.session import Session, Wanted
from confkit.errors import PolicyError, SettingsError
from confkit.meeting import Meeting

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
    "request_timeout": "it is for programs",
    "show_numbers": "it is for programs",
}
_WHERE_NEXT = """
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
    command = typer.main.get_command(app)
    try:
        status = command.main(args=list(arguments), prog_name="confkit", standalone_mode=False, obj=options)
    except typer.TyperException as error:
        if message := " ".join(error.format_message().split()):
            complain(f"{message} (confkit --help lists what there is)")
        return REFUSED
    except (typer.Abort, KeyboardInterrupt):
        return _interrupted(signal.SIGINT)
    except BrokenPipeError:
        # Whoever read our output has gone; nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
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
    as_json: Json = False,
) -> None:
    """Watch a conference being established over HTTP.

    Starts a simulator of the Bandwidth API on a loopback port, with telephones that exist only in memory, and
    connects people through it. Needs no account and no network.
    """
    console = Console(highlight=False)
    with demonstration.simulator().in_thread() as running:
        shown = _screen(console, "bandwidth", as_json=as_json, stay=False)

        def established(meeting: Meeting) -> None:
            shown.stop()
            if not as_json:
                _print_meeting(console, "bandwidth", meeting)

        session = Session(demonstration.wanted(running, parties), shown, established=established)
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
    answer_timeout: Annotated[float, typer.Option(metavar="SECONDS", help="How long each phone may ring.")] = 30.0,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of the provider; repeatable. Keep secrets in the environment: others see this line.",
        ),
    ] = None,
    mermaid: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the sequence there as a Mermaid diagram.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Connect people: three or more in a conference, two on a bridge.

    Stays in the meeting until Ctrl-C or until everyone has left; with --json it ends the meeting once it is
    established.
    """
    if not (math.isfinite(answer_timeout) and answer_timeout < 86_400):
        raise typer.BadParameter("--answer-timeout takes seconds, less than a day")
    if mermaid is not None:
        _must_be_writable(mermaid)
    console, messages = Console(highlight=False), Console(stderr=True, highlight=False)
    stay = not as_json
    shown = _screen(messages, provider, as_json=as_json, stay=stay)

    def established(meeting: Meeting) -> None:
        if not as_json:
            shown.say(tables.summary(meeting))

    session = Session(
        Wanted(
            provider=provider,
            parties=tuple(parties),
            caller_id=caller_id,
            quorum=quorum,
            answer_timeout=timedelta(seconds=answer_timeout),
            settings=_settings(provider, settings or []),
        ),
        shown,
        stay=stay,
        established=established,
    )
    anyio.run(session.run)
    if mermaid is not None and session.meeting is not None:
        mermaid.write_text(session.meeting.trace.mermaid())
    if session.established and not as_json and session.meeting is not None:
        console.print(tables.roster(session.meeting))
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
    for each in found:
        if each.problems:
            console.print(Text(f"\n{each.name} is not ready:", style="yellow"))
            for problem in each.problems:
                console.print(Text(f"  {problem}"))


def _screen(console: Console, provider: str, *, as_json: bool, stay: bool) -> screen.Screen:
    if console.is_terminal and console.is_interactive and not (as_json and console.file is sys.stdout):
        return screen.Table(console, provider, stay=stay)
    return screen.Silent() if as_json else screen.Lines(console)


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


def _print_meeting(console: Console, provider: str, meeting: Meeting) -> None:
    console.print()
    console.print(tables.heading(provider, meeting))
    console.print()
    console.print(tables.roster(meeting))
    console.print()
    console.print(diagram.draw(meeting.trace.records, meeting.participants, provider), no_wrap=True, crop=True)
    console.print()
    console.print(tables.summary(meeting))


def _print_end(console: Console, session: Session) -> None:
    console.print(Text.assemble(("✓ ", "green"), ("meeting ended", "bold"), f": {session.epitaph()}"))


def _print_json(value: Any) -> None:
    print(json.dumps(value), flush=True)


def _conclude(session: Session, console: Console, *, as_json: bool) -> None:
    """Say how it ended, and leave with the status for it."""
    if as_json:
        _print_json(session.report)
    elif not session.established and session.meeting is not None and session.meeting.participants:
        console.print(tables.roster(session.meeting))
    if session.failure is not None:
        raise session.failure
    if session.interrupted is not None and not session.established:
        complain(f"interrupted before the meeting was established: {session.epitaph()}")
        raise typer.Exit(128 + session.interrupted)


def _interrupted(received: signal.Signals) -> int:
    complain("interrupted")
    return 128 + received
