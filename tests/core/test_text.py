"""Text from outside: one line, without a character that does anything else than to show, and legible all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import anyio
import pytest
from confkit_fake import FakeProvider
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from confkit import AsyncClient, MeetingError, Party, PolicyError
from confkit.models.addresses import masked, problem_with
from confkit.models.events import CallEnded, Event, IncomingCall
from confkit.models.text import mermaid, one_line
from confkit.models.trace import StepRecord
from confkit.provider import InvalidRequest, hookimpl
from confkit.testing.sequence import Sequence

JOINERS = dict.fromkeys(map(ord, "\u200c\u200d"))
#: Words with what ends lines, moves cursors, hides or turns text around between them.
HOSTILE = st.text(max_size=20) | st.lists(
    st.sampled_from(
        ["Ann", "+19195550101", "\n", "\r", "\v", "\x00", "\x1b[31m", "\x1b]0;x\x07", "\x7f", "\x85", "\x9b2J",
         "\u2028", "\u2029", "\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\ud800", "\U000e0041", "@",
         "sip:", "é", "  "]
    ),
    max_size=8,
).map("".join)  # fmt: skip


def shows(text: str) -> bool:
    """Whether a text is one line without a character that does anything else than to show."""
    return text.translate(JOINERS).isprintable()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Ann", "Ann"),
        ("  Ann   Lee ", "Ann Lee"),
        ("Ann\r\nLee\tJr.", "Ann Lee Jr."),
        ("\x1b[2Jred\x9b31m", "[2Jred 31m"),
        ("a\u202egnp.exe", "a gnp.exe"),
        ("\u2067Ann\u2069", "Ann"),
        ("A\u200bnn\ufeff", "A nn"),
        ("A\u200dnn", "A nn"),
        ("é\u200dn", "é n"),
        ("n\u200dé", "n é"),
        ("a\u200d\u200dé", "a é"),
        ("\u00a0\u200dé", "é"),
        ("half \ud83d", "half"),
        ("Ann\u00a0Lee", "Ann Lee"),
        # Scripts and emoji are what they are.
        ("Zoë Łukasz Ngô Đình 李雷 محمد", "Zoë Łukasz Ngô Đình 李雷 محمد"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d👧", "👩\u200d👧"),
        ("", ""),
        ("\n", ""),
    ],
)
def test_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


@given(HOSTILE)
@example("\u200d\u2028\u200d")
def test_a_line_stays_a_line_and_shows(text: str) -> None:
    line = one_line(text)
    assert shows(line)
    assert line.split() == line.split(" ") or not line
    assert one_line(line) == line
    assert shows(mermaid(text))
    assert mermaid(text)


@given(HOSTILE, HOSTILE)
@example("ann@example.com\nall is lost", "")
@example("sip:ann@example.com\r\nall is lost", "\x1b")
def test_no_text_of_confkit_brings_more_than_it_shows(address: str, name: str) -> None:
    party = Party(address, name=name)
    assert party.label == (one_line(name) or masked(address))
    for text in [
        party.label,
        repr(party),
        masked(address),
        problem_with(address) or "",
        str(PolicyError([address, name])),
        str(MeetingError(name, left_behind=[address])),
        str(InvalidRequest(name, provider=address, operation=name, code=address, status=400)),
        InvalidRequest(name).message,
    ]:
        assert shows(text), repr(text)


@given(HOSTILE)
def test_what_a_test_reads_of_a_sequence_is_a_line_for_each_entry(text: str) -> None:
    sequence = Sequence()
    sequence.step_finished(
        StepRecord(
            meeting=text, step=text, provider=text, operation="create_call", op=text, party=text, call=text, error=text,
            started_at=datetime(2026, 3, 1, tzinfo=UTC),
        )
    )  # fmt: skip
    sequence.meeting_event("m", CallEnded(provider=text, id=text, call_id=text))
    lines = sequence.text().split("\n")
    assert len(lines) == 2
    assert all(map(shows, lines))


class Besieged(FakeProvider):
    """A platform that tells of more callers than can wait, whose calls have awkward ids."""

    @hookimpl
    async def events(self) -> AsyncIterator[Event]:
        for number in range(101):
            yield IncomingCall(
                provider="fake", id=str(number), call_id="c-\n\x1b[2J1", caller="+19195550101", called="+12018994444"
            )
        await anyio.sleep_forever()


@pytest.mark.anyio
@pytest.mark.virtual_time
async def test_an_id_is_logged_in_one_line() -> None:
    with capture_logs() as logs:  # a client looks for the log when it is opened
        async with AsyncClient(Besieged(), caller_id="+12018994444"):
            await anyio.sleep(1)
    assert [log["call"] for log in logs if log["event"] == "incoming_call_missed"] == ["c- [2J1"]
