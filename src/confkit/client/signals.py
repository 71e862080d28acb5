"""What a program does when it is told to end. SIGTERM ends no ``with`` block by itself: phones would go on ringing."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Final, Self

import anyio
from anyio.abc import TaskGroup

from confkit.models.errors import ConfkitError
from confkit.runtime.home import event_loop, forked

#: Those by which a program is told to end; Windows has no SIGHUP.
ENDING: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class _Told(SystemExit):
    """Takes a blocking program out of whatever it does, through all that it must undo."""


class EndingOnSignals:
    """Made by :func:`ending_on_signals`.

    Attributes:
        received: the signal that has ended the block.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._process = os.getpid()
        self._former: dict[signal.Signals, Any] = {}
        self._tasks: TaskGroup | None = None
        self._bell: tuple[socket.socket, socket.socket] | None = None

    # blocking

    def __enter__(self) -> Self:
        if event_loop() is not None:
            raise ConfkitError("an event loop runs in this thread: write async with confkit.ending_on_signals()")
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._listen_no_more()
        if error is None or isinstance(error, _Told):
            self._pass_on()
        return isinstance(error, _Told)

    # asynchronous

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._bell = ringing, heard = socket.socketpair()
        ringing.setblocking(False)
        heard.setblocking(False)
        self._tasks.start_soon(self._heed, heard, self._tasks, name="confkit signals")
        self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        tasks, bell = self._tasks, self._bell
        assert tasks is not None
        assert bell is not None
        ended = False
        tasks.cancel_scope.cancel()
        try:
            # A task group wraps what passes through it into a group; an error of the block is the block's own.
            if isinstance(error, anyio.get_cancelled_exc_class()):
                ended = bool(await tasks.__aexit__(kind, error, traceback))
            else:
                await tasks.__aexit__(None, None, None)
        finally:
            self._listen_no_more()
            for end in bell:
                end.close()
        if error is None or ended:
            self._pass_on()
        return ended

    async def _heed(self, heard: socket.socket, tasks: TaskGroup) -> None:
        await anyio.wait_readable(heard)
        tasks.cancel_scope.cancel()

    # both

    def _listen(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # Python hands signals to the main thread, and whoever owns that decides when the program ends
        for number in ENDING:
            former = signal.getsignal(number)
            # One that is ignored (as nohup does) ends nothing, and one that Python does not know cannot be put back.
            if former not in (signal.SIG_IGN, None):
                self._former[number] = former
                signal.signal(number, self._take)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if forked(self._process) is not None:
            # The child of a fork has inherited this, and with it the parent's socket. It ends as it would have.
            signal.signal(number, self._former[signal.Signals(number)])
            signal.raise_signal(number)
            return
        if self.received is not None:
            return  # it is being undone; leaving at once would leave calls up
        self.received = signal.Signals(number)
        if self._bell is None:
            raise _Told(128 + number)
        # Python runs this between any two instructions of the event loop, which may be woken by a socket then, no more.
        self._bell[0].send(b"\0")

    def _listen_no_more(self) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)
        self._former.clear()

    def _pass_on(self) -> None:
        """Let the signal do what it would have done without this."""
        if self.received is None:
            return
        for stream in (sys.stdout, sys.stderr):
            # A signal that ends the process at once takes along what was printed and has not been written yet.
            with suppress(AttributeError, OSError, ValueError):  # there is none, nobody reads it, it is closed
                stream.flush()
        signal.raise_signal(self.received)


def ending_on_signals() -> EndingOnSignals:
    """A block that SIGTERM, SIGINT (Ctrl-C) or SIGHUP ends as an error would: so that meetings are ended first.

    Open the client inside of it, with ``async with`` or, where it is a blocking one, with ``with``:

        async with confkit.ending_on_signals(), confkit.AsyncClient(...) as client:
            ...

    The block is cancelled, and the client hangs up and waits until that is done. Then the signal has the effect that it
    would have had otherwise: most programs end by it. More signals meanwhile change nothing. An error that comes out
    of the block, such as that something may still be up, goes before the signal.

    Python hands signals to the main thread only; in any other nothing is caught.
    """
    return EndingOnSignals()
