"""The sequence stays fit for an engine that crashes: replayed from what is written down, it does the same again."""

from __future__ import annotations

from collections import Counter

import pytest

from confkit.testing.simulate import judge_crashing

SEEDS = 30


@pytest.mark.parametrize("every", [1, 3, 10])
def test_a_crash_after_every_few_operations_changes_nothing_that_matters(every: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(SEEDS):
        verdict = judge_crashing(seed, every=every)
        assert not verdict.found, f"seed {seed}: {verdict.found[0]}"
        counts += verdict.counts
    assert counts["replayed"] > counts["crashes"] > 100 // every
    assert counts["again"] > 10
