"""Bridges; V4 and the like number the wire vectors that adapter and simulator share."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import FROM, Line, error


def two(line: Line, **more: Any) -> list[str]:
    return [line.call(f"+1919555010{n}", **more) for n in range(2)]


def test_bridge_first(line: Line) -> None:
    bridge = line.created("bridges", bridgeAudio="true")
    assert bridge.startswith("brg-")
    shown = line.read(f"bridges/{bridge}")
    assert (shown["state"], shown["bridgeAudio"], shown["callIds"]) == ("created", "true", [])
    calls = two(line, bridgeId=bridge)
    shown = line.read(f"bridges/{bridge}")
    assert shown["state"] == "active"
    assert shown["activatedTime"]
    assert {call["id"] for call in line.read(f"bridges/{bridge}/calls")} == set(calls)
    assert {call["id"] for call in line.read("calls", bridgeId=bridge, size=1)} == set(calls)
    full = line.post("calls", {"from": FROM, "to": "+19195550199", "bridgeId": bridge})
    assert error(full) == (403, "forbidden", "bridge-callIds-overflow")
    for call in calls:
        line.post(f"calls/{call}", state="completed")
    assert line.read(f"bridges/{bridge}")["state"] == "completed"


def test_answered_calls_v73_v74_v75(line: Line) -> None:
    calls = two(line)
    bridge = line.created("bridges", callIds=calls)
    assert line.read(f"bridges/{bridge}")["state"] == "active"
    third = line.call("+19195550103")
    assert error(line.post("bridges", callIds=[*calls, third])) == (403, "forbidden", "bridge-callIds-overflow")
    assert error(line.post("bridges", callIds=[calls[0], third])) == (400, "bad-request", "bridge-bridged-callId")
    assert error(line.post("bridges", callIds=["c-none"])) == (403, "forbidden", "call-id-not-found")
    assert len(line.read("bridges")) == 1


def test_updates_v76_v77_v78_v79(line: Line) -> None:
    calls = two(line)
    bridge = line.created("bridges", callIds=calls)
    for body in ({"bridgeAudio": "false"}, {"callIds": None, "bridgeAudio": False}):
        assert line.post(f"bridges/{bridge}", body).status_code == 200
        shown = line.read(f"bridges/{bridge}")
        assert (shown["state"], shown["callIds"], shown["bridgeAudio"]) == ("hold", calls, "false")
        line.post(f"bridges/{bridge}", bridgeAudio=True)
        assert line.read(f"bridges/{bridge}")["state"] == "active"
    line.post(f"bridges/{bridge}", callIds=calls[:1])
    assert line.read(f"bridges/{bridge}")["callIds"] == calls[:1]
    others = [line.call("+19195550108"), line.call("+19195550109")]
    line.post(f"bridges/{bridge}", callIds=others)
    assert line.read(f"bridges/{bridge}")["callIds"] == others
    assert line.post(f"bridges/{bridge}", callIds=[]).status_code == 200
    assert line.read(f"bridges/{bridge}")["state"] == "completed"
    assert error(line.post(f"bridges/{bridge}", callIds=[])) == (400, "bad-request", "bridge-invalid-state")
    assert line.read(f"calls/{others[0]}")["state"] == "active"


@pytest.mark.parametrize("value", [{"c": 1}, [1], 5, True])
def test_malformed_call_ids(line: Line, value: Any) -> None:
    assert error(line.post("bridges", callIds=value)) == (400, "bad-request", "validation-error")


def test_audio(line: Line) -> None:
    bridge = line.created("bridges")
    assert error(line.post(f"bridges/{bridge}/audio", sentence="x")) == (
        400,
        "bad-request",
        "bridge-invalid-operation",
    )
    two(line, bridgeId=bridge)
    assert line.post(f"bridges/{bridge}/audio", sentence="x", loopEnabled=True).status_code == 200


def test_unknown_bridges(line: Line) -> None:
    for reply in (line.get("bridges/brg-1"), line.post("bridges/brg-1"), line.get("bridges/brg-1/calls")):
        assert error(reply) == (404, "not-found", "bridge-not-found")


def test_pages(line: Line) -> None:
    made = [line.created("bridges") for _ in range(3)]
    first = line.get("bridges", size=2)
    assert [bridge["id"] for bridge in first.json()] == made[:2]
    assert [bridge["id"] for bridge in line.http.get(first.links["next"]["url"]).json()] == made[2:]
