"""A provider's account as facts, so that a poll tells nothing that a webhook could not have told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from confkit.models.events import (
    CallAnswered,
    CallEnded,
    CallRinging,
    ConferenceEnded,
    Event,
    MemberJoined,
    MemberLeft,
)
from confkit.models.records import (
    Call,
    CallState,
    Conference,
    ConferenceState,
    EndCause,
    Member,
    MemberState,
    Snapshot,
)


def events_in(snapshot: Snapshot) -> Iterable[Event]:
    """A snapshot as facts; their ids are made of what is the case, so the same state seen twice is one fact."""
    for call in snapshot.calls:
        yield from _of_call(call)
    for member in snapshot.members:
        yield from _of_member(member)
    if snapshot.conference is not None and snapshot.conference.state is ConferenceState.ENDED:
        yield _end_of(snapshot.conference)


def _of_call(call: Call) -> Iterator[Event]:
    name = f"poll call {call.id}"
    if call.state is CallState.RINGING:
        yield CallRinging(provider=call.provider, id=f"{name} ringing", call_id=call.id)
    if call.answered_at is not None or call.state is CallState.ANSWERED:
        yield CallAnswered(
            provider=call.provider,
            id=f"{name} answered",
            call_id=call.id,
            occurred_at=call.answered_at,
            raw=call.raw,
        )
    if call.state is CallState.ENDED:
        yield CallEnded(
            provider=call.provider,
            id=f"{name} ended",
            call_id=call.id,
            cause=call.cause or EndCause.UNKNOWN,
            occurred_at=call.ended_at,
            raw=call.raw,
        )


def _of_member(member: Member) -> Iterator[Event]:
    if (conference_id := member.conference.id) is None:
        return
    name = f"poll member {conference_id} {member.id}"
    if member.state is MemberState.JOINED:
        yield MemberJoined(
            provider=member.provider,
            id=f"{name} joined",
            call_id=member.call_id,
            member_id=member.id,
            conference_id=conference_id,
            mute=member.mute,
            hold=member.hold,
            raw=member.raw,
        )
    elif member.state is MemberState.LEFT:
        yield MemberLeft(
            provider=member.provider,
            id=f"{name} left",
            call_id=member.call_id,
            member_id=member.id,
            conference_id=conference_id,
            occurred_at=member.left_at,
            raw=member.raw,
        )


def _end_of(conference: Conference) -> Event:
    return ConferenceEnded(
        provider=conference.provider,
        id=f"poll conference {conference.id} ended",
        conference_id=conference.id or "",
        occurred_at=conference.ended_at,
        raw=conference.raw,
    )
