"""What is known of a meeting: the read model, fed by messages, events and results of steps.

It is not the :class:`~confkit.workflows.legs.LegBoard` that the meeting's own workflow keeps. That one decides: it sees
what its mailbox brings, in that order, and is played again from a history. This one shows: it is a merge of facts that
may come late, twice and in any order, from the workflow and from the platform alike.
"""

from __future__ import annotations

import enum
import weakref
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import anyio
from attrs import evolve

from confkit.ingest.participants import Facts, Roster, facts_in_event, facts_in_report
from confkit.ingest.watching import EventStream
from confkit.models.addresses import canonical
from confkit.models.errors import MeetingError
from confkit.models.events import (
    BridgeEnded,
    BridgeStarted,
    CallAnswered,
    CallEnded,
    CallRinging,
    ConferenceEnded,
    ConferenceStarted,
    Event,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
    RecordingFailed,
    RecordingReady,
    bridge_of,
    call_of,
    conference_of,
)
from confkit.models.records import Bridge, Call, CallState, Conference, Outcome, Participant, Party
from confkit.models.trace import Trace
from confkit.workflows.flow import FlowId
from confkit.workflows.messages import Adopted, Established, LegBrief, LegReport, MeetingEnd, Reply
from confkit.workflows.policy import Mode, Plan, kind_of

Who = str | Party | Participant

#: What can happen once only to what it happens to.
_ONCE = (
    *(CallRinging, CallAnswered, CallEnded, MemberJoined, MemberLeft),
    *(ConferenceStarted, ConferenceEnded, BridgeStarted, BridgeEnded, RecordingReady, RecordingFailed),
)


#: The messages and briefs that a view takes in.
SHOWN: Final = (LegBrief, LegReport, Adopted, Established, Reply)


class MeetingState(enum.Enum):
    """Where a meeting stands."""

    PLANNED = "planned"
    CONNECTING = "connecting"
    ESTABLISHED = "established"
    ENDED = "ended"


