"""How a meeting shows while it goes on: a live table on a terminal, lines elsewhere, nothing for machines."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.control import Control
from rich.live import Live
from rich.text import Text

from confkit.cli import tables
from confkit.client.meeting import Meeting
from confkit.ingest.meeting_view import MeetingState
from confkit.models.records import ParticipantState
from confkit.models.text import one_line

if TYPE_CHECKING:
    from confkit.cli.console import Controls


#: Lines of the live picture beside the people and the footer: the heading, the names of columns, three blank ones.
_FRAME = 5
#: Lines above it that stay in sight once people come and go: what was told last.
_TOLD = 4


class Screen(Protocol):
    """Shows one meeting."""

    def show(self, meeting: Meeting) -> None:
        """Show the meeting as it is now; called at every change, and ten times a second."""

    def say(self, line: str | Text) -> None:
        """Tell something that has happened."""

    def stop(self) -> None:
        """Show nothing more; what moved is gone from the terminal."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class _Stoppable:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None: ...


class Silent(_Stoppable):
    """Shows nothing."""

    def show(self, meeting: Meeting) -> None: ...

    def say(self, line: str | Text) -> None: ...


class Lines(_Stoppable):
    """A line for each change of anybody's state."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._known: dict[str, str] = {}
        self._stopped = False

    def show(self, meeting: Meeting) -> None:
        for line in self._changes(meeting):
            self.say(line)

    def _changes(self, meeting: Meeting) -> list[str]:
        """What is new about the people since the last time."""
        lines = []
        for person in meeting.participants:
            now = tables.word(person)
            if person.state is ParticipantState.JOINED:
                now += "".join(f", {name}" for name, on in (("muted", person.mute), ("held", person.hold)) if on)
            if person.error:
                now += f": {person.error}"
            if self._known.get(person.id, ParticipantState.WAITING.value) != now and not self._stopped:
                self._known[person.id] = now
                lines.append(f"{person.party.label} {now}")
        return lines

    def say(self, line: str | Text) -> None:
        self._console.print(Text(one_line(line)) if isinstance(line, str) else line, soft_wrap=True)

    def stop(self) -> None:
        self._stopped = True


class Table(Lines):
    """A table that keeps itself up to date; it vanishes in the end.

    Args:
        stay: whether the meeting is to go on once it is established.
        controls: the keys that rule it then.
    """

    def __init__(self, console: Console, provider: str, *, stay: bool, controls: Controls | None = None) -> None:
        super().__init__(console)
        self._provider = provider
        self._stay = stay
        self._controls = controls
        self._live = self._opened()
        self._size = console.size
        self._told: deque[str | Text] = deque(maxlen=_TOLD)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def say(self, line: str | Text) -> None:
        self._told.append(line)
        super().say(line)

    def show(self, meeting: Meeting) -> None:
        if not self._stopped and self._console.size != self._size:
            self._begin_anew()
        lines = self._changes(meeting)
        if meeting.state is MeetingState.ESTABLISHED:
            # From now on people come and go: that is told in lines, above the table.
            for line in lines:
                self.say(line)
        self._live.update(self._picture(meeting), refresh=True)

    def stop(self) -> None:
        super().stop()
        self._live.stop()

    def _opened(self) -> Live:
        return Live(console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop")

    def _begin_anew(self) -> None:
        """The terminal has another size: its lines may have been wrapped anew, so nobody knows where the picture is."""
        self._size = self._console.size
        self._live.stop()
        self._console.control(Control.clear(), Control.home())
        for line in self._told:
            super().say(line)
        self._live = self._opened()
        self._live.start()

    def _picture(self, meeting: Meeting) -> Group:
        settled = meeting.state is MeetingState.ESTABLISHED
        controls = self._controls if settled else None
        width = self._console.width
        footer = controls.footer(width) if controls is not None else [Text(self._hint(meeting), "dim")]
        heading = tables.heading(self._provider, meeting)
        heading.truncate(width, overflow="ellipsis")
        people, records = len(meeting.participants), meeting.trace.records
        room = self._console.height - _FRAME - len(footer) - (_TOLD if settled else 0)
        first, end = _window(people, room, around=controls.selected if controls is not None else 0)
        parts: list[RenderableType] = [
            heading,
            Text(),
            tables.roster(
                meeting,
                width=width,
                live=True,
                selected=controls.selected if controls is not None else None,
                shown=slice(first, end),
            ),
        ]
        if end - first < people:
            parts.append(Text(f" {first + 1} to {end} of {people}", style="dim"))
        elif records and room > people + 2 and meeting.state is MeetingState.CONNECTING:
            parts += [Text(), tables.steps(records, last=room - people - 2, moving=True)]
        return Group(Text(), *parts, Text(), *footer)

    def _hint(self, meeting: Meeting) -> str:
        if meeting.state is MeetingState.ENDED:
            return ""
        settled = meeting.state is MeetingState.ESTABLISHED
        return "Ctrl-C ends the meeting" if self._stay and settled else "Ctrl-C hangs up"


def _window(people: int, room: int, *, around: int) -> tuple[int, int]:
    """The rows of the roster for which there is room, with one in the middle; a row tells what is left out."""
    if people <= room:
        return 0, people
    size = max(room - 1, 1)
    first = min(max(around - size // 2, 0), people - size)
    return first, first + size
