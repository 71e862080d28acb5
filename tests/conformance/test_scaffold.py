"""A new provider's package: as generated, installed from wheels, away from the source tree, it passes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
import tomllib
from pathlib import Path

import pytest

from confkit.cli.scaffold.command import new_provider
from confkit.provider import ConfkitError

ROOT = Path(__file__).parents[2]
#: What a command of the README may take, both together: generating and all, it is under a minute.
LIMIT = 60.0


def commands_of(readme: Path) -> list[str]:
    """The commands that the README begins with."""
    block = re.search(r"(?:^    .+\n)+", readme.read_text(), re.MULTILINE)
    assert block is not None
    return [line.strip() for line in block[0].splitlines()]


def test_everything_has_the_name(tmp_path: Path) -> None:
    package = new_provider("my-acme2", tmp_path)
    assert package == tmp_path / "confkit-my-acme2"
    project = tomllib.loads((package / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["confkit"] == {"my-acme2": "confkit_my_acme2"}
    assert os.access(package / ".ci/run", os.X_OK)
    for file in package.rglob("*"):
        if file.is_file():
            text = file.read_text()
            assert "{{" not in text, file
            if file.suffix == ".py":
                compile(text, file, "exec")
    assert "class MyAcme2Provider" in (package / "src/confkit_my_acme2/provider.py").read_text()


@pytest.mark.parametrize("name", ["", "Acme", "acme_1", "-acme", "acme-", "../acme", "1acme", "class acme"])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfkitError, match="cannot be a provider's name"):
        new_provider(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    new_provider("acme", tmp_path)
    with pytest.raises(ConfkitError, match="is there already"):
        new_provider("acme", tmp_path)


@pytest.mark.thorough  # needs the package index, and a minute
def test_it_passes_as_generated(tmp_path: Path) -> None:
    wheels, venv, folder = tmp_path / "wheels", tmp_path / "venv", tmp_path / "elsewhere"
    folder.mkdir()
    binaries = venv / "bin"
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    environment |= {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "VIRTUAL_ENV": str(venv)}

    def run(*command: str, where: Path = folder) -> str:
        ran = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{' '.join(command)}\n{ran.stdout[-4000:]}{ran.stderr[-2000:]}"
        return ran.stdout

    uv = shutil.which("uv") or "uv"
    for package in ("confkit", "confkit-fake"):
        run(uv, "build", "--quiet", "--wheel", "--package", package, "--out-dir", str(wheels), where=ROOT)
    run(uv, "venv", "--quiet", "--seed", str(venv))
    confkit, fake = (next(wheels.glob(f"{name}-*.whl")) for name in ("confkit", "confkit_fake"))
    constraints = ["--constraint", str(ROOT / "requirements.lock")]
    run(uv, "pip", "install", "--quiet", *constraints, f"{confkit}[cli,scaffold]", str(fake))

    began = time.monotonic()
    run(str(binaries / "confkit"), "new-provider", "acme")
    output = ""
    for command in commands_of(folder / "confkit-acme" / "README.md"):
        output = run("bash", "-c", command, where=folder / "confkit-acme")
    took = time.monotonic() - began
    assert re.search(r"\d+ passed", output), output
    assert took < LIMIT, f"it took {took:.0f} s"
    assert "acme" in run(str(binaries / "confkit"), "providers", "--json")
