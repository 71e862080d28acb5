"""A receiver under a burst: 2,000 deliveries at once, valid, forged, malformed and oversized in equal parts.

A real server, in the event loop that the client and its meeting live in; the deliveries come from another process.
"""

from __future__ import annotations

import gc
import itertools
import json
import logging
import resource
import sys
import tracemalloc
from typing import Any
from urllib.parse import urlsplit

import anyio
import structlog

import confkit
import confkit.provider
from benchmarks.asgi import served
from benchmarks.report import Figure, Result
from benchmarks.running import CALLER_ID, numbers, run, simulator

#: How many of each kind are delivered at once.
EACH = 500
#: After so many bursts what is remembered on purpose, the ids of events, and the allocator's arenas have settled.
SETTLED = 5
EXPECTED = {"200": EACH, "404": EACH, "400": EACH, "413": EACH}


class Counter:
    """Counts what reaches the meeting."""

    def __init__(self) -> None:
        self.seen = 0

    @confkit.provider.hookimpl
    def meeting_event(self, event: confkit.Event) -> None:
        """One more."""
        self.seen += isinstance(event, confkit.DigitsReceived)


def deliveries(path: str, call: str, burst: int) -> list[tuple[str, str, int]]:
    """So many of each kind; every valid one is another event.

    Args:
        path: of the callback URL.
        burst: the number of the burst, so that no event comes twice.
    """
    mixed: list[tuple[str, str, int]] = []
    token = path.split("/")[1]
    for number in range(EACH):
        key = {"eventType": "dtmf", "callId": call, "dtmfDigit": "5", "time": f"{burst}.{number}"}
        event = json.dumps(key)
        mixed += [(path, event, 0), (path.replace(token, token[::-1]), event, 0), (path, event[:-1], 0)]
        mixed += [(path, "", confkit.WebhookRequest.LARGEST_BODY + 1 + number * 100)]
    return mixed


async def burst(url: str, path: str, call: str, number: int) -> dict[str, Any]:
    """One burst from another process; gives what that saw."""
    given = json.dumps({"url": url, "deliveries": deliveries(path, call, number)}).encode()
    done = await anyio.run_process([sys.executable, "-m", "benchmarks.deliver"], input=given, stderr=None)
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def peak() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


async def _bursts(settings: dict[str, str], rounds: int) -> dict[str, Any]:
    counter = Counter()
    late: dict[str, confkit.AsyncClient] = {}
    found: dict[str, Any] = {"bursts": [], "peaks": [], "retained": []}

    async def receiver(scope: Any, receive: Any, send: Any) -> None:
        await late["client"].webhooks(scope, receive, send)

    async with served(receiver) as url:
        provider: dict[str, Any] = {"limits": "off", **settings}
        client = late["client"] = confkit.AsyncClient(
            "bandwidth", public_url=url, plugins=[counter], caller_id=CALLER_ID, **provider
        )
        async with client, client.connect(*numbers(3)) as meeting:
            call = meeting.participants[0].call_id or ""
            told = await client.direct.fetch(confkit.Call(provider="bandwidth", id=call))
            path = urlsplit(told.calls[0].raw["callbackUrl"]).path
            for number in range(rounds + 1):
                before = counter.seen
                seen = await burst(url, path, call, number)
                found["bursts"].append(seen | {"accepted": counter.seen - before})
                found["peaks"].append(peak())
            tracemalloc.start()
            for number in range(3):
                await burst(url, path, call, -1 - number)
                gc.collect()
                found["retained"].append(tracemalloc.get_traced_memory()[0])
            tracemalloc.stop()
    return found


def measure(quick: bool) -> Result:
    """Some bursts, the first of which are left out of the memory's growth; then some with the allocations counted."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with simulator() as settings:
        found = anyio.run(_bursts, settings, 6 if quick else 14)
    bursts, peaks, retained = found["bursts"], found["peaks"], found["retained"]
    total = sum(EXPECTED.values())
    right = [sum(min(count, each["statuses"].get(name, 0)) for name, count in EXPECTED.items()) for each in bursts]
    return Result(
        name="webhooks",
        title="Receiving webhooks",
        figures=(
            Figure(
                what=f"{total:,} deliveries at once, answered as they should be",
                against="200, 404, 400 and 413, a quarter each",
                rounds=[count / total for count in right],
                at_least=1,
            ),
            Figure(
                what="accepted",
                against=f"the {EACH} valid ones of each burst",
                rounds=[each["accepted"] / EACH for each in bursts],
                at_least=1,
                note=f"at most {max(each['accepted'] for each in bursts)} in any burst",
            ),
            Figure(
                what="slowest answer of a burst",
                against="the platform's patience of 10,000 ms",
                rounds=[each["seconds"][-1] * 1000 for each in bursts],
                unit="ms",
                at_most=10_000,
            ),
            Figure(
                what="deliveries answered",
                against="one process, one core",
                rounds=[total / each["took"] for each in bursts],
                unit="per s",
            ),
            Figure(
                what=f"peak memory after {len(peaks)} bursts",
                against=f"after the first {SETTLED} ({peaks[SETTLED - 1]:.0f} MiB)",
                rounds=[peaks[-1] / peaks[SETTLED - 1]],
                at_most=1.1,
            ),
            Figure(
                what="kept in memory",
                against="one delivery; the ids of events, by which duplicates are known",
                rounds=[(after - before) / total for before, after in itertools.pairwise(retained)],
                unit="bytes",
                at_most=256,
            ),
        ),
        data={"bursts": [{"statuses": each["statuses"], "took": each["took"]} for each in bursts], "peaks": peaks},
    )


if __name__ == "__main__":
    run(measure, __doc__)
