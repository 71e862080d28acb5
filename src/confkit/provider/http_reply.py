"""A provider's answer over HTTP: the id that is in its Location, and the JSON that is in its body."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from attrs import field, frozen

from confkit.models.errors import ProviderError
from confkit.provider.http_errors import is_html, redacted
from confkit.provider.reasons import note

T = TypeVar("T")


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
            what = "it is HTML, not JSON; is base_url right?" if is_html(self.body) else "it is not JSON"
            problem = self.unreadable(what)
            note(problem, error)
        raise problem
