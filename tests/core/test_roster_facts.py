"""What each event and each report says of a leg, and what the application is shown of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from confkit import (
    Call,
    CallAnswered,
    CallEnded,
    CallRinging,
    Conference,
    ConferenceEnded,
    Event,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
    Outcome,
    Participant,
    ParticipantState,
    Party,
)
from confkit.ingest.participants import ON_BRIDGE, Change, Facts, Roster, facts_in_event, facts_in_report
from confkit.provider import EndCause, Member, MemberState
from confkit.workflows.messages import Failure, LegReport, Stage

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOM = Conference(provider="p", key="room", id="conf-1")
CALL = Call(provider="p", id="c-1")
ANN = Party("+19195550101", name="Ann")
FAILURE = Failure(kind="NotFound", message="it is gone")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def event(kind: type[Event], **about: Any) -> Event:
    return kind(provider="p", id="e-1", **about)


def member(state: MemberState = MemberState.JOINED) -> Member:
    return Member(provider="p", id="m-1", call_id="c-1", conference=ROOM, state=state)


def membership(seconds: float, name: str = "m-1") -> frozenset[tuple[str, datetime]]:
    return frozenset({(name, at(seconds))})


PLACE = {"call_id": "c-1", "member_id": "m-1", "conference_id": "conf-1"}


@pytest.mark.parametrize(
    ("what", "facts"),
    [
        (event(CallRinging, call_id="c-1"), Facts(call_id="c-1", ringing_at=at(1))),
        (event(CallAnswered, call_id="c-1"), Facts(call_id="c-1", answered_at=at(1))),
        (event(CallEnded, call_id="c-1", cause=EndCause.BUSY), Facts(call_id="c-1", ended=(at(1), "busy"))),
        (event(MemberJoined, **PLACE), Facts(call_id="c-1", joined=membership(1))),
        (
            event(MemberJoined, mute=True, hold=False, **PLACE),
            Facts(call_id="c-1", joined=membership(1), mute=Change(at(1), 7, True), hold=Change(at(1), 7, False)),
        ),
        (event(MemberUpdated, mute=True, **PLACE), Facts(call_id="c-1", mute=Change(at(1), 7, True))),
        (event(MemberUpdated, hold=True, **PLACE), Facts(call_id="c-1", hold=Change(at(1), 7, True))),
        (event(MemberLeft, **PLACE), Facts(call_id="c-1", left=membership(1))),
        (event(ConferenceEnded, conference_id="conf-1"), Facts()),
    ],
)
def test_what_an_event_says(what: Event, facts: Facts) -> None:
    assert facts_in_event(what, at(1), 7) == facts


@pytest.mark.parametrize(
    ("about", "facts"),
    [
        ({"stage": Stage.DIALLED}, Facts()),
        ({"stage": Stage.DIALLED, "call": CALL}, Facts(call_id="c-1", dialled_at=at(1))),
        ({"stage": Stage.ANSWERED}, Facts(answered_at=at(1))),
        ({"stage": Stage.JOINED}, Facts(answered_at=at(1), joined=membership(1, ON_BRIDGE))),
        ({"stage": Stage.JOINED, "member": member()}, Facts(answered_at=at(1), joined=membership(1))),
        (
            {"stage": Stage.JOINED, "call": CALL},
            Facts(call_id="c-1", dialled_at=at(1), answered_at=at(1), joined=membership(1, ON_BRIDGE)),
        ),
        (
            {"stage": Stage.ENDED, "call": CALL, "outcome": Outcome.LEFT},
            Facts(call_id="c-1", dialled_at=at(1), outcome=(at(1), "left")),
        ),
        ({"stage": Stage.UPDATED, "member": member(MemberState.LEFT)}, Facts(left=membership(1))),
        ({"stage": Stage.UPDATED, "member": member()}, Facts()),
        ({"stage": Stage.UPDATED, "member": member(MemberState.JOINING)}, Facts(promised=True)),
        ({"stage": Stage.UPDATED, "mute": False}, Facts(mute=Change(at(1), 3, False))),
        ({"stage": Stage.UPDATED, "hold": True}, Facts(hold=Change(at(1), 3, True))),
        ({"stage": Stage.ENDED}, Facts()),
        ({"stage": Stage.ENDED, "outcome": Outcome.LEFT}, Facts(outcome=(at(1), "left"))),
        (
            {"stage": Stage.ENDED, "outcome": Outcome.FAILED, "failure": FAILURE},
            Facts(outcome=(at(1), "failed"), error="it is gone"),
        ),
    ],
)
def test_what_a_report_says(about: dict[str, Any], facts: Facts) -> None:
    assert facts_in_report(LegReport(leg="m/leg-1", number=3, **about), at(1)) == facts


def test_of_two_changes_at_one_instant_the_later_to_come_holds() -> None:
    first, second = Change(at(1), 1, True), Change(at(1), 2, False)
    one, other = Facts(mute=first, hold=second), Facts(mute=second, hold=first)
    assert one.merge(other) == other.merge(one) == Facts(mute=second, hold=second)
    older = Change(at(0), 9, True)
    assert Facts(mute=older).merge(Facts(mute=first)).mute == first


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ({"call_id": "c-1"}, {"call_id": "c-2"}, {"call_id": "c-1"}),
        ({"dialled_at": at(1)}, {"dialled_at": at(2)}, {"dialled_at": at(1)}),
        ({"ringing_at": at(1)}, {"ringing_at": at(2)}, {"ringing_at": at(1)}),
        ({"answered_at": at(1)}, {"answered_at": at(2)}, {"answered_at": at(1)}),
        ({"joined": membership(1)}, {"joined": membership(2)}, {"joined": membership(1)}),
        ({"left": membership(1)}, {"left": membership(2)}, {"left": membership(1)}),
        ({"ended": (at(1), "busy")}, {"ended": (at(2), "failed")}, {"ended": (at(1), "busy")}),
        ({"outcome": (at(1), "busy")}, {"outcome": (at(2), "left")}, {"outcome": (at(1), "busy")}),
        ({"error": "a"}, {"error": "b"}, {"error": "a"}),
        ({"error": "a"}, {"call_id": "c"}, {"error": "a", "call_id": "c"}),
    ],
)
def test_what_two_say_together_does_not_depend_on_who_speaks_first(
    one: dict[str, Any], other: dict[str, Any], together: dict[str, Any]
) -> None:
    assert Facts(**one).merge(Facts(**other)) == Facts(**other).merge(Facts(**one)) == Facts(**together)
    assert Facts(**one).merge(Facts()) == Facts().merge(Facts(**one)) == Facts(**one)


def test_all_that_is_known_of_one_party() -> None:
    facts = Facts(
        call_id="c-1",
        dialled_at=at(1),
        ringing_at=at(2),
        answered_at=at(3),
        joined=membership(4) | membership(6, "m-2"),
        mute=Change(at(5), 1, True),
        hold=Change(at(5), 1, True),
    )
    assert facts.participant("leg-1", ANN) == Participant(
        id="leg-1",
        party=ANN,
        state=ParticipantState.JOINED,
        outcome=Outcome.JOINED,
        call_id="c-1",
        member_id="m-2",
        mute=True,
        hold=True,
        dialled_at=at(1),
        answered_at=at(3),
        joined_at=at(4),
        ended_at=None,
        error=None,
    )
    gone = facts.merge(Facts(left=membership(7, "m-2"))).participant("leg-1", ANN)
    assert (gone.state, gone.member_id) == (ParticipantState.JOINED, "m-1")  # it has two memberships, and left one
    over = facts.merge(Facts(outcome=(at(9), "left"), ended=(at(8), "hangup"), error="it broke"))
    shown = over.participant("leg-1", ANN)
    assert (shown.state, shown.outcome, shown.ended_at, shown.error) == (
        ParticipantState.ENDED,
        Outcome.LEFT,
        at(8),
        "it broke",
    )


def test_of_a_party_that_nobody_has_dialled_nothing_is_known() -> None:
    shown = Facts().participant("leg-1", ANN)
    assert shown == Participant(id="leg-1", party=ANN, state=ParticipantState.WAITING)


def test_the_outcome_alone_says_when_a_leg_was_over() -> None:
    assert Facts(outcome=(at(9), "failed")).participant("leg-1", ANN).ended_at == at(9)


def test_a_bridge_has_no_member_to_show() -> None:
    shown = Facts(answered_at=at(1), joined=membership(2, ON_BRIDGE)).participant("leg-1", ANN)
    assert (shown.state, shown.member_id, shown.joined_at) == (ParticipantState.JOINED, None, at(2))


def test_no_instant_is_before_the_one_that_it_follows() -> None:
    """A platform's clock may tell whole seconds, or be wrong."""
    early = Facts(dialled_at=at(5), answered_at=at(1), joined=membership(2), ended=(at(3), "hangup")).participant(
        "leg-1", ANN
    )
    assert (early.answered_at, early.joined_at, early.ended_at) == (at(5), at(5), at(5))
    unanswered = Facts(dialled_at=at(5), ended=(at(3), "busy")).participant("leg-1", ANN)
    assert (unanswered.answered_at, unanswered.ended_at) == (None, at(5))


