"""What meetings did and saw, kept in order for tests."""

from __future__ import annotations

from datetime import datetime

from confkit.models.events import CallAnswered, CallEnded, Event, MemberJoined
from confkit.models.records import EndCause, Outcome
from confkit.models.text import one_line
from confkit.models.trace import LegEnding, StepRecord, mermaid
from confkit.provider.contract import hookimpl

_WIDTH = 18


class Sequence:
    """An observer to register beside a provider.

    Attributes:
        entries: every step that has finished and every event that has come, in order.
    """

    def __init__(self) -> None:
        self.entries: list[StepRecord | Event] = []
        self._answered: set[str] = set()
        self._endings: dict[str, LegEnding] = {}
        #: When the newest step began or ended. Events have the platform's clock, which is another.
        self._now: datetime | None = None

    @property
    def steps(self) -> tuple[StepRecord, ...]:
        """The steps that have finished, in that order."""
        return tuple(entry for entry in self.entries if isinstance(entry, StepRecord))

    @property
    def events(self) -> tuple[Event, ...]:
        """The events that have come, in that order."""
        return tuple(entry for entry in self.entries if isinstance(entry, Event))

    def mermaid(self) -> str:
        """The steps as a Mermaid sequence diagram, with who left by themselves."""
        return mermaid(self.steps, self._endings.values())

    def text(self) -> str:
        """Everything, a line each."""
        return "\n".join(_line(entry) for entry in self.entries)

    @hookimpl
    def step_started(self, step: StepRecord) -> None:
        """Keep when it was."""
        self._has_become(step.started_at)

    @hookimpl
    def step_finished(self, step: StepRecord) -> None:
        """Keep a step."""
        self.entries.append(step)
        self._has_become(step.started_at + step.duration)

    @hookimpl
    def meeting_event(self, meeting: str, event: Event) -> None:
        """Keep an event."""
        del meeting
        self.entries.append(event)
        match event:
            case CallAnswered(call_id=call) | MemberJoined(call_id=call):
                self._answered.add(call)
            case CallEnded(call_id=call, cause=cause) if self._now is not None:
                connected = call in self._answered or cause is EndCause.HANGUP
                outcome = Outcome.LEFT if connected else Outcome.of(cause)
                self._endings.setdefault(call, LegEnding(call, outcome, self._now))

    def _has_become(self, at: datetime) -> None:
        self._now = max(self._now or at, at)


def _line(entry: StepRecord | Event) -> str:
    if isinstance(entry, Event):
        about = [getattr(entry, name, None) for name in ("call_id", "member_id", "conference_id", "bridge_id")]
        return f"  <- {type(entry).__name__:{_WIDTH}} {one_line(' '.join(filter(None, about)))}"
    ids = (entry.conference, entry.call, entry.member, entry.bridge)
    facts = [entry.party, *ids, f"attempt {entry.attempt}" if entry.attempt > 1 else None, entry.error]
    return f"  -> {entry.operation:{_WIDTH}} {entry.outcome.value:8} {one_line(' '.join(filter(None, facts)))}"
