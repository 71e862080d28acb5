"""A simulator over real sockets, one in virtual time, and somebody who receives callbacks."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio
import httpx
import pytest
from attrs import define, field, frozen
from confkit_bandwidth.simulator import Running, Simulator, SimulatorOptions, application, events
from confkit_bandwidth.simulator.account import Account
from confkit_bandwidth.simulator.delivery import Delivery

FROM = "+19195551212"
TO = "+19195550101"


@define
class Line:
    """A client of a running simulator."""

    running: Running
    http: httpx.Client

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.http.get(path, params=params)

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.http.post(path, json={**(body or {}), **more})

    def read(self, path: str, **params: Any) -> Any:
        reply = self.get(path, **params)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def created(self, path: str, body: Any = None, **more: Any) -> str:
        reply = self.post(path, body, **more)
        assert reply.status_code == 201, reply.text
        assert reply.content == b""
        return reply.headers["location"].rpartition("/")[2]

    def conference(self, **more: Any) -> str:
        return self.created("conferences", {"from": FROM}, **more)

    def call(self, to: str = TO, **more: Any) -> str:
        return self.created("calls", {"from": FROM, "to": to}, **more)

    def member(self, conference: str, call: str, **more: Any) -> str:
        return self.created(f"conferences/{conference}/members", callId=call, **more)

    def joined(self, number: int, **conference: Any) -> tuple[str, list[str], list[str]]:
        """A conference with so many members: its id, the calls', the members'."""
        made = self.conference(**conference)
        calls = [self.call(f"+1919555{number:04}", conferenceId=made) for number in range(number)]
        return made, calls, [self.member(made, call) for call in calls]

    def state(self) -> Any:
        return httpx.get(f"{self.running.base_url}/_simulator/state", trust_env=False, verify=False).json()

    def control(self, what: str, body: Any) -> httpx.Response:
        return httpx.post(f"{self.running.base_url}/_simulator/{what}", json=body, trust_env=False, verify=False)


@pytest.fixture
def start() -> Iterator[Callable[..., Line]]:
    """Starts simulators on real ports."""
    with ExitStack() as stack:

        def begin(**options: Any) -> Line:
            running = stack.enter_context(Simulator(SimulatorOptions(**options)).in_thread())
            http = httpx.Client(
                base_url=f"{running.base_url}/v1/users/{running.user_id}/",
                auth=(running.token, running.secret),
                trust_env=False,
                verify=False,  # loading the authorities takes longer than a test
            )
            return Line(running, stack.enter_context(http))

        yield begin


@pytest.fixture
def line(start: Callable[..., Line]) -> Line:
    return start()


def error(reply: httpx.Response) -> tuple[int, str, str | None]:
    """Status, category and code."""
    body = reply.json()
    return reply.status_code, body["category"], body.get("code")


@frozen
class Received:
    """A callback as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def event(self) -> Any:
        return json.loads(self.content)


@define
class Receiver:
    """A server for callbacks.

    ``answers`` gives the status for a path, or seconds to wait as a float.
    """

    url: str
    seen: queue.Queue[Received] = field(factory=queue.Queue)
    answers: dict[str, int | float] = field(factory=dict)
    released: threading.Event = field(factory=threading.Event)

    def next(self) -> Received:
        return self.seen.get(timeout=30)

    def event(self) -> Any:
        return self.next().event

    def until(self, event_type: str) -> Any:
        while (event := self.event())["eventType"] != event_type:
            pass
        return event


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            path = self.path.partition("?")[0]
            told.seen.put(Received(self.command, self.path, httpx.Headers(self.headers.items()), content))
            answer = told.answers.get(path, 200)
            if isinstance(answer, float):
                told.released.wait(answer)
                return
            self.send_response(answer)
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told = Receiver(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield told
        told.released.set()
        server.shutdown()
        thread.join()


@define
class Virtual:
    """A simulator without sockets, in virtual time, and the events that it has told."""

    account: Account
    http: httpx.AsyncClient
    events: list[tuple[float, Any]] = field(factory=list)

    async def created(self, path: str, **body: Any) -> str:
        reply = await self.http.post(path, json=body)
        assert reply.status_code == 201, reply.text
        return reply.headers["location"].rpartition("/")[2]

    def named(self, event_type: str) -> list[tuple[float, Any]]:
        return [(at, event) for at, event in self.events if event["eventType"] == event_type]


@asynccontextmanager
async def virtually(**options: Any) -> AsyncIterator[Virtual]:
    """A simulator whose clock is anyio's; its callbacks for http://127.0.0.1/ end up in ``events``."""
    chosen = SimulatorOptions(**options)
    started = anyio.current_time()

    def receive(request: httpx.Request) -> httpx.Response:
        virtual.events.append((anyio.current_time() - started, json.loads(request.content)))
        return httpx.Response(200)

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(receive)) as callbacks,
        anyio.create_task_group() as tasks,
    ):
        delivery = Delivery(callbacks, tasks, chosen.callbacks, seed=chosen.seed, now=lambda: account.exchange.now())
        account = Account(chosen, base_url="http://127.0.0.1", delivery=delivery, tasks=tasks, observe=events.tell)
        tasks.start_soon(account.keep_up)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(application(account)),
            base_url=f"http://127.0.0.1/v1/users/{account.user_id}/",
            auth=(account.token, account.secret),
        ) as http:
            virtual = Virtual(account, http)
            yield virtual
        tasks.cancel_scope.cancel()
