"""What comes from outside and goes to the terminal: names, callers, digits, ids and platforms' texts of any kind."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

import anyio
import pytest
import structlog
import trio.testing
from attrs import evolve
from confkit_fake import FakeProvider
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from confkit import AsyncClient, Meeting, Party, PolicyError, StepOutcome
from confkit.cli import diagram, failures, log, matrix, screen, tables
from confkit.cli.session import said
from confkit.models.errors import ConfkitError
from confkit.models.events import DigitsReceived, Event, IncomingCall, RecordingFailed, RecordingReady, Unknown
from confkit.provider import InvalidRequest
from tests.core.test_text import HOSTILE, shows

OURS = "+12018994444"
PEOPLE = ["+19195550101", "+19195550102", "+19195550103"]
SEEN = re.compile(r"\x1b\[[0-9;]*m")  # styles are the command line's own


def met(names: list[str], look: Callable[[Meeting], None]) -> None:
    """Show a meeting of people of these names: as it stands, and when it is over."""

    async def meet() -> None:
        provider = FakeProvider()
        provider.party(PEOPLE[2]).rejects()
        people = [Party(address, name=name) for address, name in zip(PEOPLE, names, strict=True)]
        async with AsyncClient(provider, caller_id=OURS) as client:
            async with client.connect(*people) as meeting:
                look(meeting)
            look(meeting)

    clock = trio.testing.MockClock(autojump_threshold=0)
    anyio.run(meet, backend="trio", backend_options={"clock": clock})


def printed(what: RenderableType, *, width: int = 120) -> list[str]:
    """The lines that a terminal gets."""
    console = Console(file=io.StringIO(), width=width, height=40, highlight=False, force_terminal=True)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    lines = SEEN.sub("", console.file.getvalue()).removesuffix("\n").split("\n")
    assert all(map(shows, lines)), lines
    return lines


@settings(max_examples=40)
@given(st.lists(HOSTILE, min_size=3, max_size=3), HOSTILE)
@example(["Ann\nBen", "\x1b[2J\x9b", "\u202eeve"], "red\x1b[31m\nforged")
def test_a_row_stays_a_row_whatever_people_are_called(names: list[str], text: str) -> None:
    def look(meeting: Meeting) -> None:
        wide = 4000
        assert len(printed(tables.roster(meeting, width=wide, live=True), width=wide)) == 1 + 3
        assert len(printed(tables.heading(text, meeting), width=wide)) == 1
        records = [
            evolve(record, error=text, party=names[0], call=text, outcome=StepOutcome.REFUSED)
            for record in meeting.trace.records
        ] + [evolve(record, party=names[0], call=text, conference=text) for record in meeting.trace.records]
        assert len(printed(tables.steps(records, last=5), width=wide)) == 1 + 5
        answers = sum(person.answered_at is not None for person in meeting.participants)
        drawn = printed(diagram.draw(records, meeting.participants, text, width=100), width=wide)
        assert len(drawn) == 1 + 2 * len(records) + answers
        told: list[str] = []
        lines = screen.Lines(Console(file=io.StringIO(), width=80))
        lines.say = lambda line: told.append(str(line))  # type: ignore[method-assign]
        lines.show(meeting)
        assert len(told) == 3
        assert all(map(shows, told))
        events: list[Event] = [
            DigitsReceived(provider="fake", id="1", call_id=meeting.participants[0].call_id or "", digits=text),
            IncomingCall(provider="fake", id="2", call_id="c", caller=text, called=text),
            RecordingReady(provider="fake", id="3", recording_id=text),
            RecordingFailed(provider="fake", id="4", recording_id=text),
            Unknown(provider="fake", id="5", type=text),
        ]
        assert all(shows(said(event, meeting)) for event in events)

    met(names, look)


@given(HOSTILE)
def test_what_is_told_is_one_line(text: str) -> None:
    console = Console(file=io.StringIO(), width=80)
    screen.Lines(console).say(text)
    assert isinstance(console.file, io.StringIO)
    assert shows(console.file.getvalue().removesuffix("\n"))


@given(HOSTILE)
@example("no\x1b[2J\nconfkit: all is well")
def test_what_went_wrong_is_one_line(text: str) -> None:
    noted = ConfkitError(text)
    noted.add_note(text)
    for error in [PolicyError([text]), InvalidRequest(text, code=text), ValueError(text), noted]:
        assert shows(failures.sentence(error))
        assert shows(failures.as_dict(error)["message"])


@given(HOSTILE)
@example("no\x1b[2J\nconfkit: all is well")
@settings(max_examples=25)
def test_a_complaint_is_one_line(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", io.StringIO())
        failures.complain(text)
        assert isinstance(sys.stderr, io.StringIO)
        assert shows(sys.stderr.getvalue().removesuffix("\n"))


@given(HOSTILE)
def test_a_plugin_cannot_write_across_the_table_of_providers(text: str) -> None:
    listed = matrix.Listed(
        name="acme", distribution=text, capabilities={"media": [text], "voices": text}, problems=(text,)
    )
    assert printed(matrix.matrix([listed]), width=4000)


@given(HOSTILE)
@example("no\x1b[2J\nforged")
@settings(max_examples=25)
def test_a_line_of_the_log_is_one_line(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", io.StringIO())
        log.configure(debug=True)
        structlog.get_logger("any").warning("platform", said=text, number=1)
        assert isinstance(sys.stderr, io.StringIO)
        lines = SEEN.sub("", sys.stderr.getvalue()).removesuffix("\n").split("\n")
    structlog.reset_defaults()
    assert len(lines) == 1
    assert shows(lines[0])


@given(st.lists(HOSTILE, min_size=3, max_size=3))
@example(["Ann\nlevel=critical", "\x1b[2J", "\u202e"])
@settings(max_examples=25)
def test_an_application_gets_values_for_its_log_that_show(names: list[str]) -> None:
    captured: list[dict[str, Any]] = []

    def keep(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        captured.append(dict(event))
        raise structlog.DropEvent

    structlog.configure(processors=[keep], wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
    met(names, lambda _: None)
    structlog.reset_defaults()
    assert any(event["event"] == "step" for event in captured)
    assert all(shows(value) for event in captured for value in event.values() if isinstance(value, str))
