"""What clients other than ours need: the rules by which the vendor's SDKs read, and what else they ask for."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from confkit_bandwidth.callbacks import parse
from confkit_bandwidth.simulator import Switches

from confkit.provider import CallEnded, DigitsReceived, EndCause

from .conftest import FROM, TO, Line, Receiver, error


def read_as_java_does(line: Line, path: str, location: str) -> str:
    """java-bandwidth 1.16 takes an id to be what follows the URL that it has posted to, and a slash."""
    return location[len(str(line.http.base_url.join(path))) + 1 :]


def test_ids_are_found_by_the_sdk_for_java(line: Line) -> None:
    conference = read_as_java_does(line, "conferences", line.post("conferences", {"from": FROM}).headers["location"])
    assert line.read(f"conferences/{conference}")["id"] == conference
    reply = line.post("calls", {"from": FROM, "to": TO, "conferenceId": conference})
    call = read_as_java_does(line, "calls", reply.headers["location"])
    assert line.read(f"calls/{call}")["id"] == call
    path = f"conferences/{conference}/members"
    member = read_as_java_does(line, path, line.post(path, callId=call).headers["location"])
    assert line.read(f"{path}/{member}")["id"] == member


def test_a_bridge_is_read_by_its_location(line: Line) -> None:
    location = line.post("bridges", bridgeAudio="true").headers["location"]
    bridge = line.http.get(location)
    assert bridge.status_code == 200
    assert location.endswith(f"/bridges/{bridge.json()['id']}")


def times(value: Any) -> list[str]:
    """Every time in a resource."""
    if isinstance(value, list):
        return [each for item in value for each in times(item)]
    if isinstance(value, dict):
        return [
            each for name, item in value.items() for each in ([item] if name.lower().endswith("time") else times(item))
        ]
    return []


def test_times_are_read_by_the_sdk_for_java(line: Line, receiver: Receiver) -> None:
    made, (call,), _ = line.joined(1, callbackUrl=receiver.url)
    line.post(f"calls/{call}", recordingEnabled=True)
    line.post(f"calls/{call}", recordingEnabled=False)
    line.post(f"conferences/{made}", state="completed")
    line.created("bridges", bridgeAudio=True)
    told = [receiver.event() for _ in range(4)]
    shown = [told, line.state(), line.read(f"calls/{call}/events"), line.read("recordings")]
    found = [each for each in times(shown) if isinstance(each, str)]
    assert len(found) > 10
    for each in found:  # yyyy-MM-dd'T'HH:mm:ss'Z' and nothing else
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", each), each
        datetime.strptime(each, "%Y-%m-%dT%H:%M:%SZ")


def test_milliseconds_are_a_switch(start: Callable[..., Line]) -> None:
    line = start(switches=Switches(timestamps="utc"))
    shown = line.read(f"conferences/{line.conference()}")["createdTime"]
    assert re.fullmatch(r".{10}T.{8}\.\d{3}Z", shown)


# --- what real payloads have


def test_two_presses_of_one_key_are_told_apart(line: Line, receiver: Receiver) -> None:
    call = line.call(callbackUrl=receiver.url)
    receiver.until("answer")
    line.running.run(lambda exchange: exchange.press(call, "55"))
    first, second = receiver.event(), receiver.event()
    assert first["dtmfDigit"] == second["dtmfDigit"] == "5"
    assert first["dtmfDuration"].isdigit()
    assert first["dtmfDuration"] != second["dtmfDuration"]
    events = [parse(payload)[0] for payload in (first, second, second)]
    assert all(isinstance(event, DigitsReceived) for event in events)
    assert len({event.id for event in events}) == 2


def test_the_keys_of_real_payloads(line: Line, receiver: Receiver) -> None:
    made = line.conference(callbackUrl=f"{receiver.url}/room")
    call = line.call(conferenceId=made, callbackUrl=receiver.url)
    line.member(made, call, joinTone=True, leavingTone="true")
    member = receiver.until("conference-member")
    assert (member["joinTone"], member["leavingTone"]) == (True, True)
    line.post(f"calls/{call}/audio", sentence="Hello")
    assert receiver.until("speak")["type"] == "speak"
    line.post(f"calls/{call}/audio", fileUrl="http://h/f.mp3")
    assert "type" not in receiver.until("playback")
    incoming = line.control("incoming", {"from": TO, "to": FROM, "callbackUrl": receiver.url}).json()["id"]
    application = receiver.until("incomingcall")["applicationId"]
    line.post(f"calls/{incoming}", state="active")
    assert receiver.until("answer")["applicationId"] == application


def test_the_properties_of_real_records(line: Line) -> None:
    bridge = line.created("bridges", bridgeAudio=True)
    assert line.read(f"bridges/{bridge}")["bridgeAudio"] == "true"
    call = line.read(f"calls/{line.call(bridgeId=bridge)}")
    assert call["bridge"] == f"{line.http.base_url}bridges/{bridge}"
    assert call["callbackUrl"] == ""
    assert "fallbackUrl" not in call
    alone = line.read(f"calls/{line.call(callbackUrl='http://127.0.0.1:1/')}")
    assert alone["callbackUrl"] == "http://127.0.0.1:1/"
    assert "bridge" not in alone


def test_a_conference_shows_its_tag(line: Line) -> None:
    assert line.read(f"conferences/{line.conference(tag='op-1')}")["tag"] == "op-1"
    assert "tag" not in line.read(f"conferences/{line.conference()}")


@pytest.mark.parametrize(
    ("switches", "named", "state", "cause"),
    [
        (Switches(), "hangup", "completed", EndCause.FAILED),
        (Switches(failures="error"), "error", "error", EndCause.FAILED),
    ],
)
def test_a_call_that_fails(
    start: Callable[..., Line], receiver: Receiver, switches: Switches, named: str, state: str, cause: EndCause
) -> None:
    line = start(switches=switches)
    assert line.control("parties", {"to": TO, "fails": True}).status_code == 200
    call = line.call(callbackUrl=receiver.url)
    payload = receiver.event()
    assert payload["eventType"] == named
    assert (payload.get("callState") == "error") is (named == "error")
    assert ("cause" in payload) is (named == "hangup")
    [event] = parse(payload)
    assert isinstance(event, CallEnded)
    assert event.cause is cause
    assert line.read(f"calls/{call}")["state"] == state
    assert line.state()["calls"][0]["cause"] == "SYSTEM_FAILURE"
    line.control("parties", {"to": TO, "rejects": True})
    line.call(callbackUrl=receiver.url)
    assert receiver.event()["cause"] == "CALL_REJECTED"


def test_a_refusal_may_be_a_reject(start: Callable[..., Line], receiver: Receiver) -> None:
    line = start(switches=Switches(refusals="reject"))
    line.control("parties", {"to": TO, "rejects": True})
    line.call(callbackUrl=receiver.url)
    payload = receiver.event()
    assert (payload["eventType"], payload["cause"]) == ("reject", "CALL_REJECTED")
    assert "callState" not in payload
    [event] = parse(payload)
    assert isinstance(event, CallEnded)
    assert event.cause is EndCause.REJECTED
    line.control("parties", {"to": TO, "busy": True})
    line.call(callbackUrl=receiver.url)
    assert receiver.event()["eventType"] == "hangup"


# --- beside calls


def test_the_account(line: Line) -> None:
    assert line.read("account") == {"balance": "538.37250", "accountType": "pre-pay"}
    assert line.read("account/transactions") == []
    assert error(line.get("account/x")) == (404, "not-found", "resource-not-found")


def test_errors_are_kept(line: Line) -> None:
    assert line.read("errors") == []
    line.get("calls/c-none")
    line.post("calls", {"to": TO})
    latest, first = line.read("errors")
    assert (latest["category"], latest["code"]) == ("bad-request", "missing-property")
    assert latest["message"]
    assert (first["category"], first["code"]) == ("not-found", "call-not-found")
    assert {"callId", "requestMethod", "requestPath", "remoteAddress"} == {each["name"] for each in first["details"]}
    alone = line.read(f"errors/{first['id']}")
    assert alone["category"] == "NOT_FOUND"
    assert isinstance(alone["time"], int)
    assert alone["details"] == first["details"]
    assert error(line.get("errors/ue-none")) == (404, "not-found", "resource-not-found")
    reply = line.get("errors", size=1, page=1)
    assert len(reply.json()) == 1
    assert 'rel="first"' in reply.headers["link"]


def test_a_number_whose_application_has_no_url_leaves_an_error(line: Line) -> None:
    call = line.control("incoming", {"from": TO, "to": FROM}).json()["id"]
    [found] = line.read("errors")
    assert (found["category"], found["code"]) == ("unavailable", "no-callback-for-call")
    assert {"name": "callId", "value": call}.items() <= found["details"][2].items()


def test_who_is_not_known_leaves_no_error(line: Line) -> None:
    line.http.get("calls", auth=("t-x", "s-x"))
    assert line.read("errors") == []


def test_domains(line: Line) -> None:
    assert line.read("domains") == []
    assert error(line.post("domains", {"name": "x"})) == (400, "bad-request", "missing-property")
    made = line.created("domains", name="mine", description="of mine")
    [shown] = line.read("domains")
    assert (shown["id"], shown["name"], shown["description"]) == (made, "mine", "of mine")
    assert line.read(f"domains/{made}/endpoints") == []
    assert line.http.delete(f"domains/{made}").status_code == 200
    assert line.http.delete(f"domains/{made}").status_code == 404
    assert line.get(f"domains/{made}/endpoints").status_code == 404
    for number in range(100):
        line.created("domains", name=f"n-{number}", description="d")
    assert error(line.post("domains", name="one", description="more")) == (400, "bad-request", "validation-error")


def test_transcriptions_of_a_recording(line: Line) -> None:
    call = line.call()
    line.post(f"calls/{call}", recordingEnabled=True)
    line.post(f"calls/{call}", recordingEnabled=False)
    [recording] = line.read("recordings")
    path = f"recordings/{recording['id']}/transcriptions"
    assert line.read(path) == []
    made = line.created(path)
    [shown] = line.read(path)
    assert line.read(f"{path}/{made}") == shown
    assert (shown["id"], shown["state"]) == (made, "error")  # nothing is transcribed here
    assert error(line.get(f"{path}/tr-none")) == (404, "not-found", "resource-not-found")
    assert error(line.get("recordings/rec-none/transcriptions")) == (404, "not-found", "recording-not-found")


# --- who may control it

PRIVATE = "http://user:hidden-1@127.0.0.1:1/hidden-2?k=hidden-3"


def test_the_state_has_no_secret_in_it(line: Line) -> None:
    made = line.conference(callbackUrl=PRIVATE, fallbackUrl=PRIVATE)
    line.call(conferenceId=made, callbackUrl=PRIVATE, fallbackUrl=PRIVATE, sipHeaders={"X-Auth": "hidden-4"})
    line.control("incoming", {"from": TO, "to": FROM, "callbackUrl": PRIVATE})
    shown = line.state()
    assert "hidden" not in str(shown)
    for secret in (line.running.token, line.running.secret):
        assert secret not in str(shown)
    assert shown["conferences"][0]["callbackUrl"] == "http://127.0.0.1:1/•••"
    assert shown["calls"][0]["sipHeaders"] == {"X-Auth": "•••"}
    assert line.read(f"conferences/{made}")["callbackUrl"] == PRIVATE  # the API shows it to who has the credentials


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:1"}, 200),
        ({"host": "LOCALHOST"}, 200),
        ({"host": "[::1]:80"}, 200),
        ({"host": "127.0.0.2"}, 200),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example"}, 421),
        ({"host": "localhost.evil.example:80"}, 421),
        ({"host": "127.0.0.1@evil.example"}, 421),
        ({"host": "192.0.2.1"}, 421),
        ({"host": ""}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
    ],
)
def test_pages_of_other_sites_control_nothing(line: Line, headers: dict[str, str], status: int) -> None:
    root = f"{line.running.base_url}/_simulator"
    assert line.http.get(f"{root}/state", headers=headers).status_code == status
    for path, body in (("parties", {"to": TO, "busy": True}), ("faults", {"clear": True})):
        assert line.http.post(f"{root}/{path}", json=body, headers=headers).status_code == status
    incoming = line.http.post(f"{root}/incoming", json={"from": TO, "to": FROM}, headers=headers)
    assert incoming.status_code == status
    assert len(line.running.state()["calls"]) == (status == 200)
    if status != 200:
        assert incoming.json()["message"]


def test_its_own_pages_may(line: Line) -> None:
    headers = {"origin": line.running.base_url, "sec-fetch-site": "same-origin"}
    assert line.http.get(f"{line.running.base_url}/_simulator/state", headers=headers).status_code == 200


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain", ""])
def test_a_form_controls_nothing(line: Line, kind: str) -> None:
    reply = line.http.post(
        f"{line.running.base_url}/_simulator/incoming",
        content=b'{"from": "+19195550101", "to": "+19195551212"}',
        headers={"content-type": kind},
    )
    assert reply.status_code == 415
    assert "application/json" in reply.json()["message"]
    assert line.running.state()["calls"] == []
