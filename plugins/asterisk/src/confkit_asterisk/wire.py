"""ARI's JSON as confkit's values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from confkit.provider import Bridge, BridgeState, Call, CallState, Conference, ConferenceState, EndCause

PROVIDER: Final = "asterisk"
#: A bridge carries in its name what it is for, so that every process and every event can tell.
CONFERENCE: Final = "confkit conference"
BRIDGE: Final = "confkit bridge"
COACHING: Final = "confkit coaching"
#: What our own channels carry into the application, so that an incoming call can be told from them.
DIALLED: Final = "confkit-dialled"
SNOOPING: Final = "confkit-snooping"
#: The dialplan's application in which a channel belongs to ARI.
STASIS: Final = "Stasis"

#: ITU-T Q.850 table 1, as far as a telephone call meets it.
CAUSES: Final[Mapping[int, EndCause]] = {
    0: EndCause.UNKNOWN,
    1: EndCause.UNALLOCATED,
    2: EndCause.UNALLOCATED,  # no route to the network
    3: EndCause.UNALLOCATED,  # no route to the destination
    5: EndCause.UNALLOCATED,  # Asterisk's "misdialled trunk prefix"
    16: EndCause.HANGUP,
    17: EndCause.BUSY,
    18: EndCause.NO_ANSWER,  # no user responding
    19: EndCause.NO_ANSWER,
    20: EndCause.NO_ANSWER,  # subscriber absent
    21: EndCause.REJECTED,
    22: EndCause.UNALLOCATED,  # number changed
    26: EndCause.CANCELLED,  # answered elsewhere
    28: EndCause.UNALLOCATED,  # the number is not complete or not a number
    31: EndCause.HANGUP,
    50: EndCause.NOT_PERMITTED,
    52: EndCause.NOT_PERMITTED,  # Asterisk's number for outgoing calls barred; 53 is Q.850's
    53: EndCause.NOT_PERMITTED,
    54: EndCause.NOT_PERMITTED,  # Asterisk's number for incoming calls barred; 55 is Q.850's
    55: EndCause.NOT_PERMITTED,
    57: EndCause.NOT_PERMITTED,
    127: EndCause.UNKNOWN,
}
#: What can become of a call that was answered; every other cause says that it was not.
_AFTER_ANSWER: Final = frozenset({EndCause.HANGUP, EndCause.FAILED, EndCause.UNKNOWN})


def cause_of(value: object) -> EndCause:
    """A Q.850 cause; every other one is a fault of the network."""
    return CAUSES.get(value, EndCause.FAILED) if isinstance(value, int) else EndCause.UNKNOWN


def after_answer(cause: EndCause) -> EndCause:
    """The cause as that of a call which was answered: "no user responding" is a fault of the network then."""
    return cause if cause in _AFTER_ANSWER else EndCause.FAILED


def timestamp(value: object) -> datetime | None:
    """An instant, in UTC: ``2026-11-23T09:09:54.652+0000``."""
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC)
    except ValueError:
        return None


def seconds(duration: timedelta) -> int:
    """Whole seconds, at least one: 0 would mean for ever."""
    return max(1, math.ceil(duration.total_seconds()))


def identified(record: Any) -> Mapping[str, Any]:
    """A JSON object with an id."""
    if not isinstance(record, dict):
        raise TypeError("an object was expected")
    if not isinstance(record.get("id"), str) or not record["id"]:
        raise ValueError("it has no id")
    return record


def in_application(channel: Mapping[str, Any]) -> bool:
    """Whether the channel is ours to control. An answered one is up a moment before it is.

    Where the engine is too old to tell, it is taken to be: what comes too early then is refused as not ready.
    """
    dialplan = channel.get("dialplan")
    return isinstance(dialplan, dict) and dialplan.get("app_name", STASIS) == STASIS


def tells_its_application(channel: Mapping[str, Any]) -> bool:
    """Whether the engine says at all in which application a channel is; old ones do not."""
    dialplan = channel.get("dialplan")
    return not isinstance(dialplan, dict) or "app_name" in dialplan


def channel_state(channel: Mapping[str, Any]) -> CallState:
    """The state of a channel that exists."""
    match channel.get("state"):
        case "Up" if in_application(channel):
            return CallState.ANSWERED
        case "Ring" | "Ringing" | "Up":
            return CallState.RINGING
    return CallState.QUEUED


def members_of(bridge: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of the channels in a bridge."""
    channels = bridge.get("channels")
    return tuple(each for each in channels if isinstance(each, str)) if isinstance(channels, list) else ()


def key_of(record: Mapping[str, Any]) -> str:
    """Our own key for a bridge, as Asterisk has it: its id, where its name says that it is ours; else empty."""
    return str(record["id"]) if record.get("name") == CONFERENCE else ""


def conference(record: Mapping[str, Any]) -> Conference:
    """A bridge that is a conference."""
    return Conference(
        provider=PROVIDER,
        key=key_of(record),
        id=record["id"],
        state=ConferenceState.ACTIVE if members_of(record) else ConferenceState.CREATED,
        created_at=timestamp(record.get("creationtime")),
        raw=record,
    )


def bridge(record: Mapping[str, Any]) -> Bridge:
    """A bridge of two."""
    calls = members_of(record)
    return Bridge(
        provider=PROVIDER,
        id=record["id"],
        call_ids=calls,
        state=BridgeState.ACTIVE if len(calls) > 1 else BridgeState.CREATED,
        created_at=timestamp(record.get("creationtime")),
        raw=record,
    )


def number_of(channel: Mapping[str, Any], side: str) -> str:
    """The number of the ``caller``, or of the ``connected`` one; empty where there is none."""
    party = channel.get(side)
    number = party.get("number") if isinstance(party, dict) else None
    return number if isinstance(number, str) else ""


def dialled_number(channel: Mapping[str, Any]) -> str:
    """What an incoming call has dialled: the extension of the dialplan."""
    dialplan = channel.get("dialplan")
    exten = dialplan.get("exten") if isinstance(dialplan, dict) else None
    return exten if isinstance(exten, str) else ""


def call(channel: Mapping[str, Any]) -> Call:
    """A channel of which nothing more is known."""
    return Call(
        provider=PROVIDER,
        id=channel["id"],
        state=channel_state(channel),
        created_at=timestamp(channel.get("creationtime")),
        raw=channel,
    )
