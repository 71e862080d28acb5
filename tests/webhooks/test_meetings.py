"""Meetings that learn what happens from webhooks, however badly these are delivered."""

from __future__ import annotations

import os
from contextlib import aclosing
from typing import Any

import anyio
import pytest
from confkit_bandwidth.simulator import CallbackFaults, Fault

from confkit import (
    CallAnswered,
    CallEnded,
    Event,
    MemberJoined,
    Outcome,
    Participant,
    ParticipantState,
)
from confkit.models.events import call_of

from .conftest import PEOPLE, Stage, staged

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

FAULTS = {
    "loss": CallbackFaults(lose=0.3),
    "duplication": CallbackFaults(duplicate=0.6),
    "delay": CallbackFaults(delay=0.6, delay_seconds=8),
    "reordering": CallbackFaults(reorder=0.6, delay_seconds=8),
    "all at once": CallbackFaults(lose=0.2, duplicate=0.3, delay=0.3, reorder=0.3, delay_seconds=8),
}
#: 200 take a minute; so many of them when the tests are run by hand.
SEEDS = 200 if os.environ.get("CI") else 20


async def test_five_people_are_connected_without_one_poll() -> None:
    async with staged(answer_after=3.0) as stage, stage.client.connect(*PEOPLE) as meeting:
        assert [person.state for person in meeting.participants] == [ParticipantState.JOINED] * 5
        assert meeting.trace.reads == {}
        assert {outcome for _, outcome in stage.log()} == {"delivered"}


async def test_two_people_are_bridged_without_one_poll() -> None:
    async with staged(answer_after=3.0) as stage, stage.client.connect(*PEOPLE[:2]) as meeting:
        assert meeting.bridge is not None
        assert meeting.trace.reads == {}


async def test_what_happens_later_comes_by_webhook_too() -> None:
    async with staged() as stage:
        stage.exchange.party(PEOPLE[0]).hangs_up(5.0)
        async with stage.client.connect(*PEOPLE) as meeting:
            async with aclosing(meeting.events()) as events:
                async for event in events:
                    if isinstance(event, CallEnded):
                        break
            assert meeting.participant(PEOPLE[0]).outcome is Outcome.LEFT
            await meeting.mute(PEOPLE[1])
            with anyio.fail_after(1):
                while not meeting.participant(PEOPLE[1]).mute:
                    await meeting.changed()
            assert meeting.trace.reads == {}


async def test_an_answer_that_comes_before_the_reply_to_the_dialling_counts() -> None:
    # The reply to the creation comes 2 s late; the phone is answered and the callback delivered before.
    late = Fault.parse("create_call=late:1")
    async with staged(faults=(late,), slow_seconds=2.0) as stage, stage.client.connect(*PEOPLE[:3]) as meeting:
        assert [person.state for person in meeting.participants] == [ParticipantState.JOINED] * 3
        assert meeting.trace.reads == {}


async def test_lost_answers_are_found_by_the_slow_poll() -> None:
    started = anyio.current_time()
    async with staged(callbacks=CallbackFaults(lose=1.0)) as stage, stage.client.connect(*PEOPLE) as meeting:
        assert anyio.current_time() - started == pytest.approx(10, abs=0.5)
        assert [person.state for person in meeting.participants] == [ParticipantState.JOINED] * 5
        assert sum(meeting.trace.reads.values()) == 1


async def test_a_lost_hangup_is_found_by_the_slow_poll() -> None:
    async with staged(callbacks=CallbackFaults(lose=1.0)) as stage:
        stage.exchange.party(PEOPLE[0]).hangs_up(15.0)
        async with stage.client.connect(*PEOPLE) as meeting:
            with anyio.fail_after(60):
                while meeting.participant(PEOPLE[0]).outcome is not Outcome.LEFT:
                    await meeting.changed()
            assert sum(meeting.trace.reads.values()) < 5


async def test_without_a_public_url_polling_serves() -> None:
    async with staged(public_url=None, answer_after=1.0) as stage, stage.client.connect(*PEOPLE) as meeting:
        assert meeting.trace.reads
        assert stage.log() == []


async def established(stage: Stage) -> list[tuple[Any, ...]]:
    """The roster of a meeting with every kind of person, half a minute after it was established."""
    stage.exchange.party(PEOPLE[0]).answers(4.0)
    stage.exchange.party(PEOPLE[1]).answers(1.0)
    stage.exchange.party(PEOPLE[2]).busy()
    stage.exchange.party(PEOPLE[3]).answers(2.0).hangs_up(9.0)
    stage.exchange.party(PEOPLE[4]).rejects(5.0)
    async with stage.client.connect(*PEOPLE) as meeting:
        await anyio.sleep(30)
        await meeting.mute(PEOPLE[1])
        await anyio.sleep(60)
        return [roster_line(person) for person in meeting.participants]


def roster_line(person: Participant) -> tuple[Any, ...]:
    # A member id is in the roster while the member is in.
    return person.party.address, person.state, person.outcome, person.mute, person.hold, bool(person.member_id)


EXPECTED = [
    (PEOPLE[0], ParticipantState.JOINED, Outcome.JOINED, False, False, True),
    (PEOPLE[1], ParticipantState.JOINED, Outcome.JOINED, True, False, True),
    (PEOPLE[2], ParticipantState.ENDED, Outcome.BUSY, False, False, False),
    (PEOPLE[3], ParticipantState.ENDED, Outcome.LEFT, False, False, False),
    (PEOPLE[4], ParticipantState.ENDED, Outcome.REJECTED, False, False, False),
]


async def test_the_roster_without_mishaps() -> None:
    async with staged() as stage:
        assert await established(stage) == EXPECTED


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
async def test_the_roster_is_the_same_under(faults: CallbackFaults) -> None:
    logs = set()
    for seed in range(SEEDS):
        async with staged(callbacks=faults, seed=seed) as stage:
            assert await established(stage) == EXPECTED, f"seed {seed}"
            logs.add(tuple(stage.log()))
        calls = stage.exchange.calls.values()
        assert len(calls) == 5
        assert all(call.ended_at for call in calls), f"seed {seed}"
    assert len(logs) > SEEDS / 2  # the mishaps were different ones


async def test_events_are_told_once_even_if_they_come_twice() -> None:
    told: list[Event] = []
    async with staged(callbacks=CallbackFaults(duplicate=1.0), answer_after=2.0) as stage:
        async with anyio.create_task_group() as tasks, stage.client.connect(*PEOPLE[:3]) as meeting:

            async def listen() -> None:
                async for event in meeting.events():
                    told.append(event)

            tasks.start_soon(listen)
            await anyio.sleep(1)
            added = await meeting.add(PEOPLE[3])
            await anyio.sleep(5)
            await meeting.remove(added)
            await anyio.sleep(1)
        # What is told of the first three may come after the replies that have brought them in.
        told = [event for event in told if call_of(event) == meeting.participant(added).call_id]
        kinds = [type(event) for event in told]
        assert kinds[:2] == [CallAnswered, MemberJoined]
        assert kinds.count(CallAnswered) == kinds.count(MemberJoined) == 1
        assert all(event.raw["eventType"] for event in told)
