"""The log: structlog under the name ``confkit``.

An application that has configured structlog gets confkit's events there. To any other, confkit is a well-behaved
library: its events go to the standard library's logger ``confkit``, where warnings are shown and the rest is not
unless asked for.

structlog is imported when the first client is opened, not with confkit: where rich is installed it imports rich, which
takes longer than everything else together.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any


def logger() -> Any:
    """The bound logger that all of confkit writes to."""
    import structlog

    if structlog.is_configured():
        return structlog.get_logger("confkit")
    import logging

    standard = logging.getLogger("confkit")
    return structlog.wrap_logger(
        standard,
        processors=[structlog.processors.KeyValueRenderer(key_order=["event"], drop_missing=True)],
        # Filtering before anything is built is what makes an event that nobody wants cost next to nothing.
        wrapper_class=structlog.make_filtering_bound_logger(standard.getEffectiveLevel()),
    ).bind()  # what is not bound yet binds again for every event, those that nobody wants included


def enabled(log: Any, level: int) -> bool:
    """Whether an event of this level goes anywhere; so it is taken to where the logger cannot tell."""
    check = getattr(log, "is_enabled_for", None)
    return check is None or bool(check(level))


def place(error: BaseException) -> str:
    """An exception's class and the lines that it came through, without their locals: where these hold what somebody
    sent us, a log that shows tracebacks with locals must not have it."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = (f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in frames)
    return f"{type(error).__name__} at {', '.join(lines)}"
