"""The API as an ASGI application: credentials, limits and faults on the way in, JSON on the way out."""

from __future__ import annotations

import base64
import hmac
import json
import logging
import math
import time
from collections.abc import Mapping
from typing import Any, Final

import anyio
import anyio.lowlevel
from attrs import define, field
from confkit_fake.exchange import ExchangeError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from confkit_bandwidth.simulator.account import Account, LoggedRequest, refusal_for
from confkit_bandwidth.simulator.details import Reply
from confkit_bandwidth.simulator.fields import Fields, body_of, stamp
from confkit_bandwidth.simulator.operations import OPERATIONS, Operation, template_of
from confkit_bandwidth.simulator.refusals import CODES, Refusal, invalid, no_such_resource

_log = logging.getLogger(__name__)
LARGEST_BODY: Final = 1_000_000  # bytes; no limit is documented
_HTML: Final = b"<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


class Dropped(Exception):
    """The connection is to be closed without a reply."""


@define
class _Visit:
    """One request on its way through the API."""

    request: Request
    entry: LoggedRequest
    user: str | None = None
    path: list[str] = field(factory=list)
    operation: Operation | None = None
    bucket: str | None = None
    authenticated: bool = False

    @property
    def ids(self) -> list[str]:
        """The ids of the path."""
        return [] if self.path[0] == "account" else self.path[1::2]


class Api:
    """Answers everything under ``/v1``.

    Args:
        stopping: set when the server stops; whoever waits then gives up.
    """

    def __init__(self, account: Account, stopping: anyio.Event) -> None:
        self._account = account
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        entry = LoggedRequest(request.method, scope["path"], None, stamp(self._account.exchange.now()))
        self._account.requests.append(entry)
        try:
            await self._pause(self._account.options.latency / 2)
            response = await self._answer(_Visit(request, entry))
            await self._pause(self._account.options.latency / 2)
        except (Dropped, ClientDisconnect):
            await close_connection(scope)
            return
        entry.status = response.status_code
        await response(scope, receive, send)

    async def _answer(self, visit: _Visit) -> Response:
        try:
            return await self._carry_out(visit)
        except ExchangeError as error:
            return self._refused(visit, refusal_for(error))
        except Refusal as refusal:
            return self._refused(visit, refusal)
        except (Dropped, ClientDisconnect):
            raise
        except Exception:
            _log.exception("%s failed in the simulator", visit.entry.operation)
            return self._refused(visit, Refusal("internal-error", "The simulator failed", status=500))

    def _refused(self, visit: _Visit, refusal: Refusal) -> Response:
        if visit.bucket is not None and 400 <= refusal.status < 500:
            self._account.limits.give_back(visit.bucket)
        client = visit.request.client
        body = refusal.body(
            method=visit.request.method,
            path=visit.entry.path,
            remote=client.host if client else "127.0.0.1",
        )
        if visit.authenticated:
            self._account.note_error(refusal.category, refusal.code, refusal.message, body["details"])
        return json_response(refusal.status, body, refusal.headers)

    async def _carry_out(self, visit: _Visit) -> Response:
        account = self._account
        payload = await _read(visit.request)
        self._route(visit)
        fields, unreadable = _fields(visit.request, payload)
        name = visit.operation.named(fields) if visit.operation else None
        visit.entry.operation = name
        fault = account.faults.take(name) if name else None
        if fault == "refuse":
            raise Dropped
        self._authenticate(visit)
        if visit.operation is None:
            raise no_such_resource()
        if fault == "html":
            return Response(_HTML, status_code=502, media_type="text/html")
        if fault and (fault in _FAULT_CODES or fault in CODES):
            raise _on_purpose(fault)
        self._pace(visit)
        if unreadable:
            raise unreadable
        if account.switches.json_only and payload and not _is_json(visit.request):
            raise Refusal("media-not-supported", "The body must be JSON", status=415)
        if fault == "late":
            await self._pause(account.options.slow_seconds)
        account.catch_up()
        try:
            reply = visit.operation.handler(account, fields, *visit.ids)
        finally:
            account.catch_up()
        if fault == "slow":
            await self._pause(account.options.slow_seconds)
        if fault == "drop-reply":
            raise Dropped
        return self._rendered(reply, garbled=fault == "garbled")

    async def _pause(self, seconds: float) -> None:
        """Wait, but not for longer than the server lives."""
        if seconds <= 0:
            return
        with anyio.move_on_after(seconds):
            await self._stopping.wait()
            raise Dropped

    def _route(self, visit: _Visit) -> None:
        """Find the operation; a single slash at the end changes nothing."""
        match visit.entry.path.removesuffix("/").split("/"):
            case ["", "v1", "users", user, *rest]:
                visit.user, visit.path = user, rest
                visit.operation = OPERATIONS.get((visit.request.method, template_of(rest)))

    def _authenticate(self, visit: _Visit) -> None:
        scheme, _, given = visit.request.headers.get("authorization", "").partition(" ")
        expected = base64.b64encode(f"{self._account.token}:{self._account.secret}".encode())
        if scheme.lower() != "basic" or not hmac.compare_digest(given.strip().encode(), expected):
            raise Refusal(
                self._account.switches.bad_credentials_code,
                "The credentials are not valid",
                status=401,
                category="authentication",
                headers={"WWW-Authenticate": 'Basic realm="Bandwidth"'},
            )
        if visit.user is not None and visit.user != self._account.user_id:
            raise Refusal("user-access-denied", "The user has no access to the resource")
        visit.authenticated = True

    def _pace(self, visit: _Visit) -> None:
        """The limit of the endpoint family (``resourceRateLimits.md``); creating calls has one of its own."""
        account = self._account
        if account.options.rate_limits == "off":
            return
        creates_call = visit.entry.operation == "create_call"
        if creates_call and not account.switches.calls_use_family:
            return
        visit.bucket = account.limits.bucket(visit.path[0], template_of(visit.path))
        wait = account.limits.enter(visit.bucket)
        if wait is not None:
            visit.bucket = None
            raise _rate_limited(wait)

    def _rendered(self, reply: Reply, *, garbled: bool) -> Response:
        if garbled:
            return _garbled(reply)
        headers = {}
        if reply.location is not None:
            absolute = self._account.switches.locations == "absolute"
            headers["Location"] = (self._account.base_url if absolute else "") + reply.location
        if reply.links:
            headers["Link"] = ",".join(f'<{url}>; rel="{rel}"' for rel, url in reply.links)
        if reply.body is None:
            return Response(status_code=reply.status, headers=headers)
        return json_response(reply.status, reply.body, headers)


