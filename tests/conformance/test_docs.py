"""The pages for authors: generated ones are fresh, and the tutorial does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from confkit.cli.scaffold.command import new_provider
from confkit.testing.conformance import rules

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs/writing-a-provider.md"
STEP = re.compile(r"<!-- (edit|fails|passes)(?:: (\S+))? -->\n(?:```diff\n(.*?)```|((?:    [^\n]*\n)+))?", re.DOTALL)


def test_generated_pages_are_fresh() -> None:
    script = [sys.executable, str(ROOT / "scripts/generated.py"), "--check"]
    ran = subprocess.run(script, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_every_rule_is_written_where_it_says() -> None:
    sections = re.split(r"^##+ ", (ROOT / rules.PAGE).read_text(), flags=re.MULTILINE)
    by_anchor = {text.partition("\n")[0].lower().replace(" ", "-"): text for text in sections}
    for rule in rules.all_rules():
        assert f"- {rule.text}." in by_anchor[rule.section], rule


def test_every_rule_is_checked() -> None:
    folder = Path(rules.__file__).parent
    suite = "".join(path.read_text() for path in folder.glob("*.py") if path.name != "rules.py")
    names = [name for name, value in vars(rules).items() if isinstance(value, rules.Rule)]
    assert not [name for name in names if f"rules.{name}" not in suite]


@pytest.mark.thorough
def test_the_tutorial(tmp_path: Path) -> None:
    package = new_provider("parrot", tmp_path)
    done = []
    for kind, path, diff, shown in STEP.findall(TUTORIAL.read_text()):
        done.append(kind)
        if kind == "edit":
            change(package / path, diff)
        elif kind == "fails":
            assert " ".join(shown.split()) in suite(package, "declared_and_implemented").replace("\n", " ")
        else:
            said = suite(package, "asyncio")
            assert " passed" in said, said
            assert "failed" not in said, said
    assert set(done) == {"edit", "fails", "passes"}


def change(file: Path, diff: str) -> None:
    """Apply a diff that has no line numbers."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    text = file.read_text()
    assert text.count(before) == 1, f"{file.name}: {before}"
    file.write_text(text.replace(before, after))


def suite(package: Path, chosen: str) -> str:
    """What pytest says of the package, which is not installed here."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "pythonpath=tests src",
        "-k",
        chosen,
    ]
    return subprocess.run(command, cwd=package, capture_output=True, text=True, check=False).stdout
