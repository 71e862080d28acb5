"""What does not belong to a meeting does not move it, and what is not ours is left alone."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from typing import Any

import anyio
import pytest
from attrs import evolve
from confkit_fake import FakeProvider

from confkit import (
    AsyncClient,
    CallAnswered,
    CallEnded,
    ConferenceEnded,
    ConferenceStarted,
    Event,
    Meeting,
    MeetingError,
    MeetingState,
    MemberJoined,
    MemberLeft,
    Outcome,
    Participant,
    Party,
    QuorumNotReached,
    RecordingReady,
)
from confkit.provider import ConferenceState, EndCause, MemberState, hookimpl
from confkit.workflows.flow import op_key

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

CALLER_ID = "+12018994444"
ANN, BOB, CARA = "+19195550101", "+19195550102", "+19195550103"
SHAPES = ("explicit", "on_join", "from_call", "fused")


class Forger:
    """Adds events to those of a fake: what somebody might post to a callback URL that it knows."""

    def __init__(self, fake: FakeProvider) -> None:
        self.waiting: list[Event] = []
        self._numbers = itertools.count()
        self._fake = fake
        fake.deliver = self._deliver

    def _deliver(self, events: list[Event]) -> list[Event]:
        forged, self.waiting = self.waiting, []
        return [*events, *forged]

    async def post(self, kind: type[Event], **fields: Any) -> None:
        self.waiting.append(kind(provider="fake", id=f"forged-{next(self._numbers)}", **fields))
        self._fake.exchange.incoming("+19195550199", CALLER_ID)  # something happens, so the stream has something to say
        await anyio.sleep(0.1)


def client(fake: FakeProvider, *plugins: object) -> AsyncClient:
    return AsyncClient(fake, caller_id=CALLER_ID, plugins=plugins)


def somebody_elses(fake: FakeProvider) -> tuple[str, str, str]:
    """Another application's conference on the same account: its id, its call, its member."""
    room = fake.exchange.create_conference(caller_id=CALLER_ID, notes={"key": "not ours"})
    call = fake.exchange.dial("+19195550150", caller_id=CALLER_ID, conference_id=room.id, notes={"op": "not ours"})
    fake.exchange.advance()
    return room.id, call.id, fake.exchange.add_member(room.id, call.id).id


def is_untouched(fake: FakeProvider, ids: tuple[str, str, str]) -> bool:
    room, call, member = ids
    exchange = fake.exchange
    exchange.advance()
    active = exchange.conferences[room].state is ConferenceState.ACTIVE and exchange.members[member].joined_at
    return bool(active) and exchange.members[member].state is MemberState.JOINED and call in exchange.still_up()


async def test_a_lost_conference_is_ended_when_it_shows_itself_and_its_end_is_not_ours() -> None:
    fake = FakeProvider()
    fake._capabilities = evolve(
        fake.capabilities(), reconcilable=frozenset()
    )  # as Bandwidth v1: conferences have no list
    fake.fail("create_conference", "drop-reply")
    async with client(fake) as opened, opened.connect(ANN, BOB, CARA) as meeting:
        await anyio.sleep(60)
        assert meeting.state is MeetingState.ESTABLISHED
        lost, ours = fake.exchange.conferences.values()
        assert (lost.state, ours.state) == (ConferenceState.ENDED, ConferenceState.ACTIVE)
        assert meeting.conference is not None
        assert meeting.conference.id == ours.id
    assert meeting.left_behind == ()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("told_key", ["none", "wrong", "right"])
async def test_whoever_knows_a_url_of_a_meeting_cannot_end_another_conference(shape: str, told_key: str) -> None:
    fake = FakeProvider(shape=shape)
    others = somebody_elses(fake)
    forger = Forger(fake)
    fake.fail("create_conference", "lost")  # so that there is one to look out for, where the shape has any
    fake._capabilities = evolve(fake.capabilities(), reconcilable=frozenset({"create_call"}))
    async with client(fake) as opened, opened.connect(ANN, BOB, CARA) as meeting:
        key = {"none": None, "wrong": "op-c-0", "right": op_key(meeting.id, "create_conference", 1)}[told_key]
        await forger.post(ConferenceStarted, conference_id=others[0], key=key, flow=meeting.id)
        await anyio.sleep(60)
        assert meeting.conference is not None
        assert meeting.conference.id != others[0]
    assert is_untouched(fake, others)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("conference", ["somebody else's", "unheard of"])
async def test_the_end_of_a_conference_that_is_not_the_meetings_changes_nothing(shape: str, conference: str) -> None:
    fake = FakeProvider(shape=shape)
    others = somebody_elses(fake)
    forger = Forger(fake)
    ended = others[0] if conference == "somebody else's" else "conf-unheard-of"
    async with client(fake) as opened, opened.connect(ANN, BOB, CARA) as meeting:
        seen: list[Event] = []
        events = meeting.events()
        await forger.post(ConferenceEnded, conference_id=ended, flow=meeting.id)
        await anyio.sleep(60)
        assert [person.outcome for person in meeting.participants] == [Outcome.JOINED] * 3
        await meeting.end()
        seen += [event async for event in events]
        assert not [event for event in seen if isinstance(event, ConferenceEnded) and event.conference_id == ended]
    assert is_untouched(fake, others)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", [MemberJoined, MemberLeft])
