"""A command at a pseudo terminal: keys go in, and the screen can be looked at."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from typing import Any

import pyte

PATIENCE = 30.0
LINES, COLUMNS = 24, 80
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: Runs a command with the terminal at its standard input as the one that controls it, as a shell does.
_AS_A_SHELL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """A command at a pseudo terminal, and what it has written there."""

    def __init__(self, command: list[str], *, columns: int = COLUMNS) -> None:
        self._ours, self._its = os.openpty()
        self._screen = pyte.Screen(columns, LINES)
        self._shown = 0
        self._set_size(columns)
        self.before = self.mode()
        environment = {
            name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", _AS_A_SHELL, *command],
            stdin=self._its,
            stdout=self._its,
            stderr=self._its,
            start_new_session=True,
            env=environment | {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"},
        )
        self._bytes = b""
        self._seen = 0

    def mode(self) -> list[Any]:
        """How the terminal is set."""
        return termios.tcgetattr(self._its)

    @property
    def text(self) -> str:
        """All that was written, without colours and movements."""
        return _STYLE.sub("", self._bytes.decode("utf-8", "replace")).replace("\r", "")

    def resize(self, columns: int) -> None:
        """Make the window narrower or wider, and wait until the command has drawn in it.

        What stands there is wrapped anew, as most terminals do.
        """
        self._show()
        text = [line.rstrip() for line in self._screen.display[: self._screen.cursor.y + 1]]
        wrapped = [line[at : at + columns] for line in text for at in range(0, max(len(line), 1), columns)]
        self._screen = pyte.Screen(columns, LINES)
        pyte.Stream(self._screen).feed("\r\n".join(wrapped) + "\r")
        before = len(self._bytes)
        self._set_size(columns)
        deadline = time.monotonic() + PATIENCE
        while b"\x1b[2J" not in self._bytes[before:]:
            assert self._read(deadline), "it does not draw anew"

    @property
    def screen(self) -> list[str]:
        """The lines that stand on the screen now."""
        self._show()
        return [line.rstrip() for line in self._screen.display]

    def until_screen(self, looks: Callable[[list[str]], bool]) -> None:
        """Read on until the screen looks so."""
        deadline = time.monotonic() + PATIENCE
        while not looks(self.screen):
            assert self._read(deadline), "\n".join(self.screen)

    def _show(self) -> None:
        text = self._bytes[self._shown :].decode("utf-8", "ignore")
        self._shown = len(self._bytes)
        pyte.Stream(self._screen).feed(text)

    def _set_size(self, columns: int) -> None:
        fcntl.ioctl(self._its, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))

    def press(self, *keys: str) -> None:
        """Type."""
        os.write(self._ours, "".join(keys).encode())

    def until(self, words: str) -> None:
        """Read on until these words have been written since the last time."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.text.find(words, self._seen)) < 0:
            assert self._read(deadline), f"no {words!r} after all this:\n{self.text[self._seen :][:4000]}"
        self._seen = found + len(words)

    def ends(self) -> int:
        """Read to the end; gives the exit status."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            self._read(min(deadline, time.monotonic() + 0.1))
            assert time.monotonic() < deadline, self.text[self._seen :]
        while self._read(time.monotonic()):
            pass
        return self.process.returncode

    def hang_up(self) -> None:
        """Close the terminal, as when its window is closed."""
        os.close(self._ours)
        self._ours = -1

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for descriptor in (self._ours, self._its):
            if descriptor >= 0:
                os.close(descriptor)

    def _read(self, deadline: float) -> bool:
        if not select.select([self._ours], [], [], max(deadline - time.monotonic(), 0))[0]:
            return False
        self._bytes += os.read(self._ours, 65536)
        return True
