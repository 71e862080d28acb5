"""The sequence, written once for every provider and every runtime.

A meeting creates its conference, and one leg for each party dials it, waits until the party has answered, and adds
the call to the conference as a member. Legs do not wait for one another. Fewer parties are bridged: where the
platform has empty bridges, both are dialled into one; elsewhere two answered calls are connected.

``meeting``, here, and ``leg``, in :mod:`confkit.workflows.leg`, are workflows (see :mod:`confkit.workflows.flow`):
sequential, without tasks, clocks or chance. Whatever may happen to one comes as a message, so what to do about it
is decided in one place, and an order to stop can never race with anything.
"""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from confkit.models.capabilities import BridgeEnds, Bridging
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
from confkit.workflows.flow import Flow, Program, ask_about, op_key
from confkit.workflows.leg import EXPLANATION, leg
from confkit.workflows.legs import LegBoard, LegStatus
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
    board = LegBoard(brief=brief)
    try:
        board.room = await _open_room(flow, board)
    except ProviderError as error:
        return _not_opened(board, error)
    for party in brief.plan.parties:
        await _start_leg(flow, board, party)
    while (reason := await _end_reason(flow, board)) is None:
        await _release(flow, board)
        if board.failure is not None:
            continue
        message = await flow.receive(None if board.unexplained is None else EXPLANATION)
        if message is None:
            board.failure = board.unexplained
        elif await _handle(flow, board, message):
            reason = EndReason.ASKED
            break
    return await _tear_down(flow, board, reason)


async def _open_room(flow: Flow, board: LegBoard) -> Conference | Bridge | None:
    """The conference, or the bridge where it can be there first.

    One that is lost on the way rings nobody: another is made, and the lost one is ended when it shows itself.
    """
    conference = board.brief.plan.mode is Mode.CONFERENCE
    while True:
        key = op_key(flow.id, "create_conference" if conference else "create_bridge", flow.ordinal + 1)
        try:
            return await _create_room(flow, board.brief)
        except OutcomeUnknown as error:
            kind = "conference" if conference else "bridge"
            board.orphans[key] = f"an empty {kind} may have been created, which rings nobody ({error})"
            # A success that could not be read was one, and the next would be as well.
            executed = error.status is not None and error.status < 300
            if executed or len(board.orphans) >= ROOMS:
                raise


async def _create_room(flow: Flow, brief: MeetingBrief) -> Conference | Bridge | None:
    if brief.plan.mode is Mode.CONFERENCE:
        spec = ConferenceSpec(caller_id=brief.plan.caller_id, max_members=brief.plan.limit)
        conference: Conference = await flow.step("create_conference", spec)
        return conference
    if brief.bridging is Bridging.FIRST:
        bridge: Bridge = await flow.step("create_bridge", ())
        return bridge
    return None


async def _start_leg(flow: Flow, board: LegBoard, party: Party, incoming: Call | None = None) -> str:
    """Start a leg for a party."""
    brief = board.brief
    key = f"leg-{len(board.legs) + 1}"
    # On the board before it starts: its first report may come at once.
    waits_for_release = board.dialling_makes_the_room
    board.legs[f"{flow.id}/{key}"] = LegStatus(id=f"{flow.id}/{key}", party=party, waits_for_release=waits_for_release)
    return await flow.spawn(
        "leg",
        key,
        LegBrief(
            meeting=flow.id,
            party=party,
            caller_id=brief.plan.caller_id,
            answer_timeout=brief.plan.answer_timeout,
            into=board.room,
            join_method=brief.join_method,
            waits_for_release=waits_for_release,
            named=board.comes_again,
            incoming=incoming,
            shortest_ring=brief.shortest_ring,
            tells_answers=brief.tells_answers,
        ),
    )