async def test_a_call_of_ours_that_is_told_to_be_in_another_conference_stays_where_it_is(
    shape: str, kind: type[Event]
) -> None:
    fake = FakeProvider(shape=shape)
    others = somebody_elses(fake)
    forger = Forger(fake)
    async with client(fake) as opened, opened.connect(ANN, BOB, CARA) as meeting:
        ann = meeting.participant(ANN)
        place = {"member_id": others[2], "conference_id": others[0]}
        await forger.post(kind, call_id=ann.call_id, flow=f"{meeting.id}/{ann.id}", **place)
        assert meeting.participant(ANN).outcome is Outcome.JOINED
        await meeting.mute(ANN)
        assert meeting.participant(ANN).member_id == ann.member_id
    assert is_untouched(fake, others)
    assert not fake.exchange.members[others[2]].mute


@pytest.mark.parametrize("shape", ["on_join", "fused"])
async def test_a_party_that_is_told_to_have_joined_another_conference_before_it_answers(shape: str) -> None:
    fake = FakeProvider(shape=shape)
    others = somebody_elses(fake)
    forger = Forger(fake)
    fake.party(ANN).answers(5)
    async with client(fake) as opened, anyio.create_task_group() as tasks:
        meeting = opened.connect(ANN, BOB, CARA)

        async def tell() -> None:
            await anyio.sleep(1)
            place = {"member_id": others[2], "conference_id": others[0]}
            await forger.post(MemberJoined, call_id=meeting.participant(ANN).call_id, **place)

        tasks.start_soon(tell)
        async with meeting:
            assert meeting.participant(ANN).member_id != others[2]
            assert meeting.conference is not None
            assert meeting.conference.id != others[0]
    assert is_untouched(fake, others)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_call_whose_end_was_only_told_is_not_left_up(shape: str, count: int) -> None:
    fake = FakeProvider(shape=shape)
    forger = Forger(fake)
    async with client(fake) as opened, opened.connect(ANN, BOB, CARA, quorum=1) as meeting:
        for address in (ANN, BOB, CARA)[:count]:
            await forger.post(CallEnded, call_id=meeting.participant(address).call_id, cause=EndCause.HANGUP)
        await anyio.sleep(1)
    assert meeting.left_behind == ()
    for other in (call for call in fake.exchange.calls.values() if call.to == CALLER_ID):
        fake.exchange.hang_up(other.id)
    assert fake.exchange.still_up() == ()


async def test_a_call_whose_end_was_only_told_and_that_cannot_be_hung_up_is_named() -> None:
    fake = FakeProvider()
    forger = Forger(fake)
    fake.fail("hang_up", "forbidden", times=9)
    async with client(fake) as opened:
        meeting = opened.connect(Party(ANN, name="Ann"), BOB, quorum=1, expandable=True)
        await meeting.__aenter__()
        await forger.post(CallEnded, call_id=meeting.participant(ANN).call_id, cause=EndCause.HANGUP)
        for call in [call for call in fake.exchange.calls.values() if call.to == BOB]:
            fake.exchange.hang_up(call.id)
        await meeting.wait_until_ended()
        assert any("Ann was told to have ended, and may still be up" in each for each in meeting.left_behind)


async def test_who_was_told_to_have_left_and_has_not_takes_up_its_place_until_it_is_hung_up() -> None:
    fake = FakeProvider(max_members=3)
    forger = Forger(fake)
    async with client(fake) as opened, opened.connect(ANN, BOB, CARA) as meeting:
        lied_about = meeting.participant(ANN).call_id or ""
        await forger.post(CallEnded, call_id=lied_about, cause=EndCause.HANGUP)
        await meeting.add("+19195550104")
        assert lied_about not in fake.exchange.still_up()


async def test_an_end_that_was_asked_for_is_not_asked_for_again() -> None:
    fake = FakeProvider(events="poll")
    fake.party(ANN).hangs_up(3)
    async with client(fake) as opened, opened.connect(ANN, BOB, CARA) as meeting:
        while meeting.participant(ANN).outcome is not Outcome.LEFT:
            await meeting.changed()
    ann = fake.exchange.rings[ANN][0]
    hung_up = [record.call for record in meeting.trace.records if record.operation == "hang_up"]
    assert ann not in hung_up


