"""The sequence, written once for every provider and every engine.

A meeting creates its conference, and one leg for each party dials it, waits until the party has answered, and adds
the call to the conference as a member. Legs do not wait for one another. Fewer parties are bridged: where the
platform has empty bridges, both are dialled into one; elsewhere two answered calls are connected.

``meeting``, here, and ``leg``, in :mod:`confkit.workflows.leg`, are flows (see :mod:`confkit.workflows.flow`):
sequential, without tasks, clocks or chance. Whatever may happen to a flow comes as a message, so what to do about it
is decided in one place, and an order to stop can never race with anything.
"""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from confkit.models.capabilities import Bridging
from confkit.models.errors import Conflict, NotFound, OutcomeUnknown, ProviderError, Withdrawn
from confkit.models.events import (
    ConferenceEnded,
    ConferenceStarted,
)
from confkit.models.records import (
    Bridge,
    Call,
    CallState,
    Conference,
    ConferenceSpec,
    FindHint,
    Party,
    Snapshot,
)
from confkit.workflows.commands import perform_for_all
from confkit.workflows.flow import Flow, Program, op_key
from confkit.workflows.leg import EXPLANATION, ask_about, callback_url, leg
from confkit.workflows.legs import Seat, Table
from confkit.workflows.messages import (
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
    LegReport,
    MeetingBrief,
    MeetingEnd,
    Message,
    Perform,
    Proceed,
    Reply,
    Stage,
)
from confkit.workflows.policy import Mode, problems_with_addition

#: Changes whenever the order of operations changes, so that a recorded run is never replayed by another program.
SEQUENCE_REVISION = 3

#: How often a conference or an empty bridge is created for one meeting, when nobody knows what became of the others.
ROOMS = 2
#: How long a meeting that is being undone waits for the next leg to report.
UNDO_PATIENCE = timedelta(seconds=45)


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
            callback_url=callback_url(brief.callbacks, flow.id),
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
        await _bridge(flow, table, pair)


async def _bridge(flow: Flow, table: Table, pair: list[Seat]) -> None:
    """Connect two who have both answered."""
    try:
        table.room = bridge = await flow.step("create_bridge", tuple(seat.call for seat in pair))
    except (Conflict, NotFound) as error:
        # One of them may have hung up while the request was on its way; then that is what happened, and no error.
        table.unexplained = Failure.of(error)
        for seat in pair:
            await ask_about(flow, seat.call)
    except ProviderError as error:
        table.failure = Failure.of(error)
    else:
        for seat in pair:
            await flow.send(seat.id, Proceed(into=bridge))


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


async def _heed(flow: Flow, table: Table, message: Message) -> bool:
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
        case Command():
            await _carry_out(flow, table, message)
    if table.room is not room:
        await _tell_room(flow, table)
    return isinstance(message, End)


async def _carry_out(flow: Flow, table: Table, command: Command) -> None:
    """Do what the application asks for, or hand it to the leg that it is about; each command gets one reply."""
    match command:
        case Add():
            await _add(flow, table, command)
        case Perform(target=None):
            failure = await perform_for_all(flow, table.room, command)
            await flow.send(command.owner, Reply(command=command.id, failure=failure))
        case Command(target=str() as leg):
            await _pass_on(flow, table, leg, command)


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
    await _until_all_have_reported(flow, table)
    left_behind = [
        f"the call to {seat.party.label} may still be up: its leg did not report" for seat in table.present
    ] + [seat.left_behind for seat in table.seats.values() if seat.left_behind]
    left_behind += await _hang_up_who_is_only_told_to_have_ended(flow, table)
    await _look_for_orphans(flow, table)
    if not ended:
        left_behind += await _end_room(flow, table.room)
    left_behind += await _end_room(flow, table.old_bridge)
    return MeetingEnd(
        reason=reason,
        established=table.established,
        failure=table.failure,
        left_behind=tuple(left_behind),
        orphans=tuple(table.orphans.values()),
    )


async def _until_all_have_reported(flow: Flow, table: Table) -> None:
    """Wait until every leg is over, or for as long as is reasonable."""
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


async def _end_room(flow: Flow, room: Conference | Bridge | None) -> list[str]:
    """End the conference or bridge; gives what may still be open."""
    kind = "conference" if isinstance(room, Conference) else "bridge"
    try:
        if isinstance(room, Conference):
            await flow.step("end_conference", room)
        elif room is not None:
            await flow.step("end_bridge", room)
    except ProviderError as error:
        return [f"{kind} {room.id if room else ''} may still be open ({error})"]
    return []


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


FLOWS: dict[str, Program] = {"meeting": meeting, "leg": leg}
