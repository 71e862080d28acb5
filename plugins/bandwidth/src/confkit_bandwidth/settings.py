"""The settings of the Bandwidth provider."""

from __future__ import annotations

from typing import Any

from attrs import Attribute, field, frozen
from attrs.validators import in_

from confkit.provider import HttpSettings, http_url, without_credentials


def _text(given: Any) -> str:
    """Without the blanks and line ends that a value brings along from a file or a clipboard."""
    if not isinstance(given, str):
        raise TypeError("it must be text")
    return given.strip()


def _not_empty(_: Any, attribute: Attribute[str], value: str) -> None:
    if not value or not value.isprintable():
        raise ValueError(f"{attribute.name} is empty or not printable")


def _credential(_: Any, attribute: Attribute[str], value: str) -> None:
    # A colon would end the user name of HTTP Basic (RFC 7617 section 2).
    if not value or not value.isprintable() or (attribute.name == "token" and ":" in value):
        raise ValueError(f"{attribute.name} is not usable")


def _base_url(given: Any) -> str:
    return http_url(given, without="/v1")


def _count(given: Any) -> int:
    if isinstance(given, bool) or (isinstance(given, float) and not given.is_integer()):
        raise ValueError("it must be a whole number")
    number = int(given)
    if number < 1:
        raise ValueError("it must be at least 1")
    return number


@frozen(kw_only=True)
class BandwidthSettings(HttpSettings):
    """Everything that can be set, by keyword or by ``BANDWIDTH_*`` variable.

    Args:
        user_id: ``u-...``; it stands in every path.
        token: the API token, ``t-...``.
        secret: the API secret.
        base_url: of the API, without ``/v1``.
        profile: what a conference does with the keys its members press. ``interpret_digits``, the platform's
            default, keeps them for volume and leaving; ``passthru_digits`` passes them to the application.
        limits: ``documented`` paces requests below the documented limits; ``off`` waits for the platform to
            refuse.
        call_pacing: ``burst`` creates ``calls_limit`` calls at once and then waits; ``strict`` spaces them
            evenly.
        calls_limit: how many calls may be created in any 10 s, per account and per number.
        requests_per_second: for each of the families ``/calls``, ``/conferences`` and ``/bridges``.
        ca_file, proxy: see :class:`confkit.provider.HttpSettings`.
    """

    user_id: str = field(converter=_text, validator=_not_empty)
    token: str = field(repr=False, converter=_text, validator=_credential, metadata={"env": "BANDWIDTH_API_TOKEN"})
    secret: str = field(repr=False, converter=_text, validator=_credential, metadata={"env": "BANDWIDTH_API_SECRET"})
    base_url: str = field(default="https://api.catapult.inetwork.com", converter=_base_url, repr=without_credentials)
    profile: str = field(default="interpret_digits", validator=in_(("interpret_digits", "passthru_digits")))
    limits: str = field(default="documented", validator=in_(("documented", "off")))
    call_pacing: str = field(default="burst", validator=in_(("burst", "strict")))
    calls_limit: int = field(default=10, converter=_count)
    requests_per_second: int = field(default=1, converter=_count)
