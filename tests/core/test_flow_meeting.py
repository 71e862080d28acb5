"""The flow of a meeting against a script: whom it lets on, what it makes of what it hears, and how it undoes all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from confkit import Conference, Mode, Outcome, RecordAction
from confkit.models.errors import Withdrawn
from confkit.models.events import CallRinging
from confkit.models.records import ConferenceSpec
from confkit.provider import (
    STOP,
    Bridging,
    CallState,
    ConferenceCreation,
    ConferencePatch,
    Conflict,
    FindHint,
    JoinMethod,
    NotFound,
    PermissionDenied,
    Snapshot,
)
from confkit.workflows.flow import op_key
from confkit.workflows.messages import (
    Add,
    Adopted,
    Argument,
    End,
    EndReason,
    Established,
    Failure,
    HangUp,
    Happened,
    LegBrief,
    MeetingBrief,
    MeetingEnd,
    Message,
    Perform,
    Proceed,
    Remove,
    Reply,
    Stage,
)
from tests.core.scripted_flow import SILENCE, ScriptedFlow
from tests.core.scripted_meeting import (
    ALL,
    BRIDGE,
    FOUR,
    FUSED,
    MEETING,
    NAME,
    ON_JOIN,
    ONE,
    OURS,
    RINGING,
    ROOM,
    SECOND,
    THREE,
    TWO,
    TWO_BRIDGED,
    answered,
    brief,
    call,
    dialled,
    down,
    end,
    happened,
    has_ended,
    hung_up,
    is_in,
    lost,
    over,
    person,
    released,
    run,
    shows_itself,
    standing,
    told,
)

# --- coming together


def test_a_conference_is_created_everyone_is_invited_and_let_on_when_there_is_company() -> None:
    flow = run(brief(), *answered(ONE), *answered(TWO))
    spec = ConferenceSpec(caller_id=OURS, max_members=5)
    assert flow.steps == [("create_conference", spec)]
    assert flow.children == [
        (
            "leg",
            f"leg-{number}",
            LegBrief(
                meeting=MEETING,
                party=person(number),
                caller_id=OURS,
                answer_timeout=RINGING,
                into=ROOM,
            ),
        )
        for number in (1, 2, 3)
    ]
    assert flow.sent == [(ONE, Proceed(into=ROOM)), (TWO, Proceed(into=ROOM))]
    assert set(flow.waits) == {None}
    assert run(brief(), *answered(ONE)).sent == []


def test_a_meeting_stands_when_everyone_is_in_or_over() -> None:
    almost = run(brief(), *answered(ONE, TWO), *is_in(ONE, TWO))
    assert almost.messages(Established) == []
    flow = run(brief(), *answered(ONE, TWO), *is_in(ONE, TWO), *over(THREE, outcome=Outcome.BUSY))
    assert flow.sent[-1] == ("us", Established(conference=ROOM))
    more = run(brief(), *answered(ONE, TWO), *is_in(ONE, TWO), *over(THREE), told(ONE, Stage.UPDATED))
    assert more.messages(Established) == [Established(conference=ROOM)]  # once


def test_who_is_alone_joins_when_nobody_else_can_come() -> None:
    flow = run(brief(quorum=1), *answered(ONE), *over(TWO), *over(THREE))
    assert released(flow) == [(ONE, "conf-1")]


def test_a_meeting_without_its_quorum_is_undone_at_once() -> None:
    flow = run(brief(), *over(ONE, TWO), *over(THREE, outcome=Outcome.CANCELLED))
    assert hung_up(flow) == [THREE]
    assert end(flow) == MeetingEnd(reason=EndReason.QUORUM_MISSED, established=False)
    assert flow.names == ["create_conference", "end_conference"]
    assert run(brief(), *over(ONE)).result is None
    assert end(run(brief(quorum=3), *over(ONE, TWO, THREE))).reason is EndReason.QUORUM_MISSED


def test_a_meeting_that_stands_goes_on_until_the_last_has_left() -> None:
    assert standing(*over(ONE, TWO)).result is None
    assert end(standing(*over(ONE, TWO, THREE))) == MeetingEnd(reason=EndReason.EVERYONE_LEFT, established=True)


def test_an_application_that_wants_it_over_has_it_undone() -> None:
    flow = standing(End(), *over(*ALL))
    assert hung_up(flow) == [THREE, TWO, ONE]
    assert flow.messages(HangUp) == [HangUp()] * 3
    assert flow.steps[1:] == [("end_conference", ROOM)]
    assert end(flow) == MeetingEnd(reason=EndReason.ASKED, established=True)
    assert flow.waits[-3:] == [timedelta(seconds=45)] * 3


def test_a_room_that_cannot_be_had_is_the_error() -> None:
    error = PermissionDenied("no conferences", provider="p", operation="create_conference")
    flow = run(brief(), create_conference=[error])
    assert flow.children == []
    assert end(flow) == MeetingEnd(reason=EndReason.FAILED, established=False, failure=Failure.of(error))
    assert end(run(brief(), create_conference=[Withdrawn("withdrawn")])) == MeetingEnd(
        reason=EndReason.ASKED, established=False
    )


# --- the room comes of itself


def test_until_the_room_has_its_id_one_goes_at_a_time() -> None:
    flow = run(ON_JOIN, *answered(ONE, TWO, THREE), create_conference=[NAME])
    assert flow.sent == [(ONE, Proceed(into=NAME))]
    updated = told(ONE, Stage.UPDATED, conference_id="conf-1")
    known = run(ON_JOIN, *answered(ONE, TWO, THREE), updated, *is_in(ONE), create_conference=[NAME])
    assert released(known) == [(ONE, None), (TWO, "conf-1"), (THREE, "conf-1")]
    assert [message for message in known.sent if isinstance(message[1], Adopted)] == [("us", Adopted(conference=ROOM))]
    gone = run(ON_JOIN, *answered(ONE, TWO, THREE), *over(ONE), create_conference=[NAME])
    assert released(gone) == [(ONE, None), (TWO, None)]


def test_a_room_that_tells_its_id_later_has_it_from_then_on() -> None:
    flow = run(brief(), dialled(ONE, "conf-1"), dialled(TWO, "conf-2"), create_conference=[NAME])
    assert flow.messages(Adopted) == [Adopted(conference=ROOM)]


def test_a_room_that_is_a_name_is_the_one_that_has_it_last() -> None:
    flow = run(FUSED, dialled(ONE, "conf-1"), dialled(TWO, "conf-2"), dialled(THREE, "conf-2"))
    assert flow.messages(Adopted) == [Adopted(conference=SECOND)]


def test_where_dialling_makes_the_room_one_dials_at_a_time() -> None:
    fused = brief(join_method=JoinMethod.FUSED, creation=ConferenceCreation.FROM_CALL)
    flow = run(fused, create_conference=[NAME])
    assert [(child.waits_for_release, child.named, child.into) for _, _, child in flow.children] == [
        (True, True, NAME)
    ] * 3
    assert released(flow) == [(ONE, None)]
    known = run(fused, dialled(ONE, "conf-1"), create_conference=[NAME])
    assert released(known) == [(ONE, None), (TWO, "conf-1"), (THREE, "conf-1")]
    for joining, room in ((JoinMethod.FUSED, ROOM), (JoinMethod.EXPLICIT, NAME)):
        plain = run(brief(join_method=joining), create_conference=[room])
        assert not any(child.waits_for_release for _, _, child in plain.children)


# --- two are bridged


def bridged(*mail: Message | None, **replies: Any) -> ScriptedFlow:
    """Two who have answered and are connected."""
    moves = brief(2, Mode.BRIDGE, bridge_to_conference=True)
    return run(moves, *answered(ONE, TWO), *is_in(ONE, TWO, conference_id=None), *mail, **replies)


def test_two_are_connected_when_both_have_answered() -> None:
    flow = run(TWO_BRIDGED, *answered(ONE))
    assert (flow.steps, flow.sent) == ([], [])
    assert [child.into for _, _, child in flow.children] == [None, None]
    flow = run(TWO_BRIDGED, *answered(ONE, TWO))
    assert flow.steps == [("create_bridge", (call(1), call(2)))]
    assert flow.sent == [(ONE, Proceed(into=BRIDGE)), (TWO, Proceed(into=BRIDGE))]
    assert bridged().sent[-1] == ("us", Established(bridge=BRIDGE))


def test_a_bridge_that_can_be_there_first_is_dialled_into() -> None:
    first = evolve(TWO_BRIDGED, bridging=Bridging.FIRST)
    flow = run(first)
    assert flow.steps == [("create_bridge", ())]
    assert [child.into for _, _, child in flow.children] == [BRIDGE, BRIDGE]
    assert run(first, End(), *over(TWO, ONE)).steps[1:] == [("end_bridge", BRIDGE)]


def test_one_alone_is_held_ready_for_a_second() -> None:
    flow = run(brief(1, Mode.BRIDGE), *answered(ONE))
    assert (flow.steps, flow.sent) == ([], [("us", Established())])
    second = run(brief(1, Mode.BRIDGE), *answered(ONE), add(2), *answered(TWO))
    assert second.steps == [("create_bridge", (call(1), call(2)))]


@pytest.mark.parametrize("error", [Conflict("one is gone"), NotFound("no such call")])
def test_two_who_cannot_be_connected_are_asked_about_and_given_a_moment_to_explain_it(error: Any) -> None:
    flow = run(TWO_BRIDGED, *answered(ONE, TWO), create_bridge=[error])
    assert flow.steps[1:] == [("fetch", call(1)), ("fetch", call(2))]
    assert flow.waits[-1] == timedelta(seconds=3)
    gone = run(TWO_BRIDGED, *answered(ONE, TWO), *over(ONE), create_bridge=[error])
    assert gone.names.count("create_bridge") == 1
    assert hung_up(gone) == [TWO]  # the quorum of two is missed: that is what happened
    unexplained = run(TWO_BRIDGED, *answered(ONE, TWO), SILENCE, *over(TWO, ONE), create_bridge=[error])
    assert end(unexplained) == MeetingEnd(reason=EndReason.FAILED, established=False, failure=Failure.of(error))
    stays = run(TWO_BRIDGED, *answered(ONE, TWO), SILENCE, create_bridge=[error], fetch=[down()])
    assert hung_up(stays) == [TWO, ONE]


def test_who_is_left_when_the_other_hung_up_is_held_ready_for_another() -> None:
    alone = brief(2, Mode.BRIDGE, quorum=1)
    mail = [*answered(ONE, TWO), *over(ONE), add(3), *answered(THREE)]
    flow = run(alone, *mail, create_bridge=[Conflict("one is gone"), BRIDGE])
    assert flow.steps[-1] == ("create_bridge", (call(2), call(3)))
    assert flow.waits[-1] is None


def test_two_who_cannot_be_connected_for_another_reason_fail_at_once() -> None:
    error = PermissionDenied("no bridges")
    flow = run(TWO_BRIDGED, *answered(ONE, TWO), *over(TWO, ONE), create_bridge=[error])
    assert flow.names == ["create_bridge"]
    assert end(flow) == MeetingEnd(reason=EndReason.FAILED, established=False, failure=Failure.of(error))


# --- commands


def add(number: int, **changes: Any) -> Add:
    return Add(id="c-1", owner="us", party=person(number), **changes)


def test_one_more_is_invited_and_told() -> None:
    incoming = call(4)
    flow = standing(add(4, incoming=incoming))
    kind, key, invited = flow.children[-1]
    assert (kind, key, invited.party, invited.into, invited.incoming) == ("leg", "leg-4", person(4), ROOM, incoming)
    assert flow.sent[-1] == ("us", Reply(command="c-1", leg=FOUR))


def test_a_meeting_that_is_full_takes_nobody_else() -> None:
    small = brief(limit=3)
    full = run(small, add(4))
    (reply,) = full.messages(Reply)
    assert (reply.command, reply.failure.kind) == ("c-1", "PolicyError")
    assert "it holds 3" in reply.failure.message
    assert full.sent[-1] == ("us", reply)
    both = run(small, add(1)).messages(Reply)[0].failure.message
    assert both == "the meeting is full: it holds 3 parties; P1 is in the meeting already"
    assert len(full.children) == 3
    twice = standing(add(1))
    assert "in the meeting already" in twice.messages(Reply)[0].failure.message
    assert run(small, *over(THREE), add(4)).messages(Reply) == [Reply(command="c-1", leg=FOUR)]
    named = run(small, *over(THREE, left_behind="it may be up"), add(4))
    assert named.messages(Reply)[0].failure is not None  # what may still be up takes up its place


def test_who_is_only_told_to_have_ended_is_hung_up_before_its_place_is_given_away() -> None:
    said = over(THREE, call=call(3), told=True)
    flow = run(brief(limit=3), *said, add(4))
    assert flow.steps[1:] == [("hang_up", call(3))]
    assert flow.messages(Reply) == [Reply(command="c-1", leg=FOUR)]
    assert run(brief(limit=4), *said, add(4)).names == ["create_conference"]
    undone = run(brief(limit=3), *said, add(4), End(), *over(FOUR, TWO, ONE))
    assert undone.names == ["create_conference", "hang_up", "end_conference"]  # hung up once


def test_two_who_are_bridged_become_a_conference_when_a_third_comes() -> None:
    flow = bridged(add(3), *answered(THREE))
    assert flow.names == ["create_bridge", "create_conference"]
    assert flow.children[-1][2].into == ROOM
    assert released(flow)[2:] == [(ONE, "conf-1"), (TWO, "conf-1"), (THREE, "conf-1")]
    assert Reply(command="c-1", leg=THREE) in flow.messages(Reply)


def test_the_old_bridge_is_ended_when_both_have_moved() -> None:
    """A bridge that nobody is on any more would be left open at the platform, and paid for."""
    one = bridged(add(3), *is_in(ONE))
    assert "end_bridge" not in one.names
    both = bridged(add(3), *is_in(ONE, TWO))
    assert both.steps[-1] == ("end_bridge", BRIDGE)
    more = bridged(add(3), *is_in(ONE, TWO), *answered(THREE), *is_in(THREE))
    assert more.names.count("end_bridge") == 1
    left = bridged(add(3), *over(ONE), *is_in(TWO))
    assert left.names[-1] == "end_bridge"
    error = down()
    failed = bridged(add(3), *is_in(ONE, TWO), *over(*ALL), end_bridge=[error])
    assert end(failed).failure == Failure.of(error)


def test_a_bridge_that_has_grown_and_is_undone_before_they_moved_leaves_neither_room() -> None:
    flow = bridged(add(3), End(), *over(*ALL))
    assert flow.steps[-2:] == [("end_conference", ROOM), ("end_bridge", BRIDGE)]


def test_a_leg_that_was_dialled_into_the_bridge_is_moved_when_it_is_in() -> None:
    first = brief(2, Mode.BRIDGE, bridging=Bridging.FIRST, bridge_to_conference=True)
    grown = run(first, *is_in(ONE, conference_id=None), add(3), *is_in(TWO, conference_id=None))
    assert (TWO, "conf-1") in released(grown)


def test_growing_that_fails_leaves_the_bridge_as_it_was() -> None:
    error = PermissionDenied("no conferences")
    flow = bridged(add(3), add(3), create_conference=[error])
    failed = ("us", Reply(command="c-1", failure=Failure.of(error)))
    assert [each for each in flow.sent if isinstance(each[1], Reply)] == [failed] * 2
    assert flow.names == ["create_bridge", "create_conference", "create_conference"]
    assert len(flow.children) == 2


def test_a_bridge_that_cannot_grow_says_how_to_plan_for_it() -> None:
    flow = run(TWO_BRIDGED, *answered(ONE, TWO), *is_in(ONE, TWO, conference_id=None), add(3))
    (reply,) = flow.messages(Reply)
    assert reply.failure.kind == "PolicyError"
    assert "p cannot move a call" in reply.failure.message
    assert "expandable=True" in reply.failure.message
    assert flow.names == ["create_bridge"]
    one = run(TWO_BRIDGED, *answered(ONE, TWO), *is_in(ONE, TWO, conference_id=None), *over(TWO), add(3))
    assert one.messages(Reply) == [Reply(command="c-1", leg=THREE)]


MUTE = ConferencePatch(mute=True)


@pytest.mark.parametrize(
    ("operation", "argument"), [("update_conference", MUTE), ("play", STOP), ("record", RecordAction.START)]
)
def test_a_command_for_all_is_carried_out_and_answered(operation: str, argument: Argument) -> None:
    command = Perform(id="c-1", owner="us", operation=operation, arguments=(argument,))
    flow = standing(command)
    assert flow.steps[1:] == [(operation, ROOM, argument)]
    assert flow.sent[-1] == ("us", Reply(command="c-1"))
    error = PermissionDenied("not this")
    failed = standing(command, **{operation: [error]})
    assert failed.sent[-1] == ("us", Reply(command="c-1", failure=Failure.of(error)))


def test_a_command_for_all_before_anybody_is_connected_is_refused() -> None:
    flow = run(TWO_BRIDGED, Perform(id="c-1", owner="us", operation="play", arguments=(STOP,)))
    (reply,) = flow.messages(Reply)
    assert (reply.command, reply.failure.kind) == ("c-1", "MeetingError")
    assert "nobody is connected yet" in reply.failure.message
    assert flow.names == []


def test_a_command_for_one_goes_to_its_leg_while_it_is_there() -> None:
    stop = Perform(id="c-1", owner="us", target=TWO, operation="play", arguments=(STOP,))
    for message in (stop, Remove(id="c-1", owner="us", target=TWO)):
        passed = standing(message)
        assert passed.sent[-1] == (TWO, message)
        assert passed.names == ["create_conference"]
        for flow in (standing(*over(TWO), message), standing(evolve(message, target="m-1/leg-9"))):
            (reply,) = flow.messages(Reply)
            assert (reply.command, reply.failure.kind) == ("c-1", "MeetingError")
            assert "not in the meeting" in reply.failure.message
            assert flow.sent[-1] == ("us", reply)


# --- rooms whose request was lost


def test_a_room_whose_request_was_lost_is_made_once_more_and_named() -> None:
    flow = run(brief(), End(), *over(*ALL), create_conference=[lost(), ROOM])
    assert flow.names == ["create_conference", "create_conference", "find", "end_conference"]
    key = op_key(MEETING, "create_conference", 1)
    assert flow.steps[2] == ("find", key, FindHint(operation="create_conference"))
    (orphan,) = end(flow).orphans
    assert "an empty conference may have been created" in orphan
    assert "the connection was lost" in orphan


def test_a_room_is_made_twice_at_most() -> None:
    flow = run(brief(), create_conference=[lost()])
    assert flow.names == ["create_conference"] * 2
    assert (end(flow).reason, len(end(flow).orphans)) == (EndReason.FAILED, 2)
    asked = run(brief(), create_conference=[lost(), Withdrawn("withdrawn")])
    assert (end(asked).reason, len(end(asked).orphans)) == (EndReason.ASKED, 1)
    bridge = run(evolve(TWO_BRIDGED, bridging=Bridging.FIRST), create_bridge=[lost()])
    assert bridge.names == ["create_bridge"] * 2
    assert "an empty bridge" in end(bridge).orphans[0]


@pytest.mark.parametrize(("status", "sent"), [(201, 1), (299, 1), (300, 2), (500, 2), (None, 2)])
def test_a_success_that_could_not_be_read_is_not_repeated(status: int | None, sent: int) -> None:
    """It was one, and the next would be as well: each leaves an empty conference open."""
    flow = run(brief(), create_conference=[lost(status=status)])
    assert flow.names == ["create_conference"] * sent
    assert len(end(flow).orphans) == sent


LOST: dict[str, Any] = {"create_conference": [lost(), ROOM]}
ORPHAN = Conference(provider="p", key=op_key(MEETING, "create_conference", 1), id="conf-9")
PROVEN = Snapshot(conference=ORPHAN)


def test_a_lost_conference_that_shows_itself_is_ended() -> None:
    flow = run(brief(), shows_itself("conf-9"), **LOST, fetch=[PROVEN])
    assert flow.steps[2:] == [
        ("fetch", Conference(provider="p", key="", id="conf-9")),
        ("end_conference", ORPHAN),
    ]
    again = run(brief(), shows_itself("conf-9"), shows_itself("conf-9"), **LOST, fetch=[PROVEN])
    assert again.names == flow.names
    ended = run(brief(), shows_itself("conf-9"), End(), *over(*ALL), **LOST, fetch=[PROVEN])
    assert end(ended).orphans == ()


def test_a_lost_conference_that_shows_itself_in_the_undoing_is_ended() -> None:
    flow = run(brief(), End(), shows_itself("conf-9"), *over(*ALL), **LOST, fetch=[PROVEN])
    assert flow.steps[-2:] == [("end_conference", ORPHAN), ("end_conference", ROOM)]
    assert end(flow).orphans == ()


def test_a_lost_conference_that_cannot_be_ended_is_named() -> None:
    error = down()
    mail = [shows_itself("conf-9"), End(), *over(*ALL)]
    flow = run(brief(), *mail, **LOST, fetch=[PROVEN], end_conference=[error, None])
    assert end(flow).orphans == (f"conference conf-9 may still be open ({error})",)


@pytest.mark.parametrize(
    "account", [Snapshot(), Snapshot(conference=evolve(ORPHAN, key="another")), NotFound("no such conference")]
)
def test_a_conference_that_is_not_proven_to_be_ours_is_not_ended(account: object) -> None:
    """Whoever knows a callback URL of the meeting can tell of any conference on the account."""
    flow = run(brief(), shows_itself("conf-9"), **LOST, fetch=[account])
    assert flow.names == ["create_conference", "create_conference", "fetch"]


def test_where_nothing_is_lost_no_conference_that_shows_itself_is_asked_about() -> None:
    assert run(brief(), shows_itself("conf-9")).names == ["create_conference"]
    assert run(brief(), shows_itself("conf-1"), **LOST).names == ["create_conference"] * 2
    nameless = run(brief(), shows_itself("conf-1"), create_conference=[lost(), NAME])
    assert nameless.names == ["create_conference", "create_conference", "fetch"]


def test_lost_conferences_are_looked_for_at_the_end() -> None:
    shown = Conference(provider="p", key="", id="conf-9")
    flow = run(brief(), End(), *over(*ALL), **LOST, find=[(BRIDGE, shown)])
    assert flow.names[2:] == ["find", "end_conference", "end_conference"]
    assert flow.steps[3] == ("end_conference", ORPHAN)
    assert end(flow).orphans == ()
    mail = [has_ended(), *over(FOUR, *ALL)]
    two = run(brief(4), *mail, create_conference=[lost(), ROOM, lost()], find=[down(), (shown,)])
    assert two.names[3:] == ["find", "find", "end_conference", "end_conference"]  # one that fails is not the last
    unknown = run(brief(), End(), *over(*ALL), **LOST, find=[down()])
    assert len(end(unknown).orphans) == 1


# --- conferences that end


def test_the_end_of_the_conference_takes_everyone_out_of_a_meeting_that_stands() -> None:
    flow = standing(has_ended())
    assert flow.sent[-3:] == [(leg, has_ended()) for leg in (ONE, TWO, THREE)]
    assert end(standing(has_ended(), *over(ONE, TWO, THREE))).reason is EndReason.EVERYONE_LEFT


def test_the_end_of_another_conference_is_nobodys() -> None:
    flow = standing(has_ended("conf-9"))
    assert flow.sent[-1] == ("us", Established(conference=ROOM))
    assert bridged(has_ended("conf-9")).result is None


def test_who_leaves_first_cuts_nobody_off_who_is_still_to_come() -> None:
    """A platform ends a conference with its last member; who answers later meets in another one."""
    mail = [*answered(ONE, TWO), *is_in(ONE), has_ended(), *over(ONE), *answered(THREE)]
    flow = run(brief(4), *mail, create_conference=[ROOM, SECOND])
    assert flow.names == ["create_conference", "create_conference"]
    assert [to for to, message in flow.sent if message == has_ended()] == [ONE]
    assert flow.messages(Adopted) == [Adopted(conference=SECOND)]
    assert released(flow) == [(ONE, "conf-1"), (TWO, "conf-1"), (TWO, "conf-2"), (THREE, "conf-2")]


def test_as_many_as_the_quorum_asks_for_are_enough_to_meet_again() -> None:
    mail = [*answered(ONE, TWO), *is_in(ONE, TWO), has_ended()]
    flow = run(brief(4), *mail, create_conference=[ROOM, SECOND])
    assert flow.names == ["create_conference", "create_conference"]


def test_who_was_in_a_conference_that_has_ended_is_not_in_the_next() -> None:
    """Their legs have yet to report that they are over; they count no more."""
    again = [*answered(THREE, FOUR), *is_in(THREE, FOUR, conference_id="conf-2"), *over(THREE, FOUR)]
    flow = run(
        brief(4),
        *answered(ONE, TWO),
        *is_in(ONE, TWO),
        has_ended(),
        *again,
        *over(TWO, ONE),
        create_conference=[ROOM, SECOND],
    )
    assert flow.messages(Established) == [Established(conference=SECOND)]
    assert hung_up(flow) == [TWO, ONE]  # with the last of the others the meeting was over
    assert end(flow) == MeetingEnd(reason=EndReason.EVERYONE_LEFT, established=True)


def test_a_conference_is_created_anew_only_so_often() -> None:
    rooms = [evolve(ROOM, id=f"conf-{number}") for number in range(1, 9)]
    mail = [has_ended(f"conf-{number}") for number in range(1, 5)]
    flow = run(brief(4), *mail, *over(FOUR, *ALL), create_conference=rooms)
    assert flow.names.count("create_conference") == 1 + 3
    assert end(flow).reason is EndReason.CONFERENCE_ENDED


def test_a_conference_that_cannot_be_created_anew_fails_the_meeting() -> None:
    error = PermissionDenied("no more conferences")
    flow = run(brief(4), has_ended(), *over(FOUR, *ALL), create_conference=[ROOM, error])
    assert end(flow).failure == Failure.of(error)
    assert end(flow).reason is EndReason.FAILED


def test_a_conference_that_ends_with_too_few_to_come_is_the_end_of_the_meeting() -> None:
    flow = run(brief(2), *answered(ONE, TWO), *is_in(ONE), has_ended(), *over(ONE, TWO))
    assert end(flow).reason is EndReason.CONFERENCE_ENDED
    assert flow.names == ["create_conference", "end_conference"]


@pytest.mark.parametrize("how", [{"join_method": JoinMethod.FUSED}, {"creation": ConferenceCreation.ON_JOIN}])
def test_a_room_that_is_a_name_comes_again_by_itself(how: dict[str, Any]) -> None:
    mail = [dialled(ONE, "conf-1"), *answered(ONE), *is_in(ONE), has_ended(), *over(ONE)]
    flow = run(brief(4, **how), *mail, create_conference=[NAME])
    assert flow.names == ["create_conference"]
    assert flow.messages(Adopted) == [Adopted(conference=ROOM), Adopted(conference=NAME)]
    late = dialled(THREE, "conf-1")  # a late word of the one that has ended
    back = run(FUSED, dialled(ONE, "conf-1"), has_ended(), dialled(TWO, "conf-2"), late, create_conference=[NAME])
    assert [each.conference.id for each in back.messages(Adopted)] == ["conf-1", None, "conf-2"]


def test_of_two_rooms_that_had_one_name_only_the_one_that_ended_is_over() -> None:
    mail = [dialled(ONE, "conf-1"), *is_in(ONE), dialled(TWO, "conf-2"), *is_in(TWO, conference_id="conf-2")]
    late = run(FUSED, *mail, has_ended("conf-1"), create_conference=[NAME])
    assert [to for to, message in late.sent if isinstance(message, Happened)] == [ONE]
    assert late.messages(Adopted)[-1] == Adopted(conference=SECOND)
    first = run(FUSED, *mail, has_ended("conf-2"), create_conference=[NAME])
    assert [to for to, message in first.sent if isinstance(message, Happened)] == [TWO]
    assert first.messages(Adopted)[-1] == Adopted(conference=ROOM)  # where somebody is still


# --- undoing


def test_what_has_not_reported_in_time_is_named() -> None:
    flow = standing(End(), *over(THREE), SILENCE)
    assert end(flow).left_behind == tuple(
        f"the call to P{number} may still be up: its leg did not report" for number in (1, 2)
    )
    assert flow.names[-1] == "end_conference"


def test_what_could_not_be_undone_is_named() -> None:
    error = down()
    flow = standing(End(), *over(THREE, TWO), *over(ONE, left_behind="it may be up"), end_conference=[error])
    assert end(flow).left_behind == ("it may be up", f"conference conf-1 may still be open ({error})")
    bridge = bridged(End(), *over(TWO, ONE), end_bridge=[error])
    assert end(bridge).left_behind == (f"bridge bridge-1 may still be open ({error})",)


def test_who_watches_for_a_lost_call_is_told_of_the_undoing_and_waited_for() -> None:
    watches = over(THREE, left_behind="it may have been made", watches=True)
    flow = run(brief(), *answered(ONE, TWO), *is_in(ONE, TWO), *watches, End(), *over(TWO, ONE))
    assert hung_up(flow) == [THREE, TWO, ONE]
    assert flow.result is None
    done = run(brief(), *answered(ONE, TWO), *is_in(ONE, TWO), *watches, End(), *over(*ALL))
    assert end(done).left_behind == ()


def test_who_is_over_is_not_hung_up() -> None:
    assert hung_up(standing(*over(TWO), End())) == [THREE, ONE]


def test_commands_in_the_undoing_are_answered() -> None:
    flow = standing(End(), add(4), Remove(id="c-2", owner="us", target=ONE), happened(CallRinging, call_id="x"))
    assert [(reply.command, reply.failure.kind) for reply in flow.messages(Reply)] == [
        ("c-1", "MeetingEnded"),
        ("c-2", "MeetingEnded"),
    ]
    assert all("ending" in reply.failure.message for reply in flow.messages(Reply))
    assert [to for to, message in flow.sent if isinstance(message, Reply)] == ["us", "us"]
    assert len(flow.children) == 3


def test_calls_whose_end_was_only_told_are_hung_up_in_the_undoing() -> None:
    """Anybody who knows the callback URL can tell it."""
    said = over(ONE, call=call(1), told=True)
    flow = standing(*said, End(), *over(THREE, TWO))
    assert flow.steps[1:] == [("hang_up", call(1)), ("end_conference", ROOM)]
    asked = standing(*over(ONE, call=call(1)), End(), *over(THREE, TWO))
    assert asked.names == ["create_conference", "end_conference"]
    error = down()
    failed = standing(*said, End(), *over(THREE, TWO), hang_up=[error])
    assert end(failed).left_behind == (f"the call to P1 was told to have ended, and may still be up ({error})",)


def test_of_many_that_are_told_to_have_ended_those_that_have_are_seen_in_one_look() -> None:
    said = [*over(ONE, call=call(1), told=True), *over(TWO, call=call(2), told=True)]
    gone = evolve(call(1), state=CallState.ENDED)
    flow = standing(*said, End(), *over(THREE), list_calls=[(gone, call(2))])
    assert flow.steps[1:] == [("list_calls", ROOM), ("hang_up", call(2)), ("end_conference", ROOM)]
    blind = standing(*said, End(), *over(THREE), list_calls=[down()])
    assert blind.names[1:] == ["list_calls", "hang_up", "hang_up", "end_conference"]
    nameless = run(brief(), *said, *over(THREE), create_conference=[NAME])
    assert "list_calls" not in nameless.names


# --- where ending a conference hangs up everybody in it

ALL_AT_ONCE = brief(end_hangs_up=True)


def test_one_request_ends_the_conference_with_everybody_in_it() -> None:
    flow = run(ALL_AT_ONCE, *answered(ONE, TWO, THREE), *is_in(ONE, TWO), End(), *over(*ALL))
    assert [(to, message.done) for to, message in flow.sent if isinstance(message, HangUp)] == [
        (THREE, False),
        (TWO, True),
        (ONE, True),
    ]
    assert flow.steps[1:] == [("end_conference", ROOM)]
    assert flow.journal.index("end_conference") > flow.journal.index(f"HangUp {ONE}")
    assert end(flow).left_behind == ()


def test_where_that_request_fails_each_call_is_hung_up() -> None:
    mail = [*answered(ONE, TWO, THREE), *is_in(ONE, TWO, THREE), End(), *over(*ALL)]
    flow = run(ALL_AT_ONCE, *mail, end_conference=[down(), None])
    assert flow.names == ["create_conference", "end_conference", "list_calls", *["hang_up"] * 3, "end_conference"]
    assert end(flow).left_behind == ()


@pytest.mark.parametrize(
    ("what", "inside", "room"),
    [(ALL_AT_ONCE, [ONE], ROOM), (brief(), [ONE, TWO, THREE], ROOM), (ALL_AT_ONCE, [ONE, TWO, THREE], NAME)],
)
def test_else_each_call_is_hung_up_by_its_leg(what: MeetingBrief, inside: list[str], room: Conference) -> None:
    mail = [*answered(ONE, TWO, THREE), *is_in(*inside, conference_id=room.id), End()]
    flow = run(what, *mail, create_conference=[room])
    assert [message.done for message in flow.messages(HangUp)] == [False] * 3
    assert flow.names == ["create_conference"]


def test_a_room_that_came_again_in_replies_out_of_order_leaves_none_behind() -> None:
    fused = brief(3, join_method=JoinMethod.FUSED)
    third, second = dialled(THREE, "conf-3"), dialled(TWO, "conf-2")
    flow = run(fused, dialled(ONE, "conf-1"), third, second, End(), *over(ONE, TWO, THREE))
    ended = [step[1].id for step in flow.steps if step[0] == "end_conference"]
    assert ended == ["conf-2", "conf-1", "conf-3"]
    flow = run(fused, dialled(ONE, "conf-1"), third, second, has_ended("conf-1"), End(), *over(ONE, TWO, THREE))
    assert [step[1].id for step in flow.steps if step[0] == "end_conference"] == ["conf-2", "conf-3"]


@pytest.mark.parametrize("how", [{"join_method": JoinMethod.FUSED}, {}])
def test_where_a_room_is_a_name_all_dial_and_join_at_once(how: dict[str, Any]) -> None:
    by_name = brief(creation=ConferenceCreation.BY_NAME, **how)
    flow = run(by_name, *answered(ONE, TWO, THREE), create_conference=[NAME])
    assert not any(child.waits_for_release for _, _, child in flow.children)
    assert sorted(released(flow)) == [(each, None) for each in (ONE, TWO, THREE)]
