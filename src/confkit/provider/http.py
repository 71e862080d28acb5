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
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, unquote, urlsplit

import anyio
import anyio.abc
import anyio.lowlevel
from attrs import field, frozen

from confkit.models.addresses import masked
from confkit.models.errors import (
    Conflict,
    InsufficientFunds,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    PermissionDenied,
    ProviderError,
    RateLimited,
    SettingsError,
    Unauthenticated,
    Unavailable,
)
from confkit.provider.reasons import Why, is_refusal, note, refusal_of_proxy
from confkit.provider.route import HttpSettings as HttpSettings
from confkit.provider.route import Route
from confkit.provider.route import http_url as http_url
from confkit.provider.settings import Secret
from confkit.provider.settings import without_credentials as without_credentials
from confkit.provider.transport import Progress, ProxyError, certainly_not_sent, connected, load, opened, phases, whole

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
    407: Unavailable,  # a proxy speaks: the server has received nothing (section 15.5.8)
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
            problem = self.unreadable(f"it lacks what it must have: {redacted(str(error))}")
            note(problem, error)
        raise problem

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
            problem = self.unreadable(what)
            note(problem, error)
        raise problem


#: What is sent, by name. A :class:`Secret` anywhere in it, or around it, is revealed when it is written.
Fields = Mapping[str, Any] | Secret[Mapping[str, Any]]


class NoConnection(Exception):
    """A connection did not come about.

    Attributes:
        refused: nobody listens there at all.
    """

    def __init__(self, reason: str, *, refused: bool) -> None:
        super().__init__(reason)
        self.refused = refused


