"""Many softphones behind one SIP port, as behind a small exchange; the user part of the address tells them apart."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Self

import anyio
from anyio.abc import TaskGroup

from confkit_asterisk.softphone.audio import AMPLITUDE, tone
from confkit_asterisk.softphone.phone import Address, Manner, Phone
from confkit_asterisk.softphone.sip import Message

#: Tones that are not multiples of one another, and are told apart within a few tenths of a second.
TONES: Final = (440, 700, 1000, 1300, 1600)


def tones(number: int) -> list[int]:
    """So many tones that can be told apart, in Hz."""
    return list(TONES[:number]) if number <= len(TONES) else [400 + 130 * index for index in range(number)]


class Phones:
    """An asynchronous context manager; the phones work while it is entered.

    Args:
        talking: how many phones talk at once at most: the more, the softer, so that their sum is not cut off.

    Attributes:
        port: the loopback port for SIP, on UDP.
    """

    def __init__(self, *, talking: int = 5) -> None:
        self._amplitude = min(AMPLITUDE, 4 * AMPLITUDE // max(talking - 1, 1))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._phones: dict[str, Phone] = {}
        self._tasks: TaskGroup | None = None

    def add(self, user: str, *, hz: int = 0, manner: Manner = Manner.ANSWER, after: float = 0.0) -> Phone:
        """Connect one more phone.

        Args:
            user: a number or a name.
            hz: the tone that it sends.
            after: seconds until it answers.
        """
        assert self._tasks is not None, "enter the context first"
        phone = Phone(
            user,
            frames=tone(hz, self._amplitude),
            hz=hz,
            manner=manner,
            after=after,
            port=self.port,
            send=self._send,
            later=self._later,
        )
        self._phones[user] = phone
        self._tasks.start_soon(self._listen, phone)
        return phone

    def connected(self) -> list[Phone]:
        """All phones, in the order in which they were added."""
        return list(self._phones.values())

    def five(self) -> list[Phone]:
        """Five phones, each with its own tone."""
        return [self.add(f"+1919555010{number}", hz=hz) for number, hz in enumerate(TONES, 1)]

    async def until(
        self, expected: Callable[[], bool], *, seconds: float = 5.0, describe: Callable[[], object] = lambda: ""
    ) -> None:
        """Look until it is so.

        Args:
            describe: tells how it is instead.

        Raises:
            AssertionError: it was not so in time.
        """
        until = anyio.current_time() + seconds
        while not expected():
            if anyio.current_time() > until:
                raise AssertionError(f"not so within {seconds:g} s: {describe()}")
            await anyio.sleep(0.05)

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._serve)
        self._tasks.start_soon(self._talk)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        assert self._tasks is not None
        for phone in self._phones.values():
            phone.hang_up()
        self._tasks.cancel_scope.cancel()
        try:
            return await self._tasks.__aexit__(kind, error, traceback)
        finally:
            for each in (self._socket, *(phone.media for phone in self._phones.values())):
                each.close()

    def _send(self, message: Message, address: Address) -> None:
        self._socket.sendto(bytes(message), address)

    def _later(self, seconds: float, do: Callable[[], None]) -> None:
        assert self._tasks is not None
        self._tasks.start_soon(_after, seconds, do)

    async def _serve(self) -> None:
        while True:
            await anyio.wait_readable(self._socket)
            for data, address in _arrived(self._socket):
                try:
                    message = Message.parse(data)
                except ValueError:
                    continue
                self._dispatch(message, address)

    def _dispatch(self, message: Message, address: Address) -> None:
        if message.status is not None:
            for phone in self._phones.values():  # only the one whose call it is knows it
                phone.received(message, address)
        elif (found := self._phones.get(message.user)) is not None:
            found.received(message, address)
        elif message.method != "ACK":
            contact = f"sip:nobody@127.0.0.1:{self.port}"
            self._send(message.response(404, "Not Found", tag="nobody", contact=contact), address)

    async def _listen(self, phone: Phone) -> None:
        while True:
            await anyio.wait_readable(phone.media)
            for packet, _ in _arrived(phone.media):
                phone.heard(packet)

    async def _talk(self) -> None:
        start, tick = anyio.current_time(), 0
        while True:
            for phone in self._phones.values():
                phone.talk(tick)
            # After a pause of the whole machine, what is late is left out rather than sent in a burst.
            tick = max(tick + 1, math.floor((anyio.current_time() - start) / 0.02) - 5)
            await anyio.sleep(max(0.0, start + tick * 0.02 - anyio.current_time()))


def hearing(phones: Iterable[Phone]) -> dict[str, set[str]]:
    """Who hears whom, as measured: for each phone that is in a call, the users of the phones whose tones arrive."""
    everyone = [phone for phone in phones if phone.hz]
    found = {}
    for phone in everyone:
        tones = phone.hears(other.hz for other in everyone)
        found[phone.user] = {other.user for other in everyone if other.hz in tones}
    return found


async def _after(seconds: float, do: Callable[[], None]) -> None:
    await anyio.sleep(seconds)
    do()


def _arrived(source: socket.socket) -> Iterable[tuple[bytes, Address]]:
    """Every datagram that is there."""
    for _ in range(100):
        try:
            yield source.recvfrom(4096)
        except BlockingIOError:
            return
        except ConnectionError:  # what was sent before was refused; that is told here
            continue
