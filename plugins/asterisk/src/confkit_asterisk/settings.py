"""The settings of the Asterisk provider."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import Attribute, field, frozen

from confkit.provider import HttpSettings, http_url, without_credentials

_TEMPLATE: Final = re.compile(r"[A-Za-z0-9]+/[^{}\s]*\{(number|uri)\}[^{}\s]*")


def _text(given: Any) -> str:
    """Without the blanks and line ends that a value brings along from a file or a clipboard."""
    if not isinstance(given, str):
        raise TypeError("it must be text")
    return given.strip()


def _credential(_: Any, attribute: Attribute[str], value: str) -> None:
    # A colon would end the user name of HTTP Basic (RFC 7617 section 2).
    if not value or not value.isprintable() or (attribute.name == "user" and ":" in value):
        raise ValueError(f"{attribute.name} is not usable")


def _name(_: Any, attribute: Attribute[str], value: str) -> None:
    # A comma separates application names in ARI.
    if not re.fullmatch(r"[A-Za-z0-9_.\-]+", value):
        raise ValueError(f"{attribute.name} takes letters, digits, '_', '.' and '-'")


def _base_url(given: Any) -> str:
    return http_url(given, without="/ari")


def _template(_: Any, attribute: Attribute[str | None], value: str | None) -> None:
    if value is None:
        return
    found = _TEMPLATE.fullmatch(value)
    wanted = "number" if attribute.name == "endpoint" else "uri"
    if found is None or found[1] != wanted:
        example = "PJSIP/{number}@trunk" if wanted == "number" else "PJSIP/trunk/{uri}"
        raise ValueError(f"it takes technology/resource with {{{wanted}}} in it, such as {example}")


def _optional_text(given: Any) -> str | None:
    return None if given is None else _text(given)


@frozen(kw_only=True)
class AsteriskSettings(HttpSettings):
    """Everything that can be set, by keyword or by ``ASTERISK_*`` variable.

    Args:
        base_url: of Asterisk's HTTP server, without ``/ari``.
        user: of ``ari.conf``.
        password: its password.
        application: the name under which this process takes calls; every process needs one of its own.
        endpoint: how a number is dialled: ``PJSIP/{number}@trunk`` for a trunk of that name.
        sip_endpoint: how a SIP URI is dialled: ``PJSIP/trunk/{uri}``.
        ca_file, proxy: see :class:`confkit.provider.HttpSettings`.
    """

    user: str = field(converter=_text, validator=_credential)
    password: str = field(repr=False, converter=_text, validator=_credential)
    base_url: str = field(default="http://127.0.0.1:8088", converter=_base_url, repr=without_credentials)
    application: str = field(default="confkit", converter=_text, validator=_name)
    endpoint: str | None = field(default=None, converter=_optional_text, validator=_template)
    sip_endpoint: str | None = field(default=None, converter=_optional_text, validator=_template)

    @property
    def on_this_machine(self) -> bool:
        """Whether the engine is asked for at a loopback address."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"
