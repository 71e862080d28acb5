"""How one conference grows: until all are members, and what each costs, on a real Asterisk and on the simulator.

Asterisk is the development engine, with telephones that answer at once and send silence; the policy's maximum is
raised to 50. Bandwidth v1 holds 20 (``conferences.md``): its simulator, without latency and limits, answers polled.
Engine, telephones and simulator are processes of their own, so the processor time is that of the client alone.
"""

from __future__ import annotations

import contextlib
import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
from attrs import define, field
from confkit_asterisk.server import Engine
from confkit_asterisk.softphone import Phones

import confkit
from benchmarks.report import Figure, Result
from benchmarks.running import CALLER_ID, numbers, run, simulator

MOST = {"Asterisk": 50, "Bandwidth": 20}
SIZES = (3, 10, 20, 50)


@define
class Round:
    """What was measured each time that a conference of this size was established.

    Args:
        seconds: until all were members.
        client: milliseconds of processor time of the client, for each member.
        engine: the same of the engine.
        memory: megabytes of the engine while they were in.
    """

    where: str
    members: int
    seconds: list[float] = field(factory=list)
    client: list[float] = field(factory=list)
    engine: list[float] = field(factory=list)
    memory: list[float] = field(factory=list)


async def telephones(count: int) -> None:
    """So many that answer at once; tells the port, and ends with standard input."""
    async with Phones(talking=count) as phones:
        for number in numbers(count):
            phones.add(number)
        print(phones.port, flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read)


@contextlib.contextmanager
def _telephones(count: int) -> Iterator[int]:
    """The same in a process of their own; gives the port."""
    command = [sys.executable, "-m", "benchmarks.members", "--telephones", str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def _seconds_of(pid: int) -> float:
    """Processor time that a process has taken so far (``proc_pid_stat(5)``: fields 14 and 15)."""
    after_name = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def _megabytes_of(pid: int) -> float:
    """What a process has in memory (``proc_pid_statm(5)``: field 2)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def _establish(client: confkit.AsyncClient, into: Round, engine: Engine | None) -> None:
    gc.collect()
    engine_before = _seconds_of(engine.pid) if engine is not None else 0.0
    own, began = time.process_time(), time.perf_counter()
    async with client.connect(*numbers(into.members)) as meeting:
        into.seconds.append(time.perf_counter() - began)
        into.client.append((time.process_time() - own) / into.members * 1000)
        assert all(person.outcome is confkit.Outcome.JOINED for person in meeting.participants)
        if engine is not None:
            into.engine.append((_seconds_of(engine.pid) - engine_before) / into.members * 1000)
            into.memory.append(_megabytes_of(engine.pid))


async def _sizes(
    provider: str, settings: dict[str, Any], where: str, rounds: int, engine: Engine | None
) -> list[Round]:
    policy = confkit.Policy(maximum=MOST[where])
    found = [Round(where, size) for size in SIZES if size <= MOST[where]]
    async with confkit.AsyncClient(provider, caller_id=CALLER_ID, policy=policy, **settings) as client:
        await _establish(client, Round(where, 3), engine)  # imports and connects, and is left out
        for into in found:
            for _ in range(rounds):
                await _establish(client, into, engine)
    return found


def measure(quick: bool) -> Result:
    """Every size at both."""
    rounds = 2 if quick else 7
    found: list[Round] = []
    with Engine() as engine, _telephones(MOST["Asterisk"]) as port:
        empty = _megabytes_of(engine.pid)
        found += anyio.run(_sizes, "asterisk", engine.settings(numbers_at=port), "Asterisk", rounds, engine)
        release = engine.installation.release
    with simulator() as settings:
        found += anyio.run(_sizes, "bandwidth", {"limits": "off", **settings}, "Bandwidth", rounds, None)
    by = {(each.where, each.members): each for each in found}
    most, twenty, simulated = by["Asterisk", 50], by["Asterisk", 20], by["Bandwidth", 20]

    def ratio(what: str, mine: list[float], other: list[float], against: str, note: str) -> Figure:
        middle = statistics.median(other)
        return Figure(what=what, against=against, rounds=[each / middle for each in mine], note=note)

    figures = [
        Figure(
            what="50 members in one conference on Asterisk, until all have joined",
            against=f"20 members: {statistics.median(twenty.seconds):.2f} s",
            rounds=most.seconds,
            unit="s",
        ),
        ratio(
            "20 members on Asterisk, until all have joined",
            twenty.seconds,
            simulated.seconds,
            f"Bandwidth's simulator ({statistics.median(simulated.seconds):.2f} s)",
            f"{statistics.median(twenty.seconds):.2f} s",
        ),
        ratio(
            "client's processor time per member, 50 on Asterisk",
            most.client,
            twenty.client,
            f"20 on Asterisk ({statistics.median(twenty.client):.1f} ms)",
            f"{statistics.median(most.client):.1f} ms",
        ),
        ratio(
            "client's processor time per member, 20 on Asterisk",
            twenty.client,
            simulated.client,
            f"20 on Bandwidth's simulator ({statistics.median(simulated.client):.1f} ms)",
            f"{statistics.median(twenty.client):.1f} ms",
        ),
        ratio(
            "engine's processor time per member, 50",
            most.engine,
            twenty.engine,
            f"with 20 ({statistics.median(twenty.engine):.1f} ms)",
            f"{statistics.median(most.engine):.1f} ms, Asterisk {release}",
        ),
        ratio(
            "engine's memory with 50 members",
            most.memory[:1],
            [empty],
            f"before the first call ({empty:.0f} MB)",
            f"{most.memory[0]:.0f} MB, what it keeps of earlier conferences included",
        ),
    ]
    points = [
        {
            "where": each.where,
            "members": each.members,
            "seconds": each.seconds,
            "client": each.client,
            "engine": each.engine,
            "memory": each.memory,
        }
        for each in found
    ]
    return Result(name="members", title="One large conference", figures=tuple(figures), data={"points": points})


if __name__ == "__main__":
    if "--telephones" in sys.argv:
        anyio.run(telephones, int(sys.argv[-1]))
    else:
        run(measure, __doc__)
