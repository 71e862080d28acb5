"""The application's handle of a meeting: it shows the meeting's state and sends commands to its workflow.

What it shows is kept by the :class:`~confkit.ingest.meeting_view.MeetingView`, and what the workflow decides by, by its
:class:`~confkit.workflows.legs.LegBoard`: they are two because the one takes in facts in any order, and the other is
played again from a history.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from attrs import frozen

from confkit.client.arguments import (
    file,
    incoming_call,
    refuse_media,
    refuse_patch,
    refuse_recording,
    refuse_type,
    spoken,
)
from confkit.client.commands import ask, not_established
from confkit.client.engine import Engine
from confkit.ingest.meeting_view import MeetingState, MeetingView, Who
from confkit.ingest.watching import EventStream
from confkit.models.addresses import problem_with
from confkit.models.durations import Duration
from confkit.models.errors import (
    ConfkitError,
    MeetingError,
    PolicyError,
    Unsupported,
)
from confkit.models.events import (
    IncomingCall,
)
from confkit.models.records import (
    STOP,
    Bridge,
    Call,
    Conference,
    ConferencePatch,
    Media,
    MemberPatch,
    Participant,
    ParticipantState,
    Party,
    RecordAction,
)
from confkit.models.trace import Trace
from confkit.workflows.messages import (
    Add,
    Argument,
    Perform,
    Remove,
    Reply,
)
from confkit.workflows.policy import Mode, Plan, party_of, plan


@frozen(kw_only=True)
class ConnectOptions:
    """What the application asked of ``connect``."""

    parties: tuple[str | Party, ...]
    caller_id: str | None
    quorum: int
    answer_timeout: Duration
    expandable: bool


class Meeting:
    """Some parties, talking. Made by ``client.connect(...)``; entering it establishes it, leaving it ends it.

    Attributes:
        id: unique; also the id of the meeting's workflow.
    """

    def __init__(self, engine: Engine, options: ConnectOptions | None, view: MeetingView | None = None) -> None:
        self._engine = engine
        self._options = options
        self._view = view or MeetingView(f"m-{engine.new_id()}", engine.steps.provider)
        self.id = self._view.id

    def __eq__(self, other: object) -> bool:
        return self._view is other._view if isinstance(other, Meeting) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    # --- its state

    @property
    def state(self) -> MeetingState:
        """Where the meeting stands."""
        return self._view.state

    @property
    def mode(self) -> Mode | None:
        """Conference or bridge; ``None`` before the meeting is entered."""
        return self._view.mode

    @property
    def conference(self) -> Conference | None:
        """The provider's conference, once it is known."""
        return self._view.conference

    @property
    def bridge(self) -> Bridge | None:
        """The provider's bridge, once it is known."""
        return self._view.bridge

    @property
    def participants(self) -> tuple[Participant, ...]:
        """Every party that was ever invited, in the order of invitation, as the facts known so far have it."""
        return self._view.participants

    @property
    def trace(self) -> Trace:
        """The steps so far."""
        return self._view.trace

    @property
    def left_behind(self) -> tuple[str, ...]:
        """What could not be undone when the meeting ended, one sentence each."""
        return self._view.left_behind

    def participant(self, who: Who) -> Participant:
        """One party, by address, party, participant or id (``leg-3``); the newest, if it was invited again.

        Raises:
            MeetingError: nobody of that name is or was in the meeting.
        """
        return self._view.participant(who)

    def __repr__(self) -> str:
        return f"<Meeting {self.id} {self.state.value}, {len(self._view.roster.legs)} parties>"

    # --- its life

    async def __aenter__(self) -> Meeting:
        """Establish the meeting: returns when everyone has joined or has an outcome, and the quorum is there.

        Raises:
            ConfkitError: it was entered before, or its client is closed or lives elsewhere.
            PolicyError: before anything was sent.
            QuorumNotReached: too few joined; everything was undone.
            ProviderError: the provider would not create the conference or bridge; nobody was dialled, or it was undone.
        """
        engine, options, view = self._engine, self._options, self._view
        engine.check()
        if options is None or view.plan is not None:
            raise ConfkitError("a meeting is entered once: make another with client.connect(...)")
        begun = plan(
            options.parties,
            policy=engine.policy,
            capabilities=engine.steps.capabilities,
            caller_id=options.caller_id,
            quorum=options.quorum,
            answer_timeout=options.answer_timeout,
            expandable=options.expandable,
        )
        await engine.start(view, begun)
        try:
            while view.state is MeetingState.CONNECTING:
                await view.changed()
        except BaseException:
            await engine.end(view)
            raise
        if view.end is not None:
            raise not_established(view, view.end, engine.steps.provider)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and (self._view.plan is None or self._engine.home.problem() is not None):
            return  # the error says it, or matters more; whoever entered the meeting ends it
        self._expect_entered()
        await self._engine.end(self._view)
        if error is None:
            self._raise_left_behind()
        elif self.left_behind:
            error.add_note("confkit could not undo: " + "; ".join(self.left_behind))

    async def end(self) -> None:
        """End the meeting for everyone and wait until it is over.

        Raises:
            MeetingError: something may still be up; ``left_behind`` says what.
        """
        await self._engine.end(self._view)
        self._raise_left_behind()

    def _raise_left_behind(self) -> None:
        """An empty room that was lost on the way costs nobody anything; everything else is worth an error."""
        if self._view.end is not None and self._view.end.left_behind:
            raise MeetingError("the meeting has ended", participants=self.participants, left_behind=self.left_behind)

    async def wait_until_ended(self) -> None:
        """Wait until the meeting is over, whoever ends it."""
        self._expect_entered()
        while self._view.end is None:
            await self.changed()

    async def changed(self) -> None:
        """Wait until anything about the meeting changes."""
        self._engine.home.check()
        await self._view.changed()

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
        if (room := self._room_kind()) not in self._engine.steps.capabilities.answers_into:
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
        if self._view.end is None:
            self._engine.home.check()
        self._view.watch(stream)
        return stream

    # --- inside

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
        return {
            "id": self._view.next_command(),
            "owner": f"{self.id}/owner",
            "target": None if participant is None else f"{self.id}/{participant.id}",
        }

    async def _ask(self, command: Add | Remove | Perform) -> Reply:
        self._expect_entered()
        return await ask(self._engine, self._view, command)

    def _expect_entered(self) -> Plan:
        if self._view.plan is None:
            self._engine.check()
            raise MeetingError("enter the meeting first: async with client.connect(...) as meeting")
        return self._view.plan
