"""What a runtime needs of the client that it runs under, and what the client needs of a runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from confkit.steps.rate_limits import CancelToken
from confkit.workflows.driver import Finished, RunStep, StepDone
from confkit.workflows.flow import FlowId, Programs
from confkit.workflows.messages import Message

if TYPE_CHECKING:
    # It loads what else no program needs.
    from anyio.abc import TaskGroup


class Host(Protocol):
    """Carries out what a meeting's workflows ask for, and shows what becomes of them."""

    async def run_step(self, step: RunStep, cancel: CancelToken, *, resumed: bool) -> Any:
        """Carry out a provider operation.

        Args:
            cancel: the order not to send what has not been sent yet.
            resumed: an earlier run of it was cut off, and may have sent the request.

        Raises:
            ProviderError: the operation's portable error.
        """

    def learn(self, step: RunStep, done: StepDone) -> None:
        """A step has ended, now or in a history that is played: from here on what it made is the meeting's."""

    def observe(self, flow: FlowId, what: Any) -> None:
        """A workflow has sent a message, or was started with this brief."""

    def ended(self, finished: Finished) -> None:
        """The meeting's own workflow has returned, or it has a defect. Its legs may still be hanging up."""

    def gone(self, meeting: str) -> None:
        """All workflows of a meeting have ended, and nothing is kept of them."""


class Runtime(Protocol):
    """Runs meetings: in process by default."""

    async def open(self) -> None:
        """Begin to run; before anything else."""

    async def start(self, program: str, meeting: str, brief: Any) -> None:
        """Start a meeting's own workflow; where it runs already, nothing changes."""

    def post(self, flow: FlowId, message: Message, *, key: str) -> None:
        """Put a message into a workflow's mailbox; a key that came before is dropped."""

    async def aclose(self) -> None:
        """Stop all workflows and wait until their steps have stopped."""


RuntimeFactory = Callable[["TaskGroup", Programs, Host], Runtime]
