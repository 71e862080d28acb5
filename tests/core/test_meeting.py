"""What an application does with a meeting that stands: look, command, listen, add, end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from attrs import evolve
from confkit_fake import FakeProvider
from confkit_fake.exchange import RecordingState

from confkit import (
    AsyncClient,
    CallEnded,
    Event,
    MeetingEnded,
    MeetingError,
    MeetingState,
    MemberJoined,
    MemberUpdated,
    Missed,
    Mode,
    Outcome,
    ParticipantState,
    Party,
    Policy,
    PolicyError,
    RecordAction,
    Unsupported,
)
from confkit.client.meeting import Meeting
from confkit.provider import CallState, InvalidRequest, MemberState, hookimpl

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

OURS = "+12018994444"
ANN, BOB, CY, DI = (f"+1919555010{index}" for index in range(1, 5))


@asynccontextmanager
async def met(
    provider: FakeProvider, *parties: str | Party, plugins: tuple[object, ...] = (), **wishes: Any
) -> AsyncGenerator[Meeting, None]:
    policy = wishes.pop("policy", None)
    async with (
        AsyncClient(provider, caller_id=OURS, policy=policy, plugins=plugins) as client,
        client.connect(*(parties or (ANN, BOB, CY)), **wishes) as meeting,
    ):
        yield meeting
    assert provider.exchange.still_up() == ()


class With:
    """Changes the capabilities, as a wrapper."""

    def __init__(self, **changes: Any) -> None:
        self._changes = changes

    @hookimpl(wrapper=True)
    def capabilities(self) -> Generator[None, Any, Any]:
        return evolve((yield), **self._changes)


async def until(meeting: Meeting, true: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not true():
            await meeting.changed()


async def all_is_told() -> None:
    """A reply may overtake the event of the same fact, so who has just joined may be told of a moment later."""
    await anyio.sleep(1)


# --- looking


async def test_participants_are_found_by_address_party_id_and_themselves() -> None:
    gwen = Party("sip:gwen@example.com", name="Gwen")
    async with met(FakeProvider(), ANN, BOB, gwen) as meeting:
        people = meeting.participants
        assert [person.id for person in people] == ["leg-1", "leg-2", "leg-3"]
        assert meeting.participant(BOB) == people[1]
        assert meeting.participant("leg-2") == people[1]
        assert meeting.participant(people[1]) == people[1]
        assert meeting.participant(gwen) == meeting.participant("SIP:gwen@EXAMPLE.com") == people[2]
        with pytest.raises(MeetingError, match=r"\+1919•••0104 is not in this meeting"):
            meeting.participant(DI)
        assert "established" in repr(meeting)


async def test_who_is_invited_again_is_found_as_the_newest() -> None:
    async with met(FakeProvider()) as meeting:
        await meeting.remove(ANN)
        again = await meeting.add(ANN)
        assert meeting.participant(ANN).id == again.id == "leg-4"
        assert meeting.participant("leg-1").outcome is Outcome.LEFT
        await until(meeting, lambda: meeting.participant(ANN).state is ParticipantState.JOINED)


# --- commands


async def test_mute_hold_and_back() -> None:
    provider = FakeProvider(latency=0.1)
    async with met(provider) as meeting:
        ann, bob = (meeting.participant(party).call_id or "" for party in (ANN, BOB))
        await meeting.mute(ANN)
        assert meeting.participant(ANN).mute
        assert not provider.exchange.hears(bob, ann)
        assert provider.exchange.hears(ann, bob)
        await meeting.unmute(ANN)
        assert provider.exchange.hears(bob, ann)
        await meeting.hold(BOB)
        assert meeting.participant(BOB).hold
        assert not provider.exchange.hears(bob, ann)
        await meeting.resume(BOB)
        assert provider.exchange.hears(bob, ann)
        assert (meeting.participant(ANN).mute, meeting.participant(BOB).hold) == (False, False)
        await meeting.mute_all()
        assert not provider.exchange.hears(bob, ann)
        await meeting.mute_all(False)
        assert provider.exchange.hears(bob, ann)


async def test_play_say_and_stop_to_all_and_to_one() -> None:
    provider = FakeProvider()
    async with met(provider) as meeting:
        await meeting.say("Welcome")
        await meeting.play("https://example.com/music.wav", to=BOB, loop=True)
        assert meeting.conference is not None
        playing = {(each.target.id, each.text) for each in provider.exchange.playing}
        assert playing == {(meeting.conference.id, "Welcome"), (meeting.participant(BOB).member_id, None)}
        await meeting.stop_playing(to=BOB)
        await meeting.stop_playing()
        await meeting.stop_playing()
        assert list(provider.exchange.playing) == []


async def test_record_all_and_one() -> None:
    provider = FakeProvider()
    async with met(provider) as meeting:
        await meeting.record()
        await meeting.record(of=ANN)
        await meeting.record(RecordAction.PAUSE)
        await meeting.record(RecordAction.STOP, of=ANN)
        states = [each.state for each in provider.exchange.recordings.values()]
        assert states == [RecordingState.PAUSED, RecordingState.COMPLETE]


async def test_digits_are_sent_to_one() -> None:
    provider = FakeProvider()
    async with met(provider) as meeting:
        await meeting.send_digits(ANN, "12#")
        assert provider.exchange.calls[meeting.participant(ANN).call_id or ""].digits_sent == ["12#"]


async def test_who_is_removed_is_hung_up_and_may_be_removed_again() -> None:
    provider = FakeProvider()
    async with met(provider) as meeting:
        await meeting.remove(ANN)
        assert provider.exchange.calls[meeting.participant(ANN).call_id or ""].state is CallState.ENDED
        await meeting.remove(ANN)
        assert meeting.participant(ANN).outcome is Outcome.LEFT
        assert meeting.state is MeetingState.ESTABLISHED


async def test_who_is_removed_from_two_sides_at_once_or_while_hanging_up_is_just_gone() -> None:
    provider = FakeProvider(latency=0.2)
    async with met(provider) as meeting:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(meeting.remove, ANN)
            provider.exchange.hang_up(meeting.participant(BOB).call_id or "")
            tasks.start_soon(meeting.remove, BOB)
        assert [person.outcome for person in meeting.participants] == [Outcome.LEFT, Outcome.LEFT, Outcome.JOINED]


async def test_who_still_rings_can_be_removed() -> None:
    provider = FakeProvider()
    provider.party(DI).never_answers()
    async with met(provider) as meeting:
        await meeting.add(DI)
        await until(meeting, lambda: meeting.participant(DI).state is ParticipantState.RINGING)
        await meeting.remove(DI)
        assert meeting.participant(DI).outcome is Outcome.CANCELLED


async def test_a_party_that_is_transferred_leaves_the_meeting() -> None:
    provider = FakeProvider()
    async with met(provider) as meeting:
        await meeting.transfer(ANN, DI)
        assert meeting.participant(ANN).outcome is Outcome.LEFT
        assert len(provider.exchange.rings[DI]) == 1
        assert provider.exchange.calls[meeting.participant(ANN).call_id or ""].state is CallState.ANSWERED
        with pytest.raises(PolicyError):
            await meeting.transfer(BOB, "911")
        provider.exchange.hang_up(provider.exchange.rings[DI][0])


async def test_what_cannot_be_done_is_refused_before_the_wire() -> None:
    provider = FakeProvider()
    less = With(
        play=frozenset({"conference", "text"}),
        member=frozenset({"mute"}),
        record=frozenset({"conference"}),
        max_text=20,
        voices={"en_US": frozenset({"Kate"})},
    )
    async with met(provider, plugins=(less,)) as meeting:
        before = len(provider.requests)
        refusals: list[tuple[type[Exception], str, Callable[[], Awaitable[object]]]] = [
            (Unsupported, "play: url", lambda: meeting.play("https://example.com/a.wav")),
            (Unsupported, "play: member", lambda: meeting.say("Hi", to=ANN)),
            (Unsupported, "member: hold", lambda: meeting.hold(ANN)),
            (Unsupported, "record: call", lambda: meeting.record(of=ANN)),
            (Unsupported, "record: pause", lambda: meeting.record(RecordAction.PAUSE)),
            (InvalidRequest, "21 characters", lambda: meeting.say("a" * 21)),
            (InvalidRequest, "unknown voice", lambda: meeting.say("Hi", voice="Hal")),
            (InvalidRequest, "unknown locale", lambda: meeting.say("Hi", locale="xx")),
            (MeetingError, "not in this meeting", lambda: meeting.mute(DI)),
            (PolicyError, "in the meeting already", lambda: meeting.add(ANN)),
            (PolicyError, "no country code", lambda: meeting.add("5550101")),
        ]
        for kind, words, refused in refusals:
            with pytest.raises(kind, match=words):
                await refused()
        assert len(provider.requests) == before
        await meeting.say("Hi", voice="kate")


async def test_a_refusal_of_the_provider_comes_back_as_the_error_that_it_was() -> None:
    provider = FakeProvider()
    async with met(provider) as meeting:
        with pytest.raises(Exception, match="not recording") as raised:
            await meeting.record(RecordAction.STOP)
        assert type(raised.value).__name__ == "Conflict"
        assert getattr(raised.value, "code", "") == "not_recording"
        assert str(raised.value).count("fake record") == 1
        assert meeting.state is MeetingState.ESTABLISHED


async def test_commands_to_those_who_left_and_to_a_meeting_that_is_over() -> None:
    provider = FakeProvider()
    async with met(provider) as meeting:
        await meeting.remove(ANN)
        for refused in (meeting.mute(ANN), meeting.say("Hi", to=ANN), meeting.send_digits(ANN, "1")):
            with pytest.raises(MeetingError, match=r"not in the meeting|left"):
                await refused
        await meeting.end()
        await meeting.remove(BOB)
        for over in (meeting.mute(BOB), meeting.say("Hi"), meeting.add(DI), meeting.mute_all()):
            with pytest.raises(MeetingEnded):
                await over


async def test_commands_before_the_meeting_is_entered() -> None:
    async with AsyncClient(FakeProvider(), caller_id=OURS) as client:
        meeting = client.connect(ANN, BOB, CY)
        assert (meeting.state, meeting.mode, meeting.participants) == (MeetingState.PLANNED, None, ())
        with pytest.raises(MeetingError, match="enter the meeting first"):
            await meeting.say("Hi")
        await meeting.end()  # there is nothing to end


async def test_commands_while_the_meeting_is_being_undone_are_answered() -> None:
    provider = FakeProvider(latency=1)
    async with met(provider) as meeting:
        errors: list[Exception] = []

        async def late() -> None:
            await anyio.sleep(0.5)
            for command in (meeting.say("Hi"), meeting.add(DI), meeting.mute(ANN)):
                try:
                    await command
                except MeetingError as error:
                    errors.append(error)

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(late)
                await meeting.end()
        assert len(errors) == 3


# --- adding


async def test_one_more_is_on_its_way_when_add_returns() -> None:
    provider = FakeProvider(answer_after=3)
    async with met(provider) as meeting:
        di = await meeting.add(Party(DI, name="Di"))
        assert (di.id, di.party.name, di.outcome) == ("leg-4", "Di", None)
        await until(meeting, lambda: meeting.participant(DI).state is ParticipantState.JOINED)


@pytest.mark.parametrize("maximum", [3, 5, 20])
async def test_many_adds_at_once_never_exceed_the_maximum(maximum: int) -> None:
    provider = FakeProvider(latency=0.1, max_members=maximum)
    async with met(provider) as meeting:
        refused: list[PolicyError] = []

        async def add(index: int) -> None:
            try:
                await meeting.add(f"+1919555{index:04d}")
            except PolicyError as error:
                refused.append(error)

        async with anyio.create_task_group() as tasks:
            for index in range(1000, 1050):
                tasks.start_soon(add, index)
        assert len(meeting.participants) == maximum
        assert len(refused) == 50 - (maximum - 3)
        assert {str(error) for error in refused} == {f"the meeting is full: it holds {maximum} parties"}
        await until(meeting, lambda: all(p.state is ParticipantState.JOINED for p in meeting.participants))
        assert len(provider.exchange.rings) == maximum


async def test_a_place_that_is_given_up_can_be_taken() -> None:
    provider = FakeProvider()
    async with met(provider, policy=Policy(maximum=3)) as meeting:
        with pytest.raises(PolicyError):
            await meeting.add(DI)
        await meeting.remove(ANN)
        await meeting.add(DI)
        await until(meeting, lambda: meeting.participant(DI).state is ParticipantState.JOINED)


@pytest.mark.parametrize("bridge", ["first", "after"])
async def test_one_who_is_held_ready_is_joined_by_a_second(bridge: str) -> None:
    provider = FakeProvider(bridge=bridge, answer_after=1)
    async with met(provider, ANN) as meeting:
        await meeting.add(BOB)
        await until(meeting, lambda: all(p.state is ParticipantState.JOINED for p in meeting.participants))
        ann, bob = (person.call_id or "" for person in meeting.participants)
        assert meeting.mode is Mode.BRIDGE
        assert provider.exchange.hears(ann, bob)


@pytest.mark.parametrize("shape", ["explicit", "from_call", "on_join", "fused"])
@pytest.mark.parametrize("bridge", ["first", "after"])
async def test_a_bridge_grows_into_a_conference(bridge: str, shape: str) -> None:
    provider = FakeProvider(bridge=bridge, shape=shape, latency=0.1)
    async with met(provider, ANN, BOB) as meeting:
        assert meeting.bridge is not None
        await meeting.add(CY)
        await meeting.add(DI)
        await until(
            meeting,
            lambda: (
                [each.state for each in provider.exchange.members.values() if each.state is MemberState.JOINED]
                == [MemberState.JOINED] * 4
            ),
        )
        assert meeting.mode is Mode.CONFERENCE
        await until(meeting, lambda: all(person.member_id for person in meeting.participants))
        ids = [person.call_id or "" for person in meeting.participants]
        assert all(provider.exchange.hears(one, other) for one in ids for other in ids if one != other)
        assert len(provider.exchange.conferences) == 1
        await meeting.mute(ANN)
        await meeting.say("Welcome, all of you")
    assert all(len(calls) == 1 for calls in provider.exchange.rings.values())


async def test_a_bridge_that_cannot_grow_says_how_to_plan_for_it() -> None:
    provider = FakeProvider()
    async with met(provider, ANN, BOB, plugins=(With(bridge_to_conference=False),)) as meeting:
        with pytest.raises(PolicyError, match="expandable=True"):
            await meeting.add(CY)
    async with met(provider, ANN, BOB, plugins=(With(bridge_to_conference=False),), expandable=True) as meeting:
        assert meeting.mode is Mode.CONFERENCE
        await meeting.add(CY)
        await until(meeting, lambda: meeting.participant(CY).state is ParticipantState.JOINED)


async def test_growing_that_fails_leaves_the_bridge_as_it_was() -> None:
    provider = FakeProvider()
    async with met(provider, ANN, BOB) as meeting:
        provider.fail("create_conference", "refuse", times=5)
        with pytest.raises(Exception, match="refused"):
            await meeting.add(CY)
        ann, bob = (person.call_id or "" for person in meeting.participants)
        assert provider.exchange.hears(ann, bob)
        assert meeting.mode is Mode.BRIDGE
        await meeting.add(CY)


# --- listening


async def test_events_tell_what_happens_from_now_on_until_the_end() -> None:
    provider = FakeProvider()
    provider.party(CY).hangs_up(after=7)
    seen: list[Event] = []
    async with met(provider) as meeting:
        await all_is_told()
        first, second = meeting.events(), meeting.events()
        cy = meeting.participant(CY).call_id
        async for event in first:
            seen.append(event)
            if isinstance(event, CallEnded) and event.call_id == cy:
                await first.aclose()
        await meeting.end()
        rest = [event async for event in second]
    assert isinstance(seen[-1], CallEnded)
    assert rest[: len(seen)] == seen
    assert not any(isinstance(event, MemberJoined) for event in seen)
    assert [event async for event in meeting.events()] == []


async def test_one_fact_from_two_sources_is_told_once() -> None:
    provider = FakeProvider(events="poll")
    provider.party(ANN).hangs_up(after=5)
    async with met(provider) as meeting:
        events = meeting.events()
        await until(meeting, lambda: meeting.participant(ANN).outcome is Outcome.LEFT)
        await anyio.sleep(60)
        await meeting.end()
        ended = [event.call_id async for event in events if isinstance(event, CallEnded)]
    assert len(ended) == len(set(ended))


async def test_a_slow_consumer_is_told_how_many_it_missed_and_holds_nobody_up() -> None:
    provider = FakeProvider()
    async with met(provider) as meeting:
        await all_is_told()
        events = meeting.events()
        member = meeting.participant(ANN).member_id or ""
        for change in range(1200):
            provider.exchange.update_member(member, mute=change % 2 == 0)
        await anyio.sleep(0.01)
        with anyio.fail_after(5):
            got = [await events.__anext__() for _ in range(1000)]
            provider.exchange.update_member(member, mute=True)
            missed = await events.__anext__()
        assert isinstance(missed, Missed)
        assert missed.count == 200
        assert {type(event) for event in got} == {MemberUpdated}
        await events.aclose()
        assert meeting.state is MeetingState.ESTABLISHED
