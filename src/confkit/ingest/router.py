"""Where facts come in, from wherever: webhooks, a stream, polling. One way to the flow that each is about.

Duplicates are dropped by the event's id. An event that arrives before the HTTP reply that names its call is parked
and delivered when the reply has come.

What an event is about is told by the ids in it, as the provider's own replies have bound them; its address
(``Event.flow``) decides where it names nothing that is bound: a conference that has no reply yet. A call is taken on
its address only where the request that was to make it is lost, and is then for the flow to prove.
An address counts for its own meeting only: an event that names what belongs to another is dropped.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from attrs import define, field, frozen

from confkit.models.events import (
    CallAnswered,
    CallEnded,
    CallRinging,
    ConferenceEnded,
    Event,
    IncomingCall,
    MemberJoined,
    MemberLeft,
    RecordingFailed,
    RecordingReady,
    bridge_of,
    call_of,
    conference_of,
    key_of,
)
from confkit.models.records import CallState, ConferenceState, EndCause, MemberState, Snapshot
from confkit.steps.clock import Clock
from confkit.steps.log import logger

#: The flow of calls that come in, before they belong to a meeting.
INCOMING = "incoming"
#: How many event ids are remembered, to know duplicates by.
MEMORY = 20_000
#: How many events may wait for the reply that names their call, how much memory they may take, in bytes, and for how
#: long. What is addressed to one meeting has the part of it, so that its sender pushes out nobody else's.
PARKED = 20_000
PARKED_BYTES = 8 * 1024 * 1024
PART_OF_ONE = 1 / 16
PARKING_TIME = timedelta(minutes=1)
#: About what CPython takes for an object of a payload beside its text, in bytes.
_OBJECT = 64

#: How long after a meeting its recordings are still told of, and of how many ids it is remembered whose they were.
LATE = timedelta(hours=1)
LATE_IDS = 20_000


@frozen(kw_only=True)
class Arrival:
    """An event as it has come in.

    Args:
        at: when that was known, on our clock: when it came; of an answer, when the question was sent.
        number: counts what comes in, so that of two changes in one second the later one holds.
        asked: it is the provider's answer to a question of ours; otherwise somebody has told it.
    """

    event: Event
    at: datetime
    number: int
    asked: bool = False


@define(eq=False)
class _Parked:
    arrival: Arrival
    until: datetime
    size: int
    gone: bool = False


@define(eq=False)
class _Lot:
    """What waits together, the oldest first, and what it weighs."""

    parked: OrderedDict[_Parked, None] = field(factory=OrderedDict)
    size: int = 0

    def __iter__(self) -> Iterator[_Parked]:
        return iter(self.parked)

    def add(self, parked: _Parked) -> None:
        self.parked[parked] = None
        self.size += parked.size

    def remove(self, parked: _Parked) -> None:
        if parked in self.parked:
            del self.parked[parked]
            self.size -= parked.size

    def overflows(self, part: float = 1.0) -> bool:
        return len(self.parked) > PARKED * part or self.size > PARKED_BYTES * part

    @property
    def oldest(self) -> _Parked:
        return next(iter(self.parked))


class Intake:
    """Takes events of a client and hands each to the flow that it is about.

    Args:
        deliver: gets the flow's id and the event as it has come; called once for each event.
    """

    def __init__(self, clock: Clock, deliver: Callable[[str, Arrival], None]) -> None:
        self._clock = clock
        self._deliver = deliver
        self._numbers = itertools.count(1)
        self._owners: dict[str, str] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()
        #: What each meeting owns, so that its end need not go through everybody's.
        self._owned: dict[str, list[str]] = {}
        #: By each of the subjects that an event names; all of them; and by the meeting that they are addressed to
        #: (empty: none).
        self._parked: dict[str, list[_Parked]] = {}
        self._waiting = _Lot()
        self._lots: dict[str, _Lot] = {}
        #: Flows whose call is lost: it may report itself at their address.
        self._expecting: set[str] = set()
        #: Whose an id was, until when that is remembered; the oldest first.
        self._late: OrderedDict[str, tuple[str, datetime]] = OrderedDict()

    def bind(self, kind: str, id_: str, flow: str) -> None:
        """From now on this call, conference or bridge belongs to a flow; parked events of it are delivered.

        Args:
            kind: ``call``, ``conference`` or ``bridge``; or ``key``, our own name for a conference.
        """
        key = f"{kind} {id_}"
        if self._owners.get(key) == flow:
            return
        self._owners[key] = flow
        self._owned.setdefault(_meeting(flow), []).append(key)
        now = self._clock.now()
        for parked in self._parked.pop(key, ()):
            if not parked.gone and parked.until > now:
                self._hand_over_quietly(parked.arrival)
            self._drop(parked)
        self._tidy()

    def belongs_to(self, kind: str, id_: str) -> str | None:
        """The meeting that a call, conference or bridge belongs to; ``None`` where it is not known."""
        owner = self._owners.get(f"{kind} {id_}")
        return None if owner is None else _meeting(owner)

    def expect(self, flow: str) -> None:
        """The flow's call is lost: from now on one of nobody's that reports itself at its address is its business."""
        self._expecting.add(flow)
        for parked in [each for each in self._waiting if each.arrival.event.flow == flow and not each.gone]:
            self._drop(parked)
            self._hand_over_quietly(parked.arrival)
        self._tidy()

    def reported_at(self, flow: str) -> list[str]:
        """The ids of calls that nobody owns and that have reported themselves at a flow's address."""
        events = (parked.arrival.event for parked in self._waiting if not parked.gone)
        calls = (call_of(event) for event in events if event.flow == flow)
        return list(dict.fromkeys(call for call in calls if call is not None))

    def release(self, flow: str) -> None:
        """A meeting is over: its ids belong to nobody. Only what becomes of its recordings is told for a while."""
        until = self._clock.now() + LATE
        for key in self._owned.pop(flow, ()):
            if _meeting(self._owners.get(key, "")) == flow:
                del self._owners[key]
                self._late[key] = flow, until
        while len(self._late) > LATE_IDS:
            self._late.popitem(last=False)
        self._expecting = {each for each in self._expecting if _meeting(each) != flow}
        self._drop_all_of(flow)

    def accept(self, event: Event, *, at: datetime | None = None, asked: bool = False) -> bool:
        """Take an event in; ``False`` when it is a duplicate.

        Args:
            at: as :class:`Arrival` has it; now by default.

        Raises:
            Exception: what the delivery raised; the event is forgotten then, so that it counts when it comes again.
        """
        if event.id in self._seen:
            return False
        self._remember(event)
        arrival = self.arrival(event, at=at, asked=asked)
        try:
            handed_over = self._hand_over(arrival)
        except BaseException:
            del self._seen[event.id]
            raise
        if not handed_over:
            self._park(arrival)
        return True

    def accept_quietly(self, event: Event, *, at: datetime | None = None, asked: bool = False) -> bool:
        """``accept``, for what will not come again: what the delivery raises is logged."""
        if event.id in self._seen:
            return False
        self._remember(event)
        arrival = self.arrival(event, at=at, asked=asked)
        if not self._hand_over_quietly(arrival):
            self._park(arrival)
        return True

    def arrival(self, event: Event, *, at: datetime | None = None, asked: bool = False) -> Arrival:
        """An event as the next to come in."""
        return Arrival(event=event, at=at or self._clock.now(), number=next(self._numbers), asked=asked)

    def owner(self, event: Event) -> str | None:
        """The flow that an event is about, if it is known."""
        if isinstance(event, IncomingCall):
            return INCOMING
        for subject in _subjects(event):
            if (owner := self._owners.get(subject)) is not None:
                return owner
        if event.flow is not None and (event.flow in self._expecting or call_of(event) is None):
            return event.flow
        return self._late_owner(event)

    def _late_owner(self, event: Event) -> str | None:
        """Whose recording it is that is ready after its meeting."""
        if not isinstance(event, RecordingReady | RecordingFailed):
            return None
        owner, until = next((self._late[each] for each in _subjects(event) if each in self._late), (None, None))
        return owner if until is not None and until > self._clock.now() else None

    def _remember(self, event: Event) -> None:
        self._tidy()
        self._seen[event.id] = None
        if len(self._seen) > MEMORY:
            self._seen.popitem(last=False)

    def _park(self, arrival: Arrival) -> None:
        if not (subjects := _subjects(arrival.event)):
            return  # no reply will ever tell whose it is
        parked = _Parked(arrival, self._clock.now() + PARKING_TIME, _size_of(arrival.event))
        for subject in subjects:
            self._parked.setdefault(subject, []).append(parked)
        lot = self._lots.setdefault(meeting := _meeting(arrival.event.flow or ""), _Lot())
        for each in (self._waiting, lot):
            each.add(parked)
        while meeting and lot.overflows(PART_OF_ONE):
            self._drop(lot.oldest)
        while self._waiting.overflows():
            self._drop(max(self._lots.values(), key=lambda lot: lot.size).oldest)
        self._tidy()

    def _tidy(self) -> None:
        """Keep nothing that has waited long enough."""
        if not self._waiting.parked:
            return
        now = self._clock.now()
        while self._waiting.parked and self._waiting.oldest.until <= now:
            self._drop(self._waiting.oldest)

    def _drop(self, parked: _Parked) -> None:
        parked.gone = True
        self._waiting.remove(parked)
        if (lot := self._lots.get(meeting := _meeting(parked.arrival.event.flow or ""))) is not None:
            lot.remove(parked)
            if not lot.parked:
                del self._lots[meeting]
        for subject in _subjects(parked.arrival.event):
            if parked in (others := self._parked.get(subject, [])):
                others.remove(parked)
                if not others:
                    del self._parked[subject]

    def _drop_all_of(self, meeting: str) -> None:
        """What was addressed to a meeting that is over waits for nothing."""
        for parked in list(self._lots.get(meeting, _Lot())):
            self._drop(parked)
        self._tidy()

    def _hand_over(self, arrival: Arrival) -> bool:
        event = arrival.event
        if (flow := self.owner(event)) is None:
            return False
        meeting = _meeting(flow)
        if (event.flow is not None and _meeting(event.flow) != meeting) or self._names_anothers(event, meeting):
            logger().warning("event_misdirected", type=type(event).__name__, sent_to=event.flow, about=flow)
            return True
        self._deliver(flow, arrival)
        return True

    def _names_anothers(self, event: Event, meeting: str) -> bool:
        """Whether an event that is about something of one meeting names the conference of another besides."""
        conference_id = conference_of(event)
        if conference_id is None:
            return False
        owner = self._owners.get(f"conference {conference_id}")
        return owner is not None and _meeting(owner) != meeting

    def _hand_over_quietly(self, arrival: Arrival) -> bool:
        try:
            return self._hand_over(arrival)
        except Exception:
            event = arrival.event
            logger().exception("observer_failed", type=type(event).__name__, flow=self.owner(event))
            return True


