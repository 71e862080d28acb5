"""Run the benchmarks and print the table; a full run writes ``docs/performance.md`` and its plots too.

``uv run python -m benchmarks [--quick] [--json] [--only NAME ...] [--to FOLDER]``
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import plots
from benchmarks.page import page
from benchmarks.report import Result, machine, table

#: In the order of the page. Each is a module that prints its result, run in a process of its own.
NAMES = (
    *("establish", "limits", "members", "requests", "steps", "meetings", "intake", "webhooks", "imports", "suites"),
)
DOCS = Path(__file__).resolve().parent.parent / "docs"


def main() -> int:
    """The command: 0 when every benchmark ran; a missed target is told, and no failure of the run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rounds: to see that it works")
    parser.add_argument("--json", action="store_true", help="print everything measured as JSON instead of the table")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--to", type=Path, help="write the page and the plots here; a full run writes them to docs")
    given = parser.parse_args()
    began = time.monotonic()
    results: list[Result] = []
    failed: list[str] = []
    for name in given.only or NAMES:
        started = time.monotonic()
        result = _run(name, quick=given.quick)
        took = f"{time.monotonic() - started:.0f} s"
        print(f"{name}: {took}" if result else f"{name}: FAILED after {took}", file=sys.stderr, flush=True)
        results += [result] if result else []
        failed += [] if result else [name]
    facts = machine() | {"duration": f"{time.monotonic() - began:.0f} s", "rounds": "few" if given.quick else "all"}
    if given.json:
        print(json.dumps({"machine": facts, "results": [result.as_dict() for result in results]}, indent=1))
    else:
        print(table(results, bold=False))
    full = not (given.quick or given.only or failed)
    if (to := given.to or (DOCS if full else None)) is not None:
        pictures = to / "performance"
        pictures.mkdir(parents=True, exist_ok=True)
        for result in results:
            plots.draw(result, pictures / f"{result.name}.svg")
        kept = {"machine": facts, "results": [result.as_dict() for result in results]}
        (pictures / "results.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        (to / "performance.md").write_text(page(results, facts), encoding="utf-8")
    return 1 if failed else 0


def _run(name: str, *, quick: bool) -> Result | None:
    """One benchmark in a fresh process, so that none warms up or fills the memory of another."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *(["--quick"] if quick else [])]
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=False)
    if done.returncode != 0:
        return None
    return Result.read(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    sys.exit(main())
