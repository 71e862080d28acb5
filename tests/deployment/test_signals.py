"""Processes that are told to end, as service managers, containers and pools do it: nothing is left up."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from confkit_bandwidth.simulator import Running, Simulator, SimulatorOptions

PROGRAMS = Path(__file__).parent / "programs.py"
EXAMPLES = Path(__file__).parents[2] / "examples"
THERE = ["+19195550101", "+19195550102", "+19195550103"]
AWAY = ["+19195550104", "+19195550105", "+19195550106"]
#: In seconds; nothing below takes a tenth of it on a machine that is not busy.
PATIENCE = 60


@pytest.fixture
def simulator() -> Iterator[Running]:
    with Simulator(SimulatorOptions(answer_after=0.05)).in_thread() as running:
        for number in AWAY:
            running.party(number).never_answers()
        yield running


@contextmanager
def started(simulator: Running, *command: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    environment = {
        **os.environ,
        "BANDWIDTH_USER_ID": simulator.user_id,
        "BANDWIDTH_API_TOKEN": simulator.token,
        "BANDWIDTH_API_SECRET": simulator.secret,
        "BANDWIDTH_BASE_URL": simulator.base_url,
        "BANDWIDTH_LIMITS": "off",
        "BANDWIDTH_CALLER_ID": "+12018994444",
        **more,
    }
    descriptors = [int(more["LISTENER"])] if "LISTENER" in more else []
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        pass_fds=descriptors,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def states(simulator: Running) -> list[str]:
    return sorted(call["state"] for call in simulator.state()["calls"])


def one_up_and_one_ringing(simulator: Running) -> bool:
    joined = [member for member in simulator.state()["members"] if member["state"] == "active"]
    return len(joined) == 3 and states(simulator) == ["active"] * 3 + ["started"] * 3


def nothing_is_up(simulator: Running) -> bool:
    rooms = {conference["state"] for conference in simulator.state()["conferences"]}
    return set(states(simulator)) == {"completed"} and rooms == {"completed"}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("program", "received"),
    [
        ("asynchronous asyncio", signal.SIGTERM),
        ("asynchronous asyncio", signal.SIGINT),
        ("asynchronous trio", signal.SIGTERM),
        ("asynchronous trio", signal.SIGINT),
        ("beside asyncio", signal.SIGTERM),
        ("beside trio", signal.SIGHUP),
        ("blocking", signal.SIGTERM),
        ("blocking", signal.SIGINT),
        ("blocking", signal.SIGHUP),
        ("threads", signal.SIGTERM),
    ],
)
def test_a_program(program: str, received: signal.Signals, simulator: Running) -> None:
    with started(simulator, sys.executable, str(PROGRAMS), *program.split()) as process:
        until(lambda: one_up_and_one_ringing(simulator), process)
        process.send_signal(received)
        out, err = process.communicate(timeout=PATIENCE)
    assert nothing_is_up(simulator)
    assert out == ""
    # The signal has its own effect in the end: Python makes an exception of this one.
    assert process.returncode == -received
    assert (err == "") is (received is not signal.SIGINT)


def test_a_signal_that_comes_again_does_not_cut_the_undoing_short(simulator: Running) -> None:
    with started(simulator, sys.executable, str(PROGRAMS), "blocking") as process:
        until(lambda: one_up_and_one_ringing(simulator), process)
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.001)
        assert process.communicate()[1] == ""
    assert nothing_is_up(simulator)


def test_a_worker_of_a_pool(simulator: Running) -> None:
    with started(simulator, sys.executable, str(PROGRAMS), "worker") as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        until(lambda: one_up_and_one_ringing(simulator), process)
        os.kill(worker, signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE)
    assert nothing_is_up(simulator)
    assert out == "the worker is gone\n"


def test_uvicorn_with_the_example(simulator: Running) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        serve = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "fastapi_app:app"]
        number = str(listener.fileno())
        with started(simulator, *serve, "--fd", number, LISTENER=number, PUBLIC_URL=f"{url}/confkit") as process:
            http = httpx.Client(base_url=url, trust_env=False, verify=False, timeout=PATIENCE)
            assert http.post("/meetings", json=THERE).status_code == 200
            answers: list[httpx.Response] = []
            ringing = threading.Thread(target=lambda: answers.append(http.post("/meetings", json=AWAY)))
            ringing.start()
            until(lambda: one_up_and_one_ringing(simulator), process)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=PATIENCE)
            ringing.join(PATIENCE)
            http.close()
    assert nothing_is_up(simulator)
    assert "Traceback" not in err
    # The server went its own way afterwards: it answered the request that was under way.
    assert "Finished server process" in err
    assert [answer.status_code for answer in answers] == [409]
    assert "ended before it was established" in answers[0].json()["error"]
