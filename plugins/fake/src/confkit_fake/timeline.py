"""Time, chance and facts of an exchange: no task, no wall clock, everything in order and repeatable."""

from __future__ import annotations

import heapq
import random
import weakref
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel
from attrs import define

from confkit.provider import EndCause
from confkit_fake.records import Fact, FactKind, MediaKind

#: Adding and subtracting clock readings loses digits; what is due within this span is due.
_TOLERANCE = 1e-6
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


@define(eq=False)
class Timer:
    """Something that is going to happen, unless it is cancelled."""

    due: float
    action: Callable[[], None] | None

    def cancel(self) -> None:
        """Make it not happen."""
        self.action = None


class Facts:
    """An iterator over the facts from its creation on, through a buffer without bound; it never ends."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._buffer: deque[Fact] = deque()
        self._changed: anyio.Event | None = None

    def __aiter__(self) -> Facts:
        return self

    async def __anext__(self) -> Fact:
        await self._wait()
        return self._buffer.popleft()

    async def batch(self) -> list[Fact]:
        """All facts that are new, at least one."""
        await self._wait()
        facts = list(self._buffer)
        self._buffer.clear()
        return facts

    def push(self, fact: Fact) -> None:
        """Buffer a fact."""
        self._buffer.append(fact)

    def wake(self) -> None:
        """Look again: there is a fact, or something is due at another time than before."""
        if self._changed is not None:
            self._changed.set()

    async def _wait(self) -> None:
        await anyio.lowlevel.checkpoint()
        while True:
            self._timeline.advance()
            if self._buffer:
                return
            self._changed = anyio.Event()
            with anyio.CancelScope(deadline=self._timeline.deadline()):
                await self._changed.wait()


class Timeline:
    """The clock of an exchange: seconds since it was first used, on anyio's clock.

    Things that are due happen when somebody looks: ``advance`` plays them in order, each at its own moment.
    Outside of an event loop time stands still.

    Args:
        seed: makes the ids.
        base: the date and time at which the clock begins; now by default.
    """

    def __init__(self, *, seed: int = 0, base: datetime | None = None) -> None:
        self.history: list[Fact] = []
        self._base = base or datetime.now(UTC)
        self._origin: float | None = None
        self._now = 0.0
        self._timers: list[tuple[float, int, Timer]] = []  # by when they are due, and by when they were set
        self._count = 0
        self._playing = False
        self._random = random.Random(seed)
        self._listeners: list[weakref.ref[Facts]] = []  # mostly one, and asked for with every fact

    def now(self) -> datetime:
        """The moment that is being played."""
        return self._base + timedelta(seconds=self._now)

    def new_id(self, prefix: str) -> str:
        """An id of the shape that many platforms give: a prefix and 23 characters."""
        return prefix + "".join(self._random.choices(_LETTERS, k=23))

    def after(self, delay: float, action: Callable[[], None]) -> Timer:
        """Let something happen so many seconds from now."""
        self._count += 1
        timer = Timer(self._now + max(delay, 0.0), action)
        heapq.heappush(self._timers, (timer.due, self._count, timer))
        self._wake()
        return timer

    def advance(self) -> None:
        """Play everything that is due."""
        if self._playing:
            return  # what happens looks at the clock itself; what is due after it waits until it has happened
        present = self._present()
        self._playing = True
        try:
            while self._timers and self._timers[0][0] <= present + _TOLERANCE:
                timer = heapq.heappop(self._timers)[2]
                if timer.action is not None:
                    self._now = max(self._now, timer.due)
                    timer.action()
        finally:
            self._playing = False
        self._now = max(self._now, present)

    def deadline(self) -> float:
        """When the next thing is due, on anyio's clock; infinity when nothing is."""
        while self._timers and self._timers[0][2].action is None:
            heapq.heappop(self._timers)
        if not self._timers or self._origin is None:
            return float("inf")
        return self._origin + self._timers[0][0]

    def tell(
        self,
        kind: FactKind,
        *,
        conference_id: str | None = None,
        call_id: str | None = None,
        member_id: str | None = None,
        bridge_id: str | None = None,
        recording_id: str | None = None,
        cause: EndCause | None = None,
        mute: bool | None = None,
        hold: bool | None = None,
        active_members: int | None = None,
        digit: str | None = None,
        media: MediaKind | None = None,
    ) -> None:
        """Record a fact and hand it to everyone who listens."""
        fact = Fact(
            number=len(self.history) + 1,
            kind=kind,
            at=self.now(),
            conference_id=conference_id,
            call_id=call_id,
            member_id=member_id,
            bridge_id=bridge_id,
            recording_id=recording_id,
            cause=cause,
            mute=mute,
            hold=hold,
            active_members=active_members,
            digit=digit,
            media=media,
        )
        self.history.append(fact)
        for listener in self._listening():
            listener.push(fact)
            listener.wake()

    def facts(self) -> Facts:
        """Listen from now on."""
        listener = Facts(self)
        self._listeners = [each for each in self._listeners if each() is not None]
        self._listeners.append(weakref.ref(listener))
        return listener

    def _listening(self) -> list[Facts]:
        return [listener for each in self._listeners if (listener := each()) is not None]

    def _present(self) -> float:
        try:
            reading = anyio.current_time()
        except RuntimeError:  # no event loop: a test looks at the exchange when all is over
            return self._now
        if self._origin is None or reading - self._origin < self._now - _TOLERANCE:
            # The first reading, or another event loop with a clock of its own: go on from where we were.
            self._origin = reading - self._now
        return max(self._now, reading - self._origin)

    def _wake(self) -> None:
        for listener in self._listening():
            listener.wake()
