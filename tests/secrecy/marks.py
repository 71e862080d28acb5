"""Values that must not come out, and a look at everything that does."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

import attrs
import pytest
from attrs import define, field

from confkit.provider.contract import hookimpl

TOKEN, SECRET = "t-marked-token", "s-marked/secret"
USER, PASSWORD = "marked-user", "marked:pass word@1/2"
CALLER = "+12018994444"
PEOPLE = ("+19195550101", "+19195550102", "sip:marked.person@pbx.example.com;phone=+19195550177")
LATER = "+19195550103"
STRANGER = "+442071838750"
#: What somebody dials is as private as a number: DTMF carries card numbers and codes.
DIGITS = "4929123123123"
NUMBERS = (CALLER, *PEOPLE[:2], LATER, STRANGER, "+19195550177")


def basic(user: str, password: str) -> str:
    """The credentials of HTTP Basic (RFC 7617)."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


SECRETS = (
    TOKEN,
    SECRET,
    quote(SECRET, safe=""),
    PASSWORD,
    quote(PASSWORD, safe=""),
    basic(TOKEN, SECRET),
    basic(USER, PASSWORD),
)
#: A number without its country code is a whole number as well.
PERSONAL = (*(number[-10:] for number in NUMBERS), "marked.person", "arked.person", DIGITS)


@define
class Seen:
    """Every text that came out, with where it came from.

    Args:
        secrets: further ones, which are made at run time.
    """

    secrets: list[str] = field(factory=list)
    texts: list[tuple[str, str]] = field(factory=list)
    #: The operations that were tried, and those that succeeded.
    tried: set[str] = field(factory=set)
    done: set[str] = field(factory=set)
    errors: list[str] = field(factory=list)

    def text(self, source: str, text: str) -> None:
        self.texts.append((source, text))

    def value(self, source: str, value: Any) -> None:
        """How a value shows itself: whole, and its parts, except what is there for programs to read whole."""
        self.text(source, f"{value!r} {value!s}" if not isinstance(value, str) else "")
        for part in value if isinstance(value, tuple | list) else ():
            self.value(source, part)
        if attrs.has(type(value)):
            for attribute in attrs.fields(type(value)):
                part = getattr(value, attribute.name)
                if attrs.has(type(part)) or isinstance(part, tuple):
                    self.value(f"{source}.{attribute.name}", part)

    def error(self, source: str, error: BaseException) -> None:
        """An error with all that hangs on it, as a traceback has it and as a program finds it."""
        self.errors.append(type(error).__name__)
        self.text(source, "".join(traceback.format_exception(error)))
        seen: set[int] = set()
        waiting: list[BaseException | None] = [error]
        while waiting:
            one = waiting.pop()
            if one is None or id(one) in seen:
                continue
            seen.add(id(one))
            waiting += [one.__cause__, one.__context__]
            if isinstance(one, BaseExceptionGroup):
                waiting += one.exceptions
            notes = getattr(one, "__notes__", ())
            self.text(f"{source}: {type(one).__name__}", f"{one!r} {one!s} {one.args!r} {notes!r}")
            if type(one).__module__.startswith("confkit"):
                for name, value in vars(one).items():
                    if name != "raw":
                        self.text(f"{source}: {type(one).__name__}.{name}", repr(value))

    async def attempt(self, name: str, work: Awaitable[Any]) -> Any:
        """Carry out an operation; gives its result, or ``None`` after an error."""
        self.tried.add(name)
        try:
            result = await work
        except Exception as error:
            self.error(name, error)
            return None
        self.done.add(name)
        self.value(name, result)
        return result

    def logs(self, events: Iterable[Mapping[str, Any]], records: Iterable[logging.LogRecord]) -> None:
        """What was logged, by everyone in this process but the simulator, which is the platform's side."""
        formatter = logging.Formatter("%(name)s %(message)s")
        for event in events:
            self.text("structlog", repr(event))
        for record in records:
            if not (record.threadName or "").startswith("confkit-bandwidth-simulator"):
                self.text(f"logging of {record.name}", f"{formatter.format(record)} {record.args!r}")

    def found(self, marks: Iterable[str]) -> list[str]:
        """Where any of these values came out."""
        wanted = [mark for mark in marks if mark]
        return [
            f"{mark} in {source}: …{text[max(0, text.index(mark) - 150) : text.index(mark) + 60]}"
            for source, text in self.texts
            for mark in wanted
            if mark in text
        ]

    def assert_clean(self, *, numbers: bool = True) -> None:
        assert self.texts
        if found := self.found([*SECRETS, *self.secrets, *(PERSONAL if numbers else ())]):
            pytest.fail("\n".join([f"{len(found)} places:", *found[:10]]))


@define
class Observer:
    """An application's observer, which writes down what it is shown."""

    seen: Seen

    @hookimpl
    def meeting_started(self, meeting: str) -> None:
        self.seen.value("meeting_started", (meeting,))

    @hookimpl
    def meeting_ended(self, meeting: str, reason: str) -> None:
        self.seen.value("meeting_ended", (meeting, reason))

    @hookimpl
    def step_started(self, step: Any) -> None:
        self.seen.value("step_started", step)
        self.seen.text("step_started", repr(step.as_dict()))

    @hookimpl
    def step_finished(self, step: Any) -> None:
        self.seen.value("step_finished", step)
        self.seen.text("step_finished", repr(step.as_dict()))

    @hookimpl
    def meeting_event(self, meeting: str, event: Any) -> None:
        self.seen.value("meeting_event", (meeting, event))
