"""The operations that are several requests to ARI: which, in which order, and none of them twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from confkit_asterisk import wire

from confkit.provider import (
    STOP,
    Bridge,
    Call,
    CallSpec,
    Conference,
    ConferencePatch,
    Media,
    Member,
    MemberOptions,
    MemberPatch,
    MemberState,
    Op,
    RecordAction,
)
from plugins.asterisk.tests.stub import Desk, at_desk

pytestmark = pytest.mark.anyio
OP = Op(key="op-1", timeout=timedelta(seconds=2))
ROOM = Conference(provider="asterisk", key="room-1", id="room-1")
CALLS = tuple(Call(provider="asterisk", id=f"call-{n}") for n in (1, 2))
MEMBER = Member(provider="asterisk", id="call-1", call_id="call-1", conference=ROOM, state=MemberState.JOINED)
PAIR = Bridge(provider="asterisk", id="pair")
URL = Media(url="file:///srv/welcome.wav")
RECORD = (200, {"id": "room-1", "name": wire.CONFERENCE, "channels": ["call-1", "call-2"]})


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with at_desk(endpoint="PJSIP/{number}@trunk") as made:
        yield made


async def joined(desk: Desk) -> None:
    bridge = {"id": "room-1", "name": wire.CONFERENCE, "channels": ["call-1"]}
    await desk.tell("ChannelEnteredBridge", channel={"id": "call-1", "name": "PJSIP/x-1"}, bridge=bridge)


async def test_ending_a_conference(desk: Desk) -> None:
    desk.stub.script.append(RECORD)
    await desk.provider.end_conference(ROOM, OP)
    assert sorted(desk.stub.changes[:-1]) == [("DELETE", f"/ari/channels/call-{n}") for n in (1, 2)]
    assert desk.stub.changes[-1] == ("DELETE", "/ari/bridges/room-1")


async def test_muting_everyone(desk: Desk) -> None:
    desk.stub.script.append(RECORD)
    await desk.provider.update_conference(ROOM, ConferencePatch(mute=True), OP)
    assert sorted(desk.stub.changes) == [("POST", f"/ari/channels/call-{n}/mute") for n in (1, 2)]


async def test_joining_muted(desk: Desk) -> None:
    await desk.provider.add_member(ROOM, CALLS[0], MemberOptions(mute=True), OP)
    assert desk.stub.changes == [("POST", "/ari/channels/call-1/mute"), ("POST", "/ari/bridges/room-1/addChannel")]


async def test_joining_after_being_held_elsewhere(desk: Desk) -> None:
    """A call is muted and held at its channel, and takes that along from one conference to the next."""
    await desk.provider.add_member(ROOM, CALLS[0], MemberOptions(hold=True), OP)
    other = Conference(provider="asterisk", key="room-2", id="room-2")
    await desk.provider.add_member(other, CALLS[0], MemberOptions(mute=True), evolve(OP, key="op-2"))
    await desk.provider.add_member(ROOM, CALLS[0], MemberOptions(), evolve(OP, key="op-3"))
    sent = [(method, target.rpartition("/")[2], body.get("direction")) for method, target, body in desk.stub.seen]
    assert sent == [
        ("POST", "mute", "both"),
        ("POST", "addChannel", None),
        ("POST", "mute", "in"),
        ("DELETE", "mute", "out"),
        ("POST", "addChannel", None),
        ("DELETE", "mute", "in"),
        ("POST", "addChannel", None),
    ]


async def test_connecting_two(desk: Desk) -> None:
    desk.stub.script.append((200, {"id": "op-1", "name": wire.BRIDGE, "channels": []}))
    await desk.provider.create_bridge(CALLS, OP)
    assert desk.stub.changes == [("POST", "/ari/bridges/op-1"), ("POST", "/ari/bridges/op-1/addChannel")]


async def test_playing_to_a_member(desk: Desk) -> None:
    await desk.provider.play(MEMBER, URL, OP)
    await desk.provider.play(MEMBER, URL, evolve(OP, key="op-2"))
    whisper = "/ari/channels/call-1-whisper/play"
    assert desk.stub.changes == [
        ("POST", "/ari/channels/call-1/snoop/call-1-whisper"),
        ("POST", f"{whisper}/op-1"),
        ("POST", f"{whisper}/op-2"),
    ]


async def test_recording_a_call(desk: Desk) -> None:
    for action in (RecordAction.START, RecordAction.PAUSE, RecordAction.RESUME, RecordAction.STOP):
        await desk.provider.record(CALLS[0], action, OP)
    assert desk.stub.changes == [
        ("POST", "/ari/channels/call-1/snoop/call-1-listen-op-1"),
        ("POST", "/ari/channels/call-1-listen-op-1/record"),
        ("POST", "/ari/recordings/live/op-1/pause"),
        ("DELETE", "/ari/recordings/live/op-1/pause"),
        ("POST", "/ari/recordings/live/op-1/stop"),
        ("DELETE", "/ari/channels/call-1-listen-op-1"),
    ]


async def test_coaching(desk: Desk) -> None:
    await desk.provider.update_member(MEMBER, MemberPatch(coach="call-2"), OP)
    assert desk.stub.changes == [
        ("POST", "/ari/channels/call-1/variable"),
        ("POST", "/ari/channels/call-1/snoop/op-1-coach"),
        ("POST", "/ari/channels/call-2/snoop/op-1-coached"),
        ("POST", "/ari/bridges/op-1-coaching"),
        ("POST", "/ari/bridges/op-1-coaching/addChannel"),
    ]


#: Everything else takes one, where what is made for it once is there already.
SINGLE: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "create_call": (
        {"spec": CallSpec(to="+19195550101", caller_id="+12015550199"), "into": None},
        ("POST", "/ari/channels/op-1"),
    ),
    "add_member": (
        {"conference": ROOM, "call": CALLS[0], "options": MemberOptions()},
        ("POST", "/ari/bridges/room-1/addChannel"),
    ),
    "update_member": ({"member": MEMBER, "patch": MemberPatch(mute=True)}, ("POST", "/ari/channels/call-1/mute")),
    "remove_member": ({"member": MEMBER}, ("POST", "/ari/bridges/room-1/removeChannel")),
    "hang_up": ({"call": CALLS[0]}, ("DELETE", "/ari/channels/call-1")),
    "answer_call": ({"call": CALLS[0], "into": None}, ("POST", "/ari/channels/call-1/answer")),
    "reject_call": ({"call": CALLS[0]}, ("DELETE", "/ari/channels/call-1")),
    "send_digits": ({"call": CALLS[0], "digits": "5"}, ("POST", "/ari/channels/call-1/dtmf")),
    "end_bridge": ({"bridge": PAIR}, ("DELETE", "/ari/bridges/pair")),
    "play": ({"target": ROOM, "media": URL}, ("POST", "/ari/bridges/room-1/play/op-1")),
    "record": ({"target": PAIR, "action": RecordAction.START}, ("POST", "/ari/bridges/pair/record")),
}


@pytest.mark.parametrize("operation", SINGLE)
async def test_one_request(desk: Desk, operation: str) -> None:
    arguments, request = SINGLE[operation]
    await joined(desk)
    await getattr(desk.provider, operation)(**arguments, op=OP)
    assert desk.stub.changes == [request]


async def test_a_bridge_of_another_process_is_told_as_what_it_was_given_as(desk: Desk) -> None:
    await desk.provider.record(PAIR, RecordAction.START, OP)
    await desk.tell("RecordingFinished", recording={"name": "op-1", "target_uri": "bridge:pair"})
    await desk.provider.play(Bridge(provider="asterisk", id="pair-2"), URL, OP)
    await desk.tell("PlaybackFinished", playback={"id": "op-1", "target_uri": "bridge:pair-2"})
    assert [getattr(each, "bridge_id", None) for each in desk.told] == ["pair", "pair-2"]


@pytest.mark.parametrize("attempt", [1, 2])
async def test_what_has_begun_to_play_is_not_played_again(desk: Desk, attempt: int) -> None:
    await desk.tell("PlaybackStarted", playback={"id": "op-1", "target_uri": "bridge:room-1"})
    await desk.provider.play(ROOM, URL, evolve(OP, attempt=attempt))
    assert len(desk.stub.changes) == (1 if attempt == 1 else 0)


async def test_what_has_ended_is_not_stopped(desk: Desk) -> None:
    for key in ("op-1", "op-2"):
        await desk.provider.play(ROOM, URL, evolve(OP, key=key))
    await desk.tell("PlaybackFinished", playback={"id": "op-1", "target_uri": "bridge:room-1"})
    await desk.provider.play(ROOM, STOP, evolve(OP, key="op-3"))
    assert desk.stub.changes[2:] == [("DELETE", "/ari/playbacks/op-2")]
    await desk.provider.play(PAIR, URL, evolve(OP, key="op-4"))
    await desk.tell("BridgeDestroyed", bridge={"id": "pair", "name": wire.BRIDGE})
    await desk.provider.play(PAIR, STOP, evolve(OP, key="op-5"))
    assert len(desk.stub.changes) == 4


async def test_a_recording_that_has_ended_by_itself_is_over(desk: Desk) -> None:
    await desk.provider.record(ROOM, RecordAction.START, OP)
    await desk.provider.record(ROOM, RecordAction.PAUSE, evolve(OP, key="op-2"))
    await desk.tell("RecordingFinished", recording={"name": "op-1", "target_uri": "bridge:room-1"})
    for key in ("op-3", "op-4"):  # a new one, which does not pause
        await desk.provider.record(ROOM, RecordAction.START, evolve(OP, key=key))
    bodies = [body and body.get("name") for method, _, body in desk.stub.seen if method != "GET"]
    assert bodies == ["op-1", None, "op-3"]
