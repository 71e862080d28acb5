"""Callbacks to a real server; V4 and the like number the wire vectors that adapter and simulator share."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from confkit_bandwidth.simulator import CallbackFaults, Switches
from confkit_bandwidth.simulator.delivery import is_loopback

from .conftest import FROM, TO, Line, Receiver


def test_conference_events_v27_v33_v36_v40(line: Line, receiver: Receiver) -> None:
    made = line.conference(callbackUrl=f"{receiver.url}/c", tag="t")
    created = receiver.event()
    uri = f"{line.running.base_url}/v1/users/{line.running.user_id}/conferences/{made}"
    assert created == {
        "eventType": "conference",
        "conferenceId": made,
        "conferenceUri": uri,
        "status": "created",
        "createdTime": created["createdTime"],
    }
    call = line.call(conferenceId=made)
    member = line.member(made, call)
    joined = receiver.event()
    assert joined == {
        "eventType": "conference-member",
        "conferenceId": made,
        "callId": call,
        "memberId": member,
        "memberUri": f"{uri}/members/{member}",
        "state": "active",
        "activeMembers": 1,
        "hold": False,
        "mute": False,
        "joinTone": False,
        "leavingTone": False,
        "time": joined["time"],
    }
    line.post(f"conferences/{made}/members/{member}", mute="true")
    assert receiver.event()["mute"] is True
    line.post(f"conferences/{made}/members/{member}", mute="true")  # no change, no event
    line.post(f"conferences/{made}/members/{member}", hold="true")
    assert receiver.event()["hold"] is True
    line.post(f"conferences/{made}/members/{member}", state="completed")
    left = receiver.event()
    assert (left["state"], left["activeMembers"]) == ("completed", 0)
    over = receiver.event()
    assert over["status"] == "completed"
    assert over["completedTime"] >= over["createdTime"]


def test_the_request_v97_v98(line: Line, receiver: Receiver) -> None:
    line.conference(callbackUrl=f"{receiver.url}/x?y=1".replace("http://", "http://user:p%40ss@"))
    request = receiver.next()
    assert (request.method, request.path) == ("POST", "/x?y=1")
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    assert request.headers["User-Agent"].startswith("BandwidthAPI/v1 (")
    assert request.headers["Authorization"] == "Basic " + base64.b64encode(b"user:p@ss").decode()


def test_get_v100(line: Line, receiver: Receiver) -> None:
    line.call(callbackUrl=f"{receiver.url}/g?k=v", callbackHttpMethod="GET", tag="a b&c")
    request = receiver.next()
    assert request.method == "GET"
    query = urlsplit(request.path).query
    assert "%2B1919" in query
    fields = parse_qs(query)
    assert fields["k"] == ["v"]
    assert fields["eventType"] == ["answer"]
    assert fields["to"] == [TO]
    assert fields["tag"] == ["a b&c"]


@pytest.mark.parametrize("failure", [500, 404, 302, 0.2], ids=["500", "404", "redirect", "V99 silence"])
def test_fallback(line: Line, receiver: Receiver, failure: int | float) -> None:
    receiver.answers["/c"] = failure
    made = line.conference(callbackUrl=f"{receiver.url}/c", fallbackUrl=f"{receiver.url}/f", callbackTimeout=100)
    first, second = receiver.next(), receiver.next()
    assert (first.path, second.path) == ("/c", "/f")
    assert first.event == second.event
    assert second.event["conferenceId"] == made


def test_no_second_try_without_fallback(line: Line, receiver: Receiver) -> None:
    receiver.answers["/c"] = 500
    made = line.conference(callbackUrl=f"{receiver.url}/c")
    line.post(f"conferences/{made}", state="completed")
    assert [receiver.event()["status"] for _ in range(2)] == ["created", "completed"]
    assert receiver.seen.empty()


def test_connection_refused_and_fallback(line: Line, receiver: Receiver) -> None:
    line.conference(callbackUrl="http://127.0.0.1:1/", fallbackUrl=f"{receiver.url}/f")
    assert receiver.next().path == "/f"


def test_call_events_v20_v55_v63(line: Line, receiver: Receiver) -> None:
    tag = '{ "context": "key" }'
    call = line.call(callbackUrl=receiver.url, tag=tag)
    uri = f"{line.running.base_url}/v1/users/{line.running.user_id}/calls/{call}"
    answer = receiver.event()
    assert answer == {
        "eventType": "answer",
        "from": FROM,
        "to": TO,
        "callId": call,
        "callUri": uri,
        "callState": "active",
        "time": answer["time"],
        "tag": tag,
    }
    line.post(f"calls/{call}", state="completed")
    hangup = receiver.event()
    assert hangup == {
        "eventType": "hangup",
        "from": FROM,
        "to": TO,
        "callId": call,
        "callUri": uri,
        "cause": "NORMAL_CLEARING",
        "time": hangup["time"],
    }


def test_refusal_v53_and_busy_v54(line: Line, receiver: Receiver) -> None:
    line.control("parties", {"to": TO, "rejects": True})
    line.control("parties", {"to": "+19195550102", "busy": True})
    line.call(callbackUrl=receiver.url)
    rejected = receiver.event()
    assert (rejected["eventType"], rejected["cause"]) == ("hangup", "CALL_REJECTED")
    assert rejected["callState"] == "completed"
    line.call("+19195550102", callbackUrl=receiver.url)
    busy = receiver.event()
    assert (busy["eventType"], busy["cause"]) == ("hangup", "USER_BUSY")
    assert "callState" not in busy


def test_incoming_call(line: Line, receiver: Receiver) -> None:
    body = {"from": TO, "to": FROM, "callbackUrl": receiver.url}
    call = line.control("incoming", body).json()["id"]
    event = receiver.event()
    assert event["eventType"] == "incomingcall"
    assert (event["callId"], event["from"], event["to"]) == (call, TO, FROM)
    assert event["callState"] == "active"
    assert event["applicationId"].startswith("a-")
    line.post(f"calls/{call}", state="active")
    answer = receiver.event()
    assert answer["eventType"] == "answer"
    assert "tag" not in answer


def test_speech_v44_v46_and_files_v47_v48(line: Line, receiver: Receiver) -> None:
    made, _, _ = line.joined(1, callbackUrl=receiver.url)
    where = f"conferences/{made}/audio"
    line.post(where, sentence="x" * 500, tag="t")
    event = receiver.until("conference-speak")
    assert event["status"] == "started"
    assert event["conferenceUri"].endswith(made)
    assert "tag" not in event
    line.post(where, sentence="")
    assert receiver.event()["status"] == "done"
    line.post(where, fileUrl="http://h/f.mp3", loopEnabled=True)
    event = receiver.event()
    assert (event["eventType"], event["status"]) == ("conference-playback", "started")
    line.post(where, fileUrl="")
    assert receiver.event()["status"] == "done"


def test_member_audio_goes_to_the_call_v49(line: Line, receiver: Receiver) -> None:
    made = line.conference()
    call = line.call(conferenceId=made, callbackUrl=receiver.url)
    member = line.member(made, call)
    line.post(f"conferences/{made}/members/{member}/audio", sentence="x", tag="t")
    event = receiver.until("speak")
    assert event["callId"] == call
    assert (event["status"], event["state"], event["tag"]) == ("started", "PLAYBACK_START", "t")
    event = receiver.event()
    assert (event["status"], event["state"], event["tag"]) == ("done", "PLAYBACK_STOP", "t")
    line.post(f"conferences/{made}/members/{member}/audio", fileUrl="http://h/f.mp3")
    event = receiver.event()
    assert (event["eventType"], event["status"]) == ("playback", "started")
    assert "state" not in event


def test_keys_v42_v43_v68(line: Line, receiver: Receiver) -> None:
    made = line.conference(callbackUrl=f"{receiver.url}/conference")
    call = line.call(conferenceId=made, callbackUrl=f"{receiver.url}/call")
    gather = line.created(f"calls/{call}/gather", maxDigits="5", terminatingDigits="*", tag="g")
    line.running.run(lambda exchange: exchange.press(call, "12*"))
    digits = [receiver.until("dtmf")["dtmfDigit"] for _ in range(3)]
    assert digits == ["1", "2", "*"]
    event = receiver.until("gather")
    assert event == {
        "eventType": "gather",
        "state": "completed",
        "callId": call,
        "gatherId": gather,
        "digits": "12",
        "reason": "terminating-digit",
        "time": event["time"],
        "tag": "g",
    }
    line.member(made, call)
    line.running.run(lambda exchange: exchange.press(call, "5#"))  # the conference takes the keys
    while (event := receiver.event())["eventType"] != "conference-member" or event["state"] != "completed":
        assert event["eventType"] != "dtmf"
    assert line.read(f"calls/{call}")["state"] == "active"
    passing, (call,), _ = line.joined(1, profile="passthru_digits")
    other = line.call("+19195550177", conferenceId=passing, callbackUrl=receiver.url)
    line.member(passing, other)
    line.running.run(lambda exchange: exchange.press(other, "5"))
    assert receiver.until("dtmf")["dtmfDigit"] == "5"
    assert line.read(f"conferences/{passing}")["activeMembers"] == 2


def test_recording_event_v71(line: Line, receiver: Receiver) -> None:
    call = line.call(callbackUrl=receiver.url, recordingEnabled=True)
    line.post(f"calls/{call}", recordingEnabled=False)
    event = receiver.until("recording")
    assert event["state"] == event["status"] == "complete"
    assert event["recordingUri"].endswith(f"/recordings/{event['recordingId']}")
    assert event["endTime"] >= event["startTime"]


def test_switches(start: Callable[..., Line], receiver: Receiver) -> None:
    line = start(
        switches=Switches(tags_everywhere=True, active_members="before", member_events="updates", timestamps="offset")
    )
    made = line.conference(callbackUrl=receiver.url, tag="t")
    created = receiver.event()
    assert created["tag"] == "t"
    assert created["createdTime"].endswith("-02:00")
    member = line.member(made, line.call(conferenceId=made))
    assert receiver.event()["tag"] == "t"
    line.post(f"conferences/{made}/members/{member}", mute=False)
    assert receiver.event()["state"] == "active"
    line.post(f"conferences/{made}/members/{member}", state="completed")
    assert receiver.event()["activeMembers"] == 1


def test_only_loopback_is_called_back(line: Line, receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    made = line.conference(callbackUrl="http://user:hidden@192.0.2.1/x", fallbackUrl=receiver.url)
    assert receiver.event()["conferenceId"] == made
    assert "only calls back to loopback addresses" in caplog.text
    assert "hidden" not in caplog.text
    outcomes = [each["outcome"] for each in line.state()["callbacks"]]
    assert outcomes[0] == "refused: not a loopback address"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:80/", True),
        ("http://127.9.9.9/", True),
        ("http://[::1]/", True),
        ("http://LOCALHOST:1/x", True),
        ("http://localhost.example.com/", False),
        ("http://127.0.0.1.example.com/", False),
        ("http://example.com/", False),
        ("http://0.0.0.0/", False),
        ("http://127.0.0.1@example.com/", False),
        ("http://2130706433/", False),
        ("http://127.0.0.1\\@example.com/", False),
        ("http://example.com\\@127.0.0.1/", True),
        ("http://[::1", False),
    ],
)
def test_loopback(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected


def statuses(line: Line, receiver: Receiver, number: int) -> list[str]:
    """Create and end a conference with a member: four events in their order of arrival."""
    made = line.conference(callbackUrl=receiver.url)
    line.member(made, line.call(conferenceId=made))
    line.post(f"conferences/{made}", state="completed")
    return [(event := receiver.event()).get("state") or event["status"] for _ in range(number)]


IN_ORDER = ["created", "active", "completed", "completed"]


def test_in_order_by_default(line: Line, receiver: Receiver) -> None:
    assert statuses(line, receiver, 4) == IN_ORDER


def test_lost(start: Callable[..., Line], receiver: Receiver) -> None:
    line = start(callbacks=CallbackFaults(lose=1))
    statuses(line, receiver, 0)
    assert [each["outcome"] for each in line.state()["callbacks"]] == ["lost"] * 4
    assert receiver.seen.empty()


def test_duplicated_v101(start: Callable[..., Line], receiver: Receiver) -> None:
    line = start(callbacks=CallbackFaults(duplicate=1))
    assert statuses(line, receiver, 8) == [status for status in IN_ORDER for _ in range(2)]


def test_delayed(start: Callable[..., Line], receiver: Receiver) -> None:
    line = start(callbacks=CallbackFaults(delay=1, delay_seconds=0.05))
    assert sorted(statuses(line, receiver, 4)) == sorted(IN_ORDER)


def test_reordered_v102(start: Callable[..., Line], receiver: Receiver) -> None:
    line = start(callbacks=CallbackFaults(reorder=1, delay_seconds=0.05))
    call = line.call(callbackUrl=receiver.url)
    line.post(f"calls/{call}", state="completed")
    assert {receiver.event()["eventType"] for _ in range(2)} == {"answer", "hangup"}
    swapped = start(callbacks=CallbackFaults(reorder=1, delay_seconds=60))
    call = swapped.call(callbackUrl=receiver.url)
    swapped.post(f"calls/{call}", state="completed")
    assert [receiver.event()["eventType"] for _ in range(2)] == ["hangup", "answer"]
