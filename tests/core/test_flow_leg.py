"""One leg against a script: what it asks of the provider, what it tells its meeting, and what it leaves behind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from confkit import Bridge, Call, Conference, Outcome, OutcomeUnknown, Party, RecordAction, Unavailable
from confkit.models.errors import Withdrawn
from confkit.models.events import (
    CallAnswered,
    CallEnded,
    CallRinging,
    ConferenceEnded,
    Event,
    MemberJoined,
    MemberLeft,
)
from confkit.provider import (
    CallSpec,
    CallState,
    Conflict,
    Dialled,
    EndCause,
    FindHint,
    Media,
    Member,
    MemberOptions,
    MemberPatch,
    Membership,
    MemberState,
    NotFound,
    PermissionDenied,
    Snapshot,
)
from confkit.workflows.flow import op_key
from confkit.workflows.leg import leg
from confkit.workflows.messages import (
    Argument,
    Failure,
    HangUp,
    Happened,
    LegBrief,
    LegEnd,
    LegReport,
    Message,
    Perform,
    Proceed,
    Remove,
    Reply,
    Stage,
)
from tests.core.scripted_flow import SILENCE, ScriptedFlow

MEETING = "m-1"
LEG = "m-1/leg-1"
OURS = "+12018994444"
ANN = Party("+19195550101", name="Ann")
ROOM = Conference(provider="p", key="k-room", id="conf-1")
NAME = Conference(provider="p", key="k-room")
BRIDGE = Bridge(provider="p", id="bridge-1")
CALL = Call(provider="p", id="call-1", to=ANN.address)
MEMBER = Member(provider="p", id="member-1", call_id="call-1", conference=ROOM, state=MemberState.JOINED)
JOINING = evolve(MEMBER, state=MemberState.JOINING)
RINGING = timedelta(seconds=20)
#: The ringing, and a little longer for the platform to say that it is over.
RINGS = timedelta(seconds=25)

EXPLICIT = Dialled(call=CALL, membership=Membership.EXPLICIT)
FUSED = Dialled(call=CALL, membership=Membership.FUSED)
ON_ANSWER = Dialled(call=CALL, membership=Membership.ON_ANSWER)
ALONE = Dialled(call=CALL)


def happened(kind: type[Event], *, asked: bool = False, **about: Any) -> Happened:
    return Happened(event=kind(provider="p", id="e-1", **about), asked=asked)


ANSWERED = happened(CallAnswered, call_id="call-1")
RINGS_ON = happened(CallRinging, call_id="call-1")
LET_ON = Proceed(into=ROOM)
IN = happened(MemberJoined, call_id="call-1", member_id="member-1", conference_id="conf-1")
OUT = happened(MemberLeft, call_id="call-1", member_id="member-1", conference_id="conf-1")
OVER = happened(ConferenceEnded, conference_id="conf-1")
ELSEWHERE = happened(MemberJoined, call_id="call-1", member_id="member-9", conference_id="conf-9")


def ended(cause: EndCause = EndCause.HANGUP, *, asked: bool = True, call_id: str = "call-1") -> Happened:
    return happened(CallEnded, call_id=call_id, cause=cause, asked=asked)


def run(*mail: Message | None, brief: dict[str, Any] | None = None, **replies: Any) -> ScriptedFlow:
    usual: dict[str, Any] = {
        "meeting": MEETING,
        "party": ANN,
        "caller_id": OURS,
        "answer_timeout": RINGING,
        "into": ROOM,
    }
    script: dict[str, Any] = {"create_call": [EXPLICIT], "add_member": [MEMBER], "fetch": [Snapshot()]}
    return ScriptedFlow.of(leg, LEG, LegBrief(**(usual | (brief or {}))), list(mail), **(script | replies))


def joined(*mail: Message | None, **replies: Any) -> ScriptedFlow:
    """A leg that is in, and gets this mail."""
    return run(ANSWERED, LET_ON, *mail, **replies)


def stages(flow: ScriptedFlow) -> list[Stage]:
    return [report.stage for report in flow.reports]


def last(flow: ScriptedFlow) -> LegReport:
    return flow.reports[-1]


def lost(**details: Any) -> OutcomeUnknown:
    return OutcomeUnknown("the connection was lost", **details)


# --- dialling


def test_a_leg_dials_waits_for_the_answer_and_joins_when_it_is_let_on() -> None:
    flow = run(ANSWERED, LET_ON)
    spec = CallSpec(to=ANN.address, caller_id=OURS, answer_timeout=RINGING)
    assert flow.steps == [("create_call", spec, ROOM), ("add_member", ROOM, CALL, MemberOptions())]
    assert flow.limits == [OURS, None]
    assert flow.waits == [RINGS, None, None]
    report = LegReport(leg=LEG, stage=Stage.DIALLED, number=1, call=CALL)
    assert flow.sent == [
        (MEETING, report),
        (MEETING, evolve(report, stage=Stage.ANSWERED, number=2)),
        (MEETING, evolve(report, stage=Stage.UPDATED, number=3, member=MEMBER, conference_id="conf-1")),
        (MEETING, evolve(report, stage=Stage.JOINED, number=4, member=MEMBER, conference_id="conf-1")),
    ]
    assert flow.result is None


def test_a_leg_that_is_to_ask_dials_when_it_is_let_on_into_what_it_is_told() -> None:
    waiting = {"into": NAME, "waits_for_release": True}
    waits = run(brief=waiting)
    assert (waits.steps, waits.waits) == ([], [None])
    flow = run(Proceed(into=ROOM), brief=waiting)
    assert [step[2] for step in flow.steps] == [ROOM]
    assert run(Proceed(into=ROOM), ANSWERED, brief=waiting).names == ["create_call"]  # let on to dial is not to join


def test_the_conference_that_a_call_has_made_is_told_with_the_call() -> None:
    flow = run(ANSWERED, brief={"into": NAME}, create_call=[evolve(FUSED, conference=ROOM)])
    assert flow.reports[0].conference_id == "conf-1"
    assert run().reports[0].conference_id is None
    kept = run(ANSWERED, IN, brief={"into": NAME}, create_call=[evolve(FUSED, conference=ROOM)])
    assert kept.names == ["create_call"]
    assert stages(kept)[-1] is Stage.JOINED


def test_a_call_that_is_refused_is_over_with_the_reason() -> None:
    error = PermissionDenied("the number is not yours", provider="p", operation="create_call")
    flow = run(create_call=[error])
    assert flow.names == ["create_call"]
    failed = LegReport(leg=LEG, stage=Stage.ENDED, number=1, outcome=Outcome.FAILED, failure=Failure.of(error))
    assert flow.sent == [(MEETING, failed)]
    assert flow.result == LegEnd(outcome=Outcome.FAILED)


def test_a_call_that_is_withdrawn_is_cancelled() -> None:
    flow = run(create_call=[Withdrawn("withdrawn")])
    assert flow.names == ["create_call"]
    assert last(flow) == LegReport(leg=LEG, stage=Stage.ENDED, number=1, outcome=Outcome.CANCELLED)
    assert flow.result == LegEnd(outcome=Outcome.CANCELLED)


# --- a call whose request was lost


@pytest.mark.parametrize(
    ("brief", "room"),
    [
        ({"into": ROOM}, False),
        ({"into": NAME}, True),
        ({"into": ROOM, "named": True}, True),
        ({"into": BRIDGE, "named": True}, False),
    ],
)
def test_a_call_that_may_have_been_made_is_named_and_watched(brief: dict[str, Any], room: bool) -> None:
    flow = run(brief=brief, create_call=[lost()])
    assert (last(flow).stage, last(flow).outcome, last(flow).watches) == (Stage.ENDED, Outcome.FAILED, True)
    assert last(flow).failure == Failure.of(lost())
    named = last(flow).left_behind or ""
    assert "the call to Ann may have been made: the connection was lost" in named
    assert ("a conference may have been created with it" in named) is room
    assert (flow.result, flow.waits) == (None, [None])


PROVEN = Snapshot(calls=(evolve(CALL, id="call-6"), evolve(CALL, id="call-7")))


def test_a_lost_call_that_shows_itself_is_hung_up() -> None:
    """It was never dialled as far as we know, so it would ring and talk to nobody for ever."""
    flow = run(happened(CallRinging, call_id="call-7"), create_call=[lost()], fetch=[PROVEN])
    shown = Call(provider="p", id="call-7")
    found = evolve(CALL, id="call-7")
    assert flow.steps[1:] == [("fetch", shown), ("hang_up", found)]
    assert last(flow) == LegReport(
        leg=LEG, stage=Stage.ENDED, number=2, call=found, outcome=Outcome.FAILED, failure=Failure.of(lost())
    )
    assert flow.result == LegEnd(outcome=Outcome.FAILED)


@pytest.mark.parametrize(
    "account",
    [
        Unavailable("down"),
        Snapshot(),
        Snapshot(calls=(evolve(CALL, id="call-8"),)),
        Snapshot(calls=(evolve(CALL, id="call-7", to="+19195550199"),)),
        Snapshot(calls=(evolve(CALL, id="call-7", to=""),)),
    ],
)
def test_a_call_that_is_not_proven_to_be_ours_is_left_alone(account: object) -> None:
    flow = run(
        happened(CallRinging, call_id="call-7"),
        happened(CallRinging, call_id="call-9"),
        create_call=[lost()],
        fetch=[account],
    )
    assert flow.names == ["create_call", "fetch", "fetch"]
    assert flow.result is None


def test_what_speaks_of_no_call_shows_none() -> None:
    flow = run(OVER, create_call=[lost()])
    assert (flow.names, flow.result) == (["create_call"], None)


def test_a_lost_call_that_is_over_is_not_named_any_more() -> None:
    over = evolve(CALL, id="call-7", state=CallState.ENDED)
    flow = run(ended(call_id="call-7"), create_call=[lost()], fetch=[Snapshot(calls=(over,))])
    assert flow.names == ["create_call", "fetch"]
    assert (last(flow).left_behind, last(flow).watches, last(flow).call) == (None, False, None)
    assert flow.result == LegEnd(outcome=Outcome.FAILED)


def test_that_a_lost_call_is_over_is_believed_of_a_call_to_our_party_only() -> None:
    somebody_elses = evolve(CALL, id="call-7", to="+19195550199", state=CallState.ENDED)
    for account in (Snapshot(calls=(somebody_elses,)), Snapshot(), Unavailable("down")):
        flow = run(ended(call_id="call-7"), create_call=[lost()], fetch=[account])
        assert flow.names == ["create_call", "fetch"]
        assert (last(flow).watches, flow.result) == (True, None)


def test_a_lost_call_is_looked_for_once_more_when_the_meeting_is_undone() -> None:
    found = evolve(CALL, id="call-7")
    for reply, names in (
        ((found,), ["create_call", "find", "hang_up"]),
        ((), ["create_call", "find"]),
        (Unavailable("down"), ["create_call", "find"]),
    ):
        flow = run(HangUp(), create_call=[lost()], find=[reply])
        assert flow.names == names
        hint = FindHint(operation="create_call", into=ROOM, to=ANN.address, caller_id=OURS)
        assert flow.steps[1] == ("find", op_key(LEG, "create_call", 1), hint)
        assert (last(flow).left_behind is None) is (names[-1] == "hang_up")
        assert not last(flow).watches
        assert flow.result == LegEnd(outcome=Outcome.FAILED)


def test_a_call_that_could_not_be_hung_up_is_named_and_hung_up_when_the_meeting_is_undone() -> None:
    error = Unavailable("down", provider="p", operation="hang_up")
    flow = joined(OUT, HangUp(), hang_up=[error, None])
    assert flow.names[2:] == ["hang_up", "hang_up"]
    first, second = flow.reports[-2:]
    assert first.left_behind == f"the call to Ann may still be up ({error})"
    assert (first.watches, first.outcome) == (True, Outcome.LEFT)
    assert (second.left_behind, second.watches) == (None, False)
    assert flow.result == LegEnd(outcome=Outcome.LEFT)


def test_a_call_that_could_not_be_hung_up_and_ends_is_not_named_any_more() -> None:
    others = ended(call_id="call-8")
    flow = joined(OUT, others, ended(), hang_up=[Unavailable("down")])
    assert flow.names[2:] == ["hang_up"]
    assert last(flow).left_behind is None
    assert flow.result == LegEnd(outcome=Outcome.LEFT)
    assert joined(OUT, others, RINGS_ON, hang_up=[Unavailable("down")]).result is None


def test_who_is_hung_up_on_in_the_undoing_is_not_watched() -> None:
    flow = joined(HangUp(), hang_up=[Unavailable("down")])
    assert "may still be up" in (last(flow).left_behind or "")
    assert not last(flow).watches
    assert flow.result == LegEnd(outcome=Outcome.LEFT)


# --- the answer


def test_who_does_not_answer_is_asked_about_and_hung_up_on() -> None:
    for account in (Snapshot(calls=(CALL,)), Snapshot(), Unavailable("down")):
        flow = run(SILENCE, fetch=[account])
        assert flow.steps[1:] == [("fetch", CALL), ("hang_up", CALL)]
        assert flow.waits == [RINGS]
        assert (last(flow).outcome, last(flow).failure) == (Outcome.NO_ANSWER, None)


def test_who_has_answered_without_our_hearing_of_it_is_not_hung_up_on() -> None:
    other = evolve(CALL, id="call-2", state=CallState.ENDED)
    account = Snapshot(calls=(other, evolve(CALL, state=CallState.ANSWERED)))
    flow = run(SILENCE, fetch=[account])
    assert flow.names == ["create_call", "fetch"]
    assert stages(flow) == [Stage.DIALLED, Stage.ANSWERED]


@pytest.mark.parametrize(
    ("cause", "outcome"),
    [
        (EndCause.BUSY, Outcome.BUSY),
        (EndCause.UNKNOWN, Outcome.NO_ANSWER),
        (None, Outcome.NO_ANSWER),
        (EndCause.REJECTED, Outcome.REJECTED),
    ],
)
def test_a_call_that_has_ended_without_our_hearing_of_it_has_its_own_outcome(
    cause: EndCause | None, outcome: Outcome
) -> None:
    flow = run(SILENCE, fetch=[Snapshot(calls=(evolve(CALL, state=CallState.ENDED, cause=cause),))])
    assert flow.names == ["create_call", "fetch"]
    assert (last(flow).outcome, last(flow).told) == (outcome, False)


@pytest.mark.parametrize(
    ("cause", "outcome"),
    [
        (EndCause.BUSY, Outcome.BUSY),
        (EndCause.NO_ANSWER, Outcome.NO_ANSWER),
        (EndCause.REJECTED, Outcome.REJECTED),
        (EndCause.UNALLOCATED, Outcome.UNREACHABLE),
    ],
)
def test_a_call_that_ends_before_the_answer_has_its_outcome(cause: EndCause, outcome: Outcome) -> None:
    for asked in (True, False):
        flow = run(ended(cause, asked=asked))
        assert flow.names == ["create_call"]
        assert (last(flow).outcome, last(flow).failure, last(flow).told) == (outcome, None, not asked)
        assert flow.result == LegEnd(outcome=outcome)


def test_a_call_that_fails_before_the_answer_says_how() -> None:
    flow = run(ended(EndCause.FAILED))
    assert last(flow).outcome is Outcome.FAILED
    failure = last(flow).failure
    assert failure is not None
    assert failure.kind == "CallEnded"
    assert "before it was answered: failed" in failure.message


@pytest.mark.parametrize("asked", [True, False])
def test_who_hangs_up_after_the_answer_has_left(asked: bool) -> None:
    for flow in (run(ANSWERED, ended(asked=asked)), joined(ended(asked=asked))):
        assert "hang_up" not in flow.names
        assert (last(flow).outcome, last(flow).told) == (Outcome.LEFT, not asked)


# --- into the conference


def test_who_has_answered_waits_without_limit_to_be_let_on() -> None:
    flow = run(ANSWERED)
    assert (flow.names, flow.waits) == (["create_call"], [RINGS, None])


def test_a_join_that_the_platform_has_yet_to_confirm_is_reported_when_it_does() -> None:
    flow = run(ANSWERED, LET_ON, add_member=[JOINING])
    assert stages(flow) == [Stage.DIALLED, Stage.ANSWERED, Stage.UPDATED]
    assert flow.waits[-1] == timedelta(seconds=15)
    flow = run(ANSWERED, LET_ON, IN, add_member=[JOINING])
    assert stages(flow)[-1] is Stage.JOINED
    assert last(flow).conference_id == "conf-1"


def test_a_join_that_nobody_confirms_is_asked_about_and_then_given_up() -> None:
    for account in (Snapshot(), Snapshot(members=(JOINING,)), Unavailable("down")):
        flow = run(ANSWERED, LET_ON, SILENCE, add_member=[JOINING], fetch=[account])
        assert flow.steps[2:] == [("fetch", ROOM), ("hang_up", CALL)]
        assert last(flow).outcome is Outcome.FAILED
        failure = last(flow).failure
        assert failure is not None
        assert (failure.kind, "nobody confirms" in failure.message) == ("NotReady", True)
    other = evolve(MEMBER, id="member-2", call_id="call-2")
    flow = run(ANSWERED, LET_ON, SILENCE, add_member=[JOINING], fetch=[Snapshot(members=(other, MEMBER))])
    assert flow.names == ["create_call", "add_member", "fetch"]
    assert stages(flow)[-1] is Stage.JOINED
    only_other = run(ANSWERED, LET_ON, SILENCE, add_member=[JOINING], fetch=[Snapshot(members=(other,))])
    assert only_other.names[-1] == "hang_up"


def test_a_fused_leg_whose_room_has_no_id_is_asked_about_by_its_call() -> None:
    flow = run(ANSWERED, SILENCE, brief={"into": NAME}, create_call=[FUSED], fetch=[Snapshot()])
    assert flow.steps[1:] == [("fetch", CALL), ("hang_up", CALL)]


def test_a_fused_call_is_in_when_the_platform_says_so() -> None:
    flow = run(ANSWERED, IN, create_call=[FUSED])
    assert flow.names == ["create_call"]
    assert stages(flow) == [Stage.DIALLED, Stage.ANSWERED, Stage.JOINED]
    assert last(flow).member == MEMBER
    assert last(flow).conference_id == "conf-1"


def test_a_fused_call_whose_event_is_lost_is_found_to_be_in() -> None:
    flow = run(ANSWERED, SILENCE, create_call=[FUSED], fetch=[Snapshot(members=(MEMBER,))])
    assert flow.steps[1:] == [("fetch", ROOM)]
    assert (last(flow).stage, last(flow).member) == (Stage.JOINED, MEMBER)


def test_a_call_that_is_dialled_into_a_bridge_is_in_when_it_is_answered() -> None:
    flow = run(ANSWERED, brief={"into": BRIDGE}, create_call=[ON_ANSWER])
    assert stages(flow) == [Stage.DIALLED, Stage.ANSWERED, Stage.JOINED]
    assert last(flow).conference_id is None


def test_one_of_two_is_held_ready_until_they_are_connected() -> None:
    held = run(ANSWERED, brief={"into": None}, create_call=[ALONE])
    assert (stages(held), held.waits[-1]) == ([Stage.DIALLED, Stage.ANSWERED], None)
    flow = run(ANSWERED, Proceed(into=BRIDGE), brief={"into": None}, create_call=[ALONE])
    assert flow.names == ["create_call"]
    assert stages(flow)[-1] is Stage.JOINED
    grown = run(ANSWERED, LET_ON, brief={"into": None}, create_call=[ALONE])
    assert grown.names == ["create_call", "add_member"]
    assert last(grown).conference_id == "conf-1"


def test_two_who_are_bridged_move_when_a_third_is_to_come() -> None:
    flow = run(ANSWERED, LET_ON, brief={"into": BRIDGE}, create_call=[ON_ANSWER])
    assert flow.steps[1:] == [("add_member", ROOM, CALL, MemberOptions())]
    assert stages(flow) == [Stage.DIALLED, Stage.ANSWERED, Stage.JOINED, Stage.UPDATED, Stage.JOINED]
    assert [report.conference_id for report in flow.reports[-3:]] == [None, "conf-1", "conf-1"]
    asked = run(ANSWERED, LET_ON, brief={"into": BRIDGE}, create_call=[ON_ANSWER], add_member=[JOINING])
    assert stages(asked)[-1] is Stage.UPDATED  # not in until the platform confirms it


def test_a_leg_that_is_in_does_not_join_again_when_its_conference_is_another() -> None:
    flow = joined(Proceed(into=evolve(ROOM, id="conf-2")))
    assert flow.names == ["create_call", "add_member"]


# --- a join that fails


@pytest.mark.parametrize(
    ("error", "asks", "patience"),
    [
        (Conflict("over"), True, 3),
        (NotFound("gone"), True, 3),
        (lost(), False, 3),
        (PermissionDenied("no"), False, 0),
    ],
)
def test_a_join_that_fails_is_the_error_where_nothing_explains_it(error: Any, asks: bool, patience: int) -> None:
    flow = run(ANSWERED, LET_ON, SILENCE, add_member=[error], fetch=[Unavailable("down")])
    assert flow.steps[2:] == [*([("fetch", ROOM)] if asks else []), ("hang_up", CALL)]
    assert flow.waits[-1] == timedelta(seconds=patience)
    assert (last(flow).outcome, last(flow).failure) == (Outcome.FAILED, Failure.of(error))


def test_a_room_without_an_id_is_not_asked_about() -> None:
    flow = run(ANSWERED, Proceed(into=NAME), SILENCE, add_member=[Conflict("over")])
    assert flow.names == ["create_call", "add_member", "hang_up"]


def test_a_join_that_fails_because_the_party_hung_up_is_no_error() -> None:
    flow = run(ANSWERED, LET_ON, RINGS_ON, ended(), add_member=[Conflict("over")])
    assert flow.names == ["create_call", "add_member", "fetch"]
    assert (last(flow).outcome, last(flow).failure) == (Outcome.LEFT, None)


def test_a_join_that_fails_because_the_conference_ended_is_no_error() -> None:
    flow = run(ANSWERED, LET_ON, OVER, add_member=[Conflict("over")])
    assert flow.names == ["create_call", "add_member", "fetch", "hang_up"]
    assert (last(flow).outcome, last(flow).failure) == (Outcome.CANCELLED, None)


def test_who_is_in_stays_in_whatever_became_of_the_reply() -> None:
    for mail in ([IN], [RINGS_ON, IN]):
        flow = run(ANSWERED, LET_ON, *mail, add_member=[lost()])
        assert flow.names == ["create_call", "add_member"]
        assert stages(flow)[-1] is Stage.JOINED
    early = run(ANSWERED, IN, LET_ON, add_member=[lost()])
    assert stages(early)[-1] is Stage.JOINED


def test_a_join_that_fails_is_tried_in_the_conference_that_has_taken_the_place() -> None:
    other = evolve(ROOM, id="conf-2")
    member = evolve(MEMBER, conference=other)
    flow = run(ANSWERED, LET_ON, Proceed(into=other), add_member=[Conflict("over"), member])
    assert [step[1] for step in flow.steps if step[0] == "add_member"] == [ROOM, other]
    assert last(flow).conference_id == "conf-2"


def test_a_join_that_is_withdrawn_is_cancelled_and_the_call_hung_up() -> None:
    flow = run(ANSWERED, LET_ON, add_member=[Withdrawn("withdrawn")])
    assert flow.names == ["create_call", "add_member", "hang_up"]
    assert (last(flow).outcome, last(flow).failure) == (Outcome.CANCELLED, None)


# --- being in, and leaving


def test_who_is_in_waits_without_limit() -> None:
    flow = joined(RINGS_ON)
    assert flow.waits[-2:] == [None, None]
    assert flow.result is None


def test_a_member_that_leaves_is_hung_up() -> None:
    flow = joined(OUT)
    assert flow.steps[2:] == [("hang_up", CALL)]
    assert last(flow) == LegReport(leg=LEG, stage=Stage.ENDED, number=5, call=CALL, member=MEMBER, outcome=Outcome.LEFT)


def test_another_member_that_leaves_is_not_us() -> None:
    other = happened(MemberLeft, call_id="call-1", member_id="member-9", conference_id="conf-1")
    assert joined(other).result is None
    elsewhere = happened(MemberLeft, call_id="call-1", member_id="member-9", conference_id="conf-9")
    assert run(ANSWERED, elsewhere).result is None
    assert run(ANSWERED, other).result == LegEnd(outcome=Outcome.LEFT)


@pytest.mark.parametrize(
    ("account", "left"),
    [
        (Snapshot(conference=evolve(ROOM, id="conf-9")), True),
        (Snapshot(conference=evolve(ROOM, id="conf-9", key="other")), False),
        (Snapshot(), False),
        (Unavailable("down"), False),
    ],
)
def test_while_the_conference_has_no_id_the_provider_says_whether_it_is_the_one_that_we_have_left(
    account: Snapshot | Unavailable, left: bool
) -> None:
    elsewhere = happened(MemberLeft, call_id="call-1", member_id="member-9", conference_id="conf-9")
    flow = run(ANSWERED, elsewhere, brief={"into": NAME}, fetch=[account])
    assert flow.steps[1] == ("fetch", evolve(NAME, key="", id="conf-9"))
    assert (flow.result == LegEnd(outcome=Outcome.LEFT)) is left
    assert run(ANSWERED, elsewhere, brief={"into": BRIDGE}, create_call=[ALONE]).result is None


def test_who_is_put_into_the_room_while_it_rings_and_out_again_has_not_left() -> None:
    flow = run(IN, OUT, ended(EndCause.NO_ANSWER), create_call=[FUSED])
    assert last(flow).outcome is Outcome.NO_ANSWER


@pytest.mark.parametrize(("message", "hangs_up"), [(HangUp(), True), (HangUp(done=True), False), (OVER, True)])
def test_an_order_or_the_end_of_the_conference_takes_a_leg_out(message: Message, hangs_up: bool) -> None:
    for mail, outcome in (
        ([ANSWERED, LET_ON], Outcome.LEFT),
        ([ANSWERED], Outcome.CANCELLED),
        ([], Outcome.CANCELLED),
    ):
        flow = run(*mail, message)
        assert ("hang_up" in flow.names) is hangs_up
        assert last(flow).outcome is outcome
        assert flow.result == LegEnd(outcome=outcome)


# --- answering instead of dialling


def test_a_call_that_has_come_in_is_answered_and_joins() -> None:
    incoming = evolve(CALL, id="call-in")
    flow = run(LET_ON, brief={"incoming": incoming}, answer_call=[evolve(EXPLICIT, call=incoming)])
    assert flow.steps[0] == ("answer_call", incoming, ROOM)
    assert flow.names == ["answer_call", "add_member"]
    assert stages(flow) == [Stage.DIALLED, Stage.ANSWERED, Stage.UPDATED, Stage.JOINED]
    assert flow.waits == [None, None]


def test_a_call_that_has_come_in_and_may_have_been_answered_is_hung_up() -> None:
    incoming = evolve(CALL, id="call-in")
    flow = run(brief={"incoming": incoming}, answer_call=[lost()])
    assert flow.steps[1:] == [("hang_up", incoming)]
    assert (last(flow).outcome, last(flow).failure) == (Outcome.FAILED, Failure.of(lost()))
    assert last(flow).left_behind is None


# --- commands


def perform(operation: str, *arguments: Argument) -> Perform:
    return Perform(id="c-1", owner="us", target=LEG, operation=operation, arguments=arguments)


REMOVE = Remove(id="c-1", owner="us", target=LEG)


@pytest.mark.parametrize(
    ("message", "step"),
    [
        (perform("update_member", MemberPatch(mute=True)), ("update_member", MEMBER, MemberPatch(mute=True))),
        (perform("play", Media(text="Hi")), ("play", MEMBER, Media(text="Hi"))),
        (perform("record", RecordAction.START), ("record", CALL, RecordAction.START)),
        (perform("send_digits", "12"), ("send_digits", CALL, "12")),
    ],
)
def test_a_command_is_carried_out_and_answered(message: Any, step: tuple[Any, ...]) -> None:
    flow = joined(message)
    assert flow.steps[2:] == [step]
    assert flow.sent[-1] == ("us", Reply(command="c-1"))
    assert flow.result is None
    error = PermissionDenied("not this")
    failed = joined(message, **{step[0]: [error]})
    assert failed.sent[-1] == ("us", Reply(command="c-1", failure=Failure.of(error)))


def test_what_a_command_has_changed_is_reported() -> None:
    flow = joined(perform("update_member", MemberPatch(mute=True, hold=False)))
    assert (last(flow).stage, last(flow).mute, last(flow).hold) == (Stage.UPDATED, True, False)
    failed = joined(perform("update_member", MemberPatch(mute=True)), update_member=[PermissionDenied("no")])
    assert stages(failed)[-1] is Stage.JOINED
    assert stages(joined(perform("play", Media(text="Hi"))))[-1] is Stage.JOINED


def test_a_command_before_the_call_or_the_member_is_there_is_refused() -> None:
    waits = run(perform("play", Media(text="Hi")), brief={"into": NAME, "waits_for_release": True})
    assert waits.messages(Reply)[0].failure.kind == "MeetingError"
    waits = run(ANSWERED, perform("update_member", MemberPatch(mute=True)))
    assert waits.messages(Reply)[0].failure.kind == "MeetingError"
    assert waits.names == ["create_call"]


def test_who_is_not_a_member_yet_hears_what_is_played_on_the_call() -> None:
    flow = run(ANSWERED, perform("play", Media(text="Hi")))
    assert flow.steps[1:] == [("play", CALL, Media(text="Hi"))]
    assert flow.messages(Reply) == [Reply(command="c-1")]


@pytest.mark.parametrize(("mail", "outcome"), [([ANSWERED, LET_ON], Outcome.LEFT), ([], Outcome.CANCELLED)])
def test_who_is_removed_is_hung_up_before_the_reply(mail: list[Message | None], outcome: Outcome) -> None:
    flow = run(*mail, REMOVE)
    assert flow.names[-1] == "hang_up"
    assert flow.sent[-2] == ("us", Reply(command="c-1"))
    assert last(flow).outcome is outcome
    error = Unavailable("down")
    failed = run(*mail, REMOVE, hang_up=[error])
    assert failed.messages(Reply) == [Reply(command="c-1", failure=Failure.of(error))]
    assert last(failed).watches


def test_who_is_transferred_is_not_hung_up() -> None:
    flow = joined(perform("transfer", "+19195550109", OURS))
    assert flow.steps[2:] == [("transfer", CALL, "+19195550109", OURS)]
    assert flow.messages(Reply) == [Reply(command="c-1")]
    assert (last(flow).stage, last(flow).outcome) == (Stage.ENDED, Outcome.LEFT)
    error = Conflict("not now")
    failed = joined(perform("transfer", "+19195550109", OURS), transfer=[error])
    assert failed.messages(Reply) == [Reply(command="c-1", failure=Failure.of(error))]
    assert failed.result is None


# --- the provider's memory


def test_a_member_that_was_asked_about_is_kept_as_it_was_shown() -> None:
    shown = evolve(MEMBER, data={"seat": "7"})
    flow = run(ANSWERED, SILENCE, create_call=[FUSED], fetch=[Snapshot(members=(shown,))])
    assert last(flow).member == shown


def test_whose_a_conference_is_is_asked_without_what_we_know_of_ours() -> None:
    ours = evolve(ROOM, data={"key": "k-room"})
    flow = run(ANSWERED, ELSEWHERE, brief={"into": ours}, create_call=[FUSED])
    assert flow.steps[1] == ("fetch", evolve(ROOM, key="", id="conf-9"))


def test_what_came_with_an_incoming_call_is_kept() -> None:
    incoming = evolve(CALL, data={"leg": "7"})
    flow = run(brief={"incoming": incoming}, answer_call=[EXPLICIT])
    assert last(flow).call == incoming
