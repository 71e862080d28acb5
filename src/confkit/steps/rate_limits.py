"""Keeping below the provider's rate limits, fairly between meetings.

Each published rate class is a sliding window: so many requests in any span of so long; or it is of concurrency: so many
that wait for their replies at a time. A request waits until it has a place in every class that its operation counts
against; what replies say of a limit narrows it. Who goes first: hang-ups and ends, then what the sequence asks for,
then reads; within that the meetings take turns; within a meeting the order of asking.
All waiting is anyio's, so it runs under a virtual clock.
"""

from __future__ import annotations

import enum
import heapq
import itertools
import math
from collections import deque
from collections.abc import Collection
from datetime import timedelta

import anyio
from attrs import define, field

from confkit.models.capabilities import RateClass
from confkit.provider.telling import Limit

#: Requests sent exactly as far apart as the limit says can arrive closer together than that, so windows are
#: kept this much longer than the provider's.
MARGIN = 1.025


class Priority(enum.IntEnum):
    """Who goes first when there is not room for all."""

    URGENT = 0
    NORMAL = 1
    READ = 2


@define(order=True)
class _Ticket:
    """A request that waits for its place. Tickets are totally ordered, so those that need several classes
    cannot block each other in a ring."""

    priority: Priority
    turn: int
    number: int
    classes: tuple[tuple[_Window, int], ...] = field(order=False)
    woken: anyio.Event = field(order=False, factory=anyio.Event)
    gone: bool = field(order=False, default=False)


