"""Bandwidth's callbacks as events (``callbacks.md``, and a page for each event): payload in, events out.

They have no id, no signature and no promise of order, and may come twice, so an event's id is a digest of
what makes it the event it is. What the pages leave out is not required: a ``conference`` event has no ``time``, a
member event no ``conferenceUri``, a ``timeout`` no ``cause``; ``status`` and ``state`` stand in for each other;
a refusal is a ``hangup``, there is no event named ``reject``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from confkit.errors import WebhookRejected
from confkit.events import (
    CallAnswered,
    CallEnded,
    ConferenceEnded,
    ConferenceStarted,
    DigitsReceived,
    Event,
    IncomingCall,
    MemberJoined,
    MemberLeft,
    PlaybackEnded,
    PlaybackStarted,
    RecordingFailed,
    RecordingReady,
    Unknown,
    WebhookRequest,
)
from confkit.models import EndCause
from confkit_bandwidth.wire import PROVIDER, address, boolean, cause_of, id_in, text, timestamp

#: What tells one event from another; ``hold`` and ``mute`` because a member event gives no other reason.
_IDENTITY: Final = frozenset(
    {
        "callId",
        "callUri",
        "conferenceId",
        "conferenceUri",
        "memberId",
        "memberUri",
        "recordingId",
        "gatherId",
        "transcriptionId",
        "state",
        "status",
        "cause",
        "hold",
        "mute",
        "dtmfDigit",
        "digits",
        "tag",
        "time",
        "createdTime",
        "completedTime",
        "startTime",
        "endTime",
    }
)


def payload_of(request: WebhookRequest) -> dict[str, Any]:
    """The event's fields: the JSON body of a POST, the query of a GET.

    Raises:
        WebhookRejected: it is neither.
    """
    if request.method == "GET":
        return dict(request.query)
    if request.method != "POST":
        raise WebhookRejected("a callback is a POST or a GET", status=405)
    try:
        payload = json.loads(request.body)
    except (ValueError, RecursionError):
        raise WebhookRejected("the body is not JSON", status=400) from None
    if not isinstance(payload, dict):
        raise WebhookRejected("the body is not a JSON object", status=400)
    return payload


def parse(payload: Mapping[str, Any]) -> tuple[Event, ...]:
    """The facts in a callback.

    Types that confkit has no word for, and events that lack the id they are about, become ``Unknown``.

    Raises:
        WebhookRejected: there is no ``eventType``, so it is not one of Bandwidth's.
    """
    kind = text(payload, "eventType")
    if kind is None:
        raise WebhookRejected("the callback has no eventType", status=400)
    # One page prints "conference-member." with a stray full stop.
    parser = _PARSERS.get(kind.strip().rstrip(".").lower())
    common: dict[str, Any] = {
        "provider": PROVIDER,
        "id": _digest(kind, payload),
        "occurred_at": timestamp(_number(payload.get("time"))),
        "raw": dict(payload),
    }
    event = parser(payload, common) if parser else None
    if event is None:
        call_id, conference_id = _call(payload), _conference(payload)
        event = Unknown(type=kind, call_id=call_id, conference_id=conference_id, **common)
    return (event,)


def _digest(kind: str, payload: Mapping[str, Any]) -> str:
    # As text, so that a POST and the GET of the same event are one.
    facts = [
        (name, _plain(value))
        for name, value in sorted(payload.items())
        if name in _IDENTITY and isinstance(value, str | int | float)
    ]
    content = repr((kind.lower(), facts))
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def _plain(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: Any) -> Any:
    """In a query a number of milliseconds is text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    return value


def _call(payload: Mapping[str, Any]) -> str | None:
    return id_in(payload, "callId", "callUri")


def _conference(payload: Mapping[str, Any]) -> str | None:
    return id_in(payload, "conferenceId", "conferenceUri")


def _incoming(payload: Mapping[str, Any], common: dict[str, Any]) -> Event | None:
    # Its callState says "active" before anyone has answered, so it is not looked at.
    if (call_id := _call(payload)) is None:
        return None
    return IncomingCall(call_id=call_id, caller=address(payload, "from"), called=address(payload, "to"), **common)


