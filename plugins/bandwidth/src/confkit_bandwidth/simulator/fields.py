"""Reading what clients send: JSON bodies in every dialect that the vendor's samples and SDKs use.

``null`` means "not supplied" (the Python SDK sends it for every unset argument), booleans and numbers may come as
strings (the reference pages write ``"mute": "true"``), words of a closed set have no case, unknown keys are ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal
from urllib.parse import urlsplit

from confkit.provider import is_e164, is_sip, masked
from confkit_bandwidth.simulator.refusals import Refusal, invalid, missing

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?")


def body_of(payload: bytes) -> Fields:
    """The properties of a request's body; an empty body has none.

    Raises:
        Refusal: 400, it is not a JSON object.
    """
    if not payload.strip():
        return Fields({})
    try:
        values = json.loads(payload)
    except (ValueError, RecursionError):
        raise invalid("The request body is not valid JSON") from None
    if not isinstance(values, dict):
        raise invalid("The request body must be a JSON object")
    return Fields(values)


class Fields:
    """The properties of a body or of a query string; each reader refuses what the documentation forbids."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {name: value for name, value in values.items() if value is not None}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def as_map(self) -> dict[str, Any]:
        """All that was supplied, as it came."""
        return dict(self._values)

    def get(self, name: str) -> Any:
        """The value as it came, for a property that is a list or a map."""
        return self._values.get(name)

    def require(self, name: str) -> None:
        """Refuse the request when the property is absent or empty."""
        if self._values.get(name, "") == "":
            raise missing(name)

    def text(self, name: str) -> str | None:
        """A string; a number is taken for its digits."""
        value = self._values.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value is not None and not isinstance(value, str):
            raise invalid(f"'{name}' must be a string")
        return value

    def flag(self, name: str) -> bool | None:
        """A boolean, or its name."""
        value = self._values.get(name)
        if isinstance(value, str):
            value = {"true": True, "false": False}.get(value.strip().lower())
            if value is None:
                raise invalid(f"'{name}' must be true or false")
        if value is not None and not isinstance(value, bool):
            raise invalid(f"'{name}' must be true or false")
        return value

    def whole(self, name: str, *, least: int, most: int | None = None) -> int | None:
        """An integer within bounds, both included."""
        value = self._values.get(name)
        if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise invalid(f"'{name}' must be an integer")
        self._within(name, value, least, most)
        return value

    def seconds(self, name: str, *, least: float, most: float) -> float | None:
        """A number of seconds, perhaps with decimals, within bounds."""
        value = self._values.get(name)
        if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
            value = float(value)
        if value is None:
            return None
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise invalid(f"'{name}' must be a number")
        self._within(name, value, least, most)
        return float(value)

    @staticmethod
    def _within(name: str, value: float, least: float, most: float | None) -> None:
        if not value >= least or (most is not None and not value <= most):
            upper = "" if most is None else f" and at most {most:g}"
            raise invalid(f"'{name}' must be at least {least:g}{upper}")

    def choice(self, name: str, allowed: Collection[str]) -> str | None:
        """One of a closed set of words, in the set's own spelling."""
        value = self.text(name)
        if value is None:
            return None
        for word in allowed:
            if word.lower() == value.lower():
                return word
        raise invalid(f"'{name}' must be one of: {', '.join(allowed)}")

    def url(self, name: str) -> str | None:
        """An absolute HTTP URL; an empty string clears the property and is returned as it is."""
        value = self.text(name)
        if not value:
            return value
        try:
            parts = urlsplit(value)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or not value.isascii() or not value.isprintable() or " " in value:
            raise Refusal("callback-invalid-url", f"'{name}' must be an absolute http or https URL")
        return value

    def number(self, name: str) -> str | None:
        """A phone number in E.164."""
        value = self.text(name)
        if value and not is_e164(value):
            raise invalid(f"'{name}' is not a valid phone number: {masked(value)}")
        return value

    def address(self, name: str) -> str | None:
        """A phone number, or a SIP URI; ``sips:`` is not supported (``postCalls.md``)."""
        value = self.text(name)
        if not value or is_e164(value) or (is_sip(value) and value.lower().startswith("sip:")):
            return value
        raise invalid(f"'{name}' is neither a valid phone number nor a SIP URI: {masked(value)}")

    def identifiers(self, name: str) -> tuple[str, ...] | None:
        """A list of ids without repetition; a single string is taken for a list of one."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise invalid(f"'{name}' must be a list of ids")
        return tuple(dict.fromkeys(value))


Timestamps = Literal["seconds", "utc", "short-offset", "offset"]


def stamp(instant: datetime | None, form: Timestamps = "seconds") -> str | None:
    """An instant in one of the forms that the reference pages show."""
    if instant is None:
        return None
    if form == "seconds":
        return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if form == "utc":
        return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    local = instant.astimezone(timezone(timedelta(hours=-2)))
    if form == "short-offset":
        return local.strftime("%Y-%m-%dT%H:%M:%S") + "-02"
    return local.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "-02:00"


def milliseconds(instant: datetime) -> int:
    """An instant as milliseconds since 1970, the form of a single call event and of ``X-RateLimit-Reset``."""
    return int(instant.timestamp() * 1000)


def present(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without the properties that have no value: the API leaves them out."""
    return {name: value for name, value in values.items() if value is not None}
