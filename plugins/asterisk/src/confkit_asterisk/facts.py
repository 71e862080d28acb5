"""ARI's events as confkit's, with what the state learns from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from confkit.provider import Call, CallState, EndCause, Event, events
from confkit_asterisk import wire
from confkit_asterisk.state import Leg, State, remember
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


def take_in(payload: Mapping[str, Any], state: State) -> list[Event]:
    """Learn from an event, and say what it means.

    Its type alone decides: a user event or a transfer names a channel and a bridge as a leave does, and is none.
    """
    kind = payload.get("type")
    if not isinstance(kind, str) or kind in _SILENT or _of_our_own(payload.get("channel")):
        return []
    common = _common(payload)
    if (meaning := _MEANINGS.get(kind)) is not None and (found := meaning(payload, common, state)) is not None:
        return found
    bridge = payload.get("bridge")
    in_conference = isinstance(bridge, dict) and bridge.get("name") == CONFERENCE
    return [
        events.Unknown(
            **common,
            type=kind,
            call_id=_id_of(payload.get("channel")),
            conference_id=_id_of(bridge) if in_conference else None,
        )
    ]


def engine_gone(state: State) -> list[Event]:
    """Nobody listens at the engine's port any more: its process has ended, and its calls with it."""
    found: list[Event] = []
    state.presumed_gone += [("channels", call_id) for call_id in state.legs]
    pairs = {leg.bridge for leg in state.legs.values() if leg.bridge is not None}
    state.presumed_gone += [("bridges", bridge_id) for bridge_id in sorted(state.conferences | pairs)]
    for conference_id in sorted(state.conferences):
        found.append(
            events.Unknown(
                provider=PROVIDER,
                id=f"engine gone {conference_id}",
                type="EngineGone",
                conference_id=conference_id,
            )
        )
    for call_id in list(state.legs):
        state.end(call_id, EndCause.FAILED)
        found.append(
            events.CallEnded(provider=PROVIDER, id=f"engine gone {call_id}", call_id=call_id, cause=EndCause.FAILED)
        )
    for conference_id in sorted(state.conferences):
        state.conference_over(conference_id)
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


def _id_of(thing: object) -> str | None:
    """The id of a channel, bridge, playback; ``None`` where the event names none."""
    found = thing.get("id") if isinstance(thing, dict) else None
    return found if isinstance(found, str) else None


def _of_our_own(channel: object) -> bool:
    """Whether it is a channel of ours that is no call."""
    return isinstance(channel, dict) and str(channel.get("name", "")).startswith("Snoop/")


Meaning = Callable[[Mapping[str, Any], "dict[str, Any]", State], "list[Event] | None"]


def _stasis_start(payload: Mapping[str, Any], common: dict[str, Any], state: State) -> list[Event] | None:
    """A channel is in the application: one that we have dialled is answered, any other has come in."""
    channel = payload.get("channel")
    if not isinstance(channel, dict) or (call_id := _id_of(channel)) is None:
        return None
    if (replaced := _id_of(payload.get("replace_channel"))) is not None:
        # After a transfer a channel takes the place of another: nobody calls.
        return [events.Unknown(**common, type="StasisStart", call_id=replaced)]
    args, at = payload.get("args"), common["occurred_at"]
    if isinstance(args, list) and wire.DIALLED in args:
        state.advance(call_id, CallState.ANSWERED, at)
        return [events.CallAnswered(**common, call_id=call_id, op=call_id)]  # our key is the channel's id
    if state.leg(call_id) is not None:
        return []  # it was handed back by the dialplan
    caller, called = wire.number_of(channel, "caller"), wire.dialled_number(channel)
    call = Call(provider=PROVIDER, id=call_id, to=called, caller_id=caller, state=CallState.RINGING, created_at=at)
    state.legs[call_id] = Leg(call=call, incoming=True)
    return [events.IncomingCall(**common, call_id=call_id, caller=caller, called=called)]


def _state_changed(payload: Mapping[str, Any], common: dict[str, Any], state: State) -> list[Event] | None:
    channel = payload.get("channel")
    if not isinstance(channel, dict) or (call_id := _id_of(channel)) is None:
        return None
    if channel.get("state") in ("Ring", "Ringing"):
        state.advance(call_id, CallState.RINGING, common["occurred_at"])
        return [events.CallRinging(**common, call_id=call_id)]
    # A call that we have dialled is answered when it is in the application: until then nothing can be done with it.
    # One that came in is there already.
    leg = state.legs.get(call_id)
    if channel.get("state") == "Up" and leg is not None and leg.incoming:
        state.advance(call_id, CallState.ANSWERED, common["occurred_at"])
        return [events.CallAnswered(**common, call_id=call_id)]
    return []


def _channel_destroyed(payload: Mapping[str, Any], common: dict[str, Any], state: State) -> list[Event] | None:
    channel = payload.get("channel")
    if not isinstance(channel, dict) or (call_id := _id_of(channel)) is None:
        return None
    # A channel that was answered is "Up" to its end.
    answered = channel.get("state") == "Up"
    cause = state.end(call_id, wire.cause_of(payload.get("cause")), common["occurred_at"], answered=answered)
    return [events.CallEnded(**common, call_id=call_id, cause=cause)]


def _digit(payload: Mapping[str, Any], common: dict[str, Any], state: State) -> list[Event] | None:
    del state
    if (call_id := _id_of(payload.get("channel"))) is None:
        return None
    return [events.DigitsReceived(**common, call_id=call_id, digits=str(payload.get("digit", "")))]