async def _release(flow: Flow, board: LegBoard) -> None:
    """Let legs go on that wait to dial or to join; connect two who have both answered."""
    if board.emptied:
        await _open_again(flow, board)
    if board.failure is not None:
        return
    if board.room is not None:
        for status in board.ready():
            status.released = True
            await flow.send(status.id, Proceed(into=board.room))
    elif pair := board.pair():
        await _bridge(flow, board, pair)


async def _bridge(flow: Flow, board: LegBoard, pair: list[LegStatus]) -> None:
    """Connect two who have both answered."""
    try:
        board.room = bridge = await flow.step("create_bridge", tuple(status.call for status in pair))
    except (Conflict, NotFound) as error:
        # One of them may have hung up while the request was on its way; then that is what happened, and no error.
        board.unexplained = Failure.of(error)
        for status in pair:
            await ask_about(flow, status.call)
    except ProviderError as error:
        board.failure = Failure.of(error)
    else:
        for status in pair:
            await flow.send(status.id, Proceed(into=bridge))


async def _open_again(flow: Flow, board: LegBoard) -> None:
    """Create another conference in the place of one that has ended with its last member, while others are to come."""
    try:
        board.room = await _open_room(flow, board)
    except ProviderError as error:
        board.failure = Failure.of(error)
    else:
        board.emptied = False
        board.reopened += 1
        await _tell_room(flow, board)


async def _tell_room(flow: Flow, board: LegBoard) -> None:
    if isinstance(board.room, Conference):
        await flow.send(board.brief.owner, Adopted(conference=board.room))


async def _end_reason(flow: Flow, board: LegBoard) -> EndReason | None:
    """Why the meeting is over; ``None`` while it goes on. Tells the owner once everyone is there."""
    if board.failure is not None:
        return EndReason.FAILED
    present = len(board.present)
    if board.established:
        return None if present else EndReason.EVERYONE_LEFT
    if present < board.brief.plan.quorum:
        return EndReason.CONFERENCE_ENDED if board.conference_ended else EndReason.QUORUM_MISSED
    if board.complete:
        board.established = True
        room = board.room
        await flow.send(
            board.brief.owner,
            Established(
                conference=room if isinstance(room, Conference) else None,
                bridge=room if isinstance(room, Bridge) else None,
            ),
        )
    return None


async def _handle(flow: Flow, board: LegBoard, message: Message) -> bool:
    """Take in one message; ``True`` when the application wants the meeting over."""
    room = board.room
    match message:
        case LegReport():
            board.note(message)
            if message.stage is Stage.JOINED and board.old_bridge is not None:
                await _end_old_bridge(flow, board)
        case Happened(event=ConferenceStarted() as started):
            await _meet_conference(flow, board, started)
        case Happened(event=ConferenceEnded(conference_id=conference_id)):
            for status in board.note_end(conference_id):
                await flow.send(status.id, message)
        case Command():
            await _carry_out(flow, board, message)
    if board.room is not room:
        await _tell_room(flow, board)
    return isinstance(message, End)


async def _carry_out(flow: Flow, board: LegBoard, command: Command) -> None:
    """Do what the application asks for, or hand it to the leg that it is about; each command gets one reply."""
    match command:
        case Add():
            await _add(flow, board, command)
        case Perform(target=None):
            failure = await perform_for_all(flow, board.room, command)
            await flow.send(command.owner, Reply(command=command.id, failure=failure))
        case Command(target=str() as leg):
            await _forward(flow, board, leg, command)


async def _meet_conference(flow: Flow, board: LegBoard, started: ConferenceStarted) -> None:
    """A conference shows itself: it may be one whose request was lost, to be ended.

    Anybody who knows a callback URL of the meeting can say so. It is ended only where a request of ours to create one
    was lost, and the provider itself says that it is that one.
    """
    room = board.room
    if board.orphans and not (isinstance(room, Conference) and room.id == started.conference_id):
        shown = Conference(provider=board.brief.provider, key="", id=started.conference_id)
        try:
            snapshot: Snapshot = await flow.step("fetch", shown)
        except ProviderError:
            return
        if snapshot.conference is not None and snapshot.conference.key in board.orphans:
            await _end_orphan(flow, board, snapshot.conference)