class Http:
    """A provider's connection to its platform.

    Args:
        provider: the provider's name, for errors.
        base_url: what every path is appended to.
        auth: user and password (RFC 7617), or a bearer token (RFC 6750); sent to ``base_url`` only, redirects are
            not followed.
        errors: the provider's error table.
        secrets: further values that must not show in messages.
        settings: the way to the host; by default what the environment says.
        transport: in place of the network, for tests.

    Raises:
        SettingsError: the URL, the credentials, or what the environment says of the way cannot be used.
    """

    provider = base_url = ""  # a traceback that comes out of __init__ shows the object, too

    def __init__(
        self,
        provider: str,
        base_url: str,
        *,
        auth: tuple[str, str] | str | Secret[tuple[str, str]] | Secret[str],
        errors: ErrorTable,
        secrets: tuple[str, ...] = (),
        settings: HttpSettings | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        url, given, further = Secret(base_url), Secret[Any](auth), Secret(secrets)
        del base_url, auth, secrets
        self.provider = provider
        self.base_url, credentials = _checked(provider, url, given)
        self._errors = errors
        self._headers = {
            "Authorization": credentials.reveal(),
            "Accept": "application/json",
            # Bodies are bounded as they come over the wire, so they must not grow afterwards.
            "Accept-Encoding": "identity",
            "User-Agent": "confkit",
        }
        # Encoded as well: a platform that repeats a request's header repeats the credentials in it.
        parts = Secret(given.reveal() if isinstance(given.reveal(), tuple) else ())
        self._secrets = (credentials.reveal().partition(" ")[2], *parts.reveal(), *further.reveal())
        # Not at the first request: it would arrive some tenths of a second after its time, and the next one, sent at
        # the distance that the limit asks for, too soon after it.
        load()
        self._transport = transport
        self._route = (
            Route.to(self.base_url, settings or HttpSettings(), provider=provider)
            if transport is None
            else Route(host=urlsplit(self.base_url).netloc)
        )
        #: Our own transports tell how far a request gets.
        self._tells = transport is None
        self._closed = False

    def __repr__(self) -> str:
        return f"Http({self.provider!r}, {without_credentials(self.base_url)!r})"

    @property
    def host(self) -> str:
        """Host and port, for messages."""
        return self._route.host

    @property
    def route(self) -> Route:
        """The way to the host."""
        return self._route

    async def read(
        self,
        *path: str,
        operation: str,
        decode: Callable[[Any], T],
        query: Fields | None = None,
        timeout: timedelta = READ_TIMEOUT,
    ) -> T:
        """GET a resource and convert its JSON; see :meth:`Reply.decode`."""
        query = None if query is None else Secret(query)
        reply = await self.request("GET", *path, operation=operation, timeout=timeout, query=query)
        return reply.decode(decode)

    async def create(self, *path: str, operation: str, body: Fields, timeout: timedelta) -> str:
        """POST a new resource; gives its id, from the Location header."""
        body = Secret(body)
        reply = await self.request("POST", *path, operation=operation, timeout=timeout, body=body)
        found = reply.id()
        if found == path[-1]:
            # ".../conferences/": the collection, or the resource that was posted to, is not the new one.
            raise reply.unreadable("its Location header has no id")
        return found

    async def update(self, *path: str, operation: str, body: Fields, timeout: timedelta) -> None:
        """POST to a resource where the status is all the answer there is."""
        body = Secret(body)
        reply = await self.request("POST", *path, operation=operation, timeout=timeout, body=body)
        reply.confirm()

    async def request(
        self,
        method: str,
        *path: str,
        operation: str,
        timeout: timedelta,
        query: Fields | None = None,
        body: Fields | None = None,
        form: Fields | None = None,
    ) -> Reply:
        """Send one request, once.

        What is sent shows in no traceback, and neither do the frames of the libraries that send it, where it would.

        Args:
            path: segments below ``base_url``, as they are; they are percent-encoded here.
            operation: the contract's operation, for errors.
            timeout: for the whole exchange, connecting included.
            body: sent as JSON.
            form: sent as ``application/x-www-form-urlencoded``, in place of a body.

        Raises:
            ProviderError: as the module says.
        """
        query, body, form = Secret[Any](query), Secret[Any](body), Secret[Any](form)
        exchange = _Exchange(http=self, operation=operation, mutation=method not in ("GET", "HEAD"), timeout=timeout)
        if self._closed:
            raise Unavailable("the client is closed", provider=self.provider, operation=operation)
        url = "/".join((self.base_url, *(_segment(part, exchange) for part in path)))
        progress = Progress(told=self._tells)
        extensions = {"trace": progress, "timeout": phases(timeout)}
        request = self._written(exchange, method, url, query=query, body=body, form=form, extensions=extensions)
        await anyio.lowlevel.checkpoint_if_cancelled()  # whoever was cancelled before sending has sent nothing
        answer = await _answered(self._open, request, exchange, progress)
        # From here on the status is known, and it decides, even if the body was lost.
        if not 200 <= answer.status < 300:
            raise exchange.refused(answer.status, answer.headers, answer.content if answer.complete else b"")
        return Reply(
            status=answer.status,
            headers=answer.headers,
            body=answer.content,
            complete=answer.complete,
            unreadable=exchange.unreadable(answer.status),
        )

    def _written(
        self,
        exchange: _Exchange,
        method: str,
        url: str,
        *,
        query: Secret[Any],
        body: Secret[Any],
        form: Secret[Any],
        extensions: dict[str, Any],
    ) -> Secret[httpx.Request]:
        """The request, in bytes.

        Raises:
            InvalidRequest: it has something in it that cannot be written.
        """
        import httpx

        headers: Secret[dict[str, str]] = Secret(dict(self._headers))
        content: Secret[bytes | None] = Secret(None)
        try:
            if body.reveal() is not None:
                content = Secret(_json(body.reveal()))
                headers.reveal()["Content-Type"] = "application/json"
            made = Secret(
                httpx.Request(
                    method,
                    url,
                    params=_revealed(query.reveal()),
                    headers=headers.reveal(),
                    content=content.reveal(),
                    data=_revealed(form.reveal()),
                    extensions=extensions,
                )
            )
        except (ValueError, TypeError, httpx.InvalidURL) as error:
            problem = exchange.unsendable(error)
        else:
            made.reveal().stream = whole()(made.reveal().content)
            return made
        raise problem

    async def connected(self, within: timedelta) -> anyio.abc.ByteStream:
        """A connection of one's own to the host, by the same way, for what is no request, such as a WebSocket.

        Args:
            within: how long it may take.

        Raises:
            NoConnection: none came about; its text says why.
        """
        progress = Progress()
        try:
            with anyio.fail_after(within.total_seconds()):
                return await connected(self._route, self.base_url, progress)
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError, ProxyError) as failure:
            why = Why(failure, timeout=within, url=self.base_url)
            text = why.no_connection(self._route, tunnelled=progress.tunnelled)
            refused = self._route.proxy is None and is_refusal(failure)
        raise NoConnection(text, refused=refused)

    async def aclose(self) -> None:
        """Close all connections; requests sent afterwards are refused."""
        self._closed = True
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    def _open(self) -> httpx.AsyncBaseTransport:
        """The transport, made at the first request, because only then it is known which event loop runs."""
        if self._transport is None:
            self._transport = opened(self._route)
        return self._transport

    def safe(self, text: str) -> str:
        """See :func:`redacted`; knows this connection's secrets."""
        return redacted(text, self._secrets)

    @property
    def errors(self) -> ErrorTable:
        """The provider's error table."""
        return self._errors


