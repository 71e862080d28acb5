"""The line to one host: a request goes out on it once, and what comes back is read whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
from attrs import field, frozen

from confkit.models.errors import ProviderError, Unavailable
from confkit.provider.http_body import Sent
from confkit.provider.http_errors import ErrorTable, Exchange, Peer
from confkit.provider.http_reply import Reply
from confkit.provider.route import HttpSettings, Route
from confkit.provider.settings import Secret
from confkit.provider.transport import Progress, load, opened, phases, whole

if TYPE_CHECKING:
    import httpx

#: No reply of a telephone platform is near this size; a longer one is not read to its end.
LARGEST_BODY: Final = 4 * 1024 * 1024


class Line:
    """The connections to one host.

    Args:
        base_url: what every path is appended to; as :func:`~confkit.provider.route.http_url` gives it.
        errors: the provider's error table.
        secrets: values that must not show in messages.
        settings: the way to the host.
        transport: in place of the network, for tests.

    Attributes:
        heard: is given the header fields of every reply, names in lower case.

    Raises:
        SettingsError: what the environment says of the way cannot be used.
    """

    def __init__(
        self,
        provider: str,
        base_url: str,
        *,
        errors: ErrorTable,
        secrets: Secret[tuple[str, ...]],
        settings: HttpSettings,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        # Not at the first request: it would arrive some tenths of a second after its time, and the next one, sent at
        # the distance that the limit asks for, too soon after it.
        load()
        self.peer = Peer(
            provider=provider,
            base_url=base_url,
            route=Route.to(base_url, settings, provider=provider)
            if transport is None
            else Route(host=urlsplit(base_url).netloc),
            errors=errors,
            secrets=secrets.reveal(),
        )
        self.heard: Callable[[Mapping[str, str]], None] | None = None
        self._transport = transport
        #: Our own transports tell how far a request gets.
        self._tells = transport is None
        self._closed = False

    async def send(
        self,
        exchange: Exchange,
        method: str,
        url: str,
        *,
        headers: Secret[Mapping[str, str]],
        query: Secret[Any] | None = None,
        sent: Sent | None = None,
    ) -> Reply:
        """Send one request, once.

        What is sent shows in no traceback, and neither do the frames of the libraries that send it, where it would.

        Raises:
            ProviderError: as :mod:`confkit.provider.http_errors` says.
        """
        if self._closed:
            raise Unavailable("the client is closed", provider=self.peer.provider, operation=exchange.operation)
        progress = Progress(told=self._tells)
        extensions = {"trace": progress, "timeout": phases(exchange.timeout)}
        request = _written(exchange, method, url, headers, query, sent, extensions)
        await anyio.lowlevel.checkpoint_if_cancelled()  # whoever was cancelled before sending has sent nothing
        answer = await _answered(self._open, request, exchange, progress)
        if self.heard is not None:
            self.heard(answer.headers)
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

    async def aclose(self) -> None:
        """Close all connections; requests sent afterwards are refused."""
        self._closed = True
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    def _open(self) -> httpx.AsyncBaseTransport:
        """The transport, made at the first request, because only then it is known which event loop runs."""
        if self._transport is None:
            self._transport = opened(self.peer.route)
        return self._transport


def _written(
    exchange: Exchange,
    method: str,
    url: str,
    headers: Secret[Mapping[str, str]],
    query: Secret[Any] | None,
    sent: Sent | None,
    extensions: dict[str, Any],
) -> Secret[httpx.Request]:
    """The request, in bytes.

    Raises:
        InvalidRequest: it has something in it that cannot be written.
    """
    import httpx

    typed = {} if sent is None else {"Content-Type": sent.type}
    try:
        made = Secret(
            httpx.Request(
                method,
                url,
                params=None if query is None else query.reveal(),
                headers={**headers.reveal(), **typed},
                content=None if sent is None else sent.content.reveal(),
                extensions=extensions,
            )
        )
    except (ValueError, TypeError, httpx.InvalidURL) as error:
        problem = exchange.unsendable(error)
    else:
        made.reveal().stream = whole()(made.reveal().content)
        return made
    raise problem


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


def remaining(timeout: timedelta, since: float) -> timedelta:
    """What is left of a time that began then, on the event loop's clock; to the hundredth of a second."""
    left = timeout.total_seconds() - (anyio.current_time() - since)
    return timedelta(seconds=round(left, 2))
