"""A provider's settings: keywords first, then the environment, then defaults; every mistake in one error.

A plugin declares them as a frozen attrs class. Each field is a setting; its environment name is
``<PREFIX>_<FIELD>`` in capitals, or the one in its ``metadata["env"]``. Fields with ``repr=False`` are
secrets; a function as ``repr`` says how a field may be shown. A field of type ``int`` or ``float``, or of one of these
or ``None``, that has no converter is converted from text: the environment knows nothing else.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

from attrs import NOTHING, Attribute, Factory, field, fields, frozen

from confkit.models.errors import SettingsError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_HIDDEN: Final = "•••"


class Secret(Generic[T_co]):
    """A value that does not show itself: not in a ``repr``, and so not where a traceback is shown with its locals.

    It is neither text nor a mapping, because those who collect errors look into these by themselves. Keep a value
    in it for as long as it waits in a local variable, and :meth:`reveal` it where it is used.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T_co | Secret[T_co]) -> None:
        self._value: T_co = value.reveal() if isinstance(value, Secret) else value

    def reveal(self) -> T_co:
        """The value."""
        return self._value

    def __repr__(self) -> str:
        return _HIDDEN


def without_credentials(url: object) -> str:
    """The URL as it may be shown: without user info, query and fragment."""
    url = str(url)
    scheme, mark, rest = url.partition("://") if "://" in url else ("", "", url)
    # A credential that nobody has percent-encoded may hold a slash or a question mark: all before the last @ goes.
    rest = rest.rpartition("@")[2]
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.\-]*", scheme):
        scheme = mark = ""
    try:
        parts = urlsplit(f"//{rest}")
        place = parts.netloc
    except ValueError:
        return "an unreadable URL"
    try:
        _ = parts.port
    except ValueError:  # what stands where the port should may be a password whose host was forgotten
        place = f"{place.partition(':')[0]}:{_HIDDEN}"
    return f"{scheme.lower()}{mark}{place}{parts.path}"


def _revealed(given: Mapping[str, Any] | Secret[Mapping[str, Any]]) -> Mapping[str, Any]:
    return Secret(given).reveal()


@frozen(kw_only=True)
class Settings:
    """What the application gave for a provider.

    Args:
        provider: the provider's name.
        keywords: as passed to the client; in a :class:`Secret` where they are not to show in a traceback.
        environ: environment variables; the process's own by default.
    """

    provider: str
    keywords: Mapping[str, Any] = field(factory=dict, repr=False, converter=_revealed)
    environ: Mapping[str, str] = field(factory=lambda: os.environ, repr=False)

    def read(self, kind: type[T], *, prefix: str | None = None) -> T:
        """Build the plugin's settings class.

        Args:
            kind: a frozen attrs class; converters and validators may raise ``ValueError`` or ``TypeError``.
            prefix: of the environment names; the provider's name by default.

        Raises:
            SettingsError: lists every unknown, missing and malformed setting.
        """
        start = (prefix or self.provider).upper().replace("-", "_") + "_"
        known = {attribute.name: attribute for attribute in fields(kind)}  # type: ignore[arg-type]
        problems = [
            f"unknown setting {name!r} (known: {', '.join(sorted(known))})"
            for name in sorted(set(self.keywords) - set(known))
        ]
        values: Secret[dict[str, Any]] = Secret({})
        for name, attribute in known.items():
            variable = attribute.metadata.get("env") or start + name.upper()
            given = Secret(self.keywords.get(name))
            if given.reveal() is None:
                given = Secret(self.environ.get(variable) or None)
            if given.reveal() is None and attribute.default is NOTHING:
                problems.append(f"{name} is missing: pass {name}= or set {variable}")
            elif given.reveal() is not None:
                given, found = _checked(attribute, given, variable)
                values.reveal()[name] = given.reveal()
                problems += found
        if not problems:
            try:
                return kind(**values.reveal())
            except Exception as error:  # any: it would have the values in its frame
                hidden = _pieces(values.reveal()[name] for name in values.reveal() if known[name].repr is not True)
                problems.append(f"they do not go together: {_without(hidden, error)}")
        raise SettingsError(self.provider, problems)


def _checked(attribute: Attribute[Any], given: Secret[Any], variable: str) -> tuple[Secret[Any], list[str]]:
    """The value to build the class with, and what is wrong with it: the field's own converter and validator are tried
    here, so that all mistakes come at once."""
    read = given
    try:
        if attribute.converter is None and isinstance(given.reveal(), str):
            read = Secret(_number_of(attribute)(given.reveal()))
        value = Secret(attribute.converter(read.reveal()) if attribute.converter else read.reveal())  # type: ignore[operator]
        if attribute.validator and not isinstance(attribute.default, Factory):  # type: ignore[arg-type]
            attribute.validator(None, attribute, value.reveal())
    except Exception as error:  # any: what a converter trips over is a mistake of the value
        show = attribute.repr if callable(attribute.repr) else _plain
        shown = "" if attribute.repr is False else _shown(show, given, error)
        return read, [f"{attribute.name} is malformed{shown}: check {attribute.name}= or {variable}"]
    return read, []


def _number_of(attribute: Attribute[Any]) -> Callable[[str], object]:
    """How the text of a field is read: as a number where its type is one, else as it is."""
    kind = attribute.type if isinstance(attribute.type, str) else getattr(attribute.type, "__name__", attribute.type)
    names = {name.strip() for name in str(kind).split("|")} - {"None"}
    return {frozenset({"int"}): _whole, frozenset({"float"}): _finite}.get(frozenset(names), str)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("it must be a whole number") from None


def _finite(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("it must be a number")
    return number


def _plain(given: object) -> str:
    return without_credentials(given) if isinstance(given, str) and "://" in given else repr(given)


def _shown(show: Any, given: Secret[Any], error: Exception) -> str:
    """The value as it may be shown, and the reason without what may not be."""
    try:
        text: str = show(given.reveal())
    except Exception:  # a function for well-formed values
        return ""
    reason = error.args[0] if error.args else error  # attrs' validators add the field and the value to theirs
    # Of a URL that it cannot read, the standard library quotes pieces, which may be pieces of a password.
    hidden = _pieces([given.reveal()]) - _pieces([text])
    return f" ({text}: {_without(hidden, reason)})"


def _pieces(values: Any) -> set[str]:
    return {piece for value in values for piece in re.findall(r"\w{2,}", str(value))}


def _without(hidden: set[str], reason: object) -> str:
    return re.sub(r"\w+", lambda found: _HIDDEN if found[0] in hidden else found[0], str(reason))
