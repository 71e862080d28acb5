"""The application's handle of a meeting: it shows the meeting's state and sends commands to its flow."""

from __future__ import annotations

import enum
import weakref
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

import anyio
from attrs import evolve, frozen

from confkit.client.arguments import (
    file,
    incoming_call,
    refuse_media,
    refuse_patch,
    refuse_recording,
    refuse_type,
    spoken,
)
from confkit.client.engine import Engine
from confkit.ingest.participants import Facts, Roster, facts_in_event, facts_in_report
from confkit.ingest.watching import EventStream
from confkit.models import errors
from confkit.models.addresses import canonical, problem_with
from confkit.models.durations import Duration
from confkit.models.errors import (
    ConfkitError,
    MeetingEnded,
    MeetingError,
    PolicyError,
    ProviderError,
    QuorumNotReached,
    Unsupported,
    Withdrawn,
)
from confkit.models.events import (
    BridgeEnded,
    BridgeStarted,
    CallAnswered,
    CallEnded,
    CallRinging,
    ConferenceEnded,
    ConferenceStarted,
    Event,
    IncomingCall,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
    RecordingFailed,
    RecordingReady,
    bridge_of,
    call_of,
    conference_of,
)
from confkit.models.records import (
    STOP,
    Bridge,
    Call,
    CallState,
    Conference,
    ConferencePatch,
    Media,
    MemberPatch,
    Outcome,
    Participant,
    ParticipantState,
    Party,
    RecordAction,
)
from confkit.models.trace import Trace
from confkit.workflows.messages import (
    Add,
    Adopted,
    Argument,
    Command,
    End,
    EndReason,
    Established,
    Failure,
    LegBrief,
    LegReport,
    MeetingBrief,
    MeetingEnd,
    Message,
    Perform,
    Remove,
    Reply,
)
from confkit.workflows.policy import Mode, Plan, kind_of, party_of, plan

Who = str | Party | Participant

#: How long the undoing of a meeting may take before its owner gets a report instead.
UNDO_TIMEOUT = timedelta(seconds=90)

#: What can happen once only to what it happens to.
_ONCE = (
    *(CallRinging, CallAnswered, CallEnded, MemberJoined, MemberLeft),
    *(ConferenceStarted, ConferenceEnded, BridgeStarted, BridgeEnded, RecordingReady, RecordingFailed),
)


class MeetingState(enum.Enum):
    """Where a meeting stands."""

    PLANNED = "planned"
    CONNECTING = "connecting"
    ESTABLISHED = "established"
    ENDED = "ended"


@frozen(kw_only=True)
class Wishes:
    """What the application asked of ``connect``."""

    parties: tuple[str | Party, ...]
    caller_id: str | None
    quorum: int
    answer_timeout: Duration
    growable: bool


