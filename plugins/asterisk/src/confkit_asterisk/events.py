"""The provider's stream of events."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from datetime import timedelta
from typing import Final

from confkit.provider import Event, ProviderError
from confkit_asterisk import facts
from confkit_asterisk.ari import Ari, Reopened
from confkit_asterisk.media import MediaPlayer
from confkit_asterisk.state import State

#: How long ending one thing that nobody waits for may take.
_CLEARING: Final = timedelta(seconds=2)


class Events:
    """The events, one by one. Not a generator: it holds nothing that would have to be released."""

    def __init__(self, ari: Ari, state: State, studio: MediaPlayer) -> None:
        self._ari = ari
        self._state = state
        self._player = studio
        self._ready: deque[Event] = deque()

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        while not self._ready:
            await self._player.clean_up()
            try:
                message = await self._ari.message()
            except Reopened:
                await self._end_what_was_not_gone()
                raise StopAsyncIteration from None
            if message is None:
                self._ready.extend(facts.engine_gone(self._state))
            else:
                self._player.heard(message)
                self._ready.extend(facts.take_in(message, self._state))
        return self._ready.popleft()

    async def _end_what_was_not_gone(self) -> None:
        """End what was taken to have gone with the engine, and has been told so, but may be there after all.

        A port that refuses connections may be a tunnel's that was down.
        """
        presumed, self._state.presumed_gone = self._state.presumed_gone, []
        for path in presumed:
            with suppress(ProviderError):
                await self._ari.finish("DELETE", *path, operation="hang_up", timeout=_CLEARING)
