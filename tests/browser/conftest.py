"""The real Mermaid in a real browser: Debian's Chromium, driven by ``render.mjs``.

``CONFKIT_BROWSER=require`` installs what ``package.json`` names, and fails where a browser, node or
npm cannot be had. Without it the tests marked ``browser`` are skipped where any of it is missing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
#: One batch of diagrams takes seconds; this is for a browser that hangs.
PATIENCE = 300

Draw = Callable[[Sequence[str]], list[dict[str, Any]]]


def _missing() -> str | None:
    for command in ("chromium", "node", "npm"):
        if shutil.which(command) is None:
            return f"{command} is not installed"
    if os.environ.get("CONFKIT_BROWSER") != "require":
        installed = (HERE / "node_modules" / "mermaid").is_dir()
        return None if installed else "Mermaid has not been installed; CONFKIT_BROWSER=require does"
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=HERE, check=True, timeout=PATIENCE)
    return None


@pytest.fixture(scope="session")
def draw(tmp_path_factory: pytest.TempPathFactory) -> Draw:
    """Draws diagrams; gives what each shows (``texts``), or the ``error`` of the library.

    With ``CONFKIT_PICTURES`` in the environment, the pictures are kept in that folder.
    """
    if (missing := _missing()) is not None:
        if os.environ.get("CONFKIT_BROWSER") == "require":
            pytest.fail(missing)
        pytest.skip(missing)
    browser = shutil.which("chromium") or ""

    def drawn(diagrams: Sequence[str]) -> list[dict[str, Any]]:
        profile = tmp_path_factory.mktemp("profile")
        command = ["node", "render.mjs", browser, str(profile)]
        if pictures := os.environ.get("CONFKIT_PICTURES"):
            command.append(pictures)
        ran = subprocess.run(
            command, cwd=HERE, input=json.dumps(diagrams), capture_output=True, text=True, timeout=PATIENCE
        )
        assert ran.returncode == 0, ran.stderr
        found: list[dict[str, Any]] = json.loads(ran.stdout)
        return found

    return drawn
