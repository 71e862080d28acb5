"""Calls, digits, gathers and recordings; V4 and the like number the wire vectors that adapter and simulator share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confkit_bandwidth.simulator import Switches

from .conftest import FROM, TO, Line, error


def test_creation_v18_v20(line: Line) -> None:
    line.running.party(TO).never_answers()
    conference = line.conference()
    reply = line.post("calls", {"from": FROM, "to": TO, "conferenceId": conference})
    assert reply.status_code == 201
    location = reply.headers["location"]
    assert location.startswith(f"{line.http.base_url}calls/c-")
    shown = line.read("calls/" + location.rpartition("/")[2])
    assert shown["state"] == "started"
    assert shown["direction"] == "out"
    assert shown["conferenceId"] == conference
    assert (shown["from"], shown["to"]) == (FROM, TO)
    assert shown["callTimeout"] == 60
    assert shown["recordingEnabled"] is shown["transcriptionEnabled"] is False
    assert "activeTime" not in shown
    answered = line.read(f"calls/{line.call('+19195550102')}")
    assert answered["state"] == "active"
    assert answered["activeTime"] >= answered["startTime"]


REFUSED: list[Any] = [
    pytest.param({"from": None}, "missing-property", id="no from"),
    pytest.param({"to": ""}, "missing-property", id="no to"),
    pytest.param({"to": "5550101"}, "validation-error", id="national number"),
    pytest.param({"to": "sips:ann@example.com"}, "validation-error", id="sips"),
    pytest.param({"from": "sip:ann@example.com"}, "validation-error", id="from a SIP address"),
    pytest.param({"callTimeout": 301}, "validation-error", id="V52"),
    pytest.param({"callTimeout": 0}, "validation-error", id="no time to ring"),
    pytest.param({"callbackTimeout": 10001}, "validation-error", id="callback timeout"),
    pytest.param({"conferenceId": "conf-1", "bridgeId": "brg-1"}, "validation-error", id="both"),
    pytest.param({"conferenceId": "conf-1"}, "conference-not-found", id="unknown conference"),
    pytest.param({"bridgeId": "brg-1"}, "bridge-not-found", id="unknown bridge"),
    pytest.param({"sipHeaders": {f"X-{n}": "v" for n in range(6)}}, "validation-error", id="V62 six headers"),
    pytest.param({"sipHeaders": {"Subject": "v"}}, "validation-error", id="V62 name"),
    pytest.param({"sipHeaders": {"X-A": "v" * 257}}, "validation-error", id="V62 length"),
    pytest.param({"sipHeaders": ["X-A"]}, "validation-error", id="headers as a list"),
    pytest.param({"recordingFileFormat": "ogg"}, "validation-error", id="file format"),
    pytest.param({"recordingMaxDuration": 10**9}, "maximum-recording-value-request", id="endless recording"),
]


@pytest.mark.parametrize(("change", "code"), REFUSED)
def test_refused_creation(line: Line, change: dict[str, Any], code: str) -> None:
    reply = line.post("calls", {"from": FROM, "to": TO}, **change)
    assert reply.json()["code"] == code
    assert line.running.state()["calls"] == []


def test_call_for_a_conference_that_is_over(line: Line) -> None:
    made = line.conference()
    line.post(f"conferences/{made}", state="completed")
    reply = line.post("calls", {"from": FROM, "to": TO, "conferenceId": made})
    assert error(reply) == (403, "forbidden", "conference-error")


def test_sip_and_strings(line: Line) -> None:
    call = line.call(
        "sip:ann@example.com", callTimeout="45", sipHeaders={"X-Header-1": "v"}, recordingEnabled="false", tag="t"
    )
    shown = line.read(f"calls/{call}")
    assert shown["to"] == "sip:ann@example.com"
    assert shown["callTimeout"] == 45
    assert shown["sipHeaders"] == {"X-Header-1": "v"}
    assert shown["tag"] == "t"


def test_hanging_up_v55_v56(line: Line) -> None:
    call = line.call()
    assert line.post(f"calls/{call}", state="completed").status_code == 200
    shown = line.read(f"calls/{call}")
    assert shown["state"] == "completed"
    assert shown["chargeableDuration"] == 60
    assert shown["endTime"]
    assert error(line.post(f"calls/{call}", state="completed")) == (403, "forbidden", "call-invalid-state")
    assert error(line.post("calls/c-none", state="completed")) == (404, "not-found", "call-not-found")
    assert error(line.post(f"calls/{line.call()}", state="started")) == (400, "bad-request", "validation-error")


def test_cancelling_a_ringing_call(line: Line) -> None:
    line.running.party(TO).never_answers()
    call = line.call()
    line.post(f"calls/{call}", state="completed")
    assert line.read(f"calls/{call}")["state"] == "completed"
    assert "chargeableDuration" not in line.read(f"calls/{call}")
    assert line.running.state()["calls"][0]["cause"] == "ORIGINATOR_CANCEL"


def test_lists_v57_v58_v59_v60_v61(line: Line) -> None:
    conference = line.conference()
    legs = [line.call(f"+1919555020{n}", conferenceId=conference) for n in range(3)]
    found = line.read("calls", conferenceId=conference, size=1)
    assert {call["id"] for call in found} == set(legs)
    assert line.read("calls", conferenceId="conf-none") == []
    rest = [line.call(f"+191955503{n:02}") for n in range(27)]
    newest_first = [*legs, *rest][::-1]
    assert [call["id"] for call in line.read("calls")] == newest_first[:25]
    page = line.get("calls", sortOrder="asc", page=1, size=10)
    assert [call["id"] for call in page.json()] == [*legs, *rest][10:20]
    assert page.links["next"]["url"].startswith(line.running.base_url)
    assert [call["id"] for call in line.http.get(page.links["next"]["url"]).json()] == [*legs, *rest][20:]
    assert "next" not in line.http.get(page.links["next"]["url"]).links
    assert line.read("calls", page=9) == []
    assert error(line.get("calls", size=1001)) == (400, "bad-request", "validation-error")
    assert error(line.get("calls", page=-1)) == (400, "bad-request", "validation-error")
    assert error(line.get("calls", size="many")) == (400, "bad-request", "validation-error")
    other = line.created("calls", {"from": "+12025550100", "to": TO})
    assert [call["id"] for call in line.http.get("calls?from=%2b12025550100").json()] == [other]
    assert [call["id"] for call in line.read("calls", to=TO)] == [other]
    filtered = line.get("calls", **{"from": FROM, "size": 10})
    assert {call["from"] for call in line.http.get(filtered.links["next"]["url"]).json()} == {FROM}


def test_big_pages_may_be_cut(start: Callable[..., Line]) -> None:
    assert start(switches=Switches(big_page="cut")).read("calls", size=5000) == []


def test_transfer_v64_v65(line: Line) -> None:
    call = line.call()
    assert error(line.post(f"calls/{call}", state="transferring")) == (400, "bad-request", "missing-property")
    new = line.created(f"calls/{call}", state="transferring", transferTo="+19195550199")
    assert line.read(f"calls/{call}")["state"] == "transferring"
    assert line.read(f"calls/{new}")["to"] == "+19195550199"
    again = line.post(f"calls/{call}", state="transferring", transferTo=TO)
    assert error(again) == (403, "forbidden", "call-invalid-state")
    line.post(f"calls/{call}", state="completed")
    assert line.read(f"calls/{new}")["state"] == "completed"


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"transferCallerId": "private"}, 201),
        ({"transferCallerId": FROM}, 201),
        ({"transferCallerId": "+12025550100"}, 400),
        ({"diversionTreatment": "stack", "diversionReason": "away"}, 201),
        ({"diversionReason": "away"}, 400),
        ({"whisperAudio": {"sentence": "hi"}}, 201),
        ({"whisperAudio": {}}, 400),
        ({"whisperAudio": "hi"}, 400),
    ],
)
def test_transfer_options(start: Callable[..., Line], more: dict[str, Any], status: int) -> None:
    line = start(numbers=[FROM])
    reply = line.post(f"calls/{line.call()}", state="transferring", transferTo=TO, **more)
    assert reply.status_code == status


@pytest.mark.parametrize(
    ("digits", "status"),
    [
        pytest.param("1WWW,59#", 200, id="V66"),
        pytest.param("1" * 92, 200, id="V67 92 characters"),
        pytest.param("1" * 93, 400, id="V67 93 characters"),
        pytest.param("1x", 400, id="V67 x"),
        pytest.param(None, 400, id="none"),
        pytest.param(5, 200, id="a number"),
    ],
)
def test_digits_out(line: Line, digits: Any, status: int) -> None:
    call = line.call()
    assert line.post(f"calls/{call}/dtmf", dtmfOut=digits).status_code == status
    sent = line.state()["calls"][0]["digitsSent"]
    assert sent == ([str(digits)] if status == 200 else [])


def test_audio_to_a_call(line: Line) -> None:
    call = line.call()
    assert error(line.post(f"calls/{call}/audio", fileUrl="")) == (403, "forbidden", "call-audio-invalid-state")
    assert line.post(f"calls/{call}/audio", fileUrl="http://h/f.mp3", loopEnabled="true").status_code == 200
    assert line.post(f"calls/{call}/audio", fileUrl="").status_code == 200
    assert error(line.post(f"calls/{call}/audio", sentence="x", volume=5))[2] == "validation-error"
    line.running.party(TO).never_answers()
    ringing = line.call()
    assert error(line.post(f"calls/{ringing}/audio", sentence="x")) == (503, "unavailable", "call-unavailable")


def test_recordings_v71(line: Line) -> None:
    call = line.call()
    for enabled in ("true", False, True, "false"):
        assert line.post(f"calls/{call}", recordingEnabled=enabled).status_code == 200
    recordings = line.read(f"calls/{call}/recordings")
    assert [each["media"].rpartition("/")[2] for each in recordings] == [f"{call}-1.wav", f"{call}-2.wav"]
    assert {each["state"] for each in recordings} == {"complete"}
    assert line.read("recordings") == recordings
    assert line.read(f"recordings/{recordings[0]['id']}") == recordings[0]
    assert error(line.get("recordings/rec-none")) == (404, "not-found", "recording-not-found")
    assert line.read(f"calls/{call}/transcriptions") == []


def test_recording_from_the_answer_on(line: Line) -> None:
    call = line.call(recordingEnabled=True, recordingFileFormat="mp3")
    (recording,) = line.read(f"calls/{call}/recordings")
    assert recording["state"] == "recording"
    assert recording["media"].endswith(".mp3")
    running = line.post(f"calls/{call}", recordingMaxDuration=5)
    assert error(running) == (409, "conflict", "conflicted-recording-values-request")
    line.post(f"calls/{call}", state="completed")
    assert line.read(f"calls/{call}/recordings")[0]["state"] == "complete"


def test_event_log_v95(line: Line) -> None:
    call = line.call()
    line.post(f"calls/{call}/audio", fileUrl="http://h/f.mp3")
    line.post(f"calls/{call}", state="completed")
    log = line.read(f"calls/{call}/events")
    assert [(entry["name"], entry.get("data")) for entry in log] == [
        ("create", None),
        ("answer", None),
        ("playback", "start"),
        ("hangup", "NORMAL_CLEARING"),
        ("playback", "done"),
    ]
    alone = line.read(f"calls/{call}/events/{log[0]['id']}")
    assert isinstance(alone["time"], int)
    assert isinstance(log[0]["time"], str)
    assert alone["data"] == ""
    assert error(line.get(f"calls/{call}/events/ce-none")) == (404, "not-found", "resource-not-found")


def test_gather_v70(line: Line) -> None:
    call = line.call()
    gather = line.created(f"calls/{call}/gather", maxDigits="5", prompt={"sentence": "your code?"})
    shown = line.read(f"calls/{call}/gather/{gather}")
    assert (shown["state"], shown["digits"]) == ("started", "")
    duplicate = line.post(f"calls/{call}/gather", maxDigits=1)
    assert error(duplicate) == (409, "conflict", "call-duplicate-gather-error")
    line.running.run(lambda exchange: exchange.press(call, "12"))
    assert error(line.post(f"calls/{call}/gather/{gather}", state="started"))[0] == 400
    assert line.post(f"calls/{call}/gather/{gather}", state="completed").status_code == 200
    shown = line.read(f"calls/{call}/gather/{gather}")
    assert (shown["state"], shown["digits"]) == ("completed", "12")
    assert error(line.get(f"calls/{call}/gather/g-none")) == (404, "not-found", "resource-not-found")


@pytest.mark.parametrize(
    "body",
    [
        {"maxDigits": 31},
        {"maxDigits": 0},
        {"interDigitTimeout": 30.5},
        {"interDigitTimeout": "nan"},
        {"terminatingDigits": ""},
        {"terminatingDigits": "x"},
        {"prompt": "hello"},
        {"prompt": {"sentence": "x" * 1001}},
    ],
)
def test_refused_gather(line: Line, body: dict[str, Any]) -> None:
    assert error(line.post(f"calls/{line.call()}/gather", body))[:2] == (400, "bad-request")


def test_incoming_calls(line: Line) -> None:

    def ring(**more: Any) -> str:
        call: str = line.control("incoming", {"from": TO, "to": FROM, **more}).json()["id"]
        return call

    answered, rejected = ring(), ring()
    assert line.read(f"calls/{answered}")["direction"] == "in"
    assert line.read(f"calls/{answered}")["state"] == "started"
    assert line.post(f"calls/{answered}", state="active").status_code == 200
    assert line.read(f"calls/{answered}")["state"] == "active"
    assert error(line.post(f"calls/{answered}", state="active")) == (403, "forbidden", "call-invalid-state")
    assert line.post(f"calls/{rejected}", state="rejected").status_code == 200
    assert line.read(f"calls/{rejected}")["state"] == "rejected"
    assert line.read(f"calls/{ring(autoAnswer=True)}")["state"] == "active"
    outgoing = line.call()
    assert error(line.post(f"calls/{outgoing}", state="rejected")) == (403, "forbidden", "call-invalid-state")
    assert line.control("incoming", {"from": TO}).status_code == 400
