"""Toolkit for providers that speak HTTP: one pooled client, and what every exchange means for the request.

For providers only: ``import confkit`` does not load this module, and this module loads httpx when a provider opens its
connection. Nothing here is ever sent a second time; that is decided in one place, the core's step.

What became of a request, as told by the class of the error:

* ``Unavailable``: it was certainly not executed (no connection came about), or it only read;
* ``OutcomeUnknown``: it may have been executed: the reply was lost, says nothing certain, or cannot be read;
* any other: the provider refused it, as its :class:`ErrorTable` has it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, unquote, urlsplit

import anyio
import anyio.lowlevel
from attrs import field, frozen

from confkit.addresses import masked
from confkit.errors import (
    Conflict,
    InsufficientFunds,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Unauthenticated,
    Unavailable,
)
from confkit.transport import Progress, certainly_not_sent, load, opened, phases, whole

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

#: No reply of a telephone platform is near this size; a longer one is not read to its end.
LARGEST_BODY: Final = 4 * 1024 * 1024
#: How long a request that only reads may take.
READ_TIMEOUT: Final = timedelta(seconds=10)

#: What a status means where the provider's own code says nothing (RFC 9110 section 15).
STATUSES: Final[Mapping[int, type[ProviderError]]] = {
    301: InvalidRequest,
    307: InvalidRequest,
    308: InvalidRequest,
    401: Unauthenticated,
    402: InsufficientFunds,
    403: PermissionDenied,
    404: NotFound,
    408: Unavailable,  # the server did not receive the whole request
    409: Conflict,
    410: NotFound,
    429: RateLimited,
}


@frozen(kw_only=True)
class ErrorDetails:
    """What a provider's error body says.

    Args:
        message: the provider's text, as it came; it is redacted before it is shown.
        retry_after: how long to wait, where the provider says so.
    """

    code: str | None = None
    message: str | None = None
    retry_after: timedelta | None = None


def _no_details(status: int, headers: Mapping[str, str], payload: Mapping[str, Any]) -> ErrorDetails:
    del status, headers, payload
    return ErrorDetails()


@frozen(kw_only=True)
class ErrorTable:
    """A provider's errors as data: its own code decides, the HTTP status only where the code says nothing.

    Any other 4xx is ``InvalidRequest``. Any other status at all leaves open what happened.

    Args:
        codes: provider code to portable error. ``OutcomeUnknown`` stands for "it may have been executed" and
            becomes ``Unavailable`` for a request that only read.
        statuses: HTTP status to portable error.
        read: status, headers (names in lower case) and JSON object to what they say; bears any payload.
    """

    codes: Mapping[str, type[ProviderError]] = field(factory=dict)
    statuses: Mapping[int, type[ProviderError]] = field(default=STATUSES)
    read: Callable[[int, Mapping[str, str], Mapping[str, Any]], ErrorDetails] = _no_details

    def classify(self, code: str | None, status: int) -> type[ProviderError]:
        """The portable error of a provider's answer to a mutation."""
        if code is not None and code in self.codes:
            return self.codes[code]
        if status in self.statuses:
            return self.statuses[status]
        return InvalidRequest if 400 <= status < 500 else OutcomeUnknown


def id_from_location(location: str) -> str:
    """The id of a new resource: the last segment of its Location.

    The Location is absolute or relative (RFC 9110 section 10.2.2). Query, fragment and trailing slashes are
    dropped, percent-encoding is undone. The host and the collection are not looked at: providers put
    surprising ones there.

    Raises:
        ValueError: there is no id in it.
    """
    segment = urlsplit(location.strip()).path.rstrip("/").rpartition("/")[2]
    found = unquote(segment, errors="strict").strip()
    if not found or found in (".", "..") or not found.isprintable():
        raise ValueError("the Location has no id")
    return found


def without_credentials(url: str) -> str:
    """The URL as it may be shown: without user info, query and fragment."""
    scheme, mark, rest = url.partition("://")
    try:
        # A credential that nobody has percent-encoded may hold a slash or a question mark: all before the last @ goes.
        parts = urlsplit(scheme + mark + rest.rpartition("@")[2])
        return f"{parts.scheme}://{parts.netloc}{parts.path}"
    except ValueError:
        return "an unreadable URL"


_NUMBER = re.compile(r"\+?\d{7,}")  # in any script
_SIP = re.compile(r"sips?:[^\s'\"<>]+", re.IGNORECASE)
_URL = re.compile(r"\b[a-z][a-z0-9+.\-]*://[^\s'\"<>]*", re.IGNORECASE)


