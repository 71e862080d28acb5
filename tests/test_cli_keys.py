"""The command line on a terminal: keys rule a meeting of the fake, and the terminal is given back as it was."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.terminal import COLUMNS, PATIENCE, Terminal

CONFKIT = str(Path(sys.executable).parent / "confkit")
CONNECT = [CONFKIT, "connect", "--provider", "fake", "--from", "+12018994444"]
PEOPLE = ["+19195550101", "+19195550102", "+19195550103"]

Open = Callable[..., Terminal]


@pytest.fixture
def terminal() -> Iterator[Open]:
    """Open a terminal with a command in it; by default a meeting of three, which is waited for."""
    opened: list[Terminal] = []

    def open_(*options: str, people: list[str] = PEOPLE, established: bool = True) -> Terminal:
        opened.append(Terminal([*CONNECT, *options, *people]))
        if established:
            opened[-1].until(f"established: {len(people)} of {len(people)} joined")
            opened[-1].until("q end")
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


def test_keys_rule_the_meeting(terminal: Open) -> None:
    meeting = terminal()
    meeting.press("2", "m")
    meeting.until("+1919•••0102 joined, muted\n")
    meeting.press("m")
    meeting.until("+1919•••0102 joined\n")
    meeting.press("\x1b[B", "h")  # down
    meeting.until("+1919•••0103 joined, held\n")
    meeting.press("h")
    meeting.until("+1919•••0103 joined\n")
    meeting.press("\x1bOA", "\x1b[A", "d")  # up, up
    meeting.until("+1919•••0101 left\n")
    meeting.press("a", "+19195550188", "\x7f", "9", "\r")
    meeting.until("+1919•••0189 joined\n")
    meeting.press("s", "Good evening", "\r")
    meeting.until("playback started\n")
    meeting.press("q")
    assert meeting.ends() == 0
    meeting.until("meeting ended: 4 calls hung up, 1 conference ended")
    assert "Traceback" not in meeting.text


def test_what_cannot_be_done_is_one_line(terminal: Open) -> None:
    meeting = terminal()
    meeting.press("a", "12345", "\r")
    meeting.until("✗ add: 12•••")
    meeting.press("a", PEOPLE[0], "\r")
    meeting.until("✗ add: ")
    meeting.press("d")
    meeting.until("+1919•••0101 left\n")
    meeting.press("m")
    meeting.until("✗ mute +1919•••0101: ")
    meeting.press("9", "\x1b[5~", "x", "3", "m")  # nobody, a key without a meaning, another, somebody
    meeting.until("+1919•••0103 joined, muted\n")
    meeting.press("q")
    assert meeting.ends() == 0


def test_escape_leaves_a_line_undone(terminal: Open) -> None:
    meeting = terminal()
    meeting.press("a")
    meeting.until("Esc leaves it")
    meeting.press("quite", "\x15", "d")  # letters are letters here
    meeting.until("add: d▏")
    meeting.press("\x1b")
    meeting.until("q end")
    meeting.press("m")
    meeting.until("+1919•••0101 joined, muted\n")
    meeting.press("\x03")
    assert meeting.ends() == 0
    meeting.until("meeting ended: 3 calls hung up")


def test_twenty_fit_on_a_small_terminal(terminal: Open) -> None:
    meeting = terminal(people=[f"+191955501{number:02}" for number in range(1, 21)])
    meeting.until("1 to 12 of 20")
    meeting.press("1", "9", "m")
    meeting.until("+1919•••0119 joined, muted\n")
    meeting.until("▸ 19  +1919•••0119  ● muted")
    meeting.until("9 to 20 of 20")
    meeting.press("q")
    assert meeting.ends() == 0
    assert all(len(line) <= COLUMNS for line in meeting.text.splitlines() if line.startswith(("  ", " ▸")))


@pytest.mark.parametrize("ending", ["q", "\x03", signal.SIGTERM], ids=["q", "Ctrl-C", "SIGTERM"])
def test_the_terminal_is_given_back(terminal: Open, ending: str | signal.Signals) -> None:
    meeting = terminal()
    assert meeting.mode() != meeting.before
    if isinstance(ending, str):
        meeting.press(ending)
    else:
        meeting.process.send_signal(ending)
    assert meeting.ends() == 0
    meeting.until("meeting ended")
    assert meeting.mode() == meeting.before


def test_the_terminal_is_given_back_to_who_quits_at_once(terminal: Open) -> None:
    meeting = terminal()
    meeting.press("\x1c")
    assert meeting.ends() == -signal.SIGQUIT
    assert meeting.mode() == meeting.before


def test_the_terminal_is_given_back_after_an_error(terminal: Open) -> None:
    meeting = terminal("--set", "answer_after=100", "--answer-timeout", "0.3", established=False)
    assert meeting.ends() == 1
    meeting.until("fewer than 2 joined")
    assert meeting.mode() == meeting.before


def test_closing_the_window_hangs_up(terminal: Open, tmp_path: Path) -> None:
    chart = tmp_path / "sequence.mmd"
    meeting = terminal("--mermaid", str(chart))
    meeting.hang_up()
    meeting.process.wait(PATIENCE)
    assert chart.read_text().count("hang_up") == 3


def test_typing_while_it_rings_does_nothing(terminal: Open) -> None:
    meeting = terminal("--set", "answer_after=0.5", established=False)
    meeting.until("Ctrl-C hangs up")
    meeting.press("d", "q", "1", "m")
    meeting.until("q end")
    meeting.press("2", "m")
    meeting.until("+1919•••0102 joined, muted\n")
    assert "left" not in meeting.text
    meeting.press("q")
    assert meeting.ends() == 0
