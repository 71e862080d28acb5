"""One step against a provider whose replies are scripted: what the tests of it share."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
from attrs import frozen

from confkit import Bridge, Call, Conference, OutcomeUnknown, RateLimited, RecordAction, StepRecord, Unavailable
from confkit.models.records import STOP, ConferenceSpec, Media
from confkit.provider import (
    CallSpec,
    Capabilities,
    ConferencePatch,
    Dialled,
    FindHint,
    Member,
    MemberOptions,
    MemberPatch,
    Membership,
    Op,
    hookimpl,
)
from confkit.provider.contract import ProviderSpec
from confkit.provider.discovery import open_provider
from confkit.steps.clock import Clock
from confkit.steps.executor import StepRequest, Steps

OURS = "+12018994444"
ANN = "+19195550101"
SECOND = timedelta(seconds=1)
ROOM = Conference(provider="scripted", key="k-room", id="conf-1")
CALL = Call(provider="scripted", id="call-1", to=ANN)
MEMBER = Member(provider="scripted", id="member-1", call_id="call-1", conference=ROOM)
BRIDGE = Bridge(provider="scripted", id="bridge-1")
DIALLED = Dialled(call=CALL, membership=Membership.EXPLICIT)
SPEC = CallSpec(to=ANN, caller_id=OURS)

Reply = object | Exception | Callable[[], Awaitable[object]]


@frozen(kw_only=True)
class Sent:
    """One request that reached the provider."""

    operation: str
    at: float
    arguments: dict[str, Any]
    op: Op | None


class Scripted(ProviderSpec):
    """A provider whose replies are scripted, operation by operation; the last one is given again and again.

    A reply is what to return, an exception to raise, or a function to await.
    """

    name = "scripted"

    def __init__(self, *, capabilities: Any = None, **replies: Any) -> None:
        self.sent: list[Sent] = []
        self._capabilities = capabilities or Capabilities()
        self._replies: dict[str, list[Reply]] = {operation: list(script) for operation, script in replies.items()}
        if "find" not in replies:
            self.find = None  # type: ignore[assignment,method-assign] # pluggy finds methods only

    async def _reply(self, operation: str, op: Op | None = None, **arguments: Any) -> Any:
        self.sent.append(Sent(operation=operation, at=anyio.current_time(), arguments=arguments, op=op))
        script = self._replies[operation]
        reply = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(reply, Exception):
            raise reply
        return await reply() if callable(reply) else reply

    def of(self, operation: str) -> list[Sent]:
        """The requests of one operation."""
        return [each for each in self.sent if each.operation == operation]

    def pauses(self, operation: str) -> list[float]:
        """The seconds between them."""
        return [later.at - earlier.at for earlier, later in itertools.pairwise(self.of(operation))]

    @hookimpl
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @hookimpl
    async def create_conference(self, spec: ConferenceSpec, op: Op) -> Any:
        return await self._reply("create_conference", op, spec=spec)

    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Conference | Bridge | None) -> Any:
        return await self._reply("create_call", op, spec=spec, into=into)

    @hookimpl
    async def end_conference(self, conference: Conference, op: Op) -> Any:
        return await self._reply("end_conference", op, conference=conference)

    @hookimpl
    async def hang_up(self, call: Call, op: Op) -> Any:
        return await self._reply("hang_up", op, call=call)

    @hookimpl
    async def remove_member(self, member: Member, op: Op) -> Any:
        return await self._reply("remove_member", op, member=member)

    @hookimpl
    async def add_member(self, conference: Conference, call: Call, options: MemberOptions, op: Op) -> Any:
        return await self._reply("add_member", op, conference=conference, call=call, options=options)

    @hookimpl
    async def create_bridge(self, calls: tuple[Call, ...], op: Op) -> Any:
        return await self._reply("create_bridge", op, calls=calls)

    @hookimpl
    async def update_member(self, member: Member, patch: MemberPatch, op: Op) -> Any:
        return await self._reply("update_member", op, member=member, patch=patch)

    @hookimpl
    async def update_conference(self, conference: Conference, patch: ConferencePatch, op: Op) -> Any:
        return await self._reply("update_conference", op, conference=conference, patch=patch)

    @hookimpl
    async def end_bridge(self, bridge: Bridge, op: Op) -> Any:
        return await self._reply("end_bridge", op, bridge=bridge)

    @hookimpl
    async def play(self, target: Conference | Member | Call | Bridge, media: Media, op: Op) -> Any:
        return await self._reply("play", op, target=target, media=media)

    @hookimpl
    async def record(self, target: Conference | Call | Bridge, action: RecordAction, op: Op) -> Any:
        return await self._reply("record", op, target=target, action=action)

    @hookimpl
    async def send_digits(self, call: Call, digits: str, op: Op) -> Any:
        return await self._reply("send_digits", op, call=call, digits=digits)

    @hookimpl
    async def answer_call(self, call: Call, into: Conference | Bridge | None, op: Op) -> Any:
        return await self._reply("answer_call", op, call=call, into=into)

    @hookimpl
    async def reject_call(self, call: Call, op: Op) -> Any:
        return await self._reply("reject_call", op, call=call)

    @hookimpl
    async def transfer(self, call: Call, to: str, caller_id: str, op: Op) -> Any:
        return await self._reply("transfer", op, call=call, to=to, caller_id=caller_id)

    @hookimpl
    async def fetch(self, ref: Conference | Call | Bridge) -> Any:
        return await self._reply("fetch", ref=ref)

    @hookimpl
    async def list_calls(self, into: Conference | Bridge) -> Any:
        return await self._reply("list_calls", into=into)

    @hookimpl
    async def find(self, op_key: str, hint: FindHint) -> Any:
        return await self._reply("find", op_key=op_key, hint=hint)


class Watcher:
    """Keeps the records of steps."""

    def __init__(self) -> None:
        self.started: list[StepRecord] = []
        self.finished: list[StepRecord] = []

    @hookimpl
    def step_started(self, step: StepRecord) -> None:
        self.started.append(step)

    @hookimpl
    def step_finished(self, step: StepRecord) -> None:
        self.finished.append(step)


def steps(provider: Scripted, *plugins: object, **settings: Any) -> Steps:
    name, manager = open_provider(provider, {}, plugins=plugins)
    usual: dict[str, Any] = {"clock": Clock(), "request_timeout": 10 * SECOND}
    return Steps(name, manager, **(usual | settings))


def request(operation: str, *arguments: Any, key: str = "k-1", **changes: Any) -> StepRequest:
    return StepRequest(operation=operation, arguments=arguments, op_key=key, step="m-1#1", **changes)


def dial(into: Conference | Bridge | None = None, **changes: Any) -> StepRequest:
    return request("create_call", SPEC, into, **changes)


def hang_up(**changes: Any) -> StepRequest:
    return request("hang_up", CALL, **changes)


def join(**changes: Any) -> StepRequest:
    return request("add_member", ROOM, CALL, MemberOptions(), **changes)


def finds(*operations: str, **changes: Any) -> Capabilities:
    return Capabilities(reconcilable=frozenset(operations), **changes)


def lost(**details: Any) -> OutcomeUnknown:
    return OutcomeUnknown("the connection was lost", **details)


def failed() -> OutcomeUnknown:
    return OutcomeUnknown("the provider failed", status=500, answered=True)


def down() -> Unavailable:
    return Unavailable("the connection was refused")


#: Every operation that changes something, with arguments and what it gives.
EVERY: dict[str, tuple[tuple[object, ...], object]] = {
    "create_conference": ((ConferenceSpec(caller_id=OURS),), ROOM),
    "create_call": ((SPEC, None), DIALLED),
    "add_member": ((ROOM, CALL, MemberOptions()), MEMBER),
    "update_member": ((MEMBER, MemberPatch(mute=True)), None),
    "remove_member": ((MEMBER,), None),
    "update_conference": ((ROOM, ConferencePatch(mute=True)), None),
    "end_conference": ((ROOM,), None),
    "hang_up": ((CALL,), None),
    "create_bridge": (((),), BRIDGE),
    "end_bridge": ((BRIDGE,), None),
    "play": ((ROOM, STOP), None),
    "record": ((CALL, RecordAction.START), None),
    "send_digits": ((CALL, "12"), None),
    "transfer": ((CALL, ANN, OURS), CALL),
    "answer_call": ((CALL, None), DIALLED),
    "reject_call": ((CALL,), None),
}
#: What rings, is heard, or leaves something behind when it is done twice.
ONCE = {"create_conference", "create_call", "create_bridge", "play", "send_digits", "transfer"}
#: What makes nothing and keeps nobody: an ending meeting does nothing else.
FREES = {"remove_member", "end_conference", "hang_up", "end_bridge", "reject_call"}


def limited(seconds: float | None) -> RateLimited:
    wait = None if seconds is None else timedelta(seconds=seconds)
    return RateLimited("too many requests", retry_after=wait)
