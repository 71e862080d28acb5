"""Who can be dialled: E.164 numbers and SIP URIs, checked and masked.

Sources: ITU-T E.164 (``+`` and up to 15 digits, the country code never starting with 0);
RFC 3261 section 19.1 (``sip:user@host``); RFC 3966 is not accepted, a ``tel:`` URI is a number in disguise.
"""

from __future__ import annotations

import re

_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_SEPARATORS = re.compile(r"[\s().\-/]")
_NUMBER = re.compile(r"\d{7,}")
# user part: the unreserved, escaped and user-unreserved characters of RFC 3261 section 25.1; the host is a
# name, an IPv4 address or an IPv6 reference; port, parameters and headers may follow.
_SIP = re.compile(
    r"""sips?:
    [A-Za-z0-9\-_.!~*'()%&=+$,;?/]+ (?: : [A-Za-z0-9\-_.!~*'()%&=+$,]* )? @
    (?: [A-Za-z0-9](?:[A-Za-z0-9.\-]*[A-Za-z0-9])? | \[[0-9A-Fa-f:.]+\] )
    (?: : [0-9]{1,5} )?
    (?: ; [A-Za-z0-9\-_.!~*'()%&=+$/:\[\];]+ )?
    (?: \? [A-Za-z0-9\-_.!~*'()%&=+$/:\[\]?]+ )?
    """,
    re.VERBOSE | re.IGNORECASE,
)
LONGEST_SIP_URI = 512  # no standard sets a limit; this bounds what a log line or a database column must hold


def is_e164(address: str) -> bool:
    """Whether the address is a number in E.164's international form."""
    return _E164.fullmatch(address) is not None


def is_sip(address: str) -> bool:
    """Whether the address is a SIP or SIPS URI with a user part."""
    return len(address) <= LONGEST_SIP_URI and _SIP.fullmatch(address) is not None


def problem_with(address: str) -> str | None:
    """Say why an address cannot be dialled, or ``None`` when it can.

    The sentence never holds the whole number: it goes into errors and logs.
    """
    if is_e164(address) or is_sip(address):
        return None
    if not address:
        return "an address is empty"
    shown = masked(address)
    if address.lower().startswith(("sip:", "sips:")):
        return f"{shown} is not a SIP URI: it takes sip:user@host"
    if address.lower().startswith("tel:"):
        return f"{shown}: write the number alone, without tel:"
    compact = _SEPARATORS.sub("", address)
    if is_e164(compact):
        return f"{shown}: write E.164 without spaces or punctuation, + and digits only"
    if compact.startswith("+") and compact[1:].isdigit():
        return f"{shown} is not E.164: + and 2 to 15 digits, the first not 0"
    if compact.isdigit():
        return (
            f"{shown} has no country code: a national number is ambiguous, "
            "write it in E.164 (such as +1 and ten digits for North America)"
        )
    return f"{shown} is neither an E.164 number nor a SIP URI"


def canonical(address: str) -> str:
    """The form under which two spellings of one address are equal (a SIP host has no case, its user has)."""
    if not is_sip(address):
        return address
    scheme, _, rest = address.partition(":")
    user, _, host = rest.rpartition("@")
    return f"{scheme.lower()}:{user}@{host.lower()}"


def masked(address: str) -> str:
    """The address as it may stand in a log: ``+1919•••0101``, ``sip:a•••@example.com``."""
    if "@" in address:
        user, _, host = address.rpartition("@")
        scheme, colon, name = user.partition(":")
        if scheme.lower() not in ("sip", "sips"):
            scheme, colon, name = "", "", user
        # A number may stand in the host or in a parameter too: sip:ann@example.com;phone=...
        host = _NUMBER.sub(lambda number: f"{number[0][:2]}•••{number[0][-2:]}", host)
        return f"{scheme}{colon}{name[:1]}•••@{host}"
    if len(address) < 8:
        return address[:2] + "•••" if address else ""
    head = address[:5] if address.startswith("+") else address[:2]
    return f"{head}•••{address[-4:]}" if len(address) >= 10 else f"{address[:2]}•••{address[-2:]}"
