"""Who can be dialled: E.164 numbers and SIP URIs, checked, compared and masked.

Sources: ITU-T E.164 (``+`` and up to 15 digits, the country code never starting with 0) and E.123 (how numbers are
written for people); RFC 3261 section 19.1 (``sip:user@host``, and when two of them are one). RFC 3966 is not accepted:
a ``tel:`` URI is a number in disguise.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata

from attrs import frozen

from confkit.models.text import is_unsafe, one_line

LONGEST_SIP_URI = 512  # no standard sets a limit; this bounds what a log line or a database column must hold

LONGEST_WRITTEN = 100  # characters of a number with everything that people write around it

# E.164 names no least length. The shortest numbers there are have four digits after a country code of three (Niue).
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_SEPARATOR = re.compile(r"[\s().\-/\u2010-\u2015\u2212]")
_WRITTEN = "+ ().-/"
#: Two zeros are most countries' prefix for calls abroad, 0011 is Australia's: after the country code 1 comes no 1.
_ABROAD = re.compile(r"[\s(]*(\+?)[\s(]*(0011|00)(?=[\s()\-.]*[1-9])[\s)]*")
_TRUNK = re.compile(r"\(\s*0\s*\)")
#: An oblique stroke before the last digits stands for another number that ends so (E.123 section 4.3).
_ALTERNATIVE = re.compile(r"/\s*\d{1,3}\s*$")
_EXTENSION = re.compile(
    r"(?:;\s*ext\s*=|[,;#]|(?<![a-z])(?:ext(?:ension)?|[xpw])(?=[\s.:]*\d))[\s.:]*[\d*\#,;pwx\s]*$", re.IGNORECASE
)
#: Country codes of one digit and of two; all others have three (ITU-T E.164, list of assigned codes).
_COUNTRY = re.compile(r"\+(?:[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-9][0-9]{2})")
#: Where a number keeps its first 0 when it is dialled from abroad: Italy, San Marino, the Vatican, Côte d'Ivoire,
#: Burkina Faso, Benin, Gabon, Congo (their national numbering plans, as told to the ITU); and where the trunk prefix
#: is no 0.
_KEEPS_ZERO = frozenset({"+39", "+378", "+379", "+225", "+226", "+229", "+241", "+242"})
_OTHER_TRUNK = frozenset({"+1", "+7"})

# RFC 3261 section 25.1.
_ESCAPED = "%[0-9A-Fa-f]{2}"
_USER = re.compile(rf"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/]|{_ESCAPED})+")
_PASSWORD = re.compile(rf"(?:[A-Za-z0-9\-_.!~*'()&=+$,]|{_ESCAPED})*")
_PARAMETER = re.compile(rf"(?:[A-Za-z0-9\-_.!~*'()&+$/:\[\]]|{_ESCAPED})+")
_HEADER = re.compile(rf"(?:[A-Za-z0-9\-_.!~*'()+$/:\[\]?]|{_ESCAPED})*")
#: Underscores are no part of a host's name (RFC 952), and stand in many all the same.
_PORT = re.compile(r"[0-9]{1,5}")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_\-]{0,61}[A-Za-z0-9_])?")
#: The parameters of which the absence is a value of its own (RFC 3261 section 19.1.4); others tell nobody apart.
_TELLING = ("maddr", "method", "transport", "ttl", "user")
_UNRESERVED = re.compile(r"[A-Za-z0-9\-_.!~*'()]")
_NUMBER = re.compile(r"\d(?:[ ()\-/]*\d){6,}")


def is_e164(address: str) -> bool:
    """Whether the address is a number in E.164's international form."""
    return _E164.fullmatch(address) is not None


def is_sip(address: str) -> bool:
    """Whether the address is a SIP or SIPS URI with a user part."""
    return isinstance(_sip(address), _Sip)


def problem_with(address: str) -> str | None:
    """Say why an address cannot be dialled and how to write it, or ``None`` when it can.

    The sentence never holds the whole number: it goes into errors and logs. What it says to do leads to one number;
    where more than one may be meant, it says so and confkit does not guess.
    """
    if is_e164(address):
        return None
    if not address.strip():
        return "an address is empty"
    shown = masked(address)
    visible = "".join(sign for sign in address if not is_unsafe(sign)).strip()
    if visible.lower().startswith(("sip:", "sips:")):
        found = _sip(address)
        return None if isinstance(found, _Sip) else f"{shown} is not a SIP URI: {found}; it takes sip:user@host"
    if "@" in address:
        return f"{shown} is neither an E.164 number nor a SIP URI: a SIP URI begins with sip: or sips:"
    return f"{shown} {_advice(address)}"


