"""The sequence of one leg: dial a party, wait for the answer, join, stay, and leave nothing behind.

``leg`` is a workflow (see :mod:`confkit.workflows.flow`). The other half of the sequence, ``meeting``, is in
:mod:`confkit.workflows.meeting`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import NoReturn, TypedDict, Unpack

from attrs import define, evolve

from confkit.models.errors import Conflict, NotFound, OutcomeUnknown, ProviderError, Withdrawn
from confkit.models.events import (
    CallAnswered,
    CallEnded,
    ConferenceEnded,
    Event,
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
    with_memory,
)
from confkit.workflows.commands import Then, perform_for_one, performance_of
from confkit.workflows.flow import Flow, ask_about, op_key
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
    own = _Leg(flow, brief, into=brief.into)
    try:
        await _dial(own)
        await _until_answered(own)
        await _join(own)
        while True:
            await own.next(None)
    except _Over as over:
        await _leave(own, over, watches=not own.ending)
        if own.lost is not None and not own.ending:
            await _watch(own, over)
        return LegEnd(outcome=over.outcome)


# --- dial


async def _dial(own: _Leg) -> None:
    """Create the call with the conference's or the bridge's id; or answer the one that has come in."""
    if own.brief.waits_for_release:
        await own.until_released()
    try:
        dialled = await _create_call(own)
    except Withdrawn:
        raise _Over(Outcome.CANCELLED) from None
    except ProviderError as error:
        if isinstance(error, OutcomeUnknown):
            _note_lost(own, error)
        raise _Over(Outcome.FAILED, Failure.of(error)) from None
    own.call = with_memory(dialled.call, own.brief.incoming)
    own.membership = dialled.membership
    own.queued_for = dialled.queued_for or timedelta(0)
    own.released = False
    if dialled.conference is not None:
        own.enter(dialled.conference)
    await own.report(Stage.DIALLED, **own.told_of(dialled.conference))


async def _create_call(own: _Leg) -> Dialled:
    brief, step = own.brief, own.flow.step
    if brief.incoming is not None:
        dialled: Dialled = await step("answer_call", brief.incoming, own.into)
    else:
        spec = CallSpec(
            to=brief.party.address,
            caller_id=brief.caller_id,
            answer_timeout=max(brief.answer_timeout, brief.shortest_ring),
            join_method=brief.join_method,
        )
        dialled = await step("create_call", spec, own.into, caller_id=brief.caller_id)
    return dialled


def _note_lost(own: _Leg, error: OutcomeUnknown) -> None:
    """What may be up now: the call that has come in, which can be hung up, or one that nobody has an id of."""
    brief = own.brief
    if brief.incoming is not None:
        own.call = brief.incoming
        return
    own.lost = f"the call to {brief.party.label} may have been made: {error}"
    if isinstance(own.into, Conference) and (own.into.id is None or brief.named):
        own.lost += ", and a conference may have been created with it"


# --- wait for the answer


async def _until_answered(own: _Leg) -> None:
    """Wait for the answer; a party that has not answered in time is hung up on."""
    if own.brief.incoming is not None:
        own.answered = True
    patience = own.queued_for + own.brief.answer_timeout + (timedelta(0) if own.brief.rings_too_long else GRACE)
    while not own.answered:
        if not await own.next(patience) and not await _has_answered(own):
            raise _Over(Outcome.NO_ANSWER)
    await own.report(Stage.ANSWERED)


async def _has_answered(own: _Leg) -> bool:
    """Ask, before somebody is hung up on who may have answered: the event may be lost, or the polls too slow."""
    snapshot = await _look(own, own.call)
    for call in snapshot.calls:
        if own.call is not None and call.id == own.call.id:
            if call.state is CallState.ENDED:
                # It has rung for as long as it may: that is why, where the platform does not say.
                cause = call.cause or EndCause.UNKNOWN
                own.call_ended(EndCause.NO_ANSWER if cause is EndCause.UNKNOWN else cause, asked=True)
            own.answered = call.state is CallState.ANSWERED or own.brief.up_is_answered
    return own.answered


# --- join


async def _join(own: _Leg) -> None:
    """Get into the conference or bridge, the way that the provider has."""
    match own.membership:
        case Membership.EXPLICIT:
            await _join_conference(own)
        case Membership.ON_ANSWER:
            own.joined = True
        case Membership.NONE:
            await own.until_released()  # until a second has answered, this one is held ready
            if isinstance(own.into, Conference):
                await _join_conference(own)
            else:
                own.joined = True
        case Membership.FUSED:
            pass
    while not own.joined:
        if not await own.next(JOINING) and not await _is_in(own):
            failure = Failure(kind="NotReady", message="it has answered, and nobody confirms that it has joined")
            raise _Over(Outcome.FAILED, failure)
    await own.report(Stage.JOINED, **own.told_of(own.into))


async def _join_conference(own: _Leg) -> None:
    """Wait to be released, and add the answered call; again, where the conference ended before it was in."""
    added = False
    while not added:
        await own.until_released()
        added = await _add_member(own)


async def _add_member(own: _Leg) -> bool:
    """Add the answered call to the conference by its id; ``False`` when another has taken its place meanwhile."""
    own.released = False
    try:
        member: Member = await own.flow.step("add_member", own.into, own.call, MemberOptions())
    except Withdrawn:
        raise _Over(Outcome.CANCELLED) from None
    except ProviderError as error:
        await _until_explained(own, error)
        if own.joined:  # the platform says that it is in, whatever became of the reply
            return True
        if own.released:
            return False
        raise _Over(Outcome.FAILED, Failure.of(error)) from None
    own.member = evolve(member, conference=own.enter(member.conference))
    own.joined = own.joined or member.state is MemberState.JOINED
    if member.conference.id is not None or not own.joined:
        await own.report(Stage.UPDATED, **own.told_of(member.conference))
    return True


async def _until_explained(own: _Leg, error: ProviderError) -> None:
    """Wait to hear why the call could not be added.

    It may have hung up, or the conference may have ended, while it waited for its turn; then that is what happened, and
    no error. What is polled is known later than the refusal.
    """
    if isinstance(error, Conflict | NotFound) and _id_of(own.into):
        await ask_about(own.flow, own.into)
    open_ = isinstance(error, Conflict | NotFound | OutcomeUnknown)
    while not own.joined and not own.released and await own.next(EXPLANATION if open_ else timedelta(0)):
        pass


async def _is_in(own: _Leg) -> bool:
    """Ask, before somebody is hung up on who may be in: the event may be lost."""
    snapshot = await _look(own, own.into if _id_of(own.into) else own.call)
    for member in snapshot.members:
        if own.call is not None and member.call_id == own.call.id and member.state is MemberState.JOINED:
            await own.note_member(member.id, member.conference.id or "", shown=member)
    return own.joined


async def _look(own: _Leg, ref: Conference | Bridge | Call | None) -> Snapshot:
    """The provider's account; an empty one where it gives none."""
    try:
        snapshot: Snapshot = await own.flow.step("fetch", ref)
    except ProviderError:
        return Snapshot()
    return snapshot


