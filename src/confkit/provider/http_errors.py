"""What an exchange over HTTP means for the request: a provider's error table, and the words for what went wrong.

What became of a request, as told by the class of the error:

* ``Unavailable``: it was certainly not executed (no connection came about), or it only read;
* ``OutcomeUnknown``: it may have been executed: the reply was lost, says nothing certain, or cannot be read;
* any other: the provider refused it, as its :class:`ErrorTable` has it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

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
    Unauthenticated,
    Unavailable,
)
from confkit.provider.reasons import Why, note, refusal_of_proxy
from confkit.provider.route import Route
from confkit.provider.settings import without_credentials
from confkit.provider.transport import Progress, certainly_not_sent

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
    """A provider's errors as data, the most exact first: its own code with the HTTP status, its code, the status.

    Any other 4xx is ``InvalidRequest``. Any other status at all leaves open what happened.

    Args:
        exact: HTTP status and provider code to portable error, for a code that comes with several statuses.
        codes: provider code to portable error. ``OutcomeUnknown`` stands for "it may have been executed" and
            becomes ``Unavailable`` for a request that only read, here as in the others.
        statuses: HTTP status to portable error.
        read: status, headers (names in lower case) and JSON object to what they say; bears any payload.
    """

    exact: Mapping[tuple[int, str], type[ProviderError]] = field(factory=dict)
    codes: Mapping[str, type[ProviderError]] = field(factory=dict)
    statuses: Mapping[int, type[ProviderError]] = field(default=STATUSES)
    read: Callable[[int, Mapping[str, str], Mapping[str, Any]], ErrorDetails] = _no_details

    def classify(self, code: str | None, status: int) -> type[ProviderError]:
        """The portable error of a provider's answer to a mutation."""
        if code is not None and (status, code) in self.exact:
            return self.exact[status, code]
        if code is not None and code in self.codes:
            return self.codes[code]
        if status in self.statuses:
            return self.statuses[status]
        return InvalidRequest if 400 <= status < 500 else OutcomeUnknown


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
class Peer:
    """Whom a provider's requests go to, and what its answers mean.

    Args:
        provider: the provider's name.
        secrets: values that must not show in messages.
    """

    provider: str
    base_url: str = field(repr=False)
    route: Route = field(repr=False)
    errors: ErrorTable = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    def safe(self, text: str) -> str:
        """See :func:`redacted`; knows this connection's secrets."""
        return redacted(text, self.secrets)


@frozen(kw_only=True)
class Exchange:
    """One request's circumstances, which decide what a failure means."""

    peer: Peer
    operation: str
    mutation: bool
    timeout: timedelta

    def unsendable(self, error: Exception) -> ProviderError:
        """The request cannot be put into bytes."""
        return self._error(InvalidRequest, f"it cannot be written as a request: {self.peer.safe(str(error))}")

    def unanswered(self, failure: Exception, progress: Progress) -> ProviderError:
        """No status line came. The failure is told in words and by its classes; whole, it may hold the request."""
        why = Why(failure, timeout=self.timeout, url=self.peer.base_url)
        if certainly_not_sent(failure, progress):
            problem = self._error(Unavailable, why.no_connection(self.peer.route, tunnelled=progress.tunnelled))
        elif not self.mutation:
            problem = self._error(Unavailable, f"no answer from {self.peer.route.host}: {why.no_reply()}")
        else:
            problem = self._error(OutcomeUnknown, f"{why.no_reply()}; the request may have been carried out")
        note(problem, failure)
        return problem

    def refused(self, status: int, headers: Mapping[str, str], content: bytes) -> ProviderError:
        """A status other than 2xx came."""
        payload = _object(content)
        details = self.peer.errors.read(status, headers, payload)
        kind = self.peer.errors.classify(details.code, status)
        code = self.peer.safe(details.code) if details.code else None
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
        return kind(message, provider=self.peer.provider, operation=self.operation, **extra)

    def _message(self, status: int, headers: Mapping[str, str], content: bytes, details: ErrorDetails) -> str:
        if status == 407:
            return f"cannot connect to {self.peer.route.host}: {refusal_of_proxy(status, self.peer.route)}"
        if details.message:
            return self.peer.safe(details.message)
        if 300 <= status < 400:
            place = _URL.match(headers.get("location", ""))
            where = self.peer.safe(place[0]) if place else "another path"
            return f"{self.peer.route.host} redirects to {where}, which is not followed; is base_url right?"
        if is_html(content):
            through = f" (or the proxy {self.peer.route.proxy_host})" if self.peer.route.proxy_host else ""
            return f"{self.peer.route.host}{through} answered with a web page; is base_url right?"
        return "refused without a reason" if status < 500 else "the provider failed"


def _object(content: bytes) -> dict[str, Any]:
    try:
        payload = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def is_html(content: bytes) -> bool:
    """Whether a body is a web page rather than JSON."""
    return content.lstrip()[:1] == b"<"
