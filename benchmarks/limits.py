"""How long it takes until everyone is a member where the platform's documented limits are in force.

The floor is that of the default limits of Bandwidth v1 (``resourceRateLimits.md``, ``callRateLimits.md``): one
request a second to ``/conferences``, ten calls in any ten seconds, so N members whose phones are answered after ``a``
seconds are in after ``max(1, a) + N - 1`` seconds at the earliest. The simulator refuses every request that comes too
soon.

In virtual time the whole simulator, its callbacks included, runs under trio's mock clock; nothing takes time but
what waits. One run with three parties takes place over real sockets.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import trio.testing
from confkit_bandwidth.provider import BandwidthProvider
from confkit_bandwidth.settings import BandwidthSettings
from confkit_bandwidth.simulator import SimulatorOptions, application, events
from confkit_bandwidth.simulator.account import Account
from confkit_bandwidth.simulator.delivery import Delivery

import confkit
from benchmarks.report import Figure, Result
from benchmarks.running import CALLER_ID, numbers, run, simulator

DELAYS = (0.0, 5.0, 15.0)
PARTIES = (3, 10, 20)


def floor(parties: int, delay: float) -> float:
    """Seconds from the first request to the last one."""
    return max(1.0, delay) + parties - 1


@asynccontextmanager
async def virtually(options: SimulatorOptions, webhooks: bool) -> AsyncIterator[tuple[confkit.AsyncClient, Account]]:
    """A client of a simulator in the same event loop, without sockets."""
    client: Any = None

    async def receiver(scope: Any, receive: Any, send: Any) -> None:
        await client.webhooks(scope, receive, send)

    async with (
        httpx.AsyncClient(transport=httpx.ASGITransport(receiver)) as callbacks,
        anyio.create_task_group() as tasks,
    ):
        delivery = Delivery(callbacks, tasks, options.callbacks, seed=0, now=lambda: account.exchange.now())
        account = Account(options, base_url="http://127.0.0.1", delivery=delivery, tasks=tasks, observe=events.tell)
        tasks.start_soon(account.keep_up)
        settings = BandwidthSettings(
            user_id=account.user_id, token=account.token, secret=account.secret, base_url="http://127.0.0.1"
        )
        provider = BandwidthProvider(settings, transport=httpx.ASGITransport(application(account)))
        url = "http://127.0.0.1/hooks" if webhooks else None
        client = confkit.AsyncClient(provider, caller_id=CALLER_ID, public_url=url)
        async with client:
            yield client, account
        tasks.cancel_scope.cancel()


async def _once(parties: int, delay: float, webhooks: bool) -> tuple[float, int]:
    """Seconds until all are members, and how many requests were refused until then."""
    options = SimulatorOptions(rate_limits="documented", answer_after=delay)
    async with virtually(options, webhooks) as (client, account):
        began = anyio.current_time()
        async with client.connect(*numbers(parties)) as meeting:
            took = anyio.current_time() - began
            assert all(person.outcome is confkit.Outcome.JOINED for person in meeting.participants)
            refused = sum(entry.status is not None and entry.status >= 400 for entry in account.requests)
    return took, refused


def _virtual(parties: int, delay: float, webhooks: bool) -> tuple[float, int]:
    clock = trio.testing.MockClock(autojump_threshold=0)
    return anyio.run(_once, parties, delay, webhooks, backend="trio", backend_options={"clock": clock})


async def _over_sockets(settings: dict[str, Any], parties: int) -> tuple[float, int]:
    async with confkit.AsyncClient("bandwidth", caller_id=CALLER_ID, **settings) as client:
        began = time.perf_counter()
        async with client.connect(*numbers(parties)):
            took = time.perf_counter() - began
            async with httpx.AsyncClient(trust_env=False) as http:
                state = (await http.get(f"{settings['base_url']}/_simulator/state")).json()
            refused = sum((request["status"] or 0) >= 400 for request in state["requests"])
    return took, refused


def measure(quick: bool) -> Result:
    """Every number of parties with every delay, both ways to learn of the answers, and one real run."""
    points: list[dict[str, Any]] = []
    for delay in DELAYS:
        for parties in PARTIES[:: 2 if quick else 1]:
            for webhooks in (False, True):
                took, refused = _virtual(parties, delay, webhooks)
                points.append(
                    {
                        "parties": parties,
                        "delay": delay,
                        "source": "webhooks" if webhooks else "polling",
                        "seconds": took,
                        "floor": floor(parties, delay),
                        "refused": refused,
                    }
                )
    with simulator("--rate-limits", "documented") as settings:
        took, refused = anyio.run(_over_sockets, settings, 3)
    figures = []
    for source in ("webhooks", "polling"):
        mine = [point for point in points if point["source"] == source]
        worst = max(mine, key=lambda point: point["seconds"] / point["floor"])
        figures.append(
            Figure(
                what=f"answers by {source}, the worst of {len(mine)}",
                against=f"the floor: {worst['floor']:g} s",
                rounds=[worst["seconds"] / worst["floor"]],
                at_most=1.05,
                note=f"{worst['parties']} parties answer after {worst['delay']:g} s, in {worst['seconds']:.2f} s",
            )
        )
    figures += [
        Figure(
            what="3 parties over real sockets, polling",
            against=f"the floor: {floor(3, 0):g} s",
            rounds=[took / floor(3, 0)],
            at_most=1.05,
        ),
        Figure(
            what="requests refused in all runs",
            against="none",
            rounds=[refused + sum(point["refused"] for point in points)],
            at_most=0,
        ),
    ]
    return Result(
        name="limits",
        title="Establishing under the documented limits",
        figures=tuple(figures),
        data={"points": points, "real": {"parties": 3, "seconds": took, "floor": floor(3, 0)}},
    )


if __name__ == "__main__":
    run(measure, __doc__)
