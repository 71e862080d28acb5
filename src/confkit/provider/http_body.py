"""What a request carries, in bytes: JSON, a form, or content of any type."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from attrs import field, frozen

from confkit.provider.settings import Secret

#: What is sent as JSON, by name. A :class:`Secret` anywhere in it, or around it, is revealed when it is written.
Fields = Mapping[str, Any] | Secret[Mapping[str, Any]]

#: One value of a form or query: ``true`` and ``false`` for truth values, nothing for ``None``.
FormValue = str | int | float | bool | None | Secret[str]
#: A form or query. A name may come more than once: as pairs in their order, or with a sequence as its value.
Form = Mapping[str, FormValue | Sequence[FormValue]] | Sequence[tuple[str, FormValue]]


@frozen
class Sent:
    """The body of a request, and the value of its ``Content-Type``."""

    content: Secret[bytes] = field(repr=False)
    type: str


def body_of(*, body: Secret[Any], form: Secret[Any], content: Secret[Any], content_type: str) -> Sent | None:
    """The one body that was given; each of the others holds ``None``.

    Raises:
        ValueError, TypeError: it cannot be written, or it is more than one.
    """
    given = [each for each in (body, form, content) if each.reveal() is not None]
    if len(given) > 1:
        raise TypeError("body, form and content exclude each other")
    if body.reveal() is not None:
        return Sent(_json(body), "application/json")
    if form.reveal() is not None:
        return Sent(Secret(urlencode(list(pairs(form))).encode()), "application/x-www-form-urlencoded")
    if content.reveal() is not None:
        if not isinstance(content.reveal(), bytes) or not content_type.isascii() or not content_type.isprintable():
            raise TypeError("content is bytes, and its type what a header can carry")
        return Sent(content, content_type)
    return None


def pairs(form: Secret[Any]) -> Iterator[tuple[str, str]]:
    """The names and values of a form, in their order, as text."""
    given = form.reveal()
    for name, value in given.items() if isinstance(given, Mapping) else given:
        values = Secret(value).reveal()
        if isinstance(values, str | bytes) or not isinstance(values, Sequence):
            values = (values,)
        yield from ((name, _text(Secret(each).reveal())) for each in values)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written into a form")


def _json(body: Secret[Any]) -> Secret[bytes]:
    text = json.dumps(body.reveal(), ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_reveal)
    return Secret(text.encode())


def _reveal(value: object) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
