"""How one request gets onto the wire: straight to a transport of httpx, not through its client.

The client would add redirects, cookies, challenges and a log line that holds the URL; none of them is wanted, and
together they take a seventh of the processor time of a request. A transport sends a request once and knows no more.

httpx is loaded where it is used: ``import confkit`` must not load it.
"""

from __future__ import annotations

import base64
import contextlib
import ssl
import sys
import warnings
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import timedelta
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

import anyio
import anyio.abc
from anyio.streams.tls import TLSStream
from attrs import define

from confkit.provider.route import PORTS, Route
from confkit.provider.settings import Secret

if TYPE_CHECKING:
    import httpx

#: Idle connections are dropped before servers commonly drop them (after 5 s), because a request that meets a
#: closing connection is one whose outcome nobody knows.
_KEEPALIVE_SECONDS: Final = 3.0
_CONNECTIONS: Final = 100
#: aiohttp's switch for sending again by itself.
_RESENDING: Final = "_retry_connection"


def load() -> None:
    """Import what opening a transport needs.

    Warns:
        RuntimeWarning: the installed aiohttp cannot be used.
    """
    import_module("httpx")
    with contextlib.suppress(ImportError):
        aiohttp: Any = import_module("aiohttp")
        import_module("httpx_aiohttp")
        if not _can_send_once(aiohttp):
            warnings.warn(
                f"aiohttp {aiohttp.__version__} sends requests again by itself and cannot be told not to, so confkit "
                "connects without it, which takes more processor time; confkit[fast] names the versions that can",
                RuntimeWarning,
                stacklevel=2,
            )


def _can_send_once(aiohttp: Any) -> bool:
    """Whether it can be kept from sending GET, PUT and DELETE again by itself; the switch is not public."""
    return _RESENDING in getattr(aiohttp.ClientSession, "ATTRS", ()) or hasattr(aiohttp.ClientSession, _RESENDING)


def opened(route: Route) -> httpx.AsyncBaseTransport:
    """A pool of connections to one host, in the running event loop."""
    import httpx

    # A context that knows no authorities trusts nobody.
    verify = route.trust or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if route.proxy is None and (fast := _fast(verify)) is not None:
        return fast
    limits = httpx.Limits(
        max_connections=_CONNECTIONS,
        max_keepalive_connections=_CONNECTIONS,
        keepalive_expiry=_KEEPALIVE_SECONDS,
    )
    proxy: Secret[httpx.Proxy | None] = Secret(None)
    if route.proxy is not None:
        encrypted = route.proxy.reveal().startswith("https:")
        proxy = Secret(httpx.Proxy(route.proxy.reveal(), ssl_context=route.trust if encrypted else None))
    return httpx.AsyncHTTPTransport(verify=verify, limits=limits, proxy=proxy.reveal())


def _fast(verify: ssl.SSLContext) -> httpx.AsyncBaseTransport | None:
    """aiohttp's connections under httpx's interface, a quarter of the CPU time, where they can be had; not by trio."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        return None
    try:
        aiohttp: Any = import_module("aiohttp")
        httpx_aiohttp: Any = import_module("httpx_aiohttp")
    except ImportError:
        return None
    if not _can_send_once(aiohttp):
        return None
    trace = aiohttp.TraceConfig(trace_config_ctx_factory=_progress)
    trace.on_request_headers_sent.append(_sends_to_the_host)
    connector = aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_KEEPALIVE_SECONDS, ssl=verify)
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[trace])
    setattr(session, _RESENDING, False)
    transport: httpx.AsyncBaseTransport = httpx_aiohttp.AiohttpTransport(client=session, verify=verify)
    return transport


def _progress(trace_request_ctx: object = None) -> Progress | None:
    del trace_request_ctx
    return _under_way.get(None)


async def _sends_to_the_host(session: object, progress: Progress | None, params: object) -> None:
    del session, params
    if progress is not None:
        progress.sent = True


class ProxyError(Exception):
    """A proxy makes no tunnel; the status is first in its text, as in httpcore's of this name."""


