"""Facts are told once, to streams and observers alike; of mute and hold the newest holds, whatever the clocks say."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import anyio
import pytest
from attrs import evolve
from confkit_fake import FakeProvider

from confkit import AsyncClient, CallAnswered, Event, Meeting, MemberJoined, MemberUpdated, Outcome
from confkit.provider import hookimpl

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

CALLER_ID = "+12018994444"
ANN, BOB, CARA = "+19195550101", "+19195550102", "+19195550103"
SHAPES = ("explicit", "on_join", "from_call", "fused")


class Listener:
    """Everything that an observer and a stream of one meeting are told."""

    def __init__(self) -> None:
        self.observed: list[Event] = []
        self.streamed: list[Event] = []

    @hookimpl
    def meeting_event(self, meeting: str, event: Event) -> None:
        del meeting
        self.observed.append(event)

    async def listen(self, meeting: Meeting) -> None:
        async for event in meeting.events():
            self.streamed.append(event)


def facts(events: list[Event]) -> list[tuple[Any, ...]]:
    names = ("call_id", "member_id", "conference_id", "mute", "hold")
    return [(type(event).__name__, *(getattr(event, name, None) for name in names)) for event in events]


def on_a_clock(events: list[Event], ahead: int) -> list[Event]:
    """The events as a platform tells them whose clock is so many seconds ahead of ours."""
    return [
        evolve(event, occurred_at=event.occurred_at and event.occurred_at + timedelta(seconds=ahead))
        for event in events
    ]


@pytest.mark.parametrize("source", ["stream", "poll"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_quiet_meeting_tells_each_fact_once_however_long_it_is_looked_at(shape: str, source: str) -> None:
    fake, listener = FakeProvider(shape=shape, events=source), Listener()
    async with AsyncClient(fake, caller_id=CALLER_ID, plugins=[listener]) as client, anyio.create_task_group() as tasks:
        meeting = client.connect(ANN, BOB, CARA)
        tasks.start_soon(listener.listen, meeting)
        async with meeting:
            await anyio.sleep(200)
            assert sum(request.operation in ("fetch", "list_calls") for request in fake.requests) > 3
    for told in (listener.observed, listener.streamed):
        kinds = Counter(type(event) for event in told)
        assert (kinds[CallAnswered], kinds[MemberJoined], kinds[MemberUpdated]) == (3, 3, 0)
    assert facts(listener.observed) == facts(listener.streamed)


@pytest.mark.parametrize("source", ["stream", "poll"])
async def test_a_change_of_mute_or_hold_is_told_once_as_a_change(source: str) -> None:
    fake, listener = FakeProvider(events=source), Listener()
    async with (
        AsyncClient(fake, caller_id=CALLER_ID, plugins=[listener]) as client,
        client.connect(ANN, BOB, CARA) as meeting,
    ):
        await anyio.sleep(33)  # not at the very instant at which the meeting is looked at
        await meeting.mute(ANN)
        await anyio.sleep(60)
        fake.exchange.update_member(meeting.participant(ANN).member_id or "", mute=False, hold=True)
        await anyio.sleep(60)
        assert (meeting.participant(ANN).mute, meeting.participant(ANN).hold) == (False, True)
    changes = [(event.mute, event.hold) for event in listener.observed if isinstance(event, MemberUpdated)]
    assert changes == [(True, False), (False, True)]


async def test_an_observer_that_fails_is_told_the_same_news_again() -> None:
    fake, listener = FakeProvider(), Listener()
    async with (
        AsyncClient(fake, caller_id=CALLER_ID, plugins=[listener]) as client,
        client.connect(ANN, BOB, CARA) as meeting,
    ):
        engine = client._engine
        assert engine is not None
        told = MemberJoined(
            provider="fake",
            id="again",
            call_id=meeting.participant(ANN).call_id or "",
            member_id=meeting.participant(ANN).member_id or "",
            conference_id=(meeting.conference and meeting.conference.id) or "",
            mute=True,
        )
        fails = listener.observed
        listener.observed = None  # type: ignore[assignment]
        with pytest.raises(AttributeError):
            engine.router.accept(told)
        listener.observed = fails
        engine.router.accept(told)
        assert [event.mute for event in listener.observed if isinstance(event, MemberUpdated)] == [True]


@pytest.mark.parametrize("ahead", [-3600, -5, 0, 5, 3600])
@pytest.mark.parametrize("whole_seconds", [True, False])
async def test_a_command_of_ours_holds_against_older_news_whatever_the_platforms_clock_says(
    ahead: int, whole_seconds: bool
) -> None:
    fake = FakeProvider(whole_seconds=whole_seconds)
    stale: list[Event] = []

    def deliver(events: list[Event]) -> list[Event]:
        told = [
            evolve(event, occurred_at=event.occurred_at and event.occurred_at + timedelta(seconds=ahead))
            for event in events
        ]
        stale.extend(event for event in told if isinstance(event, MemberJoined))
        muted = any(isinstance(event, MemberUpdated) for event in told)
        return [] if muted else told  # what the platform tells of the command itself is lost

    fake.deliver = deliver
    async with AsyncClient(fake, caller_id=CALLER_ID) as client, client.connect(ANN, BOB, CARA) as meeting:
        await anyio.sleep(3)
        await meeting.mute(ANN)
        assert meeting.participant(ANN).mute
        # The join is told again, late, as some platforms do.
        fake.deliver = lambda events: [*events, *(evolve(event, id=f"again {event.id}") for event in stale)]
        fake.exchange.incoming("+19195550199", CALLER_ID)
        await anyio.sleep(1)
        assert meeting.participant(ANN).mute
        # Somebody else unmutes Ann, and that is newer.
        fake.deliver = lambda events: [
            evolve(event, occurred_at=event.occurred_at and event.occurred_at + timedelta(seconds=ahead))
            for event in events
        ]
        await anyio.sleep(5)
        fake.exchange.update_member(meeting.participant(ANN).member_id or "", mute=False)
        await anyio.sleep(1)
        assert not meeting.participant(ANN).mute


@pytest.mark.parametrize("ahead", [0, 5, 3600])
async def test_a_look_corrects_what_was_told_wrongly(ahead: int) -> None:
    fake = FakeProvider()
    async with AsyncClient(fake, caller_id=CALLER_ID) as client, client.connect(ANN, BOB, CARA) as meeting:
        await anyio.sleep(35)  # a look has shown how it is
        ann = meeting.participant(ANN)
        wrong = MemberUpdated(
            provider="fake",
            id="wrong",
            occurred_at=fake.exchange.now() + timedelta(seconds=ahead),
            call_id=ann.call_id or "",
            member_id=ann.member_id or "",
            conference_id=(meeting.conference and meeting.conference.id) or "",
            mute=True,
        )
        fake.deliver = lambda events: [*events, wrong]
        fake.exchange.incoming("+19195550199", CALLER_ID)
        await anyio.sleep(1)
        assert meeting.participant(ANN).mute
        fake.deliver = list
        await anyio.sleep(40)
        assert not meeting.participant(ANN).mute


@pytest.mark.parametrize("ahead", [-3600, -2, 2, 3600])
@pytest.mark.parametrize("source", ["stream", "poll"])
async def test_nobody_answers_before_being_dialled_or_leaves_before_answering(ahead: int, source: str) -> None:
    fake = FakeProvider(events=source, whole_seconds=True)
    fake.party(ANN).answers(2.5).hangs_up(0.2)
    fake.deliver = lambda events: [
        evolve(event, occurred_at=event.occurred_at and event.occurred_at + timedelta(seconds=ahead))
        for event in events
    ]
    async with AsyncClient(fake, caller_id=CALLER_ID) as client, client.connect(ANN, BOB, CARA) as meeting:
        while meeting.participant(ANN).outcome is not Outcome.LEFT:
            await meeting.changed()
        for person in meeting.participants:
            instants = (person.dialled_at, person.answered_at, person.joined_at, person.ended_at)
            known = [instant for instant in instants if instant is not None]
            assert known == sorted(known)
        bob = meeting.participant(BOB)
        assert bob.dialled_at is not None
        assert bob.answered_at is not None
        assert bob.answered_at - bob.dialled_at < timedelta(seconds=10)