@pytest.mark.parametrize(
    ("facts", "state", "outcome"),
    [
        # it has left before it was known to be answered: why is told with the end of the call
        (Facts(ringing_at=at(1), joined=membership(2), left=membership(3)), ParticipantState.RINGING, None),
        (Facts(answered_at=at(1), left=membership(3)), ParticipantState.ENDED, Outcome.LEFT),
        (
            Facts(answered_at=at(1), joined=membership(2), left=membership(1)),
            ParticipantState.ENDED,
            Outcome.LEFT,
        ),
        (
            Facts(left=membership(3), ended=(at(4), "no_answer")),
            ParticipantState.ENDED,
            Outcome.NO_ANSWER,
        ),
        (Facts(ended=(at(4), "failed")), ParticipantState.ENDED, Outcome.FAILED),
        (
            Facts(answered_at=at(1), joined=membership(2), outcome=(at(3), "failed")),
            ParticipantState.ENDED,
            Outcome.FAILED,
        ),
    ],
)
def test_where_a_party_stands(facts: Facts, state: ParticipantState, outcome: Outcome | None) -> None:
    shown = facts.participant("leg-1", ANN)
    assert (shown.state, shown.outcome) == (state, outcome)


UP = Facts(call_id="c-1", dialled_at=at(1))
IN = Facts(call_id="c-1", answered_at=at(2), joined=membership(3))


