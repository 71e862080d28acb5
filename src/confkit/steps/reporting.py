"""Who hears of steps: the trace of their meeting, the log, and observers."""

from __future__ import annotations

import logging
from typing import Any

import pluggy

from confkit.models.trace import StepOutcome, StepRecord, Trace
from confkit.steps.log import enabled

#: The outcomes that are no cause for a warning.
WELL = (StepOutcome.DONE, StepOutcome.ADOPTED)


class StepReporter:
    """Tells of the steps of one provider.

    Args:
        hook: the observers are behind it.
        log: a logger of structlog.

    Attributes:
        traces: the traces of the meetings that are alive, by the meeting's id.
    """

    def __init__(self, hook: pluggy.HookRelay, log: Any) -> None:
        self.traces: dict[str, Trace] = {}
        self._hook = hook
        self._log = log
        self._logs_starts, self._logs_ends = enabled(log, logging.DEBUG), enabled(log, logging.INFO)

    def is_heard(self, meeting: str | None) -> bool:
        """Whether anybody hears of a step of this meeting that goes well."""
        return (
            meeting in self.traces
            or self._logs_starts
            or self._logs_ends
            or bool(self._hook.step_started.get_hookimpls() or self._hook.step_finished.get_hookimpls())
        )

    def tell(self, record: StepRecord) -> None:
        """Tell all who hear of it that a step has begun, or has ended."""
        if (trace := self.traces.get(record.meeting or "")) is not None:
            trace.note(record)
        if record.outcome is StepOutcome.STARTED:
            if self._logs_starts:
                self._log.debug("step", phase="start", **record.line())
            self._observed(self._hook.step_started, record)
        else:
            if record.outcome not in WELL:
                self._log.warning("step", phase="end", **record.line())
            elif self._logs_ends:
                self._log.info("step", phase="end", **record.line())
            self._observed(self._hook.step_finished, record)

    def _observed(self, observers: pluggy.HookCaller, record: StepRecord) -> None:
        """An observer that fails must not change what happens to people."""
        if not observers.get_hookimpls():
            return
        try:
            observers(step=record)
        except Exception:
            self._log.exception("observer_failed", hook=observers.name)
