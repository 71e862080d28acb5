"""Change the modules that decide, one small change at a time, and see whether their tests notice.

mutmut makes the changes (mutants) and runs the tests; this chooses the modules and the tests of each, and tells what
was not noticed. It takes hours, so it is no part of ``.ci/run``. What was tried is kept in ``mutants/``, and a second
run tries only what has changed, or was not noticed.

    uv run --group mutants python scripts/mutants.py              every module
    uv run --group mutants python scripts/mutants.py steps/decide  this only
    uv run --group mutants python scripts/mutants.py --report     run nothing, tell what the last runs found

Fails when a mutant survives that ``scripts/mutants.toml`` does not name with the reason why no test can notice it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from attrs import field, frozen

ROOT = Path(__file__).parent.parent
SCRATCH = ROOT / "mutants"
NAMED = Path(__file__).with_suffix(".toml")
MUTMUT = Path(sys.executable).with_name("mutmut")
#: The modules that decide, with the tests that hold each: fast ones, for they run some thousand times.
MODULES = {
    "workflows/policy": ["tests/core/test_policy.py"],
    "steps/rate_limits": ["tests/core/test_pacing.py"],
    "steps/decide": ["tests/core/test_decide.py"],
    "steps/operations": ["tests/core/test_one_step.py", "tests/core/test_one_step_unknown.py"],
    "steps/reporting": [
        "tests/core/test_one_step.py",
        "tests/core/test_one_step_unknown.py",
        "tests/core/test_steps.py",
    ],
    "steps/executor": [
        "tests/core/test_one_step.py",
        "tests/core/test_one_step_unknown.py",
        "tests/core/test_steps.py",
        "tests/core/test_steps_doubt.py",
    ],
    "workflows/meeting": ["tests/core/test_flow_meeting.py"],
    "workflows/driver": ["tests/core/test_driver.py"],
    "workflows/leg": ["tests/core/test_flow_leg.py", "tests/core/test_flow_leg_conference.py"],
    "workflows/legs": ["tests/core/test_flow_meeting.py"],
    "ingest/participants": ["tests/core/test_roster_facts.py", "tests/core/test_roster.py"],
    "ingest/router": ["tests/core/test_router_keeps.py", "tests/core/test_router.py"],
    "ingest/parking": ["tests/core/test_router_keeps.py", "tests/core/test_router.py"],
    "ingest/snapshots": ["tests/core/test_router_keeps.py", "tests/core/test_router.py"],
    "ingest/webhooks": ["tests/core/test_receiver.py", "tests/webhooks/test_receive.py"],
}
#: Lines that write the log: what it says in passing is nobody's contract.
LOGGING = [r"\b_?log\.(debug|info|warning|exception)\(", r"\blogger\(\)\."]
#: A text with a blank in it is prose for people. Tests hold what it names, not how it says so.
TEXT = re.compile(r"""(["'])(?P<text>(?:(?!\1).)*)\1""")
NOTICED = ("killed", "timeout", "segfault", "suspicious")


@frozen
class Survivor:
    """A mutant that no test noticed."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def is_wording(self) -> bool:
        """Whether it only changes how something is said."""
        return self.before != self.after and _unworded(self.before) == _unworded(self.after)


@frozen
class Result:
    """What became of one module's mutants."""

    module: str
    noticed: int
    wording: int
    named: tuple[tuple[Survivor, str], ...] = field(factory=tuple)
    unnamed: tuple[Survivor, ...] = field(factory=tuple)

    @property
    def total(self) -> int:
        return self.noticed + len(self.named) + len(self.unnamed)

    @property
    def row(self) -> str:
        share = 100 * self.noticed / self.total if self.total else 0
        return f"| `{self.module}` | {self.total} | {self.noticed} | {share:.1f} % | {len(self.named)} |"


def prepare(module: str) -> Path:
    """The folder that mutmut works in: the tree by links, and a configuration for this module."""
    folder = SCRATCH / module
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("src", "tests", "conftest.py"):
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(ROOT / name, folder))
    # mutmut copies the tests over those of the last run, and would go on running what has been deleted since
    shutil.rmtree(folder / "mutants" / "tests", ignore_errors=True)
    # and it would not learn which tests reach a function that is new
    (folder / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    settings = {
        "source_paths": ["src"],
        "only_mutate": [f"src/confkit/{module}.py"],
        "also_copy": ["conftest.py"],
        "pytest_add_cli_args_test_selection": MODULES[module],
        "do_not_mutate_patterns": LOGGING,
        # In virtual time a mutant that waits for ever turns round for ever; else nothing comes near this.
        "timeout_multiplier": 5.0,
        "timeout_constant": 2.0,
        "use_git_change_detection": False,
    }
    ini = dict(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"])
    ini |= {"testpaths": ["tests"], "addopts": "--import-mode=importlib -m 'not media'"}
    lines = ["[tool.mutmut]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items())]
    lines += ["", "[tool.pytest.ini_options]", *(f"{key} = {json.dumps(value)}" for key, value in ini.items())]
    (folder / "pyproject.toml").write_text("\n".join(lines) + "\n")
    return folder


def run(module: str) -> None:
    """Try the mutants that have not been tried, and those that were not noticed.

    Raises:
        SystemExit: the tests fail without any mutant, or mutmut stumbled.
    """
    folder = prepare(module)
    before = dict(results(module)) if (folder / "mutants" / "src").exists() else {}
    _try(folder)
    again = [name for name, status in results(module) if status not in NOTICED and before.get(name) == status]
    if again:
        _try(folder, *again)


def _try(folder: Path, *names: str) -> None:
    # CI: the same examples in every run, or what hypothesis finds by luck would make a mutant come and go
    environment = {**os.environ, "CI": "1"}
    with (folder / "mutmut.log").open("w") as log:
        command = [str(MUTMUT), "run", "--max-children", "1", *names]
        done = subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    if done.returncode:
        raise SystemExit(f"mutmut failed: see {log.name}")


def results(module: str) -> Iterator[tuple[str, str]]:
    """Every mutant of a module, and what became of it."""
    told = _mutmut(module, "results", "--all", "true")
    for line in told.splitlines():
        name, _, status = line.strip().partition(": ")
        if status:
            yield name, status


def survivor(module: str, name: str) -> Survivor:
    """A mutant with the lines that it changes."""
    diff = [line for line in _mutmut(module, "show", name).splitlines() if not line.startswith(("---", "+++", "#"))]
    return Survivor(
        name.rpartition(".")[2],
        before=tuple(line[1:].strip() for line in diff if line.startswith("-")),
        after=tuple(line[1:].strip() for line in diff if line.startswith("+")),
    )


def result(module: str) -> Result:
    """Sort a module's mutants into noticed, wording, named and unnamed."""
    reasons = tomllib.loads(NAMED.read_text()).get(module, []) if NAMED.exists() else []
    noticed, wording, named, unnamed = 0, 0, [], []
    for name, status in results(module):
        if status in NOTICED:
            noticed += 1
            continue
        mutant = survivor(module, name)
        reason = next((each["why"] for each in reasons if _is(each, mutant)), None)
        if mutant.is_wording:
            wording += 1
        elif reason is not None:
            named.append((mutant, reason))
        else:
            unnamed.append(mutant)
    return Result(module, noticed, wording, tuple(named), tuple(unnamed))


def _unworded(lines: tuple[str, ...]) -> list[str]:
    return [TEXT.sub(lambda found: '""' if " " in found["text"] else found[0], line) for line in lines]


def _is(entry: dict[str, str], mutant: Survivor) -> bool:
    return (
        entry["where"] in mutant.name
        and any(entry.get("was", "") in line for line in mutant.before)
        and any(entry.get("now", "") in line for line in mutant.after or ("",))
    )


def _mutmut(module: str, *arguments: str) -> str:
    done = subprocess.run([MUTMUT, *arguments], cwd=SCRATCH / module, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="module", help="which; all by default")
    parser.add_argument("--report", action="store_true", help="run nothing, tell what the last runs found")
    options = parser.parse_args()
    modules = options.modules or list(MODULES)
    if unknown := [module for module in modules if module not in MODULES]:
        parser.error(f"no such module: {', '.join(unknown)}; there are {', '.join(MODULES)}")
    for module in modules if not options.report else ():
        print(f"{module} ...", flush=True)
        run(module)
    found = [result(module) for module in modules if (SCRATCH / module / "mutants").exists()]
    for each in found:
        for mutant in each.unnamed:
            print(f"\n{each.module}: {mutant.name}", *(f"  - {line}" for line in mutant.before), sep="\n")
            print(*(f"  + {line}" for line in mutant.after), sep="\n")
    print("\n| Module | Mutants | Noticed | Share | Named |", "|---|---|---|---|---|", sep="\n")
    print(*(each.row for each in found), sep="\n")
    print(f"\nLeft out as wording: {sum(each.wording for each in found)}.")
    return 1 if any(each.unnamed for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