def _entered(payload: Mapping[str, Any], common: dict[str, Any], state: State) -> list[Event] | None:
    """The place of a call in a conference has the call's id: it has but one."""
    call_id, bridge = _id_of(payload.get("channel")), payload.get("bridge")
    if call_id is None or not isinstance(bridge, dict) or (bridge_id := _id_of(bridge)) is None:
        return None
    name = bridge.get("name")
    place(state, call_id, bridge_id, conference=name == CONFERENCE)
    if name == BRIDGE and len(wire.members_of(bridge)) == 2:
        remember(state.bridges, bridge_id, None)
        return [events.BridgeStarted(**common, bridge_id=bridge_id)]
    if name != CONFERENCE:
        return []
    leg = state.known(call_id)
    return [
        events.MemberJoined(
            **common, call_id=call_id, member_id=call_id, conference_id=bridge_id, mute=leg.mute, hold=leg.hold
        )
    ]


def _left(payload: Mapping[str, Any], common: dict[str, Any], state: State) -> list[Event] | None:
    call_id, bridge = _id_of(payload.get("channel")), payload.get("bridge")
    if call_id is None or not isinstance(bridge, dict) or (bridge_id := _id_of(bridge)) is None:
        return None
    if (leg := state.leg(call_id)) is not None and leg.bridge == bridge_id:
        leg.bridge = None
    if bridge.get("name") != CONFERENCE:
        return []
    return [events.MemberLeft(**common, call_id=call_id, member_id=call_id, conference_id=bridge_id)]


def place(state: State, call_id: str, bridge_id: str, *, conference: bool) -> None:
    """A call is in a conference or a bridge now."""
    leg = state.known(call_id)
    leg.bridge = bridge_id
    if conference:
        leg.into, leg.joined = bridge_id, True


def _bridge_created(payload: Mapping[str, Any], common: dict[str, Any], state: State) -> list[Event] | None:
    bridge = payload.get("bridge")
    if not isinstance(bridge, dict) or (bridge_id := _id_of(bridge)) is None:
        return None
    if bridge.get("name") != CONFERENCE:
        return []
    state.conferences.add(bridge_id)
    return [events.ConferenceStarted(**common, conference_id=bridge_id, key=wire.key_of(bridge))]


def _bridge_destroyed(payload: Mapping[str, Any], common: dict[str, Any], state: State) -> list[Event] | None:
    bridge = payload.get("bridge")
    if not isinstance(bridge, dict) or (bridge_id := _id_of(bridge)) is None:
        return None
    match bridge.get("name"):
        case wire.CONFERENCE:
            state.conference_over(bridge_id)
            return [events.ConferenceEnded(**common, conference_id=bridge_id)]
        case wire.BRIDGE:
            state.forget_target(f"bridge:{bridge_id}")
            return [events.BridgeEnded(**common, bridge_id=bridge_id)]
    return []


def _playback_started(payload: Mapping[str, Any], common: dict[str, Any], state: State) -> list[Event] | None:
    if (found := _playback(payload, state)) is None:
        return None
    target, playback_id = found
    state.playing.setdefault(target, set()).add(playback_id)
    return [events.PlaybackStarted(**common, **_where(target, state))]


def _playback_finished(payload: Mapping[str, Any], common: dict[str, Any], state: State) -> list[Event] | None:
    if (found := _playback(payload, state)) is None:
        return None
    target, playback_id = found
    state.playing.get(target, set()).discard(playback_id)
    return [events.PlaybackEnded(**common, **_where(target, state))]


def _playback(payload: Mapping[str, Any], state: State) -> tuple[str, str] | None:
    """Where something plays, and its id."""
    playback = payload.get("playback")
    if not isinstance(playback, dict) or (playback_id := _id_of(playback)) is None:
        return None
    remember(state.played, playback_id, None)
    return str(playback.get("target_uri")), playback_id


def _recording_finished(payload: Mapping[str, Any], common: dict[str, Any], state: State) -> list[Event] | None:
    if (found := _recording(payload, state)) is None:
        return None
    target, name = found
    return [events.RecordingReady(**common, recording_id=name, **_where(target, state))]


def _recording_failed(payload: Mapping[str, Any], common: dict[str, Any], state: State) -> list[Event] | None:
    if (found := _recording(payload, state)) is None:
        return None
    target, name = found
    return [events.RecordingFailed(**common, recording_id=name, **_where(target, state))]


def _recording(payload: Mapping[str, Any], state: State) -> tuple[str, str] | None:
    """What was recorded until now, and the recording's name."""
    recording = payload.get("recording")
    if not isinstance(recording, dict) or not isinstance(name := recording.get("name"), str):
        return None
    target = str(recording.get("target_uri"))
    if state.recording.get(target) == name:
        del state.recording[target]
    return target, name


def _where(target: str, state: State) -> dict[str, Any]:
    """The conference, the bridge of two or the call behind a target.

    A call is heard and spoken to through channels named after it. A bridge that this process has not seen before is
    taken for a conference: the event does not say.
    """
    kind, _, id_ = target.partition(":")
    if kind == "bridge":
        return {"bridge_id" if id_ in state.bridges else "conference_id": id_}
    return {"call_id": id_.partition("-listen")[0].removesuffix("-whisper")}


#: What each type of event means; of any other nothing is concluded. A meaning is ``None`` where the event lacks what
#: its type promises.
_MEANINGS: Final[Mapping[str, Meaning]] = {
    "BridgeCreated": _bridge_created,
    "BridgeDestroyed": _bridge_destroyed,
    "ChannelDestroyed": _channel_destroyed,
    "ChannelDtmfReceived": _digit,
    "ChannelEnteredBridge": _entered,
    "ChannelLeftBridge": _left,
    "ChannelStateChange": _state_changed,
    "PlaybackFinished": _playback_finished,
    "PlaybackStarted": _playback_started,
    "RecordingFailed": _recording_failed,
    "RecordingFinished": _recording_finished,
    "StasisStart": _stasis_start,
}