@pytest.mark.parametrize(
    ("facts", "settled", "under_way", "dialling", "ringing", "calls"),
    [
        (Facts(), False, 1, True, False, 0),
        (UP, False, 1, False, True, 1),
        (UP.merge(Facts(answered_at=at(2))), False, 1, False, False, 1),
        (UP.merge(Facts(joined=membership(2))), False, 1, False, True, 1),
        (IN, True, 1, False, False, 1),
        (IN.merge(Facts(left=membership(4))), False, 1, False, False, 1),
        (IN.merge(Facts(left=membership(4), joined=membership(5, "m-2"))), True, 1, False, False, 1),
        (UP.merge(Facts(ended=(at(4), "busy"))), True, 0, False, False, 0),
        (UP.merge(Facts(outcome=(at(4), "busy"))), True, 0, False, False, 0),
        (Facts(outcome=(at(4), "failed")), True, 0, False, False, 0),
    ],
)
def test_what_a_roster_counts(
    facts: Facts, settled: bool, under_way: int, dialling: bool, ringing: bool, calls: int
) -> None:
    roster = Roster()
    assert (roster.settled, roster.under_way, roster.dialling, roster.ringing, roster.calls) == (
        True,
        0,
        False,
        False,
        0,
    )
    for number in (1, 2):
        roster.seat(f"m/leg-{number}", ANN)
        roster.learn(f"m/leg-{number}", IN if number == 1 else facts)
    assert roster.settled is settled
    assert (roster.under_way, roster.calls) == (1 + under_way, 1 + calls)
    assert (roster.dialling, roster.ringing) == (dialling, ringing)
    assert roster.has("c-1")
    assert not roster.has("c-2")


def test_who_is_seated_again_keeps_what_is_known_under_the_new_name() -> None:
    roster = Roster()
    roster.seat("m/leg-1", Party("+19195550101"))
    roster.learn("m/leg-1", UP)
    roster.seat("m/leg-1", ANN)
    (shown,) = roster.participants()
    assert (shown.party.name, shown.call_id, shown.id) == ("Ann", "c-1", "leg-1")


def test_a_promise_holds_until_it_is_kept_or_the_leg_is_over() -> None:
    roster = Roster()
    seen = []
    roster.seat("m/leg-1", ANN)
    seen.append(roster.promised)
    roster.learn("m/leg-1", Facts(promised=True))
    roster.learn("m/leg-1", Facts(call_id="c-1"))
    seen.append(roster.promised)
    roster.learn("m/leg-1", IN)
    seen.append(roster.promised)
    roster.seat("m/leg-2", ANN)
    roster.learn("m/leg-2", Facts(promised=True))
    seen.append(roster.promised)
    roster.learn("m/leg-2", Facts(ended=(at(1), "hangup")))
    seen.append(roster.promised)
    assert seen == [False, True, False, True, False]
