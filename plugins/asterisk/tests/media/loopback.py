"""Between the provider and the engine: a proxy that spoils what passes, and the harness of the conformance suite."""

from __future__ import annotations

import re
import time
import urllib.error
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import anyio
import anyio.abc
import confkit_asterisk
from anyio.from_thread import BlockingPortal, start_blocking_portal
from attrs import define, field
from confkit_asterisk.server import Engine
from confkit_asterisk.softphone import Manner, Phones

from confkit.provider import Settings
from confkit.testing.conformance import Fault, Harness, Reaction


@define
class RequestFault:
    """What becomes of requests.

    Args:
        matches: the start of the request line.
        reply: sent in the place of the engine's reply; without it the connection is closed.
        reaches: whether the engine gets the request.
        times: how many requests it hits.
    """

    matches: re.Pattern[bytes]
    reply: bytes | None = None
    reaches: bool = True
    times: int = 1


@define
class Proxy:
    """Passes HTTP and WebSockets on.

    Attributes:
        down: connections are closed as soon as they come.
        delay: seconds by which every piece of a reply is late.
        hit: the request lines that ran into a fault.
        sent: how many requests that change something have been sent.
        streams: how many WebSockets have been opened.
    """

    port: int
    engine_port: int
    down: bool = False
    delay: float = 0.0
    faults: list[RequestFault] = field(factory=list)
    hit: list[bytes] = field(factory=list)
    sent: int = 0
    streams: int = 0
    _open: set[anyio.abc.SocketStream] = field(factory=set)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fail(self, pattern: str, *, reply: bytes | None = None, reaches: bool = True, times: int = 1) -> None:
        """Spoil the next requests whose request line matches."""
        self.faults.append(RequestFault(re.compile(pattern.encode()), reply, reaches, times))

    async def cut(self) -> None:
        """Close every connection, and let none through until :attr:`down` is ``False``."""
        self.down = True
        for stream in list(self._open):
            await anyio.aclose_forcefully(stream)

    async def serve(self, client: anyio.abc.SocketStream) -> None:
        if self.down:
            await anyio.aclose_forcefully(client)
            return
        server = await anyio.connect_tcp("127.0.0.1", self.engine_port)
        self._open |= {client, server}
        faults: list[RequestFault] = []
        try:
            async with client, server, anyio.create_task_group() as tasks:
                tasks.start_soon(self._requests, client, server, faults, tasks)
                tasks.start_soon(self._replies, server, client, faults, tasks)
        finally:
            self._open -= {client, server}

    async def _requests(
        self,
        client: anyio.abc.SocketStream,
        server: anyio.abc.SocketStream,
        faults: list[RequestFault],
        tasks: anyio.abc.TaskGroup,
    ) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            while True:
                data = await client.receive()
                self.sent += re.match(rb"(POST|PUT|DELETE) ", data) is not None
                if (fault := self._fault(data)) is not None:
                    if not fault.reaches:
                        await client.send(fault.reply or b"")
                        break
                    faults.append(fault)
                await server.send(data)
        tasks.cancel_scope.cancel()

    async def _replies(
        self,
        server: anyio.abc.SocketStream,
        client: anyio.abc.SocketStream,
        faults: list[RequestFault],
        tasks: anyio.abc.TaskGroup,
    ) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            while True:
                data = await server.receive()
                self.streams += data.startswith(b"HTTP/1.1 101 ")
                await anyio.sleep(self.delay)
                if faults:
                    await client.send(faults[0].reply or b"")
                    break
                await client.send(data)
        tasks.cancel_scope.cancel()

    def _fault(self, data: bytes) -> RequestFault | None:
        for fault in self.faults:
            if fault.times and fault.matches.match(data):
                fault.times -= 1
                self.hit.append(data.split(b"\r\n")[0])
                return fault
        return None


