"""The webhook receiver at the command line: a server of its own, for as long as the meeting lasts."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Self

import anyio

from confkit.ingest.webhooks import Receive, Scope, Send
from confkit.models.errors import PluginError

LOOPBACK: Final = "127.0.0.1"
#: How long requests that are being answered may take once the meeting is over, in seconds.
_LAST_REPLIES: Final = 2


class Callbacks:
    """A port at which the provider's callbacks are awaited, until the context is left; its loop is asyncio's.

    Args:
        port: 0 lets the system choose.
        public_url: where the provider reaches the port; by default at its own address.

    Attributes:
        taken: how many callbacks were accepted.

    Raises:
        PluginError: there is no server to receive with.
        OSError: the port cannot be had.
    """

    def __init__(self, host: str = LOOPBACK, port: int = 0, *, public_url: str | None = None) -> None:
        try:
            import uvicorn
        except ImportError:
            raise PluginError("receiving webhooks needs uvicorn: pip install uvicorn") from None
        self._uvicorn = uvicorn
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family)
        # Connections inherit it; with Nagle's algorithm (RFC 896) replies can come 40 ms late.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.public_url = public_url or f"http://{host}:{self._listener.getsockname()[1]}"
        self.taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    @asynccontextmanager
    async def serving(self, receiver: Any) -> AsyncIterator[None]:
        """Hand the requests to an ASGI application until the context is left."""

        async def counting(scope: Scope, receive: Receive, send: Send) -> None:
            async def noting(message: Any) -> None:
                if message["type"] == "http.response.start" and 200 <= message["status"] < 300:
                    self.taken += 1
                await send(message)

            await receiver(scope, receive, noting)

        server = self._server(counting)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._serve, server)
            try:
                yield
            finally:
                server.should_exit = True

    async def _serve(self, server: Any) -> None:
        with anyio.CancelScope(shield=True):  # it is asked to stop, so that it closes what it has opened
            await server.serve([self._listener])

    def _server(self, application: Any) -> Any:
        class Guest(self._uvicorn.Server):  # type: ignore[name-defined,misc]
            """A server that leaves the signals to those who began the meeting."""

            @contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield

        return Guest(
            self._uvicorn.Config(
                application,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_LAST_REPLIES,
            )
        )


def host_and_port(text: str) -> tuple[str, int]:
    """Read ``127.0.0.1:8080``, ``[::1]:8080`` or ``:8080``, which is every address.

    Raises:
        ValueError: it is none of these.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"HOST:PORT, such as {LOOPBACK}:8080")
    return host.removeprefix("[").removesuffix("]"), int(port)
