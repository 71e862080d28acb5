"""The sequence, written once for every provider and every engine.

A meeting creates its conference, and one leg for each party dials it, waits until the party has answered, and adds
the call to the conference as a member. Legs do not wait for one another. Fewer parties are bridged: where the
platform has empty bridges, both are dialled into one; elsewhere two answered calls are connected.

``meeting`` and ``leg`` are flows (see :mod:`confkit.flows`): sequential, without tasks, clocks or chance. Whatever
may happen to a flow comes as a message, so what to do about it is decided in one place, and an order to stop can
never race with anything.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NoReturn

from attrs import define, evolve

from confkit.addresses import canonical
from confkit.capabilities import Bridging
from confkit.controls import control_party, control_room
from confkit.errors import Conflict, NotFound, OutcomeUnknown, ProviderError, Withdrawn
from confkit.events import (
    CallAnswered,
    CallEnded,
    ConferenceEnded,
    ConferenceStarted,
    MemberJoined,
    MemberLeft,
    call_of,
)
from confkit.flows import Flow, FlowFunction, op_key
from confkit.messages import (
    Add,
    Adopted,
    Command,
    End,
    EndReason,
    Established,
    Failure,
    HangUp,
    Happened,
    LegBrief,
    LegEnd,
    LegReport,
    MeetingBrief,
    MeetingEnd,
    Message,
    Play,
    Proceed,
    Record,
    Remove,
    Reply,
    SendDigits,
    Stage,
    Transfer,
    UpdateConference,
    UpdateMember,
)
from confkit.models import (
    Bridge,
    Call,
    CallSpec,
    CallState,
    Conference,
    ConferenceSpec,
    Dialled,
    EndCause,
    FindHint,
    Member,
    MemberOptions,
    Membership,
    MemberState,
    Outcome,
    Party,
    Snapshot,
)
from confkit.policy import Mode, problems_with_addition
from confkit.table import Seat, Table

#: Changes whenever the order of operations changes, so that a recorded run is never replayed by another program.
SEQUENCE_REVISION = 3

#: The platform ends the ringing; this much longer we wait for it to say so before we hang up ourselves.
GRACE = timedelta(seconds=5)
#: How long a leg that cannot join, because something is over, waits to hear what.
EXPLANATION = timedelta(seconds=3)
#: How long a leg that has answered waits to hear that it is in, where the platform joins it by itself, or promises to.
JOINING = timedelta(seconds=15)
#: How often a conference or an empty bridge is created for one meeting, when nobody knows what became of the others.
ROOMS = 2
#: How long a meeting that is being undone waits for the next leg to report.
UNDO_PATIENCE = timedelta(seconds=45)


# --- the meeting ----------------------------------------------------------------------------------------------------


async def meeting(flow: Flow, brief: MeetingBrief) -> MeetingEnd:
    """Bring the parties together, keep them so, and leave nothing behind."""
    table = Table(brief=brief)
    try:
        table.room = await _open_room(flow, table)
    except ProviderError as error:
        return _not_opened(table, error)
    for party in brief.plan.parties:
        await _invite(flow, table, party)
    while (reason := await _verdict(flow, table)) is None:
        await _let_on(flow, table)
        if table.failure is not None:
            continue
        message = await flow.receive(None if table.unexplained is None else EXPLANATION)
        if message is None:
            table.failure = table.unexplained
        elif await _heed(flow, table, message):
            reason = EndReason.ASKED
            break
    return await _undo(flow, table, reason)


async def _open_room(flow: Flow, table: Table) -> Conference | Bridge | None:
    """The conference, or the bridge where it can be there first.

    One that is lost on the way rings nobody: another is made, and the lost one is ended when it shows itself.
    """
    conference = table.brief.plan.mode is Mode.CONFERENCE
    while True:
        key = op_key(flow.id, "create_conference" if conference else "create_bridge", flow.ordinal + 1)
        try:
            return await _create_room(flow, table.brief)
        except OutcomeUnknown as error:
            kind = "conference" if conference else "bridge"
            table.orphans[key] = f"an empty {kind} may have been created, which rings nobody ({error})"
            # A success that could not be read was one, and the next would be as well.
            executed = error.status is not None and error.status < 300
            if executed or len(table.orphans) >= ROOMS:
                raise


async def _create_room(flow: Flow, brief: MeetingBrief) -> Conference | Bridge | None:
    if brief.plan.mode is Mode.CONFERENCE:
        spec = ConferenceSpec(
            caller_id=brief.plan.caller_id,
            callback_url=_callback(brief.callbacks, flow.id),
            max_members=brief.plan.limit,
        )
        conference: Conference = await flow.step("create_conference", spec)
        return conference
    if brief.bridging is Bridging.FIRST:
        bridge: Bridge = await flow.step("create_bridge", ())
        return bridge
    return None


async def _invite(flow: Flow, table: Table, party: Party, incoming: Call | None = None) -> str:
    """Start a leg for a party."""
    brief = table.brief
    key = f"leg-{len(table.seats) + 1}"
    # Seated before it starts: its first report may come at once.
    asks = table.dialling_makes_the_room
    table.seats[f"{flow.id}/{key}"] = Seat(id=f"{flow.id}/{key}", party=party, asks=asks)
    return await flow.spawn(
        "leg",
        key,
        LegBrief(
            meeting=flow.id,
            party=party,
            caller_id=brief.plan.caller_id,
            answer_timeout=brief.plan.answer_timeout,
            into=table.room,
            asks=asks,
            named=table.comes_again,
            callbacks=brief.callbacks,
            incoming=incoming,
        ),
    )


async def _let_on(flow: Flow, table: Table) -> None:
    """Let legs go on that wait to dial or to join; connect two who have both answered."""
    if table.emptied:
        await _open_again(flow, table)
    if table.failure is not None:
        return
    if table.room is not None:
        for seat in table.may_go_on():
            seat.let_on = True
            await flow.send(seat.id, Proceed(into=table.room))
    elif pair := table.pair():
        try:
            table.room = await flow.step("create_bridge", tuple(seat.call for seat in pair))
        except (Conflict, NotFound) as error:
            # One of them may have hung up while the request was on its way; then that is what happened, and no error.
            table.unexplained = Failure.of(error)
            for seat in pair:
                await ask_about(flow, seat.call)
            return
        except ProviderError as error:
            table.failure = Failure.of(error)
            return
        for seat in pair:
            await flow.send(seat.id, Proceed(into=table.room))


async def _open_again(flow: Flow, table: Table) -> None:
    """Create another conference in the place of one that has ended with its last member, while others are to come."""
    try:
        table.room = await _open_room(flow, table)
    except ProviderError as error:
        table.failure = Failure.of(error)
    else:
        table.emptied = False
        table.reopened += 1
        await _tell_room(flow, table)


async def _tell_room(flow: Flow, table: Table) -> None:
    if isinstance(table.room, Conference):
        await flow.send(table.brief.owner, Adopted(conference=table.room))


async def _verdict(flow: Flow, table: Table) -> EndReason | None:
    """Why the meeting is over; ``None`` while it goes on. Tells the owner once everyone is there."""
    if table.failure is not None:
        return EndReason.FAILED
    present = len(table.present)
    if table.established:
        return None if present else EndReason.EVERYONE_LEFT
    if present < table.brief.plan.quorum:
        return EndReason.CONFERENCE_ENDED if table.conference_ended else EndReason.QUORUM_MISSED
    if table.complete:
        table.established = True
        room = table.room
        await flow.send(
            table.brief.owner,
            Established(
                conference=room if isinstance(room, Conference) else None,
                bridge=room if isinstance(room, Bridge) else None,
            ),
        )
    return None


async def _heed(flow: Flow, table: Table, message: Message | None) -> bool:
    """Take in one message; ``True`` when the application wants the meeting over."""
    room = table.room
    match message:
        case LegReport():
            table.note(message)
            if message.stage is Stage.JOINED and table.old_bridge is not None:
                await _end_old_bridge(flow, table)
        case Happened(event=ConferenceStarted() as started):
            await _meet_conference(flow, table, started)
        case Happened(event=ConferenceEnded(conference_id=conference_id)):
            for seat in table.note_end(conference_id):
                await flow.send(seat.id, message)
        case Add():
            await _add(flow, table, message)
        case UpdateConference() | Play() | Record():
            if message.leg is not None:
                await _pass_on(flow, table, message.leg, message)
            else:
                failure = await control_room(flow, table.room, message)
                await flow.send(message.owner, Reply(command=message.id, failure=failure))
        case Command(leg=str() as leg):
            await _pass_on(flow, table, leg, message)
        case End():
            return True
    if table.room is not room:
        await _tell_room(flow, table)
    return False


async def _meet_conference(flow: Flow, table: Table, started: ConferenceStarted) -> None:
    """A conference shows itself: it may be one whose request was lost, to be ended.

    Anybody who knows a callback URL of the meeting can say so. It is ended only where a request of ours to create one
    was lost, and the provider itself says that it is that one.
    """
    room = table.room
    if table.orphans and not (isinstance(room, Conference) and room.id == started.conference_id):
        shown = Conference(provider=table.brief.provider, key="", id=started.conference_id)
        try:
            snapshot: Snapshot = await flow.step("fetch", shown)
        except ProviderError:
            return
        if snapshot.conference is not None and snapshot.conference.key in table.orphans:
            await _end_orphan(flow, table, snapshot.conference)


async def _end_orphan(flow: Flow, table: Table, conference: Conference) -> None:
    try:
        await flow.step("end_conference", conference)
    except ProviderError as error:
        table.orphans[conference.key] = f"conference {conference.id} may still be open ({error})"
    else:
        del table.orphans[conference.key]


async def _add(flow: Flow, table: Table, command: Add) -> None:
    """One more party, within the policy; the flow takes one command at a time, so the maximum holds."""
    if len(table.taken) + len(table.told) >= table.brief.plan.limit:
        await _hang_up_who_is_only_told_to_have_ended(flow, table)  # a call that may be up takes up its place
    problems = problems_with_addition(command.party, [seat.party for seat in table.taken], table.brief.plan.limit)
    full_bridge = table.brief.plan.mode is Mode.BRIDGE and len(table.present) >= 2
    if full_bridge and not table.brief.moves_calls:
        problems.append(
            f"two are bridged, and {table.brief.provider} cannot move a call from a bridge into a conference: "
            "plan for it with growable=True"
        )
    if problems:
        failure = Failure(kind="PolicyError", message="; ".join(problems))
        await flow.send(command.owner, Reply(command=command.id, failure=failure))
        return
    try:
        if full_bridge:
            await _grow(flow, table)
    except ProviderError as error:
        await flow.send(command.owner, Reply(command=command.id, failure=Failure.of(error)))
        return
    leg = await _invite(flow, table, command.party, command.incoming)
    await flow.send(command.owner, Reply(command=command.id, leg=leg))


async def _grow(flow: Flow, table: Table) -> None:
    """Turn a bridge into a conference, so that a third can come."""
    before = table.brief
    table.brief = evolve(before, plan=evolve(before.plan, mode=Mode.CONFERENCE))
    try:
        conference = await _open_room(flow, table)
    except ProviderError:
        table.brief = before
        raise
    table.old_bridge = table.room if isinstance(table.room, Bridge) else None
    table.room = conference
    for seat in table.present:
        if seat.stage is Stage.JOINED:
            seat.stage, seat.let_on = Stage.ANSWERED, False


async def _end_old_bridge(flow: Flow, table: Table) -> None:
    """The bridge is empty once its calls are in the conference."""
    if any(seat.stage is Stage.ANSWERED and seat.joined_once for seat in table.present):
        return
    bridge, table.old_bridge = table.old_bridge, None
    try:
        await flow.step("end_bridge", bridge)
    except ProviderError as error:
        table.failure = table.failure or Failure.of(error)


async def _pass_on(flow: Flow, table: Table, leg: str, command: Command) -> None:
    seat = table.seats.get(leg)
    if seat is None or seat.stage is Stage.ENDED:
        failure = Failure(kind="MeetingError", message="this party is not in the meeting")
        await flow.send(command.owner, Reply(command=command.id, failure=failure))
        return
    await flow.send(leg, command)  # type: ignore[arg-type]


async def _undo(flow: Flow, table: Table, reason: EndReason) -> MeetingEnd:
    """Hang up every call, newest first, then end the conference or bridge; say what could not be undone."""
    together = _who_is_hung_up_with_the_conference(table)
    for seat in reversed(table.unfinished):
        await flow.send(seat.id, HangUp(done=seat in together))
    ended = await _end_with(flow, table, together)
    while table.unfinished:
        match await flow.receive(UNDO_PATIENCE):
            case None:
                break
            case LegReport() as report:
                table.note(report)
            case Happened(event=ConferenceStarted() as started):
                await _meet_conference(flow, table, started)
            case Command() as command:
                failure = Failure(kind="MeetingEnded", message="the meeting is ending")
                await flow.send(command.owner, Reply(command=command.id, failure=failure))
    left_behind = [
        f"the call to {seat.party.label} may still be up: its leg did not report" for seat in table.present
    ] + [seat.left_behind for seat in table.seats.values() if seat.left_behind]
    left_behind += await _hang_up_who_is_only_told_to_have_ended(flow, table)
    await _look_for_orphans(flow, table)
    for room in (None if ended else table.room, table.old_bridge):
        try:
            if isinstance(room, Conference):
                await flow.step("end_conference", room)
            elif isinstance(room, Bridge):
                await flow.step("end_bridge", room)
        except ProviderError as error:
            kind = "conference" if isinstance(room, Conference) else "bridge"
            left_behind.append(f"{kind} {room.id if room else ''} may still be open ({error})")
    return MeetingEnd(
        reason=reason,
        established=table.established,
        failure=table.failure,
        left_behind=tuple(left_behind),
        orphans=tuple(table.orphans.values()),
    )


def _who_is_hung_up_with_the_conference(table: Table) -> list[Seat]:
    """Where ending a conference hangs up everybody in it, those for whom that one request does."""
    known = isinstance(table.room, Conference) and table.room.id is not None
    inside = [seat for seat in table.present if seat.stage is Stage.JOINED]
    return inside if table.brief.end_hangs_up and known and len(inside) > 1 else []


async def _end_with(flow: Flow, table: Table, together: list[Seat]) -> bool:
    """End the conference together with the calls in it; tells whether that was done."""
    if not together:
        return False
    try:
        await flow.step("end_conference", table.room)
    except ProviderError:
        for seat in together:
            seat.told = True  # their legs are over, and nobody has hung them up
        return False
    return True


async def _hang_up_who_is_only_told_to_have_ended(flow: Flow, table: Table) -> list[str]:
    """Make sure of the calls whose end somebody has told: hanging up what has ended succeeds. Gives what may be up."""
    told = table.told
    over: set[str] = set()
    if len(told) > 1 and table.room is not None and table.room.id is not None:
        try:
            listed: tuple[Call, ...] = await flow.step("list_calls", table.room)
            over = {call.id for call in listed if call.state is CallState.ENDED}
        except ProviderError:
            pass  # then each is hung up
    left_behind = []
    for seat in told:
        try:
            if seat.call is not None and seat.call.id not in over:
                await flow.step("hang_up", seat.call)
        except ProviderError as error:
            left_behind.append(f"the call to {seat.party.label} was told to have ended, and may still be up ({error})")
        else:
            seat.told = False
    return left_behind


async def _look_for_orphans(flow: Flow, table: Table) -> None:
    """Look once more for conferences whose requests were lost, and end them."""
    for key in list(table.orphans):
        try:
            found = await flow.step("find", key, FindHint(operation="create_conference"))
        except ProviderError:
            continue
        for conference in found:
            if isinstance(conference, Conference):
                await _end_orphan(flow, table, evolve(conference, key=key))


def _not_opened(table: Table, error: ProviderError) -> MeetingEnd:
    orphans = tuple(table.orphans.values())
    if isinstance(error, Withdrawn):
        return MeetingEnd(reason=EndReason.ASKED, established=False, orphans=orphans)
    return MeetingEnd(
        reason=EndReason.FAILED,
        established=False,
        failure=Failure.of(error),
        orphans=orphans,
    )


# --- one leg ----------------------------------------------------------------------------------------------------


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
    asked_to_leave: Remove | Transfer | None = None

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
                    callback_url=_callback(brief.callbacks, self.flow.id),
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
                raise _Over(Outcome.LEFT if self.joined else Outcome.CANCELLED)
            case HangUp(done=done):
                self.ending = True
                raise _Over(Outcome.LEFT if self.joined else Outcome.CANCELLED, up=not done)
            case Proceed(into=into):
                await self._proceed(into)
            case Remove() | Transfer() | UpdateMember() | Play() | Record() | SendDigits() as command:
                await self._control(command)
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

    async def _control(self, command: Command) -> None:
        """Carry out what the application asks for one party."""
        failure = None
        if not isinstance(command, Remove):
            failure = await control_party(self.flow, self.call, self.member, self.brief.caller_id, command)
        if isinstance(command, UpdateMember) and failure is None:
            await self.report(Stage.UPDATED, mute=command.patch.mute, hold=command.patch.hold)
        if isinstance(command, Remove) or (isinstance(command, Transfer) and failure is None):
            self.asked_to_leave = command
            raise _Over(Outcome.LEFT if self.joined else Outcome.CANCELLED, up=isinstance(command, Remove))
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


# --- shared -----------------------------------------------------------------------------------------------------


def _callback(callbacks: str | None, flow_id: str) -> str | None:
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


FLOWS: dict[str, FlowFunction] = {"meeting": meeting, "leg": leg}
