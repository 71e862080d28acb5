"""Lark's webhooks: forms, signed with HMAC-SHA256 over the URL and the sorted fields."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from confkit.provider import (
    CallAnswered,
    CallEnded,
    CallRinging,
    CallState,
    ConferenceEnded,
    ConferenceStarted,
    Event,
    MemberJoined,
    MemberLeft,
    Unknown,
    WebhookRejected,
    WebhookRequest,
)
from confkit_lark.wire import CALLS, PROVIDER, instant


def signature(key: str, url: str, fields: Mapping[str, str]) -> str:
    """What the header ``X-Lark-Signature`` must hold."""
    content = url + "".join(f"{name}{fields[name]}" for name in sorted(fields))
    return base64.b64encode(hmac.digest(key.encode(), content.encode(), hashlib.sha256)).decode()


def verified(request: WebhookRequest, key: str) -> dict[str, str]:
    """The fields of a request that is Lark's.

    Raises:
        WebhookRejected: it is not.
    """
    try:
        fields = dict(parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=50))
    except ValueError:
        raise WebhookRejected("the body is not a form", status=400) from None
    expected = signature(key, request.url, fields)
    if not hmac.compare_digest(expected.encode(), request.headers.get("x-lark-signature", "").encode()):
        raise WebhookRejected("the signature is wrong")
    return fields


def event(fields: Mapping[str, str]) -> Event:
    """The fact in a webhook; types that confkit has no word for become ``Unknown``."""
    kind = fields.get("Event", "")
    call, room, name = fields.get("CallSid", ""), fields.get("RoomSid", ""), fields.get("RoomName")
    common: dict[str, Any] = {
        "provider": PROVIDER,
        "id": fields.get("EventSid", ""),
        "occurred_at": instant(fields.get("Timestamp")),
        "raw": dict(fields),
    }
    member: dict[str, Any] = {"call_id": call, "member_id": call, "conference_id": room}
    match kind:
        case "ringing" if call:
            return CallRinging(call_id=call, **common)
        case "answered" if call:
            return CallAnswered(call_id=call, **common)
        case "ended" if call:
            state, cause = CALLS.get(fields.get("CallStatus", ""), (CallState.ENDED, None))
            if state is CallState.ENDED and cause is not None:
                return CallEnded(call_id=call, cause=cause, **common)
            return CallEnded(call_id=call, **common)
        case "participant-join" if call and room:
            return MemberJoined(**member, **common)
        case "participant-leave" if call and room:
            return MemberLeft(**member, **common)
        case "room-start" if room:
            return ConferenceStarted(conference_id=room, key=name, **common)
        case "room-end" if room:
            return ConferenceEnded(conference_id=room, **common)
    return Unknown(type=kind, call_id=call or None, conference_id=room or None, **common)
