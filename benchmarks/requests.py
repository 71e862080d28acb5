"""Processor time for each request, against the same request by hand on the fastest transport that httpx has.

The client's own time, user and system, of a process with nothing else in it; the simulator runs in another. Twenty
requests are under way at any time: first calls are created, then looked at.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx

import confkit
from benchmarks.establish import Settings, fast_http
from benchmarks.report import Figure, Result
from benchmarks.running import CALLER_ID, numbers, run, simulator

AT_ONCE = 20


async def processor_time(request: Callable[[str], Awaitable[object]], addresses: list[str]) -> float:
    """Seconds of this process for each request."""
    waiting = iter(addresses)

    async def worker() -> None:
        for address in waiting:
            await request(address)

    gc.collect()
    began = time.process_time()
    async with anyio.create_task_group() as workers:
        for _ in range(AT_ONCE):
            workers.start_soon(worker)
    return (time.process_time() - began) / len(addresses)


def _posts(http: httpx.AsyncClient) -> Callable[[str], Awaitable[object]]:
    async def create(to: str) -> str:
        body = {"from": CALLER_ID, "to": to, "callTimeout": 30, "tag": "op-c-0123456789abcdef0123456789abcde"}
        reply = await http.post("calls", json=body)
        reply.raise_for_status()
        return reply.headers["location"].rpartition("/")[2]

    return create


async def _alternating(settings: Settings, requests: int, rounds: int) -> dict[str, list[float]]:
    """Each way in turn, so that what disturbs one disturbs all; the first round is left out."""
    common: dict[str, Any] = {"caller_id": CALLER_ID, "limits": "off", **settings}
    addresses = numbers(requests)
    base, auth = f"{settings['base_url']}/v1/users/{settings['user_id']}/", (settings["token"], settings["secret"])
    found: dict[str, list[float]] = {}
    async with (
        fast_http(settings) as fast,
        httpx.AsyncClient(base_url=base, auth=auth) as plain,
        confkit.AsyncClient("bandwidth", **common) as client,
    ):
        ways = {
            "confkit": client.direct.create_call,
            "by hand": _posts(fast),
            "by hand, httpx's own pool": _posts(plain),
        }
        for _ in range(rounds + 1):
            for name, request in ways.items():
                found.setdefault(name, []).append(await processor_time(request, addresses))
    return {name: seconds[1:] for name, seconds in found.items()}


def measure(quick: bool) -> Result:
    """Creating calls."""
    with simulator() as settings:
        found = anyio.run(_alternating, settings, 150 if quick else 600, 2 if quick else 9)
    hand, ours = found["by hand"], found["confkit"]
    micros = {name: [second * 1e6 for second in seconds] for name, seconds in found.items()}
    middle = sorted(micros["by hand"])[len(hand) // 2]
    return Result(
        name="requests",
        title="Processor time per request",
        figures=(
            Figure(
                what="a request through confkit",
                against=f"by hand on httpx-aiohttp ({middle:.0f} µs)",
                rounds=[mine / theirs for mine, theirs in zip(ours, hand, strict=True)],
                at_most=1.25,
            ),
            Figure(
                what="a request through confkit",
                against="by hand on httpx's own pool",
                rounds=[mine / own for mine, own in zip(ours, found["by hand, httpx's own pool"], strict=True)],
            ),
        ),
        data={"microseconds": micros},
    )


if __name__ == "__main__":
    run(measure, __doc__)
