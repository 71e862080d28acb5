"""ARI's WebSocket of events, on asyncio and on trio.

The protocol is the Sans-I/O layer of ``websockets``, the socket anyio's. There is no task in the background: whoever
asks for the next message does the work, so whoever holds the connection needs no task group.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import anyio
import anyio.abc
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from confkit.provider import Http, NoConnection, Secret

#: How long connecting and the handshake may take together, in seconds.
CONNECT: Final = 5.0
#: See ``quiet``, in seconds.
QUIET: Final = 5.0
#: An event has a few hundred bytes, and a bridge of a hundred channels a few thousand.
_LARGEST: Final = 1024 * 1024


class StreamLost(Exception):
    """The stream cannot be had any more, or not yet.

    Args:
        refused: nobody listens at the engine's port at all.
        status: what the server answered the handshake with, if it answered.
    """

    def __init__(self, reason: str, *, refused: bool = False, status: int | None = None) -> None:
        super().__init__(reason)
        self.refused = refused
        self.status = status


class EventStream:
    """An open WebSocket."""

    def __init__(self, stream: anyio.abc.ByteStream, protocol: ClientProtocol, quiet: float) -> None:
        self._stream = stream
        self._protocol = protocol
        self._quiet = quiet
        self._messages: deque[dict[str, Any]] = deque()
        self._parts: list[bytes] = []
        self._response: Response | None = None

    @classmethod
    async def open(
        cls, http: Http, *, login: Secret[tuple[str, str]], application: str, quiet: float = QUIET
    ) -> EventStream:
        """Connect and shake hands.

        Args:
            http: whose host it is, and the way there.
            login: user and password.
            quiet: after so many seconds without a message the server is asked for a sign of life, and given as long.

        Raises:
            StreamLost: it did not come about.
        """
        parts = urlsplit(http.base_url)
        query = urlencode({"app": application})
        scheme = "wss" if parts.scheme == "https" else "ws"
        uri = urlunsplit((scheme, parts.netloc, f"{parts.path}/events", query, ""))
        protocol = ClientProtocol(parse_uri(uri), max_size=_LARGEST)
        try:
            with anyio.fail_after(CONNECT):
                stream = await http.connected(timedelta(seconds=0.9 * CONNECT))
                opened = cls(stream, protocol, quiet)
                try:
                    await opened._shake_hands(login)
                except BaseException:
                    await anyio.aclose_forcefully(stream)
                    raise
                return opened
        except TimeoutError:
            raise StreamLost(f"no answer within {CONNECT:g} s") from None
        except NoConnection as error:
            raise StreamLost(str(error), refused=error.refused) from None

    async def receive(self) -> Mapping[str, Any]:
        """The next message.

        Raises:
            StreamLost: the connection is closed, broken, or silent.
        """
        waited_for = 0
        while not self._messages:
            try:
                with anyio.fail_after(self._quiet):
                    await self._read()
                waited_for = 0
            except TimeoutError:
                if waited_for:
                    raise StreamLost(f"no sign of life within {self._quiet:g} s") from None
                waited_for += 1
                self._protocol.send_ping(b"confkit")
                await self._flush()
        return self._messages.popleft()

    async def aclose(self) -> None:
        """Close the connection, with a good-bye if that goes quickly."""
        try:
            if self._protocol.state is State.OPEN:
                with anyio.move_on_after(1, shield=True), contextlib.suppress(StreamLost):
                    self._protocol.send_close()
                    await self._flush()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(self._stream)

    async def _shake_hands(self, login: Secret[tuple[str, str]]) -> None:
        credentials = Secret(base64.b64encode(":".join(login.reveal()).encode()).decode())
        request = Secret(self._protocol.connect())
        request.reveal().headers["Authorization"] = f"Basic {credentials.reveal()}"
        self._protocol.send_request(request.reveal())
        await self._flush()
        while self._response is None and self._protocol.handshake_exc is None:
            await self._read()
        if (problem := self._protocol.handshake_exc) is not None:
            if isinstance(problem, InvalidStatus):
                status = problem.response.status_code
                raise StreamLost(f"the server answered HTTP {status} to the WebSocket", status=status)
            raise StreamLost("the server speaks no WebSocket here; is base_url right?")

    async def _read(self) -> None:
        """Take in what the socket has."""
        try:
            self._protocol.receive_data(await self._stream.receive())
        except anyio.EndOfStream:
            self._protocol.receive_eof()
            if self._protocol.handshake_exc is None:
                raise StreamLost("the server closed the connection") from None
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            raise StreamLost("the connection broke") from None
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._response = event
            elif isinstance(event, Frame):
                self._take(event)
        await self._flush()

    def _take(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.CONT):
            return
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return
        text, self._parts = b"".join(self._parts), []
        try:
            message = json.loads(text)
        except ValueError:
            return  # not an event; ARI sends nothing else
        if isinstance(message, dict):
            self._messages.append(message)

    async def _flush(self) -> None:
        try:
            for data in self._protocol.data_to_send():
                if data:
                    await self._stream.send(data)
                else:
                    await self._end()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            raise StreamLost("the connection broke") from None

    async def _end(self) -> None:
        if isinstance(self._stream, anyio.abc.SocketStream):
            await self._stream.send_eof()
