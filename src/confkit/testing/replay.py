"""A runtime that crashes, loses everything in memory, and goes on from the inputs that it has written down.

It holds the workflows to what a runtime that survives crashes needs: fed with its history, a meeting comes to the same
steps, with the same keys; and a step that was under way, and runs again, dials nobody twice.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from attrs import define, field, frozen

from confkit.runtime.host import Host, RuntimeFactory
from confkit.runtime.in_process import InProcessRuntime, Running
from confkit.workflows.driver import Driver, Effect, Input, RunStep, StepDone
from confkit.workflows.flow import Programs
from confkit.workflows.meeting import FLOWS

#: How long a runtime that has crashed is away, at most, in seconds.
AWAY = 3.0


@frozen
class Entry:
    """An input of a history, and what the driver made of it."""

    at: float
    given: Input
    effects: list[Effect]
    pending: list[Any]


@define
class Chronicle:
    """What a runtime has gone through.

    Args:
        histories: the inputs of each meeting, in the order in which they were fed.
        crashes: how often it crashed.
        replayed: how many inputs were fed again.
        resumed: how many steps were under way in a crash and ran again.
        divergences: where a history gave something else than before.
    """

    histories: dict[str, list[Entry]] = field(factory=dict)
    crashes: int = 0
    replayed: int = 0
    resumed: int = 0
    divergences: list[str] = field(factory=list)


def play(meeting: str, history: Iterable[Entry], *, programs: Programs = FLOWS) -> tuple[Driver, list[str]]:
    """Feed a history to a new driver; gives it, and where it did something else than before."""
    driver, divergences = Driver(meeting, programs), []
    for number, entry in enumerate(history, 1):
        effects = driver.feed(entry.given, entry.at)
        if effects != entry.effects or driver.pending != entry.pending:
            divergences.append(f"{meeting}, input {number}, {entry.given}: {effects} instead of {entry.effects}")
    return driver, divergences


def diverging(meeting: str, history: list[Entry]) -> list[str]:
    """Feed every prefix of a history to a driver of its own; gives where one did something else than before."""
    found = []
    for length in range(len(history) + 1):
        driver, divergences = play(meeting, history[:length])
        found += divergences
        driver.close()
    return found


class CrashingRuntime(InProcessRuntime):
    """Crashes after every so many inputs of its meetings.

    Args:
        every: how many inputs lie between two crashes; 0 for none.
        seed: of how long it is away.
        chronicle: is written while it runs.
    """

    def __init__(
        self, tasks: TaskGroup, programs: Programs, host: Host, *, every: int, seed: int, chronicle: Chronicle
    ) -> None:
        super().__init__(tasks, programs, host)
        self.chronicle = chronicle
        self._owner = tasks
        self._every = every
        self._chance = random.Random(f"replay {seed}")
        self._since = 0
        self._down = False
        #: Steps that were begun: after a crash nobody knows how far they came.
        self._begun: set[tuple[str, int]] = set()
        self._under_way: set[anyio.CancelScope] = set()

    def give(self, running: Running, given: Input) -> RunStep | None:
        """A mailbox survives a crash; what a step that was cut off gave does not."""
        if not self._down:
            return super().give(running, given)
        if not isinstance(given, StepDone):
            running.inbox.append(given)
        return None

    def feed(self, running: Running, given: Input) -> list[Effect]:
        """Write an input down, and feed it; it may have been the last before a crash."""
        if not running.driver.wants(given):
            return []
        at = anyio.current_time()
        effects = running.driver.feed(given, at)
        history = self.chronicle.histories.setdefault(running.driver.meeting, [])
        history.append(Entry(at, given, effects, running.driver.pending))
        self._since += 1
        if self._every and self._since >= self._every and not self._down:
            self._down = True
            self._owner.start_soon(self._crash, name="confkit crash")
        return effects

    def spawn(self, running: Running, step: RunStep) -> None:
        """Run a step in a task of its own; between a crash and the return nothing is begun."""
        if not self._down and self.tasks is not None:
            self.tasks.start_soon(self._run_in_life, self.chronicle.crashes, running, step)

    async def _run_in_life(self, life: int, running: Running, step: RunStep) -> None:
        """Carry out a step, unless a crash has come first; the next one cuts it off."""
        if self._down or life != self.chronicle.crashes:
            return
        with anyio.CancelScope() as scope:
            self._under_way.add(scope)
            try:
                await self.run(running, step)
            finally:
                self._under_way.discard(scope)

    async def run_step(self, running: Running, step: RunStep, *, resumed: bool = False) -> StepDone:
        """Carry out a step; one that was begun before a crash may have been sent."""
        key = (step.flow, step.ordinal)
        resumed = key in self._begun
        self.chronicle.resumed += resumed
        self._begun.add(key)
        return await super().run_step(running, step, resumed=resumed)

    async def _crash(self) -> None:
        """Lose everything in memory, be away for a while, and go on from what is written."""
        self.chronicle.crashes += 1
        with anyio.CancelScope(shield=True):
            for scope in self._under_way:
                scope.cancel()
            while self._under_way:
                await anyio.lowlevel.checkpoint()
            await anyio.sleep(self._chance.choice((0.0, 0.0, self._chance.uniform(0, AWAY))))
            self._since, self._down = 0, False
            for running in list(self._running.values()):
                running.context.run(self._return, running)

    def _return(self, running: Running) -> None:
        """Rebuild a meeting from its history, and go on."""
        running.driver.close()
        history = self.chronicle.histories.get(running.driver.meeting, [])
        running.driver, divergences = play(running.driver.meeting, history, programs=self.programs)
        self.chronicle.replayed += len(history)
        self.chronicle.divergences += divergences
        for effect in running.driver.pending:
            self.carry_out(running, effect)
        self._feed(running, takes_step=False)


def crashing(*, every: int, seed: int, chronicle: Chronicle) -> RuntimeFactory:
    """Makes runtimes that crash after every so many inputs."""

    def runtime(tasks: TaskGroup, programs: Programs, host: Host) -> CrashingRuntime:
        return CrashingRuntime(tasks, programs, host, every=every, seed=seed, chronicle=chronicle)

    return runtime
