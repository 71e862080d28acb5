"""The keys of a meeting at the command line: choose a party, and say what is to happen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup
from attrs import define
from rich.cells import cell_len
from rich.text import Text

from confkit.cli import failures, tables
from confkit.cli.keys import Key, Keyboard
from confkit.client.meeting import Meeting
from confkit.ingest.meeting_view import MeetingState
from confkit.models.records import Participant

_KEYS: Final = (
    ("1-9 ↑↓", "choose"),
    ("m", "mute"),
    ("h", "hold"),
    ("d", "drop"),
    ("a", "add"),
    ("s", "say"),
    ("q", "end"),
)
_TYPING: Final = (("Enter", "does it"), ("Esc", "leaves it"))

Command = Callable[[], Awaitable[Any]]


@define
class _Line:
    """A line that is being typed.

    Args:
        command: what Enter does with it.
    """

    prompt: str
    command: Callable[[str], Awaitable[Any]]
    text: str = ""


class Controls:
    """Lets a person at the keyboard rule a meeting.

    Attributes:
        selected: the place in the roster, from 0, of the party that keys are about.
    """

    def __init__(self, keyboard: Keyboard) -> None:
        self.keyboard = keyboard
        self.selected = 0
        self._digits = ""
        self._line: _Line | None = None
        self._doing: list[str] = []

    async def run(self, meeting: Meeting, *, redraw: Callable[[], None], say: Callable[[Text], None]) -> None:
        """Do what the keys say once everyone is there; returns when they say to end, or when the terminal has gone.

        Args:
            redraw: called after each key.
            say: takes the complaints.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.keyboard.keep)
            while keys := await self.keyboard.read():
                for key in keys if meeting.state is MeetingState.ESTABLISHED else ():
                    if self._line is not None:
                        self._type(key, tasks, say)
                    elif key in ("q", "Q"):
                        tasks.cancel_scope.cancel()
                        return
                    else:
                        self._press(key, meeting, tasks, say)
                redraw()
            tasks.cancel_scope.cancel()

    def footer(self, width: int) -> list[Text]:
        """What is being typed or done, and the keys, in lines of so many columns."""
        if self._line is not None:
            head = f"{self._line.prompt}: "
            shown = self._line.text
            while cell_len(head + shown) > width - 2:  # what is typed last is what one wants to see
                shown = shown[1:]
            return [Text.assemble((head, "bold"), shown, ("▏", "cyan")), *_legend(_TYPING, width)]
        doing = Text(" · ".join(self._doing), style="yellow")
        doing.truncate(width, overflow="ellipsis")
        return [doing, *_legend(_KEYS, width)]

    def _press(self, key: Key | str, meeting: Meeting, tasks: TaskGroup, say: Callable[[Text], None]) -> None:
        people = meeting.participants
        digits, self._digits = self._digits, ""
        person = people[self.selected]
        match key:
            case Key.UP | "k":
                self.selected = max(self.selected - 1, 0)
            case Key.DOWN | "j":
                self.selected = min(self.selected + 1, len(people) - 1)
            case str() if key.isascii() and key.isdigit():
                self._choose(digits, key, len(people))
            case "m":
                self._start(tasks, say, *_muting(person, meeting))
            case "h":
                self._start(tasks, say, *_holding(person, meeting))
            case "d":
                self._start(tasks, say, f"drop {person.party.label}", lambda: meeting.remove(person))
            case "a":
                self._line = _Line("add", meeting.add)
            case "s":
                self._line = _Line("say", meeting.say)

    def _choose(self, before: str, digit: str, count: int) -> None:
        """Digits add up as long as they name somebody: 1, then 2, is party 12 where there are twelve."""
        for number in (before + digit, digit):
            if 1 <= int(number) <= count:
                self.selected, self._digits = int(number) - 1, number
                return

    def _type(self, key: Key | str, tasks: TaskGroup, say: Callable[[Text], None]) -> None:
        line = self._line
        assert line is not None
        match key:
            case Key.ENTER:
                self._line = None
                if text := line.text.strip():
                    self._start(tasks, say, line.prompt, lambda: line.command(text))
            case Key.ESCAPE:
                self._line = None
            case Key.ERASE:
                line.text = line.text[:-1]
            case Key.ERASE_ALL:
                line.text = ""
            case str():
                line.text += key

    def _start(self, tasks: TaskGroup, say: Callable[[Text], None], name: str, command: Command) -> None:
        self._doing.append(name)
        tasks.start_soon(self._do, name, command, say)

    async def _do(self, name: str, command: Command, say: Callable[[Text], None]) -> None:
        try:
            await command()
        except Exception as error:
            # Whatever it is, the others in the meeting must not be hung up on for it.
            say(Text.assemble(("✗ ", "red"), f"{name}: {failures.sentence(failures.the_one(error))}"))
        finally:
            self._doing.remove(name)


def _muting(person: Participant, meeting: Meeting) -> tuple[str, Command]:
    if person.mute:
        return f"unmute {person.party.label}", lambda: meeting.unmute(person)
    return f"mute {person.party.label}", lambda: meeting.mute(person)


def _holding(person: Participant, meeting: Meeting) -> tuple[str, Command]:
    if person.hold:
        return f"resume {person.party.label}", lambda: meeting.resume(person)
    return f"hold {person.party.label}", lambda: meeting.hold(person)


def _legend(keys: tuple[tuple[str, str], ...], width: int) -> list[Text]:
    """The keys with what they mean, on as many lines as it takes."""
    lines: list[Text] = []
    for key, meaning in keys:
        entry = Text.assemble((key, "bold"), " ", (meaning, "dim"))
        if lines and lines[-1].cell_len + len(tables.SEPARATOR) + entry.cell_len <= width:
            lines[-1] = tables.SEPARATOR.join([lines[-1], entry])
        else:
            lines.append(entry)
    return lines
