"""The policy: parties in, a plan out, or one error that lists every problem."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confkit import Mode, Party, Plan, Policy, PolicyError
from confkit.provider import Bridging, Capabilities
from confkit.workflows.policy import effective_maximum, plan, problems_with_addition

OURS = "+12018994444"
FIRST = Capabilities(bridging=Bridging.FIRST, max_members=20)
WHOLE_NUMBER = re.compile(r"[0-9]{8,}")


def party(number: int) -> Party:
    return Party(f"+1919555{number:04d}")


def people(count: int) -> tuple[Party, ...]:
    return tuple(party(number) for number in range(count))


def planned(parties: tuple[Party, ...], **changes: Any) -> Plan:
    settings: dict[str, Any] = {"policy": Policy(), "capabilities": FIRST, "caller_id": OURS}
    return plan(parties, **(settings | changes))


def problems(parties: tuple[Party, ...], **changes: Any) -> tuple[str, ...]:
    with pytest.raises(PolicyError) as raised:
        planned(parties, **changes)
    assert str(raised.value) == "; ".join(raised.value.problems)
    return raised.value.problems


@pytest.mark.parametrize("count", range(1, 23))
def test_three_to_twenty_are_a_conference_and_fewer_are_bridged(count: int) -> None:
    if count > 20:
        assert problems(people(count)) == (f"{count} parties are more than the policy's maximum of 20",)
        return
    result = planned(people(count))
    assert result.mode is (Mode.CONFERENCE if count >= 3 else Mode.BRIDGE)
    assert result.parties == people(count)
    assert result.limit == 20
    assert result.quorum == min(2, count)


def test_a_plan_says_who_calls_and_how_long_each_phone_may_ring() -> None:
    result = planned(people(3), answer_timeout=timedelta(seconds=12))
    assert (result.caller_id, result.answer_timeout) == (OURS, timedelta(seconds=12))
    assert planned(people(3)).answer_timeout == timedelta(seconds=30)


def test_nobody_to_connect() -> None:
    assert problems(()) == ("nobody to connect: name at least one party",)


@pytest.mark.parametrize(
    ("below", "expandable", "bridging", "mode"),
    [
        ("bridge", False, Bridging.FIRST, Mode.BRIDGE),
        ("bridge", False, Bridging.AFTER, Mode.BRIDGE),
        ("bridge", False, Bridging.NONE, Mode.CONFERENCE),
        ("bridge", True, Bridging.FIRST, Mode.CONFERENCE),
        ("conference", False, Bridging.FIRST, Mode.CONFERENCE),
    ],
)
@pytest.mark.parametrize("count", [1, 2])
def test_what_fewer_than_the_minimum_get(
    below: Any, expandable: bool, bridging: Bridging, mode: Mode, count: int
) -> None:
    result = planned(
        people(count),
        policy=Policy(below_minimum=below),
        capabilities=Capabilities(bridging=bridging),
        expandable=expandable,
    )
    assert result.mode is mode


def test_fewer_than_the_minimum_can_be_refused() -> None:
    assert problems(people(2), policy=Policy(below_minimum="refuse")) == (
        "2 parties are fewer than the policy's minimum of 3",
    )
    assert planned(people(3), policy=Policy(below_minimum="refuse")).mode is Mode.CONFERENCE


@pytest.mark.parametrize("minimum", [1, 2])
def test_the_minimum_itself_is_not_below_it(minimum: int) -> None:
    assert planned(people(minimum), policy=Policy(minimum=minimum)).mode is Mode.CONFERENCE


def test_a_bridge_has_two_places_whatever_the_minimum() -> None:
    policy = Policy(minimum=5)
    assert planned(people(2), policy=policy).mode is Mode.BRIDGE
    assert planned(people(3), policy=policy).mode is Mode.CONFERENCE


def test_the_smaller_maximum_holds_and_is_named() -> None:
    small = Capabilities(bridging=Bridging.FIRST, max_members=4)
    assert planned(people(4), capabilities=small).limit == 4
    assert problems(people(5), capabilities=small) == ("5 parties are more than the provider's maximum of 4",)
    assert effective_maximum(Policy(maximum=30), Capabilities(max_members=None)) == 30
    assert effective_maximum(Policy(maximum=10), Capabilities(max_members=20)) == 10


@pytest.mark.parametrize(
    "settings",
    [
        {"minimum": 0},
        {"minimum": 5, "maximum": 4},
        {"below_minimum": "ring"},
        {"minimum": -1, "maximum": -2, "below_minimum": ""},
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        Policy(**settings)


def test_every_problem_is_listed_at_once() -> None:
    parties = (party(1), Party("9195550102"), Party("sip:nobody"), party(1), Party("SIP:a@X.example"))
    listed = problems((*parties, Party("sip:a@x.example")), caller_id="12", quorum=9, answer_timeout=timedelta(0))
    for hint in ("no country code", "not a SIP URI", "+1919•••0001 is named twice", "sip:a•••@x.example is named"):
        assert any(hint in problem for problem in listed), hint
    assert any("caller ID must be an E.164 number" in problem for problem in listed)
    assert any("quorum of 9" in problem for problem in listed)
    assert any("answer timeout" in problem for problem in listed)
    assert len(listed) == 7


@pytest.mark.parametrize("caller_id", [None, ""])
def test_a_missing_caller_id_says_where_to_pass_it(caller_id: str | None) -> None:
    assert problems(people(3), caller_id=caller_id) == (
        "the caller ID is missing: pass caller_id= to connect() or to the client",
    )


def test_a_sip_uri_is_no_caller_id() -> None:
    (problem,) = problems(people(3), caller_id="sip:us@example.com")
    assert "caller ID must be an E.164 number" in problem


@pytest.mark.parametrize(("count", "quorum", "planned_quorum"), [(1, 2, 1), (3, 1, 1), (3, 3, 3), (20, 20, 20)])
def test_the_quorum_of_fewer_parties_is_all_of_them(count: int, quorum: int, planned_quorum: int) -> None:
    assert planned(people(count), quorum=quorum).quorum == planned_quorum


@pytest.mark.parametrize(("count", "quorum"), [(3, 0), (3, -1), (3, 4), (1, 3)])
def test_a_quorum_that_makes_no_sense_is_refused(count: int, quorum: int) -> None:
    assert "quorum" in problems(people(count), quorum=quorum)[0]


@pytest.mark.parametrize(
    ("settings", "listed"),
    [
        ({"minimum": "3"}, ("minimum must be a whole number",)),
        ({"maximum": 20.0}, ("maximum must be a whole number",)),
        ({"minimum": True, "maximum": None}, ("minimum must be a whole number", "maximum must be a whole number")),
    ],
)
def test_a_policy_counts_in_whole_numbers(settings: dict[str, Any], listed: tuple[str, ...]) -> None:
    with pytest.raises(PolicyError) as raised:
        Policy(**settings)
    assert raised.value.problems == listed


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (7, "party 2 must be an address or a confkit.Party, not int"),
        (None, "party 2 must be an address or a confkit.Party, not None"),
        (["+1919"], "party 2 must be an address or a confkit.Party, not list; unpack it: give each party as an"),
        (Party(7), "party 2: an address must be a str, not int"),  # type: ignore[arg-type]
        (Party("+19195550109", name=7), "party 2: a name must be a str, not int"),  # type: ignore[arg-type]
    ],
)
def test_who_is_no_party_is_told_so_by_number_beside_all_other_problems(given: Any, problem: str) -> None:
    listed = problems((party(1), given, party(1)), caller_id=None, quorum=0)
    assert any(each.startswith(problem) for each in listed), listed
    assert len(listed) == 4
    assert ("unpack" in "".join(listed)) is isinstance(given, list)


def test_an_address_is_as_good_as_a_party() -> None:
    assert planned((party(1).address, party(2), party(3))).parties == people(4)[1:]  # type: ignore[arg-type]


@pytest.mark.parametrize("quorum", ["2", 2.0, True, None])
def test_a_quorum_is_a_whole_number(quorum: Any) -> None:
    kind = "None" if quorum is None else type(quorum).__name__
    assert problems(people(3), quorum=quorum) == (f"the quorum must be a whole number, not {kind}",)


def test_a_caller_id_is_a_text() -> None:
    assert problems(people(3), caller_id=12018994444) == ("the caller ID must be a str, not int",)


addresses = st.one_of(
    st.integers(0, 5).map(lambda number: party(number).address),
    st.sampled_from(["sip:ann@example.com", "SIP:ann@Example.com", "sip:ann", "", "tel:+12018994444"]),
    st.from_regex(r"[+0]?[0-9 ()-]{0,18}", fullmatch=True),
    st.text(max_size=20),
)


@given(
    parties=st.lists(st.builds(Party, addresses), max_size=24),
    policy=st.builds(
        Policy,
        minimum=st.integers(1, 5),
        maximum=st.integers(5, 22),
        below_minimum=st.sampled_from(["bridge", "conference", "refuse"]),
    ),
    capabilities=st.builds(
        Capabilities, bridging=st.sampled_from(Bridging), max_members=st.none() | st.integers(1, 25)
    ),
    caller_id=st.none() | addresses,
    quorum=st.integers(-1, 24),
    expandable=st.booleans(),
)
def test_any_parties_either_plan_or_raise_one_policy_error(
    parties: list[Party],
    policy: Policy,
    capabilities: Capabilities,
    caller_id: str | None,
    quorum: int,
    expandable: bool,
) -> None:
    result: Plan | None = None
    refusal = ""
    try:
        result = plan(
            parties,
            policy=policy,
            capabilities=capabilities,
            caller_id=caller_id,
            quorum=quorum,
            expandable=expandable,
        )
    except PolicyError as error:
        refusal = str(error)
    if result is None:
        assert refusal
        assert not WHOLE_NUMBER.search(refusal)
        return
    assert result.parties == tuple(parties)
    assert 1 <= len(parties) <= result.limit <= policy.maximum
    assert 1 <= result.quorum <= len(parties)
    assert len({each.identity for each in parties}) == len(parties)
    if result.mode is Mode.BRIDGE:
        assert len(parties) < min(policy.minimum, 3)
        assert capabilities.bridging is not Bridging.NONE
        assert not expandable
    if len(parties) < policy.minimum:
        assert policy.below_minimum != "refuse"


def test_one_more_party_is_held_to_the_same_rules() -> None:
    assert problems_with_addition(party(3), people(3), 4) == []
    assert problems_with_addition(party(4), people(4), 4) == ["the meeting is full: it holds 4 parties"]
    assert problems_with_addition(party(0), people(2), 4) == ["+1919•••0000 is in the meeting already"]
    assert tuple(problems_with_addition(Party("sip:nobody"), people(3), 4)) == problems((Party("sip:nobody"),))
    assert len(problems_with_addition(Party("555"), people(4), 4)) == 2
