"""What the router of events keeps, for how long and how much of it; whose an event is; and what a snapshot tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
import structlog

from confkit import (
    Bridge,
    Call,
    CallAnswered,
    CallEnded,
    CallRinging,
    Conference,
    ConferenceEnded,
    ConferenceStarted,
    Event,
    IncomingCall,
    MemberJoined,
    MemberLeft,
    RecordingFailed,
    RecordingReady,
)
from confkit.ingest import parking
from confkit.ingest import router as module
from confkit.ingest.parking import PARKING_TIME, Arrival
from confkit.ingest.router import INCOMING, LATE, EventRouter
from confkit.ingest.snapshots import events_in
from confkit.models.events import BridgeEnded, DigitsReceived, Unknown
from confkit.provider import CallState, ConferenceState, EndCause, Member, MemberState, Snapshot
from confkit.steps.clock import Clock
from confkit.workflows.flow import FlowId

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Door:
    """A router, and what it has handed over."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.arrivals: list[tuple[str, Arrival]] = []
        self.stumbles: set[str] = set()
        self.router = EventRouter(self.clock, self._deliver)

    def _deliver(self, flow: str, arrival: Arrival) -> None:
        if arrival.event.id in self.stumbles:
            raise RuntimeError("the disk is full")
        self.arrivals.append((flow, arrival))

    @property
    def delivered(self) -> list[tuple[str, str]]:
        return [(flow, arrival.event.id) for flow, arrival in self.arrivals]

    def answered(self, call: str, id_: str = "", **about: Any) -> bool:
        """A call is said to have been answered."""
        return self.router.accept(event(CallAnswered, id_ or call, call_id=call, **about))

    def waiting(self, *calls: str) -> list[str]:
        """Those of the calls whose events wait; they do so no more."""
        before = len(self.arrivals)
        for call in calls:
            self.router.bind("call", call, FlowId("w/leg-1"))
        return [arrival.event.id for _, arrival in self.arrivals[before:]]


def event(kind: type[Event], id_: str, **about: Any) -> Event:
    return kind(provider="p", id=id_, **about)


# --- arrivals


async def test_an_arrival_says_when_it_came_in_which_order_and_whether_it_was_asked_for() -> None:
    door = Door()
    door.router.bind("call", "c-1", FlowId("m/leg-1"))
    door.router.bind("call", "c-2", FlowId("m/leg-2"))
    await anyio.sleep(3)
    door.answered("c-1")
    door.router.accept(event(CallAnswered, "2", call_id="c-2"), at=NOON, asked=True)
    door.router.accept_logged(event(CallAnswered, "3", call_id="c-2"), at=NOON, asked=True)
    door.router.accept_logged(event(CallAnswered, "4", call_id="c-2"))
    now = door.clock.now()
    assert door.router.arrival(event(CallAnswered, "5", call_id="c-1")) == Arrival(
        event=event(CallAnswered, "5", call_id="c-1"), at=now, number=5
    )
    assert [(each.at, each.number, each.asked) for _, each in door.arrivals] == [
        (now, 1, False),
        (NOON, 2, True),
        (NOON, 3, True),
        (now, 4, False),
    ]


async def test_a_duplicate_is_known_among_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMORY", 3)
    door = Door()
    for call in ("1", "2", "3"):
        assert door.answered(call)
    assert not any(door.answered(call) for call in ("1", "2", "3"))
    assert door.answered("4")
    assert not door.answered("2")
    assert door.answered("1")  # the oldest is forgotten


async def test_what_is_taken_quietly_is_taken_once() -> None:
    door = Door()
    door.router.bind("call", "c-1", FlowId("m/leg-1"))
    for id_, call in (("1", "c-1"), ("2", "c-2")):
        assert door.router.accept_logged(event(CallAnswered, id_, call_id=call))
        assert not door.router.accept_logged(event(CallAnswered, id_, call_id=call))
        assert not door.router.accept(event(CallAnswered, id_, call_id=call))
    assert door.delivered == [("m/leg-1", "1")]
    assert door.waiting("c-2") == ["2"]