_FAULT_CODES: Final[Mapping[str, str]] = {
    "500": "backend-protocol-support-failure",
    "503": "internal-error",
    "rate-limit": "rate-limit-reached",
}


def _on_purpose(fault: str) -> Refusal:
    """The error that a fault stands for."""
    code = _FAULT_CODES.get(fault, fault)
    if CODES[code][0] == 429:
        return _rate_limited(1.0, code)
    return Refusal(code, "A fault on purpose")


def _rate_limited(wait: float, code: str = "rate-limit-reached") -> Refusal:
    """429, without a message; the instant is in milliseconds although its page says "UNIX timestamp"."""
    reset = str(math.ceil((time.time() + wait) * 1000))
    return Refusal(code, None, details={"rateLimitResetTime": reset}, headers={"X-RateLimit-Reset": reset})


async def _read(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= LARGEST_BODY:
            chunks.append(chunk)
    if size > LARGEST_BODY:
        raise invalid(f"The request body is larger than {LARGEST_BODY} bytes")
    return b"".join(chunks)


def _fields(request: Request, payload: bytes) -> tuple[Fields, Refusal | None]:
    """The properties of the body or of the query; an unreadable body is refused later, in its turn."""
    if request.method == "GET":
        return Fields(request.query_params), None
    try:
        return body_of(payload), None
    except Refusal as refusal:
        return Fields({}), refusal


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def json_response(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON reply."""
    # ASCII, because a lone surrogate that a client has sent in a tag has no UTF-8.
    content = json.dumps(body, separators=(",", ":")).encode("ascii")
    return Response(content, status_code=status, headers=headers, media_type="application/json")


def _garbled(reply: Reply) -> Response:
    """A reply of the right status that cannot be read: JSON cut off, or no Location."""
    if reply.location is not None:
        return Response(status_code=reply.status)
    whole = json.dumps(reply.body or {"id": ""})
    return Response(whole[: len(whole) // 2], status_code=reply.status, media_type="application/json")


async def close_connection(scope: Scope) -> None:
    """Close the connection of a request without a reply; the server's ``Protocol`` passes it on in the scope."""
    transport = scope.get("state", {}).get("transport")
    if transport is not None:
        transport.abort()
        for _ in range(2):  # let the server notice, so that it does not answer 500 in our place
            await anyio.lowlevel.checkpoint()


def not_found(scope: Scope) -> Response:
    """The answer for paths outside of the API."""
    client = scope.get("client") or ("127.0.0.1", 0)
    body = no_such_resource().body(method=scope["method"], path=scope["path"], remote=client[0])
    return json_response(404, body)
