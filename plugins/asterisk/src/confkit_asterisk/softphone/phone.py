"""One softphone: how it takes a call, what it says, and what it hears."""

from __future__ import annotations

import enum
import secrets
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from attrs import define

from confkit_asterisk.softphone import audio, sip
from confkit_asterisk.softphone.sip import Message

#: How much of what it heard a phone remembers, in frames of 20 ms.
_MEMORY: Final = 100
#: Louder than this, a tone is heard; one phone in a conference comes through at about 8,000.
AUDIBLE: Final = 500.0

Address = tuple[str, int]


class Manner(enum.Enum):
    """What a phone does when it rings."""

    ANSWER = "answer"
    BUSY = "busy"
    DECLINE = "decline"
    RING = "ring"


@define
class Dialog:
    """One call at the phone.

    Args:
        near: our side's From or To, with our tag.
        far: the other side's.
        uri: where requests go.
        invite: the request that began it, if it came to us.
    """

    call_id: str
    near: str
    far: str
    uri: str
    address: Address
    invite: Message | None = None
    last: Message | None = None
    up: bool = False
    number: int = 1


class Phone:
    """A telephone that is reached as ``sip:<user>@127.0.0.1:<port of its Phones>``.

    Args:
        user: a number or a name.
        hz: the tone that it sends while it is in a call; 0 for silence.
        frames: the tone, to be repeated.
        manner: what it does when it rings.
        after: seconds until it answers.
        port: the SIP port that it shares with others.
        send: sends a datagram from there.
        later: calls a function after so many seconds.

    Attributes:
        rang: how many calls have reached it.
        hung_up_on: how many calls the other side has ended.
        refused: how many calls of its own the other side has not taken.
    """

    def __init__(
        self,
        user: str,
        *,
        hz: int,
        frames: list[bytes],
        manner: Manner,
        after: float,
        port: int,
        send: Callable[[Message, Address], None],
        later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self.user = user
        self.hz = hz
        self.manner = manner
        self.after = after
        self.rang = 0
        self.hung_up_on = 0
        self.refused = 0
        self._port = port
        self._send = send
        self._later = later
        self._tag = secrets.token_hex(4)
        self._dialogs: dict[str, Dialog] = {}
        self._frames = frames
        self._heard: deque[tuple[float, bytes]] = deque(maxlen=_MEMORY)
        self._remote: Address | None = None
        self._sequence = secrets.randbits(15)
        self._source = secrets.randbits(32)
        self.media = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.media.bind(("127.0.0.1", 0))
        self.media.setblocking(False)

    def __repr__(self) -> str:
        return f"<Phone {self.user} {'up' if self.up else 'idle'}>"

    @property
    def uri(self) -> str:
        """Where it is reached."""
        return f"sip:{self.user}@127.0.0.1:{self._port}"

    @property
    def up(self) -> bool:
        """Whether it is in a call."""
        return any(dialog.up for dialog in self._dialogs.values())

    @property
    def ringing(self) -> bool:
        """Whether it rings."""
        return any(not dialog.up and dialog.invite for dialog in self._dialogs.values())

    # --- what it hears

    def level(self, hz: int, *, seconds: float = 0.3) -> float:
        """How loud a tone was in the last seconds; 0 where too little came to tell."""
        since = time.monotonic() - seconds
        frames = [frame for at, frame in self._heard if at > since]
        if len(frames) < 25 * seconds:  # half of what comes in a call
            return 0.0
        return audio.level(frames, hz)

    def hears(self, tones: Iterable[int], *, seconds: float = 0.3) -> set[int]:
        """Which of the tones it has heard in the last seconds."""
        return {hz for hz in tones if self.level(hz, seconds=seconds) > AUDIBLE}

    # --- what its user does

    def call(self, uri: str, address: Address) -> None:
        """Dial a SIP URI through a server."""
        call_id = secrets.token_hex(12)
        near = f"<{self.uri}>;tag={self._tag}"
        self._dialogs[call_id] = Dialog(call_id=call_id, near=near, far=f"<{uri}>", uri=uri, address=address)
        self._request("INVITE", self._dialogs[call_id], sdp=self._offer())

    def hang_up(self) -> None:
        """End every call."""
        for dialog in list(self._dialogs.values()):
            if dialog.up:
                dialog.number += 1
                self._request("BYE", dialog)
            self._over(dialog)

    def answer(self) -> None:
        """Answer what rings."""
        for dialog in list(self._dialogs.values()):
            self._answer(dialog)

    # --- what comes over the wire

    def received(self, message: Message, address: Address) -> None:
        """Take in a SIP message."""
        if message.status is not None:
            self._response(message)
            return
        dialog = self._dialogs.get(message.call_id)
        match message.method:
            case "INVITE" if dialog is None:
                self._invited(message, address)
            case "INVITE":
                assert dialog is not None
                if dialog.up:
                    self._remote = message.media or self._remote
                    self._respond(dialog, message, 200, "OK", sdp=self._offer())
                elif dialog.last is not None:  # a retransmission
                    self._send(dialog.last, address)
            case "BYE":
                self._reply(message, address, 200, "OK")
                if dialog is not None:
                    self.hung_up_on += 1
                    self._over(dialog)
            case "CANCEL":
                self._reply(message, address, 200, "OK")
                if dialog is not None and dialog.invite is not None and not dialog.up:
                    self._respond(dialog, dialog.invite, 487, "Request Terminated")
                    self.hung_up_on += 1
                    self._over(dialog)
            case "ACK":
                pass
            case _:
                self._reply(message, address, 200, "OK")

    def heard(self, packet: bytes) -> None:
        """Take in an RTP packet (RFC 3550)."""
        if len(packet) > 12 and packet[1] & 0x7F == 0:
            self._heard.append((time.monotonic(), packet[12:]))

    def talk(self, tick: int) -> None:
        """Send 20 ms of the tone, if there is a call."""
        if self._remote is None:
            return
        self._sequence = self._sequence + 1 & 0xFFFF
        stamp = tick * audio.FRAME & 0xFFFFFFFF
        header = struct.pack("!BBHII", 0x80, 0, self._sequence, stamp, self._source)
        try:
            self.media.sendto(header + self._frames[tick % len(self._frames)], self._remote)
        except OSError:  # its port is closed already, or the buffer is full: speech is not repeated
            return

    # --- inside

    def _invited(self, message: Message, address: Address) -> None:
        self.rang += 1
        dialog = Dialog(
            call_id=message.call_id,
            near=f"{message.get('to')};tag={self._tag}",
            far=message.get("from"),
            uri=message.target,
            address=address,
            invite=message,
        )
        self._respond(dialog, message, 100, "Trying")
        if self.manner is Manner.BUSY:
            self._respond(dialog, message, 486, "Busy Here")
            return
        if self.manner is Manner.DECLINE:
            self._respond(dialog, message, 603, "Decline")
            return
        self._dialogs[dialog.call_id] = dialog
        self._respond(dialog, message, 180, "Ringing")
        if self.manner is Manner.ANSWER:
            self._later(self.after, lambda: self._answer(dialog))

    def _answer(self, dialog: Dialog) -> None:
        if dialog.up or dialog.invite is None or dialog.call_id not in self._dialogs:
            return
        dialog.up = True
        self._remote = dialog.invite.media
        self._respond(dialog, dialog.invite, 200, "OK", sdp=self._offer())

    def _response(self, message: Message) -> None:
        dialog = self._dialogs.get(message.call_id)
        status = message.status or 0
        if dialog is None or message.method != "INVITE" or status < 200:
            return
        dialog.far = message.get("to")
        dialog.uri = message.target or dialog.uri
        self._request("ACK", dialog)
        if status >= 300:
            self.refused += 1
            self._over(dialog)
        elif not dialog.up:
            dialog.up = True
            self._remote = message.media

    def _over(self, dialog: Dialog) -> None:
        self._dialogs.pop(dialog.call_id, None)
        if not self.up:
            self._remote = None

    def _respond(self, dialog: Dialog, message: Message, status: int, reason: str, *, sdp: str = "") -> None:
        dialog.last = message.response(status, reason, tag=self._tag, contact=self.uri, sdp=sdp)
        self._send(dialog.last, dialog.address)

    def _reply(self, message: Message, address: Address, status: int, reason: str) -> None:
        self._send(message.response(status, reason, tag=self._tag, contact=self.uri), address)

    def _request(self, method: str, dialog: Dialog, *, sdp: str = "") -> None:
        message = sip.request(
            method,
            dialog.uri,
            port=self._port,
            near=dialog.near,
            far=dialog.far,
            call_id=dialog.call_id,
            number=dialog.number,
            contact=self.uri,
            sdp=sdp,
        )
        self._send(message, dialog.address)

    def _offer(self) -> str:
        return sip.offer("phone", self.media.getsockname()[1])
