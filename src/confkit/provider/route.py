"""The way to a provider's host: its address, the certificate authorities that are trusted, the proxy in between.

Every provider that speaks HTTP has these settings from here, so that they are called and checked alike:
:class:`HttpSettings` to inherit from, :func:`http_url` to convert with, :func:`without_credentials` to show with.
What is not set is taken from the variables that curl and requests go by.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from attrs import Attribute, field, frozen

from confkit.models.errors import SettingsError
from confkit.provider.settings import Secret, without_credentials

#: The variables that name certificate authorities, the first that is set first.
_AUTHORITIES: Final = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
#: What ``openssl rehash`` calls a certificate, and OpenSSL looks for.
_REHASHED: Final = re.compile(r"[0-9a-f]{8}\.\d+")


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError("it must be text")
    return given.strip()


def _parts(url: str, schemes: tuple[str, ...], meant: str) -> SplitResult:
    """Take a URL apart. What the standard library says of one that it cannot read repeats pieces of it, which may be
    pieces of a password; so it is not passed on."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname
        (host or "").encode("idna")
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in schemes or not url.isprintable() or " " in url:
        raise ValueError(meant)
    if port == 0:
        raise ValueError("port 0 cannot be connected to")
    return parts


def http_url(given: Any, *, without: str = "") -> str:
    """Convert a setting: the address of a platform's API.

    Args:
        without: a path that people add and the provider adds by itself.

    Raises:
        ValueError: it is none, or it holds credentials; the text repeats nothing of it.
        TypeError: it is no text.
    """
    url = _text(given).rstrip("/").removesuffix(without)
    if "@" in url:  # before it is parsed, which could take a part of a password for the port
        raise ValueError("it must have no credentials, query or fragment")
    parts = _parts(url, ("http", "https"), "it must be https://host, or http://host:port")
    if parts.query or parts.fragment:
        raise ValueError("it must have no credentials, query or fragment")
    return url


def _proxy(given: Any) -> str | None:
    if given is None:
        return None
    url = _text(given)
    url = url if "://" in url else f"http://{url}"
    parts = _parts(url, tuple(PORTS), "it must be http://host:port; credentials in it are percent-encoded")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("it must be http://host:port; credentials in it are percent-encoded")
    if parts.scheme.startswith("socks") and find_spec("socksio") is None:
        raise ValueError("a SOCKS proxy takes the package socksio, which is not installed")
    return url.rstrip("/")


def _path(given: Any) -> str | None:
    return None if given is None else os.fspath(given)


def _readable(_: Any, attribute: Attribute[str | None], value: str | None) -> None:
    del attribute
    if value is not None:
        trusting(value)


def trusting(path: str) -> ssl.SSLContext:
    """A context that trusts the authorities in a PEM file, or in a directory as ``openssl rehash`` leaves it.

    Raises:
        ValueError: there are none.
    """
    try:
        if not os.path.isdir(path):
            return ssl.create_default_context(cafile=path)
        if any(_REHASHED.fullmatch(name) for name in os.listdir(path)):
            return ssl.create_default_context(capath=path)
    except ssl.SSLError:
        raise ValueError("it holds no certificates in PEM") from None
    except OSError as error:
        raise ValueError(os.strerror(error.errno).lower() if error.errno else "it cannot be read") from None
    except ValueError:
        raise ValueError("it is no path") from None
    raise ValueError("it holds no certificates under the names that 'openssl rehash' gives them")


@frozen(kw_only=True)
class HttpSettings:
    """The settings that every provider has who speaks HTTP; a provider's own class inherits them.

    Args:
        ca_file: certificate authorities to trust in place of the usual ones: a PEM file, or a directory of them.
        proxy: ``http://host:port``, with credentials if need be; in place of what the environment names.
    """

    ca_file: str | None = field(default=None, converter=_path, validator=_readable)
    proxy: str | None = field(default=None, converter=_proxy, repr=without_credentials)


