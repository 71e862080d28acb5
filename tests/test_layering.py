"""The architecture, kept by looking at the imports: who may use whom, and what stays out of the way."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

import confkit
import confkit.provider

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "confkit"

# The rooms, highest first: a file imports from its own room and from those below it.
ROOMS = [{"cli", "testing"}, {"client"}, {"ingest"}, {"runtime"}, {"workflows"}, {"steps"}, {"provider"}, {"models"}]
#: What others may import: the applications' door, the provider authors', and the testers'.
DOORS = ("confkit", "confkit.provider", "confkit.testing")
#: Lines of a file, of one of the core, and of a class of the core: what is read in one sitting.
CEILING, CORE_CEILING, CLASS_CEILING = 700, 500, 300


def python_files(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """The modules that a file imports, each with the name taken from it, wherever in the file that is."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: line {node.lineno}: write absolute imports"
            yield from ((node.module or "", alias.name) for alias in node.names)


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    # Also what is imported for type checkers alone: who must know another to be understood depends on it.
    return grimp.build_graph("confkit", exclude_type_checking_imports=False, cache_dir=None)


def test_imports_point_down_the_floors(graph: grimp.ImportGraph) -> None:
    floors = [grimp.Layer(*room) for room in ROOMS]
    found = graph.find_illegal_dependencies_for_layers(layers=floors, containers={"confkit"})
    assert not [f"{wrong.importer} must not import {wrong.imported}" for wrong in found]


def test_imports_go_in_no_circle(graph: grimp.ImportGraph) -> None:
    assert not graph.nominate_cycle_breakers("confkit")


def test_every_module_is_in_a_room(graph: grimp.ImportGraph) -> None:
    assert {name.removeprefix("confkit.") for name in graph.find_children("confkit")} == set().union(*ROOMS)


def test_others_come_in_by_the_doors() -> None:
    wrong = []
    for path in python_files(*ROOT.glob("plugins/*/src"), ROOT / "examples"):
        for module, name in imports(path):
            if module.partition(".")[0] != "confkit":
                continue
            door = module in DOORS or module.startswith("confkit.testing.")
            if not door or (name and name.startswith("_")):
                wrong.append(f"{path.relative_to(ROOT)} imports {name} from {module}")
    assert not wrong


def test_the_core_knows_no_plugin_and_no_event_loop() -> None:
    wrong = []
    for path in python_files(SOURCE):
        # The demo brings a provider and its simulator together; that is the command line's business alone.
        apart = path.relative_to(SOURCE).parts[0] in ("cli", "testing")
        for module, _ in imports(path):
            package = module.split(".")[0]
            if package == "asyncio" or (package.startswith("confkit_") and not apart):
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert not wrong


def test_importing_confkit_loads_nothing_heavy() -> None:
    # structlog loads rich where it is installed, so the core imports structlog where it logs.
    heavy = {"aiohttp", "httpx", "opentelemetry", "pytest", "rich", "starlette", "trio", "typer", "uvicorn"}
    script = (
        "import sys, confkit; confkit.AsyncClient, confkit.Client, confkit.Meeting; "
        "print(*(name for name in sys.modules if '.' not in name))"
    )
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert not sorted(heavy & set(loaded.split()))


def test_all_lists_what_is_exported() -> None:
    for door in (confkit, confkit.provider):
        assert len(set(door.__all__)) == len(door.__all__)
        assert {name for name in door.__all__ if getattr(door, name) is not None} == set(door.__all__)
        with pytest.raises(AttributeError, match="no_such_name"):
            door.no_such_name  # noqa: B018 - it is asked for
        # What is loaded when it is first asked for is told to type checkers in another place.
        told = {
            alias.name
            for node in ast.walk(ast.parse(Path(door.__file__ or "").read_text()))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("confkit.")
            for alias in node.names
        }
        # What needs an extra is not in the way of whoever imports everything.
        assert told - {"OpenTelemetry"} == set(door.__all__)


def test_importing_confkit_loads_what_is_asked_for_alone() -> None:
    script = "import sys, confkit; print(*(name for name in sys.modules if name.startswith('confkit')))"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert loaded.split() == ["confkit"]


def test_files_can_be_read_in_one_sitting() -> None:
    folders = [SOURCE, ROOT / "plugins", ROOT / "tests", ROOT / "scripts", ROOT / "benchmarks"]
    long = {
        str(path.relative_to(ROOT)): lines
        for path in python_files(*folders)
        if (lines := len(path.read_text().splitlines())) > CEILING
    }
    assert not long


def test_files_and_classes_of_the_core_are_short() -> None:
    long = []
    for path in python_files(SOURCE):
        text = path.read_text()
        if len(text.splitlines()) > CORE_CEILING:
            long.append(str(path.relative_to(ROOT)))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno + 1 > CLASS_CEILING:
                long.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert not long
