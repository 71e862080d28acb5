"""The sequence stays fit for a runtime that crashes: fed with its history, it does the same again."""

from __future__ import annotations

from collections import Counter

import pytest

from confkit.testing.simulate import judge_crashing, judge_histories

pytestmark = pytest.mark.thorough

SEEDS = 30


@pytest.mark.parametrize("every", [1, 3, 10])
def test_a_crash_after_every_few_inputs_changes_nothing_that_matters(every: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(SEEDS):
        verdict = judge_crashing(seed, every=every)
        assert not verdict.found, f"seed {seed}: {verdict.found[0]}"
        counts += verdict.counts
    assert counts["replayed"] > counts["crashes"] > 100 // every
    assert counts["resumed"] > 10


def test_a_history_gives_the_same_from_every_prefix_of_it() -> None:
    counts: Counter[str] = Counter()
    for seed in range(100):
        verdict = judge_histories(seed)
        assert not verdict.found, f"seed {seed}: {verdict.found[0]}"
        counts += verdict.counts
    assert counts["histories"] > 90
    assert counts["prefixes"] > 30 * counts["histories"]
