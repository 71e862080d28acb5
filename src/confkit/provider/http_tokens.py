"""Tokens that run out: OAuth 2 client credentials (RFC 6749 section 4.4)."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote_plus

import anyio
from attrs import evolve, field, frozen

from confkit.models.errors import OutcomeUnknown, ProviderError, RateLimited, Unauthenticated, Unavailable
from confkit.provider.http_body import Sent, body_of
from confkit.provider.http_errors import ErrorDetails, ErrorTable, Exchange
from confkit.provider.http_line import Line, remaining
from confkit.provider.settings import Secret

#: A token is renewed so many seconds before its end, so that none ends on the way; but never before nine tenths of its
#: time are over.
EARLY: Final = 60.0


def _secret(given: str | Secret[str]) -> Secret[str]:
    return Secret(given)


@frozen(kw_only=True)
class ClientCredentials:
    """What a token is fetched with, as ``auth`` of :class:`~confkit.provider.http.Http`.

    The token is fetched with the first request, kept, and fetched anew before its end, by one request at a time however
    many wait for it; its time counts into that of the request that needs it. Where no token can be had nothing of ours
    was sent: that is ``Unauthenticated`` where the credentials were refused, else ``Unavailable``.

    A 401 for a request is certainly not executed. Where the token had been taken before, it is fetched anew, and the
    request is ``Unavailable``, so that the core sends it again; where the new one is refused for the same operation,
    that is ``Unauthenticated``.

    Args:
        token_url: the token endpoint.
        client_id: sent with ``client_secret`` by HTTP Basic, form-encoded as RFC 6749 section 2.3.1 has it.
        scope: what is asked for, where the platform wants it said.
    """

    token_url: str
    client_id: Secret[str] = field(converter=_secret)
    client_secret: Secret[str] = field(converter=_secret)
    scope: str | None = None

    def header(self) -> Secret[str]:
        """The ``Authorization`` header of the token request."""
        pair = ":".join(quote_plus(each.reveal()) for each in (self.client_id, self.client_secret))
        return Secret(f"Basic {base64.b64encode(pair.encode()).decode()}")

    def secrets(self) -> Secret[tuple[str, ...]]:
        """What must show nowhere, as it is and as it is sent."""
        plain = (self.client_id.reveal(), self.client_secret.reveal())
        return Secret((*plain, *map(quote_plus, plain), self.header().reveal().partition(" ")[2]))


def _details(status: int, headers: Mapping[str, str], payload: Mapping[str, Any]) -> ErrorDetails:
    """An error of a token endpoint (RFC 6749 section 5.2)."""
    del status, headers
    code, text = payload.get("error"), payload.get("error_description")
    return ErrorDetails(
        code=code if isinstance(code, str) else None,
        message=text if isinstance(text, str) else code if isinstance(code, str) else None,
    )


TOKEN_ERRORS: Final = ErrorTable(read=_details)


@frozen
class Token:
    """A token.

    Args:
        ends: on the event loop's clock, when it is to be renewed.
    """

    text: Secret[str]
    ends: float


class TokenSource:
    """Keeps a token that is good.

    Args:
        line: to the token endpoint.
    """

    def __init__(self, credentials: ClientCredentials, line: Line) -> None:
        self._credentials = credentials
        self._line = line
        self._token: Token | None = None
        self._lock: anyio.Lock | None = None
        self._fetches = 0
        self._failure: ProviderError | None = None
        #: The operations that a token was renewed for, and that have not succeeded since.
        self._renewed_for: set[str] = set()

    async def token(self, operation: str, *, within: timedelta) -> Token:
        """A token that has not ended.

        Args:
            operation: what it is for, for errors.

        Raises:
            Unauthenticated: the credentials were refused.
            Unavailable: no token came.
        """
        if (token := self._good()) is not None:
            return token
        began, seen = anyio.current_time(), self._fetches
        if self._lock is None:  # only now it is known which event loop runs
            self._lock = anyio.Lock()
        with anyio.move_on_after(within.total_seconds()) as patience:
            await self._lock.acquire()
        failure = None
        if not patience.cancelled_caught:
            try:
                if self._fetches == seen:
                    await self._fetch(remaining(within, began))
                if self._token is not None:
                    return self._token
                failure = self._failure
            finally:
                self._lock.release()
        raise _failed(self._line.peer.provider, operation, failure, within)

    def taken(self, operation: str) -> None:
        """The platform has taken a token for an operation."""
        self._renewed_for.discard(operation)

    async def renewed(self, token: Token, operation: str, *, within: timedelta) -> bool:
        """A token was refused for an operation: see that there is another.

        Returns:
            Whether there is one that has not been refused for the operation.

        Raises:
            Unauthenticated: the credentials were refused.
            Unavailable: no token came.
        """
        if token is self._token:
            if operation in self._renewed_for:
                self._renewed_for.discard(operation)
                return False
            self._renewed_for.add(operation)
            self._token = None
        await self.token(operation, within=within)
        return True

    def _good(self) -> Token | None:
        token = self._token
        return token if token is not None and anyio.current_time() < token.ends else None

    async def _fetch(self, within: timedelta) -> None:
        """Ask for a token, once; what comes of it is kept."""
        self._token = self._failure = None
        began = anyio.current_time()
        exchange = Exchange(peer=self._line.peer, operation="", mutation=False, timeout=within)
        try:
            reply = await self._line.send(
                exchange,
                "POST",
                self._line.peer.base_url,
                headers=Secret(
                    {
                        "Authorization": self._credentials.header().reveal(),
                        "Accept": "application/json",
                        "Accept-Encoding": "identity",
                        "User-Agent": "confkit",
                    }
                ),
                sent=self._asked(),
            )
            self._token = reply.decode(lambda payload: _token(Secret(payload), began))
        except ProviderError as error:
            error.__traceback__ = None
            self._failure = error
        self._fetches += 1

    def _asked(self) -> Sent | None:
        form = {"grant_type": "client_credentials"}
        if self._credentials.scope is not None:
            form["scope"] = self._credentials.scope
        return body_of(body=Secret(None), form=Secret(form), content=Secret(None), content_type="")


def _token(payload: Secret[Any], began: float) -> Token:
    """The token in a reply (RFC 6749 section 5.1).

    Raises:
        ValueError, TypeError, LookupError: there is none; the text repeats nothing of the reply.
    """
    text = Secret(payload.reveal()["access_token"])
    if str(payload.reveal()["token_type"]).lower() != "bearer":
        raise ValueError("its token_type is not Bearer")
    if not isinstance(text.reveal(), str) or not _can_be_carried(text):
        raise ValueError("its access_token is none that a header can carry")
    life = payload.reveal().get("expires_in")
    try:
        seconds = math.inf if life is None else float(life)
    except (ValueError, TypeError):
        seconds = math.nan
    if math.isnan(seconds):
        raise ValueError("its expires_in is no number")
    return Token(text, began + seconds - min(EARLY, seconds / 10) if seconds < math.inf else math.inf)


def _can_be_carried(text: Secret[str]) -> bool:
    return bool(text.reveal().strip()) and text.reveal().isascii() and text.reveal().isprintable()


def _failed(provider: str, operation: str, failure: ProviderError | None, within: timedelta) -> ProviderError:
    """No token came; nothing of the request has left."""
    if failure is None:
        text = f"no token within {within.total_seconds():g} s"
        return Unavailable(text, provider=provider, operation=operation)
    open_ = isinstance(failure, OutcomeUnknown | Unavailable | RateLimited)
    kind: type[ProviderError] = Unavailable if open_ else Unauthenticated
    # Without the payload, in which the endpoint may repeat what it was sent.
    text = f"no token: {failure.args[0]}"
    problem = kind(text, provider=provider, operation=operation, code=failure.code, status=failure.status)
    for note in getattr(failure, "__notes__", ()):
        problem.add_note(note)
    return problem


def bearing(exchange: Exchange, token: Token, timeout: timedelta) -> Exchange:
    """An exchange that is authorised by a token, in whose messages the token does not show.

    Raises:
        Unavailable: fetching the token has taken all the time.
    """
    if timeout <= timedelta(0):
        raise _failed(exchange.peer.provider, exchange.operation, None, exchange.timeout)
    peer = evolve(exchange.peer, secrets=(token.text.reveal(), *exchange.peer.secrets))
    return evolve(exchange, peer=peer, timeout=timeout)
