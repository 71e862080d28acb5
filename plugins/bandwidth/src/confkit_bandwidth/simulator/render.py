"""Resources as the API shows them."""

from __future__ import annotations

import math
from typing import Any, Final

from confkit_fake.exchange import Bridge, Call, Conference, Member, Recording, RecordingState

from confkit.provider import BridgeState, CallState, ConferenceState, MemberState
from confkit_bandwidth.simulator.account import Account
from confkit_bandwidth.simulator.delivery import CallbackSettings
from confkit_bandwidth.simulator.details import Gather, LogEntry
from confkit_bandwidth.simulator.fields import milliseconds, present, stamp

_CONFERENCE_STATES: Final = {
    ConferenceState.CREATED: "created",
    ConferenceState.ACTIVE: "active",
    ConferenceState.ENDED: "completed",
}
_BRIDGE_STATES: Final = {
    BridgeState.CREATED: "created",
    BridgeState.ACTIVE: "active",
    BridgeState.HELD: "hold",
    BridgeState.ENDED: "completed",
}
BILLING_SECONDS: Final = 60  # calls are charged by the minute begun: the samples show 60 for a call of 2 to 4 s


def conference(account: Account, record: Conference) -> dict[str, Any]:
    """``getConferencesConferenceId.md``."""
    details = account.conferences[record.id]
    form = account.switches.timestamps
    return present(
        {
            "id": record.id,
            "state": _CONFERENCE_STATES[record.state],
            "from": record.caller_id,
            "createdTime": stamp(record.created_at, form),
            "completedTime": stamp(record.ended_at, form),
            "activeMembers": len(account.exchange.active_members(record.id)),
            "hold": record.hold,
            "mute": record.mute,
            "profile": details.profile,
            **_callbacks(details.callbacks),
        }
    )


def member(account: Account, record: Member) -> dict[str, Any]:
    """``getConferencesConferenceIdMembersMemberId.md``."""
    details = account.members[record.id]
    form = account.switches.timestamps
    return present(
        {
            "id": record.id,
            "state": "completed" if record.state is MemberState.LEFT else "active",
            "mute": record.mute,
            "hold": record.hold,
            "joinTone": details.join_tone,
            "leavingTone": details.leaving_tone,
            "addedTime": stamp(record.joined_at, form),
            "removedTime": stamp(record.left_at, form),
            "call": account.url("calls", record.call_id),
        }
    )


def call_state(account: Account, record: Call) -> str:
    """A call's state in the API's words."""
    if record.state is CallState.ENDED:
        details = account.calls[record.id]
        return "error" if details.failed else "rejected" if details.rejected else "completed"
    if record.transferred_to:
        return "transferring"
    return "active" if record.state is CallState.ANSWERED else "started"


def call(account: Account, record: Call) -> dict[str, Any]:
    """``getCallsCallId.md``."""
    details = account.calls[record.id]
    form = account.switches.timestamps
    charged = None
    if record.answered_at and record.ended_at:
        seconds = (record.ended_at - record.answered_at).total_seconds()
        charged = max(1, math.ceil(seconds / BILLING_SECONDS)) * BILLING_SECONDS
    return present(
        {
            "id": record.id,
            "direction": record.direction.value,
            "from": record.caller_id,
            "to": record.to,
            "state": call_state(account, record),
            "startTime": stamp(record.created_at, form),
            "activeTime": stamp(record.answered_at, form),
            "endTime": stamp(record.ended_at, form),
            "chargeableDuration": charged,
            "callTimeout": details.call_timeout,
            "conferenceId": record.conference_id,
            "bridgeId": record.bridge_id,
            "bridge": account.url("bridges", record.bridge_id) if record.bridge_id else None,
            "recordingEnabled": details.recording_enabled,
            "recordingFileFormat": details.recording_format,
            "transcriptionEnabled": details.transcription_enabled,
            "sipHeaders": details.sip_headers or None,
            "events": account.url("calls", record.id, "events"),
            "recordings": account.url("calls", record.id, "recordings"),
            "transcriptions": account.url("calls", record.id, "transcriptions"),
            **_callbacks(details.callbacks),
            "callbackUrl": details.callbacks.url or "",  # empty where there is none (getCalls.md)
        }
    )


def bridge(account: Account, record: Bridge) -> dict[str, Any]:
    """``getBridgesBridgeId.md``."""
    form = account.switches.timestamps
    return present(
        {
            "id": record.id,
            "state": _BRIDGE_STATES[record.state],
            "bridgeAudio": "true" if record.audio else "false",  # text, as the samples of the SDKs have it
            "callIds": list(record.call_ids),
            "calls": account.url("bridges", record.id, "calls"),
            "createdTime": stamp(record.created_at, form),
            "activatedTime": stamp(record.activated_at, form),
            "completedTime": stamp(record.ended_at, form),
        }
    )


def recording(account: Account, record: Recording) -> dict[str, Any]:
    """``getCallsCallIdRecordings.md``."""
    form = account.switches.timestamps
    call_id = record.call_id or ""
    suffix = account.calls[call_id].recording_formats.get(record.id, "wav")
    return present(
        {
            "id": record.id,
            "state": "complete" if record.state is RecordingState.COMPLETE else "recording",
            "startTime": stamp(record.started_at, form),
            "endTime": stamp(record.ended_at, form),
            "call": account.url("calls", call_id),
            "media": account.url("media", f"{call_id}-{record.ordinal}.{suffix}"),
        }
    )


def gather(account: Account, call_id: str, record: Gather) -> dict[str, Any]:
    """``getCallsCallIdGatherGatherId.md``."""
    form = account.switches.timestamps
    return present(
        {
            "id": record.id,
            "state": "completed" if record.completed_at else "started",
            "reason": record.reason,
            "digits": record.digits,
            "createdTime": stamp(record.created_at, form),
            "completedTime": stamp(record.completed_at, form),
            "call": account.url("calls", call_id),
        }
    )


def log_entry(account: Account, entry: LogEntry, *, alone: bool) -> dict[str, Any]:
    """A line of a call's log: with its time as text in the list, as milliseconds when read alone."""
    return present(
        {
            "id": entry.id,
            "time": milliseconds(entry.at) if alone else stamp(entry.at, account.switches.timestamps),
            "name": entry.name,
            "data": (entry.data or "") if alone else entry.data,
        }
    )


def _callbacks(settings: CallbackSettings) -> dict[str, Any]:
    shown = settings.url or settings.fallback_url
    return {
        "callbackUrl": settings.url,
        "callbackHttpMethod": settings.method or ("post" if shown else None),
        "callbackTimeout": settings.timeout_ms or (10_000 if shown else None),
        "fallbackUrl": settings.fallback_url,
        "tag": settings.tag,
    }
