"""Where structlog writes when the command line runs: stderr, and only what the screens do not show already."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from confkit.models.text import one_line


def configure(*, debug: bool) -> None:
    """Send all log lines to stderr: warnings, or with ``debug`` everything."""
    processors: list[Any] = [
        _shown,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=False),
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
    ]
    structlog.configure(
        processors=processors if debug else [_no_steps, *processors],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.WARNING),
        # A live table takes the place of sys.stderr while it is shown, so the stream is looked up for each line.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _shown(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Whoever logs, plugins included: what a terminal would obey is not in it."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = one_line(value)
    return event


def _no_steps(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Steps that failed are on the screen, and in the error that they end in."""
    if event.get("event") == "step":
        raise structlog.DropEvent
    return event
