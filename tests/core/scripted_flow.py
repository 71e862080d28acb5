"""A flow's world as a script: what its steps give, what its mailbox brings, and a record of all that it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from confkit.workflows.flow import Flow, FlowId
from confkit.workflows.messages import LegReport, Message

#: Nothing comes in the time that the flow waits for.
SILENCE = None


class Waits(BaseException):
    """The script is at its end, and the flow waits."""


class ScriptedFlow:
    """Runs one flow, without tasks and without a clock.

    Args:
        mail: what the mailbox brings, in order; ``SILENCE`` where nothing comes in time.
        replies: what each operation gives, or raises: one after the other, the last again and again.

    Attributes:
        steps: the operations that were carried out, with their arguments.
        limits: the caller IDs that they count against.
        sent: the messages that were sent, with the flow that each went to.
        children: the flows that were started: kind, name and brief.
        waits: how long each ``receive`` was to wait.
        journal: the names of all that it did, in order.
        result: what the flow returned; ``None`` as long as it waits.
    """

    def __init__(self, flow_id: str, mail: list[Message | None], **replies: Any) -> None:
        self.id = FlowId(flow_id)
        self.ordinal = 0
        self.steps: list[tuple[Any, ...]] = []
        self.limits: list[str | None] = []
        self.sent: list[tuple[str, Message]] = []
        self.children: list[tuple[str, str, Any]] = []
        self.waits: list[timedelta | None] = []
        self.journal: list[str] = []
        self.result: Any = None
        self._mail = list(mail)
        self._replies = {name: list(script) for name, script in replies.items()}

    @classmethod
    def of(
        cls,
        function: Callable[[Flow, Any], Awaitable[Any]],
        flow_id: str,
        brief: Any,
        mail: list[Message | None],
        **replies: Any,
    ) -> ScriptedFlow:
        """Run a flow until it returns or waits for more than the script has."""
        flow = cls(flow_id, mail, **replies)
        running: Any = function(flow, brief)
        try:
            running.send(None)
        except StopIteration as done:
            flow.result = done.value
        except Waits:
            pass
        return flow

    @property
    def names(self) -> list[str]:
        """The names of the steps."""
        return [name for name, *_ in self.steps]

    @property
    def reports(self) -> list[LegReport]:
        """What it has reported as a leg."""
        return self.messages(LegReport)

    def messages(self, kind: type[Any]) -> list[Any]:
        """The messages of a kind that it has sent."""
        return [message for _, message in self.sent if isinstance(message, kind)]

    async def step(self, name: str, /, *args: Any, caller_id: str | None = None) -> Any:
        """Carry out nothing, and give what the script says."""
        self.ordinal += 1
        self.steps.append((name, *args))
        self.limits.append(caller_id)
        self.journal.append(name)
        script = self._replies.get(name, [None])
        reply = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def spawn(self, kind: str, name: str, args: Any) -> FlowId:
        """Note the child."""
        self.children.append((kind, name, args))
        self.journal.append(f"spawn {name}")
        return self.id.child(name)

    async def send(self, flow_id: str, message: Message) -> None:
        """Note the message."""
        self.sent.append((flow_id, message))
        self.journal.append(f"{type(message).__name__} {flow_id}")

    async def receive(self, timeout: timedelta | None) -> Message | None:
        """The next of the script."""
        self.waits.append(timeout)
        if not self._mail:
            raise Waits
        message = self._mail.pop(0)
        assert message is not None or timeout is not None, "who waits without limit waits for ever"
        return message
