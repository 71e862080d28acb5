"""Faults on purpose, as they are on the wire."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from confkit_bandwidth.simulator import Fault
from confkit_bandwidth.simulator.faults import Faults

from .conftest import FROM, Line, error


def raw(line: Line, path: str, body: Any) -> bytes:
    """Every byte that the server sends for one request, until it closes or has nothing more to say."""
    running = line.running
    content = json.dumps(body).encode()
    credentials = base64.b64encode(f"{running.token}:{running.secret}".encode()).decode()
    head = (
        f"POST /v1/users/{running.user_id}/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\n"
        f"Connection: close\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    host, port = running.base_url.removeprefix("http://").split(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head.encode() + content)
        try:
            while data := connection.recv(65536):
                received += data
        except ConnectionResetError:
            pass
    return received


@pytest.mark.parametrize(("kind", "executed"), [("drop-reply", 1), ("refuse", 0)])
def test_closed_without_a_byte(start: Callable[..., Line], kind: str, executed: int) -> None:
    line = start(faults=[Fault.parse(f"create_conference={kind}:2")])
    assert raw(line, "conferences", {"from": FROM}) == b""
    assert len(line.state()["conferences"]) == executed
    with pytest.raises(httpx.RemoteProtocolError):
        line.post("conferences", {"from": FROM})
    assert raw(line, "conferences", {"from": FROM}).startswith(b"HTTP/1.1 201 ")
    requests = line.state()["requests"]
    assert [(each["operation"], each["status"]) for each in requests] == [
        ("create_conference", None),
        ("create_conference", None),
        ("create_conference", 201),
    ]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("500", (500, "backend", "backend-protocol-support-failure")),
        ("503", (503, "unavailable", "internal-error")),
        ("rate-limit", (429, "too-many-requests", "rate-limit-reached")),
        pytest.param("insufficient-available-balance", (403, "credit", "insufficient-available-balance"), id="V87"),
        pytest.param("conference-update-conflict", (409, "conflict", "conference-update-conflict"), id="V88"),
        pytest.param("invalid-destination-number", (403, "forbidden", "invalid-destination-number"), id="V89"),
        pytest.param(
            "backend-protocol-support-failure", (500, "backend", "backend-protocol-support-failure"), id="V90"
        ),
    ],
)
def test_errors(start: Callable[..., Line], kind: str, expected: tuple[int, str, str]) -> None:
    line = start(faults=[Fault.parse(f"create_conference={kind}:1")])
    reply = line.post("conferences", {"from": FROM})
    assert error(reply) == expected
    assert ("x-ratelimit-reset" in reply.headers) == (expected[0] == 429)
    assert line.state()["conferences"] == []
    line.conference()


def test_html_v91(start: Callable[..., Line]) -> None:
    reply = start(faults=[Fault.parse("*=html")]).get("calls")
    assert reply.status_code == 502
    assert reply.headers["content-type"].startswith("text/html")
    assert reply.text.startswith("<html>")


def test_garbled_v25(start: Callable[..., Line]) -> None:
    line = start(faults=[Fault.parse("*=garbled")])
    created = line.post("conferences", {"from": FROM})
    assert created.status_code == 201
    assert "location" not in created.headers
    (conference,) = line.state()["conferences"]
    for reply in (line.get(f"conferences/{conference['id']}"), line.post(f"conferences/{conference['id']}")):
        assert reply.status_code == 200
        with pytest.raises(json.JSONDecodeError):
            reply.json()


def test_slow_and_late(start: Callable[..., Line]) -> None:
    line = start(faults=[Fault.parse("create_call=slow:1"), Fault.parse("create_call=late:1")], slow_seconds=1.5)
    for calls_meanwhile in (1, 1):  # the slow one is executed at once, the late one not yet
        with pytest.raises(httpx.ReadTimeout):
            line.http.post("calls", json={"from": FROM, "to": "+19195550101"}, timeout=0.2)
        assert len(line.state()["calls"]) == calls_meanwhile
    deadline = time.monotonic() + 30
    while len(line.state()["calls"]) < 2:
        assert time.monotonic() < deadline


def test_operations_of_requests(line: Line) -> None:
    made, calls, members = line.joined(2)
    line.post(f"conferences/{made}/members/{members[0]}", mute=True)
    line.post(f"conferences/{made}/members/{members[0]}", state="completed")
    line.get(f"conferences/{made}/members")
    line.post(f"conferences/{made}", mute=True)
    line.post(f"conferences/{made}/audio", sentence="x")
    line.post(f"calls/{calls[0]}", recordingEnabled=True)
    line.post(f"calls/{calls[0]}", state="completed")
    line.get("calls")
    line.get(f"calls/{calls[0]}")
    bridge = line.created("bridges")
    line.post(f"bridges/{bridge}", bridgeAudio=False)
    line.post(f"bridges/{bridge}", callIds=[])
    line.post(f"conferences/{made}", state="Completed")
    line.get("planets")
    assert [each["operation"] for each in line.state()["requests"]] == [
        "create_conference",
        *["create_call"] * 2,
        *["add_member"] * 2,
        "update_member",
        "remove_member",
        "list_members",
        "update_conference",
        "play",
        "record",
        "hang_up",
        "list_calls",
        "fetch",
        "create_bridge",
        "update_bridge",
        "end_bridge",
        "end_conference",
        None,
    ]


def test_faults_while_running(line: Line) -> None:
    assert line.control("faults", {"faults": ["create_conference=503"]}).status_code == 200
    assert line.post("conferences", {"from": FROM}).status_code == 503
    assert line.post("conferences", {"from": FROM}).status_code == 503
    assert line.control("faults", {"clear": True}).status_code == 200
    line.conference()
    assert line.control("faults", {"faults": ["x=y"]}).status_code == 400
    assert line.control("faults", {}).status_code == 400


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("create_call=drop-reply:2", Fault(operation="create_call", kind="drop-reply", times=2)),
        ("create_call=drop-reply:30%", Fault(operation="create_call", kind="drop-reply", probability=0.3)),
        ("*=503", Fault(operation="*", kind="503")),
    ],
)
def test_notation(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault
    assert str(fault) == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "OPERATION=KIND"),
        ("create_call", "OPERATION=KIND"),
        ("dial=503", "no operation is called 'dial'"),
        ("create_call=explode", "no fault is called 'explode'"),
        ("create_call=503:0", "at least once"),
        ("create_call=503:x", "'x' is not a number"),
        ("create_call=503:0%", "above 0"),
        ("create_call=503:101%", "at most 100"),
        ("create_call=503:nan%", "above 0"),
    ],
)
def test_bad_notation(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Fault.parse(text)


def test_chance_is_repeatable() -> None:
    def draw(seed: int) -> list[bool]:
        faults = Faults([Fault.parse("*=503:30%")], seed=seed)
        return [faults.take("create_call") is not None for _ in range(200)]

    assert draw(1) == draw(1) != draw(2)
    assert 30 < sum(draw(1)) < 90
