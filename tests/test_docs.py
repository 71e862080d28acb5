"""What the pages say of the code, where it can be checked: paths, names, errors, log events, layers."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import grimp
import pytest

import confkit
import confkit.provider
from confkit.models import errors
from confkit.models.errors import ConfkitError
from confkit.provider.contract import ProviderSpec

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("plugins/*/README.md"))]
#: What a page may mean by the first word of a dotted name.
OBJECTS: dict[str, Any] = {
    "confkit": confkit,
    "client": confkit.AsyncClient,
    "meeting": confkit.Meeting,
    "Capabilities": confkit.provider.Capabilities,
    "Conference": confkit.Conference,
    "Dialled": confkit.provider.Dialled,
    "Member": confkit.provider.Member,
    "OutcomeUnknown": confkit.OutcomeUnknown,
}
#: What the tutorial writes.
NEW_PACKAGE = {"tests/test_conformance.py"}
FOLDERS = ("benchmarks", "docs", "examples", "plugins", "scripts", "src", "tests")


def text_of(page: Path) -> str:
    return page.read_text()


def prose_of(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text_of(page), flags=re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text_of(page))
    spans = " ; ".join(re.findall(r"`([^`\n]+)`", prose_of(page)))
    paths = re.findall(rf"(?<![\w/.])(?:{'|'.join(FOLDERS)})/[\w./-]*\w", spans)
    lost = [link for link in links if not (page.parent / link).exists()]
    lost += [path for path in paths if not (ROOT / path).exists() and not (page.parent / path).exists()]
    assert not [path for path in lost if path not in NEW_PACKAGE and "parrot" not in path]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_headings_that_are_linked_to_are_there(page: Path) -> None:
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", text_of(page)):
        headings = re.findall(r"^#+ (.*)$", text_of(page.parent / path if path else page), flags=re.MULTILINE)
        anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert anchor in anchors, f"{path}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_names_that_are_written_exist(page: Path) -> None:
    names = re.findall(r"`([A-Za-z]\w*(?:\.[A-Za-z]\w*)+)(?:\([^`]*)?`", prose_of(page))
    ours = [name for name in names if name.partition(".")[0] in OBJECTS and name not in attributes_of_spans()]
    assert not [name for name in ours if not is_there(name)]


def is_there(name: str) -> bool:
    """Whether a dotted name can be followed, as far as classes tell: what an instance alone has is not looked into."""
    first, *rest = name.split(".")
    here = OBJECTS[first]
    for part in rest:
        found = getattr(here, part, None)
        if found is None and inspect.ismodule(here):
            try:
                found = importlib.import_module(f"{here.__name__}.{part}")
            except ModuleNotFoundError:
                return False
        if found is None:
            return inspect.isclass(here) and (part in inherited_annotations(here) or part in (here.__doc__ or ""))
        if not (inspect.ismodule(found) or inspect.isclass(found)):
            return True
        here = found
    return True


def attributes_of_spans() -> set[str]:
    """What stands in OpenTelemetry's spans."""
    code = (ROOT / "src/confkit/steps/otel.py").read_text()
    ids = {f"confkit.{name}" for name in ("conference", "call", "member", "bridge")}
    return set(re.findall(r"\"(confkit\.\w+)\"", code)) | ids


def test_the_attributes_of_spans_are_on_their_page() -> None:
    page = text_of(DOCS / "observability.md")
    assert not [name for name in attributes_of_spans() if f"`{name}`" not in page]


def inherited_annotations(kind: type) -> set[str]:
    return {name for each in kind.__mro__ for name in getattr(each, "__annotations__", {})}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tests_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"\b(test_\w+)", prose_of(page)))
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("test_*.py")]
    known = {path.stem for path in files} | {"test_conformance"}
    known |= set(re.findall(r"def (test_\w+)\(", "\n".join(path.read_text() for path in files)))
    assert not sorted(named - known)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_come_in_by_the_doors(page: Path) -> None:
    modules = re.findall(r"^\W*(?:from|import) (confkit(?:\.\w+)*)", text_of(page), flags=re.MULTILINE)
    assert not [name for name in modules if name not in ("confkit", "confkit.provider", "confkit.testing")]


def test_every_error_is_on_its_page() -> None:
    page = text_of(DOCS / "errors.md").partition("## Outcomes")[0]
    ours = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, ConfkitError)}
    rows = re.findall(r"^\| (`.*?) \|", page, flags=re.MULTILINE)
    told = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert told >= ours - {"ConfkitError", "ProviderError"}
    assert told <= ours


def test_every_outcome_is_on_the_page_of_errors() -> None:
    page = text_of(DOCS / "errors.md").partition("## Outcomes")[2].partition("\n## ")[0]
    assert {outcome.value for outcome in confkit.Outcome} <= set(re.findall(r"`(\w+)`", page))


