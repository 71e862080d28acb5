"""The router of events: whichever way a fact comes, it reaches its flow once, even before the flow is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from attrs import evolve

from confkit import (
    Call,
    CallAnswered,
    CallEnded,
    CallRinging,
    Conference,
    ConferenceEnded,
    ConferenceStarted,
    Event,
    MemberJoined,
    MemberLeft,
)
from confkit.ingest.parking import PARKING_TIME, Arrival
from confkit.ingest.router import EventRouter
from confkit.ingest.snapshots import events_in
from confkit.provider import CallState, ConferenceState, EndCause, Member, MemberState, Snapshot
from confkit.steps.clock import Clock
from confkit.workflows.flow import FlowId

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]


def router() -> tuple[EventRouter, list[tuple[str, str]]]:
    delivered: list[tuple[str, str]] = []
    return EventRouter(Clock(), lambda flow, arrival: delivered.append((flow, arrival.event.id))), delivered


def event(kind: type[Event], id_: str, **fields: Any) -> Event:
    return kind(provider="p", id=id_, **fields)


async def test_an_event_goes_to_the_flow_that_its_call_belongs_to() -> None:
    door, delivered = router()
    door.bind("call", "c-1", FlowId("m/leg-1"))
    door.bind("conference", "conf-1", FlowId("m"))
    door.bind("bridge", "b-1", FlowId("n"))
    door.accept(event(CallAnswered, "1", call_id="c-1"))
    door.accept(event(MemberJoined, "2", call_id="c-1", member_id="x", conference_id="conf-1"))
    door.accept(event(ConferenceEnded, "3", conference_id="conf-1"))
    assert delivered == [("m/leg-1", "1"), ("m/leg-1", "2"), ("m", "3")]


async def test_a_duplicate_is_dropped() -> None:
    door, delivered = router()
    door.bind("call", "c-1", FlowId("m/leg-1"))
    assert door.accept(event(CallAnswered, "1", call_id="c-1"))
    assert not door.accept(event(CallAnswered, "1", call_id="c-1"))
    assert delivered == [("m/leg-1", "1")]


async def test_an_event_that_comes_before_the_reply_is_parked_and_delivered_once() -> None:
    door, delivered = router()
    door.accept(event(CallRinging, "1", call_id="c-1"))
    door.accept(event(CallAnswered, "2", call_id="c-1"))
    door.accept(event(CallAnswered, "3", call_id="c-2"))
    assert delivered == []
    assert not door.accept(event(CallAnswered, "2", call_id="c-1"))
    door.bind("call", "c-1", FlowId("m/leg-1"))
    door.bind("call", "c-1", FlowId("m/leg-1"))
    assert delivered == [("m/leg-1", "1"), ("m/leg-1", "2")]
    door.bind("call", "c-2", FlowId("m/leg-2"))
    assert delivered[2:] == [("m/leg-2", "3")]


async def test_an_event_about_a_call_waits_for_the_call_even_when_its_conference_is_known() -> None:
    door, delivered = router()
    door.bind("conference", "conf-1", FlowId("m"))
    door.accept(event(MemberJoined, "1", call_id="c-1", member_id="x", conference_id="conf-1"))
    assert delivered == []
    door.bind("call", "c-1", FlowId("m/leg-1"))
    assert delivered == [("m/leg-1", "1")]


async def test_parked_events_do_not_wait_for_ever() -> None:
    door, delivered = router()
    door.accept(event(CallAnswered, "1", call_id="c-1"))
    await anyio.sleep(PARKING_TIME.total_seconds() + 1)
    door.bind("call", "c-1", FlowId("m/leg-1"))
    assert delivered == []


async def test_the_address_of_an_event_stands_in_for_a_conference_and_never_for_a_call() -> None:
    # A request that was lost and sent again may have made two calls with one address.
    door, delivered = router()
    door.accept(event(CallAnswered, "1", call_id="c-1", flow="m/leg-1"))
    door.accept(event(ConferenceStarted, "2", conference_id="conf-1", flow="m"))
    door.bind("call", "c-1", FlowId("m/leg-9"))
    door.accept(event(CallAnswered, "3", call_id="c-1", flow="m/leg-1"))
    assert delivered == [("m", "2"), ("m/leg-9", "1"), ("m/leg-9", "3")]


async def test_an_event_addressed_to_one_meeting_cannot_reach_into_another() -> None:
    door, delivered = router()
    door.bind("call", "c-1", FlowId("m-1/leg-1"))
    door.accept(event(CallEnded, "1", call_id="c-1", flow="m-2/leg-1"))
    door.accept(event(CallEnded, "2", call_id="c-2", flow="m-2/leg-1"))
    door.bind("call", "c-2", FlowId("m-1/leg-2"))
    assert delivered == []


async def test_an_event_whose_delivery_failed_counts_when_it_comes_again() -> None:
    failures = [ValueError("the first time")]
    delivered: list[str] = []

    def deliver(_flow: str, arrival: Arrival) -> None:
        if failures:
            raise failures.pop()
        delivered.append(arrival.event.id)

    door = EventRouter(Clock(), deliver)
    door.bind("call", "c-1", FlowId("m/leg-1"))
    with pytest.raises(ValueError, match="the first time"):
        door.accept(event(CallEnded, "1", call_id="c-1"))
    assert door.accept(event(CallEnded, "1", call_id="c-1"))
    assert not door.accept(event(CallEnded, "1", call_id="c-1"))
    assert delivered == ["1"]


async def test_a_meeting_that_is_over_owns_nothing_and_its_namesakes_keep_theirs() -> None:
    door, delivered = router()
    door.bind("call", "c-1", FlowId("m-1/leg-1"))
    door.bind("conference", "conf-1", FlowId("m-1"))
    door.bind("call", "c-2", FlowId("m-10/leg-1"))
    door.release("m-1")
    door.accept(event(CallEnded, "1", call_id="c-1"))
    door.accept(event(ConferenceEnded, "2", conference_id="conf-1"))
    door.accept(event(CallEnded, "3", call_id="c-2"))
    assert delivered == [("m-10/leg-1", "3")]


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOM = Conference(provider="p", key="k", id="conf-1")
RUNG = Call(provider="p", id="c-1", state=CallState.RINGING)
TALKING = evolve(RUNG, state=CallState.ANSWERED, answered_at=NOON)
OVER = evolve(TALKING, state=CallState.ENDED, cause=EndCause.HANGUP, ended_at=NOON + timedelta(seconds=9))
BUSY = Call(provider="p", id="c-1", state=CallState.ENDED, cause=EndCause.BUSY)
IN = Member(provider="p", id="x", call_id="c-1", conference=ROOM, state=MemberState.JOINED)


@pytest.mark.parametrize(
    ("snapshot", "kinds"),
    [
        (Snapshot(), []),
        (Snapshot(calls=(Call(provider="p", id="c-1"),)), []),
        (Snapshot(calls=(RUNG,)), [CallRinging]),
        (Snapshot(calls=(TALKING,)), [CallAnswered]),
        (Snapshot(calls=(OVER,)), [CallAnswered, CallEnded]),
        (Snapshot(calls=(BUSY,)), [CallEnded]),
        (Snapshot(calls=(TALKING,), members=(IN,)), [CallAnswered, MemberJoined]),
        (Snapshot(members=(evolve(IN, state=MemberState.LEFT),)), [MemberLeft]),
        (Snapshot(members=(evolve(IN, state=MemberState.JOINING),)), []),
        (Snapshot(conference=ROOM), []),
        (Snapshot(conference=evolve(ROOM, state=ConferenceState.ENDED)), [ConferenceEnded]),
    ],
)
async def test_a_snapshot_tells_what_events_would_have_told(snapshot: Snapshot, kinds: list[type[Event]]) -> None:
    assert [type(fact) for fact in events_in(snapshot)] == kinds
    assert [fact.id for fact in events_in(snapshot)] == [fact.id for fact in events_in(snapshot)]


async def test_the_same_state_seen_twice_is_one_fact() -> None:
    door, delivered = router()
    door.bind("call", "c-1", FlowId("m/leg-1"))
    for _ in range(3):
        for fact in events_in(Snapshot(calls=(TALKING,), members=(IN,))):
            door.accept(fact)
    assert len(delivered) == 2
