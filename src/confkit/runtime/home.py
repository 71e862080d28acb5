"""Where a client lives: one process, one event loop. Anywhere else its tasks cannot be reached, so nothing is begun."""

from __future__ import annotations

import os
from typing import Final

from anyio.lowlevel import current_token

from confkit.models.errors import ConfkitError

CLOSED: Final = "this client is closed: open a new one"


class Home:
    """The process and the event loop that it was made in."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._loop = current_token()

    def problem(self) -> str | None:
        """Why what lives there cannot be used from here; ``None`` where it can."""
        if (problem := forked(self._process)) is not None:
            return problem
        if event_loop() == self._loop:
            return None
        return (
            "the client belongs to another event loop: use it in the one that it was opened in, open one here, or take "
            "the blocking confkit.Client, which may be used from many threads"
        )

    def check(self) -> None:
        """Refuse whoever calls from elsewhere.

        Raises:
            ConfkitError: says where it lives.
        """
        if (problem := self.problem()) is not None:
            raise ConfkitError(problem)


def event_loop() -> object | None:
    """What identifies the event loop that runs in this thread; ``None`` where none does."""
    try:
        return current_token()
    except RuntimeError:
        return None


def forked(process: int) -> str | None:
    """Why what was opened in that process cannot be used in this one; ``None`` where they are the same."""
    if os.getpid() == process:
        return None
    return "this process was forked from the one that opened the client: open one in each process, after forking"
