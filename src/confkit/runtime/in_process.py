"""A driver's effects carried out in this process: a task for each step that is under way, one clock for all timers.

Nothing is written down: what runs here ends with the process.
"""

from __future__ import annotations

import contextvars
import heapq
import math
from typing import TYPE_CHECKING, Any

import anyio

from confkit.runtime.host import Host
from confkit.steps.log import logger
from confkit.steps.rate_limits import CancelToken
from confkit.workflows.driver import (
    Begun,
    CancelStep,
    CancelTimer,
    Driver,
    Finished,
    Input,
    Mail,
    RunStep,
    SetTimer,
    StepDone,
    TimerFired,
    Told,
)
from confkit.workflows.flow import FlowId, Programs
from confkit.workflows.messages import Message

if TYPE_CHECKING:
    # It loads what else no program needs.
    from anyio.abc import TaskGroup, TaskStatus


class InProcessRuntime:
    """Runs meetings in this process, on asyncio and on trio.

    Steps are shielded from cancellation: who wants a meeting to end sends it a message and waits, so that nothing is
    left half done. Only ``aclose`` cancels.

    Args:
        tasks: owns what runs.
        programs: the programs of workflows by name.
        host: carries out the steps, and shows what becomes of them.

    Attributes:
        tasks: owns the steps that are under way; ``None`` until it is open.
    """

    def __init__(self, tasks: TaskGroup, programs: Programs, host: Host) -> None:
        self.host = host
        self.programs = programs
        self._client = tasks
        self.tasks: TaskGroup | None = None
        self._running: dict[str, Running] = {}
        self._timers = Timers()
        self._closing = False
        self._closed = anyio.Event()
        self._log = logger()

    async def open(self) -> None:
        """Begin to run."""
        with anyio.CancelScope(shield=True):  # who has begun to run is closed again, not cut off
            await self._client.start(self._serve)

    async def start(self, program: str, meeting: str, brief: Any) -> None:
        """Start a meeting's own workflow; where it runs already, nothing changes."""
        if meeting not in self._running:
            running = self._running[meeting] = Running(Driver(meeting, self.programs))
            self.give(running, Begun(program, brief))

    def post(self, flow: FlowId, message: Message, *, key: str) -> None:
        """Put a message into a workflow's mailbox; a key that came before is dropped."""
        if (running := self._running.get(flow.meeting)) is not None:
            self.give(running, Mail(flow, message, key))

    async def aclose(self) -> None:
        """Stop all workflows and wait until their steps have stopped."""
        self._closing = True
        if self.tasks is not None:
            self.tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await self._closed.wait()
        for running in list(self._running.values()):
            self._stop(running)

    # --- inputs and effects

    def give(self, running: Running, given: Input) -> RunStep | None:
        """Feed an input, and carry out what comes of it; gives a step that is left to the caller, who has a task.

        What an effect brings about at once (an observer that has something to say) is fed after the input that it is
        an effect of.
        """
        if self._closing:
            return None
        running.inbox.append(given)
        if running.feeding:
            return None
        running.feeding = True
        try:
            # In the context of whoever started the meeting: not every webhook's own.
            return running.context.run(self._feed, running, isinstance(given, StepDone))
        finally:
            running.feeding = False

    def _feed(self, running: Running, takes_step: bool) -> RunStep | None:
        left: RunStep | None = None
        while running.inbox:
            for effect in self.feed(running, running.inbox.pop(0)):
                if takes_step and left is None and isinstance(effect, RunStep):
                    left = effect
                    self._prepare(running, effect)
                else:
                    self.carry_out(running, effect)
        if running.driver.done:
            self._forget(running)
        return left

    def feed(self, running: Running, given: Input) -> list[Any]:
        """What the driver makes of an input."""
        return running.driver.feed(given, anyio.current_time())

    def carry_out(self, running: Running, effect: Any) -> None:
        """Do what the driver wants done."""
        match effect:
            case Told(flow=flow, what=what):
                self.host.observe(flow, what)
            case RunStep():
                self._prepare(running, effect)
                self.spawn(running, effect)
            case SetTimer(flow=flow, number=number, due=due):
                self._timers.add(due, running, TimerFired(flow, number))
            case CancelTimer():
                self._timers.cancelled()
            case CancelStep(flow=flow):
                if (cancel := running.steps.get(flow)) is not None:
                    cancel.cancel()
            case Finished():
                self._finished(running, effect)

    def _prepare(self, running: Running, step: RunStep) -> None:
        cancel = running.steps[step.flow] = CancelToken()
        cancel.cancelled = step.cancelled

    def spawn(self, running: Running, step: RunStep) -> None:
        """Run a step in a task of its own."""
        assert self.tasks is not None, "open the runtime first"
        self.tasks.start_soon(self.run, running, step, name=f"confkit {step.flow} {step.name}")

    async def run(self, running: Running, first: RunStep) -> None:
        """Carry out a step, and what comes of it at once: mostly the next one of the same workflow."""
        step: RunStep | None = first
        while step is not None:
            done = await self.run_step(running, step)
            del running.steps[step.flow]
            # The meeting knows what was made before its workflow goes on.
            self.host.learn(step, done)
            step = self.give(running, done)

    async def run_step(self, running: Running, step: RunStep, *, resumed: bool = False) -> StepDone:
        """Carry out a step.

        Args:
            resumed: an earlier run of it was cut off, and may have sent the request.
        """
        try:
            result = await self.host.run_step(step, running.steps[step.flow], resumed=resumed)
        except Exception as error:
            return StepDone(step.flow, step.ordinal, error=error)
        return StepDone(step.flow, step.ordinal, result)

    def _finished(self, running: Running, finished: Finished) -> None:
        if finished.error is not None:
            # A defect. It must not take other meetings down.
            self._log.error("flow_failed", flow=finished.flow, exc_info=finished.error)
        if finished.flow == running.driver.meeting:
            self.host.ended(finished)

    def _forget(self, running: Running) -> None:
        if self._running.pop(running.driver.meeting, None) is not None:
            self.host.gone(running.driver.meeting)

    def _stop(self, running: Running) -> None:
        meeting = running.driver.meeting
        if meeting in running.driver.close():
            self.host.ended(Finished(meeting, error=RuntimeError(f"{meeting} was stopped")))
        self._forget(running)

    # --- the tasks

    async def _serve(self, *, task_status: TaskStatus[None]) -> None:
        """Own the steps that are under way, and fire the timers."""
        try:
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as self.tasks:
                    task_status.started()
                    while True:
                        running, fired = await self._timers.next()
                        if (step := self.give(running, fired)) is not None:
                            self.spawn(running, step)
        finally:
            self._closed.set()


