"""The command line as a process: what the shell sees of it, and signals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CONFKIT = [str(Path(sys.executable).parent / "confkit")]
PEOPLE = ["+19195550101", "+19195550102", "+19195550103"]
CONNECT = [*CONFKIT, "connect", "--provider", "fake", "--from", "+12018994444", *PEOPLE]


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*CONNECT, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


def read_until(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    while words not in (line := process.stderr.readline()):
        assert line, f"it ended before it said {words!r}"


def test_the_demo_as_data() -> None:
    ran = subprocess.run([*CONFKIT, "demo", "--json"], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    report = json.loads(ran.stdout)
    assert (report["provider"], report["mode"]) == ("bandwidth", "conference")
    assert [person["state"] for person in report["participants"]] == 5 * ["joined"]
    operations = [step["operation"] for step in report["steps"]]
    assert operations == ["create_conference"] + 5 * ["create_call"] + 5 * ["add_member"]


def test_the_demo_by_webhooks_as_data() -> None:
    ran = subprocess.run([*CONFKIT, "demo", "--webhooks", "--json"], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    report = json.loads(ran.stdout)
    assert [person["state"] for person in report["participants"]] == 5 * ["joined"]
    assert report["reads"] == {}
    assert report["callbacks"] > 0


@pytest.mark.parametrize("received", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_rings_hangs_up(received: signal.Signals) -> None:
    with start("--set", "answer_after=100") as process:
        read_until(process, "ringing")
        process.send_signal(received)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + received
    assert out.count("cancelled") == 3
    assert err.splitlines()[-1].startswith("confkit: interrupted before the meeting was established: 3 calls hung up")


def test_ctrl_c_in_a_meeting_ends_it(tmp_path: Path) -> None:
    chart = tmp_path / "sequence.mmd"
    with start("--mermaid", str(chart)) as process:
        read_until(process, "conference established: 3 of 3")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "hanging up" in err
    assert "meeting ended: 3 calls hung up, 1 conference ended" in out
    assert chart.read_text().count("hang_up") == 3


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["providers"], 0),
        (["providers", "--json"], 0),
        (["--help"], 0),
        (["--version"], 0),
        (["connect", "--help"], 0),
        ([*CONNECT[1:], "--json"], 0),
        ([*CONNECT[1:], "--set", "answer_after=100", "--answer-timeout", "0.05", "--json"], 1),
        ([*CONNECT[1:], "--set", "answer_after=100", "--answer-timeout", "0.05"], 1),
    ],
)
def test_whoever_reads_the_output_may_leave_early(arguments: list[str], status: int) -> None:
    """As ``confkit ... | head`` does: what was to be said is lost, what was to be done is done."""
    with subprocess.Popen([*CONFKIT, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        complaints = process.stderr.read()
    assert process.returncode == status
    assert "Traceback" not in complaints
    assert "BrokenPipe" not in complaints


def test_a_meeting_goes_on_when_nobody_reads_about_it(tmp_path: Path) -> None:
    chart = tmp_path / "sequence.mmd"
    with start("--set", "answer_after=0.5", "--answer-timeout", "0.1", "--mermaid", str(chart)) as process:
        assert process.stderr is not None
        process.stderr.close()
        assert process.stdout is not None
        outcomes = process.stdout.read()
    assert process.returncode == 1
    assert outcomes.count("ended") == 3 + 1  # the column, and everybody
    assert chart.read_text().count("create_call") == 3


@pytest.mark.parametrize("module", ["confkit", "confkit.client.client", "typer", "rich.console", "confkit.cli.app"])
def test_ctrl_c_while_it_loads_is_no_traceback(module: str) -> None:
    """A key pressed at the moment at which a module is looked for."""
    script = f"""
import os, signal, sys

class Key:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Key())
sys.argv = ["confkit", "--version"]
from _confkit import main
main()
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize(
    ("handler", "status"),
    [
        # Once the command line has been loaded Ctrl-C is heeded, and what goes on then is ended.
        ("signal.default_int_handler", 130),
        # As a shell starts what runs in the background.
        ("signal.SIG_IGN", 0),
    ],
)
def test_ctrl_c_once_it_runs(handler: str, status: int) -> None:
    script = f"""
import os, signal, sys
signal.signal(signal.SIGINT, {handler})
sys.argv = ["confkit", "--version"]
import confkit.cli.app
confkit.cli.app.version = lambda name: os.kill(os.getpid(), signal.SIGINT) or "0.0.0"
from _confkit import main
main()
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (status, "")


def test_without_the_extra_it_says_what_is_missing() -> None:
    script = "import sys; sys.modules['typer'] = None; from confkit.cli import main; main()"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2
    assert ran.stderr == "confkit: the command line needs confkit[cli]: pip install 'confkit[cli]'\n"
