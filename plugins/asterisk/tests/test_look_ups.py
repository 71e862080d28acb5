"""What is known of lost requests, of what has ended, and of an engine that is gone."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import anyio
import pytest
from attrs import evolve
from confkit_asterisk import wire
from confkit_asterisk.ari import Ari, _Outage
from confkit_asterisk.settings import AsteriskSettings

from confkit import OutcomeUnknown
from confkit.provider import (
    Bridge,
    BridgeState,
    Call,
    CallSpec,
    CallState,
    Conference,
    ConferenceSpec,
    ConferenceState,
    EndCause,
    FindHint,
    MemberOptions,
    MemberState,
    NotFound,
    Op,
    PermissionDenied,
    events,
)
from plugins.asterisk.tests.stub import Desk, at_desk

pytestmark = pytest.mark.anyio
OP = Op(key="op-1", timeout=timedelta(seconds=2))
SPEC = CallSpec(to="+19195550101", caller_id="+12015550199")
ROOM = Conference(provider="asterisk", key="ours", id="room-1")
CALL = Call(provider="asterisk", id="call-1")
DIALLED = FindHint(operation="create_call", to=SPEC.to)
LOST = (500, {"message": "Internal Server Error"})
NOT_FOUND = (404, {"message": "not found"})


def channel(id_: str = "op-1", state: str = "Up", **dialplan: str) -> dict[str, Any]:
    dialplan = dialplan or {"app_name": "Stasis"}
    return {"id": id_, "name": "PJSIP/trunk-00000000", "state": state, "dialplan": dialplan}


def bridge(id_: str = "room-1", *calls: str, name: str = wire.CONFERENCE) -> dict[str, Any]:
    return {"id": id_, "name": name, "channels": list(calls)}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with at_desk(endpoint="PJSIP/{number}@trunk") as made:
        yield made


async def dial(desk: Desk, reply: tuple[int, Any] = LOST, attempt: int = 1) -> None:
    desk.stub.script.append(reply)
    await desk.provider.create_call(SPEC, evolve(OP, attempt=attempt), None)


async def lost_dial(desk: Desk) -> None:
    with pytest.raises(OutcomeUnknown):
        await dial(desk)


async def test_a_lost_call_that_was_busy_is_found(desk: Desk) -> None:
    await lost_dial(desk)
    await desk.tell("ChannelDestroyed", cause=17, channel=channel(state="Down"))
    desk.stub.script.append(NOT_FOUND)
    (call,) = await desk.provider.find("op-1", DIALLED)
    assert isinstance(call, Call)
    assert (call.id, call.state, call.cause) == ("op-1", CallState.ENDED, EndCause.BUSY)


async def test_a_lost_call_that_has_answered_and_left_is_found(desk: Desk) -> None:
    await lost_dial(desk)
    await desk.tell("StasisStart", args=[wire.DIALLED], channel=channel())
    await desk.tell("ChannelDestroyed", cause=16, channel=channel())
    (call,) = await desk.provider.find("op-1", DIALLED)
    assert isinstance(call, Call)
    assert (call.cause, call.answered_at is not None) == (EndCause.HANGUP, True)


async def test_what_tells_of_its_end_may_be_late(desk: Desk) -> None:
    await lost_dial(desk)
    desk.stub.script.append(NOT_FOUND)
    found: list[Any] = []

    async def look() -> None:
        found.extend(await desk.provider.find("op-1", DIALLED))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        await desk.until(lambda: desk.stub.seen[-1][0] == "GET")
        await desk.tell("ChannelDestroyed", cause=17, channel=channel(state="Down"))
    assert [call.cause for call in found] == [EndCause.BUSY]


async def test_nothing_is_found_of_a_call_of_which_nobody_has_heard_while_all_was_heard(desk: Desk) -> None:
    await lost_dial(desk)
    desk.stub.script.append(NOT_FOUND)
    assert await desk.provider.find("op-1", DIALLED) == ()


async def test_what_may_have_ended_while_nobody_listened_is_not_known(desk: Desk) -> None:
    await lost_dial(desk)
    await desk.stub.kill()
    await desk.tasks.start(desk.stub.run)
    await desk.until(lambda: desk.stub.streams == 2)
    desk.stub.script.append(NOT_FOUND)
    with pytest.raises(OutcomeUnknown, match="while nobody listened"):
        await desk.provider.find("op-1", DIALLED)


async def test_what_another_process_has_dialled_is_not_known(desk: Desk) -> None:
    desk.stub.script.append(NOT_FOUND)
    with pytest.raises(OutcomeUnknown, match="forgets"):
        await desk.provider.find("op-1", DIALLED)


async def test_a_doubt_is_not_forgotten_over_a_later_refusal(desk: Desk) -> None:
    await lost_dial(desk)
    desk.stub.script.append(NOT_FOUND)  # it is looked for before it is dialled again
    with pytest.raises(PermissionDenied):
        await dial(desk, (403, {"message": "no"}), attempt=2)
    await desk.tell("ChannelDestroyed", cause=17, channel=channel(state="Down"))
    (call,) = await desk.provider.find("op-1", DIALLED)
    assert isinstance(call, Call)
    assert call.cause is EndCause.BUSY


async def test_the_end_of_a_call_is_not_forgotten_over_a_later_refusal(desk: Desk) -> None:
    await lost_dial(desk)
    desk.stub.script.append(NOT_FOUND)
    desk.stub.held = anyio.Event()
    sent = len(desk.stub.changes)

    async def again() -> None:
        with pytest.raises(PermissionDenied):
            await dial(desk, (403, {"message": "no"}), attempt=2)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(again)
        await desk.until(lambda: len(desk.stub.changes) > sent)
        await desk.tell("ChannelDestroyed", cause=17, channel=channel(state="Down"))
        desk.stub.held.set()
    (call,) = await desk.provider.find("op-1", DIALLED)
    assert isinstance(call, Call)
    assert call.cause is EndCause.BUSY


async def test_what_was_refused_was_not_dialled(desk: Desk) -> None:
    with pytest.raises(PermissionDenied):
        await dial(desk, (403, {"message": "no"}))
    desk.stub.script.append(NOT_FOUND)
    with pytest.raises(NotFound):
        await desk.provider.fetch(Call(provider="asterisk", id="op-1"))


async def test_a_lost_member_that_has_left_is_found(desk: Desk) -> None:
    hint = FindHint(operation="add_member", into=ROOM, call=CALL)
    desk.stub.script.append((200, bridge("room-1", "call-1")))
    assert [getattr(each, "state", None) for each in await desk.provider.find("op-1", hint)] == [MemberState.JOINED]
    await desk.tell("ChannelLeftBridge", channel=channel("call-1"), bridge=bridge())
    desk.stub.script += [(200, bridge()), (200, channel("call-1"))]
    assert [getattr(each, "state", None) for each in await desk.provider.find("op-1", hint)] == [MemberState.LEFT]
    desk.stub.script += [(200, bridge()), (200, channel("call-1"))]
    assert await desk.provider.find("op-2", evolve(hint, call=Call(provider="asterisk", id="call-2"))) == ()


async def test_a_lost_conference_that_has_ended_is_found(desk: Desk) -> None:
    hint = FindHint(operation="create_conference")
    desk.stub.script.append(NOT_FOUND)
    assert await desk.provider.find("room-1", hint) == ()
    await desk.tell("BridgeCreated", bridge=bridge())
    await desk.tell("BridgeDestroyed", bridge=bridge())
    desk.stub.script.append(NOT_FOUND)
    (found,) = await desk.provider.find("room-1", hint)
    assert isinstance(found, Conference)
    assert (found.id, found.state) == ("room-1", ConferenceState.ENDED)


async def test_a_lost_bridge_is_found_once_it_has_connected_its_calls(desk: Desk) -> None:
    hint = FindHint(operation="create_bridge")
    half, whole = (bridge("pair", *calls, name=wire.BRIDGE) for calls in (["call-1"], ["call-1", "call-2"]))
    desk.stub.script.append((200, half))
    assert await desk.provider.find("pair", hint) == ()
    desk.stub.script.append((200, whole))
    (found,) = await desk.provider.find("pair", hint)
    assert isinstance(found, Bridge)
    assert found.state is BridgeState.ACTIVE
    await desk.tell("ChannelEnteredBridge", channel=channel("call-2"), bridge=whole)
    for reply, state in (((200, half), BridgeState.CREATED), (NOT_FOUND, BridgeState.ENDED)):
        desk.stub.script.append(reply)
        (found,) = await desk.provider.find("pair", hint)
        assert isinstance(found, Bridge)
        assert (found.id, found.state) == ("pair", state)


async def test_whose_a_conference_is_comes_from_asterisk(desk: Desk) -> None:
    for record, key in ((bridge(), "room-1"), (bridge(name="of another application"), "")):
        desk.stub.script.append((200, record))
        shown = (await desk.provider.fetch(ROOM)).conference
        assert shown is not None
        assert (shown.id, shown.key) == ("room-1", key)


async def test_of_a_conference_that_is_gone_asterisk_keeps_no_key(desk: Desk) -> None:
    desk.stub.script.append((200, bridge("op-1")))
    made = await desk.provider.create_conference(ConferenceSpec(caller_id=SPEC.caller_id), OP)
    desk.stub.script.append(NOT_FOUND)
    shown = (await desk.provider.fetch(made)).conference
    assert shown is not None
    assert (shown.id, shown.key, shown.state) == ("op-1", "", ConferenceState.ENDED)


async def test_in_an_engine_that_is_gone_all_has_ended(desk: Desk) -> None:
    provider, stub = desk.provider, desk.stub
    await dial(desk, (200, channel(state="Down")))
    stub.script.append((200, bridge("op-2")))
    room = await provider.create_conference(ConferenceSpec(caller_id=SPEC.caller_id), evolve(OP, key="op-2"))
    member = await provider.add_member(room, Call(provider="asterisk", id="op-1"), MemberOptions(), OP)
    await stub.kill()
    await desk.until(lambda: any(isinstance(each, events.ConferenceEnded) for each in desk.told))
    assert [type(each) for each in desk.told] == [events.Unknown, events.CallEnded, events.ConferenceEnded]
    seen = len(stub.seen)
    call = (await provider.fetch(Call(provider="asterisk", id="op-1"))).calls[0]
    assert call.state is CallState.ENDED
    await provider.hang_up(call, OP)
    await provider.remove_member(member, OP)
    await provider.end_conference(room, OP)
    await provider.end_bridge(Bridge(provider="asterisk", id="pair"), OP)
    assert len(stub.seen) == seen


async def test_what_was_not_gone_after_all_is_ended_when_the_engine_is_back(desk: Desk) -> None:
    """A port that refuses may be that of a tunnel."""
    await dial(desk, (200, channel(state="Down")))
    whole = bridge("pair", "call-1", "call-2", name=wire.BRIDGE)
    await desk.tell("BridgeCreated", bridge=bridge())
    await desk.tell("ChannelEnteredBridge", channel=channel("call-1"), bridge=whole)
    await desk.stub.kill()
    await desk.until(lambda: any(isinstance(each, events.ConferenceEnded) for each in desk.told))
    before = len(desk.stub.changes)
    await desk.tasks.start(desk.stub.run)
    await desk.until(lambda: len(desk.stub.changes) == before + 4)
    assert desk.stub.changes[before:] == [
        ("DELETE", "/ari/channels/op-1"),
        ("DELETE", "/ari/channels/call-1"),
        ("DELETE", "/ari/bridges/pair"),
        ("DELETE", "/ari/bridges/room-1"),
    ]
    await desk.stub.kill()  # and only once
    await desk.tasks.start(desk.stub.run)
    await desk.until(lambda: desk.stub.streams == 3)
    await desk.tell("ChannelHold", channel=channel())
    assert len(desk.stub.changes) == before + 4


@pytest.mark.parametrize(
    ("base_url", "known"),
    [
        ("http://127.0.0.1:8088", True),
        ("http://[::1]:8088", True),
        ("http://localhost:8088", True),
        ("http://192.0.2.1:8088", False),
        ("https://pbx.example.com", False),
    ],
)
def test_only_of_an_engine_on_this_machine_a_closed_port_tells_the_end(base_url: str, known: bool) -> None:
    ari = Ari(AsteriskSettings(user="u", password="p", base_url=base_url))
    assert not ari.gone
    ari._outage = _Outage(told=True)
    assert ari.gone is known


async def test_an_engine_that_is_too_old_is_told_of_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    for reply in (channel(state="Down"), channel(state="Down", context="in"), channel(state="Down", context="in")):
        await dial(desk, (200, reply))
    assert [(record.levelno, record.name) for record in caplog.records] == [(logging.WARNING, "confkit.asterisk")]
    assert "too old" in caplog.text
    assert "16.28" in caplog.text