async def test_a_delivery_that_fails_quietly_is_told_in_the_log_and_holds_up_nothing() -> None:
    door = Door()
    door.stumbles = {"1", "3"}
    with structlog.testing.capture_logs() as log:
        door.router.bind("call", "c-1", FlowId("m/leg-1"))
        assert door.router.accept_logged(event(CallAnswered, "1", call_id="c-1"))
        door.answered("c-2", "3")
        door.answered("c-2", "4")
        door.router.bind("call", "c-2", FlowId("m/leg-2"))
    assert door.delivered == [("m/leg-2", "4")]
    assert [line["event"] for line in log] == ["observer_failed", "observer_failed"]
    door.stumbles = set()
    assert door.waiting("c-1", "c-2") == []
    door.stumbles = {"5"}
    with pytest.raises(RuntimeError):
        door.answered("c-1", "5")


# --- whose it is


async def test_who_owns_what() -> None:
    door = Door()
    assert door.router.belongs_to("call", "c-1") is None
    door.router.bind("call", "c-1", FlowId("m-1/leg-1"))
    door.router.bind("bridge", "c-1", FlowId("m-2"))
    assert door.router.belongs_to("call", "c-1") == "m-1"
    assert door.router.belongs_to("bridge", "c-1") == "m-2"
    assert door.router.belongs_to("conference", "c-1") is None
    door.router.bind("call", "c-1", FlowId("m-3/leg-1"))
    door.router.release("m-1")
    assert door.router.belongs_to("call", "c-1") == "m-3"
    door.router.bind("call", "c-1", FlowId("m-4/leg-1"))
    door.router.release("m-4")
    door.router.release("m-3")  # what was another's last is not its any more
    assert door.router.belongs_to("call", "c-1") is None


async def test_a_call_that_comes_in_is_nobodys_yet() -> None:
    door = Door()
    door.router.bind("call", "c-1", FlowId("m/leg-1"))
    incoming = event(IncomingCall, "1", call_id="c-1", caller="+12018994444", called="+12018995555")
    assert door.router.owner(incoming) == INCOMING
    door.router.accept(incoming)
    assert door.delivered == [(INCOMING, "1")]


async def test_an_event_is_about_its_call_then_its_bridge_then_its_conference_then_our_name_for_it() -> None:
    door = Door()
    for kind, flow in (("call", "a"), ("bridge", "b"), ("conference", "c"), ("key", "d")):
        door.router.bind(kind, "x", FlowId(flow))
    owner = door.router.owner
    assert owner(event(RecordingReady, "1", recording_id="r", call_id="x", bridge_id="x", conference_id="x")) == "a"
    assert owner(event(RecordingReady, "2", recording_id="r", bridge_id="x", conference_id="x")) == "b"
    assert owner(event(RecordingReady, "3", recording_id="r", conference_id="x")) == "c"
    assert owner(event(ConferenceStarted, "4", conference_id="x", key="x")) == "c"
    assert owner(event(ConferenceStarted, "5", conference_id="y", key="x")) == "d"
    assert owner(event(ConferenceStarted, "6", conference_id="y", key="y")) is None
    assert owner(event(BridgeEnded, "7", bridge_id="x")) == "b"
    assert owner(event(Unknown, "8", type="x")) is None
    assert owner(event(Unknown, "9", type="x", flow="m")) == "m"


@pytest.mark.parametrize(("kind", "id_"), [("conference", "x"), ("key", "k")])
async def test_a_conference_that_shows_itself_first_waits_for_its_id_or_our_name(kind: str, id_: str) -> None:
    door = Door()
    door.router.accept(event(ConferenceStarted, "1", conference_id="x", key="k"))
    door.router.bind(kind, id_, FlowId("m"))
    assert door.delivered == [("m", "1")]
    door.router.bind("conference", "x", FlowId("m"))
    door.router.bind("key", "k", FlowId("m"))
    assert door.delivered == [("m", "1")]  # once


async def test_what_names_nothing_is_not_kept() -> None:
    door = Door()
    assert door.router.accept(event(Unknown, "1", type="x"))
    assert door.router.accept(event(Unknown, "2", type="x", flow="m/leg-1"))
    door.router.expect(FlowId("m/leg-1"))
    assert door.delivered == [("m/leg-1", "2")]