class Meeting:
    """Some parties, talking. Made by ``client.connect(...)``; entering it establishes it, leaving it ends it.

    Attributes:
        id: unique; also the id of the meeting's flow.
    """

    def __init__(self, engine: Engine, wishes: Wishes) -> None:
        self.id = f"m-{engine.new_id()}"
        self._engine = engine
        self._wishes = wishes
        self._plan: Plan | None = None
        self._roster = Roster()
        self._trace = Trace(self.id)
        self._conference: Conference | None = None
        self._bridge: Bridge | None = None
        self._established = False
        self._end: MeetingEnd | None = None
        self._replies: dict[str, Reply | None] = {}  # of the commands that somebody waits for
        self._changed: anyio.Event | None = None
        self._commands = 0
        self._told: set[tuple[str, ...]] = set()
        #: Mute and hold of members, as the application was last told.
        self._told_settings: dict[str, tuple[bool, bool]] = {}
        self._watchers: weakref.WeakSet[EventStream] = weakref.WeakSet()

    # --- its state

    @property
    def state(self) -> MeetingState:
        """Where the meeting stands."""
        if self._end is not None:
            return MeetingState.ENDED
        if self._established:
            return MeetingState.ESTABLISHED
        return MeetingState.PLANNED if self._plan is None else MeetingState.CONNECTING

    @property
    def mode(self) -> Mode | None:
        """Conference or bridge; ``None`` before the meeting is entered."""
        if self._conference is not None:
            return Mode.CONFERENCE
        return self._plan.mode if self._plan else None

    @property
    def conference(self) -> Conference | None:
        """The provider's conference, once it is known."""
        return self._conference

    @property
    def bridge(self) -> Bridge | None:
        """The provider's bridge, once it is known."""
        return self._bridge

    @property
    def participants(self) -> tuple[Participant, ...]:
        """Every party that was ever invited, in the order of invitation, as the facts known so far have it."""
        return self._roster.participants()

    @property
    def trace(self) -> Trace:
        """The steps so far."""
        return self._trace

    @property
    def left_behind(self) -> tuple[str, ...]:
        """What could not be undone when the meeting ended, one sentence each."""
        return self._end.left_behind + self._end.orphans if self._end else ()

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

    def __repr__(self) -> str:
        return f"<Meeting {self.id} {self.state.value}, {len(self._roster.legs)} parties>"

    # --- its life

    async def __aenter__(self) -> Meeting:
        """Establish the meeting: returns when everyone has joined or has an outcome, and the quorum is there.

        Raises:
            ConfkitError: it was entered before, or its client is closed or lives elsewhere.
            PolicyError: before anything was sent.
            QuorumNotReached: too few joined; everything was undone.
            ProviderError: the provider would not create the conference or bridge; nobody was dialled, or it was undone.
        """
        engine, wishes = self._engine, self._wishes
        engine.check()
        if self._plan is not None:
            raise ConfkitError("a meeting is entered once: make another with client.connect(...)")
        self._plan = plan(
            wishes.parties,
            policy=engine.policy,
            capabilities=engine.steps.capabilities,
            caller_id=wishes.caller_id,
            quorum=wishes.quorum,
            answer_timeout=wishes.answer_timeout,
            growable=wishes.growable,
        )
        for number, party in enumerate(self._plan.parties, 1):
            self._roster.seat(f"{self.id}/leg-{number}", party)
        await engine.open(self, self._brief(self._plan))
        try:
            while not self._established and self._end is None:
                await self.changed()
        except BaseException:
            await self.finish()
            raise
        if self._end is not None:
            raise self._not_established(self._end)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and (self._plan is None or self._engine.home.problem() is not None):
            return  # the error says it, or matters more; whoever entered the meeting ends it
        self._expect_entered()
        await self.finish()
        if error is None:
            self._complain()
        elif self.left_behind:
            error.add_note("confkit could not undo: " + "; ".join(self.left_behind))

    async def end(self) -> None:
        """End the meeting for everyone and wait until it is over.

        Raises:
            MeetingError: something may still be up; ``left_behind`` says what.
        """
        await self.finish()
        self._complain()

    def _complain(self) -> None:
        """An empty room that was lost on the way costs nobody anything; everything else is worth an error."""
        if self._end is not None and self._end.left_behind:
            raise MeetingError("the meeting has ended", participants=self.participants, left_behind=self.left_behind)

    async def wait_until_ended(self) -> None:
        """Wait until the meeting is over, whoever ends it."""
        self._expect_entered()
        while self._end is None:
            await self.changed()

    async def changed(self) -> None:
        """Wait until anything about the meeting changes."""
        self._engine.home.check()
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    # --- commands

    async def add(self, party: str | Party) -> Participant:
        """Invite one more party; returns when it is on its way, before it answers.

        Raises:
            PolicyError: the meeting is full, the party is in it already, or its address cannot be dialled.
            MeetingEnded: the meeting is over.
        """
        return await self._add(party_of(party, "the party"), None)

    async def admit(self, call: IncomingCall) -> Participant:
        """Answer somebody who has called in, and bring them into the meeting.

        Raises:
            Unsupported: the provider cannot bring a call that came in into a conference, or into a bridge.
            PolicyError: the meeting is full, or the caller is in it already, or withholds its number.
            MeetingEnded: the meeting is over.
        """
        self._require("answer_call")
        refuse_type("admit", IncomingCall, call=call)
        if (room := self._room_kind()) not in self._engine.steps.capabilities.admits:
            raise Unsupported(f"admit: {room}", provider=call.provider, operation="answer_call")
        return await self._add(Party(call.caller), incoming_call(call))

    async def remove(self, who: Who) -> None:
        """Take a party out and hang up; who has left already stays left."""
        participant = self.participant(who)
        if participant.state is not ParticipantState.ENDED:
            await self._ask(Remove(**self._for(participant)))

    async def mute(self, who: Who) -> None:
        """The party hears, and is not heard."""
        await self._update(who, MemberPatch(mute=True))

    async def unmute(self, who: Who) -> None:
        """The party is heard again."""
        await self._update(who, MemberPatch(mute=False))

    async def hold(self, who: Who) -> None:
        """The party neither hears nor is heard."""
        await self._update(who, MemberPatch(hold=True))

    async def resume(self, who: Who) -> None:
        """The party is back from hold."""
        await self._update(who, MemberPatch(hold=False))

    async def mute_all(self, on: bool = True) -> None:
        """Nobody is heard; members that were muted themselves stay so when it is switched off."""
        self._require("update_conference")
        refuse_type("mute_all", bool, on=on)
        await self._perform("update_conference", None, ConferencePatch(mute=on))

    async def play(self, url: str, *, to: Who | None = None, loop: bool = False) -> None:
        """Play a file to everyone, or to one party."""
        await self._play(file(url, loop=loop), to)

    async def say(
        self, text: str, *, to: Who | None = None, voice: str | None = None, locale: str | None = None
    ) -> None:
        """Speak a text to everyone, or to one party.

        Raises:
            InvalidRequest: the text is too long for the provider, or it has no such voice or locale.
        """
        await self._play(spoken(text, voice=voice, locale=locale), to)

    async def stop_playing(self, *, to: Who | None = None) -> None:
        """Stop what is playing."""
        await self._play(STOP, to)

    async def record(self, action: RecordAction = RecordAction.START, *, of: Who | None = None) -> None:
        """Start, stop or pause the recording of everyone, or of one party's call."""
        kind = "call" if of is not None else self._room_kind()
        refuse_type("record", RecordAction, action=action)
        refuse_recording(self._engine.steps.capabilities, kind, action)
        await self._perform("record", self._maybe(of), action)

    async def send_digits(self, who: Who, digits: str) -> None:
        """Send DTMF to a party."""
        self._require("send_digits")
        refuse_type("send_digits", str, digits=digits)
        await self._perform("send_digits", self.participant(who), digits)

    async def transfer(self, who: Who, to: str) -> None:
        """Hand a party over to another address; it leaves the meeting."""
        self._require("transfer")
        refuse_type("transfer", str, to=to)
        if problem := problem_with(to):
            raise PolicyError([problem])
        await self._perform("transfer", self.participant(who), to, self._expect_entered().caller_id)

    def events(self) -> EventStream:
        """What happens from now on, until the meeting is over.

        A consumer that falls more than 1,000 events behind never blocks the meeting: it gets ``Missed``, with how
        many, in the place of those it lost.
        """
        stream = EventStream(self._engine.home)
        if self._end is None:
            self._engine.home.check()
            self._watchers.add(stream)
        else:
            stream.close()
        return stream

    # --- what the engine calls

    def observe(self, flow: str, message: Message | MeetingBrief | LegBrief) -> None:
        """See a message between the meeting's flows and its owner, or the input of a flow that starts."""
        match message:
            case LegBrief(party=party):
                self._roster.seat(flow, party)
            case LegReport():
                self._roster.learn(message.leg, facts_in_report(message, self._engine.clock.now()))
                if message.outcome is not None:
                    self._trace.note_end(message.leg, message.outcome, self._engine.clock.now())
            case Adopted():
                self._conference = message.conference
            case Established():
                self._established = True
                self._conference = message.conference or self._conference
                self._bridge = message.bridge or self._bridge
            case Reply():
                if message.command in self._replies:
                    self._replies[message.command] = message
            case _:
                return
        self._notify()

    def happened(self, flow: str, event: Event, at: datetime, number: int) -> Event | None:
        """Take in an event about this meeting and show the application what is news in it; gives that.

        Args:
            at: when it happened, on our clock.
            number: of what came in, for two at one instant.
        """
        if flow in self._roster.legs:
            self._roster.learn(flow, facts_in_event(event, at, number))
        news = self._news_in(flow, event)
        if news is not None:
            for watcher in list(self._watchers):
                watcher.offer(news)
        self._notify()
        return news

    def learned(self, flow: str, result: Any) -> None:
        """A step of one of the meeting's flows gave this result."""
        if flow == self.id:
            if isinstance(result, Conference):
                self._conference = result
            elif isinstance(result, Bridge):
                self._bridge = result
            self._notify()

    def ended(self, end: MeetingEnd) -> None:
        """The meeting's flow has returned."""
        self._end = end
        cancelled = Facts(outcome=(self._engine.clock.now(), Outcome.CANCELLED.value))
        for leg, (_, facts) in self._roster.legs.items():
            if facts.call_id is None and facts.outcome is None:
                self._roster.learn(leg, cancelled)  # it was over before anybody was dialled
        for watcher in list(self._watchers):
            watcher.close()
        self._notify()

    @property
    def roster(self) -> Roster:
        """The facts behind the participants."""
        return self._roster

    def lacks_the_cause_of(self, call: Call) -> bool:
        """Whether a call has just ended unanswered, for a reason that is not known yet."""
        untold = call.state is CallState.ENDED and call.cause is None and call.answered_at is None
        return untold and not any(facts.call_id == call.id and facts.is_over for _, facts in self._roster.legs.values())

    def call_of(self, person: Participant) -> Call:
        """A participant's call, as far as it must be known to ask the provider about it."""
        return Call(provider=self._engine.steps.provider, id=person.call_id or "", to=person.party.address)

    # --- inside

    def _brief(self, plan_: Plan) -> MeetingBrief:
        capabilities = self._engine.steps.capabilities
        return MeetingBrief(
            plan=plan_,
            owner=f"{self.id}/owner",
            provider=self._engine.steps.provider,
            materialise=capabilities.materialise,
            joining=capabilities.joining,
            bridging=capabilities.bridging,
            moves_calls=capabilities.moves_calls,
            end_hangs_up=capabilities.end_hangs_up,
            callbacks=self._engine.callbacks(self.id),
        )

    async def finish(self) -> None:
        """End the flow and wait for it, whatever happens to our own task meanwhile."""
        if self._end is not None or self._plan is None:
            return
        self._engine.home.check()
        with anyio.CancelScope(shield=True):
            await self._engine.runtime.send(self.id, End(), key="end")
            with anyio.move_on_after(UNDO_TIMEOUT.total_seconds()):
                await self.wait_until_ended()
            if self._end is None:
                late = f"the undoing of {self.id} did not finish within {UNDO_TIMEOUT.total_seconds():g} s"
                self._engine.give_up(self, late)

    def _not_established(self, end: MeetingEnd) -> ConfkitError:
        details: dict[str, Any] = {"participants": self.participants, "left_behind": end.left_behind + end.orphans}
        people = "; ".join(_fate(person) for person in self.participants)
        quorum = self._plan.quorum if self._plan else 0
        match end.reason:
            case EndReason.QUORUM_MISSED:
                return QuorumNotReached(f"fewer than {quorum} joined: {people}", **details)
            case EndReason.CONFERENCE_ENDED:
                return MeetingEnded(
                    f"the conference ended, because its last member left, before {quorum} had joined: {people}",
                    **details,
                )
            case EndReason.ASKED:
                return MeetingEnded("the meeting was ended before it was established", **details)
        if end.failure is None:
            return MeetingError(f"everyone left: {people}", **details)
        error = _raised(end.failure, self._engine.steps.provider)
        if isinstance(error, ProviderError):
            error.left_behind = end.left_behind + end.orphans
            return error
        return MeetingError(end.failure.message, **details)

    async def _add(self, party: Party, incoming: Call | None) -> Participant:
        reply = await self._ask(Add(**self._for(None), party=party, incoming=incoming))
        return self.participant((reply.leg or "").rpartition("/")[2])

    async def _update(self, who: Who, patch: MemberPatch) -> None:
        self._require("update_member")
        refuse_patch(self._engine.steps.capabilities, patch)
        await self._perform("update_member", self.participant(who), patch)

    async def _play(self, media: Media, to: Who | None) -> None:
        self._require("play")
        participant = self._maybe(to)
        if participant is None:
            kind = self._room_kind()
        else:
            kind = "member" if participant.member_id is not None else "call"
        refuse_media(self._engine.steps.capabilities, kind, media)
        await self._perform("play", participant, media)

    async def _perform(self, operation: str, on: Participant | None, *arguments: Argument) -> None:
        """Have one operation of the contract carried out on a party, or on the room."""
        await self._ask(Perform(**self._for(on), operation=operation, arguments=arguments))

    def _room_kind(self) -> str:
        return "conference" if self.mode is Mode.CONFERENCE else "bridge"

    def _maybe(self, who: Who | None) -> Participant | None:
        return None if who is None else self.participant(who)

    def _require(self, operation: str) -> None:
        self._engine.steps.require(operation)

    def _for(self, participant: Participant | None) -> dict[str, Any]:
        """The head of a command."""
        self._commands += 1
        return {
            "id": f"command-{self._commands}",
            "owner": f"{self.id}/owner",
            "target": None if participant is None else f"{self.id}/{participant.id}",
        }

    async def _ask(self, command: Any) -> Reply:
        """Send a command to the meeting's flow and wait for the reply.

        Raises:
            MeetingEnded: the meeting is over.
        """
        assert isinstance(command, Command)
        self._expect_entered()
        self._replies[command.id] = None
        try:
            if self._end is None:
                self._engine.home.check()
                await self._engine.runtime.send(self.id, command, key=command.id)  # type: ignore[arg-type]
            while (reply := self._replies[command.id]) is None:
                if self._end is not None:
                    raise MeetingEnded("the meeting is over", participants=self.participants)
                if command.target is not None and self._gone(command.target):
                    if isinstance(command, Remove):
                        return Reply(command=command.id)
                    raise MeetingError("the party left meanwhile", participants=self.participants)
                await self.changed()
        finally:
            del self._replies[command.id]
        if reply.failure is not None:
            raise _raised(reply.failure, self._engine.steps.provider)
        return reply

    def _expect_entered(self) -> Plan:
        if self._plan is None:
            self._engine.check()
            raise MeetingError("enter the meeting first: async with client.connect(...) as meeting")
        return self._plan

    def _gone(self, leg: str) -> bool:
        return leg in self._roster.legs and self._roster.legs[leg][1].outcome is not None

    def _news_in(self, flow: str, event: Event) -> Event | None:
        """What the application has not been told: a fact can come from a webhook, a stream and every poll.

        What can happen once is told once. A member that is in already, and is told of again, is news only where its
        mute or hold has changed. Anything else (keys, playing, what confkit has no word for) can happen again and is
        told each time: duplicates of one delivery are dropped before, by their id.
        """
        if isinstance(event, MemberJoined | MemberUpdated) and flow in self._roster.legs:
            return self._member_news(flow, event)
        if isinstance(event, _ONCE):
            own = getattr(event, "recording_id", None) or getattr(event, "member_id", None)
            subject = own or call_of(event) or conference_of(event) or bridge_of(event)
            return event if self._is_new(event, subject or "") else None
        return event

    def _member_news(self, flow: str, event: MemberJoined | MemberUpdated) -> Event | None:
        facts = self._roster.legs[flow][1]
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


def _fate(person: Participant) -> str:
    outcome = person.outcome.value.replace("_", " ") if person.outcome else person.state.value
    return f"{person.party.label} {outcome}" + (f" ({person.error})" if person.error else "")


def _raised(failure: Failure, provider: str) -> Exception:
    """A failure that came as a value, as the error that it was."""
    kind: type[Exception] = getattr(errors, failure.kind, MeetingError)
    if kind is Withdrawn:
        return MeetingEnded("the meeting was ended before this was sent")
    if kind is PolicyError:
        return PolicyError([failure.message])
    if kind is Unsupported:
        return Unsupported(failure.operation, provider=provider, operation=failure.operation)
    if issubclass(kind, ProviderError):
        error: ProviderError = kind(
            failure.detail,
            provider=provider,
            operation=failure.operation,
            code=failure.code,
            status=failure.status,
        )
        return error
    return MeetingEnded(failure.message) if kind is MeetingEnded else MeetingError(failure.message)
