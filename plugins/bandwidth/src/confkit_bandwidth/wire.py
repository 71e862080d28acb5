"""Bandwidth's JSON, both ways: scalars, times, and records as confkit's values.

Only ``id`` is required of a record; every other property may be missing or odd, and is then left out. The
vendor's pages disagree about types, offsets and prefixes, so nothing is inferred from an id's form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from confkit.provider import (
    Bridge,
    BridgeState,
    Call,
    CallState,
    Conference,
    ConferenceState,
    EndCause,
    Member,
    MemberState,
    id_from_location,
)

T = TypeVar("T")
PROVIDER: Final = "bandwidth"

CAUSES: Final[Mapping[str, EndCause]] = {
    "NORMAL_CLEARING": EndCause.HANGUP,
    "ORIGINATOR_CANCEL": EndCause.CANCELLED,
    "USER_BUSY": EndCause.BUSY,
    "NO_ANSWER": EndCause.NO_ANSWER,
    "CALL_REJECTED": EndCause.REJECTED,
    "UNALLOCATED_NUMBER": EndCause.UNALLOCATED,
    "NORMAL_TEMPORARY_FAILURE": EndCause.NOT_PERMITTED,  # an international call without that product
}

_CALL_STATES: Final[Mapping[str, CallState]] = {
    "started": CallState.QUEUED,  # the platform does not tell when it rings
    "active": CallState.ANSWERED,
    "transferring": CallState.ANSWERED,
    "completed": CallState.ENDED,
    "rejected": CallState.ENDED,
    "error": CallState.ENDED,  # only an enumeration of the vendor's SDK for Java has it
}
_CONFERENCE_STATES: Final[Mapping[str, ConferenceState]] = {
    "created": ConferenceState.CREATED,
    "active": ConferenceState.ACTIVE,
    "completed": ConferenceState.ENDED,
}
_BRIDGE_STATES: Final[Mapping[str, BridgeState]] = {
    "created": BridgeState.CREATED,
    "active": BridgeState.ACTIVE,
    "hold": BridgeState.HELD,
    "completed": BridgeState.ENDED,
    "error": BridgeState.ENDED,
}


#: Since 1973 and until 5138; a shorter number could be a date.
_MILLISECONDS: Final = re.compile(r"[0-9]{12,14}")


def timestamp(value: object) -> datetime | None:
    """An instant in any of the forms that the platform writes, in UTC; ``None`` for what is none.

    ISO 8601 with ``Z``, ``-02``, ``-0200``, ``-02:00`` or no offset (the pages say UTC), with or without
    milliseconds; or milliseconds since 1970, as a number on one page and as text in a query. ``13:15:65`` also occurs.
    """
    try:
        if isinstance(value, str) and _MILLISECONDS.fullmatch(value):
            value = int(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)
        if not isinstance(value, str):
            return None
        found = datetime.fromisoformat(value.strip().upper())
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def boolean(value: object) -> bool | None:
    """A JSON boolean or its name in a string; ``None`` for anything else."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None