def test_every_log_event_is_on_its_page() -> None:
    page = text_of(DOCS / "observability.md").partition("## Traces")[0]
    code = "\n".join(path.read_text() for path in (ROOT / "src/confkit").rglob("*.py") if "cli" not in path.parts)
    logged = set(re.findall(r"(?:log|logger\(\))\.(?:debug|info|warning|error|exception)\(\s*\"(\w+)\"", code))
    told = set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE))
    assert logged == told


def test_every_observer_is_on_its_page() -> None:
    page = text_of(DOCS / "observability.md")
    hooks = [name for name in vars(ProviderSpec) if name.startswith(("meeting_", "step_"))]
    assert len(hooks) == 5
    assert not [name for name in hooks if f"`{name}" not in page]


def test_the_fixtures_for_applications_are_on_their_page() -> None:
    page = prose_of(DOCS / "testing.md")
    plugin = (ROOT / "src/confkit/testing/pytest_plugin.py").read_text()
    fixtures = re.findall(r"@pytest\.fixture\ndef (\w+)\(", plugin)
    assert len(fixtures) == 5
    assert not [name for name in (*fixtures, "confkit_virtual_time") if name not in page]


def test_the_design_shows_the_rooms_as_they_are() -> None:
    """Each arrow of the diagram is an import, and each room has its row."""
    page = text_of(DOCS / "design.md")
    graph = grimp.build_graph("confkit", exclude_type_checking_imports=False, cache_dir=None)
    diagram = re.search(r"```mermaid\n(.*?)```", page, flags=re.DOTALL)
    assert diagram is not None
    wrong = []
    for line in diagram[1].splitlines()[1:]:
        ends = [[name.strip() for name in end.split("&")] for end in line.split("-->")]
        for above, below in pairwise(ends):
            for one, other in product(above, below):
                found = graph.find_shortest_chain(f"confkit.{one}", f"confkit.{other}", as_packages=True)
                if found is None or len(found) > 2:
                    wrong.append(f"{one} --> {other}")
    assert not wrong
    rows = set(re.findall(r"`(\w+)/`", " ".join(re.findall(r"^\| ((?:`\w+/` ?)+)\|", page, flags=re.MULTILINE))))
    assert rows == {name.removeprefix("confkit.") for name in graph.find_children("confkit")}


def section_of_design(heading: str) -> str:
    found: str = text_of(DOCS / "design.md").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert found
    return found


def test_the_design_has_a_sentence_for_each_file() -> None:
    told = set(re.findall(r"^\| `([\w/]+(?:\.py|/))` \| [^|]+\. \|$", section_of_design("Files"), flags=re.MULTILINE))
    room = ROOT / "src/confkit"
    files = {path.relative_to(room) for path in room.rglob("*.py") if path.name != "__init__.py"}
    groups = {name for name in told if name.endswith("/")}
    alone = {str(path) for path in files if f"{path.parent}/" not in groups}
    assert told - groups == alone
    assert all(any(f"{path.parent}/" == group for path in files) for group in groups)


def test_files_that_the_design_names_exist() -> None:
    named = re.findall(r"`((?:\w+/)+\w+\.py)`", text_of(DOCS / "design.md"))
    assert named
    assert not [name for name in named if not (ROOT / name).exists() and not (ROOT / "src/confkit" / name).exists()]


def functions_in(path: Path) -> dict[str, str]:
    """The source of each function of a file, by its name, with its class's before it."""
    code = path.read_text()
    found = {}
    for node in ast.parse(code).body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        above = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for each in inner:
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                found[above + each.name] = ast.get_source_segment(code, each) or ""
    return found


#: The row of the path before which the platform and the telephone are: no code leads there.
CALLED_FROM_OUTSIDE = "Receiver.__call__"


def test_the_path_of_one_party_is_the_codes() -> None:
    """Each row's functions are in its file, the last of them says what is in the third column, and the last word there
    leads to the first function of the next row: it is called so, or tells what that one waits for."""
    rows = re.findall(
        r"^\| \d+ \|(.*?)\|(.*?)\|(.*?)\|", section_of_design("The path of one party"), flags=re.MULTILINE
    )
    hops = []
    for cells in rows:
        (name,), functions, spans = (re.findall(r"`([^`]+)`", cell) for cell in cells)
        path = ROOT / name if name.startswith("plugins/") else ROOT / "src/confkit" / name
        hops.append((path, functions, spans))
    assert 10 <= len(hops) <= 12
    for path, functions, spans in hops:
        there = functions_in(path)
        assert set(functions) <= set(there), path
        assert spans[0] in there[functions[-1]], f"{functions[-1]} does not say {spans[0]}"
    for (*_, spans), (path, (first, *_), _) in pairwise([*hops, hops[0]]):
        if first != CALLED_FROM_OUTSIDE:
            word = re.findall(r"\w+", spans[-1])[-1]
            leads = word in first.split(".") or f".{word}(" in functions_in(path)[first]
            assert leads, f"{spans[-1]} does not lead to {first}"
