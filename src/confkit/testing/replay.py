"""A runtime that crashes, forgets everything in memory, and plays its flows again from what it has written down.

It holds the sequence to what an engine that survives crashes needs: a flow that runs again comes to the same
operations, in the same order, with the same keys; and a step that was under way, and runs again, dials nobody twice.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import anyio
from anyio.abc import TaskGroup
from attrs import define, field, frozen

from confkit.models.errors import ProviderError
from confkit.steps.rate_limits import Withdrawal
from confkit.workflows.flows import FlowFunction, Handle, Mailbox, Observer, RuntimeFactory, StepRunner, op_key
from confkit.workflows.messages import End, HangUp, Message

#: How long a runtime that has crashed is away, at most, in seconds.
AWAY = 3.0


class Divergence(AssertionError):
    """A flow that ran again did something else than before."""


@frozen(kw_only=True)
class Operation:
    """One operation of a flow.

    Args:
        ordinal: its place among all operations of the flow, from 1.
        name: ``step``, ``spawn``, ``send`` or ``receive``, and what of.
        key: of the intent, for a step; what was asked for, for the others.
    """

    flow: str
    ordinal: int
    name: str
    key: str


@define
class Written:
    """An operation and what it came to."""

    operation: Operation
    result: Any = None
    error: ProviderError | None = None


@define
class Chronicle:
    """What a runtime has gone through.

    Args:
        crashes: how often it crashed.
        replayed: how many operations were played again from what was written down.
        operations: how many were carried out.
        again: how many steps were under way in a crash and ran again.
        divergences: what a flow did otherwise than before.
    """

    crashes: int = 0
    replayed: int = 0
    operations: int = 0
    again: int = 0
    divergences: list[str] = field(factory=list)


@define
class _Life:
    """All that survives of a flow."""

    kind: str
    args: Any
    mailbox: Mailbox = field(factory=Mailbox)
    written: list[Written] = field(factory=list)
    done: anyio.Event = field(factory=anyio.Event)
    value: Any = None
    error: Exception | None = None
    under_way: set[int] = field(factory=set)
    running: _Flow | None = None


class ReplayRuntime:
    """Runs flows, and crashes after every so many operations.

    Args:
        every: how many operations lie between two crashes; 0 for none.
        seed: of how long it is away.
        chronicle: is written while it runs.
    """

    def __init__(
        self,
        tasks: TaskGroup,
        kinds: Mapping[str, FlowFunction],
        run_step: StepRunner,
        observe: Observer,
        *,
        every: int,
        seed: int,
        chronicle: Chronicle,
    ) -> None:
        self.run_step = run_step
        self.observe = observe
        self.chronicle = chronicle
        self._tasks = tasks
        self._kinds = kinds
        self._every = every
        self._chance = random.Random(f"replay {seed}")
        self._lives: dict[str, _Life] = {}
        self._since = 0
        self._down = False
        self._closing = False

    async def start(self, kind: str, flow_id: str, args: Any) -> Handle:
        """Start a flow; starting one that exists gives the one that exists."""
        if flow_id not in self._lives:
            self._lives[flow_id] = _Life(kind, args)
            self.observe(flow_id, args)
            if not self._down:
                self._launch(flow_id)
        return _Started(flow_id)

    async def send(self, flow_id: str, message: Message, *, key: str) -> None:
        """Put a message into a flow's mailbox, which survives; a key that was seen before is dropped."""
        self.post(flow_id, message, key=key)

    def post(self, flow_id: str, message: Message, *, key: str) -> None:
        """``send``, for callers that cannot wait."""
        life = self._lives.get(flow_id)
        if life is not None and not life.mailbox.put(message, key):
            return
        self.observe(flow_id, message)
        if life is not None and life.running is not None and isinstance(message, HangUp | End):
            life.running.withdrawal.order()

    async def result(self, flow_id: str, timeout: timedelta | None = None) -> Any:
        """Wait for what the flow returned, or raise what it raised."""
        life = self._lives[flow_id]
        with anyio.fail_after(None if timeout is None else timeout.total_seconds()):
            await life.done.wait()
        if life.error is not None:
            raise life.error
        return life.value

    async def status(self, flow_id: str) -> str:
        """``running``, ``done``, ``failed`` or ``unknown``."""
        if (life := self._lives.get(flow_id)) is None:
            return "unknown"
        if not life.done.is_set():
            return "running"
        return "done" if life.error is None else "failed"

    async def wind_up(self, root: str) -> None:
        """Wait for the children of a flow that has ended, then drop what is kept of all of them."""
        family = [name for name in self._lives if name == root or name.startswith(f"{root}/")]
        for name in family:
            await self._lives[name].done.wait()
        for name in family:
            del self._lives[name]

    async def aclose(self) -> None:
        """Stop all flows and wait until they have stopped."""
        self._closing = True
        for life in self._lives.values():
            if life.running is not None:
                life.running.scope.cancel()
            elif not life.done.is_set():
                life.error = RuntimeError("the flow was stopped")
                life.done.set()
        with anyio.CancelScope(shield=True):
            for life in self._lives.values():
                await life.done.wait()

    # --- crashing

    def counted(self) -> None:
        """An operation has been carried out and written down; it may have been the last before a crash."""
        self.chronicle.operations += 1
        self._since += 1
        if self._every and self._since >= self._every and not self._down and not self._closing:
            self._down = True
            self._tasks.start_soon(self._crash, name="confkit crash")

    async def _crash(self) -> None:
        """Lose everything in memory, be away for a while, and go on from what is written."""
        self.chronicle.crashes += 1
        with anyio.CancelScope(shield=True):
            fallen = [life.running for life in self._lives.values() if life.running is not None]
            for flow in fallen:
                flow.scope.cancel()
            for flow in fallen:
                await flow.gone.wait()
            await anyio.sleep(self._chance.choice((0.0, 0.0, self._chance.uniform(0, AWAY))))
            self._since, self._down = 0, False
            if self._closing:
                return
            for flow_id, life in list(self._lives.items()):
                if not life.done.is_set() and life.running is None:
                    self._launch(flow_id)

    def _launch(self, flow_id: str) -> None:
        life = self._lives[flow_id]
        life.running = _Flow(self, flow_id, life)
        self._tasks.start_soon(self._run, life, life.running, name=f"confkit {flow_id}")

    async def _run(self, life: _Life, flow: _Flow) -> None:
        try:
            with flow.scope:
                life.value = await self._kinds[life.kind](flow, life.args)
                life.done.set()
            if flow.scope.cancelled_caught and self._closing:
                life.error = RuntimeError(f"the flow {flow.id} was stopped")
                life.done.set()
        except Divergence as divergence:
            self.chronicle.divergences.append(str(divergence))
            life.error = divergence
            life.done.set()
        except Exception as error:
            life.error = error
            life.done.set()
        finally:
            life.running = None
            flow.gone.set()


