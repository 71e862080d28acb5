"""Lark's JSON as confkit's records."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from confkit.provider import Call, CallState, Conference, ConferenceState, EndCause, Member, MemberState

PROVIDER: Final = "lark"

#: Lark's word for where a call stands, and for how it ended.
CALLS: Final[Mapping[str, tuple[CallState, EndCause | None]]] = {
    "queued": (CallState.QUEUED, None),
    "ringing": (CallState.RINGING, None),
    "in-progress": (CallState.ANSWERED, None),
    "completed": (CallState.ENDED, EndCause.HANGUP),
    "busy": (CallState.ENDED, EndCause.BUSY),
    "no-answer": (CallState.ENDED, EndCause.NO_ANSWER),
    "rejected": (CallState.ENDED, EndCause.REJECTED),
    "canceled": (CallState.ENDED, EndCause.CANCELLED),
    "failed": (CallState.ENDED, EndCause.FAILED),
}
_ROOMS: Final = {
    "init": ConferenceState.CREATED,
    "in-progress": ConferenceState.ACTIVE,
    "completed": ConferenceState.ENDED,
}


def instant(text: str | None) -> datetime | None:
    """A moment in ISO 8601, with its offset from UTC."""
    return datetime.fromisoformat(text) if text else None


def room(record: Mapping[str, Any]) -> Conference:
    """A room."""
    return Conference(
        provider=PROVIDER,
        key=record["name"],
        id=record["sid"],
        state=_ROOMS[record["status"]],
        created_at=instant(record["date_created"]),
        raw=record,
    )


def call(record: Mapping[str, Any]) -> Call:
    """A participant, as a call."""
    state, cause = CALLS.get(record["status"], (CallState.QUEUED, None))
    return Call(
        provider=PROVIDER,
        id=record["call_sid"],
        to=record["to"],
        caller_id=record["from"],
        state=state,
        cause=cause,
        conference_id=record["room_sid"],
        created_at=instant(record["date_created"]),
        answered_at=instant(record["date_answered"]),
        ended_at=instant(record["date_ended"]),
        raw=record,
    )


def members(record: Mapping[str, Any], of: Conference) -> tuple[Member, ...]:
    """A participant, as a member; none before it has joined."""
    if not record["date_joined"]:
        return ()
    left = instant(record["date_left"])
    member = Member(
        provider=PROVIDER,
        id=record["call_sid"],
        call_id=record["call_sid"],
        conference=of,
        state=MemberState.LEFT if left else MemberState.JOINED,
        mute=record["muted"],
        hold=record["hold"],
        joined_at=instant(record["date_joined"]),
        left_at=left,
        raw=record,
    )
    return (member,)
