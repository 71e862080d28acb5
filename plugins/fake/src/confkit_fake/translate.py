"""From the exchange's records, facts and refusals to confkit's models, events and errors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypedDict, TypeVar, cast

from attrs import asdict, evolve, fields, has

from confkit.provider import errors, events
from confkit.provider import records as models
from confkit_fake import exchange as telephone
from confkit_fake.exchange import ErrorCode, Exchange, ExchangeError, Fact, FactKind
from confkit_fake.options import FakeSettings

NAME: Final = "fake"
T = TypeVar("T")

#: One row for each of the exchange's refusals.
ERRORS: Final[Mapping[ErrorCode, type[errors.ProviderError]]] = {
    ErrorCode.CONFERENCE_NOT_FOUND: errors.NotFound,
    ErrorCode.CONFERENCE_ENDED: errors.Conflict,
    ErrorCode.CONFERENCE_FULL: errors.CapacityReached,
    ErrorCode.CALL_NOT_FOUND: errors.NotFound,
    ErrorCode.CALL_NOT_ANSWERED: errors.NotReady,
    ErrorCode.CALL_ANSWERED_ALREADY: errors.Conflict,
    ErrorCode.CALL_OVER: errors.Conflict,
    ErrorCode.CALL_NOT_INCOMING: errors.InvalidRequest,
    ErrorCode.CALL_OF_OTHER_CONFERENCE: errors.InvalidRequest,
    ErrorCode.CALL_IN_CONFERENCE: errors.Conflict,
    ErrorCode.CALL_IN_OTHER_BRIDGE: errors.Conflict,
    ErrorCode.ALREADY_MEMBER: errors.Conflict,
    ErrorCode.MEMBER_NOT_FOUND: errors.NotFound,
    ErrorCode.MEMBER_LEFT: errors.Conflict,
    ErrorCode.BRIDGE_NOT_FOUND: errors.NotFound,
    ErrorCode.BRIDGE_OVER: errors.Conflict,
    ErrorCode.BRIDGE_FULL: errors.CapacityReached,
    ErrorCode.BRIDGE_EMPTY: errors.Conflict,
    ErrorCode.NUMBER_NOT_OWNED: errors.PermissionDenied,
    ErrorCode.DUPLICATE_ID: errors.Conflict,
    ErrorCode.ALREADY_RECORDING: errors.Conflict,
    ErrorCode.NOT_RECORDING: errors.Conflict,
}


def error(refusal: ExchangeError, operation: str) -> errors.ProviderError:
    """The portable error for a refusal."""
    return ERRORS[refusal.code](str(refusal), provider=NAME, operation=operation, code=refusal.code.value)


def key_of(conference: telephone.Conference) -> str:
    """Our name for a conference of the exchange."""
    return str(conference.notes.get("key", conference.id))


def conference(record: telephone.Conference) -> models.Conference:
    """A conference as it is now."""
    return models.Conference(
        provider=NAME,
        key=key_of(record),
        id=record.id,
        state=record.state,
        mute=record.mute,
        hold=record.hold,
        created_at=record.created_at,
        ended_at=record.ended_at,
        raw=_raw(record),
    )


def call(record: telephone.Call) -> models.Call:
    """A call as it is now."""
    return models.Call(
        provider=NAME,
        id=record.id,
        to=record.to,
        caller_id=record.caller_id,
        state=record.state,
        cause=record.cause,
        conference_id=record.conference_id,
        bridge_id=record.bridge_id,
        created_at=record.created_at,
        answered_at=record.answered_at,
        ended_at=record.ended_at,
        raw=_raw(record),
    )


def member(record: telephone.Member, of: telephone.Conference) -> models.Member:
    """A member as it is now."""
    return models.Member(
        provider=NAME,
        id=record.id,
        call_id=record.call_id,
        conference=conference(of),
        state=record.state,
        mute=record.mute,
        hold=record.hold,
        joined_at=record.joined_at,
        left_at=record.left_at,
        raw=_raw(record),
    )


def bridge(record: telephone.Bridge) -> models.Bridge:
    """A bridge as it is now."""
    return models.Bridge(
        provider=NAME,
        id=record.id,
        call_ids=tuple(record.call_ids),
        state=record.state,
        created_at=record.created_at,
        raw=_raw(record),
    )


def _raw(record: Any) -> dict[str, Any]:
    """What the exchange itself says of a record, as at this moment."""
    return {each.name: getattr(record, each.name) for each in fields(type(record)) if each.name != "notes"}


def written(value: T, settings: FakeSettings) -> T:
    """A model or an event as a platform with these settings writes it down."""
    if settings.whole_seconds or not (settings.tells_rejections and settings.tells_answers):
        return _written(value, settings)
    return value


def _written(value: T, settings: FakeSettings) -> T:
    if isinstance(value, datetime) and settings.whole_seconds:
        return cast(T, value.replace(microsecond=0))
    if value is models.EndCause.REJECTED and not settings.tells_rejections:
        return cast(T, models.EndCause.BUSY)
    if isinstance(value, tuple):
        return cast(T, tuple(_written(each, settings) for each in value))
    if not has(type(value)):
        return value
    model: Any = value
    if isinstance(model, models.Call) and model.state is models.CallState.ANSWERED and not settings.tells_answers:
        model = evolve(model, state=models.CallState.RINGING, answered_at=None)
    told = {each.name: getattr(model, each.name) for each in fields(type(model)) if each.name != "raw"}
    nested = (datetime, tuple, models.EndCause, models.Conference, models.Call)
    changes = {name: _written(each, settings) for name, each in told.items() if isinstance(each, nested)}
    return cast(T, evolve(model, **changes))


def key_echoed(fact: Fact, exchange: Exchange) -> str | None:
    """The key of the request that made what a fact is about."""
    made: telephone.Call | telephone.Bridge | telephone.Conference | None = (
        exchange.calls.get(fact.call_id or "")
        or exchange.bridges.get(fact.bridge_id or "")
        or exchange.conferences.get(fact.conference_id or "")
    )
    op = made.notes.get("op") if made is not None else None
    return op if isinstance(op, str) else None


class _Common(TypedDict):
    provider: str
    id: str
    occurred_at: datetime
    raw: dict[str, Any]


class _Place(TypedDict):
    call_id: str
    member_id: str
    conference_id: str


class _Whereabouts(TypedDict):
    conference_id: str | None
    bridge_id: str | None
    call_id: str | None


def _whereabouts(fact: Fact) -> _Whereabouts:
    """Where something plays or was recorded: one of the three; a member's place is its call."""
    return {"conference_id": fact.conference_id, "bridge_id": fact.bridge_id, "call_id": fact.call_id}


