"""Durations as applications give them: a ``timedelta``, or a number of seconds."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

#: What a duration may be given as.
Duration = timedelta | float

#: No phone rings as long, and no request takes as long: whatever is longer is a mistake in its unit.
LONGEST: Final = timedelta(days=1)


def duration(given: object) -> timedelta:
    """What was given, as a duration.

    Raises:
        ValueError: it is none, or not longer than nothing and shorter than a day; a sentence without its subject.
    """
    if isinstance(given, timedelta):
        value = given
    elif isinstance(given, int | float) and not isinstance(given, bool):
        if given != given:
            raise ValueError("must be a number of seconds, not nan")
        value = timedelta(seconds=min(max(given, -1.0), LONGEST.total_seconds()))
    else:
        raise ValueError(f"must be a number of seconds or a timedelta, not {type(given).__name__}")
    if value <= timedelta(0):
        raise ValueError("must be longer than nothing")
    if value >= LONGEST:
        raise ValueError("must be less than a day")
    return value
