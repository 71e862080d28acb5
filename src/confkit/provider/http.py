"""Toolkit for providers that speak HTTP: one pooled client.

For providers only: ``import confkit`` does not load this module, and this module loads httpx when a provider opens its
connection. Nothing here is ever sent a second time; that is decided in one place, the core's step. What became of a
request is told by the class of the error; see :mod:`confkit.provider.http_errors`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import anyio
import anyio.abc
import anyio.lowlevel
from attrs import field, frozen

from confkit.models.errors import InvalidRequest, ProviderError, SettingsError, Unavailable
from confkit.provider.http_errors import ErrorTable, Exchange, Peer
from confkit.provider.http_reply import Reply
from confkit.provider.reasons import Why, is_refusal
from confkit.provider.route import HttpSettings, Route, http_url
from confkit.provider.settings import Secret, without_credentials
from confkit.provider.transport import Progress, ProxyError, connected, load, opened, phases, whole

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

#: No reply of a telephone platform is near this size; a longer one is not read to its end.
LARGEST_BODY: Final = 4 * 1024 * 1024
#: How long a request that only reads may take.
READ_TIMEOUT: Final = timedelta(seconds=10)

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
        self._headers = {
            "Authorization": credentials.reveal(),
            "Accept": "application/json",
            # Bodies are bounded as they come over the wire, so they must not grow afterwards.
            "Accept-Encoding": "identity",
            "User-Agent": "confkit",
        }
        parts = Secret(given.reveal() if isinstance(given.reveal(), tuple) else ())
        # Not at the first request: it would arrive some tenths of a second after its time, and the next one, sent at
        # the distance that the limit asks for, too soon after it.
        load()
        self._transport = transport
        self._peer = Peer(
            provider=provider,
            base_url=self.base_url,
            route=Route.to(self.base_url, settings or HttpSettings(), provider=provider)
            if transport is None
            else Route(host=urlsplit(self.base_url).netloc),
            errors=errors,
            # Encoded as well: a platform that repeats a request's header repeats the credentials in it.
            secrets=(credentials.reveal().partition(" ")[2], *parts.reveal(), *further.reveal()),
        )
        #: Our own transports tell how far a request gets.
        self._tells = transport is None
        self._closed = False

    def __repr__(self) -> str:
        return f"Http({self.provider!r}, {without_credentials(self.base_url)!r})"

    @property
    def route(self) -> Route:
        """The way to the host."""
        return self._peer.route

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
        exchange = Exchange(
            peer=self._peer, operation=operation, mutation=method not in ("GET", "HEAD"), timeout=timeout
        )
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
        exchange: Exchange,
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
                return await connected(self.route, self.base_url, progress)
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError, ProxyError) as failure:
            why = Why(failure, timeout=within, url=self.base_url)
            text = why.no_connection(self.route, tunnelled=progress.tunnelled)
            refused = self.route.proxy is None and is_refusal(failure)
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
            self._transport = opened(self.route)
        return self._transport


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
    exchange: Exchange,
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


def _segment(part: str, exchange: Exchange) -> str:
    # An empty or dotted segment would address another resource: everybody in the room instead of one member.
    if not part or part in (".", ".."):
        raise InvalidRequest(
            "the record has no id, so there is nothing to address",
            provider=exchange.peer.provider,
            operation=exchange.operation,
        )
    try:
        return quote(part, safe="")
    except UnicodeEncodeError as error:  # JSON can bring half a surrogate pair
        problem = exchange.unsendable(error)
    raise problem
