"""A meeting's steps as a sequence diagram for the terminal: confkit, the provider, the phones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import frozen
from rich.text import Text

from confkit.cli.tables import result_of
from confkit.models import Participant
from confkit.trace import StepOutcome, StepRecord

#: Columns: the clock, from confkit to the provider, from there to the phones, their names.
_CLOCK, _LEFT, _RIGHT, _NAME = 9, 44, 16, 24
_GOOD = (StepOutcome.DONE, StepOutcome.ADOPTED)


@frozen(order=True)
class _Line:
    at: datetime
    number: int
    text: Text


def draw(records: Sequence[StepRecord], people: Sequence[Participant], provider: str) -> Text:
    """Draw what was asked of the provider, what it said, and when the phones rang and were answered."""
    if not records:
        return Text("nothing was sent", style="dim")
    zero = min(record.started_at for record in records)
    names = {person.call_id: person.party.label for person in people if person.call_id}
    lines: list[_Line] = []

    def add(at: datetime, text: Text) -> None:
        clock = f"{max((at - zero) / timedelta(seconds=1), 0.0):{_CLOCK - 2}.2f}  "
        lines.append(_Line(at, len(lines), Text.assemble((clock, "dim"), text)))

    for record in records:
        if record.outcome is StepOutcome.WITHDRAWN:
            continue  # it was never sent
        add(record.started_at + record.waited, _request(record))
        if record.outcome is not StepOutcome.STARTED:
            add(record.started_at + record.duration, _reply(record, names))
    for person in people:
        if person.answered_at is not None:
            add(person.answered_at, _answer(person.party.label))
    head = Text.assemble(
        (f"{'s':>{_CLOCK - 2}}  ", "dim"),
        ("confkit", "bold"),
        " " * (_LEFT - 2 - len(provider) // 2 - 6),
        (provider, "bold"),
    )
    head.append(" " * max(_CLOCK + _LEFT + _RIGHT + 3 - len(head), 2))
    head.append("phones", style="bold")
    return Text("\n").join([head, *(line.text for line in sorted(lines))])


def _request(record: StepRecord) -> Text:
    label = _fit(f" {record.operation} {record.party or ''}".rstrip() + " ", _LEFT - 4)
    return Text.assemble(
        ("├─", "cyan"), (label, "cyan"), ("─" * (_LEFT - 3 - len(label)) + "▶", "cyan"), ("│", "dim"), *_far("│")
    )


def _reply(record: StepRecord, names: dict[str, str]) -> Text:
    good = record.outcome in _GOOD
    style = "green" if good else "red"
    label = _fit(f" {result_of(record) or record.outcome.value} ", _LEFT - 6)
    arrow = "◀" + "╌" * (_LEFT - 4 - len(label)) + label + "╌╌"
    rings = good and record.operation == "create_call"
    far = _out("rings", names.get(record.call or "", record.party or "")) if rings else _far("│")
    return Text.assemble(("│", "dim"), (arrow, style), ("┤" if not rings else "├", style if not rings else "dim"), *far)


def _answer(name: str) -> Text:
    line = "◀" + " answers ".rjust(_RIGHT - 2, "─") + "─"
    return Text.assemble(
        ("│", "dim"), " " * (_LEFT - 1), ("│", "dim"), (line, "yellow"), ("┤ ", "dim"), _fit(name, _NAME)
    )


def _out(what: str, name: str) -> list[str | tuple[str, str]]:
    line = f"─ {what} ".ljust(_RIGHT - 1, "─") + "▶"
    return [(line, "yellow"), ("│ ", "dim"), _fit(name, _NAME)]


def _far(edge: str) -> list[str | tuple[str, str]]:
    return [" " * _RIGHT, (edge, "dim")]


def _fit(label: str, width: int) -> str:
    return label if len(label) <= width else label[: width - 2] + "… "
