"""The sequence of one leg: dial a party, wait for the answer, join, stay, and leave nothing behind.

``leg`` is a flow (see :mod:`confkit.workflows.flows`). The other half of the sequence, ``meeting``, is in
:mod:`confkit.workflows.meeting`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NoReturn

from attrs import define, evolve

from confkit.models.addresses import canonical
from confkit.models.errors import Conflict, NotFound, OutcomeUnknown, ProviderError, Withdrawn
from confkit.models.events import (
    CallAnswered,
    CallEnded,
    ConferenceEnded,
    MemberJoined,
    MemberLeft,
    call_of,
)
from confkit.models.records import (
    Bridge,
    Call,
    CallSpec,
    CallState,
    Conference,
    Dialled,
    EndCause,
    FindHint,
    Member,
    MemberOptions,
    MemberPatch,
    Membership,
    MemberState,
    Outcome,
    Snapshot,
)
from confkit.workflows.commands import Then, perform_for_one, performance_of
from confkit.workflows.flows import Flow, op_key
from confkit.workflows.messages import (
    Failure,
    HangUp,
    Happened,
    LegBrief,
    LegEnd,
    LegReport,
    Perform,
    Proceed,
    Remove,
    Reply,
    Stage,
)

#: The platform ends the ringing; this much longer we wait for it to say so before we hang up ourselves.
GRACE = timedelta(seconds=5)
#: How long a leg that cannot join, because something is over, waits to hear what.
EXPLANATION = timedelta(seconds=3)
#: How long a leg that has answered waits to hear that it is in, where the platform joins it by itself, or promises to.
JOINING = timedelta(seconds=15)


async def leg(flow: Flow, brief: LegBrief) -> LegEnd:
    """Dial one party, wait for the answer, join, stay; and leave nothing behind, however it ends."""
    seat = _Leg(flow, brief)
    try:
        await seat.dial()
        await seat.until_answered()
        await seat.join()
        while True:
            await seat.next(None)
    except _Over as over:
        await seat.leave(over, watches=not seat.ending)
        if seat.lost is not None and not seat.ending:
            await seat.watch(over)
        return LegEnd(outcome=over.outcome)


class _Over(Exception):
    """The leg is over. ``up``: its call may still be. ``told``: that it is not was told, and not asked for."""

    def __init__(
        self, outcome: Outcome, failure: Failure | None = None, *, up: bool = True, told: bool = False
    ) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.failure = failure
        self.up = up
        self.told = told


@define
class _Leg:
    """What a leg knows of itself. Facts come in any order, so each is kept by itself."""

    flow: Flow
    brief: LegBrief
    into: Conference | Bridge | None = None
    call: Call | None = None
    member: Member | None = None
    membership: Membership = Membership.NONE
    answered: bool = False
    joined: bool = False
    let_on: bool = False
    reports: int = 0
    #: What may still be up, one sentence: a call that we have no id of, or one that could not be hung up.
    lost: str | None = None
    #: The meeting is being undone.
    ending: bool = False
    asked_to_leave: Remove | Perform | None = None

    @property
    def outcome_now(self) -> Outcome:
        """What it is to a party that something else than its own doing ends its call."""
        return Outcome.LEFT if self.joined else Outcome.CANCELLED

    async def dial(self) -> None:
        """Create the call with the conference's or the bridge's id."""
        brief = self.brief
        self.into = brief.into
        if brief.asks:
            while not self.let_on:
                await self.next(None)
        try:
            if brief.incoming is None:
                spec = CallSpec(
                    to=brief.party.address,
                    caller_id=brief.caller_id,
                    answer_timeout=brief.answer_timeout,
                    callback_url=callback_url(brief.callbacks, self.flow.id),
                )
                dialled: Dialled = await self.flow.step("create_call", spec, self.into, limit=brief.caller_id)
            else:
                dialled = await self.flow.step("answer_call", brief.incoming, self.into)
        except Withdrawn:
            raise _Over(Outcome.CANCELLED, up=False) from None
        except OutcomeUnknown as error:
            if brief.incoming is not None:
                self.call = brief.incoming
                raise _Over(Outcome.FAILED, Failure.of(error)) from None
            self.lost = f"the call to {brief.party.label} may have been made: {error}"
            if isinstance(self.into, Conference) and (self.into.id is None or brief.named):
                self.lost += ", and a conference may have been created with it"
            raise _Over(Outcome.FAILED, Failure.of(error), up=False) from None
        except ProviderError as error:
            raise _Over(Outcome.FAILED, Failure.of(error), up=False) from None
        self.call = dialled.call
        self.membership = dialled.membership
        self.let_on = False
        if dialled.conference is not None:
            self.into = dialled.conference
        await self.report(Stage.DIALLED, conference_id=_id_of(dialled.conference))

    async def until_answered(self) -> None:
        """Wait for the answer; a party that has not answered in time is hung up on."""
        if self.brief.incoming is not None:
            self.answered = True
        patience = self.brief.answer_timeout + GRACE
        while not self.answered:
            if not await self.next(patience) and not await self.has_answered():
                raise _Over(Outcome.NO_ANSWER)
        await self.report(Stage.ANSWERED)

    async def has_answered(self) -> bool:
        """Ask, before somebody is hung up on who may have answered: the event may be lost, or the polls too slow."""
        try:
            snapshot: Snapshot = await self.flow.step("fetch", self.call)
        except ProviderError:
            return False
        for call in snapshot.calls:
            if self.call is not None and call.id == self.call.id:
                if call.state is CallState.ENDED:
                    # It has rung for as long as it may: that is why, where the platform does not say.
                    cause = call.cause or EndCause.UNKNOWN
                    self._call_ended(EndCause.NO_ANSWER if cause is EndCause.UNKNOWN else cause, asked=True)
                self.answered = call.state is CallState.ANSWERED
        return self.answered

    async def join(self) -> None:
        """Get into the conference or bridge, the way that the provider has."""
        match self.membership:
            case Membership.EXPLICIT:
                await self.join_conference()
            case Membership.ON_ANSWER:
                self.joined = True
            case Membership.NONE:
                while not self.let_on:  # until a second has answered, this one is held ready
                    await self.next(None)
                if isinstance(self.into, Conference):
                    await self.join_conference()
                else:
                    self.joined = True
            case Membership.FUSED:
                pass
        while not self.joined:
            if not await self.next(JOINING) and not await self.is_in():
                failure = Failure(kind="NotReady", message="it has answered, and nobody confirms that it has joined")
                raise _Over(Outcome.FAILED, failure)
        await self.report(Stage.JOINED, conference_id=_id_of(self.into))

    async def join_conference(self) -> None:
        """Wait to be let on, and add the answered call; again, where the conference ended before it was in."""
        added = False
        while not added:
            while not self.let_on:
                await self.next(None)
            added = await self.add_member()

    async def is_in(self) -> bool:
        """Ask, before somebody is hung up on who may be in: the event may be lost."""
        try:
            snapshot: Snapshot = await self.flow.step("fetch", self.into if _id_of(self.into) else self.call)
        except ProviderError:
            return False
        for member in snapshot.members:
            if self.call is not None and member.call_id == self.call.id and member.state is MemberState.JOINED:
                await self._note_member(member.id, member.conference.id or "")
        return self.joined

    async def add_member(self) -> bool:
        """Add the answered call to the conference by its id; ``False`` when the conference has ended meanwhile, and
        another has taken its place."""
        self.let_on = False
        try:
            member: Member = await self.flow.step("add_member", self.into, self.call, MemberOptions())
        except Withdrawn:
            raise _Over(Outcome.CANCELLED) from None
        except ProviderError as error:
            # It may have hung up, or the conference may have ended, while it waited for its turn; then that is
            # what happened, and no error. What is polled is known later than the refusal.
            if isinstance(error, Conflict | NotFound) and _id_of(self.into):
                await ask_about(self.flow, self.into)
            open_ = isinstance(error, Conflict | NotFound | OutcomeUnknown)
            while not self.joined and not self.let_on and await self.next(EXPLANATION if open_ else timedelta(0)):
                pass
            if self.joined:  # the platform says that it is in, whatever became of the reply
                return True
            if self.let_on:
                return False
            raise _Over(Outcome.FAILED, Failure.of(error)) from None
        self.member = member
        self.into = member.conference
        self.joined = self.joined or member.state is MemberState.JOINED
        if member.conference.id is not None:
            await self.report(Stage.UPDATED, conference_id=member.conference.id)
        return True

    async def next(self, patience: timedelta | None) -> bool:
        """Take in the next message; ``False`` when none came in time.

        Raises:
            _Over: the leg has ended by it.
        """
        match await self.flow.receive(patience):
            case None:
                return False
            case Happened(event=CallAnswered()):
                self.answered = True
            case Happened(event=MemberJoined() as event):
                await self._note_member(event.member_id, event.conference_id)
            case Happened(event=MemberLeft() as event):
                # Put into the room while it still rang, and out again: why is told with the end of the call.
                if self.answered and self._is_in(event):
                    raise _Over(Outcome.LEFT)
            case Happened(event=CallEnded(cause=cause), asked=asked):
                self._call_ended(cause, asked=asked)
            case Happened(event=ConferenceEnded()):
                raise _Over(self.outcome_now)
            case HangUp(done=done):
                self.ending = True
                raise _Over(self.outcome_now, up=not done)
            case Proceed(into=into):
                await self._proceed(into)
            case Remove() as command:
                self.asked_to_leave = command
                raise _Over(self.outcome_now)
            case Perform() as command:
                await self._perform(command)
        return True

    def _call_ended(self, cause: EndCause, *, asked: bool) -> NoReturn:
        if self.answered:
            raise _Over(Outcome.LEFT, up=False, told=not asked)
        outcome = Outcome.of(cause)
        failure = None
        if outcome is Outcome.FAILED:
            failure = Failure(kind="CallEnded", message=f"the call ended before it was answered: {cause.value}")
        raise _Over(outcome, failure, up=False, told=not asked)

    def _is_in(self, event: MemberLeft) -> bool:
        """Whether somebody who has left was us, there: not a member of another conference under our call's name."""
        if self.member is not None:
            return self.member.id == event.member_id
        return _id_of(self.into) in (None, event.conference_id)

    async def _note_member(self, member_id: str, conference_id: str) -> None:
        """Our call is said to be in a conference: ours, or another, which is none of our business."""
        if not isinstance(self.into, Conference) or self.call is None:
            return
        if self.into.id != conference_id:
            # A call that was dialled into a name is in whichever room has that name now, if the provider says so.
            named = self.into.id is None or self.membership is Membership.FUSED
            if not named or not await self.is_ours(conference_id):
                return
            self.into, self.member = evolve(self.into, id=conference_id), None
        self.joined = True
        self.member = self.member or Member(
            provider=self.into.provider,
            id=member_id,
            call_id=self.call.id,
            conference=self.into,
            state=MemberState.JOINED,
        )

    async def is_ours(self, conference_id: str) -> bool:
        """Whether the provider knows a conference under our name: anybody who has our URL can tell us of one."""
        if not isinstance(self.into, Conference):
            return False
        try:
            snapshot: Snapshot = await self.flow.step("fetch", evolve(self.into, key="", id=conference_id))
        except ProviderError:
            return False
        return snapshot.conference is not None and snapshot.conference.key == self.into.key

    async def _proceed(self, into: Conference | Bridge) -> None:
        moved = self.joined and isinstance(into, Conference) and isinstance(self.into, Bridge)
        self.into = into
        self.let_on = True
        if moved:
            # The bridge of two has become a conference.
            self.joined = False
            self.membership = Membership.EXPLICIT
            await self.join()

    async def _perform(self, command: Perform) -> None:
        """Carry out what the application asks for one party."""
        failure = await perform_for_one(self.flow, self.call, self.member, command)
        if failure is None:
            match performance_of(command).then, command.arguments:
                case Then.SETTINGS, (MemberPatch() as patch,):
                    await self.report(Stage.UPDATED, mute=patch.mute, hold=patch.hold)
                case Then.LEAVING, _:
                    self.asked_to_leave = command
                    raise _Over(self.outcome_now, up=False)
        await self.flow.send(command.owner, Reply(command=command.id, failure=failure))

    async def leave(self, over: _Over, *, watches: bool = False) -> None:
        """Hang up what may be up, and report the end.

        Args:
            watches: look out afterwards for what may still be up.
        """
        failure = None
        if over.up and self.call is not None:
            try:
                await self.flow.step("hang_up", self.call)
                self.lost = None
            except ProviderError as error:
                failure = Failure.of(error)
                self.lost = f"the call to {self.brief.party.label} may still be up ({error})"
        if self.asked_to_leave is not None:
            command, self.asked_to_leave = self.asked_to_leave, None
            await self.flow.send(command.owner, Reply(command=command.id, failure=failure))
        await self.report(
            Stage.ENDED,
            outcome=over.outcome,
            failure=over.failure,
            left_behind=self.lost,
            watches=watches and self.lost is not None,
            told=over.told,
        )

    async def watch(self, over: _Over) -> None:
        """Hang up what may still be up: a call whose request was lost, when it shows itself; and what is left when
        the meeting is undone."""
        while True:
            match await self.flow.receive(None):
                case HangUp():
                    self.call = self.call or await self.find()
                    break
                case Happened(event=CallEnded() as event) if self.call is None or event.call_id == self.call.id:
                    self.call = self.lost = None
                    break
                case Happened(event=event) if self.call is None and (call_id := call_of(event)) is not None:
                    self.call = await self.proven(Call(provider=event.provider, id=call_id))
                    if self.call is not None:
                        break
        await self.leave(_Over(over.outcome, over.failure))

    async def proven(self, call: Call) -> Call | None:
        """A call that has reported itself at the leg's address, if the provider says that it is to the leg's party."""
        try:
            snapshot: Snapshot = await self.flow.step("fetch", call)
        except ProviderError:
            return None
        return made_for(self.brief.party.address, call.id, snapshot)

    async def find(self) -> Call | None:
        """The call that a lost request has made, if the provider shows it."""
        hint = FindHint(operation="create_call", into=self.into, to=self.brief.party.address)
        try:
            found: tuple[Call, ...] = await self.flow.step("find", op_key(self.flow.id, "create_call", 1), hint)
        except ProviderError:
            return None
        return found[0] if found else None

    async def report(
        self,
        stage: Stage,
        *,
        conference_id: str | None = None,
        mute: bool | None = None,
        hold: bool | None = None,
        outcome: Outcome | None = None,
        failure: Failure | None = None,
        left_behind: str | None = None,
        watches: bool = False,
        told: bool = False,
    ) -> None:
        """Tell the meeting."""
        self.reports += 1
        await self.flow.send(
            self.brief.meeting,
            LegReport(
                leg=self.flow.id,
                stage=stage,
                number=self.reports,
                call=self.call,
                member=self.member,
                conference_id=conference_id,
                mute=mute,
                hold=hold,
                outcome=outcome,
                failure=failure,
                left_behind=left_behind,
                watches=watches,
                told=told,
            ),
        )


def callback_url(callbacks: str | None, flow_id: str) -> str | None:
    """The flow's id travels in the URL, so that a receiver delivers without looking anything up."""
    return None if callbacks is None else callbacks + flow_id


async def ask_about(flow: Flow, ref: Conference | Bridge | Call | None) -> None:
    """Look at a call or a room; what that shows reaches those whom it concerns as facts do."""
    try:
        await flow.step("fetch", ref)
    except ProviderError:
        return  # then only waiting tells


def made_for(address: str, call_id: str, snapshot: Snapshot) -> Call | None:
    """The call of this id, if the provider's account of it says that it was made to this address."""
    for call in snapshot.calls:
        if call.id == call_id and call.to and canonical(call.to) == canonical(address):
            return call
    return None


def _id_of(room: Conference | Bridge | None) -> str | None:
    return room.id if isinstance(room, Conference) else None
