"""The pictures of a meeting: who is where, and which steps have run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.table import Column, Table
from rich.text import Text

from confkit.addresses import masked
from confkit.meeting import Meeting, MeetingState
from confkit.models import Outcome, Participant, ParticipantState
from confkit.policy import Mode
from confkit.trace import StepOutcome, StepRecord

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_STATES = {
    ParticipantState.WAITING: ("·", "dim"),
    ParticipantState.DIALLING: ("◌", "cyan"),
    ParticipantState.RINGING: ("◌", "yellow"),
    ParticipantState.ANSWERED: ("◐", "blue"),
    ParticipantState.JOINED: ("●", "green"),
    ParticipantState.ENDED: ("○", "dim"),
}
_MOVING = (ParticipantState.DIALLING, ParticipantState.RINGING)
_FINE = (Outcome.JOINED, Outcome.LEFT)
_STEPS = {
    StepOutcome.STARTED: ("◌", "yellow"),
    StepOutcome.DONE: ("✓", "green"),
    StepOutcome.ADOPTED: ("✓", "cyan"),
    StepOutcome.WITHDRAWN: ("–", "dim"),
    StepOutcome.CANCELLED: ("–", "dim"),
}
_UNDOING = {
    "hang_up": ("call hung up", "calls hung up"),
    "remove_member": ("member removed", "members removed"),
    "end_conference": ("conference ended", "conferences ended"),
    "end_bridge": ("bridge ended", "bridges ended"),
}
_GOOD = (StepOutcome.DONE, StepOutcome.ADOPTED)


def beginning(meeting: Meeting) -> datetime | None:
    """When the meeting's first step began: the zero of all its times."""
    return min((record.started_at for record in meeting.trace.records), default=None)


def heading(provider: str, meeting: Meeting) -> Text:
    """What this meeting is, in one line."""
    parts = [Text("confkit", style="bold"), Text(provider)]
    if meeting.mode is not None:
        room = meeting.conference if meeting.mode is Mode.CONFERENCE else meeting.bridge
        parts.append(Text(f"{meeting.mode.value} {short(room.id)}" if room and room.id else meeting.mode.value))
    style = {MeetingState.ESTABLISHED: "green", MeetingState.ENDED: "dim"}.get(meeting.state, "yellow")
    parts.append(Text(meeting.state.value, style=style))
    return Text(" · ", style="dim").join(parts)


def roster(meeting: Meeting, *, moving: bool = False) -> Table:
    """A row for every party.

    Args:
        moving: spin while a phone rings.
    """
    people, zero = meeting.participants, beginning(meeting)
    named = any(person.party.name for person in people)
    instants = ["dialled", "answered", "joined"]
    if any(person.ended_at for person in people):
        instants.append("ended")
    table = Table(
        *(["name"] if named else []),
        Column("party", max_width=34, no_wrap=True),
        Column("state", min_width=10),
        Column("outcome", min_width=9),
        *(Column(name, justify="right", min_width=8) for name in instants),
        box=None,
        padding=(0, 1),
        header_style="dim",
    )
    for person in people:
        times = (person.dialled_at, person.answered_at, person.joined_at, person.ended_at)[: len(instants)]
        table.add_row(
            *([Text(person.party.name or "", style="bold", overflow="ellipsis")] if named else []),
            Text(masked(person.party.address), overflow="ellipsis"),
            _state(person, moving),
            _outcome(person),
            *(Text(_since(zero, at), style="dim" if at is None else "") for at in times),
        )
    return table


