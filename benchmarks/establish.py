"""How long it takes until everyone is a member, against the vendor's own SDK, and in round trips.

The same simulator serves all: a process of its own, each reply as late as the latency says, everybody answers at
once, no limits. confkit learns of the answers by polling, and by webhooks served in the same event loop.

Twenty requests at once keep both ends busy: the rows "beside the same by hand" tell apart what of the time beyond the
round trips is confkit's, and what the HTTP stack's and the simulator's.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import bandwidth
import httpx
import httpx_aiohttp

import confkit
from benchmarks.asgi import served
from benchmarks.report import Figure, Result
from benchmarks.running import CALLER_ID, numbers, run, simulator

#: Create the conference; create all calls; add all members: what no client can do without.
TRIPS = 3
#: To which the request that tells the answers is added where they are polled. confkit asks while it dials, so it can
#: be sooner.
POLLED = 4
#: How soon the SDK's user looks again at a call that is not answered yet, in seconds.
LOOK_AGAIN = 0.1

Settings = dict[str, str]


def by_sdk(settings: Settings, parties: int) -> float:
    """One after another, as the SDK's documentation shows: create the call, look until it is active, add it."""
    api: Any = bandwidth.client(
        "voice", settings["user_id"], settings["token"], settings["secret"], api_endpoint=settings["base_url"]
    )
    began = time.perf_counter()
    conference = api.create_conference(from_=CALLER_ID)
    for number in numbers(parties):
        call = api.create_call(from_=CALLER_ID, to=number, conference_id=conference)
        while api.get_call(call)["state"] != "active":
            time.sleep(LOOK_AGAIN)
        api.create_conference_member(conference, call_id=call)
    took = time.perf_counter() - began
    assert api.get_conference(conference)["active_members"] == parties
    return took