async def test_what_names_another_meetings_conference_is_dropped() -> None:
    door = Door()
    door.router.bind("call", "c-1", FlowId("m-1/leg-1"))
    door.router.bind("conference", "x", FlowId("m-1"))
    door.router.bind("conference", "y", FlowId("m-2"))
    with structlog.testing.capture_logs() as log:
        for number, conference in enumerate(("x", "y", "z")):
            joined = {"call_id": "c-1", "member_id": "m", "conference_id": conference}
            door.router.accept(event(MemberJoined, str(number), **joined))
        door.answered("c-1", "other", flow="m-2/leg-1")
        door.answered("c-1", "same", flow="m-1/leg-9")
    assert door.delivered == [("m-1/leg-1", "0"), ("m-1/leg-1", "2"), ("m-1/leg-1", "same")]
    assert [line["event"] for line in log] == ["event_misdirected"] * 2
    assert door.router.reported_at(FlowId("m-2/leg-1")) == []  # nor does it wait
    door.router.bind("call", "c-1", FlowId("m-9/leg-1"))
    assert len(door.delivered) == 3  # nor is what was delivered delivered to the next


# --- calls whose request was lost


async def test_a_lost_call_may_report_itself_at_its_address() -> None:
    door = Door()
    door.answered("c-1", "1", flow="m/leg-1")
    door.answered("c-1", "2", flow="m/leg-1")
    door.answered("c-2", "3", flow="m/leg-2")
    door.answered("c-3", "4", flow="m/leg-1")
    door.answered("c-4", "5")
    assert door.router.reported_at(FlowId("m/leg-1")) == ["c-1", "c-3"]
    assert door.router.reported_at(FlowId("m/leg-2")) == ["c-2"]
    assert door.router.reported_at(FlowId("m/leg-3")) == []
    door.router.expect(FlowId("m/leg-1"))
    assert door.delivered == [("m/leg-1", "1"), ("m/leg-1", "2"), ("m/leg-1", "4")]
    assert door.router.reported_at(FlowId("m/leg-1")) == []
    door.answered("c-9", "6", flow="m/leg-1")
    assert door.delivered[3:] == [("m/leg-1", "6")]
    assert door.waiting("c-1", "c-2", "c-3", "c-4") == ["5"]  # the other's address is another meeting's


async def test_a_call_that_has_its_owner_is_not_the_lost_one() -> None:
    door = Door()
    door.router.bind("call", "c-1", FlowId("m/leg-2"))
    door.router.expect(FlowId("m/leg-1"))
    door.answered("c-1", flow="m/leg-1")
    assert door.delivered == [("m/leg-2", "c-1")]


async def test_when_a_meeting_is_over_its_lost_calls_are_expected_no_more() -> None:
    door = Door()
    door.router.expect(FlowId("m-1/leg-1"))
    door.router.expect(FlowId("m-10/leg-1"))
    door.router.release("m-1")
    door.answered("c-1", flow="m-1/leg-1")
    door.answered("c-2", flow="m-10/leg-1")
    assert door.delivered == [("m-10/leg-1", "c-2")]


# --- recordings that are ready late


@pytest.mark.parametrize("kind", [RecordingReady, RecordingFailed])
async def test_what_becomes_of_a_recording_is_told_for_a_while_after_the_meeting(kind: type[Event]) -> None:
    door = Door()
    door.router.bind("conference", "x", FlowId("m"))
    door.router.release("m")
    await anyio.sleep(LATE.total_seconds() - 1)
    door.router.accept(event(kind, "1", recording_id="r", conference_id="x"))
    door.router.accept(event(ConferenceEnded, "2", conference_id="x"))
    door.router.accept(event(kind, "3", recording_id="r", conference_id="y"))
    await anyio.sleep(1)
    door.router.accept(event(kind, "4", recording_id="r", conference_id="x"))
    assert door.delivered == [("m", "1")]


