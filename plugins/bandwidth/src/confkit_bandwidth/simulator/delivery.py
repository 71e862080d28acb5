"""Callbacks on their way: one try, then one at the fallback URL (``callbacks.md``), and mishaps on purpose.

The simulator only calls back to loopback addresses. A test that is given a production callback URL by mistake must
not reach it; there is no option to the contrary.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import random
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import anyio
import httpx
from anyio.abc import TaskGroup
from attrs import define, frozen

from confkit_bandwidth.simulator.fields import stamp
from confkit_bandwidth.simulator.options import CallbackFaults

_log = logging.getLogger(__name__)

USER_AGENT: Final = "BandwidthAPI/v1 (2020-03-27 00:00:00 UTC)"
DEFAULT_TIMEOUT_MS: Final = 10_000


@define(kw_only=True)
class CallbackSettings:
    """Where a resource's events go; an empty URL means nowhere.

    Args:
        timeout_ms: milliseconds, as on the wire; ``None`` where the client did not say.
    """

    url: str | None = None
    method: str | None = None
    timeout_ms: int | None = None
    fallback_url: str | None = None
    tag: str | None = None


@frozen(kw_only=True)
class Callback:
    """One event for one URL, with the settings as they were when it happened."""

    resource: str
    event: Mapping[str, Any]
    url: str
    method: str
    timeout: float
    fallback_url: str | None

    @classmethod
    def of(cls, resource: str, event: Mapping[str, Any], settings: CallbackSettings) -> Callback | None:
        """The callback for an event, or ``None`` where nobody is to be called back."""
        if not settings.url:
            return None
        return cls(
            resource=resource,
            event=event,
            url=settings.url,
            method=(settings.method or "post").upper(),
            timeout=(settings.timeout_ms or DEFAULT_TIMEOUT_MS) / 1000,
            fallback_url=settings.fallback_url or None,
        )


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine by ``localhost`` or a loopback address; other names are not looked up."""
    try:
        host = httpx.URL(url).host  # as the client that connects reads it: no other parser may disagree
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except (httpx.InvalidURL, ValueError):
        return False


@define
class _Line:
    """What waits for one resource: its events are sent one after the other, in the order in which they happened."""

    waiting: deque[Callback]
    held: Callback | None = None
    arrived: anyio.Event | None = None

    def release(self) -> None:
        """What was held back goes to the end."""
        if self.held is not None:
            self.waiting.append(self.held)
            self.held = None


class Delivery:
    """Sends callbacks.

    Args:
        tasks: where the sending runs.
        faults: what goes wrong, by chance.
        seed: of the chance.
        now: the date and time, for the log.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        tasks: TaskGroup,
        faults: CallbackFaults,
        *,
        seed: int,
        now: Callable[[], datetime],
    ) -> None:
        #: What became of the last callbacks: event, resource, outcome, time; never a URL, which holds secrets.
        self.log: deque[dict[str, Any]] = deque(maxlen=10_000)
        self._http = http
        self._tasks = tasks
        self._faults = faults
        self._random = random.Random(f"callbacks {seed}")
        self._now = now
        self._lines: dict[str, _Line] = {}

    def send(self, callback: Callback) -> None:
        """Send a callback soon, or let happen to it what the faults say."""
        draw = self._random.random
        lost, twice, delayed, swapped = draw(), draw(), draw(), draw()
        lateness = draw() * self._faults.delay_seconds
        if lost < self._faults.lose:
            self._note(callback, "lost")
            return
        copies = [callback] * (2 if twice < self._faults.duplicate else 1)
        if delayed < self._faults.delay:
            self._tasks.start_soon(self._send_late, copies, lateness)
            return
        line = self._lines.get(callback.resource)
        if line is None:
            line = self._lines[callback.resource] = _Line(deque())
            self._tasks.start_soon(self._work, callback.resource, line)
        if swapped < self._faults.reorder and line.held is None:
            line.held = callback
        else:
            line.waiting.extend(copies)
            line.release()
        if line.arrived is not None:
            line.arrived.set()

    async def _work(self, resource: str, line: _Line) -> None:
        while True:
            if line.waiting:
                await self._deliver(line.waiting.popleft())
            elif line.held is None:
                del self._lines[resource]
                return
            else:
                line.arrived = anyio.Event()
                with anyio.move_on_after(self._faults.delay_seconds) as scope:
                    await line.arrived.wait()
                line.arrived = None
                if scope.cancelled_caught:
                    line.release()

    async def _send_late(self, copies: list[Callback], lateness: float) -> None:
        await anyio.sleep(lateness)
        for callback in copies:
            await self._deliver(callback)

    async def _deliver(self, callback: Callback) -> None:
        outcome = await self._attempt(callback, callback.url)
        if outcome != "delivered" and callback.fallback_url:
            self._note(callback, outcome)
            outcome = await self._attempt(callback, callback.fallback_url)
            if outcome == "delivered":
                outcome = "delivered to the fallback"
        self._note(callback, outcome)

    async def _attempt(self, callback: Callback, url: str) -> str:
        if not is_loopback(url):
            _log.warning(
                "%s for %s is not sent: the simulator only calls back to loopback addresses",
                callback.event["eventType"],
                callback.resource,
            )
            return "refused: not a loopback address"
        try:
            with anyio.fail_after(callback.timeout):
                whole = httpx.URL(url)
                # Said once: aiohttp refuses a request with an Authorization header and credentials in its URL.
                auth = httpx.BasicAuth(whole.username, whole.password) if whole.userinfo else httpx.USE_CLIENT_DEFAULT
                target = whole.copy_with(userinfo=b"")
                if callback.method == "GET":
                    target = target.copy_merge_params(_as_query(callback.event))
                    reply = await self._http.get(target, auth=auth)
                else:
                    reply = await self._http.post(
                        target,
                        auth=auth,
                        content=json.dumps(callback.event),
                        headers={"Content-Type": "application/json; charset=utf-8"},
                    )
        except TimeoutError:
            return "timed out"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return f"failed: {type(error).__name__}"
        return "delivered" if reply.is_success else f"failed: HTTP {reply.status_code}"

    def _note(self, callback: Callback, outcome: str) -> None:
        self.log.append(
            {
                "event": callback.event["eventType"],
                "resource": callback.resource,
                "outcome": outcome,
                "at": stamp(self._now()),
            }
        )


def _as_query(event: Mapping[str, Any]) -> dict[str, str]:
    """An event as query parameters; what is not a string goes as JSON text (``get-sms.md``)."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in event.items()}


def callback_client() -> httpx.AsyncClient:
    """The client for callbacks.

    No proxy of the environment and no redirect may lead it off this machine. Certificates are not verified: nobody
    certifies a loopback address, and loading the authorities takes longer than starting everything else. Where aiohttp
    is installed its connections are used: httpx's own take so much time that the replies to requests come late.
    """
    return httpx.AsyncClient(
        headers={"User-Agent": USER_AGENT},
        timeout=None,
        trust_env=False,
        follow_redirects=False,
        verify=False,
        transport=_fast_transport(),
    )


def _fast_transport() -> httpx.AsyncBaseTransport | None:
    try:
        import aiohttp
        import httpx_aiohttp
    except ImportError:
        return None

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(ssl=False, keepalive_timeout=3)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    return httpx_aiohttp.AiohttpTransport(client=session)
