"""Servers on loopback that do what goes wrong on the way to a provider, and the ways there are to connect."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from attrs import define, field

Handler = Callable[[socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@pytest.fixture(scope="module", params=["asyncio with aiohttp", "asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """The event loops, asyncio's with each of the transports that it can have."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "asyncio":
            patch.setitem(sys.modules, "aiohttp", None)
        yield request.param.partition(" ")[0]


@pytest.fixture(autouse=True)
def _no_way_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own proxies and authorities are none of these tests' business."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.delenv(name)


@define
class Server:
    """A listener that gives each connection to a handler, in a thread of its own.

    Args:
        tls: what it speaks TLS with, if it does.
    """

    handler: Handler
    tls: ssl.SSLContext | None = None
    #: The first line of every request, and its header fields.
    seen: list[str] = field(factory=list)
    _listener: socket.socket = field(init=False)
    _open: list[socket.socket] = field(factory=list, init=False)

    def __enter__(self) -> Server:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self.tls is None:
                self.handler(connection)
            else:
                with self.tls.wrap_socket(connection, server_side=True) as encrypted:
                    self.handler(encrypted)

    def request(self, connection: socket.socket) -> bytes:
        """Read one request; gives its head, which is empty where the connection was closed instead."""
        data = b""
        while b"\r\n\r\n" not in data:
            received = connection.recv(65536)
            if not received:
                return b""
            data += received
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += connection.recv(65536)
        self.seen.append(head.decode("latin-1"))
        return head


def reset(connection: socket.socket) -> None:
    """Close with a RST instead of a FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server: ``serve(answer, ...)`` answers each request with these bytes, or does what a function does."""
    with contextlib.ExitStack() as stack:

        def start(*answers: bytes | Handler, tls: ssl.SSLContext | None = None) -> Server:
            script = list(answers)

            def handle(connection: socket.socket) -> None:
                while server.request(connection):
                    answer = script.pop(0) if script else OK
                    if not isinstance(answer, bytes):
                        answer(connection)
                        return
                    connection.sendall(answer)

            server = stack.enter_context(Server(handle, tls))
            return server

        yield start


@pytest.fixture
def accept() -> Iterator[Callable[..., Server]]:
    """Starts a server that gives each connection to a function as it is."""
    with contextlib.ExitStack() as stack:
        yield lambda handler, tls=None: stack.enter_context(Server(handler, tls))


@define
class Authority:
    """A certificate authority of our own."""

    ca: trustme.CA
    file: Path

    def certificate(self, *names: str, expired: bool = False) -> ssl.SSLContext:
        """A server's context with a certificate for these names."""
        until = datetime.now(UTC) - timedelta(days=1) if expired else None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names, not_after=until).configure_cert(context)
        return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    ca = trustme.CA()
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    return Authority(ca, file)