def redacted(text: str, secrets: tuple[str, ...] = ()) -> str:
    """A provider's text as it may stand in a message: one short line, no credentials, URLs or whole numbers.

    Args:
        secrets: values that must not appear.
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "•••")
    # The path of a callback URL is as good as a password, so only the host is shown.
    text = _URL.sub(lambda url: f"{urlsplit(without_credentials(url[0])).netloc}/…", text)
    text = _SIP.sub(lambda uri: masked(uri[0]), text)
    text = _NUMBER.sub(lambda number: masked(number[0]), text)
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return text if len(text) <= 200 else text[:199] + "…"


@frozen(kw_only=True)
class Reply:
    """A provider's 2xx answer.

    Args:
        headers: names in lower case.
        complete: ``False`` when the connection was lost within the body, or the body is too long.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    complete: bool
    unreadable: Callable[[str], ProviderError] = field(repr=False, eq=False)

    def id(self) -> str:
        """The id in the Location header.

        Raises:
            OutcomeUnknown: there is none.
        """
        location = self.headers.get("location")
        if location is None:
            raise self.unreadable("it has no Location header")
        try:
            return id_from_location(location)
        except ValueError:
            raise self.unreadable("its Location header has no id") from None

    def decode(self, convert: Callable[[Any], T]) -> T:
        """The JSON body, converted.

        Args:
            convert: raises ``ValueError``, ``TypeError`` or ``LookupError`` for what it cannot use.

        Raises:
            OutcomeUnknown: the body of an answer to a mutation cannot be read.
            Unavailable: the body of an answer to a read cannot be read.
        """
        try:
            return convert(self._json())
        except (ValueError, TypeError, LookupError) as error:
            raise self.unreadable(f"it lacks what it must have: {redacted(str(error))}") from error

    def confirm(self) -> None:
        """Make sure that a 2xx without a use for its body comes from the provider: empty, or JSON.

        Raises:
            OutcomeUnknown: it is something else, such as the page of a proxy.
        """
        if self.body or not self.complete:
            self._json()

    def _json(self) -> Any:
        if not self.complete:
            raise self.unreadable("it is cut off")
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            what = "it is HTML, not JSON; is base_url right?" if _is_html(self.body) else "it is not JSON"
            raise self.unreadable(what) from error


