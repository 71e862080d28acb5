"""What becomes of a fact that has found its meeting: it is taken in, acted on, and shown to observers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import pluggy

from confkit.ingest.meeting_view import MeetingView
from confkit.ingest.parking import Arrival
from confkit.ingest.router import EventRouter
from confkit.ingest.snapshots import events_in
from confkit.models.events import (
    Event,
    IncomingCall,
    MemberJoined,
    RecordingFailed,
    RecordingReady,
    call_of,
    conference_of,
    key_of,
)
from confkit.models.records import Conference, Snapshot
from confkit.runtime.host import Runtime
from confkit.steps.clock import Clock, PlatformClock
from confkit.steps.log import logger
from confkit.workflows.flow import FlowId
from confkit.workflows.messages import HEEDED, Happened

#: How many recordings are remembered, so that each is told once.
RECORDINGS: Final = 10_000
#: How much of a meeting may wait to be known as its own, as when a conference's id comes after what happens in it.
HELD: Final = 200


class Delivery:
    """Brings the facts of a client to its meetings.

    Args:
        announce: gets the calls that come in.

    Attributes:
        views: what is known of the meetings that are live, by id.
        router: where events come in.
        runtime: carries the workflows, which get what they act on.
    """

    def __init__(self, hook: pluggy.HookRelay, clock: Clock, announce: Callable[[IncomingCall], None]) -> None:
        self.views: dict[str, MeetingView] = {}
        self.router = EventRouter(clock, self._deliver)
        self.runtime: Runtime
        self._hook = hook
        self._announce = announce
        self._platform_clock = PlatformClock()
        self._log = logger()
        #: What the meeting has been told, and an observer, which failed, has not: by the meeting and the event's id.
        self._unobserved: dict[tuple[str, str], Event] = {}
        #: Which recordings have been told of, whether or not their meeting is over.
        self._recorded: OrderedDict[tuple[str, str], None] = OrderedDict()
        #: By meeting, what names a conference that is not known to be its own (yet), with the workflow that it reached.
        self._held: dict[str, list[tuple[FlowId, Arrival]]] = {}

    def bind_conference(self, conference: Conference | None, meeting: str) -> None:
        """From now on a conference is the meeting's, and what was told of it before counts."""
        if conference is None or conference.id is None:
            return
        view = self.views.get(meeting)
        self.router.bind("conference", conference.id, FlowId(meeting) if view is None else view.id)
        self._show_held(meeting)

    def bind_call(self, call_id: str, flow: FlowId) -> None:
        """From now on a call is the workflow's, and what was told of it before counts."""
        self.router.bind("call", call_id, flow)
        self._show_held(flow.meeting)

    def take_in(self, view: MeetingView, snapshot: Snapshot, asked_at: datetime) -> None:
        """Take in what the provider has answered: new facts go their way, of known members the newest state counts."""
        for event in events_in(snapshot):
            if self.router.accept_logged(event, at=asked_at, asked=True) or not isinstance(event, MemberJoined):
                continue
            flow = self.router.owner(event)
            if flow is not None and flow.meeting == view.id and self._concerns(view, event):
                self._show(view, flow, self.router.arrival(event, at=asked_at, asked=True))

    def release(self, meeting: str) -> None:
        """A meeting is gone, and nothing of it is kept."""
        del self.views[meeting]
        self.router.release(meeting)
        self._held.pop(meeting, None)
        self._unobserved = {key: event for key, event in self._unobserved.items() if key[0] != meeting}

    def tell(self, hook: str, **facts: Any) -> None:
        """Tell observers; one that fails must not change what happens to people."""
        try:
            getattr(self._hook, hook)(**facts)
        except Exception:
            self._log.exception("observer_failed", hook=hook)

    def _deliver(self, flow: FlowId, arrival: Arrival) -> None:
        """Hand an event to the meeting that it is about, to the workflow that acts on it, and last to observers.

        Raises:
            Exception: an observer's. The event may be delivered again then, and goes to the observers alone.
        """
        event = arrival.event
        if isinstance(event, IncomingCall):
            self._announce(event)
            return
        key = (flow.meeting, event.id)
        view = self.views.get(flow.meeting)
        news: Event | None
        if key in self._unobserved:
            news = self._unobserved[key]
        elif view is not None:
            if self._concerns(view, event):
                news = view.on_event(flow, event, self._at(arrival), arrival.number)
            else:
                news = None
                held = self._held.setdefault(view.id, [])
                held.append((flow, arrival))
                del held[:-HELD]
            if isinstance(event, HEEDED):
                self.runtime.post(flow, Happened(event=event, asked=arrival.asked), key=event.id)
        else:
            # What was recorded may be ready when the meeting is over: its observers are told, who else is there.
            news = event if isinstance(event, RecordingReady | RecordingFailed) else None
        if isinstance(event, RecordingReady | RecordingFailed) and key not in self._unobserved:
            news = news if self._is_first(event) else None
        if news is not None:
            self._observe(flow.meeting, news, key)

    def _is_first(self, event: RecordingReady | RecordingFailed) -> bool:
        """Whether nothing was told of this recording, in its meeting or after it."""
        fact = (type(event).__name__, event.recording_id)
        known = fact in self._recorded
        self._recorded[fact] = None
        if len(self._recorded) > RECORDINGS:
            self._recorded.popitem(last=False)
        return not known

    def _at(self, arrival: Arrival) -> datetime:
        """When it happened, on our clock. What a look shows now, is so since the question was sent at the latest."""
        return self._platform_clock.ours(arrival.event.occurred_at, arrival.at)

    def _concerns(self, view: MeetingView, event: Event) -> bool:
        """Whether an event that reached a workflow is the meeting's in all that it names.

        A conference or a call that is not known to be the meeting's may be somebody else's, whatever address it was
        told at. That is for the workflow to find out; until then the meeting's state and the application do not hear
        of it.
        """
        call_id, conference_id, room = call_of(event), conference_of(event), view.conference
        if call_id is not None and self.router.belongs_to("call", call_id) != view.id:
            return False
        if conference_id is None or self.router.belongs_to("conference", conference_id) == view.id:
            return True
        return room is not None and key_of(event) == room.key

    def _show_held(self, meeting: str) -> None:
        """Show what is known to be the meeting's by now."""
        if (view := self.views.get(meeting)) is None or meeting not in self._held:
            return
        held = self._held.pop(meeting)
        waiting = [each for each in held if not self._concerns(view, each[1].event)]
        if waiting:
            self._held[meeting] = waiting
        for flow, arrival in held:
            if (flow, arrival) not in waiting:
                self._show(view, flow, arrival)

    def _show(self, view: MeetingView, flow: FlowId, arrival: Arrival) -> None:
        if (news := view.on_event(flow, arrival.event, self._at(arrival), arrival.number)) is not None:
            self.tell("meeting_event", meeting=view.id, event=news)

    def _observe(self, meeting: str, event: Event, key: tuple[str, str]) -> None:
        if self._hook.meeting_event.get_hookimpls():
            self._unobserved[key] = event
            # Not by ``tell``: the meeting has it whatever the observer does, and a webhook's sender is to know of that.
            self._hook.meeting_event(meeting=meeting, event=event)
            del self._unobserved[key]
