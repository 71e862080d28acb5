"""What people see at the command line, on terminals of several widths and while the window changes its size."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import structlog

from confkit.cli.app import run
from tests.terminal import Terminal

CONFKIT = str(Path(sys.executable).parent / "confkit")
CONNECT = ["connect", "--provider", "fake", "--from", "+12018994444"]
PEOPLE = ["+19195550101", "+19195550102", "sip:ann@a-host-with-a-long-name.conferences.example.com"]


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    run(arguments)
    structlog.reset_defaults()
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
def test_the_demo_fits(columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = shown(capsys, "demo", "--parties", "3")
    assert max(map(len, lines)) <= columns
    for name, address in [("Ann", "+1919•••0100"), ("Ben", "+1919•••0101"), ("Cleo", "+1919•••0102")]:
        assert any(
            re.fullmatch(rf" {name} +{re.escape(address)} +● joined +joined +.*[0-9]\.[0-9] s *", line)
            for line in lines
        )
        # The lane of the phones, to whom the lines of the picture lead.
        assert any(re.search(rf" rings ─+▶│ {name}$", line) for line in lines)
        assert any(re.search(rf"◀─+ answers ─┤ {name}$", line) for line in lines)
    assert any(line.endswith("phones") for line in lines)
    assert any(re.search("dialled +answered", line) for line in lines) == (columns >= 80)


@pytest.mark.parametrize("columns", [40, 60, 80, 100])
def test_the_last_roster_has_everybodys_outcome(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = shown(capsys, *CONNECT, *PEOPLE, "--set", "answer_after=100", "--answer-timeout", "0.05")
    assert max(map(len, lines)) <= columns
    assert sum(bool(re.search(r"✗ ended +(no answer|cancelled)", line)) for line in lines) == 3
    # An address that is longer than its column goes on in the next line, to its last letter.
    party = "".join(line[1:].split("✗")[0].split("  ")[0].strip() for line in lines)
    assert "sip:a•••@a-host-with-a-long-name.conferences.example.com" in party
    assert any(re.search("joined +ended", line) for line in lines) == (columns >= 80)


def whole(screen: list[str], *told: str) -> bool:
    """Whether one table stands there, with each person in one row, and above it what was told last."""
    return (
        sum(line.startswith("confkit · ") for line in screen) == 1
        and sum("party" in line and "state" in line for line in screen) == 1
        and all(sum(f"+1919•••010{number}  ● " in line for line in screen) == 1 for number in (1, 2))
        and any(line.endswith("q end") for line in screen)
        and all(line in screen for line in told)
    )


@pytest.mark.parametrize("widths", [(60,), (120,), (50, 100, 45, 80)])
def test_a_window_that_changes_its_size_shows_one_whole_table(widths: tuple[int, ...]) -> None:
    terminal = Terminal([CONFKIT, *CONNECT, *PEOPLE[:2], "--expandable"])
    try:
        terminal.until("established: 2 of 2 joined")
        terminal.press("m")
        terminal.until_screen(lambda screen: whole(screen, "+1919•••0101 joined, muted"))
        terminal.press("2", "m")
        for width in widths:
            terminal.resize(width)
            # What was told last is not lost.
            terminal.until_screen(
                lambda screen: whole(screen, "+1919•••0101 joined, muted", "+1919•••0102 joined, muted")
            )
        terminal.press("q")
        assert terminal.ends() == 0
        assert any("meeting ended" in line for line in terminal.screen)
        assert sum("party" in line and "state" in line for line in terminal.screen) == 1
    finally:
        terminal.close()
