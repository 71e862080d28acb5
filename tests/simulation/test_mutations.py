"""The simulation notices when a guarantee's code is taken out: one line changed, caught within so many seeds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough

SEEDS = 200
MUTANT = Path(__file__).parent / "mutant.py"

# (module, what is replaced, by what, the invariant that must notice)
MUTATIONS = {
    "send again what may have been executed": (
        "confkit.steps.decide",
        "return error.answered and tried.operation in capabilities.reconcilable and Look.FAILED not in tried.looks",
        "return True",
        "nobody is dialled twice",
    ),
    "skip a hang-up": (
        "confkit.workflows.leg",
        'await own.flow.step("hang_up", own.call)',
        "pass",
        "nothing is left behind",
    ),
    "skip the end of the conference": (
        "confkit.workflows.meeting",
        'await flow.step("end_conference", room)',
        "pass",
        "nothing is left behind",
    ),
    "let a cancellation interrupt the undoing": (
        "confkit.client.engine",
        "with anyio.CancelScope(shield=True):\n            self.runtime.post",
        "with anyio.CancelScope(shield=False):\n            self.runtime.post",
        "it ends",
    ),
    "let two make the room at once": (
        "confkit.workflows.legs",
        "return [] if any(status.released for status in self.present) else waiting[:1]",
        "return waiting",
        "it comes about",
    ),
    "drop the limiter": (
        "confkit.steps.rate_limits",
        "if not classes:",
        "if True:",
        "the pace is kept",
    ),
    "do not withdraw what is still to be sent": (
        "confkit.workflows.driver",
        "            flow.cancelled = True\n            if isinstance(waits, RunStep):\n",
        "            if False:\n",
        "nobody is rung too late",
    ),
    "take duplicates for news": (
        "confkit.ingest.meeting_view",
        "if fact in self._told:",
        "if False:",
        "facts are told once",
    ),
    "tell again what a look shows again": (
        "confkit.ingest.meeting_view",
        "if settings == told:",
        "if False:",
        "facts are told once",
    ),
    "believe that a call has ended because somebody says so": (
        "confkit.workflows.leg",
        "told=over.told,",
        "",
        "nothing is left behind",
    ),
    "let a room that is a name stay ended": (
        "confkit.workflows.legs",
        "again = not self.established and",
        "again = False and",
        "it comes about",
    ),
    "add without counting": (
        "confkit.workflows.policy",
        "if len(present) >= limit:",
        "if False:",
        "the policy is kept",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_guarantee_that_is_taken_out_is_missed(name: str) -> None:
    module, old, new, invariant = MUTATIONS[name]
    run = subprocess.run(
        [sys.executable, str(MUTANT), module, old, new, str(SEEDS)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1, f"not noticed within {SEEDS} seeds: {run.stdout}{run.stderr}"
    assert invariant in run.stdout, run.stdout + run.stderr
