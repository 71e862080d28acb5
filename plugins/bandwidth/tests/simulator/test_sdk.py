"""The vendor's own Python SDK for v1, unchanged, against the simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bandwidth
import pytest
from bandwidth.voice import BandwidthVoiceAPIException
from confkit_bandwidth.simulator import Fault

from .conftest import FROM, TO, Line


def sdk(line: Line) -> Any:
    running = line.running
    return bandwidth.client("voice", running.user_id, running.token, running.secret, api_endpoint=running.base_url)


def test_conference_by_hand(line: Line) -> None:
    api = sdk(line)
    conference = api.create_conference(FROM)
    calls = [api.create_call(FROM, f"+1919555010{n}", conference_id=conference) for n in range(3)]
    members = [api.create_conference_member(conference, call) for call in calls]
    assert api.get_conference(conference)["active_members"] == 3
    assert [member["id"] for member in api.list_conference_members(conference)] == members
    api.mute_conference_member(conference, members[0], True)
    api.hold_conference_member(conference, members[0], True)
    assert api.get_conference_member(conference, members[0])["mute"] is True
    api.mute_conference(conference, True)
    api.hold_conference(conference, True)
    assert api.get_conference(conference)["hold"] is True
    api.play_audio_to_conference(conference, sentence="Hello", voice="kate")
    api.play_audio_to_conference(conference, file_url="http://127.0.0.1/f.mp3")
    api.speak_sentence_to_conference_member(conference, members[1], "Hello")
    api.play_audio_file_to_conference_member(conference, members[1], "http://127.0.0.1/f.mp3")
    api.remove_conference_member(conference, members[2])
    assert api.get_conference(conference)["active_members"] == 2
    api.terminate_conference(conference)
    assert api.get_conference(conference)["state"] == "completed"
    for call in calls:
        api.hangup_call(call)
    assert {call["state"] for call in line.state()["calls"]} == {"completed"}


def test_bridge_by_hand(line: Line) -> None:
    api = sdk(line)
    bridge = api.create_bridge(bridge_audio=True)
    calls = [api.create_call(FROM, f"+1919555010{n}", bridge_id=bridge) for n in range(2)]
    assert api.get_bridge(bridge)["state"] == "active"
    assert {call["id"] for call in api.list_bridge_calls(bridge)} == set(calls)
    assert [each["id"] for each in api.list_bridges(size=1)] == [bridge]
    api.update_bridge(bridge, bridge_audio=False)
    assert api.get_bridge(bridge)["state"] == "hold"
    api.update_bridge(bridge, call_ids=[])
    assert api.get_bridge(bridge)["state"] == "completed"


def test_calls_by_hand(line: Line) -> None:
    api = sdk(line)
    call = api.create_call(FROM, TO, call_timeout=30, tag="t", sip_headers={"X-Header-1": "v"})
    api.play_audio_to_call(call, sentence="Hello")
    api.send_dtmf_to_call(call, "1W2")
    api.enable_call_recording(call)
    api.disable_call_recording(call)
    (recording,) = api.list_call_recordings(call)
    assert [each["media_name"] for each in api.list_recordings()] == [f"{call}-1.wav"]
    assert api.get_recording(recording["id"])["state"] == "complete"
    assert [event["name"] for event in api.list_call_events(call)][:2] == ["create", "answer"]
    gather = api.create_call_gather(call, max_digits=3, tag="t")
    api.update_call_gather(call, gather, state="completed")
    assert api.get_call_gather(call, gather)["state"] == "completed"
    new = api.transfer_call(call, "+19195550199")
    assert api.get_call(new)["to"] == "+19195550199"
    incoming = line.control("incoming", {"from": TO, "to": FROM}).json()["id"]
    api.answer_call(incoming)
    assert api.get_call(incoming)["state"] == "active"
    refused = line.control("incoming", {"from": TO, "to": FROM}).json()["id"]
    api.reject_call(refused)
    assert api.get_call(refused)["state"] == "rejected"
    many = {api.create_call(FROM, f"+191955502{n:02}") for n in range(30)}
    assert len([each for each in api.list_calls(size=7) if each["id"] in many]) == 30


@pytest.mark.parametrize("what", ["conference", "call", "bridge"])
def test_its_broken_speech_v50(line: Line, what: str) -> None:
    api = sdk(line)
    call = api.create_call(FROM, TO)
    made = {"call": lambda: call, "conference": lambda: api.create_conference(FROM)}.get(
        what, lambda: api.create_bridge([call])
    )()
    with pytest.raises(BandwidthVoiceAPIException) as caught:
        getattr(api, f"speak_sentence_to_{what}")(made, "Hello")
    assert caught.value.code == "validation-error"


def test_its_errors(start: Callable[..., Line]) -> None:
    line = start(faults=[Fault.parse("list_bridges=html")])
    api = sdk(line)
    with pytest.raises(BandwidthVoiceAPIException) as caught:
        api.get_conference("conf-none")
    assert (caught.value.status_code, caught.value.code) == (404, "conference-not-found")
    with pytest.raises(BandwidthVoiceAPIException) as caught:
        next(api.list_bridges())
    assert caught.value.status_code == 502
