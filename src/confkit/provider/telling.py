"""What a hook tells the core beside what it returns: what is left of a limit, and what to answer a webhook request.

These are functions, called from within a hook before it returns or raises. They are no part of what hooks return,
because an error has no place for them, and a hook that gives nothing has none either; and no methods of ``Op``, because
hooks that read have no ``op``. Outside of a hook that the core called they do nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Protocol

from attrs import field, frozen
from attrs.validators import ge

from confkit.models.events import WebhookReply


@frozen(kw_only=True)
class Limit:
    """What is left of a limit.

    Args:
        remaining: how many more requests the platform takes until the limit is full again.
        resets_in: until then; taken for no longer than the class's own span.
        name: the rate class's; ``None`` for all that the operation under way counts against.
    """

    remaining: int = field(validator=ge(0))
    resets_in: timedelta
    name: str | None = None


class Listener(Protocol):
    """Who hears what a hook tells."""

    def limit(self, limit: Limit) -> None:
        """See :func:`report_limit`."""

    def reply(self, call_id: str, reply: WebhookReply) -> bool:
        """See :func:`give_reply`."""


_listener: ContextVar[Listener | None] = ContextVar("confkit_listener", default=None)


def report_limit(limit: Limit) -> None:
    """Tell the core what the platform says of a limit: no more is sent than is left until it is full again.

    Who uses :class:`~confkit.provider.http.Http` gives it a function of a reply's header fields, and is done.
    """
    if (listener := _listener.get()) is not None:
        listener.limit(limit)


def give_reply(call_id: str, reply: WebhookReply) -> bool:
    """Answer the request that told of a call that came in, from within ``answer_call`` or ``reject_call``.

    For platforms that take the decision in the reply; see ``Received.decided_within``.

    Returns:
        Whether this is what the platform is told. ``False``: nobody waits for a reply about this call, or not any more,
        or it has been given another; then the hook asks the platform in another way, or raises ``Conflict``.
    """
    listener = _listener.get()
    return listener is not None and listener.reply(call_id, reply)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """While a hook runs: who hears what it tells."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
