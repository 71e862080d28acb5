"""The table of operations: what the core must know of each to send it safely, pace it, and look it up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import evolve, frozen

from confkit.models.records import (
    Bridge,
    Call,
    CallSpec,
    Conference,
    Dialled,
    FindHint,
    JoinMethod,
    Media,
    Member,
    Membership,
    Snapshot,
)


@frozen(kw_only=True)
class OperationSpec:
    """What the core must know of an operation to send it safely.

    Args:
        arguments: the hook's arguments besides ``op``, in order.
        repeatable: executing it twice is the same as once.
        urgent: it frees something, so it goes before others.
        gives: what the hook returns.
    """

    arguments: tuple[str, ...]
    repeatable: bool = False
    urgent: bool = False
    gives: type = object


OPERATIONS: Mapping[str, OperationSpec] = {
    "create_conference": OperationSpec(arguments=("spec",), gives=Conference),
    "create_call": OperationSpec(arguments=("spec", "into"), gives=Dialled),
    "add_member": OperationSpec(arguments=("conference", "call", "options"), repeatable=True, gives=Member),
    "update_member": OperationSpec(arguments=("member", "patch"), repeatable=True),
    "remove_member": OperationSpec(arguments=("member",), repeatable=True, urgent=True),
    "update_conference": OperationSpec(arguments=("conference", "patch"), repeatable=True),
    "end_conference": OperationSpec(arguments=("conference",), repeatable=True, urgent=True),
    "hang_up": OperationSpec(arguments=("call",), repeatable=True, urgent=True),
    "create_bridge": OperationSpec(arguments=("calls",), gives=Bridge),
    "end_bridge": OperationSpec(arguments=("bridge",), repeatable=True, urgent=True),
    "play": OperationSpec(arguments=("target", "media")),
    "record": OperationSpec(arguments=("target", "action"), repeatable=True),
    "send_digits": OperationSpec(arguments=("call", "digits")),
    "transfer": OperationSpec(arguments=("call", "to", "caller_id"), gives=Call),
    "answer_call": OperationSpec(arguments=("call", "into"), repeatable=True, gives=Dialled),
    "reject_call": OperationSpec(arguments=("call",), repeatable=True, urgent=True),
}


#: What operations that only look give.
READS: Mapping[str, type] = {"fetch": Snapshot, "list_calls": tuple, "find": tuple}


def is_repeatable(operation: str, arguments: tuple[Any, ...]) -> bool:
    """Whether executing it twice, with these arguments, is the same as once."""
    if operation == "create_bridge":
        (calls,) = arguments
        return bool(calls)  # two calls are on one bridge at most, but empty bridges can be many
    return OPERATIONS[operation].repeatable


def cost_key(operation: str, *arguments: Any) -> str:
    """The operation's name for pacing: with what it is about, because that can decide which limit it counts against;
    see :class:`~confkit.models.capabilities.RateClass`."""
    for argument in arguments:
        match argument:
            case FindHint(operation=lost):
                return f"{operation}:{lost}"
            case Conference() | Call() | Member() | Bridge():
                return f"{operation}:{type(argument).__name__.lower()}"
    return operation


def detailed(operation: str, arguments: tuple[Any, ...]) -> frozenset[str]:
    """The names by which declarations may mean an operation: alone, with what it is about, with what is played."""
    media = next((each for each in arguments if isinstance(each, Media)), None)
    what = () if media is None else (name for name in ("url", "text", "loop") if getattr(media, name))
    return frozenset({operation, cost_key(operation, *arguments), *(f"{operation}:{name}" for name in what)})


def find_hint(operation: str, arguments: tuple[Any, ...], *, since: datetime | None) -> FindHint:
    """What ``find`` is told of a request whose outcome is unknown.

    Args:
        since: it was not sent before; ``None`` where an earlier run may have sent it.
    """
    match operation, arguments:
        case "create_call", (CallSpec() as spec, into):
            return FindHint(operation=operation, into=into, to=spec.to, since=since, caller_id=spec.caller_id)
        case "add_member", (Conference() as conference, Call() as call, _):
            return FindHint(operation=operation, into=conference, call=call, since=since)
        case "transfer", (Call() as call, str() as to, str() as caller_id):
            return FindHint(operation=operation, call=call, to=to, since=since, caller_id=caller_id)
    return FindHint(operation=operation, since=since)


def adopted(operation: str, arguments: tuple[Any, ...], found: Any, joining: JoinMethod) -> Any:
    """The result that the lost reply would have given.

    Args:
        found: what the request has made, as a look-up shows it.
    """
    if OPERATIONS[operation].gives is not Dialled:
        return found
    match arguments:
        case (_, Conference() as into):
            fused = joining is JoinMethod.FUSED
            return Dialled(
                call=found,
                membership=Membership.FUSED if fused else Membership.EXPLICIT,
                # A room that is known by its name may have another id by now.
                conference=evolve(into, id=(fused and found.conference_id) or into.id or found.conference_id),
            )
        case (_, Bridge()):
            return Dialled(call=found, membership=Membership.ON_ANSWER)
    return Dialled(call=found)
