"""What the application asks of a meeting, sent to its workflow; and what comes back as a value, as an error."""

from __future__ import annotations

from typing import Any

from confkit.client.engine import Engine
from confkit.ingest.meeting_view import MeetingView
from confkit.models import errors
from confkit.models.errors import (
    ConfkitError,
    MeetingEnded,
    MeetingError,
    PolicyError,
    ProviderError,
    QuorumNotReached,
    Unsupported,
    Withdrawn,
)
from confkit.models.records import Participant
from confkit.workflows.flow import FlowId
from confkit.workflows.messages import Add, EndReason, Failure, MeetingEnd, Perform, Remove, Reply


async def ask(engine: Engine, view: MeetingView, command: Add | Remove | Perform) -> Reply:
    """Send a command to the meeting's workflow and wait for the reply.

    Raises:
        MeetingEnded: the meeting is over.
        MeetingError: the party that it is about has left meanwhile.
        ConfkitError: what the workflow says went wrong.
    """
    try:
        if view.end is None:
            engine.home.check()
            engine.runtime.post(FlowId(view.id), command, key=command.id)
        while (reply := view.reply_to(command.id)) is None:
            if view.end is not None:
                raise MeetingEnded("the meeting is over", participants=view.participants)
            if command.target is not None and view.is_over(command.target):
                if isinstance(command, Remove):
                    return Reply(command=command.id)
                raise MeetingError("the party left meanwhile", participants=view.participants)
            engine.home.check()
            await view.changed()
    finally:
        view.drop_reply(command.id)
    if reply.failure is not None:
        raise _error_of(reply.failure, engine.steps.provider)
    return reply


def not_established(view: MeetingView, end: MeetingEnd, provider: str) -> ConfkitError:
    """Why a meeting was over before it was established."""
    details: dict[str, Any] = {"participants": view.participants, "left_behind": end.left_behind + end.orphans}
    people = "; ".join(_fate(person) for person in view.participants)
    quorum = view.plan.quorum if view.plan else 0
    match end.reason:
        case EndReason.QUORUM_MISSED:
            return QuorumNotReached(f"fewer than {quorum} joined: {people}", **details)
        case EndReason.CONFERENCE_ENDED:
            return MeetingEnded(
                f"the conference ended, because its last member left, before {quorum} had joined: {people}", **details
            )
        case EndReason.ASKED:
            return MeetingEnded("the meeting was ended before it was established", **details)
    if end.failure is None:
        return MeetingError(f"everyone left: {people}", **details)
    error = _error_of(end.failure, provider)
    if isinstance(error, ProviderError):
        error.left_behind = end.left_behind + end.orphans
        return error
    return MeetingError(end.failure.message, **details)


def _fate(person: Participant) -> str:
    outcome = person.outcome.value.replace("_", " ") if person.outcome else person.state.value
    return f"{person.party.label} {outcome}" + (f" ({person.error})" if person.error else "")


def _error_of(failure: Failure, provider: str) -> Exception:
    """A failure that came as a value, as the error that it was."""
    kind: type[Exception] = getattr(errors, failure.kind, MeetingError)
    if kind is Withdrawn:
        return MeetingEnded("the meeting was ended before this was sent")
    if kind is PolicyError:
        return PolicyError([failure.message])
    if kind is Unsupported:
        return Unsupported(failure.operation, provider=provider, operation=failure.operation)
    if issubclass(kind, ProviderError):
        error: ProviderError = kind(
            failure.detail,
            provider=provider,
            operation=failure.operation,
            code=failure.code,
            status=failure.status,
        )
        return error
    return MeetingEnded(failure.message) if kind is MeetingEnded else MeetingError(failure.message)