def addressed(fake: FakeProvider, meetings: list[Meeting]) -> None:
    """Let events of calls carry the address of the leg that dialled them, as callback URLs do."""

    def deliver(events: list[Event]) -> list[Event]:
        told = []
        for event in events:
            call = fake.exchange.calls.get(getattr(event, "call_id", None) or "")
            legs = [f"{meeting.id}/{person.id}" for meeting in meetings for person in meeting.participants]
            flow = next((leg for leg in legs if call and call.notes.get("op") == op_key(leg, "create_call", 1)), None)
            told.append(evolve(event, flow=flow))
        return told

    fake.deliver = deliver


@pytest.mark.parametrize("answered", [True, False])
async def test_a_lost_call_that_reports_itself_at_its_legs_address_is_taken_up(answered: bool) -> None:
    # A platform that lists only the living cannot be asked about somebody who was busy: only the URL tells.
    fake = FakeProvider(lists_ended=False)
    if not answered:
        for address in (ANN, BOB, CARA):
            fake.party(address).busy()
    fake.fail("create_call", "error-after", times=3)
    meetings: list[Meeting] = []
    addressed(fake, meetings)
    async with client(fake) as opened:
        meetings.append(opened.connect(ANN, BOB, CARA))
        with nullcontext() if answered else pytest.raises(QuorumNotReached):
            await meetings[0].__aenter__()
        told = {person.outcome for person in meetings[0].participants}
        # The last of three who are busy may be called off, when the other two have made the quorum unreachable.
        assert told == {Outcome.JOINED} if answered else told <= {Outcome.BUSY, Outcome.CANCELLED}
    assert {address: len(calls) for address, calls in fake.exchange.rings.items()} == {ANN: 1, BOB: 1, CARA: 1}
    assert meetings[0].left_behind == ()
    assert fake.exchange.still_up() == ()


def lost(meeting: Meeting) -> Participant:
    """Whose dial was lost: legs are dialled in any order."""
    (person,) = [person for person in meeting.participants if person.outcome is Outcome.FAILED]
    return person


@pytest.mark.parametrize("told", ["somebody else's call", "a call of nobody"])
async def test_a_call_that_claims_to_be_the_lost_one_must_be_to_its_party(told: str) -> None:
    fake = FakeProvider(lists_ended=False)
    others = somebody_elses(fake)
    forger = Forger(fake)
    fake.fail("create_call", "lost")
    async with client(fake) as opened:
        meeting = opened.connect(ANN, BOB, CARA)
        await meeting.__aenter__()
        call = others[1] if told == "somebody else's call" else "c-of-nobody"
        await forger.post(CallAnswered, call_id=call, flow=f"{meeting.id}/{lost(meeting).id}")
        await anyio.sleep(30)
        assert lost(meeting).call_id is None  # nor does the roster believe it
        with pytest.raises(MeetingError, match="may have been made"):
            await meeting.end()
    assert is_untouched(fake, others)


async def test_a_lost_call_that_reports_itself_after_its_leg_has_failed_is_hung_up() -> None:
    fake = FakeProvider(lists_ended=False)
    forger = Forger(fake)
    fake.fail("create_call", "late", seconds=20)
    async with client(fake) as opened, opened.connect(ANN, BOB, CARA) as meeting:
        await anyio.sleep(25)
        fake.exchange.advance()
        (late,) = fake.exchange.rings[lost(meeting).party.address]
        await forger.post(CallAnswered, call_id=late, flow=f"{meeting.id}/{lost(meeting).id}")
        await anyio.sleep(1)
        assert late not in fake.exchange.still_up()
    assert meeting.left_behind == ()


class Observer:
    def __init__(self) -> None:
        self.told: list[tuple[str, Event]] = []

    @hookimpl
    def meeting_event(self, meeting: str, event: Event) -> None:
        self.told.append((meeting, event))


@pytest.mark.parametrize("of", ["conference", "bridge", "call"])
async def test_a_recording_that_is_ready_after_its_meeting_is_told_to_observers_once(of: str) -> None:
    fake = FakeProvider()
    forger = Forger(fake)
    observer = Observer()
    people = (ANN, BOB) if of == "bridge" else (ANN, BOB, CARA)
    async with client(fake, observer) as opened:
        async with opened.connect(*people) as meeting:
            ids = {
                "conference": {"conference_id": meeting.conference.id if meeting.conference else None},
                "bridge": {"bridge_id": meeting.bridge.id if meeting.bridge else None},
                "call": {"call_id": meeting.participant(ANN).call_id},
            }[of]
        await forger.post(RecordingReady, recording_id="r-1", **ids)
        await forger.post(RecordingReady, recording_id="r-1", **ids)
        await forger.post(CallEnded, call_id=ids.get("call_id") or "c-1")
        await anyio.sleep(1)
        told = [(meeting_id, event) for meeting_id, event in observer.told if isinstance(event, RecordingReady)]
        assert [(meeting_id, event.recording_id) for meeting_id, event in told] == [(meeting.id, "r-1")]
        await anyio.sleep(2 * 60 * 60)
        await forger.post(RecordingReady, recording_id="r-2", **ids)
        assert len([event for _, event in observer.told if isinstance(event, RecordingReady)]) == 1