async def connected(route: Route, url: str, progress: Progress) -> anyio.abc.ByteStream:
    """A connection to the host of a URL, for what is not a request; encrypted where the URL says so.

    Over it, the client speaks first.

    Raises:
        OSError, anyio.BrokenResourceError, anyio.EndOfStream, ProxyError: none came about.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    if route.proxy is None:
        stream: anyio.abc.ByteStream = await anyio.connect_tcp(host, port)
    else:
        stream = await _tunnel(route, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        progress.tunnelled = True
    return await _encrypted(stream, host, route.trust) if parts.scheme == "https" else stream


async def _encrypted(stream: anyio.abc.ByteStream, host: str, trust: ssl.SSLContext | None) -> anyio.abc.ByteStream:
    try:
        return await TLSStream.wrap(stream, server_side=False, hostname=host, ssl_context=trust)
    except BaseException:
        await anyio.aclose_forcefully(stream)
        raise


async def _tunnel(route: Route, target: str) -> anyio.abc.ByteStream:
    """Ask the proxy for a connection to a host and port (RFC 9110 section 9.3.6)."""
    assert route.proxy is not None
    proxy = Secret(urlsplit(route.proxy.reveal()))
    scheme, host = proxy.reveal().scheme, proxy.reveal().hostname or ""
    if scheme not in ("http", "https"):
        raise ProxyError("only requests go through a SOCKS proxy")
    stream: anyio.abc.ByteStream = await anyio.connect_tcp(host, proxy.reveal().port or PORTS[scheme])
    if scheme == "https":
        stream = await _encrypted(stream, host, route.trust)
    try:
        ask = Secret(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n".encode() + _login(proxy).reveal() + b"\r\n")
        await stream.send(ask.reveal())
        head = b""
        while b"\r\n\r\n" not in head and len(head) < 65536:
            head += await stream.receive()
    except BaseException:
        await anyio.aclose_forcefully(stream)
        raise
    status = head.split(maxsplit=2)[1:2]
    if not head.startswith(b"HTTP/1.") or status[0][:1] != b"2":
        await anyio.aclose_forcefully(stream)
        raise ProxyError(status[0].decode("latin-1") if head.startswith(b"HTTP/1.") else "")
    return stream


def _login(proxy: Secret[SplitResult]) -> Secret[bytes]:
    user = proxy.reveal().username
    if user is None:
        return Secret(b"")
    password = Secret(unquote(proxy.reveal().password or ""))
    credentials = Secret(base64.b64encode(f"{unquote(user)}:{password.reveal()}".encode()).decode())
    return Secret(f"Proxy-Authorization: Basic {credentials.reveal()}\r\n".encode())


def phases(timeout: timedelta) -> dict[str, float | None]:
    """httpx's ``timeout`` extension: connecting may take most of the time but not all, so that its failure is seen
    for what it is."""
    connecting = 0.9 * timeout.total_seconds()
    return {"connect": connecting, "pool": connecting, "read": None, "write": None}


@define
class Progress:
    """How far a request got: told by httpcore (its ``trace`` extension) and by aiohttp (its tracing).

    Args:
        told: whether whoever sends the request tells; what has not been told then has not happened.
        sent: its first byte may have left.
        tunnelled: a proxy has made the tunnel to the host, or the proxy is not one that makes any.
    """

    told: bool = False
    sent: bool = False
    tunnelled: bool = False

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        self.told = True
        # The proxy is asked for its tunnel by a request too, which is none of ours.
        connect = getattr(info.get("request"), "method", b"") == b"CONNECT"
        if event.endswith("send_request_headers.started") and not connect:
            self.sent = True
        if event.startswith("proxy.") or event.endswith("setup_socks5_connection.complete"):
            self.tunnelled = True

    def follow(self) -> None:
        """Be told by aiohttp of the request that the running task makes next."""
        _under_way.set(self)


_under_way: ContextVar[Progress] = ContextVar("confkit_request_under_way")


def certainly_not_sent(failure: Exception, progress: Progress) -> bool:
    """Whether a request without an answer never left: no connection came about."""
    import httpx

    if isinstance(failure, httpx.ProxyError):  # the proxy made no tunnel
        return True
    if progress.told:
        return not progress.sent
    before = (
        httpx.ConnectError,
        httpx.ConnectTimeout,
        httpx.PoolTimeout,
        httpx.UnsupportedProtocol,
    )
    return isinstance(failure, before)


@cache
def whole() -> Any:
    """The class of a request's body as one piece; made when httpx is there.

    httpx's own is an async generator, which a cancelled request leaves unfinished, of which trio warns.
    """
    import httpx

    class Whole(httpx.AsyncByteStream):
        def __init__(self, content: bytes) -> None:
            self._left = [content]

        def __aiter__(self) -> Whole:
            return self

        async def __anext__(self) -> bytes:
            if not self._left:
                raise StopAsyncIteration
            return self._left.pop()

    return Whole
