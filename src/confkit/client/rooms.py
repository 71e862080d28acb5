"""Conferences by our key: what the operations by hand know of those that come into being with a call."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from attrs import define, evolve, field

from confkit.models.records import Conference

#: How many are remembered.
ROOMS = 10_000


@define
class _Room:
    """A conference under our key: the id that it has by now, and whose turn it is to bring it into being."""

    id: str | None = None
    making: anyio.Lock = field(factory=anyio.Lock)


class Rooms:
    """Which id a conference has by now.

    Records are frozen. Where a platform makes a conference with its first call, or anew under its name, whoever holds
    the record from before knows it by our key alone.
    """

    def __init__(self) -> None:
        self._rooms: dict[str, _Room] = {}

    def now(self, conference: Conference) -> Conference:
        """The conference with its newest id."""
        room = self._rooms.get(conference.key)
        return conference if room is None or room.id is None else evolve(conference, id=room.id)

    def is_one(self, conference: Conference, other: Conference) -> bool:
        """Whether two records are of one conference."""
        return other.id == self.now(conference).id or bool(other.key and other.key == conference.key)

    def learn(self, conference: Conference, told: str | None) -> None:
        """The platform has told the id of a conference."""
        if conference.key and told is not None and told != self.now(conference).id:
            self._room(conference).id = told

    def forget(self, conference: Conference) -> None:
        """It has ended."""
        self._rooms.pop(conference.key, None)

    @asynccontextmanager
    async def turn(self, conference: Conference, *, makes_it: bool) -> AsyncGenerator[Conference, None]:
        """Gives the conference with its newest id.

        Args:
            makes_it: what follows brings the conference into being where it is not there yet. That is done by one at a
                time: two would make two.
        """
        if not makes_it or self.now(conference).id is not None:
            yield self.now(conference)
            return
        async with self._room(conference).making:
            yield self.now(conference)

    def _room(self, conference: Conference) -> _Room:
        room = self._rooms.setdefault(conference.key, _Room())
        if len(self._rooms) > ROOMS:
            del self._rooms[next(iter(self._rooms))]
        return room
