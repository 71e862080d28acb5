"""The roster: the same facts give the same picture, in whatever order and however often they come."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confkit import (
    Call,
    CallAnswered,
    CallEnded,
    CallRinging,
    Conference,
    Event,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
    Outcome,
    Participant,
    ParticipantState,
    Party,
)
from confkit.ingest.participants import Facts, Roster, facts_in_event, facts_in_report
from confkit.provider import EndCause, Member, MemberState
from confkit.workflows.messages import Failure, LegReport, Stage

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOM = Conference(provider="p", key="room", id="conf-1")
CALL = Call(provider="p", id="c-1", created_at=START)
ANN = Party("+19195550101", name="Ann")

Fact = tuple[Event | LegReport, datetime]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def event(kind: type[Event], seconds: float, **fields: Any) -> Fact:
    moment = at(seconds)
    return kind(provider="p", id=f"{kind.__name__} {seconds}", occurred_at=moment, **fields), moment


def report(stage: Stage, seconds: float, **fields: Any) -> Fact:
    return LegReport(leg="m/leg-1", stage=stage, call=CALL, **fields), at(seconds)


def member(state: MemberState, id_: str = "member-1") -> Member:
    return Member(provider="p", id=id_, call_id="c-1", conference=ROOM, state=state)


def facts_of(fact: Fact) -> Facts:
    what, moment = fact
    return facts_in_report(what, moment) if isinstance(what, LegReport) else facts_in_event(what, moment)


def seen(facts: list[Fact]) -> Participant:
    roster = Roster()
    roster.seat("m/leg-1", ANN)
    for fact in facts:
        roster.learn("m/leg-1", facts_of(fact))
    return roster.participants()[0]


place = {"call_id": "c-1", "conference_id": "conf-1"}
seconds = st.integers(0, 20)
members = st.sampled_from(["member-1", "member-2"])
moved = st.none() | st.booleans()
any_event = st.one_of(
    st.builds(lambda s: event(CallRinging, s, call_id="c-1"), seconds),
    st.builds(lambda s: event(CallAnswered, s, call_id="c-1"), seconds),
    st.builds(lambda s, c: event(CallEnded, s, call_id="c-1", cause=c), seconds, st.sampled_from(EndCause)),
    st.builds(
        lambda s, m, mute, hold: event(MemberJoined, s, member_id=m, mute=mute, hold=hold, **place),
        seconds,
        members,
        moved,
        moved,
    ),
    st.builds(
        lambda s, m, mute, hold: event(MemberUpdated, s, member_id=m, mute=mute, hold=hold, **place),
        seconds,
        members,
        moved,
        moved,
    ),
    st.builds(lambda s, m: event(MemberLeft, s, member_id=m, **place), seconds, members),
)
any_report = st.one_of(
    st.builds(lambda s: report(Stage.DIALLED, s), seconds),
    st.builds(lambda s: report(Stage.ANSWERED, s), seconds),
    st.builds(
        lambda s, m: report(Stage.JOINED, s, member=m and member(MemberState.JOINED, m)),
        seconds,
        st.none() | members,
    ),
    st.builds(lambda s, mute, hold: report(Stage.UPDATED, s, mute=mute, hold=hold), seconds, moved, moved),
    st.builds(
        lambda s, outcome, error: report(
            Stage.ENDED, s, outcome=outcome, failure=error and Failure(kind="NotFound", message=error)
        ),
        seconds,
        st.sampled_from(Outcome),
        st.sampled_from([None, "it is gone", "nobody there"]),
    ),
)
some_facts = st.lists(any_event | any_report, max_size=12)


@given(facts=some_facts, seed=st.integers(0, 2**32))
def test_order_and_repetition_change_nothing(facts: list[Fact], seed: int) -> None:
    chance = random.Random(seed)
    again = facts + chance.choices(facts, k=len(facts)) if facts else []
    chance.shuffle(again)
    assert seen(again) == seen(facts)


@given(*[some_facts.map(lambda facts: [facts_of(fact) for fact in facts])] * 3)
def test_merging_is_commutative_associative_and_idempotent(
    one: list[Facts], two: list[Facts], three: list[Facts]
) -> None:
    a, b, c = (merged(facts) for facts in (one, two, three))
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(a) == a
    assert Facts().merge(a) == a
    assert a.merge(b).merge(b) == a.merge(b)


def merged(facts: list[Facts]) -> Facts:
    result = Facts()
    for each in facts:
        result = result.merge(each)
    return result


RANK = list(ParticipantState)


@given(facts=some_facts)
def test_a_call_that_is_over_is_over_whatever_comes_late(facts: list[Fact]) -> None:
    ended = report(Stage.ENDED, 30, outcome=Outcome.BUSY)
    person = seen([ended, *facts])
    assert person.state is ParticipantState.ENDED
    assert person.outcome is not Outcome.JOINED or any(
        isinstance(what, LegReport) and what.outcome is Outcome.JOINED for what, _ in facts
    )


@given(facts=some_facts.filter(lambda facts: not any(isinstance(what, MemberLeft) for what, _ in facts)))
def test_a_state_never_goes_back(facts: list[Fact]) -> None:
    """Leaving one membership for another is the one way back, so it is left out."""
    ranks = [RANK.index(seen(facts[:count]).state) for count in range(len(facts) + 1)]
    settled = [rank if RANK[rank] is not ParticipantState.RINGING else 0 for rank in ranks]
    # A call may be in the room before it is known to be answered: that is shown as ringing.
    assert all(later >= earlier for earlier, later in itertools.pairwise(settled) if later)


@pytest.mark.parametrize(
    ("facts", "state", "outcome"),
    [
        ([], ParticipantState.WAITING, None),
        ([report(Stage.DIALLED, 0)], ParticipantState.DIALLING, None),
        ([event(CallRinging, 1, call_id="c-1")], ParticipantState.RINGING, None),
        ([event(CallAnswered, 2, call_id="c-1")], ParticipantState.ANSWERED, None),
        (
            [event(MemberJoined, 3, member_id="m", **place), event(CallAnswered, 4, call_id="c-1")],
            ParticipantState.JOINED,
            Outcome.JOINED,
        ),
        # a platform that puts a call into the room while it still rings
        ([event(MemberJoined, 3, member_id="m", **place)], ParticipantState.RINGING, None),
        ([report(Stage.JOINED, 3)], ParticipantState.JOINED, Outcome.JOINED),
        (
            [
                report(Stage.JOINED, 3, member=member(MemberState.JOINED)),
                event(MemberLeft, 4, member_id="member-1", **place),
            ],
            ParticipantState.ENDED,
            Outcome.LEFT,
        ),
        (
            [event(CallEnded, 5, call_id="c-1", cause=EndCause.BUSY)],
            ParticipantState.ENDED,
            Outcome.BUSY,
        ),
        (
            [event(CallEnded, 5, call_id="c-1", cause=EndCause.HANGUP), event(CallAnswered, 2, call_id="c-1")],
            ParticipantState.ENDED,
            Outcome.LEFT,
        ),
        (
            [event(CallEnded, 5, call_id="c-1", cause=EndCause.UNALLOCATED)],
            ParticipantState.ENDED,
            Outcome.UNREACHABLE,
        ),
    ],
)
def test_what_facts_look_like(facts: list[Fact], state: ParticipantState, outcome: Outcome | None) -> None:
    person = seen(facts)
    assert (person.state, person.outcome) == (state, outcome)


def test_of_two_settings_the_newer_holds_by_its_own_time() -> None:
    muted = event(MemberUpdated, 5, member_id="m", mute=True, **place)
    unmuted = event(MemberUpdated, 9, member_id="m", mute=False, **place)
    assert seen([unmuted, muted]).mute is False
    assert seen([muted]).mute is True
    assert seen([muted, event(MemberUpdated, 7, member_id="m", hold=True, **place)]).mute is True


def test_instants_are_the_first_ones() -> None:
    person = seen(
        [
            event(CallAnswered, 7, call_id="c-1"),
            event(CallAnswered, 4, call_id="c-1"),
            event(MemberJoined, 6, member_id="m", **place),
            event(CallEnded, 30, call_id="c-1", cause=EndCause.HANGUP),
        ]
    )
    assert (person.answered_at, person.joined_at, person.ended_at) == (at(4), at(6), at(30))


def test_a_roster_keeps_the_order_of_invitation_and_tells_news() -> None:
    roster = Roster()
    roster.seat("m/leg-1", ANN)
    roster.seat("m/leg-2", Party("+19195550102"))
    assert roster.learn("m/leg-2", Facts(call_id="c-2"))
    assert not roster.learn("m/leg-2", Facts(call_id="c-2"))
    roster.seat("m/leg-2", Party("+19195550102"))
    assert [(person.id, person.call_id) for person in roster.participants()] == [("leg-1", None), ("leg-2", "c-2")]


@pytest.mark.parametrize("behind", [-0.5, 0.0, 0.5])
def test_who_was_on_a_bridge_and_has_joined_is_a_member_whatever_the_platforms_clock_says(behind: float) -> None:
    on_bridge = report(Stage.JOINED, 1)
    joined = event(MemberJoined, 1 - behind, member_id="member-1", **place)
    assert seen([on_bridge, joined]).member_id == "member-1"
