"""The suite itself: every provider that is broken on purpose is caught, and by the test that is meant for it."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.conformance import broken_answers, broken_correlation, broken_declares  # noqa: F401 - they register
from tests.conformance.broken import BROKEN

pytestmark = pytest.mark.thorough

SUITE = Path(__file__).with_name("broken_suite.py")
#: For each provider the tests that failed, with what they said.
Failures = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> Failures:
    """What the suite says of all of them: one run, in a pytest of its own."""
    folder = tmp_path_factory.mktemp("suite")
    halves = [list(BROKEN)[start::2] for start in range(2)]  # a processor each
    reports = [folder / f"{number}.xml" for number in range(2)]
    running = [_start(report, providers) for report, providers in zip(reports, halves, strict=True)]
    found: Failures = defaultdict(dict)
    for report, process in zip(reports, running, strict=True):
        output, _ = process.communicate()
        assert process.returncode == pytest.ExitCode.TESTS_FAILED, output
        for provider, test, said in _failed(report):
            found[provider][test] = said
    return found


def _start(report: Path, providers: list[str]) -> subprocess.Popen[str]:
    tests = [f"{SUITE}::Test{provider}" for provider in providers]
    options = ["-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1", f"--junitxml={report}", *tests]
    command = [sys.executable, "-m", "pytest", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _failed(report: Path) -> Iterator[tuple[str, str, str]]:
    for test in ElementTree.parse(report).iter("testcase"):
        provider = test.attrib["classname"].rpartition(".Test")[2]
        for failure in (*test.findall("failure"), *test.findall("error")):
            said = f"{failure.attrib.get('message')}\n{failure.text}"
            yield provider, test.attrib["name"].partition("[")[0], said


@pytest.mark.parametrize("provider", BROKEN)
def test_it_is_caught_by_the_test_that_is_meant_for_it(failures: Failures, provider: str) -> None:
    failed = failures.get(provider, {})
    assert failed.keys() == BROKEN[provider].caught_by, failed


def test_every_failure_names_its_rule(failures: Failures) -> None:
    unclear = {
        f"{provider}.{test}": said
        for provider, failed in failures.items()
        for test, said in failed.items()
        if "(docs/contract.md#" not in said
    }
    assert not unclear


def test_there_are_enough() -> None:
    assert len(BROKEN) >= 20
