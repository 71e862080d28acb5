"""Programs that are told to end while one of their meetings is up and another still rings."""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AsyncExitStack

import anyio

import confkit

# What a shell's background job or nohup ignores, its children would ignore: the tests are of programs that do not.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

THERE = ["+19195550101", "+19195550102", "+19195550103"]
AWAY = ["+19195550104", "+19195550105", "+19195550106"]


async def asynchronous() -> None:
    async with (
        confkit.ending_on_signals(),
        confkit.AsyncClient("bandwidth") as client,
        client.connect(*THERE),
        client.connect(*AWAY, answer_timeout=120),
    ):
        print("nobody was away")


async def beside() -> None:
    """The block is one task of many, and the meetings belong to others."""
    async with confkit.ending_on_signals(), AsyncExitStack() as stack:
        client = await stack.enter_async_context(confkit.AsyncClient("bandwidth"))
        tasks = await stack.enter_async_context(anyio.create_task_group())

        async def meet(people: list[str]) -> None:
            async with client.connect(*people, answer_timeout=120) as meeting:
                await meeting.wait_until_ended()

        tasks.start_soon(meet, THERE)
        tasks.start_soon(meet, AWAY)
        await anyio.sleep_forever()


def blocking() -> None:
    with (
        confkit.ending_on_signals(),
        confkit.Client("bandwidth") as client,
        client.connect(*THERE),
        client.connect(*AWAY, answer_timeout=120),
    ):
        print("nobody was away")


def threads() -> None:
    """The meetings are in other threads than the one that gets the signal."""

    def meet(client: confkit.Client, people: list[str]) -> None:
        try:
            with client.connect(*people, answer_timeout=120) as meeting:
                meeting.wait_until_ended()
        except confkit.MeetingEnded:
            pass

    with confkit.ending_on_signals(), confkit.Client("bandwidth") as client:
        for people in (THERE, AWAY):
            threading.Thread(target=meet, args=(client, people)).start()
        threading.Event().wait()


def work() -> None:
    """A job: it says which process it is in, so that this one can be told to end."""
    print(os.getpid(), flush=True)
    blocking()


def worker() -> None:
    with ProcessPoolExecutor(1) as pool:
        try:
            pool.submit(work).result()
        except BrokenProcessPool:
            print("the worker is gone", flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["asynchronous" | "beside" as name, backend]:
            anyio.run(globals()[name], backend=backend)
        case [name]:
            globals()[name]()
