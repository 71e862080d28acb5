"""What the tests of every distribution share: the event loops, virtual time, and hypothesis's profiles."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import hypothesis
import pytest
import structlog

from confkit.testing.pytest_plugin import run_on_mock_clock

# Simulations start from these seeds; every process of one run must know the same, because the seeds name the tests.
os.environ.setdefault("CONFKIT_FRESH_SEEDS", str(secrets.randbelow(10**9)))

# Wall-clock deadlines say more about the machine than about the code.
hypothesis.settings.register_profile("explore", deadline=None, print_blob=True)
hypothesis.settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "explore")


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked ``virtual_time`` on trio with a mock clock, instead of on both event loops.

    Each such test gets a clock of its own, which starts at 0 and jumps to the next deadline when every task
    waits.
    """
    if metafunc.definition.get_closest_marker("virtual_time"):
        run_on_mock_clock(metafunc, "virtual_time")


@pytest.fixture(autouse=True)
def _structlog_as_found() -> Iterator[None]:
    """Capturing the log in one test configures structlog; the next is to find it as an application does."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """The event loop that an async test runs on.

    An async fixture of wider scope than a function must name this one among its arguments: else it keeps its
    event loop open, and anyio runs the next tests on that one without a word.
    """
    return request.param