@frozen(kw_only=True)
class Route:
    """The way to one host.

    Args:
        host: host and port, as they may be shown.
        trust: for TLS; ``None`` where there is none on the way.
        proxy: its URL, credentials included.
        proxy_host: its host and port, as they may be shown.
    """

    host: str
    trust: ssl.SSLContext | None = field(default=None, repr=False)
    proxy: Secret[str] | None = None
    proxy_host: str | None = None

    @property
    def has_proxy_credentials(self) -> bool:
        """Whether the proxy is given any."""
        return self.proxy is not None and "@" in self.proxy.reveal()

    @classmethod
    def to(cls, url: str, settings: HttpSettings, *, provider: str) -> Route:
        """The way to a URL's host, with what is not set taken from the environment.

        Args:
            url: as :func:`http_url` gives it.

        Raises:
            SettingsError: lists what in the environment cannot be used.
        """
        parts = urlsplit(url)
        problems: list[str] = []
        proxy = Secret(settings.proxy) if settings.proxy else _proxy_for(parts, problems)
        proxy_parts = urlsplit(proxy.reveal()) if proxy else None
        encrypted = "https" in (parts.scheme, proxy_parts.scheme if proxy_parts else "")
        # Reading the authorities takes longer than a request; without TLS none are needed.
        trust = _trust(settings.ca_file, problems) if encrypted else None
        problems += [
            f"{name} cannot be read"
            for name, each in (("base_url", Secret(url)), ("the proxy", proxy))
            if each and not _known_to_httpx(each)
        ]
        if problems:
            raise SettingsError(provider, problems)
        return cls(
            host=parts.netloc,
            trust=trust,
            proxy=proxy,
            proxy_host=_shown_host(proxy_parts) if proxy_parts else None,
        )


def _known_to_httpx(url: Secret[str]) -> bool:
    """Whether httpx, which is stricter than the standard library, can read it."""
    import httpx

    try:
        httpx.URL(url.reveal())
    except (httpx.InvalidURL, ValueError):
        return False
    return True


def _shown_host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    return f"{f'[{host}]' if ':' in host else host}:{parts.port or PORTS[parts.scheme]}"


def _trust(ca_file: str | None, problems: list[str]) -> ssl.SSLContext | None:
    named = [("ca_file", ca_file), *((name, os.environ.get(name)) for name in _AUTHORITIES)]
    for name, path in named:
        if path:
            try:
                return trusting(path)
            except ValueError as error:
                problems.append(f"{name} is malformed ({path!r}: {error})")
                return None
    import httpx

    return httpx.create_ssl_context(trust_env=False)


def _proxy_for(parts: SplitResult, problems: list[str]) -> Secret[str] | None:
    """The proxy that the environment names for a host: ``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY`` and the like."""
    proxies = Secret(getproxies())
    found = next(
        ((name, Secret(proxies.reveal()[name])) for name in (parts.scheme, "all") if proxies.reveal().get(name)), None
    )
    if found is None:
        return None
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    if excepted(host, port, proxies.reveal().get("no", "")) or proxy_bypass(parts.netloc):
        return None
    name, url = found
    try:
        return Secret(_proxy(url.reveal()) or "")
    except ValueError as error:
        problems.append(f"{name.upper()}_PROXY is malformed ({without_credentials(url.reveal())}: {error})")
        return None


def excepted(host: str, port: int, no_proxy: str) -> bool:
    """Whether ``NO_PROXY`` excepts a host.

    It lists, with commas or blanks in between, hosts that stand for those below them too, addresses, networks
    (``10.0.0.0/8``), each with a port or without; or ``*`` for all.
    """
    host = host.lower().rstrip(".")
    return any(map(partial(_covers, host, port), re.split(r"[,\s]+", no_proxy.lower())))


def _covers(host: str, port: int, entry: str) -> bool:
    entry = entry.rpartition("://")[2]
    if entry == "*":
        return True
    if (found := re.fullmatch(r"(\[[^\]]*\]|[^:]*):(\d+)", entry)) is not None:
        if int(found[2]) != port:
            return False
        entry = found[1]
    entry = entry.strip("[]")
    try:
        address = ip_address(host)
    except ValueError:
        name = entry.removeprefix("*").strip(".")
        return bool(name) and f".{host}".endswith(f".{name}")
    try:
        return address in ip_network(entry, strict=False)
    except ValueError:
        return False
