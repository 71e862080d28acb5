"""The four operations through which the sequence touches the world, and the runtime that carries them out in process.

A flow is a sequential program. It has no tasks, clocks or chance of its own, so that an engine which records its
operations can run it again and come to the same ones. The in-process runtime records nothing: a flow is a task,
a mailbox is a queue.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Protocol

import anyio
from anyio.abc import TaskGroup

from confkit.steps.log import logger
from confkit.steps.rate_limits import Withdrawal
from confkit.workflows.messages import End, HangUp, Message

#: One step of a flow: (flow id, ordinal, operation, arguments, limit, withdrawal, again) → result. ``again``: an
#: earlier run of it was cut off.
StepRunner = Callable[[str, int, str, tuple[Any, ...], str | None, Withdrawal, bool], Awaitable[Any]]


class Flow(Protocol):
    """What a flow sees of the world.

    Attributes:
        ordinal: how many steps it has taken; with it, a flow knows the key of its next one (:func:`op_key`).
    """

    id: str
    ordinal: int

    async def step(self, name: str, /, *args: Any, limit: str | None = None) -> Any:
        """Carry out one provider operation; at least once, under one key.

        Args:
            limit: the caller ID whose rate limits the step counts against.

        Raises:
            ProviderError: the operation's portable error.
        """

    async def spawn(self, kind: str, key: str, args: Any) -> str:
        """Start a concurrent child; gives its id, ``parent/key``."""
        ...

    async def send(self, flow_id: str, message: Message) -> None:
        """Put a message into another flow's mailbox, exactly once."""

    async def receive(self, timeout: timedelta | None) -> Message | None:
        """Take the next message; ``None`` when none came in time. The only place where a flow waits."""


class Handle(Protocol):
    """A flow that was started."""

    id: str


class Runtime(Protocol):
    """Runs flows: in process by default; an engine that survives crashes can take its place."""

    async def start(self, kind: str, flow_id: str, args: Any) -> Handle:
        """Start a flow; starting one that exists gives the one that exists."""
        ...

    async def send(self, flow_id: str, message: Message, *, key: str) -> None:
        """Put a message into a flow's mailbox; a key that was seen before is dropped."""

    def post(self, flow_id: str, message: Message, *, key: str) -> None:
        """``send``, for callers that cannot wait."""

    async def result(self, flow_id: str, timeout: timedelta | None = None) -> Any:
        """Wait for what the flow returned.

        Raises:
            TimeoutError: it did not return in time.
        """

    async def status(self, flow_id: str) -> str:
        """``running``, ``done``, ``failed`` or ``unknown``."""
        ...

    async def wind_up(self, root: str) -> None:
        """Wait for the children of a flow that has ended, then drop what is kept of all of them."""

    async def aclose(self) -> None:
        """Stop all flows and wait until they have stopped."""


FlowFunction = Callable[[Flow, Any], Awaitable[Any]]
#: Sees every message as it is sent, and the input of every flow as it starts, with the flow's id.
Observer = Callable[[str, Any], None]
RuntimeFactory = Callable[[TaskGroup, Mapping[str, FlowFunction], StepRunner, Observer], Runtime]


def op_key(flow_id: str, name: str, ordinal: int) -> str:
    """The key of an intent: the same whenever the same step of the same flow runs; 36 characters."""
    return f"op-{name[:1]}-" + hashlib.sha256(f"{flow_id}\n{name}\n{ordinal}".encode()).hexdigest()[:31]