def canonical(address: str) -> str:
    """The form under which two spellings of one address are equal.

    Source:
        RFC 3261 section 19.1.4: the user has a case, the rest has none; an escaped character is the character, unless
        it is a reserved one; a port, ``transport``, ``user``, ``ttl``, ``method`` or ``maddr`` that is left out is not
        the default; headers are never ignored. Any other parameter tells nobody apart here. A host's final dot does
        not either (RFC 1034 section 3.1).
    """
    if address.startswith("+"):
        return address  # most are numbers, and there are many
    found = _sip(address)
    return found.canonical if isinstance(found, _Sip) else address


def masked(address: str) -> str:
    """The address as it may stand in a log: ``+1919•••0101``, ``sip:a•••@example.com``."""
    address = one_line(address)
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


# --- numbers


def _advice(address: str) -> str:
    """How to write what is no E.164 number, as the end of a sentence."""
    if len(address) > LONGEST_WRITTEN:
        return "is neither an E.164 number nor a SIP URI: it is too long"
    mends: list[str] = []
    text = "".join(sign for sign in address if not is_unsafe(sign))
    if text != address:
        mends.append(f"without {_unseen(address)}")
    plain = "".join(_ascii(sign) for sign in text)
    if plain != text:
        mends.append("with the + and the digits of a plain keyboard")
    text = plain.strip()
    if text.lower().startswith("tel:"):
        text = text[4:].strip()
        mends.append("without tel:")
        if ";ext=" not in text.lower():
            text = text.partition(";")[0]
    if extension := _EXTENSION.search(text):
        text = text[: extension.start()].strip()
        mends.append("without the extension, which can be sent as digits once the call is answered")
    compact = _SEPARATOR.sub("", text)
    if any(sign.isalpha() for sign in compact):
        return "is neither an E.164 number nor a SIP URI: write digits for the letters, confkit does not guess which"
    if re.fullmatch(r"\+?[0-9]+", compact) is None:
        return "is neither an E.164 number nor a SIP URI: it takes one + and digits"
    if abroad := _ABROAD.match(text):
        text = "+" + text[abroad.end() :]
        prefix = f"{abroad[2]}, the prefix for calls abroad"
        mends.append(f"without {prefix}, after the +" if abroad[1] else f"with + in the place of {prefix}")
    elif not compact.startswith("+"):
        if compact.startswith("011"):
            mends.append("with + in its place where 011 is the prefix for calls abroad")
        also = f"; and {', '.join(mends)}" if mends else ""
        return (
            "has no country code: a national number is ambiguous, "
            f"write it in E.164 (such as +1 and ten digits for North America){also}"
        )
    if _ALTERNATIVE.search(text):
        return (
            "may be two numbers, parted by a stroke: write one of them with + and digits only, confkit does not guess"
        )
    if trunk := _TRUNK.search(text):
        country = _SEPARATOR.sub("", text[: trunk.start()])
        if _COUNTRY.fullmatch(country) is None or country in _KEEPS_ZERO | _OTHER_TRUNK:
            return (
                "has a 0 in brackets that may belong to the number or not: write + and digits only, with it or "
                "without, confkit does not guess"
            )
        text = country + text[trunk.end() :]
        mends.append("without (0), which is dialled at home only")
    compact = _SEPARATOR.sub("", text)
    country_code = _COUNTRY.match(compact)
    if country_code and country_code[0] not in _KEEPS_ZERO and compact[country_code.end() :].startswith("0"):
        return (
            f"has a 0 after the country code {country_code[0]}, and in most countries that 0 is dialled at home only: "
            "write + and digits only, without it if it is so there, confkit does not guess"
        )
    if compact != text:
        mends.append("without spaces or punctuation")
    if not is_e164(compact):
        return "is not E.164: + and 7 to 15 digits, the first not 0"
    return f"is not E.164: write {masked(compact)}, {', '.join(mends)}"


def _ascii(sign: str) -> str:
    """The digit or the mark that a sign of another script stands for, else the sign."""
    if (digit := unicodedata.decimal(sign, None)) is not None:
        return str(digit)
    usual = unicodedata.normalize("NFKC", sign)
    return usual if usual in tuple(_WRITTEN) and not sign.isspace() else sign


