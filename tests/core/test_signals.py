"""Blocks that a signal ends: what becomes of the signal, of errors, and of the handlers that were there before."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest
from confkit_fake import FakeProvider

from confkit import AsyncClient, Client, ConfkitError, MeetingError, ending_on_signals

OURS = "+12018994444"
PARTIES = [f"+1919555010{index}" for index in range(1, 4)]


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """What the program itself hears, in the end."""
    numbers: list[int] = []
    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}

    def hear(number: int, _frame: object) -> None:
        numbers.append(number)

    signal.signal(signal.SIGTERM, hear)
    signal.signal(signal.SIGINT, hear)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield numbers
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.mark.anyio
class TestAsynchronous:
    async def test_the_signal_comes_when_all_is_undone(self, heard: list[int]) -> None:
        provider = FakeProvider()
        async with (
            ending_on_signals() as ending,
            AsyncClient(provider, caller_id=OURS) as client,
            client.connect(*PARTIES),
        ):
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)  # changes nothing any more
            await anyio.sleep_forever()
        assert heard == [signal.SIGTERM]
        assert ending.received is signal.SIGTERM
        assert provider.exchange.still_up() == ()

    async def test_without_a_signal_it_is_as_if_it_were_not_there(self, heard: list[int]) -> None:
        handler = signal.getsignal(signal.SIGTERM)
        async with ending_on_signals() as ending:
            assert signal.getsignal(signal.SIGTERM) is not handler
        assert signal.getsignal(signal.SIGTERM) is handler
        assert (ending.received, heard) == (None, [])

    async def test_an_error_is_the_blocks_own(self, heard: list[int]) -> None:
        handler = signal.getsignal(signal.SIGTERM)
        with pytest.raises(ZeroDivisionError):
            async with ending_on_signals():
                raise ZeroDivisionError
        assert signal.getsignal(signal.SIGTERM) is handler
        assert heard == []

    async def test_an_error_on_the_way_out_goes_before_the_signal(self, heard: list[int]) -> None:
        async def block() -> None:
            async with ending_on_signals():
                try:
                    signal.raise_signal(signal.SIGTERM)
                    await anyio.sleep_forever()
                finally:
                    raise MeetingError("something may still be up")

        with pytest.raises(MeetingError):
            await block()
        assert heard == []

    async def test_a_cancellation_from_outside_goes_on(self, heard: list[int]) -> None:
        reached = False
        with anyio.CancelScope() as scope:
            async with ending_on_signals():
                scope.cancel()
                await anyio.sleep_forever()
            reached = True
        assert scope.cancelled_caught
        assert not reached
        assert heard == []

    async def test_a_signal_that_is_ignored_ends_nothing(self, heard: list[int]) -> None:
        goes_on = False
        async with ending_on_signals():
            signal.raise_signal(signal.SIGHUP)
            await anyio.sleep(0.01)
            goes_on = True
        assert goes_on
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert heard == []

    async def test_a_signal_at_the_last_moment_is_not_lost(self, heard: list[int]) -> None:
        async with ending_on_signals():
            signal.raise_signal(signal.SIGINT)
        assert heard == [signal.SIGINT]

    async def test_the_child_of_a_fork_ends_alone(self, heard: list[int]) -> None:
        handler = signal.getsignal(signal.SIGTERM)
        async with ending_on_signals() as ending:
            if (child := os.fork()) == 0:
                try:
                    signal.signal(signal.SIGALRM, signal.SIG_DFL)
                    signal.raise_signal(signal.SIGTERM)
                    ours = signal.getsignal(signal.SIGTERM) is handler
                    os._exit(0 if ours and heard == [signal.SIGTERM] else 1)
                finally:
                    os._exit(2)
            _, status = await anyio.to_thread.run_sync(os.waitpid, child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
        assert (ending.received, heard) == (None, [])

    async def test_with_alone_is_refused_in_an_event_loop(self) -> None:
        with pytest.raises(ConfkitError, match="async with"), ending_on_signals():
            pass

    async def test_in_another_thread_nothing_is_caught(self, heard: list[int]) -> None:
        handler = signal.getsignal(signal.SIGTERM)

        async def there() -> None:
            async with ending_on_signals():
                assert signal.getsignal(signal.SIGTERM) is handler

        await anyio.to_thread.run_sync(anyio.run, there)
        assert heard == []


class TestBlocking:
    def test_the_signal_comes_when_all_is_undone(self, heard: list[int]) -> None:
        provider = FakeProvider()
        with ending_on_signals() as ending, Client(provider, caller_id=OURS) as client, client.connect(*PARTIES):
            signal.raise_signal(signal.SIGTERM)
            raise AssertionError("the block goes on")
        assert heard == [signal.SIGTERM]
        assert ending.received is signal.SIGTERM
        assert provider.exchange.still_up() == ()

    def test_one_block_in_another(self, heard: list[int]) -> None:
        with ending_on_signals() as outer, ending_on_signals() as inner:
            signal.raise_signal(signal.SIGTERM)
        assert (outer.received, inner.received, heard) == (signal.SIGTERM, signal.SIGTERM, [signal.SIGTERM])

    def test_more_signals_change_nothing(self, heard: list[int]) -> None:
        undone = False
        with ending_on_signals():
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(signal.SIGTERM)
                signal.raise_signal(signal.SIGINT)
                undone = True
        assert undone
        assert heard == [signal.SIGTERM]

    def test_while_a_phone_rings(self, heard: list[int]) -> None:
        provider = FakeProvider(answer_after=600)
        main = threading.main_thread().ident
        assert main is not None

        def tell() -> None:
            while len(provider.exchange.calls) < 3:
                threading.Event().wait(0.001)
            signal.pthread_kill(main, signal.SIGTERM)

        telling = threading.Thread(target=tell)
        with ending_on_signals(), Client(provider, caller_id=OURS) as client:
            telling.start()
            client.connect(*PARTIES).__enter__()
        telling.join()
        assert heard == [signal.SIGTERM]
        assert provider.exchange.still_up() == ()

    def test_an_error_is_the_blocks_own(self, heard: list[int]) -> None:
        handler = signal.getsignal(signal.SIGTERM)
        with pytest.raises(ZeroDivisionError), ending_on_signals():
            raise ZeroDivisionError
        assert signal.getsignal(signal.SIGTERM) is handler
        assert heard == []

    def test_an_error_on_the_way_out_goes_before_the_signal(self, heard: list[int]) -> None:
        def block() -> None:
            with ending_on_signals():
                try:
                    signal.raise_signal(signal.SIGTERM)
                finally:
                    raise MeetingError("something may still be up")

        with pytest.raises(MeetingError):
            block()
        assert heard == []

    def test_a_program_may_end_itself(self, heard: list[int]) -> None:
        with pytest.raises(SystemExit), ending_on_signals():
            raise SystemExit(3)
        assert heard == []

    def test_what_was_printed_is_not_lost_with_the_process(self, heard: list[int], monkeypatch: Any) -> None:
        flushed: list[str] = []

        class Stream:
            def flush(self) -> None:
                flushed.append("flushed")
                assert heard == []

        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", Stream())
            patch.setattr("sys.stderr", None)  # as pythonw and some services have it
            with ending_on_signals():
                signal.raise_signal(signal.SIGTERM)
        assert (flushed, heard) == (["flushed"], [signal.SIGTERM])