def _answer(payload: Mapping[str, Any], common: dict[str, Any]) -> Event | None:
    return CallAnswered(call_id=call_id, **common) if (call_id := _call(payload)) else None


def _timeout(payload: Mapping[str, Any], common: dict[str, Any]) -> Event | None:
    # A hangup with NO_ANSWER may follow or may not; both say that the call is over.
    call_id = _call(payload)
    return CallEnded(call_id=call_id, cause=EndCause.NO_ANSWER, **common) if call_id else None


def _hangup(payload: Mapping[str, Any], common: dict[str, Any]) -> Event | None:
    call_id = _call(payload)
    return CallEnded(call_id=call_id, cause=cause_of(payload.get("cause")), **common) if call_id else None


def _playback(payload: Mapping[str, Any], common: dict[str, Any]) -> Event | None:
    call_id, conference_id = _call(payload), _conference(payload)
    if call_id is None and conference_id is None:
        return None
    match (text(payload, "status", "state") or "").lower():
        case "started" | "start" | "playback_start":
            return PlaybackStarted(call_id=call_id, conference_id=conference_id, **common)
        case "done" | "playback_stop":
            return PlaybackEnded(call_id=call_id, conference_id=conference_id, **common)
    return None


def _dtmf(payload: Mapping[str, Any], common: dict[str, Any]) -> Event | None:
    call_id, digit = _call(payload), payload.get("dtmfDigit")
    if call_id is None or isinstance(digit, bool) or not isinstance(digit, str | int) or not str(digit):
        return None
    return DigitsReceived(call_id=call_id, digits=str(digit), **common)


def _recording(payload: Mapping[str, Any], common: dict[str, Any]) -> Event | None:
    if (recording_id := id_in(payload, "recordingId", "recordingUri")) is None:
        return None
    match (text(payload, "status", "state") or "").lower():
        case "complete" | "completed":
            url = text(payload, "recordingUri")
            return RecordingReady(recording_id=recording_id, call_id=_call(payload), url=url, **common)
        case "error":
            return RecordingFailed(recording_id=recording_id, call_id=_call(payload), **common)
    return None


def _conference_event(payload: Mapping[str, Any], common: dict[str, Any]) -> Event | None:
    if (conference_id := _conference(payload)) is None:
        return None
    match (text(payload, "status", "state") or "").lower():
        case "created":
            common["occurred_at"] = timestamp(_number(payload.get("createdTime")))
            return ConferenceStarted(conference_id=conference_id, key=text(payload, "tag"), **common)
        case "completed":
            common["occurred_at"] = timestamp(_number(payload.get("completedTime")))
            return ConferenceEnded(conference_id=conference_id, **common)
    return None


def _member(payload: Mapping[str, Any], common: dict[str, Any]) -> Event | None:
    """One type stands for joined, left, muted and held, without saying which; the number of active members
    contradicts itself in the samples. A member that is in is reported as joined, with its mute and hold."""
    call_id, conference_id = _call(payload), _conference(payload)
    member_id = id_in(payload, "memberId", "memberUri")
    if call_id is None or member_id is None or conference_id is None:
        return None
    ids = {"call_id": call_id, "member_id": member_id, "conference_id": conference_id, **common}
    match (text(payload, "state", "status") or "").lower():
        case "active":
            mute, hold = boolean(payload.get("mute")), boolean(payload.get("hold"))
            return MemberJoined(mute=mute, hold=hold, **ids)
        case "completed":
            return MemberLeft(**ids)
    return None


_PARSERS: Final[Mapping[str, Callable[[Mapping[str, Any], dict[str, Any]], Event | None]]] = {
    "incomingcall": _incoming,
    "answer": _answer,
    "timeout": _timeout,
    "hangup": _hangup,
    "playback": _playback,
    "speak": _playback,
    "dtmf": _dtmf,
    "recording": _recording,
    "conference": _conference_event,
    "conference-member": _member,
    "conference-playback": _playback,
    "conference-speak": _playback,
}
