"""Toolkit for providers that speak HTTP: one pooled client.

For providers only: ``import confkit`` does not load this module, and this module loads httpx when a provider opens its
connection. Nothing here is ever sent a second time; that is decided in one place, the core's step. What became of a
request is told by the class of the error; see :mod:`confkit.provider.http_errors`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

import anyio
import anyio.abc

from confkit.models.errors import InvalidRequest, ProviderError, SettingsError, Unavailable
from confkit.provider.http_body import Fields, Form, Sent, body_of, pairs
from confkit.provider.http_errors import ErrorTable, Exchange
from confkit.provider.http_line import Line, remaining
from confkit.provider.http_reply import Reply
from confkit.provider.http_tokens import TOKEN_ERRORS, ClientCredentials, TokenSource, bearing
from confkit.provider.reasons import Why, is_refusal
from confkit.provider.route import HttpSettings, Route, http_url
from confkit.provider.settings import Secret, without_credentials
from confkit.provider.telling import Limit, report_limit
from confkit.provider.transport import Progress, ProxyError, connected

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

#: How long a request that only reads may take.
READ_TIMEOUT: Final = timedelta(seconds=10)


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
        auth: user and password (RFC 7617), a bearer token (RFC 6750), or what tokens are fetched with; sent to
            ``base_url`` only, redirects are not followed.
        errors: the provider's error table.
        limits: the header fields of any reply, names in lower case, to what they say of the platform's limits; what it
            raises for those it cannot read (``ValueError``, ``TypeError``, ``LookupError``) is passed over.
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
        auth: tuple[str, str] | str | Secret[tuple[str, str]] | Secret[str] | ClientCredentials,
        errors: ErrorTable,
        limits: Callable[[Mapping[str, str]], Iterable[Limit]] | None = None,
        secrets: tuple[str, ...] = (),
        settings: HttpSettings | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        url, given, further = Secret(base_url), Secret[Any](auth), Secret(secrets)
        del base_url, auth, secrets
        self.provider = provider
        self.base_url, authorization, hidden = _checked(provider, url, given)
        self._headers: Secret[Mapping[str, str]] = Secret(
            {
                **authorization.reveal(),
                "Accept": "application/json",
                # Bodies are bounded as they come over the wire, so they must not grow afterwards.
                "Accept-Encoding": "identity",
                "User-Agent": "confkit",
            }
        )
        way = settings or HttpSettings()
        self._line = Line(
            provider,
            self.base_url,
            errors=errors,
            secrets=Secret((*hidden.reveal(), *further.reveal())),
            settings=way,
            transport=transport,
        )
        if limits is not None:
            self._line.heard = _heeding(limits)
        self._tokens: TokenSource | None = None
        if isinstance(given.reveal(), ClientCredentials):
            self._token_line = Line(
                provider,
                given.reveal().token_url,
                errors=TOKEN_ERRORS,
                secrets=Secret((*hidden.reveal(), *further.reveal())),
                settings=way,
                transport=transport,
            )
            self._tokens = TokenSource(given.reveal(), self._token_line)

    def __repr__(self) -> str:
        return f"Http({self.provider!r}, {without_credentials(self.base_url)!r})"

    @property
    def route(self) -> Route:
        """The way to the host."""
        return self._line.peer.route

    async def read(
        self,
        *path: str,
        operation: str,
        decode: Callable[[Any], T],
        query: Form | Secret[Form] | None = None,
        timeout: timedelta = READ_TIMEOUT,
    ) -> T:
        """GET a resource and convert its JSON; see :meth:`Reply.decode`."""
        query = None if query is None else Secret[Any](query)
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
        query: Form | Secret[Form] | None = None,
        body: Fields | None = None,
        form: Form | Secret[Form] | None = None,
        content: bytes | Secret[bytes] | None = None,
        content_type: str = "application/octet-stream",
    ) -> Reply:
        """Send one request, once.

        What is sent shows in no traceback, and neither do the frames of the libraries that send it, where it would.
        Of ``body``, ``form`` and ``content`` it has one at most.

        Args:
            path: segments below ``base_url``, as they are; they are percent-encoded here.
            operation: the contract's operation, for errors.
            timeout: for the whole exchange, connecting included.
            query: a name may come more than once.
            body: sent as JSON.
            form: sent as ``application/x-www-form-urlencoded``; a name may come more than once.
            content: sent as it is, with ``content_type``.

        Raises:
            ProviderError: as the module says.
        """
        given = {"body": Secret[Any](body), "form": Secret[Any](form), "content": Secret[Any](content)}
        query = None if query is None else Secret[Any](query)
        del body, form, content
        exchange = Exchange(
            peer=self._line.peer, operation=operation, mutation=method not in ("GET", "HEAD"), timeout=timeout
        )
        url = "/".join((self.base_url, *(_segment(part, exchange) for part in path)))
        asked, sent = _written(exchange, query, given, content_type)
        if self._tokens is None:
            return await self._line.send(exchange, method, url, headers=self._headers, query=asked, sent=sent)
        return await self._with_token(self._tokens, exchange, method, url, asked, sent)

    async def _with_token(
        self,
        tokens: TokenSource,
        exchange: Exchange,
        method: str,
        url: str,
        query: Secret[list[tuple[str, str]]] | None,
        sent: Sent | None,
    ) -> Reply:
        """Send a request with a token, and see to a new one where that is refused."""
        began, timeout = anyio.current_time(), exchange.timeout
        token = await tokens.token(exchange.operation, within=timeout)
        headers = Secret({**self._headers.reveal(), "Authorization": f"Bearer {token.text.reveal()}"})
        exchange = bearing(exchange, token, remaining(timeout, began))
        refusal = None
        try:
            reply = await self._line.send(exchange, method, url, headers=headers, query=query, sent=sent)
        except ProviderError as error:
            if error.status != 401:
                if error.status is not None:
                    tokens.taken(exchange.operation)
                raise
            error.__traceback__ = None
            refusal = error
        if refusal is None:
            tokens.taken(exchange.operation)
            return reply
        if await tokens.renewed(token, exchange.operation, within=remaining(timeout, began)):
            text = "the token was no longer accepted; there is a new one for the next attempt"
            raise Unavailable(text, provider=self.provider, operation=exchange.operation, status=401)
        raise refusal

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
        try:
            await self._line.aclose()
        finally:
            if self._tokens is not None:
                await self._token_line.aclose()


def _checked(
    provider: str, url: Secret[str], auth: Secret[Any]
) -> tuple[str, Secret[dict[str, str]], Secret[tuple[str, ...]]]:
    """The base URL, the header field that authorises where it is always the same, and what must show nowhere."""
    problems = []
    try:
        url = Secret(http_url(url.reveal()))
    except (ValueError, TypeError) as error:
        problems.append(f"base_url is malformed ({without_credentials(url.reveal())}: {error})")
    fetched = isinstance(auth.reveal(), ClientCredentials)
    try:
        field = auth.reveal().header() if fetched else _fixed(auth)
        token = Secret(field.reveal().partition(" ")[2])
        usable = token.reveal().isprintable() and token.reveal() == token.reveal().strip()
    except (UnicodeError, TypeError, AttributeError):
        usable = False
    if not usable:
        problems.append("the credentials have characters that no HTTP header can carry")
    if fetched:
        try:
            http_url(auth.reveal().token_url)
        except (ValueError, TypeError) as error:
            problems.append(f"token_url is malformed ({without_credentials(auth.reveal().token_url)}: {error})")
    if problems:
        raise SettingsError(provider, problems)
    if fetched:
        return url.reveal(), Secret({}), auth.reveal().secrets()
    parts = auth.reveal() if isinstance(auth.reveal(), tuple) else ()
    # Encoded as well: a platform that repeats a request's header repeats the credentials in it.
    hidden = Secret((token.reveal(), *parts))
    return url.reveal(), Secret({"Authorization": field.reveal()}), hidden


def _fixed(auth: Secret[Any]) -> Secret[str]:
    """The ``Authorization`` header of a pair, or of a token that does not change."""
    if isinstance(auth.reveal(), tuple):
        return Secret(f"Basic {base64.b64encode(':'.join(auth.reveal()).encode()).decode()}")
    return Secret(f"Bearer {auth.reveal().encode('ascii').decode()}")


def _heeding(limits: Callable[[Mapping[str, str]], Iterable[Limit]]) -> Callable[[Mapping[str, str]], None]:
    def heard(headers: Mapping[str, str]) -> None:
        with suppress(ValueError, TypeError, LookupError):
            for limit in limits(headers):
                report_limit(limit)

    return heard


def _written(
    exchange: Exchange, query: Secret[Any] | None, given: Mapping[str, Secret[Any]], content_type: str
) -> tuple[Secret[list[tuple[str, str]]] | None, Sent | None]:
    """The query, and the body in bytes.

    Raises:
        InvalidRequest: it has something in it that cannot be written.
    """
    try:
        asked = None if query is None else Secret(list(pairs(query)))
        return asked, body_of(**given, content_type=content_type)
    except (ValueError, TypeError) as error:
        problem = exchange.unsendable(error)
    raise problem


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