async def test_of_so_many_ids_it_is_known_whose_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LATE_IDS", 2)
    door = Door()
    for number in (1, 2, 3):
        door.router.bind("call", f"c-{number}", FlowId("m/leg-1"))
    door.router.release("m")
    for number in (1, 2, 3):
        door.router.accept(event(RecordingReady, str(number), recording_id="r", call_id=f"c-{number}"))
    assert door.delivered == [("m", "2"), ("m", "3")]


# --- how long, and how much, waits


async def test_what_waits_is_let_go_of_by_the_clock() -> None:
    door = Door()
    door.answered("c-1")
    await anyio.sleep(10)
    door.answered("c-2")
    await anyio.sleep(PARKING_TIME.total_seconds() - 10)
    assert door.waiting("c-1", "c-2") == ["c-2"]
    door.answered("c-3", flow="m/leg-1")
    await anyio.sleep(PARKING_TIME.total_seconds())
    door.answered("c-4")  # whatever arrives lets go of what has waited long enough
    assert door.router.reported_at(FlowId("m/leg-1")) == []


async def test_what_was_addressed_to_a_meeting_that_is_over_waits_no_more() -> None:
    door = Door()
    door.answered("c-1", flow="m-1/leg-1")
    door.answered("c-2", flow="m-10/leg-1")
    door.answered("c-3")
    door.router.release("m-1")
    door.router.bind("call", "c-1", FlowId("m-1/leg-1"))
    door.router.bind("call", "c-2", FlowId("m-10/leg-1"))
    assert door.delivered == [("m-10/leg-1", "c-2")]
    assert door.waiting("c-3") == ["c-3"]


async def test_only_so_many_wait_and_the_oldest_of_the_heaviest_meeting_go_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parking, "PARKED", 4)
    monkeypatch.setattr(parking, "PART_OF_ONE", 0.5)
    door = Door()
    for number in (1, 2, 3):
        door.answered(f"a-{number}", flow="a/leg-1", raw={"text": "the heaviest"})
    assert door.router.reported_at(FlowId("a/leg-1")) == ["a-2", "a-3"]  # half of the places is what one meeting has
    door.answered("b-1", flow="b/leg-1")
    door.answered("none-1")
    assert door.router.reported_at(FlowId("a/leg-1")) == ["a-2", "a-3"]
    door.answered("none-2")
    assert door.router.reported_at(FlowId("a/leg-1")) == ["a-3"]
    assert door.router.reported_at(FlowId("b/leg-1")) == ["b-1"]
    assert door.waiting("none-1", "none-2") == ["none-1", "none-2"]


async def test_what_waits_without_an_address_may_take_all_the_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "PARKED", 4)
    door = Door()
    for number in range(6):
        door.answered(f"c-{number}")
    assert door.waiting(*(f"c-{number}" for number in range(6))) == ["c-2", "c-3", "c-4", "c-5"]


PAYLOADS: list[Any] = [
    {"text": "x" * 1000},
    {"bytes": b"x" * 1000},
    {"x" * 1000: 1},
    {"list": [0] * 100},
    {"tuple": (0,) * 100},
    {"mappings": [{}] * 200},
    {"lists": [[]] * 200},
    {"nested": {"more": [{"text": "x" * 1000}]}},
    {"numbers": dict.fromkeys(range(50), 1.5)},
]


@pytest.mark.parametrize("raw", PAYLOADS)
async def test_only_so_much_waits_whatever_it_is_made_of(monkeypatch: pytest.MonkeyPatch, raw: Any) -> None:
    monkeypatch.setattr(parking, "PARKED_BYTES", 100 * 1000)
    monkeypatch.setattr(parking, "PART_OF_ONE", 1.0)
    door = Door()
    for number in range(200):
        door.answered(f"c-{number}", flow="m/leg-1", raw=raw)
    kept = door.router.reported_at(FlowId("m/leg-1"))
    assert 5 <= len(kept) <= 100
    assert kept[-1] == "c-199"
    empty = Door()
    for number in range(200):
        empty.answered(f"c-{number}", flow="m/leg-1")
    assert len(empty.router.reported_at(FlowId("m/leg-1"))) == 200


