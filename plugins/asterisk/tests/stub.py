"""An ARI whose replies are scripted, with its stream of events."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
from attrs import define, field
from confkit_asterisk.provider import AsteriskProvider
from confkit_asterisk.settings import AsteriskSettings
from websockets.http11 import Request
from websockets.server import ServerProtocol

from confkit.provider import Event


@define
class Stub:
    """Answers each request with the next scripted reply, or 204; what it says has happened, it tells on its stream.

    A snoop channel is in the application, and a recording runs, as soon as it has been asked for.

    Attributes:
        seen: the requests, in order: method, target, body.
        script: the replies to come: status and body.
        streams: how many streams have been opened.
        held: what changes something is answered when this is set.
    """

    port: int = 0
    seen: list[tuple[str, str, Any]] = field(factory=list)
    script: list[tuple[int, Any]] = field(factory=list)
    streams: int = 0
    held: anyio.Event | None = None
    _listening: dict[ServerProtocol, anyio.abc.SocketStream] = field(factory=dict)
    _up: anyio.CancelScope | None = None
    _down: anyio.Event = field(factory=anyio.Event)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def changes(self) -> list[tuple[str, str]]:
        """The requests that change something."""
        return [(method, target) for method, target, _ in self.seen if method != "GET"]

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Listen, at the same port as before, until :meth:`kill`."""
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=self.port)
        self.port = listener.extra(anyio.abc.SocketAttribute.local_port)
        self._down = anyio.Event()
        with anyio.CancelScope() as self._up:
            async with listener:
                task_status.started()
                await listener.serve(self._serve)
        self._down.set()

    async def kill(self) -> None:
        """End as a process does that is killed: every connection is closed, and none is accepted."""
        assert self._up is not None
        self._up.cancel()
        await self._down.wait()

    async def tell(self, kind: str, **payload: Any) -> None:
        """Send an event to everyone who listens."""
        text = json.dumps({"type": kind, "timestamp": "2026-11-23T09:09:54.652+0000", **payload})
        for protocol, stream in self._listening.items():
            protocol.send_text(text.encode())
            await stream.send(b"".join(protocol.data_to_send()))

    async def _serve(self, stream: anyio.abc.SocketStream) -> None:
        async with stream:
            data = b""
            while True:
                try:
                    data += await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return
                head, found, content = data.partition(b"\r\n\r\n")
                lines = head.decode().lower().split("\r\n")
                length = next((int(line[16:]) for line in lines if line.startswith("content-length: ")), 0)
                if not found or len(content) < length:
                    continue
                if head.startswith(b"GET /ari/events?"):
                    await self._stream(data, stream)
                    return
                await self._answer(head, content, stream)
                data = b""

    async def _answer(self, head: bytes, content: bytes, stream: anyio.abc.SocketStream) -> None:
        method, target, _ = head.decode().split("\r\n")[0].split()
        given: Any = json.loads(content) if content else None
        self.seen.append((method, target, given))
        if method != "GET" and self.held is not None:
            await self.held.wait()
        status, body = self.script.pop(0) if self.script else (204, None)
        payload = b"" if body is None else json.dumps(body).encode()
        reply = f"HTTP/1.1 {status} Whatever\r\ncontent-length: {len(payload)}\r\n\r\n".encode()
        await stream.send(reply + payload)
        if (snoop := re.fullmatch(r"/ari/channels/[^/]+/snoop/([^/]+)", target)) is not None:
            await self.tell("StasisStart", args=[], channel={"id": snoop[1], "name": "Snoop/call-00000000"})
        elif target.endswith("/record"):
            await self.tell("RecordingStarted", recording={"name": given["name"]})

    async def _stream(self, data: bytes, stream: anyio.abc.SocketStream) -> None:
        protocol = ServerProtocol()
        protocol.receive_data(data)
        (request,) = protocol.events_received()
        assert isinstance(request, Request)
        protocol.send_response(protocol.accept(request))
        await stream.send(b"".join(protocol.data_to_send()))
        self.streams += 1
        self._listening[protocol] = stream
        try:
            while True:
                await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            pass
        finally:
            del self._listening[protocol]


@define
class Desk:
    """A provider before a stub, with what it has told."""

    stub: Stub
    provider: AsteriskProvider
    told: list[Event]
    tasks: anyio.abc.TaskGroup

    async def until(self, condition: Any) -> None:
        with anyio.fail_after(5):
            while not condition():  # noqa: ASYNC110 - a stub tells nobody
                await anyio.sleep(0.01)

    async def tell(self, kind: str, **payload: Any) -> None:
        """Let something happen, and wait until the provider has told of it."""
        before = len(self.told)
        await self.stub.tell(kind, **payload)
        await self.until(lambda: len(self.told) > before)


@asynccontextmanager
async def at_desk(**settings: Any) -> AsyncIterator[Desk]:
    """A provider that listens to a stub."""
    stub = Stub()
    told: list[Event] = []
    async with anyio.create_task_group() as tasks:
        await tasks.start(stub.run)
        given: Mapping[str, Any] = {"user": "u", "password": "p", "base_url": stub.base_url} | settings
        provider = AsteriskProvider(AsteriskSettings(**given))

        async def listen() -> None:
            while True:
                async for event in provider.events():
                    told.append(event)

        tasks.start_soon(listen)
        desk = Desk(stub, provider, told, tasks)
        await desk.until(lambda: stub.streams)
        yield desk
        tasks.cancel_scope.cancel()
    await provider.aclose()
