"""Webhook requests whose reply a later step decides: those that tell of a call and want to hear what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import anyio
from attrs import define, field

from confkit.models.events import WebhookReply

#: So many decisions are kept for platforms that send a request again whose reply they have lost.
KEPT: Final = 100


@define
class Pending:
    """What is answered to those who told of one call."""

    reply: WebhookReply | None = None
    waiting: int = 0
    decided: anyio.Event = field(factory=anyio.Event)

    async def wait(self, within: timedelta) -> WebhookReply | None:
        """The reply; ``None`` where nobody has decided in time."""
        with anyio.move_on_after(within.total_seconds()):
            await self.decided.wait()
        return self.reply


class Replies:
    """The replies that are waited for in one client, by the call's id."""

    def __init__(self) -> None:
        self._waiting: dict[str, Pending] = {}
        self._given: dict[str, WebhookReply] = {}

    @contextmanager
    def expecting(self, call_id: str) -> Iterator[Pending]:
        """While a request waits; it must do so before anybody hears of the call, or a quick decision is lost."""
        pending = self._waiting.setdefault(call_id, Pending())
        pending.waiting += 1
        if (given := self._given.get(call_id)) is not None:
            pending.reply = given
            pending.decided.set()
        try:
            yield pending
        finally:
            pending.waiting -= 1
            if not pending.waiting:
                del self._waiting[call_id]

    def give(self, call_id: str, reply: WebhookReply) -> bool:
        """Decide; see :func:`confkit.provider.give_reply`."""
        if (pending := self._waiting.get(call_id)) is None:
            return False
        if pending.reply is None:
            pending.reply = self._given[call_id] = reply
            pending.decided.set()
            if len(self._given) > KEPT:
                del self._given[next(iter(self._given))]
        return pending.reply == reply
