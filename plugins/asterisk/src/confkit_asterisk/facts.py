"""ARI's events as confkit's, with what the ledger learns from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from confkit import events
from confkit.events import Event
from confkit.models import Call, CallState, EndCause
from confkit_asterisk import wire
from confkit_asterisk.ledger import Ledger, Leg, remember
from confkit_asterisk.wire import BRIDGE, CONFERENCE, PROVIDER

#: What says nothing about people: steps on the way to an event that does, and the dialplan's bookkeeping.
_SILENT: Final = frozenset(
    {
        "BridgeMerged",
        "BridgeVideoSourceChanged",
        "ChannelCallerId",
        "ChannelConnectedLine",
        "ChannelCreated",
        "ChannelDialplan",
        "ChannelHangupRequest",
        "ChannelToneDetected",
        "ChannelVarset",
        "DeviceStateChanged",
        "Dial",
        "PlaybackContinuing",
        "RecordingStarted",
        "StasisEnd",
    }
)


def take_in(payload: Mapping[str, Any], ledger: Ledger) -> list[Event]:
    """Learn from an event, and say what it means."""
    kind = payload.get("type")
    common = _common(payload)
    if isinstance(channel := payload.get("channel"), dict) and isinstance(channel.get("id"), str):
        if str(channel.get("name", "")).startswith("Snoop/"):
            return []
        if isinstance(bridge := payload.get("bridge"), dict):
            return _membership(str(kind), channel["id"], bridge, common, ledger)
        if (found := _of_channel(str(kind), channel, payload, common, ledger)) is not None:
            return found
    match payload:
        case {"bridge": dict(bridge)}:
            return _of_bridge(str(kind), bridge, common, ledger)
        case {"playback": dict(playback)}:
            return _of_playback(str(kind), playback, common, ledger)
        case {"recording": dict(recording)}:
            return _of_recording(str(kind), recording, common, ledger)
    if not isinstance(kind, str) or kind in _SILENT:
        return []
    call_id = channel.get("id") if isinstance(channel, dict) else None
    return [events.Unknown(**common, type=kind, call_id=call_id if isinstance(call_id, str) else None)]


def engine_gone(ledger: Ledger) -> list[Event]:
    """Nobody listens at the engine's port any more: its process has ended, and its calls with it."""
    found: list[Event] = []
    for conference_id in sorted(ledger.conferences):
        found.append(
            events.Unknown(
                provider=PROVIDER,
                id=f"engine gone {conference_id}",
                type="EngineGone",
                conference_id=conference_id,
            )
        )
    for call_id in list(ledger.legs):
        ledger.end(call_id, EndCause.FAILED)
        found.append(
            events.CallEnded(provider=PROVIDER, id=f"engine gone {call_id}", call_id=call_id, cause=EndCause.FAILED)
        )
    for conference_id in sorted(ledger.conferences):
        ledger.conference_over(conference_id)
        found.append(
            events.ConferenceEnded(
                provider=PROVIDER, id=f"engine gone, ended {conference_id}", conference_id=conference_id
            )
        )
    return found


def _common(payload: Mapping[str, Any]) -> dict[str, Any]:
    # ARI's events have no id, so what they say is their id.
    text = json.dumps(payload, sort_keys=True, default=str)
    return {
        "provider": PROVIDER,
        "id": hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
        "occurred_at": wire.timestamp(payload.get("timestamp")),
        "raw": payload,
    }


def _of_channel(
    kind: str, channel: Mapping[str, Any], payload: Mapping[str, Any], common: dict[str, Any], ledger: Ledger
) -> list[Event] | None:
    """What an event says about a call; ``None`` where it is of another kind."""
    call_id: str = channel["id"]
    at = common["occurred_at"]
    match kind:
        case "StasisStart":
            args = payload.get("args")
            if isinstance(args, list) and wire.DIALLED in args:
                ledger.advance(call_id, CallState.ANSWERED, at)
                return [events.CallAnswered(**common, call_id=call_id)]
            if ledger.leg(call_id) is not None:
                return []  # it was handed back by the dialplan
            caller, called = wire.number_of(channel, "caller"), wire.dialled_number(channel)
            call = Call(
                provider=PROVIDER, id=call_id, to=called, caller_id=caller, state=CallState.RINGING, created_at=at
            )
            ledger.legs[call_id] = Leg(call=call, incoming=True)
            return [events.IncomingCall(**common, call_id=call_id, caller=caller, called=called)]
        case "ChannelStateChange" if channel.get("state") in ("Ring", "Ringing"):
            ledger.advance(call_id, CallState.RINGING, at)
            return [events.CallRinging(**common, call_id=call_id)]
        case "ChannelStateChange":
            # A call that we have dialled is answered when it is in the application: until then nothing can be
            # done with it. One that came in is there already.
            leg = ledger.legs.get(call_id)
            if channel.get("state") == "Up" and leg is not None and leg.incoming:
                ledger.advance(call_id, CallState.ANSWERED, at)
                return [events.CallAnswered(**common, call_id=call_id)]
            return []
        case "ChannelDestroyed":
            cause = ledger.end(call_id, wire.cause_of(payload.get("cause")), at)
            return [events.CallEnded(**common, call_id=call_id, cause=cause)]
        case "ChannelDtmfReceived":
            return [events.DigitsReceived(**common, call_id=call_id, digits=str(payload.get("digit", "")))]
    return None


