"""Where the platform echoes our key, what a request has made finds its leg, whatever became of the reply."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from confkit_fake import FakeProvider

from confkit import AsyncClient, CallAnswered, CallEnded, ConferenceStarted, Event, MeetingError, Outcome, Participant
from confkit.ingest.router import EventRouter
from confkit.provider import CallState, EndCause
from confkit.steps.clock import Clock
from confkit.workflows.flow import FlowId, op_key

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

CALLER_ID = "+12018994444"
ANN, BOB, CARA = "+19195550101", "+19195550102", "+19195550103"
STRANGER = "+19195550150"
SHAPES = ("explicit", "on_join", "from_call", "fused")


def client(fake: FakeProvider) -> AsyncClient:
    return AsyncClient(fake, caller_id=CALLER_ID)


def platform(**settings: Any) -> FakeProvider:
    """Nothing can be looked up there; our keys come back with the events."""
    return FakeProvider(finds=False, echoes=True, **settings)


def rings(fake: FakeProvider) -> list[int]:
    return [len(fake.exchange.rings.get(to, ())) for to in (ANN, BOB, CARA)]


@pytest.mark.parametrize("kind", ["drop-reply", "error-after"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_lost_dial_rings_once_and_is_adopted(shape: str, kind: str) -> None:
    fake = platform(shape=shape)
    fake.fail("create_call", kind, after=1)
    async with client(fake) as opened, opened.connect(ANN, BOB, CARA) as meeting:
        assert {person.outcome for person in meeting.participants} == {Outcome.JOINED}
    assert rings(fake) == [1, 1, 1]
    assert not fake.exchange.still_up()


@pytest.mark.parametrize("shape", SHAPES)
async def test_without_the_key_it_is_left_behind_and_named(shape: str) -> None:
    fake = FakeProvider(finds=False, shape=shape)
    fake.fail("create_call", "drop-reply", after=1)
    with pytest.raises(MeetingError, match="may have been made"):
        async with client(fake) as opened, opened.connect(ANN, BOB, CARA):
            pass
    assert rings(fake) == [1, 1, 1]


async def test_a_lost_dial_that_shows_itself_late_is_hung_up() -> None:
    fake = platform()
    fake.fail("create_call", "late", after=1, seconds=60)
    async with client(fake) as opened, opened.connect(ANN, BOB, CARA) as meeting:
        outcomes = [person.outcome for person in meeting.participants]
        assert sorted(str(outcome) for outcome in outcomes) == ["Outcome.FAILED", "Outcome.JOINED", "Outcome.JOINED"]
        await anyio.sleep(120)
        assert rings(fake) == [1, 1, 1]
        assert sum(call.state is not CallState.ENDED for call in fake.exchange.calls.values()) == 2
    assert not fake.exchange.still_up()


async def test_a_key_proves_nothing() -> None:
    """Whoever knows it can send it with any call: the provider says whom that was made to."""
    fake = platform()
    room = fake.exchange.create_conference(caller_id=CALLER_ID)
    stranger = fake.exchange.dial(STRANGER, caller_id=CALLER_ID, conference_id=room.id)
    fake.fail("create_call", "lost", after=1)
    forged: list[Event] = []

    def deliver(events: list[Event]) -> list[Event]:
        lost = [each for each in fake.requests if each.operation == "create_call" and not each.executed]
        if not lost or forged:
            return events
        for kind, number in ((CallAnswered, 1), (CallEnded, 2)):
            about: dict[str, Any] = {"call_id": stranger.id, "op": lost[0].op_key}
            forged.append(kind(provider="fake", id=f"forged-{number}", **about))
        return [*events, *forged]

    fake.deliver = deliver
    seen: list[Participant] = []

    async def meet() -> None:
        async with client(fake) as opened, opened.connect(ANN, BOB, CARA) as meeting:
            await anyio.sleep(30)
            seen.extend(meeting.participants)

    with pytest.raises(MeetingError, match="may have been made"):
        await meet()
    assert len(forged) == 2
    assert [person.call_id is None for person in seen] == [person.outcome is Outcome.FAILED for person in seen]
    assert {person.outcome for person in seen} == {Outcome.JOINED, Outcome.FAILED}
    assert stranger.id in fake.exchange.still_up()


# --- the router


def router() -> tuple[EventRouter, list[tuple[str, str]]]:
    delivered: list[tuple[str, str]] = []
    return EventRouter(Clock(), lambda flow, arrival: delivered.append((flow, arrival.event.id))), delivered


def event(kind: type[Event], id_: str, **fields: Any) -> Event:
    return kind(provider="p", id=id_, **fields)


KEY = op_key("m/leg-1", "create_call", 1)
LEG = FlowId("m/leg-1")


async def test_a_call_with_our_key_waits_for_the_reply() -> None:
    door, delivered = router()
    door.bind("op", KEY, LEG)
    door.accept(event(CallAnswered, "1", call_id="c-1", op=KEY))
    assert delivered == []
    assert door.reported_at(LEG) == ["c-1"]
    door.bind("call", "c-1", LEG)
    assert delivered == [("m/leg-1", "1")]


async def test_a_call_with_the_key_of_a_lost_request_is_the_legs_to_prove() -> None:
    door, delivered = router()
    door.bind("op", KEY, LEG)
    door.accept(event(CallAnswered, "1", call_id="c-1", op=KEY))
    door.expect(LEG)
    door.accept(event(CallEnded, "2", call_id="c-1", cause=EndCause.HANGUP, op=KEY))
    door.accept(event(CallEnded, "3", call_id="c-2", cause=EndCause.HANGUP, op="another"))
    assert delivered == [("m/leg-1", "1"), ("m/leg-1", "2")]


@pytest.mark.parametrize(("sent_to", "found"), [("m", ["c-1"]), ("m/leg-2", ["c-1"]), ("n/leg-1", []), (None, ["c-1"])])
async def test_a_key_counts_at_the_addresses_of_its_own_meeting(sent_to: str | None, found: list[str]) -> None:
    door, _ = router()
    door.bind("op", KEY, LEG)
    door.accept(event(CallAnswered, "1", call_id="c-1", op=KEY, flow=sent_to))
    assert door.reported_at(LEG) == found


async def test_a_conference_with_the_key_of_a_lost_request_is_told_to_the_meeting() -> None:
    door, delivered = router()
    door.bind("op", "k-room", FlowId("m"))
    door.bind("op", KEY, LEG)
    door.accept(event(ConferenceStarted, "1", conference_id="conf-1", op="k-room"))
    door.accept(event(ConferenceStarted, "2", conference_id="conf-2", op=KEY))
    assert delivered == [("m", "1")]
    door.bind("conference", "conf-2", FlowId("m"))
    assert delivered == [("m", "1"), ("m", "2")]


async def test_an_event_with_the_key_of_one_meeting_about_a_call_of_another_is_dropped() -> None:
    door, delivered = router()
    door.bind("op", KEY, LEG)
    door.bind("call", "c-9", FlowId("n/leg-1"))
    door.accept(event(CallEnded, "1", call_id="c-9", cause=EndCause.HANGUP, op=KEY))
    assert delivered == []


async def test_keys_of_a_meeting_that_is_over_are_forgotten() -> None:
    door, _ = router()
    door.bind("op", KEY, LEG)
    door.release("m")
    door.accept(event(CallAnswered, "1", call_id="c-1", op=KEY))
    assert door.reported_at(LEG) == []