def _unseen(address: str) -> str:
    codes = dict.fromkeys(f"U+{ord(sign):04X}" for sign in address if is_unsafe(sign))
    return f"what does not show ({', '.join([*codes][:3])}{', …' if len(codes) > 3 else ''})"


# --- SIP


@frozen
class _Sip:
    """A SIP URI that can be dialled."""

    canonical: str


def _sip(address: str) -> _Sip | str:
    """Read a SIP URI; gives what is wrong with it where it is none."""
    if not address.isprintable() and any(map(is_unsafe, address)):
        return f"write it without {_unseen(address)}"
    scheme, colon, rest = address.partition(":")
    if not colon or scheme.lower() not in ("sip", "sips"):
        return "it begins with sip: or sips:"
    if len(address) > LONGEST_SIP_URI:
        return f"it is longer than {LONGEST_SIP_URI} characters"
    userinfo, at, rest = rest.rpartition("@")
    user, colon, password = userinfo.partition(":")
    if not at or not user:
        return "nobody is named before the host"
    if _USER.fullmatch(user) is None or _PASSWORD.fullmatch(password) is None:
        return "the name before the @ takes ASCII letters, digits and marks, all else as %20"
    rest, question, tail = rest.partition("?")
    hostport, *parameters = rest.split(";")
    bracket, host, port = _host_and_port(hostport)
    if (place := _ip6(host) if bracket else _name_or_ip4(host)) is None:
        return "the host is neither a name nor an IP address (IPv6 in [ ])"
    if port is not None and not (_PORT.fullmatch(port) and 1 <= int(port) <= 65535):
        return "the port is a number from 1 to 65535"
    known = dict(parameter.lower().partition("=")[::2] for parameter in parameters)
    if len(known) < len(parameters) or not all(_is_parameter(parameter) for parameter in parameters):
        return "what follows a ; is name or name=value, each once"
    headers = tail.split("&") if question else []
    if not all(_is_header(header) for header in headers):
        return "what follows the ? is name=value, joined by &"
    telling = [f";{name}={_folded(known[name])}" for name in _TELLING if name in known]
    facts = sorted(
        f"{name.lower()}={_unescaped(value)}" for name, _, value in (each.partition("=") for each in headers)
    )
    return _Sip(
        f"{scheme.lower()}:{_unescaped(userinfo)}@{place}{'' if port is None else f':{int(port)}'}"
        f"{''.join(telling)}{'?' if facts else ''}{'&'.join(facts)}"
    )


def _host_and_port(text: str) -> tuple[bool, str, str | None]:
    """Whether the host stood in brackets, the host, and the port where there is one."""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        # "[::1" and "[::1]5060" have no host: only a port may follow the bracket.
        return True, host if closed and rest[:1] in ("", ":") else "", rest[1:] if rest else None
    host, colon, port = text.partition(":")
    return False, host, port if colon else None


def _ip6(host: str) -> str | None:
    try:
        return None if "%" in host else f"[{ipaddress.IPv6Address(host)}]"
    except ValueError:
        return None


def _name_or_ip4(host: str) -> str | None:
    """A host as it compares; ``None`` where it is neither a name nor an IPv4 address."""
    labels = host.lower().removesuffix(".").split(".")
    if labels[-1].isdecimal():  # the last label of a name begins with a letter
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            return None
    named = all(_LABEL.fullmatch(label) for label in labels) and len(host) <= 254
    return ".".join(labels) if named else None


def _is_parameter(text: str) -> bool:
    name, equals, value = text.partition("=")
    return bool(_PARAMETER.fullmatch(name) and (not equals or _PARAMETER.fullmatch(value)))


def _is_header(text: str) -> bool:
    name, equals, value = text.partition("=")
    return bool(name and equals and _HEADER.fullmatch(name) and _HEADER.fullmatch(value))


def _unescaped(text: str) -> str:
    """Percent-encoding undone for what needs none: reserved characters and the rest keep it."""

    def plain(found: re.Match[str]) -> str:
        character = chr(int(found[0][1:], 16))
        return character if _UNRESERVED.fullmatch(character) else found[0].upper()

    return re.sub(_ESCAPED, plain, text)


def _folded(text: str) -> str:
    return _unescaped(text).lower()
