"""What meetings did and saw, kept in order for tests."""

from __future__ import annotations

from confkit.events import Event
from confkit.hookspecs import hookimpl
from confkit.trace import StepRecord, mermaid

_WIDTH = 18


class Sequence:
    """An observer to register beside a provider.

    Attributes:
        entries: every step that has finished and every event that has come, in order.
    """

    def __init__(self) -> None:
        self.entries: list[StepRecord | Event] = []

    @property
    def steps(self) -> tuple[StepRecord, ...]:
        """The steps that have finished, in that order."""
        return tuple(entry for entry in self.entries if isinstance(entry, StepRecord))

    @property
    def events(self) -> tuple[Event, ...]:
        """The events that have come, in that order."""
        return tuple(entry for entry in self.entries if isinstance(entry, Event))

    def mermaid(self) -> str:
        """The steps as a Mermaid sequence diagram."""
        return mermaid(self.steps)

    def text(self) -> str:
        """Everything, a line each."""
        return "\n".join(_line(entry) for entry in self.entries)

    @hookimpl
    def step_finished(self, step: StepRecord) -> None:
        """Keep a step."""
        self.entries.append(step)

    @hookimpl
    def meeting_event(self, meeting: str, event: Event) -> None:
        """Keep an event."""
        del meeting
        self.entries.append(event)


def _line(entry: StepRecord | Event) -> str:
    if isinstance(entry, Event):
        about = [getattr(entry, name, None) for name in ("call_id", "member_id", "conference_id", "bridge_id")]
        return f"  <- {type(entry).__name__:{_WIDTH}} {' '.join(filter(None, about))}"
    ids = (entry.conference, entry.call, entry.member, entry.bridge)
    facts = [entry.party, *ids, f"attempt {entry.attempt}" if entry.attempt > 1 else None, entry.error]
    return f"  -> {entry.operation:{_WIDTH}} {entry.outcome.value:8} {' '.join(filter(None, facts))}"
