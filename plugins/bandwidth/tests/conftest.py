"""A scripted HTTP server on loopback, and the provider connected to it."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import anyio
import anyio.abc
import pytest
from attrs import define, field, frozen
from confkit_bandwidth import confkit_create_provider

from confkit.provider import Settings

TOKEN, SECRET = "t-marked-token", "s-marked-secret"


@frozen
class Seen:
    """A request as it came over the wire."""

    method: str
    target: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)


@define
class Stub:
    """Answers each request with the next scripted thing, or with an empty 200."""

    base_url: str = ""
    seen: list[Seen] = field(factory=list)
    script: list[bytes | str] = field(factory=list)

    def reply(self, status: int, body: Any = None, **headers: str) -> None:
        """Answer with JSON, or with bytes as they are."""
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(content)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.script.append("\r\n".join(lines).encode() + b"\r\n\r\n" + content)

    def created(self, location: str) -> None:
        self.reply(201, location=location)

    def refuse(self, status: int, code: str | None, message: str = "no", **headers: str) -> None:
        body = {"category": "c", "message": message, "details": []} | ({"code": code} if code else {})
        self.reply(status, body, **headers)

    def lose(self, how: str) -> None:
        """``close``, ``reset`` or ``silence`` in place of a reply."""
        self.script.append(how)

    async def serve(self, stream: anyio.abc.SocketStream) -> None:
        try:
            async with stream:
                while await self._exchange(stream):
                    pass
        except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
            pass

    async def _exchange(self, stream: anyio.abc.SocketStream) -> bool:
        data = b""
        while b"\r\n\r\n" not in data:
            data += await stream.receive()
        head, _, content = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        while len(content) < int(headers.get("content-length", 0)):
            content += await stream.receive()
        method, target, _ = first.split(" ")
        self.seen.append(Seen(method, target, headers, content))
        answer = self.script.pop(0) if self.script else b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
        match answer:
            case "close":
                return False
            case "reset":
                raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            case "silence":
                await anyio.sleep_forever()
        assert isinstance(answer, bytes)
        await stream.send(answer)
        return b"connection: close" not in answer


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    server = Stub(base_url=f"http://127.0.0.1:{port}")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.serve)
        yield server
        tasks.cancel_scope.cancel()


@pytest.fixture
async def connect(stub: Stub) -> AsyncIterator[Callable[..., Any]]:
    """Makes providers connected to the stub, and closes them."""
    made: list[Any] = []

    def make(**keywords: Any) -> Any:
        given = {"user_id": "u-1", "token": TOKEN, "secret": SECRET, "base_url": stub.base_url, "limits": "off"}
        provider = confkit_create_provider(Settings(provider="bandwidth", keywords=given | keywords, environ={}))
        made.append(provider)
        return provider

    yield make
    for provider in made:
        await provider.aclose()


@pytest.fixture
def provider(connect: Callable[..., Any]) -> Any:
    return connect()