async def _end_orphan(flow: Flow, board: LegBoard, conference: Conference) -> None:
    try:
        await flow.step("end_conference", conference)
    except ProviderError as error:
        board.orphans[conference.key] = f"conference {conference.id} may still be open ({error})"
    else:
        del board.orphans[conference.key]


async def _add(flow: Flow, board: LegBoard, command: Add) -> None:
    """One more party, within the policy; the workflow takes one command at a time, so the maximum holds."""
    if len(board.taken) + len(board.told) >= board.brief.plan.limit:
        await _hang_up_who_is_only_told_to_have_ended(flow, board)  # a call that may be up takes up its place
    problems = problems_with_addition(command.party, [status.party for status in board.taken], board.brief.plan.limit)
    full_bridge = board.brief.plan.mode is Mode.BRIDGE and len(board.present) >= 2
    if full_bridge and not board.brief.bridge_to_conference:
        problems.append(
            f"two are bridged, and {board.brief.provider} cannot move a call from a bridge into a conference: "
            "plan for it with expandable=True"
        )
    if problems:
        failure = Failure(kind="PolicyError", message="; ".join(problems))
        await flow.send(command.owner, Reply(command=command.id, failure=failure))
        return
    try:
        if full_bridge:
            await _grow(flow, board)
    except ProviderError as error:
        await flow.send(command.owner, Reply(command=command.id, failure=Failure.of(error)))
        return
    leg = await _start_leg(flow, board, command.party, command.incoming)
    await flow.send(command.owner, Reply(command=command.id, leg=leg))


async def _grow(flow: Flow, board: LegBoard) -> None:
    """Turn a bridge into a conference, so that a third can come."""
    before = board.brief
    board.brief = evolve(before, plan=evolve(before.plan, mode=Mode.CONFERENCE))
    try:
        conference = await _open_room(flow, board)
    except ProviderError:
        board.brief = before
        raise
    board.old_bridge = board.room if isinstance(board.room, Bridge) else None
    board.room = conference
    for status in board.present:
        if status.stage is Stage.JOINED:
            status.stage, status.released = Stage.ANSWERED, False


async def _end_old_bridge(flow: Flow, board: LegBoard) -> None:
    """The bridge is empty once its calls are in the conference."""
    if any(status.stage is Stage.ANSWERED and status.joined_once for status in board.present):
        return
    bridge, board.old_bridge = board.old_bridge, None
    try:
        await flow.step("end_bridge", bridge)
    except ProviderError as error:
        board.failure = board.failure or Failure.of(error)


async def _forward(flow: Flow, board: LegBoard, leg: str, command: Command) -> None:
    status = board.legs.get(leg)
    if status is None or status.stage is Stage.ENDED:
        failure = Failure(kind="MeetingError", message="this party is not in the meeting")
        await flow.send(command.owner, Reply(command=command.id, failure=failure))
        return
    await flow.send(leg, command)  # type: ignore[arg-type]


async def _tear_down(flow: Flow, board: LegBoard, reason: EndReason) -> MeetingEnd:
    """Hang up every call, newest first, then end the conference or bridge; say what could not be undone."""
    together = _who_is_hung_up_with_the_conference(board)
    for status in reversed(board.unfinished):
        await flow.send(status.id, HangUp(done=status in together))
    ended = await _end_with(flow, board, together)
    await _until_all_have_reported(flow, board)
    left_behind = [
        f"the call to {status.party.label} may still be up: its leg did not report" for status in board.present
    ] + [status.left_behind for status in board.legs.values() if status.left_behind]
    left_behind += await _hang_up_who_is_only_told_to_have_ended(flow, board)
    await _look_for_orphans(flow, board)
    if not ended:
        left_behind += await _end_room(flow, board.room, board.brief.bridge_ends)
    left_behind += await _end_room(flow, board.old_bridge, board.brief.bridge_ends)
    for room in board.earlier_rooms:
        left_behind += await _end_room(flow, room, board.brief.bridge_ends)
    return MeetingEnd(
        reason=reason,
        established=board.established,
        failure=board.failure,
        left_behind=tuple(left_behind),
        orphans=tuple(board.orphans.values()),
    )


