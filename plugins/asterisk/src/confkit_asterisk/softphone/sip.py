"""As much of SIP (RFC 3261) as a telephone on loopback needs: reading and writing its messages."""

from __future__ import annotations

import re
import secrets
from urllib.parse import unquote

from attrs import field, frozen

# RFC 3261 section 20: the compact forms.
_COMPACT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
    "c": "content-type",
}


def branch() -> str:
    """The id of a transaction; the start is RFC 3261's magic cookie (section 8.1.1.7)."""
    return f"z9hG4bK{secrets.token_hex(8)}"


@frozen(kw_only=True)
class Message:
    """A request or a response.

    Args:
        first: the request line or status line.
        headers: names in lower case, in order.
    """

    first: str
    headers: tuple[tuple[str, str], ...]
    body: str = field(default="", repr=False)

    @classmethod
    def parse(cls, data: bytes) -> Message:
        """Read a datagram.

        Raises:
            ValueError: it is no SIP message.
        """
        head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        if "SIP/2.0" not in first:
            raise ValueError("not SIP")
        headers = []
        for line in lines:
            name, colon, value = line.partition(":")
            if colon:
                name = name.strip().lower()
                headers.append((_COMPACT.get(name, name), value.strip()))
        return cls(first=first, headers=tuple(headers), body=body)

    def __bytes__(self) -> bytes:
        lines = [self.first, *(f"{name}: {value}" for name, value in self.headers)]
        lines += [f"content-length: {len(self.body.encode())}", "", self.body]
        return "\r\n".join(lines).encode()

    def get(self, name: str) -> str:
        """The first header of a name; empty where there is none."""
        return next((value for found, value in self.headers if found == name), "")

    @property
    def status(self) -> int | None:
        """The status of a response; ``None`` for a request."""
        return int(self.first.split()[1]) if self.first.startswith("SIP/2.0 ") else None

    @property
    def method(self) -> str:
        """The method of a request, or of the request that a response is to."""
        return self.get("cseq").split()[-1] if self.status is not None else self.first.split()[0]

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        return self.get("call-id")

    @property
    def user(self) -> str:
        """The user part of the address that a request is for."""
        found = re.match(r"\S+ sips?:([^@;>\s]*)@", self.first)
        return unquote(found[1].partition(":")[0]) if found else ""

    @property
    def target(self) -> str:
        """The URI in the Contact header: where further requests of the dialog go."""
        contact = self.get("contact")
        found = re.search(r"<([^>]+)>", contact)
        return found[1] if found else contact.partition(";")[0]

    @property
    def media(self) -> tuple[str, int] | None:
        """Where the other side wants to hear audio (RFC 8866)."""
        address = re.search(r"^c=IN IP4 (\S+)", self.body, re.MULTILINE)
        port = re.search(r"^m=audio ([0-9]+)", self.body, re.MULTILINE)
        return (address[1], int(port[1])) if address and port and int(port[1]) else None

    def response(self, status: int, reason: str, *, tag: str, contact: str, sdp: str = "") -> Message:
        """A response to this request."""
        headers = [(name, value) for name, value in self.headers if name in ("via", "from", "call-id", "cseq")]
        to = self.get("to")
        headers.append(("to", to if ";tag=" in to or status == 100 else f"{to};tag={tag}"))
        headers += [("contact", f"<{contact}>"), ("allow", "INVITE, ACK, BYE, CANCEL, OPTIONS")]
        if sdp:
            headers.append(("content-type", "application/sdp"))
        return Message(first=f"SIP/2.0 {status} {reason}", headers=tuple(headers), body=sdp)


def request(
    method: str, uri: str, *, port: int, near: str, far: str, call_id: str, number: int, contact: str, sdp: str = ""
) -> Message:
    """A request of a telephone at a loopback port.

    Args:
        near: the From header, with our tag.
        far: the To header, with the other side's tag once it is known.
        number: of the CSeq header.
    """
    headers = [
        ("via", f"SIP/2.0/UDP 127.0.0.1:{port};rport;branch={branch()}"),
        ("max-forwards", "70"),
        ("from", near),
        ("to", far),
        ("call-id", call_id),
        ("cseq", f"{number} {method}"),
        ("contact", f"<{contact}>"),
    ]
    if sdp:
        headers.append(("content-type", "application/sdp"))
    return Message(first=f"{method} {uri} SIP/2.0", headers=tuple(headers), body=sdp)


def offer(name: str, port: int) -> str:
    """What a telephone can hear: mu-law at this loopback port."""
    lines = [
        "v=0",
        f"o={name} 1 1 IN IP4 127.0.0.1",
        "s=-",
        "c=IN IP4 127.0.0.1",
        "t=0 0",
        f"m=audio {port} RTP/AVP 0 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=ptime:20",
        "a=sendrecv",
        "",
    ]
    return "\r\n".join(lines)
