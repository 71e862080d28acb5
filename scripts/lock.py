"""Write the lock: ``requirements.lock`` with hashes, and its versions as constraints in ``pyproject.toml``.

``uv.lock`` names the package index that each machine happens to use, so it stays out of the repository and is
made by ``uv run``. The constraints make every machine resolve to the versions written here.

    uv run python scripts/lock.py            write both after a change of the dependencies
    uv run python scripts/lock.py --upgrade  first move everything to the newest version
    uv run python scripts/lock.py --check    change nothing; fail when the three disagree
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYPROJECT = ROOT / "pyproject.toml"
LOCK = ROOT / "requirements.lock"
HEADER = "# Written by scripts/lock.py: all that development and every extra need, for every platform.\n"
EXPORT = ["--all-packages", "--all-extras", "--all-groups", "--no-emit-workspace", "--no-header", "--no-annotate"]
CONSTRAINTS = re.compile(r"^constraint-dependencies = \[\n.*?^\]\n", re.MULTILINE | re.DOTALL)


def uv(*arguments: str) -> str:
    """Run uv in the workspace and return what it prints; its complaints go to the terminal."""
    done = subprocess.run(["uv", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"uv {arguments[0]} failed")
    return done.stdout


def constrain(pins: list[str]) -> None:
    """Put the pins where uv reads them on every machine."""
    quoted = "".join(f'  "{pin}",\n' for pin in pins)
    text, found = CONSTRAINTS.subn(f"constraint-dependencies = [\n{quoted}]\n", PYPROJECT.read_text())
    if found != 1:
        raise SystemExit("pyproject.toml: [tool.uv] needs one constraint-dependencies list, one pin a line")
    PYPROJECT.write_text(text)


def pins_of(lock: str) -> list[str]:
    """The requirements of a lock without their hashes."""
    return [line.removesuffix("\\").strip() for line in lock.splitlines() if re.match(r"[a-z0-9]", line)]


def hashes_of(lock: str) -> dict[str, set[str]]:
    """The hashes of a lock by requirement, such as ``idna==3.10``."""
    blocks = re.findall(r"^([a-z0-9]\S+)((?:.*\\\n)*.*)", lock, re.MULTILINE)
    return {name: set(re.findall(r"--hash=(\S+)", rest)) for name, rest in blocks}


def write(*, upgrade: bool) -> None:
    """Resolve, then write both files."""
    before = PYPROJECT.read_text()
    try:
        if upgrade:
            constrain([])
            uv("lock", "--upgrade")
        lock = uv("export", *EXPORT)
        constrain(pins_of(lock))
        uv("lock")
    except BaseException:
        PYPROJECT.write_text(before)
        raise
    LOCK.write_text(HEADER + lock)


def check() -> list[str]:
    """Say what disagrees: the constraints, the lock, and what uv resolves here."""
    written, resolved = LOCK.read_text(), uv("export", "--locked", *EXPORT)
    constraints = tomllib.loads(PYPROJECT.read_text())["tool"]["uv"]["constraint-dependencies"]
    places = {"pyproject.toml": constraints, "uv.lock": pins_of(resolved)}
    problems = [
        f"{pin}: in one of requirements.lock and {place}, not in both"
        for place, pins in places.items()
        for pin in sorted({*pins_of(written)} ^ {*pins})
    ]
    # A release can gain files later and a mirror can lack some; nothing in common is another release.
    here = hashes_of(resolved)
    for name, hashes in hashes_of(written).items():
        if here.get(name) and hashes.isdisjoint(here[name]):
            problems.append(f"{name}: the index offers other files than those of requirements.lock")
    problems += [f"requirements.lock names a host: {line}" for line in written.splitlines() if "://" in line]
    return problems


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="change nothing, fail when anything disagrees")
    choice.add_argument("--upgrade", action="store_true", help="move everything to the newest version first")
    options = parser.parse_args()
    if not options.check:
        write(upgrade=options.upgrade)
    elif problems := check():
        sys.exit("\n".join([*problems, "run: uv run python scripts/lock.py"]))


if __name__ == "__main__":
    main()
