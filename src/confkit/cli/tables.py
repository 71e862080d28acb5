"""The pictures of a meeting: who is where, and which steps have run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.table import Column, Table
from rich.text import Text

from confkit.client.meeting import Meeting
from confkit.ingest.meeting_view import MeetingState
from confkit.models.addresses import masked
from confkit.models.records import Outcome, Participant, ParticipantState
from confkit.models.text import one_line
from confkit.models.trace import StepOutcome, StepRecord
from confkit.workflows.policy import Mode

#: Dim by a span: the style of a text that joins others would be theirs too.
SEPARATOR = Text.assemble((" · ", "dim"))
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
_EVERYBODY = slice(None)
_GOOD = (StepOutcome.DONE, StepOutcome.ADOPTED)


def beginning(meeting: Meeting) -> datetime | None:
    """When the meeting's first step began: the zero of all its times."""
    return min((record.started_at for record in meeting.trace.records), default=None)


def heading(provider: str, meeting: Meeting) -> Text:
    """What this meeting is, in one line."""
    parts = [Text("confkit", style="bold"), Text(one_line(provider))]
    if meeting.mode is not None:
        room = meeting.conference if meeting.mode is Mode.CONFERENCE else meeting.bridge
        parts.append(Text(f"{meeting.mode.value} {short(room.id)}" if room and room.id else meeting.mode.value))
    style = {MeetingState.ESTABLISHED: "green", MeetingState.ENDED: "dim"}.get(meeting.state, "yellow")
    parts.append(Text(meeting.state.value, style=style))
    return SEPARATOR.join(parts)


def roster(
    meeting: Meeting,
    *,
    width: int,
    live: bool = False,
    selected: int | None = None,
    shown: slice = _EVERYBODY,
) -> Table:
    """A row for every party.

    Args:
        width: of the terminal, in columns. Instants for which there is no room are left out, how long it took to answer
            first; names and addresses go on in the next line.
        live: spin while a phone rings, and keep to a line for each row.
        selected: the place, from 0, of the party that keys are about: everyone has a number then, to be chosen by,
            and how long the phone rang makes room for it.
        shown: of whom there is room.
    """
    people, zero = meeting.participants, beginning(meeting)
    rows = list(enumerate(people))[shown]
    instants = ["joined"] if selected is not None else ["dialled", "answered", "joined"]
    if any(person.ended_at for person in people):
        instants.append("ended")
    columns: dict[str, list[Text]] = {}
    if selected is not None:
        columns[""] = [_number(place, place == selected) for place, _ in rows]
    if any(person.party.name for person in people):
        columns["name"] = [Text(one_line(person.party.name or ""), style="bold") for _, person in rows]
    columns["party"] = [Text(masked(person.party.address)) for _, person in rows]
    columns["state"] = [_state(person, live) for _, person in rows]
    columns["outcome"] = [_outcome(person) for _, person in rows]
    for name in instants:
        columns[name] = [_instant(zero, getattr(person, f"{name}_at")) for _, person in rows]
    for name in _LEAST_WANTED:
        if sum(_wide(name, cells) for name, cells in columns.items()) > width:
            columns.pop(name, None)
    table = Table(*(_column(name, live=live) for name in columns), box=None, padding=(0, 1), header_style="dim")
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*cells)
    return table


#: What makes room first.
_LEAST_WANTED = ("answered", "dialled", "ended", "joined")
#: How wide columns are at the least, so that they stand still while things happen.
_LEAST_WIDE = {"": 4, "state": 10, "outcome": 9, "dialled": 8, "answered": 8, "joined": 8, "ended": 8}
_LONGEST_PARTY = 34


def _wide(name: str, cells: Sequence[Text]) -> int:
    """How wide a column is, with a blank on both sides."""
    widest = max((cell.cell_len for cell in cells), default=0)
    if name in ("name", "party"):
        widest = min(widest, _LONGEST_PARTY)
    return max(widest, len(name), _LEAST_WIDE.get(name, 0)) + 2


def _column(name: str, *, live: bool) -> Column:
    if name in ("name", "party"):
        return Column(name, max_width=_LONGEST_PARTY, no_wrap=live, overflow="ellipsis" if live else "fold")
    instant = name in _LEAST_WANTED
    return Column(name, min_width=_LEAST_WIDE[name], no_wrap=True, justify="right" if instant else "left")


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
            Text(one_line(record.party or ""), overflow="ellipsis"),
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


def summary(meeting: Meeting, *, callbacks: int | None = None) -> Text:
    """How far it came, and by how many requests, in two lines.

    Args:
        callbacks: how many have come; ``None`` where none were asked for.
    """
    people = meeting.participants
    inside = sum(person.state is ParticipantState.JOINED for person in people)
    zero, last = beginning(meeting), max((p.joined_at for p in people if p.joined_at), default=None)
    what = meeting.mode.value if meeting.mode else "meeting"
    took = f" in {_since(zero, last)}" if last else ""
    looks = sum(meeting.trace.reads.values())
    counts = {"steps": len(meeting.trace.records), "looks": looks if looks or callbacks is not None else None}
    counts["callbacks"] = callbacks
    requests = ", ".join(f"{count} {what}" for what, count in counts.items() if count is not None)
    return Text.assemble(
        ("✓ ", "green"),
        (f"{what} established", "bold"),
        f": {inside} of {len(people)} joined{took}\n  ",
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
    shown = one_line(id_ or "")
    return shown if len(shown) <= 16 else shown[:15] + "…"


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
    inside = person.state is ParticipantState.JOINED
    flags = [name for name, on in (("muted", person.mute), ("held", person.hold)) if on]
    return Text.assemble((f"{symbol} ", style), (" ".join(flags) if inside and flags else person.state.value, style))


def _number(place: int, selected: bool) -> Text:
    return Text(f"▸{place + 1:>3}" if selected else f"{place + 1:>4}", style="bold cyan" if selected else "dim")


def _outcome(person: Participant) -> Text:
    if person.outcome is None:
        return Text("–", style="dim")
    style = {Outcome.JOINED: "green", Outcome.LEFT: "dim"}.get(person.outcome, "red")
    return Text(person.outcome.value.replace("_", " "), style=style)


def _instant(zero: datetime | None, at: datetime | None) -> Text:
    return Text(_since(zero, at), style="dim" if at is None else "")


def _frame() -> str:
    return _FRAMES[int(time.monotonic() * 10) % len(_FRAMES)]


def _since(zero: datetime | None, at: datetime | None) -> str:
    if zero is None or at is None:
        return "–"
    # The platform's clock may be a little behind ours.
    return f"{max((at - zero).total_seconds(), 0.0):.1f} s"
