"""A meeting's steps as a sequence diagram for the terminal: confkit, the provider, the phones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import frozen
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from confkit.cli.tables import result_of
from confkit.models.records import Participant
from confkit.models.text import one_line
from confkit.models.trace import StepOutcome, StepRecord

#: Columns: the clock; from confkit to the provider, and from there to the phones, at the most and at the least; the
#: names of the phones, at the least.
_CLOCK, _LEFT, _RIGHT, _NAME = 9, (44, 20), (16, 12), 12
_GOOD = (StepOutcome.DONE, StepOutcome.ADOPTED)


@frozen(order=True)
class _Line:
    at: datetime
    number: int
    text: Text


def draw(records: Sequence[StepRecord], people: Sequence[Participant], provider: str, *, width: int) -> Text:
    """Draw what was asked of the provider, what it said, and when the phones rang and were answered.

    Args:
        width: of the terminal, in columns. Words make room before lanes do.
    """
    if not records:
        return Text("nothing was sent", style="dim")
    zero = min(record.started_at for record in records)
    names = {person.call_id: person.party.label for person in people if person.call_id}
    lanes = _Lanes.within(width)
    lines: list[_Line] = []

    def add(at: datetime, text: Text) -> None:
        clock = f"{max((at - zero) / timedelta(seconds=1), 0.0):{_CLOCK - 2}.2f}  "
        lines.append(_Line(at, len(lines), Text.assemble((clock, "dim"), text)))

    for record in records:
        if record.outcome is StepOutcome.WITHDRAWN:
            continue  # it was never sent
        add(record.started_at + record.waited, lanes.request(record))
        if record.outcome is not StepOutcome.STARTED:
            add(record.started_at + record.duration, lanes.reply(record, names))
    for person in people:
        if person.answered_at is not None:
            add(person.answered_at, lanes.answer(person.party.label))
    return Text("\n").join([lanes.head(provider), *(line.text for line in sorted(lines))])


@frozen
class _Lanes:
    """The lanes and how wide they are: from confkit to the provider, from there to the phones, and their names."""

    left: int
    right: int
    name: int

    @classmethod
    def within(cls, width: int) -> _Lanes:
        """The lanes that fit: arrows shrink before words do."""
        room = max(width - _CLOCK - 3, _LEFT[1] + _RIGHT[1] + _NAME)
        right = min(_RIGHT[0], max(_RIGHT[1], room - _LEFT[0] - _NAME))
        left = min(_LEFT[0], room - right - _NAME)
        return cls(left, right, room - left - right)

    def head(self, provider: str) -> Text:
        provider = _fit(one_line(provider), self.left // 2)
        head = Text.assemble(
            (f"{'s':>{_CLOCK - 2}}  ", "dim"),
            ("confkit", "bold"),
            " " * (self.left - 8 - cell_len(provider) // 2),
            (provider, "bold"),
        )
        head.append(" " * max(_CLOCK + self.left + self.right + 3 - head.cell_len, 2))
        return head.append("phones", style="bold")

    def request(self, record: StepRecord) -> Text:
        label = _fit(f" {record.operation} {one_line(record.party or '')}".rstrip() + " ", self.left - 4)
        line = "─" * (self.left - 3 - cell_len(label)) + "▶"
        return Text.assemble(("├─", "cyan"), (label, "cyan"), (line, "cyan"), ("│", "dim"), *self._far())

    def reply(self, record: StepRecord, names: dict[str, str]) -> Text:
        good = record.outcome in _GOOD
        style = "green" if good else "red"
        label = _fit(f" {result_of(record) or record.outcome.value} ", self.left - 6)
        arrow = "◀" + "╌" * (self.left - 4 - cell_len(label)) + label + "╌╌"
        rings = good and record.operation == "create_call"
        far = self._out("rings", names.get(record.call or "", one_line(record.party or ""))) if rings else self._far()
        edge = ("├", "dim") if rings else ("┤", style)
        return Text.assemble(("│", "dim"), (arrow, style), edge, *far)

    def answer(self, name: str) -> Text:
        line = "◀" + " answers ".rjust(self.right - 2, "─") + "─"
        return Text.assemble(
            ("│", "dim"), " " * (self.left - 1), ("│", "dim"), (line, "yellow"), ("┤ ", "dim"), _fit(name, self.name)
        )

    def _out(self, what: str, name: str) -> list[str | tuple[str, str]]:
        line = f"─ {what} ".ljust(self.right - 1, "─") + "▶"
        return [(line, "yellow"), ("│ ", "dim"), _fit(name, self.name)]

    def _far(self) -> list[str | tuple[str, str]]:
        return [" " * self.right, ("│", "dim")]


def _fit(label: str, width: int) -> str:
    return label if cell_len(label) <= width else set_cell_size(label, width - 2).rstrip() + "… "
