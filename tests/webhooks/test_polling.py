"""Meetings that learn what happens by asking: how soon, and how often they ask."""

from __future__ import annotations

import anyio
import pytest
from confkit_bandwidth.simulator import Fault
from confkit_fake import FakeProvider

from confkit import AsyncClient, Outcome, ParticipantState
from confkit.ingest.polling import FIRST_POLL, SAFETY_POLL

from .conftest import CALLER, PEOPLE, staged

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]
#: Of each request, there and back, in seconds.
LATENCY = 0.2


async def test_answers_are_asked_for_while_the_dialling_is_under_way() -> None:
    async with staged(public_url=None, latency=LATENCY) as stage:
        started = anyio.current_time()
        async with stage.client.connect(*PEOPLE) as meeting:
            took = anyio.current_time() - started
            assert [person.state for person in meeting.participants] == [ParticipantState.JOINED] * 5
            assert meeting.trace.reads == {"list_calls": 1}
    # Create the conference, dial, add the members: that the phones are answered is known by the way.
    assert took == pytest.approx(3 * LATENCY + FIRST_POLL, abs=0.01)


async def test_why_nobody_answers_is_known_even_if_it_is_seen_before_the_reply_to_the_dial() -> None:
    slow = Fault.parse("create_call=slow:1")
    async with staged(public_url=None, latency=LATENCY, faults=(slow,), slow_seconds=2.0) as stage:
        stage.exchange.party(PEOPLE[0]).busy()
        stage.exchange.party(PEOPLE[2]).rejects()
        async with stage.client.connect(*PEOPLE) as meeting:
            outcomes = [person.outcome for person in meeting.participants]
    assert outcomes == [Outcome.BUSY, Outcome.JOINED, Outcome.REJECTED, Outcome.JOINED, Outcome.JOINED]


async def test_who_is_added_later_is_asked_about_soon() -> None:
    async with staged(public_url=None, latency=LATENCY) as stage, stage.client.connect(*PEOPLE[:4]) as meeting:
        await anyio.sleep(100)
        started = anyio.current_time()
        await meeting.add(PEOPLE[4])
        while meeting.participant(PEOPLE[4]).state is not ParticipantState.JOINED:
            await meeting.changed()
        assert anyio.current_time() - started == pytest.approx(2 * LATENCY + FIRST_POLL, abs=0.01)


async def test_a_long_ringing_is_asked_about_once_a_second() -> None:
    async with (
        staged(public_url=None, latency=LATENCY, answer_after=20.0) as stage,
        stage.client.connect(*PEOPLE) as meeting,
    ):
        assert 20 <= meeting.trace.reads["list_calls"] <= 30


async def test_where_events_are_lost_each_meeting_is_looked_at_in_its_own_time() -> None:
    provider = FakeProvider(latency=LATENCY)
    provider.deliver = lambda _lost: []
    provider.fail("list_calls", "rate-limit", after=1, seconds=5.0)  # the second look is to try again
    took: dict[float, float] = {}
    reads: dict[float, dict[str, int]] = {}

    async def meet(begins: float, patience: float = 60) -> None:
        await anyio.sleep(begins)
        meeting = client.connect(*(f"{number}{begins:.0f}" for number in PEOPLE[:3]))
        with anyio.move_on_after(patience):
            async with meeting:
                took[begins] = anyio.current_time() - started - begins
                await anyio.sleep(100)
        reads[begins] = meeting.trace.reads

    async with AsyncClient(provider, caller_id=CALLER) as client:
        started = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(meet, 0)
            tasks.start_soon(meet, 1, SAFETY_POLL / 2)  # is over before its first turn
            tasks.start_soon(meet, 2, SAFETY_POLL + LATENCY)  # is over while it is being looked at
            tasks.start_soon(meet, 3)
        assert provider.exchange.still_up() == ()
        async with client.connect(*PEOPLE[:3]) as later:  # with nobody there for a while
            assert [person.outcome for person in later.participants] == [Outcome.JOINED] * 3
    assert took == {begins: pytest.approx(SAFETY_POLL + 2 * LATENCY, abs=0.01) for begins in (0, 3)}
    assert reads[1] == {}
    assert reads[2] == {"list_calls": 1}
    # One for each that lived so long: the look that was refused ended with its meeting, and was not tried again.
    assert [each.operation for each in provider.requests].count("list_calls") == 4
    # Somebody on the way in: after 10 s. Then all is quiet: every third turn.
    assert reads[0] == reads[3] == {"list_calls": 1, "fetch": 1}
