"""Where facts come in, from wherever: webhooks, a stream, polling. One way to the workflow that each is about.

Duplicates are dropped by the event's id. An event that arrives before the HTTP reply that names its call is parked
and delivered when the reply has come.

What an event is about is told by the ids in it, as the provider's own replies have bound them; its address
(``Event.flow``) decides where it names nothing that is bound: a conference that has no reply yet. A call is taken on
its address only where the request that was to make it is lost, and is then for the workflow to prove. Our key of that
request (``Event.op``), where the platform echoes it, is an address too: the workflow's that sent it.
An address counts for its own meeting only: an event that names what belongs to another is dropped.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from attrs import evolve

from confkit.ingest.parking import Arrival, Parking, subjects_of
from confkit.models.events import Event, IncomingCall, RecordingFailed, RecordingReady, call_of, conference_of
from confkit.steps.clock import Clock
from confkit.steps.log import logger
from confkit.workflows.flow import FlowId

#: Where calls that come in are reported, before they belong to a meeting.
INCOMING: Final = FlowId("incoming")
#: How many event ids are remembered, to know duplicates by.
MEMORY: Final = 20_000
#: How long after a meeting its recordings are still told of, and of how many ids it is remembered whose they were.
LATE: Final = timedelta(hours=1)
LATE_IDS: Final = 20_000


class EventRouter:
    """Takes events of a client and hands each to the workflow that it is about.

    Args:
        deliver: gets the workflow's id and the event as it has come; called once for each event.
    """

    def __init__(self, clock: Clock, deliver: Callable[[FlowId, Arrival], None]) -> None:
        self._clock = clock
        self._deliver = deliver
        self._numbers = itertools.count(1)
        self._owners: dict[str, FlowId] = {}
        #: What each meeting owns, so that its end need not go through everybody's.
        self._owned: dict[str, list[str]] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._parking = Parking(clock)
        #: Workflows whose call is lost: it may report itself at their address.
        self._expecting: set[str] = set()
        #: Whose an id was, until when that is remembered; the oldest first.
        self._late: OrderedDict[str, tuple[FlowId, datetime]] = OrderedDict()

    # --- whose is what

    def bind(self, kind: str, id_: str, flow: FlowId) -> None:
        """From now on this call, conference or bridge belongs to a workflow; parked events of it are delivered.

        Args:
            kind: ``call``, ``conference`` or ``bridge``; or ``key``, our own name for a conference; or ``op``, the key
                of a request that is to make any of them.
        """
        subject = f"{kind} {id_}"
        if self._owners.get(subject) == flow:
            return
        self._owners[subject] = flow
        self._owned.setdefault(flow.meeting, []).append(subject)
        for arrival in self._parking.take(subject):
            self._hand_over_logged(arrival)
        self._parking.evict()

    def belongs_to(self, kind: str, id_: str) -> str | None:
        """The meeting that a call, conference or bridge belongs to; ``None`` where it is not known."""
        owner = self._owners.get(f"{kind} {id_}")
        return None if owner is None else owner.meeting

    def expect(self, flow: FlowId) -> None:
        """The workflow's call is lost: one of nobody's that reports itself at its address is its business now."""
        self._expecting.add(flow)
        for arrival in self._parking.take_addressed(flow):
            self._hand_over_logged(arrival)
        self._parking.evict()

    def reported_at(self, flow: FlowId) -> list[str]:
        """The ids of calls that nobody owns and that have reported themselves at a workflow's address."""
        return self._parking.calls_at(flow)

    def release(self, meeting: str) -> None:
        """A meeting is over: its ids belong to nobody. Only what becomes of its recordings is told for a while."""
        until = self._clock.now() + LATE
        for subject in self._owned.pop(meeting, ()):
            if (owner := self._owners.get(subject)) is not None and owner.meeting == meeting:
                del self._owners[subject]
                if not subject.startswith("op "):
                    self._late[subject] = FlowId(meeting), until
        while len(self._late) > LATE_IDS:
            self._late.popitem(last=False)
        self._expecting = {each for each in self._expecting if FlowId(each).meeting != meeting}
        self._parking.drop_all_of(meeting)

    def owner(self, event: Event) -> FlowId | None:
        """The workflow that an event is about, if it is known."""
        if isinstance(event, IncomingCall):
            return INCOMING
        for subject in subjects_of(event):
            if (owner := self._owners.get(subject)) is not None:
                return owner
        if event.flow is not None and (event.flow in self._expecting or call_of(event) is None):
            return FlowId(event.flow)
        return self._late_owner(event)

    def _late_owner(self, event: Event) -> FlowId | None:
        """Whose recording it is that is ready after its meeting."""
        if not isinstance(event, RecordingReady | RecordingFailed):
            return None
        owner, until = next((self._late[each] for each in subjects_of(event) if each in self._late), (None, None))
        return owner if until is not None and until > self._clock.now() else None

    # --- what comes in

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
            self._parking.add(arrival)
        return True

    def accept_logged(self, event: Event, *, at: datetime | None = None, asked: bool = False) -> bool:
        """``accept``, for what will not come again: what the delivery raises is logged."""
        if event.id in self._seen:
            return False
        self._remember(event)
        arrival = self.arrival(event, at=at, asked=asked)
        if not self._hand_over_logged(arrival):
            self._parking.add(arrival)
        return True

    def arrival(self, event: Event, *, at: datetime | None = None, asked: bool = False) -> Arrival:
        """An event as the next to come in."""
        return Arrival(
            event=self._addressed(event), at=at or self._clock.now(), number=next(self._numbers), asked=asked
        )

    def _addressed(self, event: Event) -> Event:
        """An event with the workflow as its address whose request has made what it is about, where our key tells.

        Who has the URL of one meeting tells nothing of another's, whatever key is in it. Of a conference or a bridge
        the meeting's own workflow hears, whichever call has made it.
        """
        sender = self._owners.get(f"op {event.op}") if event.op is not None else None
        if sender is None or (call_of(event) is None and sender.name):
            return event
        elsewhere = event.flow is not None and FlowId(event.flow).meeting != sender.meeting
        return event if elsewhere else evolve(event, flow=sender)

    def _remember(self, event: Event) -> None:
        self._parking.evict()
        self._seen[event.id] = None
        if len(self._seen) > MEMORY:
            self._seen.popitem(last=False)

    def _hand_over(self, arrival: Arrival) -> bool:
        event = arrival.event
        if (flow := self.owner(event)) is None:
            return False
        sent_to = FlowId(event.flow).meeting if event.flow is not None else flow.meeting
        if sent_to != flow.meeting or self._names_anothers(event, flow.meeting):
            logger().warning("event_misdirected", type=type(event).__name__, sent_to=event.flow, about=flow)
            return True
        self._deliver(flow, arrival)
        return True

    def _names_anothers(self, event: Event, meeting: str) -> bool:
        """Whether an event that is about something of one meeting names the conference of another besides."""
        if (conference_id := conference_of(event)) is None:
            return False
        owner = self._owners.get(f"conference {conference_id}")
        return owner is not None and owner.meeting != meeting

    def _hand_over_logged(self, arrival: Arrival) -> bool:
        try:
            return self._hand_over(arrival)
        except Exception:
            event = arrival.event
            logger().exception("observer_failed", type=type(event).__name__, flow=self.owner(event))
            return True
