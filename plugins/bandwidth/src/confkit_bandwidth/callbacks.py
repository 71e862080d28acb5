"""Bandwidth's callbacks as events (``callbacks.md``, and a page for each event): payload in, events out.

What the pages leave out is not required: a ``conference`` event has no ``time``, a member event no ``conferenceUri``,
a ``timeout`` no ``cause``; ``status`` and ``state`` stand in for each other. The pages know a refusal as a ``hangup``
only; the vendor's SDKs also name ``reject``, and ``error`` for a call that failed.

Callbacks have no id, no signature and no promise of order, and may come twice: what was not answered by 2xx in time
goes to the ``fallbackUrl``, with the same payload. Times have been whole seconds since 2014. So the id of an event is
made of

* what it is about, where that happens once: a call comes in, is answered, ends; a conference is created and
  completed; a member leaves; a recording is ready or lost. However a second delivery differs, it tells nothing new.
* the whole payload, where it may happen again within the second: digits, playback, speech, the mute and hold of a
  member, and whatever there is no word for. Two presses of one key differ in ``dtmfDuration``, the changes of a
  member in its flags, a repeated announcement in its ``tag``.

Payloads that are the same to the last byte are one event: nothing in them tells a second press, as long as the first
and in the same second, from a second delivery, and reading a callback has no memory. Losing the press is the smaller
harm: who pressed hears that nothing happened and presses again, while a key that nobody pressed confirms what nobody
wanted. Flags are looked at by the next poll.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from confkit.provider import (
    CallAnswered,
    CallEnded,
    ConferenceEnded,
    ConferenceStarted,
    DigitsReceived,
    EndCause,
    Event,
    IncomingCall,
    MemberJoined,
    MemberLeft,
    PlaybackEnded,
    PlaybackStarted,
    RecordingFailed,
    RecordingReady,
    Unknown,
    WebhookRejected,
    WebhookRequest,
)
from confkit_bandwidth.wire import CAUSES, PROVIDER, address, boolean, cause_of, id_in, text, timestamp


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
    if (kind := text(payload, "eventType")) is None:
        raise WebhookRejected("the callback has no eventType", status=400)
    # One page prints "conference-member." with a stray full stop.
    parser = _PARSERS.get(kind.strip().rstrip(".").lower())
    common: dict[str, Any] = {
        "provider": PROVIDER,
        "id": _digest(kind.lower(), _plain(payload)),
        "occurred_at": timestamp(payload.get("time")),
        "raw": dict(payload),
    }
    event = parser(payload, common) if parser else None
    if event is None:
        call_id, conference_id = _call(payload), _conference(payload)
        event = Unknown(type=kind, call_id=call_id, conference_id=conference_id, **common)
    return (event,)


def _digest(*facts: str) -> str:
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()


def _once(payload: Mapping[str, Any], common: dict[str, Any], *about: str) -> dict[str, Any]:
    """For an event that happens once: it is known by what it is about."""
    return {**common, "id": _digest("once", (text(payload, "eventType") or "").lower(), *about)}


def _plain(payload: Mapping[str, Any]) -> str:
    """A payload as text, the same for a POST and for the GET of the same event, whose values are all text."""
    # The number of active members contradicts itself in the samples, and tells no change of a member from another.
    return json.dumps([(name, _as_query(payload[name])) for name in sorted(payload) if name != "activeMembers"])


def _as_query(value: Any) -> str:
    """A value as it stands in a query: objects and lists as JSON, whose order and spaces mean nothing."""
    try:
        if isinstance(value, str) and value[:1] in ("{", "["):
            value = json.loads(value)
        return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    except (ValueError, RecursionError):
        return value if isinstance(value, str) else type(value).__name__


def _call(payload: Mapping[str, Any]) -> str | None:
    return id_in(payload, "callId", "callUri")


def _conference(payload: Mapping[str, Any]) -> str | None:
    return id_in(payload, "conferenceId", "conferenceUri")


def _incoming(payload: Mapping[str, Any], common: dict[str, Any]) -> Event | None:
    # Its callState says "active" before anyone has answered, so it is not looked at.
    if (call_id := _call(payload)) is None:
        return None
    once = _once(payload, common, call_id)
    return IncomingCall(call_id=call_id, caller=address(payload, "from"), called=address(payload, "to"), **once)


def _answer(payload: Mapping[str, Any], common: dict[str, Any]) -> Event | None:
    call_id = _call(payload)
    # The only event that is documented with the tag of the request that made the call (answer.md).
    op = text(payload, "tag")
    return CallAnswered(call_id=call_id, op=op, **_once(payload, common, call_id)) if call_id else None


def _timeout(payload: Mapping[str, Any], common: dict[str, Any]) -> Event | None:
    # A hangup with NO_ANSWER may follow or may not; both say that the call is over.
    return _ended(payload, common, EndCause.NO_ANSWER)


def _hangup(payload: Mapping[str, Any], common: dict[str, Any]) -> Event | None:
    return _ended(payload, common, cause_of(payload.get("cause")))


def _reject(payload: Mapping[str, Any], common: dict[str, Any]) -> Event | None:
    # Of the SDKs for Java and C#; its cause says the same.
    return _ended(payload, common, CAUSES.get((text(payload, "cause") or "").upper(), EndCause.REJECTED))


def _error(payload: Mapping[str, Any], common: dict[str, Any]) -> Event | None:
    # Of the older SDK for Python, whose sample has the call in the state "error", as Java's states of a call have it.
    # It has no cause. What tells of a call that is up is another error, not its end.
    if (text(payload, "callState", "state") or "").lower() in ("started", "active", "transferring"):
        return None
    return _ended(payload, common, CAUSES.get((text(payload, "cause") or "").upper(), EndCause.FAILED))


def _ended(payload: Mapping[str, Any], common: dict[str, Any], cause: EndCause) -> Event | None:
    if (call_id := _call(payload)) is None:
        return None
    return CallEnded(call_id=call_id, cause=cause, **_once(payload, common, call_id))


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
            once = _once(payload, common, recording_id, "ready")
            return RecordingReady(recording_id=recording_id, call_id=_call(payload), url=url, **once)
        case "error":
            once = _once(payload, common, recording_id, "lost")
            return RecordingFailed(recording_id=recording_id, call_id=_call(payload), **once)
    return None


def _conference_event(payload: Mapping[str, Any], common: dict[str, Any]) -> Event | None:
    if (conference_id := _conference(payload)) is None:
        return None
    match (text(payload, "status", "state") or "").lower():
        case "created":
            once = _once(payload, common, conference_id, "created")
            once["occurred_at"] = timestamp(payload.get("createdTime"))
            # The key is the tag that we sent, where the event echoes it; its table does not have it (conf.md).
            return ConferenceStarted(conference_id=conference_id, key=text(payload, "tag"), **once)
        case "completed":
            once = _once(payload, common, conference_id, "completed")
            once["occurred_at"] = timestamp(payload.get("completedTime"))
            return ConferenceEnded(conference_id=conference_id, **once)
    return None


def _member(payload: Mapping[str, Any], common: dict[str, Any]) -> Event | None:
    """One type stands for joined, left, muted and held, without saying which; the number of active members
    contradicts itself in the samples. A member that is in is reported as joined, with its mute and hold."""
    call_id, conference_id = _call(payload), _conference(payload)
    member_id = id_in(payload, "memberId", "memberUri")
    if call_id is None or member_id is None or conference_id is None:
        return None
    ids: dict[str, Any] = {"call_id": call_id, "member_id": member_id, "conference_id": conference_id}
    match (text(payload, "state", "status") or "").lower():
        case "active":
            mute, hold = boolean(payload.get("mute")), boolean(payload.get("hold"))
            return MemberJoined(mute=mute, hold=hold, **ids, **common)
        case "completed":
            return MemberLeft(**ids, **_once(payload, common, conference_id, member_id))
    return None


_PARSERS: Final[Mapping[str, Callable[[Mapping[str, Any], dict[str, Any]], Event | None]]] = {
    "incomingcall": _incoming,
    "answer": _answer,
    "timeout": _timeout,
    "hangup": _hangup,
    "reject": _reject,
    "error": _error,
    "playback": _playback,
    "speak": _playback,
    "dtmf": _dtmf,
    "recording": _recording,
    "conference": _conference_event,
    "conference-member": _member,
    "conference-playback": _playback,
    "conference-speak": _playback,
}