async def _until_all_have_reported(flow: Flow, board: LegBoard) -> None:
    """Wait until every leg is over, or for as long as is reasonable."""
    while board.unfinished:
        match await flow.receive(UNDO_PATIENCE):
            case None:
                break
            case LegReport() as report:
                board.note(report)
            case Happened(event=ConferenceStarted() as started):
                await _meet_conference(flow, board, started)
            case Command() as command:
                failure = Failure(kind="MeetingEnded", message="the meeting is ending")
                await flow.send(command.owner, Reply(command=command.id, failure=failure))


async def _end_room(flow: Flow, room: Conference | Bridge | None, ends: BridgeEnds) -> list[str]:
    """End the conference or bridge; gives what may still be open."""
    kind = "conference" if isinstance(room, Conference) else "bridge"
    try:
        if isinstance(room, Conference):
            await flow.step("end_conference", room)
        elif room is not None and ends is BridgeEnds.BY_REQUEST:
            await flow.step("end_bridge", room)
    except ProviderError as error:
        return [f"{kind} {room.id if room else ''} may still be open ({error})"]
    return []


def _who_is_hung_up_with_the_conference(board: LegBoard) -> list[LegStatus]:
    """Where ending a conference hangs up everybody in it, those for whom that one request does."""
    known = isinstance(board.room, Conference) and board.room.id is not None
    inside = [status for status in board.present if status.stage is Stage.JOINED]
    return inside if board.brief.end_hangs_up and known and len(inside) > 1 else []


async def _end_with(flow: Flow, board: LegBoard, together: list[LegStatus]) -> bool:
    """End the conference together with the calls in it; tells whether that was done."""
    if not together:
        return False
    try:
        await flow.step("end_conference", board.room)
    except ProviderError:
        for status in together:
            status.told = True  # their legs are over, and nobody has hung them up
        return False
    return True


async def _hang_up_who_is_only_told_to_have_ended(flow: Flow, board: LegBoard) -> list[str]:
    """Make sure of the calls whose end somebody has told: hanging up what has ended succeeds. Gives what may be up."""
    told = board.told
    over: set[str] = set()
    if len(told) > 1 and board.room is not None and board.room.id is not None:
        try:
            listed: tuple[Call, ...] = await flow.step("list_calls", board.room)
            over = {call.id for call in listed if call.state is CallState.ENDED}
        except ProviderError:
            pass  # then each is hung up
    left_behind = []
    for status in told:
        try:
            if status.call is not None and status.call.id not in over:
                await flow.step("hang_up", status.call)
        except ProviderError as error:
            left_behind.append(
                f"the call to {status.party.label} was told to have ended, and may still be up ({error})"
            )
        else:
            status.told = False
    return left_behind


async def _look_for_orphans(flow: Flow, board: LegBoard) -> None:
    """Look once more for conferences whose requests were lost, and end them."""
    for key in list(board.orphans):
        try:
            found = await flow.step("find", key, FindHint(operation="create_conference"))
        except ProviderError:
            continue
        for conference in found:
            if isinstance(conference, Conference):
                await _end_orphan(flow, board, evolve(conference, key=key))


def _not_opened(board: LegBoard, error: ProviderError) -> MeetingEnd:
    orphans = tuple(board.orphans.values())
    if isinstance(error, Withdrawn):
        return MeetingEnd(reason=EndReason.ASKED, established=False, orphans=orphans)
    return MeetingEnd(
        reason=EndReason.FAILED,
        established=False,
        failure=Failure.of(error),
        orphans=orphans,
    )


FLOWS: dict[str, Program] = {"meeting": meeting, "leg": leg}
