"""Nothing marked comes out of meetings on the fake, whatever goes wrong."""

from __future__ import annotations

import logging

import pytest
import structlog

from confkit import AsyncClient, Meeting
from confkit.client.direct import Direct

from .everything import by_hand, by_mistake, meet, operations_of, show, show_client
from .marks import CALLER, LATER, PEOPLE, Observer, Seen

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

#: Both ways to log, and everything that can go wrong.
CASES = (
    ("structlog", "none"),
    ("logging", "none"),
    ("structlog", "refuse"),
    ("logging", "drop-reply"),
    ("structlog", "lost"),
    ("logging", "error-500"),
    ("structlog", "rate-limit"),
    ("logging", "unauthenticated"),
    ("logging", "forbidden"),
)
OPERATIONS = ("create_conference", "create_call", "add_member", "hang_up")


@pytest.mark.parametrize(("log", "fault"), CASES)
async def test_nothing_marked_comes_out(log: str, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen = Seen()
    captured = structlog.testing.LogCapture()
    if log == "structlog":
        structlog.configure(processors=[captured])
    for broken in OPERATIONS if fault != "none" else ("",):
        async with AsyncClient("fake", caller_id=CALLER, plugins=[Observer(seen)]) as client:
            show_client(client, seen)
            if broken:
                client.provider.fail(broken, fault, times=12, after=1)
            await meet(client, seen)
            await by_hand(client, seen)
            client.provider.party(PEOPLE[0]).busy()
            client.provider.party(PEOPLE[2]).rejects()
            client.provider.party(LATER).unreachable()
            await by_mistake(client, seen)
            await meet(client, seen, quorum=3)
    seen.logs(captured.entries, caplog.records)
    seen.assert_clean()
    assert len(captured.entries if log == "structlog" else caplog.records) > 20
    if fault == "none":
        everything = operations_of(AsyncClient) | operations_of(Direct) | operations_of(Meeting)
        assert everything - seen.tried <= {"receive", "changed", "finish"}
        assert {"create_call", "add_member", "admit", "transfer", "play", "add"} <= seen.done
        assert {"PolicyError", "QuorumNotReached", "MeetingError"} <= set(seen.errors)


async def test_whole_numbers_are_shown_to_whom_asked_for_them() -> None:
    seen = Seen()
    async with AsyncClient("fake", caller_id=CALLER, show_numbers=True) as client:
        async with client.connect(*PEOPLE) as meeting:
            pass
        show(meeting, seen)
    assert all(number in meeting.trace.json() for number in PEOPLE)
    seen.assert_clean(numbers=False)
