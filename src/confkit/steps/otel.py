"""Meetings and steps as OpenTelemetry spans: an observer to pass as ``plugins=[confkit.OpenTelemetry()]``.

One span for each meeting, one child for each step. Attributes hold ids and outcomes, never an address: a number is
somebody's, and traces travel far. Needs the extra ``otel``.
"""

from __future__ import annotations

try:
    from opentelemetry import trace
    from opentelemetry.trace import Span, Status, StatusCode, Tracer
except ModuleNotFoundError as error:
    raise ImportError("confkit.OpenTelemetry needs the extra otel: pip install 'confkit[otel]'") from error

from confkit.models.events import Event
from confkit.models.text import one_line
from confkit.models.trace import StepOutcome, StepRecord
from confkit.provider.contract import hookimpl

_GOOD = (StepOutcome.DONE, StepOutcome.ADOPTED)


class OpenTelemetry:
    """Observes a client.

    Args:
        tracer: where spans go; by default the tracer ``confkit`` of the global provider.
    """

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._tracer = tracer or trace.get_tracer("confkit")
        self._meetings: dict[str, Span] = {}
        self._steps: dict[str, Span] = {}

    @hookimpl
    def meeting_started(self, meeting: str) -> None:
        """Open the meeting's span."""
        self._meetings[meeting] = self._tracer.start_span("meeting", attributes={"confkit.meeting": meeting})

    @hookimpl
    def meeting_ended(self, meeting: str, reason: str) -> None:
        """Close the meeting's span."""
        if (span := self._meetings.pop(meeting, None)) is not None:
            span.set_attribute("confkit.reason", reason)
            span.end()

    @hookimpl
    def meeting_event(self, meeting: str, event: Event) -> None:
        """Note the event, by its kind, on the meeting's span."""
        if (span := self._meetings.get(meeting)) is not None:
            span.add_event(type(event).__name__)

    @hookimpl
    def step_started(self, step: StepRecord) -> None:
        """Open the step's span, below its meeting's where it has one."""
        parent = self._meetings.get(step.meeting or "")
        self._steps[step.step] = self._tracer.start_span(
            step.operation,
            context=trace.set_span_in_context(parent) if parent is not None else None,
            attributes={"confkit.provider": step.provider, "confkit.step": step.step, "confkit.op": step.op},
        )

    @hookimpl
    def step_finished(self, step: StepRecord) -> None:
        """Close the step's span with its outcome and ids."""
        if (span := self._steps.pop(step.step, None)) is None:
            return
        span.set_attribute("confkit.outcome", step.outcome.value)
        span.set_attribute("confkit.attempt", step.attempt)
        for name in ("conference", "call", "member", "bridge"):
            if (value := getattr(step, name)) is not None:
                # A platform's id with half a surrogate pair in it would keep an exporter from sending anything.
                span.set_attribute(f"confkit.{name}", one_line(value))
        if step.outcome not in _GOOD:
            # The error's sentence may name a party, masked; the outcome says enough here.
            span.set_status(Status(StatusCode.ERROR, step.outcome.value))
        span.end()