def _subjects(event: Event) -> tuple[str, ...]:
    """The names of what an event is about, the most certain first."""
    if (call_id := call_of(event)) is not None:
        # An event about a call is the call's even when it names the conference too.
        return (f"call {call_id}",)
    for kind, id_ in (("bridge", bridge_of(event)), ("conference", conference_of(event))):
        if id_ is not None:
            return (f"{kind} {id_}",) if (key := key_of(event)) is None else (f"{kind} {id_}", f"key {key}")
    return ()


def _size_of(event: Event) -> int:
    """About the memory that an event takes, in bytes: a payload of small lists takes twenty times its length."""
    size = 0
    values: list[Any] = [event.id, event.raw]
    while values:
        match values.pop():
            case str() | bytes() as text:
                size += _OBJECT + len(text)
            case Mapping() as mapping:
                size += _OBJECT
                values += mapping
                values += mapping.values()
            case list() | tuple() as items:
                size += _OBJECT
                values += items
            case _:
                size += _OBJECT
    return size


def _meeting(flow: str) -> str:
    return flow.partition("/")[0]


def events_in(snapshot: Snapshot) -> Iterable[Event]:
    """A snapshot as facts, so that a poll tells nothing that a webhook could not have told.

    The ids are made of what is the case, so the same state seen twice is one fact.
    """
    for call in snapshot.calls:
        name = f"poll call {call.id}"
        if call.state is CallState.RINGING:
            yield CallRinging(provider=call.provider, id=f"{name} ringing", call_id=call.id)
        if call.answered_at is not None or call.state is CallState.ANSWERED:
            yield CallAnswered(
                provider=call.provider,
                id=f"{name} answered",
                call_id=call.id,
                occurred_at=call.answered_at,
                raw=call.raw,
            )
        if call.state is CallState.ENDED:
            yield CallEnded(
                provider=call.provider,
                id=f"{name} ended",
                call_id=call.id,
                cause=call.cause or EndCause.UNKNOWN,
                occurred_at=call.ended_at,
                raw=call.raw,
            )
    for member in snapshot.members:
        if (conference_id := member.conference.id) is None:
            continue
        name = f"poll member {conference_id} {member.id}"
        if member.state is MemberState.JOINED:
            yield MemberJoined(
                provider=member.provider,
                id=f"{name} joined",
                call_id=member.call_id,
                member_id=member.id,
                conference_id=conference_id,
                mute=member.mute,
                hold=member.hold,
                raw=member.raw,
            )
        elif member.state is MemberState.LEFT:
            yield MemberLeft(
                provider=member.provider,
                id=f"{name} left",
                call_id=member.call_id,
                member_id=member.id,
                conference_id=conference_id,
                occurred_at=member.left_at,
                raw=member.raw,
            )
    if snapshot.conference is not None and snapshot.conference.state is ConferenceState.ENDED:
        conference = snapshot.conference
        yield ConferenceEnded(
            provider=conference.provider,
            id=f"poll conference {conference.id} ended",
            conference_id=conference.id or "",
            occurred_at=conference.ended_at,
            raw=conference.raw,
        )
