"""Who can be dialled: E.164 numbers and SIP URIs, checked, compared and masked.

Sources: ITU-T E.164 (``+`` and up to 15 digits, the country code never starting with 0) and E.123 (how numbers are
written for people); RFC 3261 section 19.1 (``sip:user@host``, and when two of them are one). RFC 3966 is not accepted:
a ``tel:`` URI is a number in disguise.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable

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


@frozen
class _Mended:
    """A number that is one step nearer to E.164.

    Args:
        how: what was done, such as ``without tel:``.
    """

    text: str
    how: str


@frozen
class _Stopped:
    """No advice leads to one number.

    Args:
        why: the end of the sentence.
        mends: what was mended before is told all the same.
    """

    why: str
    mends: bool = False


def _advice(address: str) -> str:
    """How to write what is no E.164 number, as the end of a sentence."""
    text, mends = address, list[str]()
    for rule in _RULES:
        match rule(text):
            case _Mended(text=text, how=how):
                mends.append(how)
            case _Stopped(why=why, mends=told):
                return f"{why}; and {', '.join(mends)}" if told and mends else why
    return f"is not E.164: write {masked(text)}, {', '.join(mends)}"


def _length(text: str) -> _Stopped | None:
    too_long = len(text) > LONGEST_WRITTEN
    return _Stopped("is neither an E.164 number nor a SIP URI: it is too long") if too_long else None


def _without_unseen(text: str) -> _Mended | None:
    shown = "".join(sign for sign in text if not is_unsafe(sign))
    return _Mended(shown, f"without {_unseen(text)}") if shown != text else None


def _plain(text: str) -> _Mended | None:
    plain = "".join(map(_ascii, text))
    return _Mended(plain, "with the + and the digits of a plain keyboard") if plain != text else None


def _without_tel(text: str) -> _Mended | None:
    scheme, colon, number = text.partition(":")
    if not colon or scheme.lstrip().lower() != "tel":
        return None
    # What follows a semicolon tells nobody apart, but for an extension, which is told below.
    number = number if ";ext=" in number.lower() else number.partition(";")[0]
    return _Mended(number.strip(), "without tel:")


def _without_extension(text: str) -> _Mended | None:
    if (extension := _EXTENSION.search(text)) is None:
        return None
    how = "without the extension, which can be sent as digits once the call is answered"
    return _Mended(text[: extension.start()].rstrip(), how)


def _letters(text: str) -> _Stopped | None:
    if not any(sign.isalpha() for sign in text):
        return None
    return _Stopped(
        "is neither an E.164 number nor a SIP URI: write digits for the letters, confkit does not guess which"
    )


def _signs(text: str) -> _Stopped | None:
    if re.fullmatch(r"\+?[0-9]+", _compact(text)):
        return None
    return _Stopped("is neither an E.164 number nor a SIP URI: it takes one + and digits")


def _from_abroad(text: str) -> _Mended | None:
    if (abroad := _ABROAD.match(text)) is None:
        return None
    plus, digits = abroad.groups()
    prefix = f"{digits}, the prefix for calls abroad"
    how = f"without {prefix}, after the +" if plus else f"with + in the place of {prefix}"
    return _Mended("+" + text[abroad.end() :], how)


def _perhaps_from_abroad(text: str) -> _Mended | None:
    if not _compact(text).startswith("011"):
        return None
    return _Mended(text, "with + in its place where 011 is the prefix for calls abroad")


def _national(text: str) -> _Stopped | None:
    if _compact(text).startswith("+"):
        return None
    return _Stopped(
        "has no country code: a national number is ambiguous, "
        "write it in E.164 (such as +1 and ten digits for North America)",
        mends=True,
    )


def _alternative(text: str) -> _Stopped | None:
    if _ALTERNATIVE.search(text) is None:
        return None
    return _Stopped(
        "may be two numbers, parted by a stroke: write one of them with + and digits only, confkit does not guess"
    )


def _without_trunk(text: str) -> _Mended | _Stopped | None:
    if (trunk := _TRUNK.search(text)) is None:
        return None
    country = _compact(text[: trunk.start()])
    if _COUNTRY.fullmatch(country) is None or country in _KEEPS_ZERO | _OTHER_TRUNK:
        return _Stopped(
            "has a 0 in brackets that may belong to the number or not: write + and digits only, with it or "
            "without, confkit does not guess"
        )
    return _Mended(country + text[trunk.end() :], "without (0), which is dialled at home only")


def _zero(text: str) -> _Stopped | None:
    compact = _compact(text)
    country = _COUNTRY.match(compact)
    if country is None or country[0] in _KEEPS_ZERO or not compact.startswith("0", country.end()):
        return None
    return _Stopped(
        f"has a 0 after the country code {country[0]}, and in most countries that 0 is dialled at home only: "
        "write + and digits only, without it if it is so there, confkit does not guess"
    )


def _without_marks(text: str) -> _Mended | None:
    compact = _compact(text)
    return _Mended(compact, "without spaces or punctuation") if compact != text else None


def _digits(text: str) -> _Stopped | None:
    return None if is_e164(text) else _Stopped("is not E.164: + and 7 to 15 digits, the first not 0")


#: In this order; each is given what those before it have made of the address. What is left after the last is E.164.
_RULES: tuple[Callable[[str], _Mended | _Stopped | None], ...] = (
    _length,
    _without_unseen,
    _plain,
    _without_tel,
    _without_extension,
    _letters,
    _signs,
    _from_abroad,
    _perhaps_from_abroad,
    _national,
    _alternative,
    _without_trunk,
    _zero,
    _without_marks,
    _digits,
)


def _compact(text: str) -> str:
    return _SEPARATOR.sub("", text)


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


@frozen
class _Parts:
    """What stands where in a text that is to be a SIP URI; any of it may be wrong.

    Args:
        place: the host as it compares, ``None`` where it is none.
    """

    length: int
    scheme: str
    userinfo: str
    place: str | None
    port: str | None
    parameters: list[str]
    headers: list[str]

    @property
    def user(self) -> str:
        return self.userinfo.partition(":")[0]

    @property
    def password(self) -> str:
        return self.userinfo.partition(":")[2]

    @property
    def values(self) -> dict[str, str]:
        """The parameters by name, in lower case."""
        return dict(parameter.lower().partition("=")[::2] for parameter in self.parameters)


#: What is wrong with a SIP URI, the first that applies (RFC 3261 section 25.1).
_SIP_RULES: tuple[tuple[Callable[[_Parts], object], str], ...] = (
    (lambda uri: uri.scheme not in ("sip", "sips"), "it begins with sip: or sips:"),
    (lambda uri: uri.length > LONGEST_SIP_URI, f"it is longer than {LONGEST_SIP_URI} characters"),
    (lambda uri: not uri.user, "nobody is named before the host"),
    (
        lambda uri: not (_USER.fullmatch(uri.user) and _PASSWORD.fullmatch(uri.password)),
        "the name before the @ takes ASCII letters, digits and marks, all else as %20",
    ),
    (lambda uri: uri.place is None, "the host is neither a name nor an IP address (IPv6 in [ ])"),
    (lambda uri: not _is_port(uri.port), "the port is a number from 1 to 65535"),
    (
        lambda uri: len(uri.values) < len(uri.parameters) or not all(map(_is_parameter, uri.parameters)),
        "what follows a ; is name or name=value, each once",
    ),
    (lambda uri: not all(map(_is_header, uri.headers)), "what follows the ? is name=value, joined by &"),
)


def _sip(address: str) -> _Sip | str:
    """Read a SIP URI; gives what is wrong with it where it is none."""
    if not address.isprintable() and any(map(is_unsafe, address)):
        return f"write it without {_unseen(address)}"
    uri = _parts(address)
    return next((problem for is_wrong, problem in _SIP_RULES if is_wrong(uri)), None) or _Sip(_spelt(uri))


def _parts(address: str) -> _Parts:
    scheme, colon, rest = address.partition(":")
    userinfo, _, rest = rest.rpartition("@")
    rest, question, tail = rest.partition("?")
    hostport, *parameters = rest.split(";")
    bracket, host, port = _host_and_port(hostport)
    return _Parts(
        length=len(address),
        scheme=scheme.lower() if colon else "",
        userinfo=userinfo,
        place=_ip6(host) if bracket else _name_or_ip4(host),
        port=port,
        parameters=parameters,
        headers=tail.split("&") if question else [],
    )


def _spelt(uri: _Parts) -> str:
    """The one spelling of all that mean the same."""
    values = uri.values
    telling = "".join(f";{name}={_folded(values[name])}" for name in _TELLING if name in values)
    facts = sorted(
        f"{name.lower()}={_unescaped(value)}" for name, _, value in (each.partition("=") for each in uri.headers)
    )
    port = "" if uri.port is None else f":{int(uri.port)}"
    question = "?" if facts else ""
    return f"{uri.scheme}:{_unescaped(uri.userinfo)}@{uri.place}{port}{telling}{question}{'&'.join(facts)}"


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


def _is_port(text: str | None) -> bool:
    return text is None or bool(_PORT.fullmatch(text) and 1 <= int(text) <= 65535)


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