# --- leave


async def _leave(own: _Leg, over: _Over, *, watches: bool = False) -> None:
    """Hang up what may be up, and report the end.

    Args:
        watches: look out afterwards for what may still be up.
    """
    failure = None
    if over.up and own.call is not None:
        try:
            await own.flow.step("hang_up", own.call)
            own.lost = None
        except ProviderError as error:
            failure = Failure.of(error)
            own.lost = f"the call to {own.brief.party.label} may still be up ({error})"
    if own.asked_to_leave is not None:
        command, own.asked_to_leave = own.asked_to_leave, None
        await own.flow.send(command.owner, Reply(command=command.id, failure=failure))
    await own.report(
        Stage.ENDED,
        outcome=over.outcome,
        failure=over.failure,
        left_behind=own.lost,
        watches=watches and own.lost is not None,
        told=over.told,
    )


async def _watch(own: _Leg, over: _Over) -> None:
    """Hang up what may still be up: a call whose request was lost, when it shows itself or the meeting is undone."""
    while True:
        match await own.flow.receive(None):
            case HangUp():
                own.call = own.call or await _find(own)
                break
            case Happened(event=CallEnded() as event) if own.call is not None and event.call_id == own.call.id:
                own.call = own.lost = None
                break
            case Happened(event=event) if own.call is None and (call_id := call_of(event)) is not None:
                # Whoever knows our URL or key can say so; the provider says whether it is to our party.
                shown = await _look(own, Call(provider=event.provider, id=call_id))
                own.call = shown.made_for(own.brief.party.address, call_id)
                if own.call is not None:
                    if own.call.state is CallState.ENDED:
                        own.call = own.lost = None
                    break
    await _leave(own, _Over(over.outcome, over.failure))


async def _find(own: _Leg) -> Call | None:
    """The call that a lost request has made, if the provider shows it."""
    hint = FindHint(operation="create_call", into=own.into, to=own.brief.party.address, caller_id=own.brief.caller_id)
    try:
        found: tuple[Call, ...] = await own.flow.step("find", op_key(own.flow.id, "create_call", 1), hint)
    except ProviderError:
        return None
    return found[0] if found else None


