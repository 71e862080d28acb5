"""Print what the distributions require of others, one requirement a line: for an installation of the lowest versions.

uv takes the lowest versions of what it is asked for by name only, and a wheel's requirements are not.

    python scripts/floors.py
"""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def requirements() -> list[str]:
    """The requirements of all distributions, those of their extras included, without the distributions themselves."""
    found: set[str] = set()
    for file in (ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")):
        project = tomllib.loads(file.read_text())["project"]
        found.update(project["dependencies"], *project.get("optional-dependencies", {}).values())
    return sorted(each for each in found if not each.startswith("confkit"))


if __name__ == "__main__":
    print(*requirements(), sep="\n")
