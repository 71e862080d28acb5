"""The fixtures for applications' tests, as an application uses them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

APPLICATION = """
import anyio
import pytest
from confkit import Outcome

PEOPLE = ("+19195550101", "+19195550102", "+19195550103")


async def test_a_meeting(confkit_client, confkit_party, confkit_sequence, confkit_fake):
    confkit_party(PEOPLE[2]).busy()
    async with confkit_client as client, client.connect(*PEOPLE) as meeting:
        assert meeting.participant(PEOPLE[2]).outcome is Outcome.BUSY
    assert "create_conference" in [step.operation for step in confkit_sequence.steps]
    assert confkit_sequence.events and "create_call" in confkit_sequence.mermaid()
    assert confkit_fake.exchange.still_up() == ()


@pytest.mark.confkit_virtual_time
async def test_an_hour(confkit_client, confkit_party):
    confkit_party(PEOPLE[0]).answers(after=3).hangs_up(after=3600)
    async with confkit_client as client, client.connect(*PEOPLE) as meeting:
        while meeting.participant(PEOPLE[0]).outcome is not Outcome.LEFT:
            await meeting.changed()
        assert anyio.current_time() > 3600


class TestAnotherShape:
    @pytest.fixture
    def confkit_settings(self):
        return {"shape": "on_join"}

    async def test_it(self, confkit_client):
        async with confkit_client as client, client.connect(*PEOPLE) as meeting:
            assert meeting.conference.id


async def test_that_fails(confkit_client):
    async with confkit_client as client, client.connect(*PEOPLE) as meeting:
        assert meeting.participant(PEOPLE[0]).outcome is Outcome.BUSY
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("application")
    (folder / "test_application.py").write_text(APPLICATION)
    (folder / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\nfilterwarnings = error\n")
    return _pytest(folder, "-k", "not trio")


def _pytest(folder: Path, *options: str) -> str:
    plugin = ["-p", "no:cacheprovider"]  # confkit's own is installed as an entry point
    command = [sys.executable, "-m", "pytest", *plugin, *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_fixtures(output: str) -> None:
    assert "1 failed, 3 passed" in output, output


def test_a_failure_shows_the_sequence(output: str) -> None:
    _, _, section = output.partition("confkit: what the meetings did")
    assert "-> create_conference  done" in section
    assert "<- CallAnswered" in section
    assert "+1919•••0101" in section
    assert "+19195550101" not in section.partition("short test summary")[0]


OVERRIDDEN = """
import pytest


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.confkit_virtual_time
async def test_an_hour():
    pass
"""


@pytest.mark.parametrize("marker", ["confkit_virtual_time", "virtual_time"])
def test_virtual_time_that_an_override_would_undo_is_an_error(
    tmp_path: Path, pytestconfig: pytest.Config, marker: str
) -> None:
    if marker == "virtual_time":  # which is for the project's own tests
        (tmp_path / "conftest.py").write_text((pytestconfig.rootpath / "conftest.py").read_text())
    (tmp_path / "test_overridden.py").write_text(OVERRIDDEN.replace("confkit_virtual_time", marker))
    (tmp_path / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\n")
    said = _pytest(tmp_path)
    place = f"test_overridden.py::test_an_hour: {marker} has no effect, because the fixture anyio_backend is overridden"
    assert f"{place} in test_overridden.py" in said, said
    assert "1 error" in said
    assert "passed" not in said


def test_the_plugin_imports_nothing_before_it_is_used() -> None:
    script = (
        "import sys, confkit; before = set(sys.modules)\n"
        "import confkit.testing.pytest_plugin\n"
        "new = {name for name in sys.modules if name not in before and not name.startswith(('_pytest', 'pytest'))}\n"
        "print(*sorted(name for name in new if name.partition('.')[0] in ('trio', 'httpx', 'confkit_fake')))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
