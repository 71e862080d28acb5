"""The command line: the demo, and an engine to develop against. Both leave no process behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from confkit_asterisk.server import Installation

pytestmark = pytest.mark.media
CONFKIT = [sys.executable, "-c", "from confkit.cli import main; main()"]


def gone(pid: int) -> bool:
    """Whether a process has ended, a moment later at the latest."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_the_demo_measures_who_hears_whom(installation: Installation) -> None:
    done = subprocess.run([*CONFKIT, "demo", "--provider", "asterisk"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "5 telephones are in a conference" in done.stdout
    assert "Ann is muted" in done.stdout
    found = re.search(rf"Asterisk {re.escape(installation.release)} runs as process ([0-9]+)", done.stdout)
    assert found is not None
    assert gone(int(found[1]))


def test_the_demo_as_data(installation: Installation) -> None:
    command = [*CONFKIT, "demo", "--provider", "asterisk", "--json", "--parties", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["engine"] == installation.release
    assert [each["state"] for each in report["participants"]] == ["joined"] * 3
    assert report["heard"]["everybody"]["Ben"] == ["Ann", "Cleo"]
    assert report["heard"]["Ann is muted"] == {"Ann": ["Ben", "Cleo"], "Ben": ["Cleo"], "Cleo": ["Ben"]}


def test_the_demo_refuses_what_it_cannot_do() -> None:
    command = [*CONFKIT, "demo", "--provider", "asterisk", "--parties", "21"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "2 to 20" in done.stderr


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_engine_to_develop_against(installation: Installation, ending: signal.Signals) -> None:
    command = [*CONFKIT, "asterisk", "engine", "start", "--suite", installation.suite]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        settings = json.loads(running.stdout.readline())
        assert {"base_url", "user", "password", "application", "endpoint", "sip_endpoint"} == set(settings)
        told = re.search(r"process ([0-9]+)", running.stderr.readline())
        assert told is not None
        running.send_signal(ending)
        running.wait(10)
        assert running.returncode == (-signal.SIGKILL if ending is signal.SIGKILL else 0)
        assert gone(int(told[1]))