class Http:
    """A provider's connection to its platform.

    Args:
        provider: the provider's name, for errors.
        base_url: what every path is appended to.
        auth: user and password (RFC 7617), or a bearer token (RFC 6750); sent to ``base_url`` only, redirects are
            not followed.
        errors: the provider's error table.
        secrets: further values that must not show in messages.
        transport: in place of the network, for tests.
    """

    def __init__(
        self,
        provider: str,
        base_url: str,
        *,
        auth: tuple[str, str] | str,
        errors: ErrorTable,
        secrets: tuple[str, ...] = (),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.provider = provider
        self.base_url = base_url.rstrip("/")
        self._errors = errors
        basic = isinstance(auth, tuple)
        credentials = base64.b64encode(":".join(auth).encode()).decode() if basic else str(auth)
        self._headers = {
            "Authorization": f"{'Basic' if basic else 'Bearer'} {credentials}",
            "Accept": "application/json",
            # Bodies are bounded as they come over the wire, so they must not grow afterwards.
            "Accept-Encoding": "identity",
            "User-Agent": "confkit",
        }
        # Encoded as well: a platform that repeats a request's header repeats the credentials in it.
        self._secrets = (credentials, *(auth if basic else ()), *secrets)
        self._transport = transport
        self._closed = False
        # Not at the first request: it would arrive some tenths of a second after its time, and the next one, sent at
        # the distance that the limit asks for, too soon after it.
        load()

    def __repr__(self) -> str:
        return f"Http({self.provider!r}, {without_credentials(self.base_url)!r})"

    @property
    def host(self) -> str:
        """Host and port, for messages."""
        return urlsplit(self.base_url).netloc.rpartition("@")[2]

    async def read(
        self,
        *path: str,
        operation: str,
        decode: Callable[[Any], T],
        query: Mapping[str, str] | None = None,
        timeout: timedelta = READ_TIMEOUT,
    ) -> T:
        """GET a resource and convert its JSON; see :meth:`Reply.decode`."""
        reply = await self.request("GET", *path, operation=operation, timeout=timeout, query=query)
        return reply.decode(decode)

    async def create(self, *path: str, operation: str, body: Mapping[str, Any], timeout: timedelta) -> str:
        """POST a new resource; gives its id, from the Location header."""
        reply = await self.request("POST", *path, operation=operation, timeout=timeout, body=body)
        found = reply.id()
        if found == path[-1]:
            # ".../conferences/": the collection, or the resource that was posted to, is not the new one.
            raise reply.unreadable("its Location header has no id")
        return found

    async def update(self, *path: str, operation: str, body: Mapping[str, Any], timeout: timedelta) -> None:
        """POST to a resource where the status is all the answer there is."""
        reply = await self.request("POST", *path, operation=operation, timeout=timeout, body=body)
        reply.confirm()

    async def request(
        self,
        method: str,
        *path: str,
        operation: str,
        timeout: timedelta,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request, once.

        Args:
            path: segments below ``base_url``, as they are; they are percent-encoded here.
            operation: the contract's operation, for errors.
            timeout: for the whole exchange, connecting included.
            body: sent as JSON.
            form: sent as ``application/x-www-form-urlencoded``, in place of a body.

        Raises:
            ProviderError: as the module says.
        """
        exchange = _Exchange(http=self, operation=operation, mutation=method not in ("GET", "HEAD"), timeout=timeout)
        url = "/".join((self.base_url, *(_segment(part, exchange) for part in path)))
        transport = self._open(exchange)
        progress = Progress()
        import httpx

        try:
            request = httpx.Request(
                method,
                url,
                params=query,
                headers=self._headers,
                json=body,
                data=form,
                extensions={"trace": progress, "timeout": phases(timeout)},
            )
        except (ValueError, TypeError, httpx.InvalidURL) as error:
            raise exchange.unsendable(error) from error
        request.stream = whole()(request.content)
        await anyio.lowlevel.checkpoint_if_cancelled()  # whoever was cancelled before sending has sent nothing
        head: httpx.Response | None = None
        content, complete, failure = b"", False, None
        try:
            with anyio.fail_after(timeout.total_seconds()):
                head = await transport.handle_async_request(request)
                content, complete = await _content(head)
        except Exception as error:  # any: transports let exceptions out that httpx has no word for
            failure = error
        finally:
            if head is not None and not head.is_closed:  # it is, when it was read to its end
                with anyio.move_on_after(1, shield=True):
                    await head.aclose()
        if head is None:
            assert failure is not None
            raise exchange.unanswered(failure, progress) from failure
        # From here on the status is known, and it decides, even if the body was lost.
        headers = _names_in_lower_case(head.headers.raw)
        if not head.is_success:
            raise exchange.refused(head.status_code, headers, content if complete else b"")
        return Reply(
            status=head.status_code,
            headers=headers,
            body=content,
            complete=complete,
            unreadable=exchange.unreadable(head.status_code),
        )

    async def aclose(self) -> None:
        """Close all connections; requests sent afterwards are refused."""
        self._closed = True
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    def _open(self, exchange: _Exchange) -> httpx.AsyncBaseTransport:
        """The transport, made at the first request, because only then it is known which event loop runs."""
        if self._closed:
            raise Unavailable("the client is closed", provider=self.provider, operation=exchange.operation)
        if self._transport is None:
            self._transport = opened(self.base_url)
        return self._transport

    def safe(self, text: str) -> str:
        """See :func:`redacted`; knows this connection's secrets."""
        return redacted(text, self._secrets)

    @property
    def errors(self) -> ErrorTable:
        """The provider's error table."""
        return self._errors


@frozen(kw_only=True)
class _Exchange:
    """One request's circumstances, which decide what a failure means."""

    http: Http
    operation: str
    mutation: bool
    timeout: timedelta

    def unanswered(self, failure: Exception, progress: Progress) -> ProviderError:
        """No status line came."""
        if certainly_not_sent(failure, progress):
            why = self._why(failure, missing="connection")
            return self._error(Unavailable, f"cannot connect to {self.http.host}: {why}")
        if not self.mutation:
            return self._error(Unavailable, f"no answer from {self.http.host}: {self._why(failure)}")
        return self._error(OutcomeUnknown, f"{self._why(failure)}; the request may have been carried out")

    def unsendable(self, error: Exception) -> ProviderError:
        """The request cannot be put into bytes."""
        return self._error(InvalidRequest, f"it cannot be written as a request: {self.http.safe(str(error))}")

    def refused(self, status: int, headers: Mapping[str, str], content: bytes) -> ProviderError:
        """A status other than 2xx came."""
        payload = _object(content)
        details = self.http.errors.read(status, headers, payload)
        kind = self.http.errors.classify(details.code, status)
        code = self.http.safe(details.code) if details.code else None
        extra: dict[str, Any] = {"code": code, "status": status, "raw": payload}
        if kind is RateLimited:
            extra["retry_after"] = details.retry_after
        if kind is OutcomeUnknown:
            # A gateway speaks here, not the server behind it, which may be at work still (RFC 9110 sections
            # 15.6.3 and 15.6.5); with a code of the provider's own it is the provider that speaks.
            extra["answered"] = status not in (502, 504) or details.code is not None
        return self._error(kind, self._message(status, headers, content, details), **extra)

    def unreadable(self, status: int) -> Callable[[str], ProviderError]:
        """A 2xx came, but what it says is lost."""

        def error(reason: str) -> ProviderError:
            message = f"the reply cannot be read: {reason}"
            if self.mutation:
                message += "; the request was probably carried out"
            return self._error(OutcomeUnknown, message, status=status, answered=True)

        return error

    def _error(self, kind: type[ProviderError], message: str, **extra: Any) -> ProviderError:
        if kind is OutcomeUnknown and not self.mutation:
            kind = Unavailable
            extra.pop("answered", None)
        return kind(message, provider=self.http.provider, operation=self.operation, **extra)

    def _message(self, status: int, headers: Mapping[str, str], content: bytes, details: ErrorDetails) -> str:
        if details.message:
            return self.http.safe(details.message)
        if 300 <= status < 400:
            place = _URL.match(headers.get("location", ""))
            where = self.http.safe(place[0]) if place else "another path"
            return f"{self.http.host} redirects to {where}, which is not followed; is base_url right?"
        if _is_html(content):
            return f"{self.http.host} answered with a web page; is base_url right?"
        return "refused without a reason" if status < 500 else "the provider failed"

    def _why(self, failure: Exception, missing: str = "reply") -> str:
        """The innermost reason, in words; never the text of an exception that may hold a URL."""
        seconds = f"{self.timeout.total_seconds():g} s"
        chain = list(_causes(failure))
        for cause in chain:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return f"TLS: certificate not accepted: {cause.verify_message or 'no reason given'}"
            if isinstance(cause, ssl.SSLError):
                return f"TLS: {(cause.reason or 'handshake failed').replace('_', ' ').lower()}"
            if isinstance(cause, socket.gaierror):
                return "the name is not known"
            if isinstance(cause, OSError) and not isinstance(cause, TimeoutError) and cause.errno:
                return os.strerror(cause.errno).lower()
        if any("Timeout" in type(cause).__name__ for cause in chain):
            return f"no {missing} within {seconds}"
        if any("Protocol" in type(cause).__name__ for cause in chain):
            return "the connection was closed, or spoke no HTTP, before the reply"
        return "the connection was lost before the reply"


async def _content(response: httpx.Response) -> tuple[bytes, bool]:
    """The body, and whether it is all there. What is too long is read within the deadline, but not kept:
    under trio the streams below must be read to their end."""
    if response.is_stream_consumed:  # a transport may give a response that is there already, as mocks do
        return response.content, True
    content = bytearray()
    complete = True
    async for chunk in response.aiter_raw():
        complete = complete and len(content) + len(chunk) <= LARGEST_BODY
        if complete:
            content += chunk
    return bytes(content), complete


def _names_in_lower_case(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Header fields; those that come more than once are joined (RFC 9110 section 5.3)."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _segment(part: str, exchange: _Exchange) -> str:
    # An empty or dotted segment would address another resource: everybody in the room instead of one member.
    if not part or part in (".", ".."):
        raise InvalidRequest(
            "the record has no id, so there is nothing to address",
            provider=exchange.http.provider,
            operation=exchange.operation,
        )
    try:
        return quote(part, safe="")
    except UnicodeEncodeError as error:  # JSON can bring half a surrogate pair
        raise exchange.unsendable(error) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The exceptions behind an exception, those in groups included."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        error = waiting.pop(0)
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        waiting += [error.__cause__, error.__context__]
        if isinstance(error, BaseExceptionGroup):
            waiting += error.exceptions
        if isinstance(error, OSError):
            waiting.append(getattr(error, "os_error", None))  # where aiohttp keeps it


def _object(content: bytes) -> dict[str, Any]:
    try:
        payload = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def _is_html(content: bytes) -> bool:
    return content.lstrip()[:1] == b"<"
