"""Delivers webhooks, all at once: each over a connection of its own that is open before the first is sent.

A process of its own, so that its memory is not the receiver's. Reads what to send from standard input, as JSON, and
prints how often it got which status, and how long the answers took.
"""

from __future__ import annotations

import asyncio
import collections
import json
import resource
import sys
import time
from typing import Any
from urllib.parse import urlsplit

#: How many connections are being opened at a time: a listener's queue is finite.
OPENING = 200


async def deliver(url: str, deliveries: list[tuple[str, str, int]]) -> dict[str, Any]:
    """Send every body, with so many bytes after it, to its path; gives the statuses and how long each answer took.

    The padding is made here: what asks for it would otherwise hold 40 MiB for each burst itself.
    """
    host, port = urlsplit(url).hostname or "", urlsplit(url).port or 0
    opening, start = asyncio.Semaphore(OPENING), asyncio.Event()
    statuses: collections.Counter[str] = collections.Counter()
    seconds: list[float] = []
    ready = 0

    async def one(path: str, body: bytes) -> None:
        nonlocal ready
        async with opening:
            reader, writer = await asyncio.open_connection(host, port)
        ready += 1
        await start.wait()
        began = time.perf_counter()
        head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        try:
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            status = (await reader.readline()).split()[1].decode()
        except (OSError, IndexError) as error:
            status = type(error).__name__
        statuses[status] += 1
        seconds.append(time.perf_counter() - began)
        writer.close()

    async with asyncio.TaskGroup() as tasks:
        for path, body, padding in deliveries:
            tasks.create_task(one(path, body.encode() + b"x" * padding))
        while ready < len(deliveries):  # noqa: ASYNC110 - a count, not a state
            await asyncio.sleep(0.01)
        began = time.perf_counter()
        start.set()
    return {"statuses": statuses, "seconds": sorted(seconds), "took": time.perf_counter() - began}


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    given = json.load(sys.stdin)
    print(json.dumps(asyncio.run(deliver(given["url"], given["deliveries"]))))
