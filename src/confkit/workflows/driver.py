"""All workflows of one meeting, driven by hand: inputs in, effects out. No task, no clock, no chance, no I/O.

The workflows of a meeting talk to each other inside :meth:`Driver.feed`, in a fixed order. So its inputs, in the order
in which they were fed, are the whole history of a meeting: whoever feeds them again gets the same effects.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import Any, Final

from attrs import frozen

from confkit.workflows.flow import FlowId, Program, Programs
from confkit.workflows.messages import End, HangUp, Message

# --- inputs


@frozen
class Begun:
    """The meeting's own workflow starts: the program of this name, with this brief."""

    program: str
    brief: Any


@frozen
class Mail:
    """A message from outside; one whose key came before is dropped."""

    flow: FlowId
    message: Message
    key: str


@frozen
class StepDone:
    """A step has ended, with a result or with an error."""

    flow: FlowId
    ordinal: int
    result: Any = None
    error: Exception | None = None


@frozen
class TimerFired:
    """A workflow has waited as long as it wanted to."""

    flow: FlowId
    number: int


Input = Begun | Mail | StepDone | TimerFired

# --- effects


@frozen
class RunStep:
    """Carry out a provider operation, and feed :class:`StepDone`.

    Args:
        ordinal: counts the steps of the workflow; with its id, it names the step.
        caller_id: whose rate limits it counts against.
        cancelled: what undoes may be sent, and nothing else.
    """

    flow: FlowId
    ordinal: int
    name: str
    args: tuple[Any, ...]
    caller_id: str | None = None
    cancelled: bool = False


@frozen
class CancelStep:
    """What this step has not sent yet is not to be sent. It may have ended already."""

    flow: FlowId
    ordinal: int


@frozen
class SetTimer:
    """Feed :class:`TimerFired` at this instant, in seconds on the clock of the inputs."""

    flow: FlowId
    number: int
    due: float


@frozen
class CancelTimer:
    """The workflow does not wait for this any more. Feeding it all the same does no harm."""

    flow: FlowId
    number: int


@frozen
class Told:
    """A workflow has sent a message, or was started with this brief: for showing the state of things, and for mailboxes
    outside the meeting."""

    flow: FlowId
    what: Any


@frozen
class Finished:
    """A workflow has returned this; or it has a defect."""

    flow: FlowId
    value: Any = None
    error: Exception | None = None


Effect = RunStep | CancelStep | SetTimer | CancelTimer | Told | Finished

#: How many keys of messages from outside are remembered, to know duplicates by.
MEMORY: Final = 10_000