async def test_one_meeting_has_its_part_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "PARKED_BYTES", 20_000)
    monkeypatch.setattr(parking, "PART_OF_ONE", 0.5)
    door = Door()
    for number in range(30):
        door.answered(f"c-{number}", flow="m/leg-1", raw={"text": "x" * 1000})
    assert 5 <= len(door.router.reported_at(FlowId("m/leg-1"))) <= 10


async def test_what_no_longer_waits_weighs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "PARKED_BYTES", 5000)
    monkeypatch.setattr(parking, "PART_OF_ONE", 1.0)
    door = Door()
    for number in range(20):
        door.answered(f"c-{number}", flow="m/leg-1", raw={"text": "x" * 1000})
        door.router.bind("call", f"c-{number}", FlowId("m/leg-1"))
    assert len(door.delivered) == 20
    for number in (20, 21):
        door.answered(f"c-{number}", flow="m/leg-1", raw={"text": "x" * 1000})
    assert door.router.reported_at(FlowId("m/leg-1")) == ["c-20", "c-21"]


async def test_a_press_of_a_key_before_the_reply_waits_like_any_other() -> None:
    door = Door()
    for number in range(3):
        door.router.accept(event(DigitsReceived, str(number), call_id="c-1", digits="5"))
    door.router.bind("call", "c-1", FlowId("m/leg-1"))
    assert door.delivered == [("m/leg-1", "0"), ("m/leg-1", "1"), ("m/leg-1", "2")]


# --- what a snapshot tells

ROOM = Conference(provider="p", key="k", id="x", state=ConferenceState.ENDED, ended_at=NOON, raw={"a": 1})
RUNG = Call(provider="p", id="c-1", state=CallState.RINGING)
OVER = Call(
    provider="p",
    id="c-2",
    state=CallState.ENDED,
    cause=EndCause.BUSY,
    answered_at=NOON,
    ended_at=NOON + timedelta(seconds=9),
    raw={"b": 2},
)
IN = Member(provider="p", id="m-1", call_id="c-1", conference=ROOM, state=MemberState.JOINED, mute=True, raw={"c": 3})
OUT = Member(
    provider="p",
    id="m-2",
    call_id="c-2",
    conference=ROOM,
    state=MemberState.LEFT,
    left_at=NOON,
    raw={"d": 4},
)
NOWHERE = Member(provider="p", id="m-3", call_id="c-3", conference=Conference(provider="p", key="k"))


async def test_a_snapshot_is_told_as_facts_with_all_that_it_says() -> None:
    snapshot = Snapshot(conference=ROOM, calls=(RUNG, OVER), members=(NOWHERE, IN, OUT))
    facts = list(events_in(snapshot))
    assert facts == [
        event(CallRinging, "poll call c-1 ringing", call_id="c-1"),
        event(CallAnswered, "poll call c-2 answered", call_id="c-2", occurred_at=NOON),
        event(
            CallEnded,
            "poll call c-2 ended",
            call_id="c-2",
            cause=EndCause.BUSY,
            occurred_at=NOON + timedelta(seconds=9),
        ),
        event(
            MemberJoined,
            "poll member x m-1 joined",
            call_id="c-1",
            member_id="m-1",
            conference_id="x",
            mute=True,
            hold=False,
        ),
        event(
            MemberLeft,
            "poll member x m-2 left",
            call_id="c-2",
            member_id="m-2",
            conference_id="x",
            occurred_at=NOON,
        ),
        event(ConferenceEnded, "poll conference x ended", conference_id="x", occurred_at=NOON),
    ]
    assert [dict(fact.raw) for fact in facts] == [{}, {"b": 2}, {"b": 2}, {"c": 3}, {"d": 4}, {"a": 1}]


async def test_an_end_without_a_cause_has_an_unknown_one_and_a_bridge_tells_nothing() -> None:
    (fact,) = events_in(Snapshot(calls=(Call(provider="p", id="c-1", state=CallState.ENDED),)))
    assert fact == event(CallEnded, "poll call c-1 ended", call_id="c-1", cause=EndCause.UNKNOWN)
    assert list(events_in(Snapshot(bridge=Bridge(provider="p", id="b-1")))) == []