class Running:
    """A meeting that runs.

    Attributes:
        steps: the steps that are under way, by their workflow, each with the order not to send it.
        inbox: what is to be fed.
        feeding: whether an input is being fed.
        context: what its steps run in.
    """

    __slots__ = ("context", "driver", "feeding", "inbox", "steps")

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.steps: dict[str, CancelToken] = {}
        self.inbox: list[Input] = []  # mostly empty, and an empty deque takes ten times the memory
        self.feeding = False
        self.context = contextvars.copy_context()


class Timers:
    """The timers of all meetings, on one clock."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Running, TimerFired]] = []
        self._count = 0
        self._cancelled = 0
        self._sooner: anyio.Event | None = None

    def add(self, due: float, running: Running, fired: TimerFired) -> None:
        """One more."""
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, running, fired))
        if self._heap[0][1] == self._count and self._sooner is not None:
            self._sooner.set()

    def cancelled(self) -> None:
        """One of them is not waited for any more; when that is true of most, those are dropped."""
        self._cancelled += 1
        if self._cancelled > 100 and self._cancelled > len(self._heap) / 2:
            self._heap = [each for each in self._heap if each[2].driver.wants(each[3])]
            heapq.heapify(self._heap)
            self._cancelled = 0

    async def next(self) -> tuple[Running, TimerFired]:
        """Wait for the next that is due and waited for."""
        while True:
            due = self._heap[0][0] if self._heap else math.inf
            if due <= anyio.current_time():
                _, _, running, fired = heapq.heappop(self._heap)
                if running.driver.wants(fired):
                    return running, fired
            elif self._heap and not self._heap[0][2].driver.wants(self._heap[0][3]):
                heapq.heappop(self._heap)
            else:
                self._sooner = anyio.Event()
                with anyio.CancelScope(deadline=due):
                    await self._sooner.wait()
                self._sooner = None