@define
class _Started:
    id: str


class _Flow:
    """One run of a flow: what is written first, then on."""

    def __init__(self, runtime: ReplayRuntime, flow_id: str, life: _Life) -> None:
        self.id = flow_id
        self.scope = anyio.CancelScope(shield=True)
        self.gone = anyio.Event()
        self._runtime = runtime
        self._life = life
        self._place = 0
        self.ordinal = 0
        self._sent = 0
        self.withdrawal = Withdrawal()
        self.withdrawal.ordered = any(isinstance(message, HangUp | End) for message in life.mailbox)

    async def step(self, name: str, /, *args: Any, limit: str | None = None) -> Any:
        self.ordinal += 1
        steps = self.ordinal
        key = op_key(self.id, name, steps)

        async def carry_out() -> Any:
            if again := steps in self._life.under_way:
                self._runtime.chronicle.again += 1
            self._life.under_way.add(steps)
            return await self._runtime.run_step(self.id, steps, name, args, limit, self.withdrawal, again)

        return await self._operation(f"step {name}", key, carry_out)

    async def spawn(self, kind: str, key: str, args: Any) -> str:
        child = f"{self.id}/{key}"

        async def carry_out() -> str:
            await self._runtime.start(kind, child, args)
            return child

        spawned: str = await self._operation(f"spawn {kind}", f"{key} {args!r}", carry_out)
        return spawned

    async def send(self, flow_id: str, message: Message) -> None:
        self._sent += 1
        key = f"{self.id}>{self._sent}"

        async def carry_out() -> None:
            await self._runtime.send(flow_id, message, key=key)

        await self._operation(f"send {flow_id}", f"{key} {message!r}", carry_out)

    async def receive(self, timeout: timedelta | None) -> Message | None:
        async def carry_out() -> Message | None:
            message = await self._life.mailbox.take(timeout)
            if isinstance(message, HangUp | End):
                self.withdrawal.ordered = False
            return message

        message: Message | None = await self._operation("receive", repr(timeout), carry_out)
        return message

    async def _operation(self, name: str, key: str, carry_out: Callable[[], Awaitable[Any]]) -> Any:
        self._place += 1
        operation = Operation(flow=self.id, ordinal=self._place, name=name, key=key)
        if self._place <= len(self._life.written):
            before = self._life.written[self._place - 1]
            if before.operation != operation:
                raise Divergence(f"{operation} where there was {before.operation}")
            self._runtime.chronicle.replayed += 1
            if before.error is not None:
                raise before.error
            return before.result
        written = Written(operation)
        try:
            written.result = await carry_out()
        except ProviderError as error:
            written.error = error
        self._life.written.append(written)
        self._runtime.counted()
        if written.error is not None:
            raise written.error
        return written.result


def crashing(*, every: int, seed: int, chronicle: Chronicle) -> RuntimeFactory:
    """Makes runtimes that crash after every so many operations."""

    def runtime(
        tasks: TaskGroup, kinds: Mapping[str, FlowFunction], run_step: StepRunner, observe: Observer
    ) -> ReplayRuntime:
        return ReplayRuntime(tasks, kinds, run_step, observe, every=every, seed=seed, chronicle=chronicle)

    return runtime
