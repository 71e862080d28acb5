"""Events that wait for the reply that names their call, within limits of time, number and memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import define, field, frozen

from confkit.models.events import Event, bridge_of, call_of, conference_of, key_of
from confkit.steps.clock import Clock
from confkit.workflows.flow import FlowId

#: How many events may wait, how much memory they may take, in bytes, and for how long. What is addressed to one meeting
#: has the part of it, so that its sender pushes out nobody else's.
PARKED: Final = 20_000
PARKED_BYTES: Final = 8 * 1024 * 1024
PART_OF_ONE: Final = 1 / 16
PARKING_TIME: Final = timedelta(minutes=1)
#: About what CPython takes for an object of a payload beside its text, in bytes.
_OBJECT: Final = 64


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


@define(eq=False)
class _Lot:
    """What waits together, the oldest first, and what it weighs."""

    parked: OrderedDict[_Parked, None] = field(factory=OrderedDict)
    size: int = 0

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


class Parking:
    """Events that nobody owns yet."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: By each of the subjects that an event names; all of them; and by the meeting that they are addressed to
        #: (empty: none).
        self._by_subject: dict[str, list[_Parked]] = {}
        self._all = _Lot()
        self._lots: dict[str, _Lot] = {}

    def add(self, arrival: Arrival) -> None:
        """Keep an event, if any reply can tell whose it is."""
        if not (subjects := subjects_of(arrival.event)):
            return
        parked = _Parked(arrival, self._clock.now() + PARKING_TIME, _size_of(arrival.event))
        for subject in subjects:
            self._by_subject.setdefault(subject, []).append(parked)
        lot = self._lots.setdefault(meeting := _meeting(arrival), _Lot())
        for each in (self._all, lot):
            each.add(parked)
        while meeting and lot.overflows(PART_OF_ONE):
            self._drop(lot.oldest)
        while self._all.overflows():
            self._drop(max(self._lots.values(), key=lambda lot: lot.size).oldest)
        self.evict()

    def take(self, subject: str) -> Iterator[Arrival]:
        """What waits for this subject, and waits no more; each is given as soon as it is asked for."""
        now = self._clock.now()
        for parked in self._by_subject.pop(subject, ()):
            if parked in self._all.parked:
                self._drop(parked)
                if parked.until > now:
                    yield parked.arrival

    def take_addressed(self, flow: str) -> Iterator[Arrival]:
        """What was addressed to a workflow, and waits no more."""
        for parked in [each for each in self._all.parked if each.arrival.event.flow == flow]:
            if parked in self._all.parked:
                self._drop(parked)
                yield parked.arrival

    def calls_at(self, flow: str) -> list[str]:
        """The ids of the calls that have reported themselves at a workflow's address."""
        events = (parked.arrival.event for parked in self._all.parked)
        calls = (call_of(event) for event in events if event.flow == flow)
        return list(dict.fromkeys(call for call in calls if call is not None))

    def drop_all_of(self, meeting: str) -> None:
        """What was addressed to a meeting that is over waits for nothing."""
        for parked in list(self._lots[meeting].parked) if meeting in self._lots else ():
            self._drop(parked)
        self.evict()

    def evict(self) -> None:
        """Keep nothing that has waited long enough."""
        if not self._all.parked:
            return
        now = self._clock.now()
        while self._all.parked and self._all.oldest.until <= now:
            self._drop(self._all.oldest)

    def _drop(self, parked: _Parked) -> None:
        self._all.remove(parked)
        if (lot := self._lots.get(meeting := _meeting(parked.arrival))) is not None:
            lot.remove(parked)
            if not lot.parked:
                del self._lots[meeting]
        for subject in subjects_of(parked.arrival.event):
            if parked in (others := self._by_subject.get(subject, [])):
                others.remove(parked)
                if not others:
                    del self._by_subject[subject]


def subjects_of(event: Event) -> tuple[str, ...]:
    """The names of what an event is about, the most certain first: ``call c-1``, ``conference conf-1``, ``key k-1``."""
    if (call_id := call_of(event)) is not None:
        # An event about a call is the call's even when it names the conference too.
        return (f"call {call_id}",)
    for kind, id_ in (("bridge", bridge_of(event)), ("conference", conference_of(event))):
        if id_ is not None:
            return (f"{kind} {id_}",) if (key := key_of(event)) is None else (f"{kind} {id_}", f"key {key}")
    return ()


def _meeting(arrival: Arrival) -> str:
    return FlowId(arrival.event.flow or "").meeting


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
