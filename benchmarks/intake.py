"""How many webhook events one core takes in, against the same server when it answers 204 and does nothing.

One server process (uvicorn over real sockets), whose own processor time is counted; the requests come from another
process over twenty connections that are kept open. Every event is verified (token and basic authentication), parsed,
told to the meeting's workflow and merged into the roster: a member is muted and unmuted, each time at another instant.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import logging
import statistics
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import anyio
import structlog

import confkit
from benchmarks.asgi import served
from benchmarks.report import Figure, Result
from benchmarks.running import CALLER_ID, numbers, run, simulator

CONNECTIONS = 20
USER, PASSWORD = "benchmark", "a password"


async def load(port: int, path: str, bodies: list[str]) -> None:
    """Post all bodies; fails if one is not taken."""
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nuser-agent: BandwidthAPI/v1\r\n"
        f"authorization: Basic {login}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: "
    )
    waiting = iter(bodies)

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in waiting:
            writer.write(f"{head}{len(body)}\r\n\r\n{body}".encode())
            reply = await reader.readuntil(b"\r\n\r\n")
            if not reply.startswith(b"HTTP/1.1 2"):
                raise RuntimeError(reply.decode())
        writer.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(CONNECTIONS):
            tasks.create_task(connection())


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """Read the request and answer 204."""
    del scope
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _processor_time(url: str, path: str, bodies: list[str]) -> float:
    """Seconds of this process, the server's, for each request."""
    given = json.dumps({"port": urlsplit(url).port, "path": path, "bodies": bodies}).encode()
    gc.collect()
    began = time.process_time()
    await anyio.run_process([sys.executable, "-m", "benchmarks.intake", "--load"], input=given, stderr=None)
    return (time.process_time() - began) / len(bodies)


def _events(person: confkit.Participant, conference: str, count: int, start: int) -> list[str]:
    """The member is muted and unmuted, every time one millisecond later."""
    now = int(time.time() * 1000)
    return [
        json.dumps(
            {
                "eventType": "conference-member",
                "conferenceId": conference,
                "memberId": person.member_id,
                "callId": person.call_id,
                "state": "active",
                "hold": "false",
                "mute": "true" if number % 2 else "false",
                "activeMembers": 3,
                "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime((now + start + number) / 1000))
                + f".{(now + start + number) % 1000:03}Z",
            }
        )
        for number in range(count)
    ]


async def _rounds(settings: dict[str, str], count: int, rounds: int) -> dict[str, list[float]]:
    late: dict[str, confkit.AsyncClient] = {}
    found: dict[str, list[float]] = {"nothing": [], "confkit": []}

    async def receiver(scope: Any, receive: Any, send: Any) -> None:
        await late["client"].webhooks(scope, receive, send)

    async with served(receiver) as url, served(nothing) as bare:
        given: dict[str, Any] = {"webhook_user": USER, "webhook_password": PASSWORD, "limits": "off", **settings}
        client = late["client"] = confkit.AsyncClient("bandwidth", public_url=url, caller_id=CALLER_ID, **given)
        async with client, client.connect(*numbers(3)) as meeting:
            person, conference = meeting.participants[0], meeting.conference
            assert conference is not None
            assert conference.id is not None
            told = await client.direct.fetch(confkit.Call(provider="bandwidth", id=person.call_id or ""))
            path = urlsplit(told.calls[0].raw["callbackUrl"]).path
            for number in range(rounds + 1):
                bodies = _events(person, conference.id, count, number * count)
                found["nothing"].append(await _processor_time(bare, path, bodies))
                found["confkit"].append(await _processor_time(url, path, bodies))
            assert meeting.participants[0].mute is bool((count - 1) % 2)
    return {name: seconds[1:] for name, seconds in found.items()}


def measure(quick: bool) -> Result:
    """Both in turn."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with simulator() as settings:
        found = anyio.run(_rounds, settings, 500 if quick else 1500, 2 if quick else 21)
    rates = {name: [1 / second for second in seconds] for name, seconds in found.items()}
    return Result(
        name="intake",
        title="Taking in webhooks",
        figures=(
            Figure(
                what="webhook events a second on one core, verified and reduced",
                against=f"the same server answering 204 ({statistics.median(rates['nothing']):,.0f} a second)",
                rounds=[bare / ours for bare, ours in zip(found["nothing"], found["confkit"], strict=True)],
                at_least=0.5,
                note=f"{statistics.median(rates['confkit']):,.0f} a second",
            ),
        ),
        data={"per second": rates},
    )


if __name__ == "__main__":
    if "--load" in sys.argv:
        order = json.load(sys.stdin)
        asyncio.run(load(order["port"], order["path"], order["bodies"]))
    else:
        run(measure, __doc__)
