"""Who leaves early, or at the wrong moment, cuts nobody off; and what happened to each is what is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anyio
import pytest
from attrs import evolve
from confkit_fake import FakeProvider

from confkit import (
    AsyncClient,
    CallAnswered,
    CallEnded,
    CallRinging,
    Event,
    Meeting,
    MeetingEnded,
    MeetingError,
    MeetingState,
    MemberJoined,
    MemberLeft,
    Outcome,
    QuorumNotReached,
    StepOutcome,
)

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

CALLER_ID = "+12018994444"
ANN, BOB, CARA, DAN = "+19195550101", "+19195550102", "+19195550103", "+19195550104"
SHAPES = ["explicit", "on_join", "from_call", "fused", "by_name"]
SOURCES = ("stream", "poll")


def client(fake: FakeProvider) -> AsyncClient:
    return AsyncClient(fake, caller_id=CALLER_ID)


def outcomes(meeting: Meeting | MeetingError) -> list[Outcome | None]:
    return [person.outcome for person in meeting.participants]


def nothing_is_left(fake: FakeProvider) -> bool:
    assert all(len(calls) == 1 for calls in fake.exchange.rings.values()), "somebody was rung twice"
    return fake.exchange.still_up() == ()


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("shape", SHAPES)
async def test_the_first_answers_and_hangs_up_before_the_others_answer(shape: str, source: str) -> None:
    fake = FakeProvider(shape=shape, events=source)
    fake.party(ANN).hangs_up(0.4)
    for address in (BOB, CARA, DAN):
        fake.party(address).answers(1.5)
    async with client(fake) as opened, opened.connect(ANN, BOB, CARA, DAN) as meeting:
        assert outcomes(meeting) == [Outcome.LEFT, *[Outcome.JOINED] * 3]
        assert meeting.conference is not None
        assert len(fake.exchange.active_members(meeting.conference.id or "")) == 3
        await meeting.mute_all()
        await anyio.sleep(60)
        assert outcomes(meeting) == [Outcome.LEFT, *[Outcome.JOINED] * 3]
    assert meeting.left_behind == ()
    assert nothing_is_left(fake)


@pytest.mark.parametrize("leavers", [2, 3])
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("shape", SHAPES)
async def test_all_who_were_in_leave_before_the_others_answer(shape: str, source: str, leavers: int) -> None:
    fake = FakeProvider(shape=shape, events=source)
    people = [f"+1919555010{number}" for number in range(1, leavers + 3)]
    for address in people[:leavers]:
        fake.party(address).hangs_up(2)
    for address in people[leavers:]:
        fake.party(address).answers(12)
    async with client(fake) as opened, opened.connect(*people) as meeting:
        assert outcomes(meeting) == [*[Outcome.LEFT] * leavers, Outcome.JOINED, Outcome.JOINED]
        assert meeting.conference is not None
        assert len(fake.exchange.active_members(meeting.conference.id or "")) == 2
    assert meeting.left_behind == ()
    assert nothing_is_left(fake)


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_first_in_leaves_while_the_second_is_on_the_way_in(shape: str) -> None:
    # Under a limit of one request a second the second is added a second after the first, who has left by then.
    fake = FakeProvider(shape=shape, rates="bandwidth")
    fake.party(ANN).hangs_up(2)
    fake.party(BOB).hangs_up(2)
    fake.party(CARA).answers(1)
    fake.party(DAN).answers(3.5)
    async with client(fake) as opened, opened.connect(ANN, BOB, CARA, DAN) as meeting:
        assert {CARA, DAN} <= {
            person.party.address for person in meeting.participants if person.outcome is Outcome.JOINED
        }
    assert nothing_is_left(fake)


@pytest.mark.parametrize("shape", SHAPES)
async def test_when_all_leave_and_too_few_are_still_to_come_it_is_over(shape: str) -> None:
    fake = FakeProvider(shape=shape)
    for address in (ANN, BOB):
        fake.party(address).hangs_up(1)
    fake.party(CARA).never_answers()
    async with client(fake) as opened:
        with pytest.raises(MeetingError) as raised:
            await opened.connect(ANN, BOB, CARA).__aenter__()
        assert outcomes(raised.value)[:2] == [Outcome.LEFT, Outcome.LEFT]
        assert raised.value.left_behind == ()
    assert nothing_is_left(fake)


@pytest.mark.parametrize("run", range(20))
async def test_one_of_two_hangs_up_just_before_they_are_bridged(run: int) -> None:
    fake = FakeProvider(latency=0.1)
    fake.party(ANN).hangs_up(0.01 * run)
    async with client(fake) as opened:
        meeting = opened.connect(ANN, BOB)
        try:
            await meeting.__aenter__()
        except QuorumNotReached:
            assert outcomes(meeting) in ([Outcome.LEFT, Outcome.CANCELLED], [Outcome.LEFT, Outcome.LEFT])
        else:
            assert meeting.bridge is not None
    assert nothing_is_left(fake)


async def test_why_two_cannot_be_bridged_is_asked_where_nothing_tells() -> None:
    fake = FakeProvider(latency=0.1)
    fake.party(ANN).hangs_up(0.08)
    fake.deliver = lambda events: [event for event in events if isinstance(event, CallAnswered)]
    async with client(fake) as opened:
        with pytest.raises(QuorumNotReached) as raised:
            await opened.connect(ANN, BOB).__aenter__()
        assert outcomes(raised.value) == [Outcome.LEFT, Outcome.CANCELLED]
    assert nothing_is_left(fake)


async def test_a_bridge_that_is_refused_for_another_reason_is_an_error_of_its_own() -> None:
    fake = FakeProvider()
    fake.fail("create_bridge", "forbidden")
    async with client(fake) as opened:
        with pytest.raises(Exception, match="the account may not do this"):
            await opened.connect(ANN, BOB).__aenter__()
    assert nothing_is_left(fake)


@pytest.mark.parametrize("source", SOURCES)
async def test_who_was_put_into_the_room_while_ringing_and_never_answered_has_not_answered(source: str) -> None:
    fake = FakeProvider(events=source)
    fake.party(ANN).never_answers()

    def deliver(events: list[Event]) -> list[Event]:
        """As platforms do that put a call into its room when it is dialled: in, and out when it is given up."""
        told: list[Event] = []
        for event in events:
            call = fake.exchange.calls.get(getattr(event, "call_id", ""))
            place: dict[str, Any] = {"member_id": "in", "conference_id": (call and call.conference_id) or ""}
            if isinstance(event, CallEnded) and call is not None and call.to == ANN:
                told.append(MemberLeft(provider="fake", id=f"out {event.id}", call_id=call.id, **place))
            told.append(event)
            if isinstance(event, CallRinging) and call is not None and call.to == ANN:
                told.append(MemberJoined(provider="fake", id=f"in {event.id}", call_id=call.id, **place))
        return told

    fake.deliver = deliver
    async with client(fake) as opened, opened.connect(ANN, BOB, CARA, answer_timeout=timedelta(seconds=3)) as meeting:
        assert outcomes(meeting) == [Outcome.NO_ANSWER, Outcome.JOINED, Outcome.JOINED]


async def test_a_command_that_meets_the_end_of_its_meeting_says_that_the_meeting_has_ended() -> None:
    fake = FakeProvider(rates="bandwidth")
    raised: list[BaseException] = []

    async def mute(meeting: Meeting, address: str) -> None:
        try:
            await meeting.mute(address)
        except MeetingEnded as error:
            raised.append(error)

    async with client(fake) as opened, anyio.create_task_group() as tasks, opened.connect(ANN, BOB, CARA) as meeting:
        for address in (ANN, BOB, CARA):  # one a second: two of them wait for their turn when it ends
            tasks.start_soon(mute, meeting, address)
        await anyio.sleep(0.1)
    assert len(raised) >= 2


@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
async def test_where_ending_the_conference_hangs_up_everybody_one_request_does(shape: str, fails: bool) -> None:
    fake = FakeProvider(shape=shape, end_hangs_up=True)
    fake.party(DAN).never_answers()
    async with (
        client(fake) as opened,
        opened.connect(ANN, BOB, CARA, DAN, answer_timeout=timedelta(seconds=2)) as meeting,
    ):
        before = len(fake.requests)
        if fails:
            fake.fail("end_conference", "forbidden")
    ending = [request.operation for request in fake.requests[before:]]
    # That Dan's call has ended was only told.
    assert ending.count("hang_up") == (3 if fails else 1)
    assert ending.count("end_conference") == (2 if fails else 1)
    assert [person.outcome for person in meeting.participants] == [*[Outcome.LEFT] * 3, Outcome.NO_ANSWER]
    assert nothing_is_left(fake)


async def test_who_still_rings_when_the_conference_is_ended_for_everybody_is_hung_up() -> None:
    fake = FakeProvider(end_hangs_up=True)
    async with client(fake) as opened, opened.connect(ANN, BOB, CARA) as meeting:
        fake.party(DAN).never_answers()
        await meeting.add(DAN)
        await anyio.sleep(1)
    assert nothing_is_left(fake)


@pytest.mark.parametrize("fault", ["drop-reply", "error-after"])
async def test_who_is_in_though_the_reply_was_lost_stays_in(fault: str) -> None:
    fake = FakeProvider()
    fake._capabilities = evolve(fake.capabilities(), reconcilable=frozenset())
    fake.fail("add_member", fault, times=20)
    async with client(fake) as opened, opened.connect(ANN, BOB, CARA) as meeting:
        assert outcomes(meeting) == [Outcome.JOINED] * 3
        await anyio.sleep(60)
        assert outcomes(meeting) == [Outcome.JOINED] * 3
    assert nothing_is_left(fake)


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("shape", ["on_join", "fused"])
async def test_who_waits_to_be_joined_by_the_platform_does_not_wait_for_ever(shape: str, seen: bool) -> None:
    fake = FakeProvider(shape=shape)
    fake.deliver = lambda events: [event for event in events if not isinstance(event, MemberJoined)]
    if not seen:
        fake._capabilities = evolve(fake.capabilities(), poll_interval=timedelta(hours=1))
        fake.fail("fetch", "forbidden", times=10**6)
    async with client(fake) as opened:
        meeting = opened.connect(ANN, BOB, CARA)
        with anyio.fail_after(60):
            if seen:
                await meeting.__aenter__()
                assert outcomes(meeting) == [Outcome.JOINED] * 3
            else:
                with pytest.raises(QuorumNotReached, match="nobody confirms that it has joined"):
                    await meeting.__aenter__()
                assert meeting.state is MeetingState.ENDED
    assert nothing_is_left(fake)


async def test_a_room_that_was_created_again_is_in_the_trace() -> None:
    fake = FakeProvider()
    for address in (ANN, BOB):
        fake.party(address).hangs_up(1)
    for address in (CARA, DAN):
        fake.party(address).answers(3)
    async with client(fake) as opened, opened.connect(ANN, BOB, CARA, DAN) as meeting:
        rooms = [record for record in meeting.trace.records if record.operation == "create_conference"]
        assert [record.outcome for record in rooms] == [StepOutcome.DONE] * 2
        assert meeting.conference is not None
        assert meeting.conference.id == rooms[1].conference