def _checked(provider: str, url: Secret[str], auth: Secret[Any]) -> tuple[str, Secret[str]]:
    """The base URL, and the ``Authorization`` header."""
    problems = []
    basic = isinstance(auth.reveal(), tuple)
    try:
        url = Secret(http_url(url.reveal()))
    except (ValueError, TypeError) as error:
        problems.append(f"base_url is malformed ({without_credentials(url.reveal())}: {error})")
    try:
        token = Secret(
            base64.b64encode(":".join(auth.reveal()).encode()).decode()
            if basic
            else auth.reveal().encode("ascii").decode()
        )
        usable = token.reveal().isprintable() and token.reveal() == token.reveal().strip()
    except (UnicodeError, TypeError, AttributeError):
        usable = False
    if not usable:
        problems.append("the credentials have characters that no HTTP header can carry")
    if problems:
        raise SettingsError(provider, problems)
    return url.reveal(), Secret(f"{'Basic' if basic else 'Bearer'} {token.reveal()}")


@frozen(kw_only=True)
class _Answer:
    """What came back: the status at the least."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    complete: bool


async def _answered(
    open_transport: Callable[[], httpx.AsyncBaseTransport],
    request: Secret[httpx.Request],
    exchange: _Exchange,
    progress: Progress,
) -> _Answer:
    """Send a request, and read what comes back.

    Raises:
        ProviderError: no status line came.
    """
    head: httpx.Response | None = None
    content, complete = b"", False
    problem: ProviderError | None = None
    progress.follow()
    try:
        with anyio.fail_after(exchange.timeout.total_seconds()):
            head = await open_transport().handle_async_request(request.reveal())
            content, complete = await _content(head)
    except Exception as failure:  # any: transports let exceptions out that httpx has no word for
        problem = exchange.unanswered(failure, progress) if head is None else None
    except BaseException as stopped:
        stopped.__traceback__ = None  # the frames of whoever sent have the request in them
        raise
    finally:
        if head is not None and not head.is_closed:  # it is, when it was read to its end
            with anyio.move_on_after(1, shield=True):
                await head.aclose()
    if head is None:
        assert problem is not None
        raise problem
    return _Answer(
        status=head.status_code, headers=_names_in_lower_case(head.headers.raw), content=content, complete=complete
    )


@frozen(kw_only=True)
class _Exchange:
    """One request's circumstances, which decide what a failure means."""

    http: Http
    operation: str
    mutation: bool
    timeout: timedelta

    def unsendable(self, error: Exception) -> ProviderError:
        """The request cannot be put into bytes."""
        return self._error(InvalidRequest, f"it cannot be written as a request: {self.http.safe(str(error))}")

    def unanswered(self, failure: Exception, progress: Progress) -> ProviderError:
        """No status line came. The failure is told in words and by its classes; whole, it may hold the request."""
        why = Why(failure, timeout=self.timeout, url=self.http.base_url)
        if certainly_not_sent(failure, progress):
            problem = self._error(Unavailable, why.no_connection(self.http.route, tunnelled=progress.tunnelled))
        elif not self.mutation:
            problem = self._error(Unavailable, f"no answer from {self.http.host}: {why.no_reply()}")
        else:
            problem = self._error(OutcomeUnknown, f"{why.no_reply()}; the request may have been carried out")
        note(problem, failure)
        return problem

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
        if status == 407:
            return f"cannot connect to {self.http.host}: {refusal_of_proxy(status, self.http.route)}"
        if details.message:
            return self.http.safe(details.message)
        if 300 <= status < 400:
            place = _URL.match(headers.get("location", ""))
            where = self.http.safe(place[0]) if place else "another path"
            return f"{self.http.host} redirects to {where}, which is not followed; is base_url right?"
        if _is_html(content):
            through = f" (or the proxy {self.http.route.proxy_host})" if self.http.route.proxy_host else ""
            return f"{self.http.host}{through} answered with a web page; is base_url right?"
        return "refused without a reason" if status < 500 else "the provider failed"


def _json(body: Any) -> bytes:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_reveal)
    return text.encode()


def _reveal(value: object) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _revealed(fields: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if fields is None else {name: Secret(value).reveal() for name, value in fields.items()}


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
        problem = exchange.unsendable(error)
    raise problem


def _object(content: bytes) -> dict[str, Any]:
    try:
        payload = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def _is_html(content: bytes) -> bool:
    return content.lstrip()[:1] == b"<"
