"""Conferences by our key: what the operations by hand know of those that come into being with a call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import anyio
from attrs import define, evolve, field

from confkit.models.records import Conference

#: How many are remembered.
ROOMS = 10_000


@define
class _Room:
    """A conference under our key: its id and data by now, and whose turn it is to bring it into being."""

    id: str | None = None
    data: Mapping[str, str] = field(factory=dict)
    making: anyio.Lock = field(factory=anyio.Lock)


class Rooms:
    """Which id a conference has by now.

    Records are frozen. Where a platform makes a conference with its first call, or anew under its name, whoever holds
    the record from before knows it by our key alone.
    """

    def __init__(self) -> None:
        self._rooms: dict[str, _Room] = {}

    def now(self, conference: Conference) -> Conference:
        """The conference with its newest id and data."""
        if (room := self._rooms.get(conference.key)) is None:
            return conference
        return evolve(conference, id=room.id or conference.id, data=room.data or conference.data)

    def is_one(self, conference: Conference, other: Conference) -> bool:
        """Whether two records are of one conference."""
        return other.id == self.now(conference).id or bool(other.key and other.key == conference.key)

    def learn(self, conference: Conference, told: Conference) -> None:
        """The provider has told the id of a conference, or given data with it."""
        now = self.now(conference)
        if conference.key and told.id is not None and told.id != now.id:
            self._room(conference).id = told.id
        if conference.key and told.data and told.data != now.data:
            self._room(conference).data = told.data

    def forget(self, conference: Conference) -> None:
        """It has ended."""
        self._rooms.pop(conference.key, None)

    @asynccontextmanager
    async def turn(self, conference: Conference, *, makes_it: bool) -> AsyncGenerator[Conference, None]:
        """Gives the conference with its newest id and data.

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
