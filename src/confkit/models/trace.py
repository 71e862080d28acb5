"""What happened, step by step: records for programs, JSON for logs, a Mermaid sequence diagram for people."""

from __future__ import annotations

import enum
import json
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from attrs import evolve, frozen

from confkit.models import text
from confkit.models.records import Bridge, Call, Conference, Dialled, Member, Outcome


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
        step: the workflow's id and the step's place in it: ``m-4f…/leg-3#1``.
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
        return {"started_at": self.started_at.isoformat(), **self._values()}

    def line(self) -> dict[str, Any]:
        """The same for the log, which has instants of its own; every text is one line that is safe to show."""
        return {
            name: text.one_line(value) if isinstance(value, str) else value for name, value in self._values().items()
        }

    def _values(self) -> dict[str, Any]:
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


@frozen
class LegEnding:
    """How and when it ended for one party.

    Args:
        leg: the workflow's id, ``m-4f…/leg-3``; of a call that was made by hand, the call's.
    """

    leg: str
    outcome: Outcome
    at: datetime


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


_DONE = (StepOutcome.DONE, StepOutcome.ADOPTED)
_CONNECTED = (Outcome.JOINED, Outcome.LEFT)
#: The steps that make a phone part of a meeting, and what it does then.
_OPENING = {"create_call": "rings", "answer_call": "is answered"}
#: The longest line of a diagram's text, in characters.
_WIDE = 50


class Trace:
    """The steps of one meeting, in the order in which they began."""

    def __init__(self, meeting: str) -> None:
        self.meeting = meeting
        self._records: dict[str, StepRecord] = {}
        self._endings: dict[str, LegEnding] = {}
        self.reads: dict[str, int] = {}

    @property
    def records(self) -> tuple[StepRecord, ...]:
        """Every step; those with the outcome ``STARTED`` are under way."""
        return tuple(self._records.values())

    def note(self, record: StepRecord) -> None:
        """Keep the newest record of a step."""
        self._records[record.step] = record

    def note_end(self, leg: str, outcome: Outcome, at: datetime) -> None:
        """Keep how it ended for a party; what is told first holds."""
        self._endings.setdefault(leg, LegEnding(leg, outcome, at))

    def note_read(self, operation: str) -> None:
        """Count a request that only looks (a poll, a look-up); it is no step of the sequence."""
        self.reads[operation] = self.reads.get(operation, 0) + 1

    def json(self) -> str:
        """The records as a JSON array."""
        return json.dumps([record.as_dict() for record in self.records])

    def mermaid(self) -> str:
        """The steps as a Mermaid sequence diagram, with who left by themselves."""
        return mermaid(self.records, self._endings.values())


def mermaid(records: Iterable[StepRecord], endings: Iterable[LegEnding] = ()) -> str:
    """Draw steps as a Mermaid sequence diagram: what was asked of the provider, for whom, and what came of it.

    Each leg has a lifeline of its own, whatever its party is called. It is active from the moment that the phone rings
    until the party is hung up on, or until it ends otherwise.
    """
    records = sorted(records, key=lambda record: record.started_at)
    legs = {record.call: leg for record in records if record.call and (leg := _leg(record))}
    lifelines = _lifelines(records, legs)
    provider = text.mermaid(records[0].provider if records else "provider")
    lines = ["sequenceDiagram", "    participant C as confkit", f"    participant P as {provider}"]
    lines += [f"    participant {lifeline.id} as {_parted(lifeline.label)}" for lifeline in lifelines.values()]
    active: set[str] = set()
    over: set[str | None] = set()
    for entry in _in_order(records, endings, legs):
        if isinstance(entry, StepRecord):
            lines += _drawn_step(entry, lifelines.get(_lifeline(entry, legs)), active)
            if entry.operation in ("end_conference", "end_bridge") and entry.outcome in _DONE:
                over.add(entry.meeting)
        elif (lifeline := lifelines.get(legs.get(entry.leg, entry.leg))) is not None:
            lines += _drawn_ending(entry.outcome, lifeline, active, asked=lifeline.meeting in over)
    return "\n".join(lines + [f"    deactivate {each}" for each in sorted(active)]) + "\n"


@frozen
class _Lifeline:
    id: str
    label: str
    meeting: str | None


def _leg(record: StepRecord) -> str | None:
    """The workflow of the leg whose step this is; ``None`` for the meeting's own steps, and for those made by hand."""
    flow = record.step.rpartition("#")[0]
    return flow if "/" in flow else None


def _lifeline(record: StepRecord, legs: Mapping[str, str]) -> str | None:
    """Whose step it is: the leg, else its call, else, where there is no call yet, the party."""
    return _leg(record) or legs.get(record.call or "") or record.call or record.party