class Driver:
    """The workflows of one meeting.

    Args:
        meeting: its id, which is also the id of its own workflow.
        programs: the programs of workflows by name.
    """

    __slots__ = ("_effects", "_flows", "_keys", "_now", "_programs", "_ready", "_unfinished", "meeting")

    def __init__(self, meeting: str, programs: Programs) -> None:
        self.meeting = FlowId(meeting)
        self._programs = programs
        self._flows: dict[str, _Flow] = {}
        self._unfinished = 0
        #: Those that can go on, and what with, and what is to be done outside: while an input is fed.
        self._ready: list[tuple[_Flow, Any, Exception | None]] = []
        self._effects: list[Effect] = []
        self._keys: dict[tuple[str, str], None] = {}  # in the order of their coming
        self._now = 0.0

    @property
    def flows(self) -> tuple[str, ...]:
        """The ids of all that were started."""
        return tuple(self._flows)

    @property
    def done(self) -> bool:
        """Whether all have ended."""
        return not self._unfinished

    @property
    def pending(self) -> list[RunStep | SetTimer | CancelStep]:
        """What is under way: to be begun again by whoever has just played a history."""
        found: list[RunStep | SetTimer | CancelStep] = []
        for flow in self._flows.values():
            if isinstance(flow.waits, RunStep | SetTimer):
                found.append(flow.waits)
            if isinstance(flow.waits, RunStep) and flow.cancelled:
                found.append(CancelStep(flow.id, flow.waits.ordinal))
        return found

    def wants(self, given: Input) -> bool:
        """Whether feeding this would change anything; what would not needs no record."""
        if isinstance(given, Begun):
            return not self._flows
        flow = self._flows.get(given.flow)
        if flow is None or flow.done:
            return False
        match given:
            case Mail():
                return (given.flow, given.key) not in self._keys
            case StepDone():
                return isinstance(flow.waits, RunStep) and flow.waits.ordinal == given.ordinal
            case TimerFired():
                return isinstance(flow.waits, SetTimer) and flow.waits.number == given.number

    def feed(self, given: Input, at: float) -> list[Effect]:
        """Let the workflows go on with one input, until all of them wait again.

        Args:
            at: when it came, in seconds; never earlier than the one before.
        """
        if not self.wants(given):
            return []
        self._now = at
        match given:
            case Begun():
                self.start(given.program, self.meeting, given.brief)
            case Mail():
                self._keys[given.flow, given.key] = None
                if len(self._keys) > MEMORY:
                    del self._keys[next(iter(self._keys))]
                self._put(self._flows[given.flow], given.message)
            case StepDone():
                self._ready.append((self._flows[given.flow], given.result, given.error))
            case TimerFired():
                self._ready.append((self._flows[given.flow], None, None))
        for each in self._ready:  # it grows meanwhile
            self._run(*each)
        effects = self._effects
        self._ready, self._effects = [], []
        return effects

    def close(self) -> list[str]:
        """Let go of the workflows where they stand; nothing is wanted any more. Gives those that had not ended."""
        stopped = [flow for flow in self._flows.values() if not flow.done]
        for flow in stopped:
            flow.done, flow.waits = True, None
            flow.program.close()
        self._unfinished = 0
        return [flow.id for flow in stopped]

    # --- what the workflows do

    def start(self, program: str, flow_id: FlowId, brief: Any) -> None:
        """Begin a workflow; its turn comes when those before it wait."""
        if flow_id in self._flows:
            return
        flow = self._flows[flow_id] = _Flow(self, flow_id, self._programs[program], brief)
        self._unfinished += 1
        self._effects.append(Told(flow_id, brief))
        self._ready.append((flow, None, None))

    def put(self, flow_id: str, message: Message) -> None:
        """A workflow sends a message."""
        flow = self._flows.get(flow_id)
        self._effects.append(Told(FlowId(flow_id) if flow is None else flow.id, message))
        if flow is not None and not flow.done:
            self._put(flow, message)

    def _put(self, flow: _Flow, message: Message) -> None:
        flow.mailbox.append(message)
        waits = flow.waits
        if waits is _MAIL:
            self._ready.append((flow, None, None))
            flow.waits = None
        elif isinstance(waits, SetTimer):
            self._effects.append(CancelTimer(flow.id, waits.number))
            self._ready.append((flow, None, None))
            flow.waits = None
        if isinstance(message, HangUp | End):
            flow.cancelled = True
            if isinstance(waits, RunStep):
                self._effects.append(CancelStep(flow.id, waits.ordinal))

    def step(self, flow: _Flow, step: RunStep) -> None:
        """A workflow waits for a step."""
        flow.waits = step
        self._effects.append(step)

    def wait(self, flow: _Flow, timeout: timedelta | None) -> None:
        """A workflow waits for mail, at most for so long."""
        if timeout is None:
            flow.waits = _MAIL
            return
        flow.timers += 1
        flow.waits = SetTimer(flow.id, flow.timers, self._now + timeout.total_seconds())
        self._effects.append(flow.waits)

    def _run(self, flow: _Flow, value: Any, error: Exception | None) -> None:
        flow.waits = None
        try:
            asked = flow.program.send(value) if error is None else flow.program.throw(error)
            if asked is not _PAUSE:
                flow.program.throw(TypeError(f"{flow.id} awaits {asked!r}, which is no operation of a workflow"))
        except StopIteration as returned:
            self._finish(flow, Finished(flow.id, returned.value))
        except Exception as defect:
            self._finish(flow, Finished(flow.id, error=defect))

    def _finish(self, flow: _Flow, finished: Finished) -> None:
        flow.done, flow.waits = True, None
        flow.mailbox.clear()
        self._unfinished -= 1
        self._effects.append(finished)


class _Pause:
    """What a workflow yields while it waits; nothing else may."""

    def __await__(self) -> Generator[_Pause, Any, Any]:
        return (yield self)


_PAUSE: Final = _Pause()
#: A workflow waits for mail, however long that takes.
_MAIL: Final = object()
_AT_ONCE: Final = timedelta(0)


class _Flow:
    """The four operations for one workflow.

    Attributes:
        waits: the step or the timer that it waits for, mail alone (``_MAIL``), or ``None`` while it goes on.
        cancelled: mail has come that makes whatever it has not sent yet pointless.
    """

    __slots__ = ("cancelled", "done", "driver", "id", "mailbox", "ordinal", "program", "timers", "waits")

    def __init__(self, driver: Driver, flow_id: FlowId, program: Program, brief: Any) -> None:
        self.id = flow_id
        self.driver = driver
        self.mailbox: list[Message] = []  # few or none at a time, and an empty deque takes ten times the memory
        self.waits: Any = None
        self.ordinal = self.timers = 0
        self.cancelled = self.done = False
        self.program = program(self, brief)

    async def step(self, name: str, /, *args: Any, caller_id: str | None = None) -> Any:
        self.ordinal += 1
        self.driver.step(self, RunStep(self.id, self.ordinal, name, args, caller_id, self.cancelled))
        return await _PAUSE

    async def spawn(self, kind: str, name: str, args: Any) -> FlowId:
        child = self.id.child(name)
        self.driver.start(kind, child, args)
        return child

    async def send(self, flow_id: str, message: Message) -> None:
        self.driver.put(flow_id, message)

    async def receive(self, timeout: timedelta | None) -> Message | None:
        if not self.mailbox:
            if timeout is not None and timeout <= _AT_ONCE:
                return None
            self.driver.wait(self, timeout)
            await _PAUSE
            if not self.mailbox:
                return None
        message = self.mailbox.pop(0)
        if self.cancelled and isinstance(message, HangUp | End):
            self.cancelled = False  # it knows now: what it does next is the undoing, which is not cancelled
        return message
