"""What happened, step by step: records for programs, JSON for logs, a Mermaid sequence diagram for people."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from attrs import evolve, frozen

from confkit.models import Bridge, Call, Conference, Dialled, Member


class StepOutcome(enum.Enum):
    """How a step ended. ``ADOPTED``: its reply was lost, and what it did was found at the provider."""

    STARTED = "started"
    DONE = "done"
    ADOPTED = "adopted"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"
    WITHDRAWN = "withdrawn"
    CANCELLED = "cancelled"


@frozen(kw_only=True)
class StepRecord:
    """One provider operation with its attempts, outcome and duration.

    Args:
        step: the flow's id and the step's place in it: ``m-4f…/leg-3#1``.
        op: the key of the intent, the same on every attempt.
        party: whom it was for, masked.
        attempt: how many requests were sent for it, or the number of the last one.
        waited: time spent waiting for a place under the provider's rate limits.
        duration: from beginning to end, waiting included.
        error: one sentence, without secrets or whole numbers.
    """

    meeting: str | None
    step: str
    provider: str
    operation: str
    op: str
    started_at: datetime
    party: str | None = None
    attempt: int = 1
    outcome: StepOutcome = StepOutcome.STARTED
    waited: timedelta = timedelta(0)
    duration: timedelta = timedelta(0)
    conference: str | None = None
    call: str | None = None
    member: str | None = None
    bridge: str | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, stable names: the JSON of a step."""
        return {"started_at": self.started_at.isoformat(), **self.line()}

    def line(self) -> dict[str, Any]:
        """The same for the log, which has instants of its own."""
        values: dict[str, Any] = {
            "meeting": self.meeting,
            "step": self.step,
            "provider": self.provider,
            "operation": self.operation,
            "op": self.op,
            "attempt": self.attempt,
            "outcome": self.outcome.value,
            "duration_ms": round(self.duration.total_seconds() * 1000, 1),
            "waited_ms": round(self.waited.total_seconds() * 1000, 1),
        }
        for name in ("party", "conference", "call", "member", "bridge", "error"):
            if (value := getattr(self, name)) is not None:
                values[name] = value
        return values


def ids_of(*values: object) -> dict[str, Any]:
    """The provider's ids among an operation's arguments or in its result, by kind."""
    found: dict[str, Any] = {}
    for value in values:
        match value:
            case Conference(id=str() as id_):
                found["conference"] = id_
            case Call(id=id_):
                found["call"] = id_
            case Bridge(id=id_):
                found["bridge"] = id_
            case Member(id=id_, call_id=call, conference=conference):
                found |= {"member": id_, "call": call} | ids_of(conference)
            case Dialled(call=call_, conference=conference):
                found |= ids_of(call_, conference)
    return found


class Trace:
    """The steps of one meeting, in the order in which they began."""

    def __init__(self, meeting: str) -> None:
        self.meeting = meeting
        self._records: dict[str, StepRecord] = {}
        self.reads: dict[str, int] = {}

    @property
    def records(self) -> tuple[StepRecord, ...]:
        """Every step; those with the outcome ``STARTED`` are under way."""
        return tuple(self._records.values())

    def note(self, record: StepRecord) -> None:
        """Keep the newest record of a step."""
        self._records[record.step] = record

    def note_read(self, operation: str) -> None:
        """Count a request that only looks (a poll, a look-up); it is no step of the sequence."""
        self.reads[operation] = self.reads.get(operation, 0) + 1

    def json(self) -> str:
        """The records as a JSON array."""
        return json.dumps([record.as_dict() for record in self.records])

    def mermaid(self) -> str:
        """The steps as a Mermaid sequence diagram."""
        return mermaid(self.records)


def mermaid(records: Iterable[StepRecord]) -> str:
    """Draw steps as a Mermaid sequence diagram: what was asked of the provider, for whom, and what came of it."""
    records = sorted(records, key=lambda record: record.started_at)
    lines = ["sequenceDiagram", "    participant C as confkit"]
    lines.append(f"    participant P as {_plain(records[0].provider) if records else 'provider'}")
    people: dict[str, str] = {}
    for record in records:
        if record.party and record.party not in people:
            people[record.party] = f"T{len(people) + 1}"
            lines.append(f"    participant {people[record.party]} as {_plain(record.party)}")
    for record in records:
        again = f" (attempt {record.attempt})" if record.attempt > 1 else ""
        whom = f" {_plain(record.party)}" if record.party else ""
        lines.append(f"    C->>P: {record.operation}{whom}{again}")
        if record.operation == "create_call" and record.party and record.call:
            lines.append(f"    P-)+{people[record.party]}: rings")
        if record.outcome is StepOutcome.STARTED:
            continue
        arrow = "-->>" if record.outcome in (StepOutcome.DONE, StepOutcome.ADOPTED) else "--x"
        said = record.error if record.error else (_newest_id(record) or record.outcome.value)
        lines.append(f"    P{arrow}C: {_plain(said)}")
        if record.operation == "hang_up" and record.party in people and arrow == "-->>":
            lines.append(f"    P-)-{people[record.party or '']}: hangs up")
    return "\n".join(_balanced(lines)) + "\n"


def _newest_id(record: StepRecord) -> str | None:
    order = {
        "create_conference": ("conference",),
        "create_call": ("call",),
        "add_member": ("member",),
        "create_bridge": ("bridge",),
    }.get(record.operation, ())
    return next((value for name in order if (value := getattr(record, name))), None)


def _plain(text: str) -> str:
    """Text that Mermaid does not read as syntax."""
    return text.replace(";", ",").replace("#", "no. ").replace("\n", " ").replace("<", "(").replace(">", ")")


def _balanced(lines: list[str]) -> list[str]:
    """Drop activations without an end, which Mermaid refuses to draw, and ends without an activation."""
    open_: dict[str, int] = {}
    for index, line in enumerate(lines):
        if ": rings" in line:
            person = line.split("+")[1].split(":")[0]
            if person in open_:
                lines[index] = line.replace("+", "")
            else:
                open_[person] = index
        elif ": hangs up" in line:
            person = line.rsplit("-", 1)[1].split(":")[0]
            if open_.pop(person, None) is None:
                lines[index] = line.replace(")-", ")")
    for index in open_.values():
        lines[index] = lines[index].replace("+", "")
    return lines


def finished(record: StepRecord, outcome: StepOutcome, at: datetime, **changes: Any) -> StepRecord:
    """The record of a step that has ended."""
    return evolve(record, outcome=outcome, duration=at - record.started_at, **changes)
