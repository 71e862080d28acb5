"""The event stream against a server of our own: what arrives, what breaks, and what is made of silence."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.abc
import pytest
from confkit_asterisk.stream import EventStream, StreamLost
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from confkit.provider import ErrorTable, Http, Secret

pytestmark = pytest.mark.anyio
Script = Callable[["Server"], Awaitable[None]]


class Server:
    """One WebSocket at the server's side."""

    def __init__(self, socket: anyio.abc.SocketStream) -> None:
        self.socket = socket
        self.protocol = ServerProtocol()
        self.request: Request | None = None

    async def read(self) -> list[Any]:
        self.protocol.receive_data(await self.socket.receive())
        found = self.protocol.events_received()
        await self.flush()
        return found

    async def flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                await self.socket.send(data)

    async def accept(self) -> None:
        while self.request is None:
            for event in await self.read():
                if isinstance(event, Request):
                    self.request = event
        self.protocol.send_response(self.protocol.accept(self.request))
        await self.flush()


async def served(script: Script, tasks: anyio.abc.TaskGroup) -> str:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)

    async def handle(socket: anyio.abc.SocketStream) -> None:
        async with socket:
            await script(Server(socket))

    async def serve() -> None:
        async with listener:
            await listener.serve(handle)

    tasks.start_soon(serve)
    return f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}/ari"


async def opened(url: str, quiet: float = 5.0) -> EventStream:
    login = ("confkit", "secret")
    http = Http("asterisk", url, auth=login, errors=ErrorTable())
    return await EventStream.open(http, login=Secret(login), application="app", quiet=quiet)


async def test_messages_whole_and_in_parts() -> None:
    async def script(server: Server) -> None:
        await server.accept()
        assert server.request is not None
        assert server.request.path == "/ari/events?app=app"
        credentials = base64.b64decode(server.request.headers["Authorization"].removeprefix("Basic "))
        assert credentials == b"confkit:secret"
        server.protocol.send_text(b'{"type": "One"}')
        server.protocol.send_text(b'{"type": ', fin=False)
        server.protocol.send_continuation(b'"Two"}', fin=True)
        server.protocol.send_text(b"no JSON")
        server.protocol.send_text(b'{"type": "Three"}')
        await server.flush()

    async with anyio.create_task_group() as tasks:
        events = await opened(await served(script, tasks))
        assert [(await events.receive())["type"] for _ in range(3)] == ["One", "Two", "Three"]
        with pytest.raises(StreamLost, match="closed"):
            await events.receive()
        await events.aclose()
        tasks.cancel_scope.cancel()


async def test_wrong_credentials() -> None:
    async def script(server: Server) -> None:
        await server.socket.receive()
        await server.socket.send(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")

    async with anyio.create_task_group() as tasks:
        url = await served(script, tasks)
        with pytest.raises(StreamLost) as caught:
            await opened(url)
        assert caught.value.status == 401
        assert "secret" not in str(caught.value)
        tasks.cancel_scope.cancel()


async def test_something_else_answers() -> None:
    async def script(server: Server) -> None:
        await server.socket.receive()
        await server.socket.send(b"220 mail.example.com ESMTP\r\n")

    async with anyio.create_task_group() as tasks:
        url = await served(script, tasks)
        with pytest.raises(StreamLost, match="base_url"):
            await opened(url)
        tasks.cancel_scope.cancel()


async def test_nobody_listens() -> None:
    with anyio.fail_after(5):
        async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener:
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
    with pytest.raises(StreamLost) as caught:
        await opened(f"http://127.0.0.1:{port}/ari")
    assert caught.value.refused


@pytest.mark.parametrize("alive", [True, False])
async def test_silence(alive: bool) -> None:
    asked = anyio.Event()

    async def script(server: Server) -> None:
        await server.accept()
        while not asked.is_set():
            data = await server.socket.receive()
            if alive:
                server.protocol.receive_data(data)
                frames = server.protocol.events_received()
                if any(isinstance(frame, Frame) and frame.opcode is Opcode.PING for frame in frames):
                    asked.set()
        await server.flush()
        server.protocol.send_text(b'{"type": "One"}')
        await server.flush()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        events = await opened(await served(script, tasks), quiet=0.1)
        if alive:
            assert (await events.receive())["type"] == "One"
            assert asked.is_set()
        else:
            with pytest.raises(StreamLost, match="sign of life"):
                await events.receive()
        await events.aclose()
        tasks.cancel_scope.cancel()
