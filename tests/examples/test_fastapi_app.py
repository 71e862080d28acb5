"""The FastAPI example, as it is, on a real server, against the simulator with callbacks."""

from __future__ import annotations

import importlib.util
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from confkit_bandwidth.simulator import Running, Simulator, SimulatorOptions

EXAMPLE = Path(__file__).parents[2] / "examples" / "fastapi_app.py"
PEOPLE = ["+19195550101", "+19195550102", "+19195550103"]


def load() -> Any:
    specification = importlib.util.spec_from_file_location("fastapi_app", EXAMPLE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@contextmanager
def serving(application: Any, listener: socket.socket) -> Iterator[None]:
    """Serve in a thread."""
    server = uvicorn.Server(uvicorn.Config(application, log_config=None, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def running() -> Iterator[Running]:
    with Simulator(SimulatorOptions(answer_after=0.1)).in_thread() as running:
        yield running


@pytest.fixture
def application(running: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = {
            "BANDWIDTH_USER_ID": running.user_id,
            "BANDWIDTH_API_TOKEN": running.token,
            "BANDWIDTH_API_SECRET": running.secret,
            "BANDWIDTH_BASE_URL": running.base_url,
            "BANDWIDTH_LIMITS": "off",
            "BANDWIDTH_CALLER_ID": "+12018994444",
            "PUBLIC_URL": f"{url}/confkit",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        with (
            serving(load().app, listener),
            httpx.Client(base_url=url, trust_env=False, verify=False, timeout=10) as http,
        ):
            yield http


def until(application: httpx.Client, meeting: str, number: str, state: str) -> None:
    deadline = time.monotonic() + 30
    while application.get(f"/meetings/{meeting}").json().get(number) != state:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_meeting_over_http_fed_by_webhooks(application: httpx.Client, running: Running) -> None:
    meeting = application.post("/meetings", json=PEOPLE).json()["id"]
    assert application.get(f"/meetings/{meeting}").json() == dict.fromkeys(PEOPLE, "joined")

    assert application.post(f"/meetings/{meeting}/people/+19195550104").status_code == 200
    until(application, meeting, "+19195550104", "joined")
    assert application.post(f"/meetings/{meeting}/people/{PEOPLE[0]}/mute").status_code == 200
    assert [member["mute"] for member in running.state()["members"]].count(True) == 1

    refused = application.post(f"/meetings/{meeting}/people/{PEOPLE[0]}")
    assert refused.status_code == 409
    assert "in the meeting already" in refused.json()["error"]

    gets = [request for request in running.state()["requests"] if request["method"] == "GET"]
    assert gets == []  # nothing was polled: the callbacks told everything
    assert {entry["outcome"] for entry in running.state()["callbacks"]} == {"delivered"}


def test_too_few_people_are_told_so(application: httpx.Client, running: Running) -> None:
    for number in PEOPLE[1:]:
        running.party(number).busy()
    refused = application.post("/meetings", json=PEOPLE)
    assert refused.status_code == 409
    assert "fewer than 2 joined" in refused.json()["error"]
