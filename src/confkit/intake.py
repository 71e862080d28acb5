"""Where facts come in, from wherever: webhooks, a stream, polling. One way to the flow that each is about.

Duplicates are dropped by the event's id. An event that arrives before the HTTP reply that names its call is parked
and delivered when the reply has come.

What an event is about is told by the ids in it, as the provider's own replies have bound them; its address
(``Event.flow``) decides where it names nothing that is bound: a conference that has no reply yet. A call is never
taken on its address alone, because a lost request may have left a second call behind that was given the same one.
An address counts for its own meeting only: an event that names what belongs to another is dropped.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from attrs import define

from confkit.clock import Clock
from confkit.events import (
    CallAnswered,
    CallEnded,
    CallRinging,
    ConferenceEnded,
    Event,
    IncomingCall,
    MemberJoined,
    MemberLeft,
    call_of,
    conference_of,
    key_of,
)
from confkit.log import logger
from confkit.models import CallState, ConferenceState, EndCause, MemberState, Snapshot

#: The flow of calls that come in, before they belong to a meeting.
INCOMING = "incoming"
#: How many event ids are remembered, to know duplicates by.
MEMORY = 20_000
#: How many events may wait for the reply that names their call, and for how long.
PARKED = 20_000
PARKING_TIME = timedelta(minutes=1)


@define(eq=False)
class _Parked:
    event: Event
    until: datetime
    gone: bool = False


class Intake:
    """Takes events of a client and hands each to the flow that it is about.

    Args:
        deliver: gets the flow's id and the event; called once for each event.
    """

    def __init__(self, clock: Clock, deliver: Callable[[str, Event], None]) -> None:
        self._clock = clock
        self._deliver = deliver
        self._owners: dict[str, str] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()
        #: What each meeting owns, so that its end need not go through everybody's.
        self._owned: dict[str, list[str]] = {}
        #: By each of the subjects that an event names; and all of them, oldest first.
        self._parked: dict[str, list[_Parked]] = {}
        self._waiting: deque[_Parked] = deque()

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
                self._hand_over_quietly(parked.event)
            parked.gone = True
        self._tidy()

    def release(self, flow: str) -> None:
        """A meeting is over: its ids belong to nobody."""
        for key in self._owned.pop(flow, ()):
            if _meeting(self._owners.get(key, "")) == flow:
                del self._owners[key]

    def accept(self, event: Event) -> bool:
        """Take an event in; ``False`` when it is a duplicate.

        Raises:
            Exception: what the delivery raised; the event is forgotten then, so that it counts when it comes again.
        """
        if event.id in self._seen:
            return False
        self._remember(event)
        try:
            handed_over = self._hand_over(event)
        except BaseException:
            del self._seen[event.id]
            raise
        if not handed_over:
            self._park(event)
        return True

    def accept_quietly(self, event: Event) -> bool:
        """``accept``, for what will not come again: what the delivery raises is logged."""
        if event.id in self._seen:
            return False
        self._remember(event)
        if not self._hand_over_quietly(event):
            self._park(event)
        return True

    def owner(self, event: Event) -> str | None:
        """The flow that an event is about, if it is known."""
        if isinstance(event, IncomingCall):
            return INCOMING
        owners = (self._owners.get(subject) for subject in _subjects(event))
        address = event.flow if call_of(event) is None else None
        return next((owner for owner in owners if owner is not None), address)

    def _remember(self, event: Event) -> None:
        self._seen[event.id] = None
        if len(self._seen) > MEMORY:
            self._seen.popitem(last=False)

    def _park(self, event: Event) -> None:
        if not (subjects := _subjects(event)):
            return  # no reply will ever tell whose it is
        parked = _Parked(event, self._clock.now() + PARKING_TIME)
        for subject in subjects:
            self._parked.setdefault(subject, []).append(parked)
        self._waiting.append(parked)
        self._tidy()

    def _tidy(self) -> None:
        """Keep nothing of what has been delivered, and of what waits no more than may."""
        while self._waiting and (self._waiting[0].gone or len(self._waiting) > PARKED):
            parked = self._waiting.popleft()
            for subject in _subjects(parked.event):
                if parked in (others := self._parked.get(subject, [])):
                    others.remove(parked)
                    if not others:
                        del self._parked[subject]

    def _hand_over(self, event: Event) -> bool:
        if (flow := self.owner(event)) is None:
            return False
        if event.flow is not None and _meeting(event.flow) != _meeting(flow):
            logger().warning("event_misdirected", type=type(event).__name__, sent_to=event.flow, about=flow)
            return True
        self._deliver(flow, event)
        return True

    def _hand_over_quietly(self, event: Event) -> bool:
        try:
            return self._hand_over(event)
        except Exception:
            logger().exception("observer_failed", type=type(event).__name__, flow=self.owner(event))
            return True


def _subjects(event: Event) -> tuple[str, ...]:
    """The names of what an event is about, the most certain first."""
    if (call_id := call_of(event)) is not None:
        # An event about a call is the call's even when it names the conference too.
        return (f"call {call_id}",)
    for kind, id_ in (("bridge", getattr(event, "bridge_id", None)), ("conference", conference_of(event))):
        if id_ is not None:
            return (f"{kind} {id_}",) if (key := key_of(event)) is None else (f"{kind} {id_}", f"key {key}")
    return ()


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