class _Window:
    """One rate class of one account or number."""

    def __init__(self, rate: RateClass) -> None:
        self.rate = rate
        self.span = rate.per.total_seconds() * MARGIN
        self.sent: deque[float] = deque(maxlen=rate.limit)
        self.closed_until = -math.inf
        #: What the platform said that is left, and until when that holds.
        self.left, self.left_until = 0, -math.inf
        self.queue: list[_Ticket] = []

    def opens_at(self, cost: int) -> float:
        """When there is room for this many requests."""
        short = len(self.sent) + min(cost, self.rate.limit) - self.rate.limit
        return max(
            self.sent[short - 1] + self.span if short > 0 else -math.inf,
            self.closed_until,
            self.left_until if self.left < cost else -math.inf,
        )

    def take(self, cost: int, now: float) -> None:
        # More requests than the window holds at once (a fetch that needs two where one a second is allowed)
        # go out together; those who come after pay for it.
        self.sent.extend(now + self.span * (index // self.rate.limit) for index in range(cost))
        self.left -= cost

    def heed(self, limit: Limit, now: float) -> None:
        # The last word counts: what replies say while others are on the way is behind by those, for one reply's time.
        # Longer than its span no window is closed, however a platform or a plugin has misread a reset.
        self.left, self.left_until = limit.remaining, now + min(limit.resets_in.total_seconds(), self.span)

    def release(self, cost: int) -> None:
        """A request has its reply, which changes nothing here: it was sent."""

    def head(self) -> _Ticket | None:
        while self.queue and self.queue[0].gone:
            heapq.heappop(self.queue)
        return self.queue[0] if self.queue else None


class _Lanes(_Window):
    """One rate class of concurrency."""

    def __init__(self, rate: RateClass) -> None:
        super().__init__(rate)
        self.busy = 0

    def opens_at(self, cost: int) -> float:
        """When there is room: nobody knows, but whoever is done tells."""
        return self.closed_until if self.busy + min(cost, self.rate.limit) <= self.rate.limit else math.inf

    def take(self, cost: int, now: float) -> None:  # noqa: ARG002 - a lane has no clock
        self.busy += min(cost, self.rate.limit)

    def release(self, cost: int) -> None:
        self.busy -= min(cost, self.rate.limit)


class CancelToken:
    """An order not to send what a workflow has not sent yet; its step heeds it as long as it waits.

    Attributes:
        cancelled: whether it stands.
    """

    def __init__(self) -> None:
        self.cancelled = False
        self._waiting: anyio.CancelScope | None = None

    def cancel(self) -> None:
        """From now on nothing is sent; who waits to send stops waiting."""
        self.cancelled = True
        if self._waiting is not None:
            self._waiting.cancel()

    def ends(self, waiting: anyio.CancelScope | None) -> None:
        """The step waits in this scope before it sends, and is not to; ``None``: it does not wait any more."""
        self._waiting = waiting
        if waiting is not None and self.cancelled:
            waiting.cancel()


class RateLimiter:
    """Paces the requests of one client."""

    def __init__(self, rates: Collection[RateClass]) -> None:
        self._rates: dict[str, list[tuple[RateClass, int]]] = {}
        for rate in rates:
            for operation, cost in rate.costs.items():
                self._rates.setdefault(operation, []).append((rate, cost))
        #: Whether :meth:`done` changes anything.
        self.counts_replies = any(rate.concurrent for rate in rates)
        self._windows: dict[tuple[str, str], _Window] = {}
        self._numbers = itertools.count()
        self._turns: dict[str | None, int] = {}
        self._turn = 0
        self._waiting = 0

    async def wait(
        self, operation: str, *, priority: Priority, meeting: str | None = None, number: str = ""
    ) -> timedelta:
        """Wait for a place, and take it. Whoever has one says when the request is :meth:`done`.

        Args:
            operation: its name, or its name and what it is about (``play:member``), where its cost depends on that.
            meeting: whose turn it counts as.
            number: the caller ID, for the limits that each number has for itself.

        Returns:
            How long it took.
        """
        classes = self._classes(operation, number)
        if not classes:
            return timedelta(0)
        asked = anyio.current_time()
        ticket = self._queue(classes, priority, meeting)
        try:
            while True:
                now = anyio.current_time()
                if all(window.head() is ticket for window, _ in classes):
                    opens = max(window.opens_at(cost) for window, cost in classes)
                    if opens <= now:
                        break
                    delay = opens - now
                else:
                    delay = math.inf
                ticket.woken = anyio.Event()
                with anyio.move_on_after(delay):
                    await ticket.woken.wait()
            for window, cost in classes:
                window.take(cost, now)
            self._turn = max(self._turn, ticket.turn)
            return timedelta(seconds=now - asked)
        finally:
            self._leave(ticket)

    def limits(self, operation: str) -> bool:
        """Whether the operation counts against any limit; as for :meth:`wait`."""
        return bool(self._rates) and bool(self._costs(operation))

    def done(self, operation: str, *, number: str = "") -> None:
        """A request that had its place is not under way any more; as for :meth:`wait`."""
        for window, cost in self._classes(operation, number):
            window.release(cost)
            if (head := window.head()) is not None:
                head.woken.set()

    def back_off(self, operation: str, wait: timedelta, *, number: str = "") -> None:
        """The provider refused a request for its rate: send nothing of its classes for so long."""
        for window, _ in self._classes(operation, number):
            window.closed_until = max(window.closed_until, anyio.current_time() + wait.total_seconds())

    def heed(self, operation: str, limit: Limit, *, number: str = "") -> None:
        """The provider says what is left of a limit: send no more than that until it is full again.

        Args:
            operation: the one that it was said about; as for :meth:`wait`.
        """
        now = anyio.current_time()
        for window, _ in self._classes(operation, number) if limit.name is None else self._named(limit.name, number):
            window.heed(limit, now)

    def _named(self, name: str, number: str) -> tuple[tuple[_Window, int], ...]:
        """The class with this name, if there is one."""
        operations = (each for each, costs in self._rates.items() if any(rate.name == name for rate, _ in costs))
        found = self._classes(next(operations, ""), number)
        return tuple((window, cost) for window, cost in found if window.rate.name == name)

    def _costs(self, operation: str) -> list[tuple[RateClass, int]]:
        """The classes that the operation counts against; as it is about that, else as it is in general."""
        return self._rates.get(operation) or self._rates.get(operation.partition(":")[0]) or []

    def _classes(self, operation: str, number: str) -> tuple[tuple[_Window, int], ...]:
        found = []
        for rate, cost in self._costs(operation):
            key = (rate.name, number if rate.scope == "number" else "")
            if (window := self._windows.get(key)) is None:
                window = self._windows[key] = (_Lanes if rate.concurrent else _Window)(rate)
            found.append((window, cost))
        return tuple(found)

    def _queue(self, classes: tuple[tuple[_Window, int], ...], priority: Priority, meeting: str | None) -> _Ticket:
        if not self._waiting:
            self._turns.clear()  # nobody waits, so nobody is owed a turn
        self._waiting += 1
        turn = max(self._turn, self._turns.get(meeting, -1) + 1)
        self._turns[meeting] = turn
        ticket = _Ticket(priority, turn, next(self._numbers), classes)
        for window, _ in classes:
            # Who is first no longer need not be told: it looks again when its window opens, and when another leaves.
            heapq.heappush(window.queue, ticket)
        return ticket

    def _leave(self, ticket: _Ticket) -> None:
        ticket.gone = True
        self._waiting -= 1
        for window, _ in ticket.classes:
            if (head := window.head()) is not None:
                head.woken.set()
