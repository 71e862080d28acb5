"""How one request gets onto the wire: straight to a transport of httpx, not through its client.

The client would add redirects, cookies, challenges and a log line that holds the URL; none of them is wanted, and
together they take a seventh of the processor time of a request. A transport sends a request once and knows no more.

httpx is loaded where it is used: ``import confkit`` must not load it.
"""

from __future__ import annotations

import contextlib
import ssl
import sys
from datetime import timedelta
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from attrs import define

if TYPE_CHECKING:
    import httpx

#: Idle connections are dropped before servers commonly drop them (after 5 s), because a request that meets a
#: closing connection is one whose outcome nobody knows.
_KEEPALIVE_SECONDS: Final = 3.0
_CONNECTIONS: Final = 100


def load() -> None:
    """Import what opening a transport needs."""
    import_module("httpx")
    with contextlib.suppress(ImportError):
        import_module("httpx_aiohttp")


def opened(base_url: str) -> httpx.AsyncBaseTransport:
    """A pool of connections to one host, in the running event loop."""
    import httpx

    # Reading the certificate authorities takes longer than a request. Without TLS none are needed, and a context
    # that knows none trusts nobody.
    encrypted = base_url.lower().startswith("https:")
    verify = httpx.create_ssl_context() if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    proxy = proxy_for(base_url)
    if proxy is None and (fast := _fast(verify)) is not None:
        return fast
    limits = httpx.Limits(
        max_connections=_CONNECTIONS,
        max_keepalive_connections=_CONNECTIONS,
        keepalive_expiry=_KEEPALIVE_SECONDS,
    )
    return httpx.AsyncHTTPTransport(verify=verify, limits=limits, proxy=proxy)


def proxy_for(base_url: str) -> str | None:
    """The proxy that the environment names for a host: ``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY`` and the like."""
    parts = urlsplit(base_url)
    host = parts.netloc.rpartition("@")[2]
    proxies = getproxies()
    found = proxies.get(parts.scheme.lower()) or proxies.get("all")
    if not found or proxy_bypass(host):
        return None
    return found if "://" in found else f"http://{found}"


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

    def session() -> Any:
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_KEEPALIVE_SECONDS, ssl=verify)
        made = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        # It would send GET, PUT and DELETE again by itself when a connection dies; there is no public switch.
        made._retry_connection = False
        return made

    transport: httpx.AsyncBaseTransport = httpx_aiohttp.AiohttpTransport(client=session, verify=verify)
    return transport


def phases(timeout: timedelta) -> dict[str, float | None]:
    """httpx's ``timeout`` extension: connecting may take most of the time but not all, so that its failure is seen
    for what it is."""
    connecting = 0.9 * timeout.total_seconds()
    return {"connect": connecting, "pool": connecting, "read": None, "write": None}


@define
class Progress:
    """Told by httpcore how far a request got (its ``trace`` extension); other transports tell nothing."""

    told: bool = False
    sent: bool = False

    async def __call__(self, event: str, _: object) -> None:
        self.told = True
        if event.endswith("send_request_headers.started"):
            self.sent = True


def certainly_not_sent(failure: Exception, progress: Progress) -> bool:
    """Whether a request without an answer never left: no connection came about."""
    import httpx

    if isinstance(failure, httpx.ProxyError):  # the proxy made no tunnel
        return True
    if progress.told:
        return not progress.sent
    cause = failure.__cause__
    if type(cause).__module__.partition(".")[0] == "aiohttp":
        # httpx-aiohttp 0.2.0 turns every ClientConnectionError into ConnectTimeout, even a reset after the
        # request; only aiohttp's own classes tell the two apart.
        aiohttp: Any = sys.modules["aiohttp"]
        return isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
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