def steps(records: Sequence[StepRecord], *, last: int | None = None, moving: bool = False) -> Table:
    """A row for every step, or for the last ones."""
    shown = records if last is None else records[max(len(records) - last, 0) :]
    table = Table(
        Column(min_width=1),
        Column("step", min_width=17),
        Column("for", min_width=13, max_width=24, no_wrap=True),
        Column("time", justify="right", min_width=9),
        Column("result", max_width=36, no_wrap=True),
        box=None,
        padding=(0, 1),
        header_style="dim",
    )
    for record in shown:
        symbol, style = _STEPS.get(record.outcome, ("✗", "red"))
        running = record.outcome is StepOutcome.STARTED
        if running and moving:
            symbol = _frame()
        table.add_row(
            Text(symbol, style=style),
            Text(record.operation, style="dim" if running else ""),
            Text(record.party or "", overflow="ellipsis"),
            Text("…" if running else f"{record.duration / timedelta(milliseconds=1):.0f} ms", style="dim"),
            Text(result_of(record), style=style if record.error else "dim", overflow="ellipsis"),
        )
    return table


def result_of(record: StepRecord) -> str:
    """What came of a step, in a few words."""
    again = f" ({record.attempt} attempts)" if record.attempt > 1 else ""
    if record.outcome not in _GOOD:
        return "" if record.outcome is StepOutcome.STARTED else record.outcome.value + again
    ids = {
        "create_conference": record.conference,
        "create_call": record.call,
        "add_member": record.member,
        "create_bridge": record.bridge,
    }
    found = "found after a lost reply" if record.outcome is StepOutcome.ADOPTED else ""
    return " ".join(part for part in (short(ids.get(record.operation)), found) if part) + again


def summary(meeting: Meeting) -> Text:
    """How far it came, in one line."""
    people = meeting.participants
    inside = sum(person.state is ParticipantState.JOINED for person in people)
    zero, last = beginning(meeting), max((p.joined_at for p in people if p.joined_at), default=None)
    what = meeting.mode.value if meeting.mode else "meeting"
    took = f" in {_since(zero, last)}" if last else ""
    polls = sum(meeting.trace.reads.values())
    requests = f"{len(meeting.trace.records)} steps" + (f", {polls} polls" if polls else "")
    return Text.assemble(
        ("✓ ", "green"),
        (f"{what} established", "bold"),
        f": {inside} of {len(people)} joined{took}  ",
        (requests, "dim"),
    )


def undone(records: Sequence[StepRecord]) -> str:
    """What was undone, in a few words."""
    counts = Counter(record.operation for record in records if record.outcome in _GOOD)
    parts = [
        f"{counts[operation]} {many if counts[operation] > 1 else one}"
        for operation, (one, many) in _UNDOING.items()
        if counts[operation]
    ]
    return ", ".join(parts) or "there was nothing to undo"


def short(id_: str | None) -> str:
    """The beginning of an id, enough to tell it from others; empty where there is none."""
    return "" if id_ is None else id_ if len(id_) <= 16 else id_[:15] + "…"


def word(person: Participant) -> str:
    """Where a party stands, in one word or two."""
    if person.state is ParticipantState.ENDED and person.outcome is not None:
        return person.outcome.value.replace("_", " ")
    return person.state.value


def _state(person: Participant, moving: bool) -> Text:
    symbol, style = _STATES[person.state]
    if moving and person.state in _MOVING:
        symbol = _frame()
    elif person.state is ParticipantState.ENDED and person.outcome not in _FINE:
        symbol, style = "✗", "red"
    flags = [name for name, on in (("muted", person.mute), ("held", person.hold)) if on]
    return Text.assemble((f"{symbol} ", style), (" ".join([person.state.value, *flags]), style))


def _outcome(person: Participant) -> Text:
    if person.outcome is None:
        return Text("–", style="dim")
    style = {Outcome.JOINED: "green", Outcome.LEFT: "dim"}.get(person.outcome, "red")
    return Text(person.outcome.value.replace("_", " "), style=style)


def _frame() -> str:
    return _FRAMES[int(time.monotonic() * 10) % len(_FRAMES)]


def _since(zero: datetime | None, at: datetime | None) -> str:
    if zero is None or at is None:
        return "–"
    # The platform's clock may be a little behind ours.
    return f"{max((at - zero).total_seconds(), 0.0):.1f} s"
