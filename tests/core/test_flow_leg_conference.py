"""The workflow of a leg against a script: whose conference it is that it is told of."""

from __future__ import annotations

import pytest
from attrs import evolve

from confkit import Conference, Unavailable
from confkit.models.events import (
    MemberJoined,
)
from confkit.provider import (
    MemberPatch,
    MemberState,
    Snapshot,
)
from confkit.workflows.messages import (
    Stage,
)
from tests.core.test_flow_leg import (
    ALONE,
    ANSWERED,
    BRIDGE,
    ELSEWHERE,
    FUSED,
    MEMBER,
    NAME,
    ROOM,
    happened,
    joined,
    last,
    perform,
    run,
    stages,
)


def test_a_call_in_a_conference_that_is_not_ours_is_not_in() -> None:
    flow = run(ANSWERED, ELSEWHERE)
    assert (flow.names, stages(flow)[-1]) == (["create_call"], Stage.ANSWERED)
    for into in (BRIDGE, None):
        flow = run(ANSWERED, ELSEWHERE, brief={"into": into}, create_call=[ALONE])
        assert stages(flow)[-1] is Stage.ANSWERED


@pytest.mark.parametrize("into", [NAME, ROOM])
def test_a_fused_call_is_in_the_conference_that_has_our_name_now(into: Conference) -> None:
    ours = Snapshot(conference=evolve(ROOM, id="conf-9"))
    flow = run(ANSWERED, ELSEWHERE, brief={"into": into}, create_call=[FUSED], fetch=[ours])
    assert flow.steps[1:] == [("fetch", evolve(into, key="", id="conf-9"))]
    assert last(flow).stage is Stage.JOINED
    assert last(flow).conference_id == "conf-9"
    member = last(flow).member
    assert member is not None
    assert (member.id, member.call_id, member.provider) == ("member-9", "call-1", "p")
    assert member.state is MemberState.JOINED
    assert member.conference == evolve(into, id="conf-9")
    for account in (Snapshot(), Snapshot(conference=evolve(ROOM, key="other")), Unavailable("down")):
        flow = run(ANSWERED, ELSEWHERE, brief={"into": into}, create_call=[FUSED], fetch=[account])
        assert stages(flow)[-1] is Stage.ANSWERED


def test_the_member_that_the_reply_told_stays_the_one_that_we_know() -> None:
    again = happened(MemberJoined, call_id="call-1", member_id="member-9", conference_id="conf-1")
    flow = joined(again, perform("update_member", MemberPatch(mute=True)))
    assert flow.steps[-1] == ("update_member", MEMBER, MemberPatch(mute=True))
