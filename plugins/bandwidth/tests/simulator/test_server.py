"""Starting, stopping, and the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import typer
from confkit_bandwidth.commands import add
from confkit_bandwidth.simulator import Simulator, SimulatorOptions, Switches
from typer.testing import CliRunner

from .conftest import FROM, TO, Line


@pytest.mark.anyio
async def test_beside_any_loop() -> None:
    with Simulator().in_thread() as running:
        async with httpx.AsyncClient(
            base_url=f"{running.base_url}/v1/users/{running.user_id}/",
            auth=(running.token, running.secret),
            trust_env=False,
            verify=False,
        ) as http:
            running.party(TO).busy()
            assert (await http.post("calls", json={"from": FROM, "to": TO})).status_code == 201
        assert running.state()["calls"][0]["cause"] == "USER_BUSY"
        assert running.run(lambda exchange: len(exchange.calls)) == 1
    with pytest.raises(OSError, match="connection attempts failed"):
        await anyio.connect_tcp("127.0.0.1", int(running.base_url.rpartition(":")[2]))


@pytest.mark.anyio
async def test_inside_the_loop(anyio_backend_name: str) -> None:
    simulator = Simulator(SimulatorOptions(seed=7))
    if anyio_backend_name == "trio":
        with pytest.raises(RuntimeError, match="in_thread"):
            async with simulator.serve():
                pass
        return
    async with simulator.serve() as running:
        async with httpx.AsyncClient(trust_env=False, verify=False) as http:
            reply = await http.get(f"{running.base_url}/_simulator/state")
        assert reply.json() == running.state()
    assert len(running.user_id) == len("u-") + 23


def test_nothing_is_left() -> None:
    before = threading.active_count()
    with Simulator().in_thread(), Simulator().in_thread():
        pass
    assert threading.active_count() == before


def test_stopping_while_busy() -> None:
    began = time.monotonic()
    outcome: list[Exception] = []

    def ask() -> None:
        try:
            http.get("calls")
        except httpx.RemoteProtocolError as error:
            outcome.append(error)

    with httpx.Client(trust_env=False, verify=False) as http:
        with Simulator(SimulatorOptions(latency=60)).in_thread() as running:
            http.base_url = f"{running.base_url}/v1/users/{running.user_id}/"
            http.auth = (running.token, running.secret)
            thread = threading.Thread(target=ask)
            thread.start()
            while not running.account.requests:
                time.sleep(0.001)
        thread.join()
    assert len(outcome) == 1
    assert time.monotonic() - began < 10


def test_port_is_taken() -> None:
    with Simulator().in_thread() as running:
        port = int(running.base_url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"), Simulator().in_thread(port):
            pass


def test_same_seed_same_ids(start: Callable[..., Line]) -> None:
    def ids(seed: int) -> tuple[str, str]:
        line = start(seed=seed)
        return line.running.secret, line.conference()

    assert ids(1) == ids(1) != ids(2)


def test_latency(start: Callable[..., Line]) -> None:
    line = start(latency=0.1)
    began = time.monotonic()
    line.conference()
    assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "'to'"),
        ({"to": "x"}, "'to'"),
        ({"to": TO, "busy": True, "rejects": True}, "one thing"),
        ({"to": TO, "answers_after": -1}, "'answers_after'"),
        ({"to": TO, "hangs_up_after": "soon"}, "'hangs_up_after'"),
    ],
)
def test_bad_scripts(line: Line, body: Any, problem: str) -> None:
    reply = line.control("parties", body)
    assert reply.status_code == 400
    assert problem in reply.json()["message"]


def test_scripts(line: Line) -> None:
    assert line.control("parties", {"to": TO, "answers_after": 60}).status_code == 200
    assert line.read(f"calls/{line.call()}")["state"] == "started"
    line.control("parties", {"to": TO, "answers_after": 0, "hangs_up_after": 0.01, "presses": "5"})
    call = line.call()
    deadline = time.monotonic() + 5
    while line.read(f"calls/{call}")["state"] != "completed":
        assert time.monotonic() < deadline
    line.control("parties", {"to": TO, "unreachable": True})
    line.call()
    assert line.state()["calls"][-1]["cause"] == "UNALLOCATED_NUMBER"


@pytest.mark.parametrize(
    "options", [{"latency": -1}, {"answer_after": float("nan")}, {"numbers": ["12"]}, {"rate_limits": "x"}]
)
def test_bad_options(options: Any) -> None:
    with pytest.raises(ValueError, match=r"seconds|E\.164|documented"):
        SimulatorOptions(**options)


MAIN = """
import typer
from confkit_bandwidth.commands import add
app = typer.Typer()
add(app)
app()
"""


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    script = tmp_path / "main.py"
    script.write_text(MAIN)
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", str(script), "bandwidth", "simulate", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": ""},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command(command: Callable[..., subprocess.Popen[str]], number: signal.Signals) -> None:
    process = command("--number", FROM, "--fault", "create_call=503:1", "--answer-after", "60")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    assert sorted(first) == ["base_url", "secret", "token", "user_id"]
    with httpx.Client(
        base_url=f"{first['base_url']}/v1/users/{first['user_id']}/",
        auth=(first["token"], first["secret"]),
        trust_env=False,
        verify=False,
    ) as http:
        assert http.post("calls", json={"from": FROM, "to": TO}).status_code == 503
        assert http.post("calls", json={"from": FROM, "to": TO}).status_code == 201
        assert http.post("calls", json={"from": TO, "to": FROM}).status_code == 401
        assert http.get("calls").json()[0]["state"] == "started"
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


def test_switches_of_the_command(command: Callable[..., subprocess.Popen[str]]) -> None:
    process = command("--switch", "locations=reference", "--switch", "timestamps=utc", "--switch", "json_only=true")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    with httpx.Client(
        base_url=f"{first['base_url']}/v1/users/{first['user_id']}/",
        auth=(first["token"], first["secret"]),
        trust_env=False,
        verify=False,
    ) as http:
        location = http.post("conferences", json={"from": FROM}).headers["location"]
        assert location.startswith("/v1/users/")
        assert "." in http.get(location.removeprefix(f"/v1/users/{first['user_id']}/")).json()["createdTime"]
        assert http.post("conferences", content=b"{}").status_code == 415


def test_every_switch_can_be_written() -> None:
    assert Switches.parse([]) == Switches()
    assert Switches.parse(["bad_credentials_code=x", "ending_hangs_up=true", "failures = error"]) == Switches(
        bad_credentials_code="x", ending_hangs_up=True, failures="error"
    )
    assert Switches.parse(["bad_credentials_code="]).bad_credentials_code is None


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--fault", "dial=503"], "no operation is called 'dial'"),
        (["--number", "919"], "'919' is not"),
        (["--rate-limits", "some"], "off or documented"),
        (["--callbacks", "loose=1"], "'loose'"),
        (["--callbacks", "lose=2"], "probability"),
        (["--callbacks", "lose"], "lose=0.1"),
        (["--latency", "-1"], "latency"),
        (["--slow", "inf"], "slow_seconds"),
        (["--switch", "location=absolute"], "no switch is called 'location'; there are ending_hangs_up, "),
        (["--switch", "locations=relative"], "locations is one of absolute, reference, how-to, not 'relative'"),
        (["--switch", "json_only=yes"], "json_only is one of true, false"),
        (["--switch", "json_only"], "json_only is one of true, false"),
    ],
)
def test_bad_arguments(arguments: list[str], problem: str) -> None:
    app = typer.Typer()
    add(app)
    result = CliRunner().invoke(app, ["bandwidth", "simulate", *arguments])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert problem in result.stderr
    assert result.stderr.count("\n") == 1


def test_taken_port_at_the_command_line() -> None:
    app = typer.Typer()
    add(app)
    with Simulator().in_thread() as running:
        port = running.base_url.rpartition(":")[2]
        result = CliRunner().invoke(app, ["bandwidth", "simulate", "--port", port])
    assert result.exit_code == 1
    assert f"cannot serve on port {port}" in result.stderr
    assert result.stderr.count("\n") == 1
