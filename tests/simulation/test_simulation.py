"""Whole meetings in virtual time: fixed seeds, and fresh ones in every run."""

from __future__ import annotations

import os

import pytest
from attrs import evolve

from confkit.testing.scenario import Scenario, draw
from confkit.testing.simulate import judge, report, shrink
from confkit.testing.simulation import play
from confkit.testing.story import Story

FIXED = 200
FRESH = 50
CHUNK = 50


def chunks() -> list[pytest.ParameterSet]:
    """Seeds in lots; the fresh ones are in the test's name, so that a failure can be repeated."""
    start = int(os.environ["CONFKIT_FRESH_SEEDS"])
    fixed = [(seed, CHUNK) for seed in range(0, FIXED, CHUNK)]
    fresh = [(seed, CHUNK) for seed in range(start, start + FRESH, CHUNK)]
    return [pytest.param(*lot, id=f"{lot[0]}..{lot[0] + CHUNK - 1}") for lot in (*fixed, *fresh)]


@pytest.mark.parametrize(("start", "count"), chunks())
def test_what_must_hold_holds(start: int, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nseeds {start} to {start + count - 1} ", end="")
    bad = [seed for seed in range(start, start + count) if judge(seed).found]
    assert not bad, report(bad[0])


def told(story: Story) -> list[str]:
    """A run as text, with instants counted from its beginning."""
    history = story.provider.exchange.history
    began = history[0].at if history else None
    return [
        *(f"{request.operation} {request.op_key} {request.outcome}" for request in story.provider.requests),
        *(f"{fact.kind} {fact.call_id} {fact.at - began}" for fact in history if began is not None),
    ]


@pytest.mark.parametrize("seed", range(400, 420))
def test_a_seed_is_played_again_exactly(seed: int) -> None:
    assert told(play(draw(seed))) == told(play(draw(seed)))


def test_different_seeds_are_different_scenarios() -> None:
    assert len({evolve(draw(seed), seed=0) for seed in range(100)}) > 95


def test_a_scenario_that_breaks_something_becomes_simpler(monkeypatch: pytest.MonkeyPatch) -> None:
    from confkit.testing import simulate
    from confkit.testing.invariants import Violation

    def check(scenario: Scenario) -> tuple[None, list[Violation]]:
        broken = any(person.reaction == "busy" for meeting in scenario.gatherings for person in meeting.people)
        return None, [Violation("nobody is busy", "somebody is")] if broken else []

    monkeypatch.setattr(simulate, "check", check)
    scenario = next(each for each in map(draw, range(1000)) if len(each.gatherings) > 1 and check(each)[1])
    simplest = shrink(scenario, "nobody is busy")
    (meeting,) = simplest.gatherings
    assert [person.reaction for person in meeting.people] == ["busy"]
    assert not simplest.faults
    assert not meeting.deeds