@asynccontextmanager
async def fast_http(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The fastest transport that httpx has."""
    async with httpx.AsyncClient(
        transport=httpx_aiohttp.AiohttpTransport(),
        base_url=f"{settings['base_url']}/v1/users/{settings['user_id']}/",
        auth=(settings["token"], settings["secret"]),
    ) as http:
        yield http


async def by_hand(http: httpx.AsyncClient, parties: int, *, asks: bool) -> float:
    """The same requests with nothing around them, as early as can be: what this machine and the simulator allow.

    Args:
        asks: whether the calls have been answered, as who polls must; who does not ask knows without being told.
    """
    calls: list[str] = []

    async def post(path: str, body: dict[str, str]) -> str:
        reply = await http.post(path, json=body)
        assert reply.status_code == 201
        return reply.headers["location"].rpartition("/")[2]

    async def dial(number: str) -> None:
        calls.append(await post("calls", {"from": CALLER_ID, "to": number, "conferenceId": conference}))

    began = time.perf_counter()
    conference = await post("conferences", {"from": CALLER_ID})
    async with anyio.create_task_group() as dialling:
        for number in numbers(parties):
            dialling.start_soon(dial, number)
    if asks:
        listed = (await http.get("calls", params={"conferenceId": conference})).json()
        assert [call["state"] for call in listed] == ["active"] * parties
    async with anyio.create_task_group() as joining:
        for call in calls:
            joining.start_soon(post, f"conferences/{conference}/members", {"callId": call})
    return time.perf_counter() - began


async def by_confkit(client: confkit.AsyncClient, parties: int) -> float:
    """``client.connect``."""
    began = time.perf_counter()
    async with client.connect(*numbers(parties)) as meeting:
        took = time.perf_counter() - began
        assert all(person.outcome is confkit.Outcome.JOINED for person in meeting.participants)
    return took


async def _rounds(once: Callable[[], Awaitable[float]], rounds: int) -> list[float]:
    """The first one imports and connects, and is left out."""
    await once()
    seconds = []
    for _ in range(rounds):
        gc.collect()
        seconds.append(await once())
    return seconds


async def _side_by_side(settings: Settings, parties: int, rounds: int) -> dict[str, list[float]]:
    common: dict[str, Any] = {"caller_id": CALLER_ID, "limits": "off", **settings}
    found: dict[str, list[float]] = {}
    async with fast_http(settings) as http:
        found["by hand"] = await _rounds(lambda: by_hand(http, parties, asks=True), rounds)
        found["by hand, untold"] = await _rounds(lambda: by_hand(http, parties, asks=False), rounds)
    async with confkit.AsyncClient("bandwidth", **common) as client:
        found["polling"] = await _rounds(lambda: by_confkit(client, parties), rounds)
    late: dict[str, confkit.AsyncClient] = {}

    async def receiver(scope: Any, receive: Any, send: Any) -> None:
        await late["client"].webhooks(scope, receive, send)

    async with served(receiver) as url:
        late["client"] = confkit.AsyncClient("bandwidth", public_url=url, **common)
        async with late["client"] as told:
            found["webhooks"] = await _rounds(lambda: by_confkit(told, parties), rounds)
    return found


def measure(quick: bool) -> Result:
    """Every number of parties at every latency."""
    parties = (3, 20) if quick else (3, 10, 20)
    latencies = (0.001, 0.05) if quick else (0.001, 0.02, 0.05, 0.2)
    points: list[dict[str, Any]] = []
    for latency in latencies:
        with simulator("--latency", str(latency)) as settings:
            for count in parties:
                found = anyio.run(_side_by_side, settings, count, 2 if quick else 3 if latency > 0.1 else 7)
                # At 200 ms the SDK takes 12 s a round, and hardly differs from round to round.
                patience = 1 if quick or latency * count > 1 else 3
                found["SDK"] = [by_sdk(settings, count) for _ in range(patience)]
                points.append({"parties": count, "latency": latency, "seconds": found})
    return Result(
        name="establish",
        title="Establishing a conference",
        figures=tuple(figure for point in points for figure in _figures(point)),
        data={"points": points},
    )


def _figures(point: dict[str, Any]) -> list[Figure]:
    """The point that has a target, in full; of the others, how many times sooner than the SDK."""
    count, latency, seconds = point["parties"], point["latency"], point["seconds"]
    ours, theirs = seconds["polling"], statistics.median(seconds["SDK"])
    named = f"{count} parties at {latency * 1000:g} ms"
    aimed = (count, latency) == (20, 0.05)
    sooner = Figure(
        what=f"{named}, times sooner",
        against=f"bandwidth-sdk 3.1.0 ({theirs:.2f} s)",
        rounds=[theirs / second for second in ours],
        at_least=10 if aimed else None,
        note=f"{statistics.median(ours) * 1000:,.0f} ms",
    )
    if not aimed:
        return [sooner]
    hand, untold = statistics.median(seconds["by hand"]), statistics.median(seconds["by hand, untold"])
    return [
        sooner,
        Figure(
            what=f"{named}, answers polled",
            against=f"{POLLED} round trips, one of them the poll",
            rounds=[second / latency / POLLED for second in ours],
            at_most=1.25,
        ),
        Figure(
            what=f"{named}, answers by webhook",
            against=f"{TRIPS} round trips; the webhook comes while the dialling is under way",
            rounds=[second / latency / TRIPS for second in seconds["webhooks"]],
            at_most=1.25,
        ),
        Figure(
            what=f"{named}, answers polled, beside the same by hand",
            against=f"the same requests by hand, at the same simulator ({hand * 1000:.0f} ms)",
            rounds=[second / hand for second in ours],
            at_most=1.25,
        ),
        Figure(
            what=f"{named}, answers by webhook, beside the same by hand",
            against=f"the same requests by hand, of one who knows without being told ({untold * 1000:.0f} ms)",
            rounds=[second / untold for second in seconds["webhooks"]],
            at_most=1.25,
        ),
    ]


if __name__ == "__main__":
    run(measure, __doc__)
