"""How long it takes until everyone is a member, in round trips, against the simulator in a process of its own.

``uv run python -m benchmarks.establish [--parties 20] [--latency 0.05] [--rounds 7]``
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anyio

import confkit

#: Create the conference, create the calls, add the members; one by one that is 1 + 2 × 20.
ONE_BY_ONE = 41
TARGET = 6.0


@contextlib.contextmanager
def simulator(latency: float) -> Iterator[dict[str, str]]:
    """The simulator as its users start it; gives the settings that it prints."""
    command = [Path(sys.executable).with_name("confkit"), "bandwidth", "simulate", "--port", "0", "--latency", str(latency)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


async def establish(settings: dict[str, str], parties: int, rounds: int) -> list[float]:
    """Seconds until all are members, for each round; the first round, which imports and connects, is left out."""
    numbers = [f"+1919555{index:04}" for index in range(parties)]
    seconds = []
    async with confkit.AsyncClient("bandwidth", caller_id="+12018994444", limits="off", **settings) as client:
        for _ in range(rounds + 1):
            began = time.perf_counter()
            async with client.connect(*numbers) as meeting:
                seconds.append(time.perf_counter() - began)
                assert all(person.outcome is confkit.Outcome.JOINED for person in meeting.participants)
    return seconds[1:]


def main() -> None:
    """Measure, print, and say whether the target was reached."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--parties", type=int, default=20)
    arguments.add_argument("--latency", type=float, default=0.05, help="of the simulator, in seconds")
    arguments.add_argument("--rounds", type=int, default=7)
    given = arguments.parse_args()
    with simulator(given.latency) as settings:
        seconds = anyio.run(establish, settings, given.parties, given.rounds)
    trips = [second / given.latency for second in seconds]
    middle = statistics.median(trips)
    print(f"{given.parties} parties at {given.latency * 1000:g} ms, {given.rounds} rounds:")
    print(f"  round trips: median {middle:.2f}, from {min(trips):.2f} to {max(trips):.2f}; one by one {ONE_BY_ONE}")
    print(f"  target under {TARGET:g}: {'reached' if middle < TARGET else 'MISSED'}")


if __name__ == "__main__":
    main()
