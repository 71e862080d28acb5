"""What a platform says of its limits while it answers, told to the core's rate limiter.

A provider says it from within any hook, mutation or read, by :func:`report_limit`, before it returns or raises; who
uses :class:`~confkit.provider.http.Http` gives it a function of a reply's header fields and is done. It is a function
and no part of what a hook returns, because an error has no place for it, and a hook that gives nothing has none either;
and no method of ``Op``, because hooks that read have no ``op``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta

from attrs import field, frozen
from attrs.validators import ge


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


_heed: ContextVar[Callable[[Limit], None] | None] = ContextVar("confkit_heed_limit", default=None)


def report_limit(limit: Limit) -> None:
    """Tell the core what the platform says of a limit. Outside of a hook that the core called it does nothing."""
    if (heed := _heed.get()) is not None:
        heed(limit)


@contextmanager
def heeding(heed: Callable[[Limit], None]) -> Iterator[None]:
    """While a hook runs: whom its reports go to."""
    token = _heed.set(heed)
    try:
        yield
    finally:
        _heed.reset(token)
