"""An audit log: a JSON object a line for everything that meetings do and see."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, TextIO

from confkit.provider import Event, StepRecord, hookimpl

_IDS = ("call_id", "member_id", "conference_id", "bridge_id", "recording_id", "cause")


class AuditLog:
    """Writes to a text file, which stays the application's to open and to close.

    The provider's payloads are not written: they hold whole numbers.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    @hookimpl
    def meeting_started(self, meeting: str) -> None:
        """Write that a meeting begins."""
        self._write("meeting_started", meeting=meeting)

    @hookimpl
    def meeting_ended(self, meeting: str, reason: str) -> None:
        """Write that a meeting is over, and why."""
        self._write("meeting_ended", meeting=meeting, reason=reason)

    @hookimpl
    def step_finished(self, step: StepRecord) -> None:
        """Write a step, with its outcome."""
        self._write("step", **step.as_dict())

    @hookimpl
    def meeting_event(self, meeting: str, event: Event) -> None:
        """Write an event."""
        facts = {name: getattr(event, name) for name in _IDS if getattr(event, name, None) is not None}
        self._write("event", meeting=meeting, type=type(event).__name__, **facts)

    def _write(self, entry: str, **facts: Any) -> None:
        line = {"at": datetime.now(UTC).isoformat(), "entry": entry, **facts}
        self._file.write(json.dumps(line, default=lambda value: getattr(value, "value", str(value))) + "\n")
        self._file.flush()
