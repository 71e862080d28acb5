"""What the benchmarks share: the command line of one, the simulator beside them, and clocks."""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.report import Result

CALLER_ID = "+12018994444"


def numbers(count: int) -> list[str]:
    """So many addresses to dial."""
    return [f"+1919{index:07}" for index in range(5550000, 5550000 + count)]


def run(measure: Callable[[bool], Result], about: str | None) -> None:
    """The command line of one benchmark: its last line of output is its result as JSON."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rounds")
    print(measure(parser.parse_args().quick).json())


@contextlib.contextmanager
def simulator(*options: str) -> Iterator[dict[str, str]]:
    """The Bandwidth simulator in a process of its own, as its users start it; gives the settings that it prints."""
    program = Path(sys.executable).with_name("confkit")
    command = [str(program), "bandwidth", "simulate", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