def event(fact: Fact, exchange: Exchange) -> events.Event:
    """The event for a fact; what confkit has no word for is ``Unknown``."""
    common: _Common = {
        "provider": NAME,
        "id": f"fact-{fact.number}",
        "occurred_at": fact.at,
        "raw": asdict(fact, filter=lambda _, value: value is not None),
    }
    # A fact carries every id that its kind speaks of.
    call_id, conference_id, bridge_id = fact.call_id or "", fact.conference_id or "", fact.bridge_id or ""
    place: _Place = {
        "call_id": call_id,
        "member_id": fact.member_id or "",
        "conference_id": conference_id,
    }
    match fact.kind:
        case FactKind.CALL_INCOMING:
            record = exchange.calls[call_id]
            return events.IncomingCall(**common, call_id=call_id, caller=record.caller_id, called=record.to)
        case FactKind.CALL_RINGING:
            return events.CallRinging(**common, call_id=call_id)
        case FactKind.CALL_ANSWERED:
            return events.CallAnswered(**common, call_id=call_id)
        case FactKind.CALL_ENDED:
            cause = fact.cause or models.EndCause.UNKNOWN
            return events.CallEnded(**common, call_id=call_id, cause=cause)
        case FactKind.CONFERENCE_CREATED:
            key = key_of(exchange.conferences[conference_id])
            return events.ConferenceStarted(**common, conference_id=conference_id, key=key)
        case FactKind.CONFERENCE_ENDED:
            return events.ConferenceEnded(**common, conference_id=conference_id)
        case FactKind.MEMBER_JOINED:
            return events.MemberJoined(**common, **place, mute=fact.mute, hold=fact.hold)
        case FactKind.MEMBER_UPDATED:
            return events.MemberUpdated(**common, **place, mute=fact.mute, hold=fact.hold)
        case FactKind.MEMBER_LEFT:
            return events.MemberLeft(**common, **place)
        case FactKind.BRIDGE_STARTED:
            return events.BridgeStarted(**common, bridge_id=bridge_id)
        case FactKind.BRIDGE_ENDED:
            return events.BridgeEnded(**common, bridge_id=bridge_id)
        case FactKind.PLAYBACK_STARTED:
            return events.PlaybackStarted(**common, **_whereabouts(fact))
        case FactKind.PLAYBACK_ENDED:
            return events.PlaybackEnded(**common, **_whereabouts(fact))
        case FactKind.RECORDING_READY:
            return events.RecordingReady(**common, recording_id=fact.recording_id or "", **_whereabouts(fact))
        case FactKind.DIGITS:
            return events.DigitsReceived(**common, call_id=call_id, digits=fact.digit or "")
        case _:
            return events.Unknown(
                **common, type=fact.kind.value, call_id=fact.call_id, conference_id=fact.conference_id
            )
