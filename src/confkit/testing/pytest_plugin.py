"""Fixtures for the tests of applications; loaded by pytest itself wherever confkit is installed.

    async def test_everybody_is_welcomed(confkit_client, confkit_party, confkit_sequence):
        confkit_party("+19195550103").busy()
        async with confkit_client as client:
            await welcome(client, "+19195550101", "+19195550102", "+19195550103")
        assert "play" in [step.operation for step in confkit_sequence.steps]

A test that fails shows what its meetings did, step by step. Nothing is imported before a fixture is asked for; they
need ``confkit-fake``, and the marker ``confkit_virtual_time`` needs trio.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from confkit.client.client import AsyncClient
    from confkit.testing.sequence import Sequence

_CALLER_ID = "+12018994444"
_VIRTUAL = "confkit_virtual_time"
_SEQUENCE = pytest.StashKey["Sequence"]()


def pytest_configure(config: pytest.Config) -> None:
    """Announce the marker."""
    config.addinivalue_line(
        "markers", f"{_VIRTUAL}: run on trio's mock clock, where waiting takes no time (anyio's plugin runs the test)"
    )
    config.addinivalue_line(
        "markers", "confkit_where(condition): a test of the conformance suite, and where it applies"
    )


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: Any) -> Generator[None, Any, Any]:
    """Collect of the conformance suite what applies to the provider under test, and nothing else."""
    made = yield
    collects = getattr(getattr(collector, "cls", None), "confkit_collects", None)
    if collects is None or not isinstance(made, list):
        return made
    return [item for item in made if collects(item)]


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give every test that is marked a clock of its own, which jumps to the next deadline when every task waits."""
    if metafunc.definition.get_closest_marker(_VIRTUAL) is not None:
        run_on_mock_clock(metafunc, _VIRTUAL)


def run_on_mock_clock(metafunc: pytest.Metafunc, marker: str) -> None:
    """Run a test on trio with a mock clock that starts at 0, instead of on the event loops that it would run on.

    Args:
        marker: what asked for it.
    """
    if "anyio_backend" not in metafunc.fixturenames:
        return
    loop = metafunc._arg2fixturedefs["anyio_backend"][-1]
    if loop.params is None:
        pytest.fail(
            f"{metafunc.definition.nodeid}: {marker} has no effect, because the fixture anyio_backend is overridden"
            f" in {loop.baseid or 'a plugin'} by one without params: take one of them away",
            pytrace=False,
        )
    import trio.testing

    clock = trio.testing.MockClock(autojump_threshold=0)
    virtual = pytest.param(("trio", {"clock": clock}), id="virtual")
    # indirect, so that a fixture of the module that holds another event loop open is finished first
    metafunc.definition.add_marker(pytest.mark.parametrize("anyio_backend", [virtual], indirect=True, scope="module"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the sequence of the meetings of a test that has failed."""
    report = yield
    sequence = item.stash.get(_SEQUENCE, None)
    if sequence is not None and sequence.entries and report.failed:
        report.sections.append(("confkit: what the meetings did", sequence.text()))
    return report


@pytest.fixture
def confkit_settings() -> Mapping[str, Any]:
    """The settings of the fake provider, such as ``shape`` or ``latency``; override it to change them."""
    return {}


@pytest.fixture
def confkit_fake(confkit_settings: Mapping[str, Any]) -> Any:
    """A fake provider with an exchange of its own: script its parties and faults, look at what it was asked."""
    from confkit_fake import FakeProvider

    return FakeProvider(**confkit_settings)


@pytest.fixture
def confkit_party(confkit_fake: Any) -> Callable[[str], Any]:
    """The script of a party by its address: ``confkit_party("+19195550101").answers(after=2).hangs_up(after=60)``."""
    party: Callable[[str], Any] = confkit_fake.party
    return party


@pytest.fixture
def confkit_sequence(request: pytest.FixtureRequest) -> Sequence:
    """What the client's meetings did and saw: ``steps`` and ``events``, in order."""
    from confkit.testing.sequence import Sequence

    sequence = Sequence()
    request.node.stash[_SEQUENCE] = sequence
    return sequence


@pytest.fixture
def confkit_client(confkit_fake: Any, confkit_sequence: Sequence) -> AsyncClient:
    """A client on the fake, to be opened by the test, whatever runs its event loop: ``async with confkit_client:``."""
    from confkit.client.client import AsyncClient

    return AsyncClient(confkit_fake, caller_id=_CALLER_ID, plugins=[confkit_sequence])
