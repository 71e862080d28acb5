"""Why no answer came, in an operator's words.

Nothing here repeats the text of an exception that may hold a URL, a header or a piece of a request.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from attrs import field, frozen

from confkit.provider.route import Route


@frozen
class Why:
    """A failure of a transport, to be told.

    Args:
        timeout: what the whole exchange was given.
        url: what was to be reached.
    """

    failure: Exception = field(repr=False)
    timeout: timedelta = field(kw_only=True)
    url: str = field(kw_only=True)

    def no_connection(self, route: Route, *, tunnelled: bool) -> str:
        """No connection came about.

        Args:
            tunnelled: the proxy on the way, if there is one, has let us through to the host.
        """
        if type(self.failure).__name__ == "ProxyError":
            # httpcore has the status first in its text.
            status = re.match(r"\d{3}", str(self.failure))
            refusal = refusal_of_proxy(int(status[0]) if status else None, route)
            return f"cannot connect to {route.host}: {refusal}"
        near = route.proxy_host is not None and not tunnelled
        place = f"the proxy {route.proxy_host}" if near else route.host
        through = f" through the proxy {route.proxy_host}" if tunnelled else ""
        return f"cannot connect to {place}{through}: {self._why('connection')}"

    def no_reply(self) -> str:
        """The request may have left, and nothing came back."""
        return self._why("reply")

    def _why(self, missing: str) -> str:
        """The innermost reason."""
        # aiohttp's classes derive from those that they are raised for, and lack what these say; and whoever gives them
        # httpx's names calls nearly every one of them a time-out.
        chain = list(_causes(self.failure))
        inner = [cause for cause in chain if _home(cause) != "aiohttp"]
        outer = [cause for cause in chain if _home(cause) == "aiohttp"] or inner
        for cause in inner:
            if reason := _said(cause):
                return reason
        names = {kind.__name__ for cause in outer for kind in type(cause).__mro__}
        if any("Timeout" in name for name in names):
            return f"no {missing} within {self.timeout.total_seconds():g} s"
        if "ClientConnectorDNSError" in names:  # its resolver may be one that raises nothing of the standard library's
            return "the name cannot be looked up"
        if missing == "connection":
            return "the connection was closed at once"
        if "ClientResponseError" in names or any(_home(cause) == "h11" for cause in inner):
            encrypted = self.url.lower().startswith("https:")
            question = "is base_url right?" if encrypted else "does base_url have to begin with https?"
            return f"what came back is not HTTP; {question}"
        return "the connection was closed before the reply"


#: What OpenSSL says where the other side speaks no TLS at all.
_NO_TLS: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"}
)
#: Errors of verification (``X509_V_ERR_*`` of OpenSSL) that mean: the authority is not trusted here.
_NOT_TRUSTED: Final = frozenset({2, 18, 19, 20, 21})


def _said(cause: BaseException) -> str | None:
    """What an exception of the standard library says, in an operator's words."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        said = getattr(cause, "verify_message", None) or "no reason given"
        hint = "; ca_file= or SSL_CERT_FILE names the authorities to trust"
        trusted = getattr(cause, "verify_code", None) not in _NOT_TRUSTED
        return f"TLS: certificate not accepted: {said.rstrip('.')}{'' if trusted else hint}"
    if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "the connection was closed during the TLS handshake"
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLWantReadError | ssl.SSLWantWriteError):
        if cause.reason in _NO_TLS:
            return "TLS: the server speaks none at this port; is it http:// and not https://, or another port?"
        return f"TLS: {(cause.reason or 'handshake failed').replace('_', ' ').lower()}"
    if isinstance(cause, socket.gaierror):
        if cause.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
            return "the name is not known"
        return f"the name cannot be looked up: {(cause.strerror or 'no reason given').lower()}"
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and cause.errno:
        return os.strerror(cause.errno).lower()
    return None


def refusal_of_proxy(status: int | None, route: Route) -> str:
    """Why a proxy lets nobody through, by the status it answers with; ``None`` where it gives none."""
    proxy = f"the proxy {route.proxy_host}" if route.proxy_host else "a proxy on the way"
    if status == 407:
        wanted = "does not take the credentials" if route.has_proxy_credentials else "wants credentials"
        return f"{proxy} {wanted} (407): proxy= takes them, as http://user:password@host:port"
    if status == 403:
        return f"{proxy} does not let anybody through to it (403)"
    return f"{proxy} makes no connection to it{f' ({status})' if status else ''}"


def is_refusal(error: BaseException | None) -> bool:
    """Whether every address of a host refused the connection: nobody listens there at all."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_refusal(each) for each in error.exceptions)
    return isinstance(error, ConnectionRefusedError) or (error is not None and is_refusal(error.__cause__))


def _home(error: BaseException) -> str:
    """The package that an exception's class is from."""
    return type(error).__module__.partition(".")[0]


def note(problem: BaseException, failure: BaseException) -> None:
    """Tell a traceback's reader of an exception by its classes alone."""
    names = (f"{_home(cause)}.{type(cause).__name__}" for cause in _causes(failure))
    problem.add_note("from " + ", ".join(dict.fromkeys(name.removeprefix("builtins.") for name in names)))


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
