"""The sequence: on every shape of provider the same meeting, by exactly the operations that it takes."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import anyio
import pytest
from confkit_fake import FakeProvider

from confkit import (
    AsyncClient,
    CallEnded,
    MeetingEnded,
    MeetingError,
    MeetingState,
    Mode,
    Outcome,
    ParticipantState,
    Party,
    Policy,
    PolicyError,
    QuorumNotReached,
    StepOutcome,
)
from confkit.client.meeting import Meeting
from confkit.provider import CallState, MemberState

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

OURS = "+12018994444"
SHAPES = ["explicit", "on_join", "from_call", "fused"]
SOURCES = ["stream", "poll"]


def number(index: int) -> str:
    return f"+1919555{index:04d}"


def numbers(count: int) -> list[str]:
    return [number(index) for index in range(1, count + 1)]


def client(provider: FakeProvider, **settings: Any) -> AsyncClient:
    return AsyncClient(provider, caller_id=OURS, **settings)


def operations(meeting: Meeting) -> Counter[str]:
    return Counter(record.operation for record in meeting.trace.records)


def outcomes(meeting: Meeting | MeetingError) -> list[Outcome | None]:
    return [person.outcome for person in meeting.participants]


def nothing_is_left(provider: FakeProvider) -> bool:
    """And nobody was rung twice."""
    assert all(len(calls) == 1 for calls in provider.exchange.rings.values())
    return provider.exchange.still_up() == ()


def expected(shape: str, bridge: str, count: int) -> Counter[str]:
    """What a meeting takes in which everything goes well, hanging up included."""
    ending = {"create_call": count, "hang_up": count}
    if count <= 2 and bridge != "none":
        bridged = bridge == "first" or count == 2
        return Counter(ending | ({"create_bridge": 1, "end_bridge": 1} if bridged else {}))
    joins = {} if shape in ("on_join", "fused") else {"add_member": count}
    return Counter(ending | joins | {"create_conference": 1, "end_conference": 1})


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [1, 2, 3, 5, 20])
async def test_a_meeting_of_so_many(shape: str, source: str, count: int) -> None:
    provider = FakeProvider(shape=shape, events=source, latency=0.1)
    for index in range(1, count + 1):
        provider.party(number(index)).answers(after=index % 4)
    async with client(provider) as calls, calls.connect(*numbers(count)) as meeting:
        assert meeting.state.value == "established"
        assert meeting.mode is (Mode.CONFERENCE if count >= 3 else Mode.BRIDGE)
        ready = ParticipantState.ANSWERED if count == 1 else ParticipantState.JOINED
        assert [person.state for person in meeting.participants] == [ready] * count
        talking = [call for call in provider.exchange.calls.values() if call.state is CallState.ANSWERED]
        assert len(talking) == count
        assert all(provider.exchange.hears(a.id, b.id) for a in talking for b in talking if a is not b)
        if count >= 3:
            (room,) = provider.exchange.conferences.values()
            assert meeting.conference is not None
            assert meeting.conference.id == room.id
            inside = provider.exchange.members_of(room.id)
            assert sorted(person.member_id or "" for person in meeting.participants) == sorted(
                member.id for member in inside
            )
    assert meeting.state is MeetingState.ENDED
    assert operations(meeting) == expected(shape, "after", count)
    assert {record.outcome for record in meeting.trace.records} == {StepOutcome.DONE}
    assert nothing_is_left(provider)
    assert provider.closed


@pytest.mark.parametrize("bridge", ["first", "after", "none"])
@pytest.mark.parametrize("count", [1, 2])
async def test_a_small_meeting_by_every_way_of_bridging(bridge: str, count: int) -> None:
    provider = FakeProvider(bridge=bridge)
    async with client(provider) as calls, calls.connect(*numbers(count)) as meeting:
        assert meeting.mode is (Mode.CONFERENCE if bridge == "none" else Mode.BRIDGE)
        assert (meeting.bridge is None) is (bridge == "none" or (bridge == "after" and count == 1))
        assert (meeting.conference is None) is (bridge != "none")
    assert operations(meeting) == expected("explicit", bridge, count)
    assert nothing_is_left(provider)


async def test_the_three_steps_come_in_order_and_legs_do_not_wait_for_one_another() -> None:
    provider = FakeProvider(latency=0.05)
    provider.party(number(1)).answers(after=20)
    async with client(provider) as calls, calls.connect(*numbers(3)) as meeting:
        records = meeting.trace.records
        assert [record.operation for record in records[:4]] == ["create_conference", *["create_call"] * 3]
        assert all(record.started_at == records[1].started_at for record in records[1:4])
        by_party = {person.party.label: person for person in meeting.participants}
        slow, quick, _ = by_party.values()
        assert quick.joined_at is not None
        assert slow.joined_at is not None
        assert slow.joined_at - quick.joined_at > timedelta(seconds=19)


@pytest.mark.parametrize("shape", ["on_join", "from_call"])
@pytest.mark.parametrize("source", SOURCES)
async def test_a_room_that_comes_of_itself_comes_once(shape: str, source: str) -> None:
    """All answer at the same moment; exactly one join goes through until the room has its id."""
    provider = FakeProvider(shape=shape, events=source, latency=0.3)
    async with client(provider) as calls, calls.connect(*numbers(20)) as meeting:
        assert len(provider.exchange.conferences) == 1
        (room,) = provider.exchange.conferences
        assert meeting.conference is not None
        assert meeting.conference.id == room
        first = [record for record in meeting.trace.records if record.operation in ("create_call", "add_member")]
        wanted = "create_call" if shape == "on_join" else "add_member"
        joins = sorted((each for each in first if each.operation == wanted), key=lambda each: each.started_at)
        # a stream tells the id half a round trip before the reply does
        assert joins[1].started_at - joins[0].started_at >= timedelta(seconds=0.15)
    assert nothing_is_left(provider)


@pytest.mark.parametrize("shape", ["on_join", "from_call"])
async def test_when_the_first_join_fails_another_makes_the_room(shape: str) -> None:
    provider = FakeProvider(shape=shape)
    provider.fail("create_call" if shape == "on_join" else "add_member", "refuse", times=5)
    async with client(provider) as calls, calls.connect(*numbers(4)) as meeting:
        assert Counter(outcomes(meeting)) == {Outcome.JOINED: 3, Outcome.FAILED: 1}
        assert len(provider.exchange.conferences) == 1
    assert nothing_is_left(provider)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("shape", SHAPES)
async def test_everyone_gets_their_outcome(shape: str, source: str) -> None:
    provider = FakeProvider(shape=shape, events=source)
    provider.party(number(1)).busy()
    provider.party(number(2)).rejects(after=3)
    provider.party(number(3)).unreachable()
    provider.party(number(4)).never_answers()
    provider.party(number(5)).answers(after=1)
    async with client(provider) as calls:
        wanted = [*numbers(6), "sip:gwen@example.com"]
        async with calls.connect(*wanted, answer_timeout=timedelta(seconds=10)) as meeting:
            assert outcomes(meeting) == [
                Outcome.BUSY,
                Outcome.REJECTED,
                Outcome.UNREACHABLE,
                Outcome.NO_ANSWER,
                Outcome.JOINED,
                Outcome.JOINED,
                Outcome.JOINED,
            ]
            assert meeting.participant(number(1)).state is ParticipantState.ENDED
    assert outcomes(meeting)[4:] == [Outcome.LEFT] * 3
    assert nothing_is_left(provider)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("count", [2, 3])
async def test_a_quorum_that_is_missed_fails_with_every_outcome_and_leaves_nothing(count: int, source: str) -> None:
    provider = FakeProvider(events=source)
    for index in range(2, count + 1):
        provider.party(number(index)).busy()
    async with client(provider) as calls:
        with pytest.raises(QuorumNotReached) as raised:
            await calls.connect(Party(number(1), name="Ann"), *numbers(count)[1:]).__aenter__()
    assert outcomes(raised.value)[1:] == [Outcome.BUSY] * (count - 1)
    assert raised.value.participants[0].party.name == "Ann"
    assert raised.value.left_behind == ()
    assert "fewer than 2 joined" in str(raised.value)
    assert "+1919•••0002 busy" in str(raised.value)
    assert number(2) not in str(raised.value)
    assert nothing_is_left(provider)


async def test_a_quorum_that_cannot_be_reached_any_more_does_not_wait_for_the_rest() -> None:
    provider = FakeProvider()
    provider.party(number(1)).busy()
    provider.party(number(2)).never_answers()
    provider.party(number(3)).never_answers()
    async with client(provider) as calls:
        with anyio.fail_after(5), pytest.raises(QuorumNotReached) as raised:
            await calls.connect(*numbers(3), quorum=3).__aenter__()
    assert outcomes(raised.value) == [Outcome.BUSY, Outcome.CANCELLED, Outcome.CANCELLED]
    assert nothing_is_left(provider)


async def test_one_of_two_is_enough_where_the_quorum_says_so() -> None:
    provider = FakeProvider()
    provider.party(number(2)).busy()
    async with client(provider) as calls, calls.connect(*numbers(2), quorum=1) as meeting:
        assert outcomes(meeting) == [None, Outcome.BUSY]
        assert meeting.participants[0].state is ParticipantState.ANSWERED
    assert nothing_is_left(provider)


async def test_what_the_policy_refuses_sends_nothing() -> None:
    provider = FakeProvider()
    async with client(provider, policy=Policy(maximum=5)) as calls:
        for wanted in ([], numbers(6), [number(1), number(1)], ["12345", number(1)]):
            meeting = calls.connect(*wanted)
            with pytest.raises(PolicyError):
                await meeting.__aenter__()
            assert meeting.state is MeetingState.PLANNED
            assert meeting.trace.records == ()
    assert provider.requests == []


# --- leaving, at every inconvenient moment


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("shape", SHAPES)
async def test_who_answers_first_and_hangs_up_before_the_second_is_in(shape: str, source: str) -> None:
    """The platform ends a conference with its last member: the first must not make a dead room for the others."""
    provider = FakeProvider(shape=shape, events=source, latency=0.1)
    provider.party(number(1)).answers(after=1).hangs_up(after=2)
    provider.party(number(2)).answers(after=6)
    provider.party(number(3)).answers(after=7)
    async with client(provider) as calls, calls.connect(*numbers(3)) as meeting:
        assert outcomes(meeting) == [Outcome.LEFT, Outcome.JOINED, Outcome.JOINED]
    assert nothing_is_left(provider)


@pytest.mark.parametrize("after", [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 1.0])
@pytest.mark.parametrize("source", SOURCES)
async def test_everyone_hangs_up_while_they_are_being_joined(after: float, source: str) -> None:
    provider = FakeProvider(events=source, latency=0.2)
    for party in numbers(3):
        provider.party(party).answers().hangs_up(after=after)
    async with client(provider) as calls:
        with anyio.fail_after(120):
            try:
                async with calls.connect(*numbers(3)) as meeting:
                    await meeting.wait_until_ended()
                people = meeting.participants
            except MeetingError as error:
                people = error.participants
    assert {person.outcome for person in people} <= {Outcome.LEFT, Outcome.CANCELLED}
    assert nothing_is_left(provider)


@pytest.mark.parametrize("source", SOURCES)
async def test_a_meeting_ends_when_its_last_member_leaves(source: str) -> None:
    provider = FakeProvider(events=source)
    for index in (1, 2, 3):
        provider.party(number(index)).hangs_up(after=10 * index)
    async with client(provider) as calls, calls.connect(*numbers(3)) as meeting:
        with anyio.fail_after(120):
            await meeting.wait_until_ended()
        assert meeting.state is MeetingState.ENDED
        assert outcomes(meeting) == [Outcome.LEFT] * 3
        with pytest.raises(MeetingEnded):
            await meeting.say("Hello?")
    assert nothing_is_left(provider)


@pytest.mark.parametrize("source", SOURCES)
async def test_a_member_that_presses_its_way_out_is_hung_up(source: str) -> None:
    provider = FakeProvider(events=source)
    provider.party(number(1)).presses("#", after=5)
    async with client(provider) as calls, calls.connect(*numbers(3)) as meeting:
        with anyio.fail_after(60):
            while meeting.participant(number(1)).outcome is not Outcome.LEFT:
                await meeting.changed()
            (call,) = provider.exchange.rings[number(1)]
            while provider.exchange.calls[call].state is CallState.ANSWERED:
                await meeting.changed()
        assert meeting.state is MeetingState.ESTABLISHED
    assert nothing_is_left(provider)


@pytest.mark.parametrize("source", SOURCES)
async def test_a_conference_that_somebody_else_ends_is_over_for_everyone(source: str) -> None:
    provider = FakeProvider(events=source)
    async with client(provider) as calls, calls.connect(*numbers(3)) as meeting:
        assert meeting.conference is not None
        assert meeting.conference.id is not None
        provider.exchange.end_conference(meeting.conference.id)
        with anyio.fail_after(60):
            await meeting.wait_until_ended()
        assert outcomes(meeting) == [Outcome.LEFT] * 3
    assert nothing_is_left(provider)


async def test_facts_that_are_repeated_and_disordered_make_the_same_meeting() -> None:
    provider = FakeProvider(latency=0.1)
    provider.deliver = lambda batch: [event for event in reversed(batch) for _ in range(3)]
    provider.party(number(4)).rejects(after=2)
    async with client(provider) as calls, calls.connect(*numbers(4)) as meeting:
        assert outcomes(meeting) == [Outcome.JOINED] * 3 + [Outcome.REJECTED]
        members = provider.exchange.members.values()
        assert [member.state for member in members] == [MemberState.JOINED] * 3
    assert nothing_is_left(provider)


async def test_when_the_exchange_does_not_tell_that_it_gave_up_ringing_the_leg_does() -> None:
    provider = FakeProvider()
    provider.party(number(3)).never_answers()
    provider.deliver = lambda batch: [event for event in batch if not isinstance(event, CallEnded)]
    short = timedelta(seconds=10)
    async with client(provider) as calls, calls.connect(*numbers(3), answer_timeout=short) as meeting:
        assert outcomes(meeting)[2] is Outcome.NO_ANSWER
    assert nothing_is_left(provider)


async def test_many_meetings_on_one_client_do_not_mix() -> None:
    provider = FakeProvider(latency=0.1)
    async with client(provider) as calls:

        async def meet(first: int) -> None:
            wanted = [number(index) for index in range(first, first + 4)]
            async with calls.connect(*wanted) as meeting:
                await anyio.sleep(first % 3)
                assert [person.party.address for person in meeting.participants] == wanted
                assert outcomes(meeting) == [Outcome.JOINED] * 4

        async with anyio.create_task_group() as tasks:
            for first in range(0, 200, 4):
                tasks.start_soon(meet, first)
    assert len(provider.exchange.conferences) == 50
    assert nothing_is_left(provider)


async def test_a_paced_meeting_keeps_to_the_limits_of_the_platform() -> None:
    provider = FakeProvider(rates="bandwidth", events="poll", latency=0.02)
    async with client(provider) as calls, calls.connect(*numbers(20)) as meeting:
        assert outcomes(meeting) == [Outcome.JOINED] * 20
    assert "RateLimited" not in {request.outcome for request in provider.requests}
    assert nothing_is_left(provider)
