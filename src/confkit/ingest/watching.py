"""How an application watches a meeting: a bounded stream of events that never holds the meeting up."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Final, Self

import anyio
from attrs import frozen

from confkit.models.events import Event
from confkit.runtime.home import Home

#: How many events a consumer may fall behind before it misses some.
BUFFER: Final = 1000


@frozen(kw_only=True)
class Missed(Event):
    """The consumer was too slow: so many events before this point were not kept for it."""

    count: int


class EventStream:
    """Events from the moment of asking until the meeting is over.

    Iterate with ``async for``. One that is not wanted any more can simply be dropped: nothing but the consumer holds
    it.

    Args:
        home: where the meeting lives: until it is over, its events are read there only.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._events: deque[Event] = deque()
        self._missed = 0
        self._open = True
        self._changed = anyio.Event()

    def offer(self, event: Event) -> None:
        """Keep an event for the consumer, or count it as missed when there are too many."""
        if not self._open:
            return
        if len(self._events) >= BUFFER:
            self._missed += 1
            return
        if self._missed:
            self._events.append(Missed(provider=event.provider, id=f"missed before {event.id}", count=self._missed))
            self._missed = 0
        self._events.append(event)
        self._changed.set()

    def close(self) -> None:
        """Nothing more will come; what is kept can still be read."""
        self._open = False
        self._changed.set()

    async def aclose(self) -> None:
        """Stop watching."""
        self._events.clear()
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._open:  # what is kept when it is over may be read anywhere
            self._home.check()
        while not self._events:
            if not self._open:
                raise StopAsyncIteration
            self._changed = anyio.Event()
            await self._changed.wait()
        await anyio.lowlevel.checkpoint()  # a consumer with a full buffer must not keep the loop for itself
        return self._events.popleft() if self._events else await self.__anext__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