def _lifelines(records: Iterable[StepRecord], legs: Mapping[str, str]) -> dict[str | None, _Lifeline]:
    labels: dict[str, tuple[str, str | None]] = {}
    for record in records:
        if (key := _lifeline(record, legs)) is not None and (key not in labels or labels[key][0] == key):
            labels[key] = text.one_line(record.party or key) or "–", record.meeting
    taken = Counter(label for label, _ in labels.values())
    short = Counter((label, key.rpartition("/")[2]) for key, (label, _) in labels.items())
    lifelines: dict[str | None, _Lifeline] = {}
    for number, (key, (label, meeting)) in enumerate(sorted(labels.items(), key=_invitation), 1):
        tail = key.rpartition("/")[2]
        which = "" if taken[label] == 1 else f" ({tail})" if short[label, tail] == 1 else f" ({key})"
        shown = label + which
        if any(_parted(shown) == _parted(other.label) for other in lifelines.values()):
            shown = f"{shown} {number}"  # ids that differ in what cannot be shown
        lifelines[key] = _Lifeline(f"T{number}", shown, meeting)
    return lifelines


def _invitation(label: tuple[str, tuple[str, str | None]]) -> tuple[str, int]:
    """Sorts legs of one meeting as they were invited, and calls made by hand as they came."""
    meeting, _, leg = label[0].rpartition("/leg-")
    return (meeting, int(leg)) if leg.isdecimal() else ("", 0)


def _parted(long: str) -> str:
    """A text of a diagram on as many lines as it takes: Mermaid draws a long one as wide as it is."""
    return "<br/>".join(text.mermaid(line) for line in textwrap.wrap(text.one_line(long), _WIDE)) or text.mermaid("")


def _in_order(
    records: Iterable[StepRecord], endings: Iterable[LegEnding], legs: Mapping[str, str]
) -> list[StepRecord | LegEnding]:
    """Everything as it came: a leg's end after the step that began it, whatever the clocks say."""
    began = {_lifeline(record, legs): record.started_at for record in records if record.operation in _OPENING}
    entries: list[tuple[datetime, int, StepRecord | LegEnding]] = [(record.started_at, 0, record) for record in records]
    for ending in endings:
        entries.append((max(ending.at, began.get(legs.get(ending.leg, ending.leg), ending.at)), 1, ending))
    return [entry for *_, entry in sorted(entries, key=lambda entry: entry[:2])]


def _drawn_step(record: StepRecord, lifeline: _Lifeline | None, active: set[str]) -> Iterator[str]:
    again = f" (attempt {record.attempt})" if record.attempt > 1 else ""
    whom = f" {lifeline.label}" if lifeline is not None else ""
    asked = _parted(f"{record.operation}{whom}{again}")
    if record.outcome is StepOutcome.WITHDRAWN:
        yield f"    Note over C: {asked} was not sent"
        return
    yield f"    C->>P: {asked}"
    if record.operation in _OPENING and lifeline is not None and record.outcome in _DONE:
        yield f"    P-){lifeline.id}: {_OPENING[record.operation]}"
        if lifeline.id not in active:
            active.add(lifeline.id)
            yield f"    activate {lifeline.id}"
    if record.outcome is StepOutcome.STARTED:
        return
    arrow = "-->>" if record.outcome in _DONE else "--x"
    yield f"    P{arrow}C: {_parted(record.error or _newest_id(record) or record.outcome.value)}"
    if record.operation == "hang_up" and record.outcome in _DONE and lifeline is not None and lifeline.id in active:
        active.discard(lifeline.id)
        yield f"    P-){lifeline.id}: hung up"
        yield f"    deactivate {lifeline.id}"


def _drawn_ending(outcome: Outcome, lifeline: _Lifeline, active: set[str], *, asked: bool) -> Iterator[str]:
    """How a leg ended, unless it was hung up on: that shows already.

    Args:
        asked: its conference or bridge had been ended.
    """
    said = outcome.value.replace("_", " ")
    if lifeline.id not in active:
        if outcome not in _CONNECTED:
            yield f"    Note over {lifeline.id}: {said}"
        return
    active.discard(lifeline.id)
    if outcome in _CONNECTED:
        yield f"    P-){lifeline.id}: hung up" if asked else f"    {lifeline.id}-)P: hangs up"
    else:
        yield f"    {lifeline.id}-)P: {said}"
    yield f"    deactivate {lifeline.id}"


def _newest_id(record: StepRecord) -> str | None:
    order = {
        "create_conference": ("conference",),
        "create_call": ("call",),
        "add_member": ("member",),
        "create_bridge": ("bridge",),
    }.get(record.operation, ())
    return next((value for name in order if (value := getattr(record, name))), None)


def finished(record: StepRecord, outcome: StepOutcome, at: datetime, **changes: Any) -> StepRecord:
    """The record of a step that has ended."""
    return evolve(record, outcome=outcome, duration=at - record.started_at, **changes)