class InProcessRuntime:
    """Flows as tasks of one task group.

    Flows are shielded from cancellation: who wants one to end sends it a message and waits, so that nothing is
    left half done. Only ``aclose`` cancels.

    Args:
        tasks: owns the flows.
        kinds: the flow programs by name.
        run_step: carries out a step.
        observe: sees every message as it is sent, and the input of every flow as it starts, with the flow's id:
            for showing the state of things.
    """

    def __init__(
        self,
        tasks: TaskGroup,
        kinds: Mapping[str, FlowFunction],
        run_step: StepRunner,
        observe: Observer = lambda _flow, _message: None,
    ) -> None:
        self._tasks = tasks
        self._kinds = kinds
        self._run_step = run_step
        self._observe = observe
        self._flows: dict[str, _Running] = {}
        #: By the id of the flow that no other has spawned.
        self._families: dict[str, list[_Running]] = {}
        self._log = logger()

    async def start(self, kind: str, flow_id: str, args: Any) -> Handle:
        """Start a flow; starting one that exists gives the one that exists."""
        if flow_id not in self._flows:
            flow = _Running(self, flow_id)
            self._flows[flow_id] = flow
            self._families.setdefault(flow_id.partition("/")[0], []).append(flow)
            self._observe(flow_id, args)
            self._tasks.start_soon(self._run, flow, self._kinds[kind], args, name=f"confkit {flow_id}")
        return self._flows[flow_id]

    async def send(self, flow_id: str, message: Message, *, key: str) -> None:
        """Put a message into a flow's mailbox; a key that was seen before is dropped."""
        self.post(flow_id, message, key=key)

    def post(self, flow_id: str, message: Message, *, key: str) -> None:
        """``send``, for callers that cannot wait.

        Whoever is no flow, such as the application's handle, sees its messages through ``observe``.
        """
        flow = self._flows.get(flow_id)
        if flow is not None and not flow.mailbox.put(message, key):
            return
        self._observe(flow_id, message)
        if flow is not None and isinstance(message, HangUp | End):
            flow.withdrawal.order()

    async def result(self, flow_id: str, timeout: timedelta | None = None) -> Any:
        """Wait for what the flow returned, or raise what it raised."""
        flow = self._flows[flow_id]
        with anyio.fail_after(None if timeout is None else timeout.total_seconds()):
            await flow.finished()
        if flow.error is not None:
            raise flow.error
        return flow.value

    async def status(self, flow_id: str) -> str:
        """``running``, ``done``, ``failed`` or ``unknown``."""
        if (flow := self._flows.get(flow_id)) is None:
            return "unknown"
        if not flow.done:
            return "running"
        return "done" if flow.error is None else "failed"

    async def wind_up(self, root: str) -> None:
        """Wait for the children of a flow that has ended, then drop what is kept of all of them."""
        for flow in self._families[root]:
            await flow.finished()
        for flow in self._families.pop(root):
            del self._flows[flow.id]

    async def aclose(self) -> None:
        """Stop all flows and wait until they have stopped."""
        running = [flow for flow in self._flows.values() if not flow.done]
        for flow in running:
            flow.scope.cancel()
        with anyio.CancelScope(shield=True):
            for flow in running:
                await flow.finished()

    async def run_step(self, flow: _Running, name: str, args: tuple[Any, ...], limit: str | None) -> Any:
        """Number a flow's step and carry it out."""
        flow.ordinal += 1
        return await self._run_step(flow.id, flow.ordinal, name, args, limit, flow.withdrawal, False)

    async def _run(self, flow: _Running, program: FlowFunction, args: Any) -> None:
        try:
            with flow.scope:
                flow.value = await program(flow, args)
            if flow.scope.cancelled_caught:
                flow.error = RuntimeError(f"the flow {flow.id} was stopped")
        except Exception as error:
            # A defect. It must not take other meetings down; who waits for this flow gets it.
            self._log.exception("flow_failed", flow=flow.id)
            flow.error = error
        finally:
            flow.finish()


#: How many keys of messages a mailbox remembers, to know duplicates by.
MEMORY = 10_000


class Mailbox:
    """Messages in the order of their coming."""

    def __init__(self) -> None:
        self._messages: list[Message] = []  # few or none at a time, and an empty deque takes ten times the memory
        self._keys: dict[str, None] = {}  # in the order of their coming
        self._arrived: anyio.Event | None = None

    def put(self, message: Message, key: str) -> bool:
        """Add a message; ``False`` if one with this key came before."""
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > MEMORY:
            del self._keys[next(iter(self._keys))]
        self._messages.append(message)
        if self._arrived is not None:
            self._arrived.set()
        return True

    def __iter__(self) -> Iterator[Message]:
        """Those that have not been taken."""
        return iter(self._messages)

    async def take(self, timeout: timedelta | None = None) -> Message | None:
        """The next message, or ``None`` when the time is up."""
        if not self._messages:
            arrived = self._arrived = anyio.Event()
            try:
                if timeout is None:  # as nearly always: without a cancel scope, which takes time and memory
                    await arrived.wait()
                else:
                    with anyio.move_on_after(max(timeout.total_seconds(), 0.0)):
                        await arrived.wait()
            finally:
                self._arrived = None
        return self._messages.pop(0) if self._messages else None


class _Running:
    """A flow as a task, and the four operations for it."""

    def __init__(self, runtime: InProcessRuntime, flow_id: str) -> None:
        self.id = flow_id
        self.mailbox = Mailbox()
        self.done = False
        self._finished: anyio.Event | None = None  # where somebody waits for it; thousands of idle flows add up
        self.scope = anyio.CancelScope(shield=True)
        self.value: Any = None
        self.error: Exception | None = None
        self.ordinal = 0
        self._sent = 0
        self._runtime = runtime
        #: Mail that makes whatever it has not sent yet pointless.
        self.withdrawal = Withdrawal()

    def finish(self) -> None:
        """It has returned, raised, or been stopped."""
        self.done = True
        if self._finished is not None:
            self._finished.set()

    async def finished(self) -> None:
        """Wait for that."""
        if not self.done:
            self._finished = self._finished or anyio.Event()
            await self._finished.wait()

    async def step(self, name: str, /, *args: Any, limit: str | None = None) -> Any:
        return await self._runtime.run_step(self, name, args, limit)

    async def spawn(self, kind: str, key: str, args: Any) -> str:
        child = f"{self.id}/{key}"
        await self._runtime.start(kind, child, args)
        return child

    async def send(self, flow_id: str, message: Message) -> None:
        self._sent += 1
        await self._runtime.send(flow_id, message, key=f"{self.id}>{self._sent}")

    async def receive(self, timeout: timedelta | None) -> Message | None:
        message = await self.mailbox.take(timeout)
        if isinstance(message, HangUp | End):
            self.withdrawal.ordered = False  # it knows now: what it does next is the undoing, which is not withdrawn
        return message
