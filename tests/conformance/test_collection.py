"""What the suite collects: all that a provider declares, nothing that it does not, and no way around."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from confkit.testing.conformance import Conformance
from tests.conformance.fake_harness import FakeHarness

pytestmark = pytest.mark.thorough

HERE = Path(__file__).parent
RULES = {name for name in dir(Conformance) if name.startswith("test_")}
SUITES = """
import pytest
from attrs import evolve
from confkit_fake import FakeProvider
from confkit.provider import CallEnded
from confkit.testing.conformance import Conformance, Fault
from tests.conformance.fake_harness import FakeHarness
from tests.conformance.webhook_fake import WebhookFake, WebhookHarness


class PlainHarness(FakeHarness):
    given = {"bridge": "none", "events": "poll"}

class TestPlain(Conformance):
    harness_class = PlainHarness

class ModestHarness(FakeHarness):
    @classmethod
    def declared(cls):
        return FakeProvider(bridge="none", end_hangs_up=True)

class TestModest(Conformance):
    harness_class = ModestHarness

class ShelteredHarness(FakeHarness):
    lacks = frozenset({Fault.LOST_REPLY, Fault.GARBLED})

class TestSheltered(Conformance):
    harness_class = ShelteredHarness

class TestAnother(Conformance):
    harness_class = PlainHarness

    @pytest.fixture
    def harness(self):
        return FakeHarness()

class Unsigned(WebhookFake):
    def __init__(self, **settings):
        super().__init__(**settings)
        self._capabilities = evolve(self._capabilities, signs_webhooks=False)

class QuietHarness(WebhookHarness):
    kind = Unsigned
    reports = frozenset({CallEnded})
    stale_after = None

class TestQuiet(Conformance):
    harness_class = QuietHarness
"""
UNNAMED = """
from confkit.testing.conformance import Conformance

class TestNothing(Conformance):
    pass
"""
CHOSEN = "test_the_tests_were_chosen_for_this_provider"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("suites")
    (made / "test_suites.py").write_text(SUITES)
    (made / "test_unnamed.py").write_text(UNNAMED)
    (made / "pytest.ini").write_text(f"[pytest]\npythonpath = {HERE.parents[1]}\nfilterwarnings = error\n")
    return made


@pytest.fixture(scope="module")
def collected(folder: Path) -> dict[str, set[str]]:
    """By the suite's class the tests that are collected, with their parameters."""
    found: dict[str, set[str]] = {}
    for line in _pytest(folder, "test_suites.py", "--collect-only").splitlines():
        if len(parts := line.split("::")) == 3:
            found.setdefault(parts[1], set()).add(parts[2])
    return found


def _pytest(folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def _names(tests: Iterable[str]) -> set[str]:
    return {test.partition("[")[0] for test in tests}


def test_what_is_not_declared_is_not_collected(collected: dict[str, set[str]]) -> None:
    names = _names(collected["TestPlain"])
    absent = {name for name in RULES if "webhook" in name or "stream" in name or "bridge" in name}
    assert not names & absent
    about_bridges = {test for test in collected["TestPlain"] if "bridge" in test}
    assert _names(about_bridges) == {"test_declared_and_implemented"}


def test_what_the_platform_does_not_report_is_not_asked_for(collected: dict[str, set[str]]) -> None:
    assert {test for test in collected["TestQuiet"] if test.startswith("test_webhook[")} == {
        "test_webhook[asyncio-CallEnded]",
        "test_webhook[trio-CallEnded]",
    }
    unasked = {
        "test_a_forged_webhook",
        "test_a_stale_webhook",
        "test_a_webhook_of_a_recording",
        "test_a_reply_that_is_decided_later",
    }
    assert not unasked & _names(collected["TestQuiet"])


def test_no_provider_can_declare_its_duties_away(folder: Path) -> None:
    said = _pytest(folder, "test_suites.py", "-k", f"{CHOSEN} and asyncio").replace("\n", " ")
    assert "ModestHarness.declared gives one that differs in " in said
    for differing in ("bridging", "end_hangs_up", "create_bridge", "end_bridge"):
        assert differing in said.partition("differs in ")[2].partition("(docs")[0]
    assert "its harness excepts lost_reply (docs" in said
    assert "the fixture gives a FakeHarness (docs" in said
    assert "3 failed, 2 passed" in said


def test_nothing_is_skipped(folder: Path) -> None:
    said = _pytest(folder, "test_suites.py", "-k", "TestPlain and asyncio and (member or find or play)")
    assert " passed" in said
    assert "skipped" not in said
    assert "failed" not in said


def test_a_suite_without_a_harness_says_what_it_lacks(folder: Path) -> None:
    said = _pytest(folder, "test_unnamed.py")
    assert "TestNothing: set harness_class to the Harness of your platform" in said
    assert "Traceback" not in said


def test_every_test_of_the_suite_is_for_somebody() -> None:
    """Nobody's declarations may make a rule vanish: what is collected for the providers here is the whole suite."""
    places = ["tests/conformance/test_fake.py", "tests/conformance/test_bandwidth.py", "examples/confkit-lark"]
    said = _pytest(HERE.parents[1], *places, "--collect-only", "-n", "0")
    assert _names(line.rpartition("::")[2] for line in said.splitlines() if "::" in line) >= RULES


def test_a_harness_that_declares_signatures_itself_is_told_where_that_is_declared_now() -> None:
    with pytest.raises(TypeError, match=r"in Capabilities\.signs_webhooks"):

        class Older(FakeHarness):
            signs_webhooks = True