def number(value: object) -> float | None:
    """A JSON number or its digits in a string; ``None`` for anything else."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def text(record: Mapping[str, Any], *names: str) -> str | None:
    """The first of the properties that holds text."""
    for name in names:
        if isinstance(value := record.get(name), str) and value:
            return value
    return None


def address(record: Mapping[str, Any], name: str) -> str:
    """A number or SIP URI; empty where there is none."""
    value = text(record, name) or ""
    # A "+" that was not encoded in a query arrives as a space.
    return f"+{value.strip()}" if value.startswith(" ") and value.strip().isdigit() else value


def id_in(record: Mapping[str, Any], name: str, uri: str) -> str | None:
    """An id that stands by itself or at the end of a URL, whose host means nothing."""
    if (found := text(record, name)) is not None:
        return found
    try:
        return id_from_location(text(record, uri) or "")
    except ValueError:
        return None


def cause_of(value: object) -> EndCause:
    """Why a call ended; the platform calls every other text an internal error (``hangup.md``)."""
    if not isinstance(value, str) or not value:
        return EndCause.UNKNOWN
    return CAUSES.get(value.upper(), EndCause.FAILED)


def conference(record: Any) -> Conference:
    """A conference record; its key is the ``tag`` that ``create_conference`` sent."""
    found = _id(record)
    ended_at = timestamp(record.get("completedTime"))
    fallback = ConferenceState.ENDED if ended_at else ConferenceState.CREATED
    return Conference(
        provider=PROVIDER,
        key=text(record, "tag") or "",
        id=found,
        state=_state(record, _CONFERENCE_STATES, fallback),
        mute=boolean(record.get("mute")) or False,
        hold=boolean(record.get("hold")) or False,
        created_at=timestamp(record.get("createdTime")),
        ended_at=ended_at,
        raw=record,
    )


def member(record: Any, *, of: Conference) -> Member:
    """A member record of a known conference."""
    found = _id(record)
    left_at = timestamp(record.get("removedTime"))
    states = {"active": MemberState.JOINED, "completed": MemberState.LEFT}
    return Member(
        provider=PROVIDER,
        id=found,
        call_id=id_in(record, "callId", "call") or "",
        conference=of,
        state=_state(record, states, MemberState.LEFT if left_at else MemberState.JOINED),
        mute=boolean(record.get("mute")) or False,
        hold=boolean(record.get("hold")) or False,
        joined_at=timestamp(record.get("addedTime")),
        left_at=left_at,
        raw=record,
    )


def call(record: Any) -> Call:
    """A call record.

    It does not say why the call ended; what follows from its times is filled in, else ``cause`` is ``None``.
    """
    found = _id(record)
    created_at = timestamp(record.get("startTime"))
    answered_at = timestamp(record.get("activeTime"))
    ended_at = timestamp(record.get("endTime"))
    fallback = CallState.QUEUED
    if ended_at or answered_at:
        fallback = CallState.ENDED if ended_at else CallState.ANSWERED
    state = _state(record, _CALL_STATES, fallback)
    cause = None
    if state is CallState.ENDED:
        cause = _derived_cause(record, created_at, answered_at, ended_at)
    return Call(
        provider=PROVIDER,
        id=found,
        to=address(record, "to"),
        caller_id=address(record, "from"),
        state=state,
        cause=cause,
        conference_id=id_in(record, "conferenceId", "conference"),
        bridge_id=id_in(record, "bridgeId", "bridge"),
        created_at=created_at,
        answered_at=answered_at,
        ended_at=ended_at,
        raw=record,
    )


def bridge(record: Any) -> Bridge:
    """A bridge record."""
    found = _id(record)
    fallback = BridgeState.HELD if boolean(record.get("bridgeAudio")) is False else BridgeState.CREATED
    if timestamp(record.get("completedTime")):
        fallback = BridgeState.ENDED
    ids = record.get("callIds")
    ids = ids if isinstance(ids, list) else []
    return Bridge(
        provider=PROVIDER,
        id=found,
        call_ids=tuple(call_id for call_id in ids if isinstance(call_id, str)),
        state=_state(record, _BRIDGE_STATES, fallback),
        created_at=timestamp(record.get("createdTime")),
        raw=record,
    )


def every(convert: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    """The decoder of a list: a bare JSON array, without an envelope."""

    def decode(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise TypeError("a list was expected")
        return tuple(convert(record) for record in value)

    return decode


def hangup_cause(log: Any) -> EndCause | None:
    """Why a call ended, from its event log (``getCallsCallIdEvents.md``), which is not strictly in order."""
    for entry in log if isinstance(log, list) else ():
        if isinstance(entry, dict) and entry.get("name") == "hangup" and entry.get("data"):
            return cause_of(entry["data"])
    return None


def _id(record: Any) -> str:
    if not isinstance(record, dict):
        raise TypeError("an object was expected")
    if (found := text(record, "id")) is None:
        raise ValueError("it has no id")
    return found


def _state(record: Mapping[str, Any], states: Mapping[str, T], fallback: T) -> T:
    return states.get((text(record, "state") or "").lower(), fallback)


def _derived_cause(
    record: Mapping[str, Any],
    created_at: datetime | None,
    answered_at: datetime | None,
    ended_at: datetime | None,
) -> EndCause | None:
    if (text(record, "state") or "").lower() == "rejected":
        return EndCause.REJECTED
    if (text(record, "state") or "").lower() == "error":
        return EndCause.FAILED
    if answered_at is not None:
        return EndCause.HANGUP
    limit = number(record.get("callTimeout"))
    if created_at and ended_at and limit is not None and 1 <= limit <= 300:
        # It ended when its time was up; times are whole seconds on some pages.
        rang = ended_at - created_at
        return EndCause.NO_ANSWER if rang >= timedelta(seconds=limit - 1) else None
    return None
