"""Keys, one by one, from a terminal. POSIX only: Windows has no termios."""

from __future__ import annotations

import codecs
import enum
import os
import re
import signal
import termios
import tty
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, Self, TextIO

import anyio

#: How long the rest of a key's sequence may be on its way, in seconds: after that, Esc was Esc.
_ESCAPE_DELAY: Final = 0.05
#: CSI and SS3 sequences (ECMA-48 section 5.4), whole; then those that have only begun.
_SEQUENCE: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[@-~])")
_BEGUN: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?\Z")


class Key(enum.Enum):
    """A key that is no character."""

    UP = "up"
    DOWN = "down"
    ENTER = "enter"
    ESCAPE = "escape"
    ERASE = "erase"
    ERASE_ALL = "erase all"


_SEQUENCES: Final = {"\x1b[A": Key.UP, "\x1bOA": Key.UP, "\x1b[B": Key.DOWN, "\x1bOB": Key.DOWN}
_CONTROLS: Final = {
    "\r": Key.ENTER,
    "\n": Key.ENTER,
    "\x7f": Key.ERASE,
    "\x08": Key.ERASE,
    "\x15": Key.ERASE_ALL,  # Ctrl-U
    "\x1b": Key.ESCAPE,
}


class Keyboard:
    """The keyboard of a terminal, which shows nothing of what is typed while this context is open.

    Ctrl-C and Ctrl-Z stay what they are. When the context is left, however it is left, the terminal is as it was.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._before: list[Any] = []
        self._at_quit: Any = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @classmethod
    def of(cls, stream: TextIO | None) -> Self | None:
        """The keyboard behind a stream; ``None`` where it is not a terminal, or where it is another job's turn."""
        try:
            keyboard = cls(stream.fileno()) if stream is not None and stream.isatty() else None
        except (OSError, ValueError):  # closed, or replaced by something without a descriptor
            return None
        return keyboard if keyboard is not None and keyboard._is_ours() else None

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._descriptor)
        self._at_quit = signal.signal(signal.SIGQUIT, self._quit)
        tty.setcbreak(self._descriptor)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()
        signal.signal(signal.SIGQUIT, self._at_quit)

    async def keep(self) -> None:
        """Take the terminal again whenever the process goes on after Ctrl-Z: the shell has set its own mode."""
        with anyio.open_signal_receiver(signal.SIGCONT) as signals:
            async for _ in signals:
                if self._is_ours():
                    tty.setcbreak(self._descriptor)

    async def read(self) -> list[Key | str]:
        """The next keys, in the order of typing: at least one, or none when the terminal has gone."""
        while text := await self._text(None):
            while _BEGUN.search(text) and (more := await self._text(_ESCAPE_DELAY)):
                text += more
            if keys := list(_keys(text)):
                return keys
        return []

    async def _text(self, patience: float | None) -> str:
        """What is typed next; empty after so many seconds without anything, or when the terminal has gone."""
        text = ""
        with anyio.move_on_after(patience):
            while not text:
                await anyio.wait_readable(self._descriptor)
                try:
                    data = os.read(self._descriptor, 1024)
                except OSError:  # EIO: the terminal was closed
                    return ""
                if not data:
                    return ""
                text = self._decoder.decode(data)
        return text

    def _is_ours(self) -> bool:
        """Whether a read would not stop the process: it is not in the background."""
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:  # not the terminal that controls us: no jobs, no turns
            return True

    def _restore(self) -> None:
        # TCSAFLUSH throws away what nobody has read: the shell must not take it for commands. A terminal that was
        # closed has nothing left to be set.
        with suppress(termios.error):
            termios.tcsetattr(self._descriptor, termios.TCSAFLUSH, self._before)

    def _quit(self, *_: object) -> None:
        """Ctrl-\\ ends the process at once, but not without giving back the terminal, and its cursor (DECTCEM)."""
        self._restore()
        with suppress(OSError):
            os.write(self._descriptor, b"\x1b[?25h\r\n")
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGQUIT)


def _keys(text: str) -> Iterator[Key | str]:
    """The keys that have produced a text; what they all mean is known to nobody, so unknown ones are left out."""
    while text:
        if sequence := _SEQUENCE.match(text):
            key: Key | str | None = _SEQUENCES.get(sequence[0])
            text = text[sequence.end() :]
        else:
            key = _CONTROLS.get(text[0]) or (text[0] if text[0].isprintable() else None)
            text = text[1:]
        if key is not None:
            yield key
