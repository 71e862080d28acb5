"""Conferences and members; V4 and the like number the wire vectors that adapter and simulator share."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from confkit_bandwidth.simulator import Switches

from .conftest import FROM, TO, Line, error


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, 404, id="V1 good credentials pass on to the resource"),
        pytest.param({"user": "u-2"}, (401, "authorization", "user-access-denied"), id="V2"),
        pytest.param({"secret": "s-2"}, (401, "authentication", None), id="V3"),
        pytest.param({"token": "t-2"}, (401, "authentication", None), id="V3 wrong token"),
        pytest.param({"header": ""}, (401, "authentication", None), id="no credentials"),
        pytest.param({"header": "Bearer x"}, (401, "authentication", None), id="another scheme"),
        pytest.param({"header": "Basic \xe9"}, (401, "authentication", None), id="not ASCII"),
    ],
)
def test_credentials(line: Line, change: dict[str, str], expected: Any) -> None:
    running = line.running
    pair = f"{change.get('token', running.token)}:{change.get('secret', running.secret)}"
    header = change.get("header", "Basic " + base64.b64encode(pair.encode()).decode())
    reply = httpx.get(
        f"{running.base_url}/v1/users/{change.get('user', running.user_id)}/conferences/conf-none",
        headers={b"Authorization": header.encode("latin-1")},
        trust_env=False,
        verify=False,
    )
    assert (reply.status_code if isinstance(expected, int) else error(reply)) == expected


def test_creation_v4_v7(line: Line) -> None:
    reply = line.post("conferences", {"from": FROM})
    assert reply.status_code == 201
    assert reply.content == b""
    assert "content-type" not in reply.headers
    location = reply.headers["location"]
    assert location.startswith(f"{line.running.base_url}/v1/users/{line.running.user_id}/conferences/conf-")
    shown = line.read("conferences/" + location.rpartition("/")[2])
    assert shown["state"] == "created"
    assert shown["activeMembers"] == 0
    assert shown["profile"] == "interpret_digits"
    assert shown["from"] == FROM
    assert "completedTime" not in shown
    assert "callbackUrl" not in shown
    assert len(shown["id"]) == len("conf-") + 23


REFUSED_CONFERENCES: list[Any] = [
    pytest.param({"from": None}, (400, "bad-request", "missing-property"), id="V5"),
    pytest.param({"from": ""}, (400, "bad-request", "missing-property"), id="V5 empty"),
    pytest.param({"from": "9195551212"}, (400, "bad-request", "validation-error"), id="not E.164"),
    pytest.param({"from": ["+1"]}, (400, "bad-request", "validation-error"), id="a list"),
    pytest.param({"from": True}, (400, "bad-request", "validation-error"), id="a boolean"),
    pytest.param({"callbackTimeout": 10001}, (400, "bad-request", "validation-error"), id="V9"),
    pytest.param({"callbackTimeout": "0"}, (400, "bad-request", "validation-error"), id="no time at all"),
    pytest.param({"callbackTimeout": "soon"}, (400, "bad-request", "validation-error"), id="no number"),
    pytest.param({"callbackTimeout": 1.5}, (400, "bad-request", "validation-error"), id="no integer"),
    pytest.param({"callbackTimeout": "9" * 5000}, (400, "bad-request", "validation-error"), id="huge"),
    pytest.param({"callbackHttpMethod": "PUT"}, (400, "bad-request", "validation-error"), id="method"),
    pytest.param({"profile": "quiet"}, (400, "bad-request", "validation-error"), id="profile"),
    pytest.param({"callbackUrl": "/x"}, (400, "bad-request", "callback-invalid-url"), id="relative URL"),
    pytest.param({"fallbackUrl": "ftp://h/x"}, (400, "bad-request", "callback-invalid-url"), id="ftp URL"),
    pytest.param({"callbackUrl": "http://[::1/"}, (400, "bad-request", "callback-invalid-url"), id="bad URL"),
    pytest.param({"callbackUrl": "http://h:99999/"}, (400, "bad-request", "callback-invalid-url"), id="bad port"),
]


@pytest.mark.parametrize(("change", "expected"), REFUSED_CONFERENCES)
def test_refused_creation(line: Line, change: dict[str, Any], expected: tuple[int, str, str]) -> None:
    reply = line.post("conferences", {"from": FROM}, **change)
    assert error(reply) == expected
    assert reply.json()["message"]
    assert line.running.state()["conferences"] == []


def test_error_details(line: Line) -> None:
    body = line.get("conferences/conf-none").json()
    details = {detail["name"]: detail["value"] for detail in body["details"]}
    assert details == {
        "conferenceId": "conf-none",
        "requestMethod": "GET",
        "remoteAddress": "127.0.0.1",
        "requestPath": f"users/{line.running.user_id}/conferences/conf-none",
    }


def test_foreign_number_v6(start: Callable[..., Line]) -> None:
    line = start(numbers=[FROM])
    denied = (401, "authorization", "number-access-denied")
    assert error(line.post("conferences", {"from": TO})) == denied
    assert error(line.post("calls", {"from": TO, "to": FROM})) == denied
    line.conference()


def test_optional_properties_v8_v10_v11(line: Line) -> None:
    made = line.conference(
        callbackTimeout="2000", fallbackUrl="http://127.0.0.1/f", profile="passthru_digits", tag='{"a": 1}'
    )
    shown = line.read(f"conferences/{made}")
    assert shown["callbackTimeout"] == 2000
    assert shown["fallbackUrl"] == "http://127.0.0.1/f"
    assert shown["profile"] == "passthru_digits"
    assert shown["tag"] == '{"a": 1}'
    unset = dict.fromkeys(["callbackUrl", "callbackTimeout", "callbackHttpMethod", "fallbackUrl", "profile", "tag"])
    assert line.read(f"conferences/{line.conference(**unset)}")["profile"] == "interpret_digits"


def test_unknown_things_are_not_found_v13_v17_v39(line: Line) -> None:
    made = line.conference()
    assert error(line.get("conferences/conf-none")) == (404, "not-found", "conference-not-found")
    assert error(line.get("conferences")) == (404, "not-found", "resource-not-found")
    assert error(line.get(f"conferences/{made}/members/none")) == (404, "not-found", "conference-member-not-found")
    assert error(line.get("conferences/conf-none/members/x")) == (404, "not-found", "conference-not-found")
    assert error(line.get("planets")) == (404, "not-found", "resource-not-found")
    assert error(line.http.delete(f"conferences/{made}")) == (404, "not-found", "resource-not-found")
    assert error(line.http.put(f"conferences/{made}")) == (404, "not-found", "resource-not-found")
    assert line.http.head(f"conferences/{made}").status_code == 404
    outside = httpx.get(f"{line.running.base_url}/planets", auth=line.http.auth, trust_env=False, verify=False)
    assert error(outside) == (404, "not-found", "resource-not-found")
    wrong_method = httpx.get(f"{line.running.base_url}/_simulator/parties", trust_env=False, verify=False)
    assert error(wrong_method) == (404, "not-found", "resource-not-found")


def test_trailing_slashes(line: Line) -> None:
    made = line.created("conferences/", {"from": FROM})
    assert line.read(f"conferences/{made}/")["id"] == made
    assert line.read("calls/") == line.read("calls") == []
    assert line.get("conferences//").status_code == 404


def test_completion_v14_v15(line: Line) -> None:
    made, calls, _ = line.joined(2)
    assert line.post(f"conferences/{made}", state="completed").status_code == 200
    shown = line.read(f"conferences/{made}")
    assert shown["state"] == "completed"
    assert shown["activeMembers"] == 0
    assert shown["completedTime"].endswith("Z")
    assert error(line.post(f"conferences/{made}", mute="true")) == (403, "forbidden", "conference-error")
    assert error(line.post(f"conferences/{made}", state="completed")) == (403, "forbidden", "conference-error")
    assert line.read(f"calls/{calls[0]}")["state"] == "active"


def test_completion_may_hang_up(start: Callable[..., Line]) -> None:
    line = start(switches=Switches(ending_hangs_up=True))
    made, calls, members = line.joined(2)
    line.post(f"conferences/{made}/members/{members[0]}", state="completed")
    assert line.read(f"calls/{calls[0]}")["state"] == "completed"
    line.post(f"conferences/{made}", state="completed")
    assert line.read(f"calls/{calls[1]}")["state"] == "completed"


@pytest.mark.parametrize("value", ["true", True, "TRUE"])
def test_update_v16(line: Line, value: Any) -> None:
    made = line.conference()
    reply = line.post(f"conferences/{made}", mute=value)
    assert (reply.status_code, reply.content) == (200, b"")
    assert line.read(f"conferences/{made}")["mute"] is True
    assert error(line.post(f"conferences/{made}", state="created")) == (400, "bad-request", "validation-error")
    assert error(line.post(f"conferences/{made}", hold="perhaps")) == (400, "bad-request", "validation-error")
    line.post(f"conferences/{made}", callbackUrl="", tag="new", mute=None)
    assert line.read(f"conferences/{made}")["tag"] == "new"
    assert line.read(f"conferences/{made}")["mute"] is True


def test_members_v19_v21_v26_v28(line: Line) -> None:
    line.running.party(TO).answers(after=60)
    made = line.conference()
    ringing = line.call(conferenceId=made)
    early = line.post(f"conferences/{made}/members", callId=ringing)
    assert error(early) == (503, "unavailable", "call-unavailable")
    call = line.call("+19195550102", conferenceId=made)
    reply = line.post(f"conferences/{made}/members", callId=call)
    assert reply.status_code == 201
    location = reply.headers["location"]
    assert location.startswith(f"{line.http.base_url}conferences/{made}/members/member-")
    assert line.read(f"conferences/{made}")["state"] == "active"
    assert line.read(f"conferences/{made}")["activeMembers"] == 1
    (member,) = line.read(f"conferences/{made}/members")
    assert member["state"] == "active"
    assert not any(member[flag] for flag in ("hold", "mute", "joinTone", "leavingTone"))
    assert "removedTime" not in member
    assert member["call"].endswith(f"/calls/{call}")


def test_refused_members_v29_v30_v31_v37(line: Line) -> None:
    made, other = line.conference(), line.conference()
    where = f"conferences/{made}/members"
    elsewhere, nowhere, over = line.call(conferenceId=other), line.call(), line.call(conferenceId=made)
    line.post(f"calls/{over}", state="completed")
    wrong = (403, "forbidden", "invalid-call-conference-id")
    assert error(line.post(where)) == (400, "bad-request", "missing-property")
    assert error(line.post(where, callId=elsewhere)) == wrong
    assert error(line.post(where, callId=nowhere)) == wrong
    assert error(line.post(where, callId="c-none")) == (403, "forbidden", "call-id-not-found")
    assert error(line.post(where, callId=over)) == (403, "forbidden", "call-invalid-state")
    first, second = line.call(conferenceId=made), line.call(conferenceId=made)
    line.member(made, first)
    line.post(f"calls/{first}", state="completed")
    assert error(line.post(where, callId=second)) == (403, "forbidden", "conference-error")


def test_duplicate_member(line: Line, start: Callable[..., Line]) -> None:
    made, (call,), _ = line.joined(1)
    reply = line.post(f"conferences/{made}/members", callId=call)
    assert error(reply) == (409, "conflict", "conference-member-update-conflict")
    lenient = start(switches=Switches(duplicate_member="same"))
    made, (call,), (member,) = lenient.joined(1)
    assert lenient.member(made, call) == member
    assert len(lenient.read(f"conferences/{made}/members")) == 1


def test_unanswered_member_switch(start: Callable[..., Line]) -> None:
    line = start(switches=Switches(unanswered_member="call-invalid-state"))
    line.running.party(TO).never_answers()
    made = line.conference()
    reply = line.post(f"conferences/{made}/members", callId=line.call(conferenceId=made))
    assert error(reply) == (403, "forbidden", "call-invalid-state")


def test_any_call_may_join(start: Callable[..., Line]) -> None:
    line = start(switches=Switches(any_call_may_join=True))
    made = line.conference()
    line.member(made, line.call())
    inbound = line.control("incoming", {"from": TO, "to": FROM, "autoAnswer": True}).json()["id"]
    line.member(made, inbound)
    assert line.read(f"conferences/{made}")["activeMembers"] == 2


def test_twenty_one_members_v32(line: Line, start: Callable[..., Line]) -> None:
    made, calls, _ = line.joined(20)
    extra = line.call(conferenceId=made)
    full = (403, "limit", "conference-max-members")
    assert error(line.post(f"conferences/{made}/members", callId=extra)) == full
    line.post(f"calls/{calls[0]}", state="completed")
    line.member(made, extra)
    strict = start(max_members=2, switches=Switches(completed_members_count=True))
    made, _, members = strict.joined(2)
    strict.post(f"conferences/{made}/members/{members[0]}", state="completed")
    assert error(strict.post(f"conferences/{made}/members", callId=strict.call(conferenceId=made))) == full


def test_removal_v35_v36_v38(line: Line) -> None:
    made, calls, (first, second) = line.joined(2)
    assert line.post(f"conferences/{made}/members/{first}", state="completed").status_code == 200
    left = line.read(f"conferences/{made}/members/{first}")
    assert left["state"] == "completed"
    assert left["removedTime"]
    assert line.read(f"calls/{calls[0]}")["state"] == "active"
    assert line.read(f"conferences/{made}")["state"] == "active"
    assert [member["state"] for member in line.read(f"conferences/{made}/members")] == ["completed", "active"]
    gone = line.post(f"conferences/{made}/members/{first}", mute=True)
    assert error(gone) == (403, "forbidden", "conference-error")
    again = line.member(made, calls[0])
    assert again != first
    for member in (again, second):
        line.post(f"conferences/{made}/members/{member}", state="completed")
    assert line.read(f"conferences/{made}")["state"] == "completed"


def test_member_flags_v33_v41(line: Line) -> None:
    made, calls, members = line.joined(2)
    where = f"conferences/{made}/members/{members[0]}"
    assert line.post(f"conferences/{made}", mute=True).status_code == 200
    assert line.post(where, mute="true", hold="true", leavingTone=True).status_code == 200
    shown = line.read(where)
    assert (shown["mute"], shown["hold"], shown["leavingTone"]) == (True, True, True)
    line.post(where, hold=False)
    line.post(f"conferences/{made}", mute=False)
    assert line.read(where)["mute"] is True
    assert line.read(where)["leavingTone"] is True
    first, second = calls
    assert not line.running.run(lambda exchange: exchange.hears(second, first))
    assert line.running.run(lambda exchange: exchange.hears(first, second))
    assert error(line.post(where, state="active")) == (400, "bad-request", "validation-error")
    other = line.conference()
    assert error(line.get(f"conferences/{other}/members/{members[0]}"))[0] == 404


def test_flags_when_joining(line: Line) -> None:
    made = line.conference()
    member = line.member(made, line.call(conferenceId=made), mute="true", hold=True, joinTone="true")
    shown = line.read(f"conferences/{made}/members/{member}")
    assert (shown["mute"], shown["hold"], shown["joinTone"]) == (True, True, True)


AUDIO: list[Any] = [
    pytest.param({"sentence": "x" * 1000}, 200, id="V45 1000 characters"),
    pytest.param({"sentence": "x" * 1001}, "validation-error", id="V45 1001 characters"),
    pytest.param({"sentence": "hi", "voice": "kate", "locale": "en_us", "gender": "Female"}, 200, id="V44"),
    pytest.param({"sentence": "hi", "voice": "Simon"}, "validation-error", id="unknown voice"),
    pytest.param({"sentence": "hi", "locale": "xx"}, "validation-error", id="unknown locale"),
    pytest.param({"fileUrl": "http://h/f.mp3", "voice": "Simon"}, 200, id="voice ignored for a file"),
    pytest.param({"fileUrl": {"sentence": "Hello"}}, "validation-error", id="V50"),
    pytest.param({"fileUrl": "http://h/f.mp3", "sentence": "x"}, "validation-error", id="both"),
    pytest.param({}, "missing-property", id="neither"),
    pytest.param({"fileUrl": "f.mp3"}, "media-invalid-url", id="no URL"),
    pytest.param({"fileUrl": "", "sentence": None}, 200, id="V48 stop"),
    pytest.param({"sentence": ""}, 200, id="V46 stop"),
]


@pytest.mark.parametrize(("body", "expected"), AUDIO)
def test_audio(line: Line, body: dict[str, Any], expected: int | str) -> None:
    made, _, (member,) = line.joined(1)
    for where in (f"conferences/{made}/audio", f"conferences/{made}/members/{member}/audio"):
        reply = line.post(where, body)
        assert (reply.status_code if isinstance(expected, int) else reply.json()["code"]) == expected


def test_audio_of_what_is_over(line: Line) -> None:
    made, _, (member,) = line.joined(1)
    line.post(f"conferences/{made}", state="completed")
    for where in (f"conferences/{made}/audio", f"conferences/{made}/members/{member}/audio"):
        assert error(line.post(where, sentence="x")) == (403, "forbidden", "conference-error")


MALFORMED: list[Any] = [
    pytest.param(b'{"from": "+1, "callbackUrl": "x"}', id="V104 quotes do not match"),
    pytest.param(b'{"callIds": []', id="cut off"),
    pytest.param(b"[]", id="a list"),
    pytest.param(b'"text"', id="a string"),
    pytest.param(b"\xff\xfe{", id="not UTF-8"),
    pytest.param(b"[" * 100_000, id="too deep"),
    pytest.param(b'{"a":' * 50_000, id="too deep, objects"),
    pytest.param(b'{"from": ' + b"9" * 6000 + b"}", id="a very long number"),
    pytest.param(b'{"tag": "' + b"x" * 1_000_001 + b'"}', id="too large"),
]


@pytest.mark.parametrize("content", MALFORMED)
def test_malformed_bodies(line: Line, content: bytes) -> None:
    reply = line.http.post("conferences", content=content)
    assert error(reply)[:2] == (400, "bad-request")
    assert line.conference()  # the connection and the server are fine


def test_odd_but_good_bodies(line: Line) -> None:
    reply = line.http.post(
        "conferences", content=b'{"from": "+19195551212", "tag": "\\ud800 \xe2\x98\x8e \\u0000", "id": "x", "a": [1]}'
    )
    made = reply.headers["location"].rpartition("/")[2]
    assert line.read(f"conferences/{made}")["tag"] == "\ud800 ☎ \x00"
    assert line.read(f"conferences/{made}")["id"] == made
    form = line.http.post("conferences", content=b'{"from": "+19195551212"}', headers={"content-type": "text/plain"})
    assert form.status_code == 201
    assert line.http.post(f"conferences/{made}").status_code == 200


def test_json_only_switch(start: Callable[..., Line]) -> None:
    line = start(switches=Switches(json_only=True))
    form = line.http.post("conferences", content=b'{"from": "+19195551212"}', headers={"content-type": "text/plain"})
    assert form.status_code == 415
    line.conference()


@pytest.mark.parametrize(
    ("locations", "member_form", "bridge_form"),
    [
        ("reference", "{users}/conferences/{conference}/members/{id}", "{users}/calls/{id}"),
        ("how-to", "{users}/conferences/members/{id}", "{users}/bridges/{id}"),
        ("absolute", "{base}{users}/conferences/{conference}/members/{id}", "{base}{users}/bridges/{id}"),
    ],
)
def test_locations_v22_v23_v72(start: Callable[..., Line], locations: Any, member_form: str, bridge_form: str) -> None:
    line = start(switches=Switches(locations=locations))
    made = line.conference()
    reply = line.post(f"conferences/{made}/members", callId=line.call(conferenceId=made))
    names = {"base": line.running.base_url, "users": f"/v1/users/{line.running.user_id}", "conference": made}
    member = line.read(f"conferences/{made}/members")[0]["id"]
    assert reply.headers["location"] == member_form.format(**names, id=member)
    bridge = line.post("bridges", bridgeAudio="true").headers["location"]
    assert bridge == bridge_form.format(**names, id=bridge.rpartition("/")[2])


@pytest.mark.parametrize(
    ("form", "ending"), [("seconds", "Z"), ("utc", "Z"), ("short-offset", "-02"), ("offset", "-02:00")]
)
def test_timestamps(start: Callable[..., Line], form: Any, ending: str) -> None:
    line = start(switches=Switches(timestamps=form))
    assert line.read(f"conferences/{line.conference()}")["createdTime"].endswith(ending)


def test_wrong_credentials_code_switch(start: Callable[..., Line]) -> None:
    line = start(switches=Switches(bad_credentials_code="invalid-credentials"))
    reply = httpx.get(line.http.base_url.join("calls"), trust_env=False, verify=False)
    assert error(reply) == (401, "authentication", "invalid-credentials")
