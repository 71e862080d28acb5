"""Requests to ARI, and its stream of events with everything that keeps it up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar

import anyio
from attrs import define

from confkit.provider import READ_TIMEOUT, Http, ProviderError, Secret, Unauthenticated, Unavailable
from confkit_asterisk import errors
from confkit_asterisk.settings import AsteriskSettings
from confkit_asterisk.stream import EventStream, StreamLost
from confkit_asterisk.wire import PROVIDER

T = TypeVar("T")

#: How many requests are under way at once. Asterisk's HTTP server takes 100 connections by default
#: (``sessionlimit`` of ``http.conf``), other clients' and WebSockets included.
_AT_ONCE: Final = 16
#: The pause before the stream is opened again, in seconds.
_RETRY: Final = 0.2
#: When the engine's port has refused connections for so long, its process has ended. In seconds.
_GONE: Final = 0.6


class Reopened(Exception):
    """The stream was lost and has been opened again; what happened meanwhile was not told."""


@define
class _Outage:
    """The stream is down."""

    refused_since: float | None = None
    told: bool = False

    def shows_the_end(self, lost: StreamLost) -> bool:
        """Whether this failure is the one that shows that the engine's process has ended; true once."""
        now = anyio.current_time()
        if not lost.refused:
            self.refused_since = None
        elif self.refused_since is None:
            self.refused_since = now
        if self.told or self.refused_since is None or now - self.refused_since < _GONE:
            return False
        self.told = True
        return True


class Ari:
    """A connection to one Asterisk.

    Attributes:
        epoch: how often the stream has been opened.
    """

    def __init__(self, settings: AsteriskSettings) -> None:
        self._settings = settings
        self._http = Http(
            PROVIDER,
            f"{settings.base_url}/ari",
            auth=(settings.user, settings.password),
            errors=errors.TABLE,
            settings=settings,
        )
        self._places = anyio.Semaphore(_AT_ONCE)
        self._stream: EventStream | None = None
        self._listening = anyio.Event()
        self._problem: ProviderError | None = None
        self._outage: _Outage | None = None
        self._closed = False
        self.epoch = 0

    @property
    def gone(self) -> bool:
        """Whether the engine's process is known to have ended, and with it everything that was up there.

        Only of an engine on this machine can it be known: elsewhere a port may be closed by what stands between.
        """
        return self._outage is not None and self._outage.told and self._settings.on_this_machine

    async def send(
        self, method: str, *path: str, operation: str, timeout: timedelta, body: Mapping[str, Any] | None = None
    ) -> Any:
        """Send one request that changes something, once; gives the JSON of the reply, if there is any.

        Raises:
            ProviderError: as the operation has it.
        """
        async with self._places:
            try:
                reply = await self._http.request(method, *path, operation=operation, timeout=timeout, body=body)
                return reply.decode(lambda record: record) if reply.body or not reply.complete else None
            except ProviderError as error:
                if (meant := errors.for_operation(error)) is error:
                    raise
                raise meant from error

    async def finish(
        self, method: str, *path: str, operation: str, timeout: timedelta, body: Mapping[str, Any] | None = None
    ) -> None:
        """Send a request that ends something; what has ended is ended, and so is what was in an engine that is gone.

        Args:
            operation: a key of :data:`errors.DONE`, or one whose 404 says so.
        """
        if self.gone:
            return
        try:
            await self.send(method, *path, operation=operation, timeout=timeout, body=body)
        except ProviderError as error:
            if error.status not in errors.DONE.get(operation, frozenset({404})):
                raise

    async def read(
        self,
        *path: str,
        operation: str,
        decode: Callable[[Any], T],
        timeout: timedelta = READ_TIMEOUT,
    ) -> T | None:
        """GET something; ``None`` when it does not exist."""
        if self.gone:
            return None
        async with self._places:
            try:
                return await self._http.read(*path, operation=operation, decode=decode, timeout=timeout)
            except ProviderError as error:
                if error.status == 404:
                    return None
                raise

    async def until_listening(self, timeout: timedelta, operation: str) -> None:
        """Wait until events come in: Asterisk hangs up on those who answer while nobody listens.

        Raises:
            Unavailable: they do not.
            Unauthenticated: and they never will.
        """
        until = anyio.current_time() + timeout.total_seconds()
        while not self._listening.is_set():
            if isinstance(self._problem, Unauthenticated):
                raise Unauthenticated(
                    self._problem.message, provider=PROVIDER, operation=operation, status=self._problem.status
                )
            if anyio.current_time() >= until:
                break
            with anyio.move_on_after(_RETRY):
                await self._listening.wait()
        if not self._listening.is_set():
            reason = f": {self._problem.message}" if self._problem else ""
            raise Unavailable(f"there is no stream of events{reason}", provider=PROVIDER, operation=operation)

    async def message(self) -> Mapping[str, Any] | None:
        """The next event; ``None`` when the engine's process has ended.

        Raises:
            Reopened: the stream broke, and is there again.
            ProviderError: it cannot be opened for the first time, or belongs to another process now.
        """
        if self._outage is None:
            if self._stream is None:
                try:
                    await self._open()
                except StreamLost as lost:
                    self._problem = _error(lost)
                    raise self._problem from lost
            assert self._stream is not None
            try:
                message = await self._stream.receive()
            except StreamLost:
                await self._drop()
                self._outage = _Outage()
            else:
                if message.get("type") == "ApplicationReplaced":
                    raise await self._replaced()
                return message
        while not self._closed:
            try:
                await self._open()
                break
            except StreamLost as lost:
                self._problem = _error(lost)
                if self._outage.shows_the_end(lost):
                    return None
            await anyio.sleep(_RETRY)
        self._outage = None
        raise Reopened

    async def _replaced(self) -> ProviderError:
        await self._drop()
        application = self._settings.application
        self._problem = Unavailable(
            f"another process has taken over the application {application!r}: give every process its own",
            provider=PROVIDER,
            operation="events",
        )
        return self._problem

    async def _open(self) -> None:
        stream = await EventStream.open(
            self._http,
            login=Secret((self._settings.user, self._settings.password)),
            application=self._settings.application,
        )
        if self._closed:
            await stream.aclose()
            raise StreamLost("the client is closed")
        self._stream, self._problem = stream, None
        self.epoch += 1
        self._listening.set()

    async def _drop(self) -> None:
        self._listening = anyio.Event()
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        self._closed = True
        await self._drop()
        await self._http.aclose()


def _error(lost: StreamLost) -> ProviderError:
    details: dict[str, Any] = {"provider": PROVIDER, "operation": "events", "status": lost.status}
    if lost.status == 401:
        return Unauthenticated("Asterisk does not accept user and password", **details)
    return Unavailable(f"the event stream cannot be opened: {lost}", **details)