@asynccontextmanager
async def before(engine: Engine) -> AsyncIterator[Proxy]:
    """A proxy before an engine."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    made = Proxy(port=port, engine_port=int(engine.base_url.rpartition(":")[2]))
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, made.serve)
        yield made
        await made.cut()
        await anyio.sleep(0.01)  # who was accepted just now is sent away by a handler
        tasks.cancel_scope.cancel()


def http(status: int, body: bytes) -> bytes:
    """A reply."""
    head = f"HTTP/1.1 {status} Whatever\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return head.encode() + body


_REQUESTS: Final = {
    "create_call": "POST /ari/channels/[^/ ]+ ",
    "create_conference": "POST /ari/bridges",
    "create_bridge": "POST /ari/bridges/[^/ ]+/addChannel",
    "add_member": "POST /ari/bridges/[^/ ]+/addChannel",
    "fetch": "GET /ari/channels/",
}
_FAULTS: Final[Mapping[Fault, Mapping[str, Any]]] = {
    Fault.LOST_REPLY: {},
    Fault.GARBLED: {"reply": http(200, b"<html>")},
    Fault.SERVER_ERROR: {"reply": http(500, b'{"message": "Internal Server Error"}'), "reaches": False},
    Fault.FORBIDDEN: {"reply": http(403, b'{"message": "Write access denied"}'), "reaches": False},
}
_MANNERS: Final = {
    Reaction.ANSWERS: Manner.ANSWER,
    Reaction.BUSY: Manner.BUSY,
    Reaction.REJECTS: Manner.DECLINE,
    Reaction.NEVER_ANSWERS: Manner.RING,
}


class AsteriskHarness(Harness):
    """The real engine, with telephones of its own for every test, in a thread of their own."""

    name = "asterisk"
    module = confkit_asterisk
    lacks = frozenset(Fault) - {Fault.UNREACHABLE, Fault.BAD_CREDENTIALS, *_FAULTS}

    @classmethod
    def declared(cls) -> object:
        keywords = {"user": "confkit", "password": "unused"}
        return confkit_asterisk.confkit_create_provider(Settings(provider=cls.name, keywords=keywords, environ={}))

    def __init__(self, engine: Engine, portal: BlockingPortal, phones: Phones, proxy: Proxy) -> None:
        self._engine = engine
        self._portal = portal
        self._phones = phones
        self._proxy = proxy
        self.settings: dict[str, Any] = engine.settings(numbers_at=phones.port) | {"base_url": proxy.base_url}
        self.secrets = (self.settings["password"],)

    def provider(self) -> object:
        made = super().provider()
        self.settings["application"] = "another"  # each client has one of its own; incoming calls are the first's
        return made

    def address(self, number: int) -> str:
        address = super().address(number)
        if not any(phone.user == address for phone in self._phones.connected()):
            self._portal.call(self._phones.add, address)
        return address

    def script(self, address: str, reaction: Reaction) -> None:
        self._phone(address).manner = _MANNERS[reaction]

    def hang_up(self, address: str) -> None:
        self._portal.call(self._phone(address).hang_up)

    def rings(self, address: str) -> int:
        phone = self._phone(address)
        for _ in range(20):  # the engine answers the request before it sends the invitation
            if phone.rang:
                break
            time.sleep(0.01)
        return int(phone.rang)

    def calls_up(self) -> int:
        return len(self._engine.get("channels"))

    def mutations(self) -> int:
        return self._proxy.sent

    def provoke(self, fault: Fault, operation: str) -> None:
        if fault is Fault.UNREACHABLE:
            self.settings["base_url"] = "http://127.0.0.1:9"
        elif fault is Fault.BAD_CREDENTIALS:
            self.settings["password"] = "wrong"
        else:
            self._proxy.fail(_REQUESTS[operation], **_FAULTS[fault])

    def call_in(self, caller: str) -> str | None:
        if not self._proxy.streams:
            # Nobody listens yet, so the engine would hang up on the caller. It cannot be asked: it lists an
            # application for some seconds after the last one who listened has gone.
            return None
        before = {each["id"] for each in self._engine.get("channels")}
        phone = self._phone(caller)
        port = self._engine.sip_port
        self._portal.call(phone.call, f"sip:{self.caller_id}@127.0.0.1:{port}", ("127.0.0.1", port))
        for _ in range(200):
            for each in self._engine.get("channels"):
                if each["id"] not in before and each["dialplan"]["app_name"] == "Stasis":
                    return str(each["id"])
        return None

    def _phone(self, address: str) -> Any:
        return next(phone for phone in self._phones.connected() if phone.user == address)


@contextmanager
def harness_of(engine: Engine, kind: type[AsteriskHarness] = AsteriskHarness) -> Iterator[AsteriskHarness]:
    """A harness; afterwards nothing is up at the engine."""
    with start_blocking_portal() as portal:
        with (
            portal.wrap_async_context_manager(_phones()) as phones,
            portal.wrap_async_context_manager(before(engine)) as proxy,
        ):
            yield kind(engine, portal, phones, proxy)
        clear(engine)


def clear(engine: Engine) -> None:
    """End whatever is up at the engine."""
    for kind in ("channels", "bridges"):
        for each in engine.get(kind):
            with suppress(urllib.error.HTTPError):
                engine.delete(f"{kind}/{each['id']}")


@asynccontextmanager
async def _phones() -> AsyncIterator[Phones]:
    async with Phones() as phones:
        yield phones
