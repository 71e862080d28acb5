"""How one request gets onto the wire: straight to a transport of httpx, not through its client.

The client would add redirects, cookies, challenges and a log line that holds the URL; none of them is wanted, and
together they take a seventh of the processor time of a request. A transport sends a request once and knows no more.

httpx is loaded where it is used: ``import confkit`` must not load it.
"""

from __future__ import annotations

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

from attrs import define

from confkit.route import Route
from confkit.settings import Secret

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
