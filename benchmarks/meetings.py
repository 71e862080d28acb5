"""How the cost of a meeting grows with how many go on at once: meetings of five on the fake, in one process.

Each number of meetings is measured in a process of its own, in processor time: they are opened, two hundred at a time,
live idle together while the memory is counted, and are ended, two hundred at a time. The memory is what has been
allocated (by tracemalloc), and the growth of the process, from before the first was opened until all were there.

Python's cyclic garbage collector looks at everything again each time that it has grown by a quarter. So all is measured
as Python comes, and with the collector's thresholds raised as the note on scaling recommends. What else grows has no
place of its own in a profile: every function takes a little longer where the memory no longer fits the caches. Ten
thousand take a minute or two to come and go, so some of the looks at meetings that are there already are in their time.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
import tracemalloc
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio

import confkit
from benchmarks.report import Figure, Result
from benchmarks.running import CALLER_ID, numbers, run

PARTIES = 5
#: With fewer meetings than this in a round, what is measured is the process and not the meeting.
ENOUGH = 100
#: So many are being opened or ended at a time: a phone is not answered in time by a process that has all to do at once.
MOVING = 200
#: With so many the allocations are counted.
TRACED = 200
#: What the note on scaling recommends to processes that hold thousands of meetings.
THRESHOLDS = (50_000, 20, 100)


def resident() -> int:
    """Bytes of this process in memory."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: the most so far, in bytes
    return pages * os.sysconf("SC_PAGE_SIZE")


async def together(meetings: int, traced: bool) -> dict[str, float]:
    """Processor seconds for opening and ending so many meetings at once, and the bytes that they take.

    Args:
        traced: count what is allocated, which takes time, instead of the growth of the process.
    """
    addresses = numbers(PARTIES)
    everyone_in, leave = anyio.Event(), anyio.Event()
    moving = anyio.CapacityLimiter(MOVING)
    arrived = 0

    async def attend(client: confkit.AsyncClient) -> None:
        nonlocal arrived
        async with AsyncExitStack() as stack:
            async with moving:
                await stack.enter_async_context(client.connect(*addresses))
            arrived += 1
            if arrived == meetings:
                everyone_in.set()
            await leave.wait()
            async with moving:
                await stack.aclose()

    async with confkit.AsyncClient("fake", caller_id=CALLER_ID) as client:
        async with client.connect(*addresses):
            pass
        gc.collect()
        if traced:
            tracemalloc.start()
        before, began = resident(), time.process_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(meetings):
                tasks.start_soon(attend, client)
            await everyone_in.wait()
            opened = time.process_time()
            gc.collect()
            taken = tracemalloc.get_traced_memory()[0] if traced else resident() - before
            tracemalloc.stop()
            idle = time.process_time()
            leave.set()
        return {"opening": opened - began, "ending": time.process_time() - idle, "bytes": taken}


def _apart(meetings: int, *options: str) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.meetings", "--together", str(meetings), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _per_meeting(sizes: dict[int, int], *options: str) -> tuple[dict[int, list[float]], dict[int, list[float]]]:
    """Milliseconds for each meeting, and kilobytes for each participant, by the number of meetings.

    Args:
        sizes: how many meetings, and how often; what all are compared with before the largest and again after it,
            because a machine is not equally fast at all times.
    """
    found: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    for size, rounds in [*sizes.items(), (ENOUGH, sizes[ENOUGH])]:
        found[size] += [_apart(size, *options) for _ in range(rounds)]
    times = {size: [(one["opening"] + one["ending"]) / size * 1000 for one in runs] for size, runs in found.items()}
    memory = {size: [one["bytes"] / size / PARTIES / 1000 for one in runs] for size, runs in found.items()}
    return times, memory


def measure(quick: bool) -> Result:
    """Every number of meetings; the small ones more often."""
    # Ten thousand take a minute or two, and differ little.
    times, memory = _per_meeting({1: 2, 100: 1, 500: 1} if quick else {1: 5, 100: 4, 1000: 3, 10_000: 1})
    sizes = tuple(times)
    raised, _ = _per_meeting({100: 1, 500: 1} if quick else {100: 3, 1000: 2, 10_000: 1}, "--raised")
    most = sizes[-1]
    figures = [
        Figure(
            what=f"time per meeting with {most:,} at once, {collector}",
            against=f"with {ENOUGH} at once ({statistics.median(each[ENOUGH]):.1f} ms each)",
            rounds=[one / statistics.median(each[ENOUGH]) for one in each[most]],
            at_most=1.3,
        )
        for collector, each in (("as Python comes", times), ("the garbage collector's thresholds raised", raised))
    ]
    figures += [
        Figure(
            what=f"memory per participant, {TRACED} idle meetings of {PARTIES}",
            against="all that is allocated and not freed, the fake's records included",
            rounds=[_apart(TRACED, "--traced")["bytes"] / TRACED / PARTIES / 1000],
            unit="kB",
            at_most=25,
        ),
        Figure(
            what=f"growth of the process per participant, {most:,} idle meetings of {PARTIES}",
            against="the process before",
            rounds=memory[most],
            unit="kB",
        ),
    ]
    data: dict[str, Any] = {
        "sizes": list(sizes),
        "milliseconds": list(times.values()),
        "raised": {"sizes": list(raised), "milliseconds": list(raised.values())},
        "kB": list(memory.values()),
    }
    return Result(name="meetings", title="Many meetings at once", figures=tuple(figures), data=data)


if __name__ == "__main__":
    if "--together" in sys.argv:
        parser = argparse.ArgumentParser()
        parser.add_argument("--together", type=int)
        parser.add_argument("--traced", action="store_true")
        parser.add_argument("--raised", action="store_true")
        given = parser.parse_args()
        if given.raised:
            gc.set_threshold(*THRESHOLDS)
        print(json.dumps(anyio.run(together, given.together, given.traced)))
    else:
        run(measure, __doc__)