class MeetingView:
    """What is known of one meeting. It knows nobody who asks, and nobody who tells.

    Attributes:
        id: the meeting's.
        plan: ``None`` until it begins.
        conference: the provider's conference, once it is known.
        bridge: the provider's bridge, once it is known.
        end: how it has ended, once it has.
        roster: the facts behind the participants.
        trace: the steps so far.
    """

    def __init__(self, meeting: str, provider: str) -> None:
        self.id = FlowId(meeting)
        self.plan: Plan | None = None
        self.conference: Conference | None = None
        self.bridge: Bridge | None = None
        self.end: MeetingEnd | None = None
        self.roster = Roster()
        self.trace = Trace(meeting)
        self._provider = provider
        self._established = False
        self._commands = 0
        self._data: dict[str, Mapping[str, str]] = {}  # of those calls that the provider gave some with
        self._replies: dict[str, Reply | None] = {}  # of the commands that somebody waits for
        self._changed: anyio.Event | None = None
        self._told: set[tuple[str, ...]] = set()
        #: Mute and hold of members, as the application was last told.
        self._told_settings: dict[str, tuple[bool, bool]] = {}
        self._watchers: weakref.WeakSet[EventStream] | None = None

    # --- what is asked of it

    @property
    def state(self) -> MeetingState:
        """Where the meeting stands."""
        if self.end is not None:
            return MeetingState.ENDED
        if self._established:
            return MeetingState.ESTABLISHED
        return MeetingState.PLANNED if self.plan is None else MeetingState.CONNECTING

    @property
    def mode(self) -> Mode | None:
        """Conference or bridge; ``None`` before it begins."""
        if self.conference is not None:
            return Mode.CONFERENCE
        return self.plan.mode if self.plan else None

    @property
    def room(self) -> Conference | Bridge | None:
        """The conference, or else the bridge."""
        return self.conference if self.conference is not None else self.bridge

    @property
    def participants(self) -> tuple[Participant, ...]:
        """Every party that was ever invited, in the order of invitation, as the facts known so far have it."""
        return self.roster.participants()

    @property
    def left_behind(self) -> tuple[str, ...]:
        """What could not be undone when the meeting ended, one sentence each."""
        return self.end.left_behind + self.end.orphans if self.end else ()

    def participant(self, who: Who) -> Participant:
        """One party, by address, party, participant or id (``leg-3``); the newest, if it was invited again.

        Raises:
            MeetingError: nobody of that name is or was in the meeting.
        """
        if isinstance(who, Participant):
            return self.participant(who.id)
        if not isinstance(who, str | Party):
            raise MeetingError(f"a party is named by its address, Party, Participant or id, not by {kind_of(who)}")
        wanted = who.identity if isinstance(who, Party) else canonical(who)
        for participant in reversed(self.participants):
            if participant.id == who or participant.party.identity == wanted:
                return participant
        label = who.label if isinstance(who, Party) else Party(who).label
        raise MeetingError(f"{label} is not in this meeting")

    def is_over(self, leg: str) -> bool:
        """Whether a leg has an outcome."""
        return leg in self.roster.legs and self.roster.legs[leg][1].outcome is not None

    def lacks_the_cause_of(self, call: Call) -> bool:
        """Whether a call has just ended unanswered, for a reason that is not known yet."""
        untold = call.state is CallState.ENDED and call.cause is None and call.answered_at is None
        return untold and not any(facts.call_id == call.id and facts.is_over for _, facts in self.roster.legs.values())

    def call_of(self, person: Participant) -> Call:
        """A participant's call, as far as it must be known to ask the provider about it."""
        return self.recalled(Call(provider=self._provider, id=person.call_id or "", to=person.party.address))

    def recalled(self, call: Call) -> Call:
        """A call with the data that the provider gave with it, where it has none."""
        known = self._data.get(call.id)
        return call if known is None or call.data else evolve(call, data=known)

    async def changed(self) -> None:
        """Wait until anything about the meeting changes."""
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    def watch(self, stream: EventStream) -> None:
        """From now on a stream is offered what is news, until the meeting is over."""
        if self.end is not None:
            stream.close()
            return
        if self._watchers is None:
            self._watchers = weakref.WeakSet()
        self._watchers.add(stream)

    # --- commands that somebody waits for

    def next_command(self) -> str:
        """The id of the next command; its reply is kept until it is dropped."""
        self._commands += 1
        command = f"command-{self._commands}"
        self._replies[command] = None
        return command

    def reply_to(self, command: str) -> Reply | None:
        """The reply, once it is there."""
        return self._replies[command]

    def drop_reply(self, command: str) -> None:
        """Nobody waits for it any more."""
        self._replies.pop(command, None)

    # --- what it is told

    def on_start(self, plan: Plan) -> None:
        """The meeting begins with these parties."""
        self.plan = plan
        for number, party in enumerate(plan.parties, 1):
            self.roster.seat(f"{self.id}/leg-{number}", party)

    def on_message(self, flow: FlowId, message: Any, at: datetime) -> None:
        """A message between the meeting's workflows and its owner, or the brief of a workflow that starts."""
        match message:
            case LegBrief(party=party):
                self.roster.seat(flow, party)
            case LegReport():
                if message.call is not None and message.call.data:
                    self._data[message.call.id] = message.call.data
                self.roster.learn(message.leg, facts_in_report(message, at))
                if message.outcome is not None:
                    self.trace.note_end(message.leg, message.outcome, at)
            case Adopted():
                self.conference = message.conference
            case Established():
                self._established = True
                self.conference = message.conference or self.conference
                self.bridge = message.bridge or self.bridge
            case Reply():
                if message.command in self._replies:
                    self._replies[message.command] = message
        self._notify()

    def on_event(self, flow: str, event: Event, at: datetime, number: int) -> Event | None:
        """Take in an event about this meeting and show the watchers what is news in it; gives that.

        Args:
            at: when it happened, on our clock.
            number: of what came in, for two at one instant.
        """
        if flow in self.roster.legs:
            self.roster.learn(flow, facts_in_event(event, at, number))
        news = self._news_in(flow, event)
        if news is not None and self._watchers:
            for watcher in list(self._watchers):
                watcher.offer(news)
        self._notify()
        return news

    def on_result(self, flow: FlowId, result: Any) -> None:
        """A step of one of the meeting's workflows gave this result."""
        if flow == self.id:
            if isinstance(result, Conference):
                self.conference = result
            elif isinstance(result, Bridge):
                self.bridge = result
            self._notify()

    def on_end(self, end: MeetingEnd, at: datetime) -> None:
        """The meeting is over."""
        self.end = end
        cancelled = Facts(outcome=(at, Outcome.CANCELLED.value))
        for leg, (_, facts) in self.roster.legs.items():
            if facts.call_id is None and facts.outcome is None:
                self.roster.learn(leg, cancelled)  # it was over before anybody was dialled
        for watcher in list(self._watchers or ()):
            watcher.close()
        self._notify()

    # --- what is news

    def _news_in(self, flow: str, event: Event) -> Event | None:
        """What the application has not been told: a fact can come from a webhook, a stream and every poll.

        What can happen once is told once. A member that is in already, and is told of again, is news only where its
        mute or hold has changed. Anything else (keys, playing, what confkit has no word for) can happen again and is
        told each time: duplicates of one delivery are dropped before, by their id.
        """
        if isinstance(event, MemberJoined | MemberUpdated) and flow in self.roster.legs:
            return self._member_news(flow, event)
        if isinstance(event, _ONCE):
            own = getattr(event, "recording_id", None) or getattr(event, "member_id", None)
            subject = own or call_of(event) or conference_of(event) or bridge_of(event)
            return event if self._is_new(event, subject or "") else None
        return event

    def _member_news(self, flow: str, event: MemberJoined | MemberUpdated) -> Event | None:
        facts = self.roster.legs[flow][1]
        settings = (bool(facts.mute and facts.mute.value), bool(facts.hold and facts.hold.value))
        told = self._told_settings.get(event.member_id)
        if isinstance(event, MemberJoined) and self._is_new(event, event.member_id):
            self._told_settings[event.member_id] = settings
            return evolve(event, mute=settings[0], hold=settings[1])
        if settings == told:
            return None
        self._told_settings[event.member_id] = settings
        return MemberUpdated(
            provider=event.provider,
            id=event.id,
            occurred_at=event.occurred_at,
            flow=event.flow,
            raw=event.raw,
            call_id=event.call_id,
            member_id=event.member_id,
            conference_id=event.conference_id,
            mute=settings[0],
            hold=settings[1],
        )

    def _is_new(self, event: Event, subject: str) -> bool:
        fact = (type(event).__name__, subject)
        if fact in self._told:
            return False
        self._told.add(fact)
        return True

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None
