"""What a workflow sees of the world: four operations, and nothing else.

A workflow is a sequential program. It has no tasks, clocks or chance of its own, so that whoever feeds it the same
inputs again gets the same steps again (:mod:`confkit.workflows.driver`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any, Protocol, Self

from confkit.models.errors import ProviderError
from confkit.models.records import Bridge, Call, Conference
from confkit.workflows.messages import Message


class FlowId(str):
    """The id of a workflow: ``m-1a2b`` for a meeting's own, ``m-1a2b/leg-3`` for one of its legs'.

    Attributes:
        meeting: the meeting that it belongs to.
        name: what it is called within its meeting; empty for the meeting's own.
    """

    __slots__ = ("meeting", "name")
    meeting: str
    name: str

    def __new__(cls, value: str) -> Self:
        self = super().__new__(cls, value)
        self.meeting, _, self.name = value.partition("/")
        return self

    def child(self, name: str) -> FlowId:
        """The id of one that it spawns."""
        return FlowId(f"{self}/{name}")


class Flow(Protocol):
    """What a workflow sees of the world.

    Attributes:
        ordinal: how many steps it has taken; with it, a workflow knows the key of its next one (:func:`op_key`).
    """

    id: FlowId
    ordinal: int

    async def step(self, name: str, /, *args: Any, caller_id: str | None = None) -> Any:
        """Carry out one provider operation; at least once, under one key.

        Args:
            caller_id: whose rate limits the step counts against.

        Raises:
            ProviderError: the operation's portable error.
        """

    async def spawn(self, kind: str, name: str, args: Any) -> FlowId:
        """Start a concurrent child; gives its id."""
        ...

    async def send(self, flow_id: str, message: Message) -> None:
        """Put a message into another workflow's mailbox, exactly once."""

    async def receive(self, timeout: timedelta | None) -> Message | None:
        """Take the next message; ``None`` when none came in time. The only place where a workflow waits."""


Program = Callable[[Flow, Any], Coroutine[Any, Any, Any]]
#: The programs of workflows by name.
Programs = Mapping[str, Program]


def op_key(flow_id: str, name: str, ordinal: int) -> str:
    """The key of an intent: the same whenever the same step of the same workflow runs; 36 characters."""
    return f"op-{name[:1]}-" + hashlib.sha256(f"{flow_id}\n{name}\n{ordinal}".encode()).hexdigest()[:31]


async def ask_about(flow: Flow, ref: Conference | Bridge | Call | None) -> None:
    """Look at a call or a room; what that shows reaches those whom it concerns as facts do."""
    try:
        await flow.step("fetch", ref)
    except ProviderError:
        return  # then only waiting tells