# --- what a leg knows, and what its mail does to it


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
    into: Conference | Bridge | None
    call: Call | None = None
    member: Member | None = None
    membership: Membership = Membership.NONE
    answered: bool = False
    joined: bool = False
    released: bool = False
    queued_for: timedelta = timedelta(0)
    reports: int = 0
    #: What may still be up, one sentence: a call that we have no id of, or one that could not be hung up.
    lost: str | None = None
    #: The meeting is being undone.
    ending: bool = False
    asked_to_leave: Remove | Perform | None = None

    @property
    def outcome_now(self) -> Outcome:
        """What becomes of a party that is taken out now."""
        return Outcome.LEFT if self.joined else Outcome.CANCELLED

    async def until_released(self) -> None:
        """Take in what comes until the meeting says that it is the leg's turn."""
        while not self.released:
            await self.next(None)

    async def next(self, patience: timedelta | None) -> bool:
        """Take in the next message; ``False`` when none came in time.

        Raises:
            _Over: the leg has ended by it.
        """
        match await self.flow.receive(patience):
            case None:
                return False
            case Happened(event=event, asked=asked):
                await self._learn(event, asked=asked)
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

    async def _learn(self, event: Event, *, asked: bool) -> None:
        """Take in a fact from the provider."""
        match event:
            case CallAnswered():
                self.answered = True
            case MemberJoined():
                await self.note_member(event.member_id, event.conference_id)
            case MemberLeft():
                # Put into the room while it still rang, and out again: why is told with the end of the call.
                if self.answered and await self._is_us(event):
                    raise _Over(Outcome.LEFT)
            case CallEnded():
                self.call_ended(event.cause, asked=asked)
            case ConferenceEnded():
                raise _Over(self.outcome_now)

    def call_ended(self, cause: EndCause, *, asked: bool) -> NoReturn:
        """The call is over.

        Args:
            asked: it is the answer to a question of ours; otherwise somebody has told it.
        """
        if self.answered:
            raise _Over(Outcome.LEFT, up=False, told=not asked)
        raise _Over(Outcome.of(cause), Failure.of_cause(cause), up=False, told=not asked)

    async def _is_us(self, event: MemberLeft) -> bool:
        """Whether somebody who has left was us, there: not a member of another conference under our call's name.

        Anybody who has our URL can tell us of one; while ours has no id, the provider says whether that is it.
        """
        if self.member is not None:
            return self.member.id == event.member_id
        if not isinstance(self.into, Conference):
            return False
        if self.into.id is None:
            return await self._is_ours(self.into, event.conference_id)
        return self.into.id == event.conference_id

    def enter(self, conference: Conference) -> Conference:
        """The provider has told of our conference, or of the one that has taken its place under its name; gives it."""
        self.into = with_memory(conference, self.into if isinstance(self.into, Conference) else None)
        return self.into

    def told_of(self, room: Conference | Bridge | None) -> _News:
        """What the meeting is to know of a room that the provider has told of."""
        return _News(conference_id=room.id, data=self.into.data) if isinstance(room, Conference) and self.into else {}

    async def note_member(self, member_id: str, conference_id: str, *, shown: Member | None = None) -> None:
        """Our call is said to be in a conference: ours, or another, which is none of our business.

        Args:
            shown: the member, where the provider has shown it.
        """
        if not isinstance(self.into, Conference) or self.call is None:
            return
        if self.into.id != conference_id:
            # A call that was dialled into a name is in whichever room has that name now, if the provider says so.
            named = self.into.id is None or self.membership is Membership.FUSED
            if not named or not await self._is_ours(self.into, conference_id):
                return
            self.into, self.member = evolve(self.into, id=conference_id), None
        self.joined = True
        self.member = self.member or Member(
            provider=self.into.provider,
            id=member_id,
            call_id=self.call.id,
            conference=self.into,
            state=MemberState.JOINED,
            data=shown.data if shown is not None else {},
        )

    async def _is_ours(self, room: Conference, conference_id: str) -> bool:
        """Whether the provider knows a conference under our name: anybody who has our URL can tell us of one."""
        shown = (await _look(self, evolve(room, key="", id=conference_id, data={}))).conference
        return shown is not None and shown.key == room.key

    async def _proceed(self, into: Conference | Bridge) -> None:
        moved = self.joined and isinstance(into, Conference) and isinstance(self.into, Bridge)
        self.into = into
        self.released = True
        if moved:
            # The bridge of two has become a conference.
            self.joined = False
            self.membership = Membership.EXPLICIT
            await _join(self)

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

    async def report(self, stage: Stage, **news: Unpack[_News]) -> None:
        """Tell the meeting."""
        self.reports += 1
        said = LegReport(leg=self.flow.id, stage=stage, number=self.reports, call=self.call, member=self.member, **news)
        await self.flow.send(self.brief.meeting, said)


class _News(TypedDict, total=False):
    """What else a report may say; see :class:`LegReport`."""

    conference_id: str | None
    data: Mapping[str, str]
    mute: bool | None
    hold: bool | None
    outcome: Outcome
    failure: Failure | None
    left_behind: str | None
    watches: bool
    told: bool


def _id_of(room: Conference | Bridge | None) -> str | None:
    return room.id if isinstance(room, Conference) else None
