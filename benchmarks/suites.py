"""How fast the project's own suites run: simulated meetings, and the conformance suite on the fake.

They have no target; the run before is what they are compared with.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, Result
from benchmarks.running import run

ROOT = Path(__file__).resolve().parent.parent
BEFORE = ROOT / "docs" / "performance" / "results.json"


def simulations(count: int, rounds: int) -> list[float]:
    """Runs a second of processor time; the same seeds in every round."""
    from confkit.testing.simulate import judge

    judge(0)
    found = []
    for _ in range(rounds):
        gc.collect()
        began = time.process_time()
        for seed in range(count):
            assert not judge(seed).found
        found.append(count / (time.process_time() - began))
    return found


def conformance(rounds: int) -> list[float]:
    """Seconds of processor time for the conformance suite on the fake, pytest included."""
    path = ROOT / "tests" / "conformance" / "test_fake.py"
    if not path.exists():
        return []
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)]
    found = []
    for _ in range(rounds):
        before = os.times()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, cwd=ROOT)
        after = os.times()
        found.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return found


def _previous() -> dict[str, float]:
    """The medians of the run before, by what was measured."""
    if not BEFORE.exists():
        return {}
    kept: dict[str, Any] = json.loads(BEFORE.read_text(encoding="utf-8"))
    return {
        figure["what"]: figure["median"]
        for result in kept["results"]
        if result["name"] == "suites"
        for figure in result["figures"]
    }


def measure(quick: bool) -> Result:
    """Both."""
    before = _previous()
    data = {
        "simulated runs a second of processor time": simulations(30 if quick else 300, 2 if quick else 5),
        "conformance suite on the fake, processor time": conformance(1 if quick else 3),
    }
    figures = []
    for what, rounds in data.items():
        if rounds:
            unit = "" if "a second" in what else "s"
            last = f"the run before: {before[what]:.1f} {unit}".strip() if what in before else "no run before"
            figures.append(Figure(what=what, against=last, rounds=rounds, unit=unit))
    return Result(name="suites", title="The project's own suites", figures=tuple(figures), data=data)


if __name__ == "__main__":
    run(measure, __doc__)