def _membership(
    kind: str, call_id: str, bridge: Mapping[str, Any], common: dict[str, Any], ledger: Ledger
) -> list[Event]:
    """A call has entered or left a bridge. The place of a call in a conference has the call's id: it has but one."""
    bridge_id, name = str(bridge.get("id")), bridge.get("name")
    entered = kind == "ChannelEnteredBridge"
    if entered:
        place(ledger, call_id, bridge_id, conference=name == CONFERENCE)
    elif (leg := ledger.leg(call_id)) is not None and leg.bridge == bridge_id:
        leg.bridge = None
    if name == BRIDGE:
        complete = entered and len(wire.members_of(bridge)) == 2
        return [events.BridgeStarted(**common, bridge_id=bridge_id)] if complete else []
    if name != CONFERENCE:
        return []
    if not entered:
        return [events.MemberLeft(**common, call_id=call_id, member_id=call_id, conference_id=bridge_id)]
    leg = ledger.known(call_id)
    return [
        events.MemberJoined(
            **common,
            call_id=call_id,
            member_id=call_id,
            conference_id=bridge_id,
            mute=leg.mute,
            hold=leg.hold,
        )
    ]


def place(ledger: Ledger, call_id: str, bridge_id: str, *, conference: bool) -> None:
    """A call is in a conference or a bridge now."""
    leg = ledger.known(call_id)
    leg.bridge = bridge_id
    if conference:
        leg.into, leg.joined = bridge_id, True


def _of_bridge(kind: str, bridge: Mapping[str, Any], common: dict[str, Any], ledger: Ledger) -> list[Event]:
    bridge_id, name = str(bridge.get("id")), bridge.get("name")
    match kind, name:
        case "BridgeCreated", wire.CONFERENCE:
            ledger.conferences.add(bridge_id)
            return [events.ConferenceStarted(**common, conference_id=bridge_id, key=bridge_id)]
        case "BridgeDestroyed", wire.CONFERENCE:
            ledger.conference_over(bridge_id)
            return [events.ConferenceEnded(**common, conference_id=bridge_id)]
        case "BridgeDestroyed", wire.BRIDGE:
            return [events.BridgeEnded(**common, bridge_id=bridge_id)]
    return []


def _of_playback(kind: str, playback: Mapping[str, Any], common: dict[str, Any], ledger: Ledger) -> list[Event]:
    target, playback_id = str(playback.get("target_uri")), str(playback.get("id"))
    where = _where(target)
    if kind == "PlaybackStarted":
        remember(ledger.played, playback_id, None)
        ledger.playing.setdefault(target, set()).add(playback_id)
        return [events.PlaybackStarted(**common, **where)]
    if kind == "PlaybackFinished":
        remember(ledger.played, playback_id, None)
        ledger.playing.get(target, set()).discard(playback_id)
        return [events.PlaybackEnded(**common, **where)]
    return []


def _of_recording(kind: str, recording: Mapping[str, Any], common: dict[str, Any], ledger: Ledger) -> list[Event]:
    target, name = str(recording.get("target_uri")), str(recording.get("name"))
    if kind not in ("RecordingFinished", "RecordingFailed"):
        return []
    if ledger.recording.get(target) == name:
        del ledger.recording[target]
        ledger.paused.discard(target)
    call_id = _where(target).get("call_id")
    happened = events.RecordingReady if kind == "RecordingFinished" else events.RecordingFailed
    return [happened(**common, recording_id=name, call_id=call_id)]


def _where(target: str) -> dict[str, Any]:
    """The conference or call behind a target; a call is heard and spoken to through channels named after it."""
    kind, _, id_ = target.partition(":")
    if kind == "bridge":
        return {"conference_id": id_}
    return {"call_id": id_.partition("-listen")[0].removesuffix("-whisper")}
