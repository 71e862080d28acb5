"""The blocking client: the same surface without ``await``, over an event loop in a thread of its own.

There is no second copy of anything: each method runs the asynchronous one in that thread, through anyio's portal.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, cast

from confkit.client.client import AsyncClient
from confkit.client.direct import Direct
from confkit.client.meeting import Meeting
from confkit.ingest.meeting_view import MeetingState, Who
from confkit.models.capabilities import Capabilities
from confkit.models.durations import Duration
from confkit.models.errors import ConfkitError, MeetingError
from confkit.models.events import Event, IncomingCall
from confkit.models.records import Bridge, Conference, Participant, Party
from confkit.models.trace import Trace
from confkit.provider.settings import Secret
from confkit.runtime.home import CLOSED, event_loop, forked
from confkit.workflows.policy import Mode, Policy

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _Blocking(Generic[P, R]):
    """A method of the asynchronous class, as a blocking one: the same arguments and result."""

    def __init__(self, method: Callable[Concatenate[Any, P], Awaitable[R]]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(self, owner: _Wrapper, kind: type[object]) -> Callable[P, R]:
        @functools.wraps(self._method)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return owner._run(self._method, *args, **kwargs)

        return cast("Callable[P, R]", call)


class _Items(Protocol[T_co]):
    """What can be iterated in the other thread, and told to stop."""

    def __anext__(self) -> Awaitable[T_co]: ...

    def aclose(self) -> Awaitable[None]: ...


#: How long Ctrl-C may go unnoticed while a thread waits for the event loop, in seconds.
SIGNALS_EVERY = 0.5


class _Loop:
    """The event loop in a thread of its own: opened once, used from any thread, closed once."""

    def __init__(self) -> None:
        self._opening, self._closing = threading.Lock(), threading.Lock()  # taken once, and never given back
        self._process: int | None = None
        self._thread: int | None = None
        self._portal: BlockingPortal | None = None
        self._closed = False
        self._stack = ExitStack()

    def open(self, client: AsyncClient) -> None:
        """Start the loop, and open the client in it.

        Raises:
            ConfkitError: it was opened before, or this thread belongs to an event loop.
        """
        self._refuse_event_loops()
        if not self._opening.acquire(blocking=False):
            raise ConfkitError(self._problem() or "this client is open already")
        from anyio.from_thread import start_blocking_portal  # it loads concurrent.futures

        self._process = os.getpid()
        try:
            with ExitStack() as stack:
                portal = stack.enter_context(start_blocking_portal())
                stack.enter_context(portal.wrap_async_context_manager(client))
                self._thread = portal.call(threading.get_ident)
                self._stack, self._portal = stack.pop_all(), portal
        except BaseException:
            self._opening.release()
            raise

    def close(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the client, and end the loop.

        Raises:
            ConfkitError: it is not open, or another process's.
        """
        if error is not None and self._process is not None and forked(self._process) is not None:
            return  # the error says it, or matters more; whoever opened the client closes it
        self._check()
        self._refuse_event_loops(undoing=True)
        if not self._closing.acquire(blocking=False):
            raise ConfkitError(CLOSED)
        try:
            self._stack.__exit__(kind, error, traceback)
        finally:
            self._portal, self._closed = None, True

    def run(self, work: Callable[[], Awaitable[R]], *, undoing: bool = False) -> R:
        """Do something in the loop, and wait for it.

        Args:
            undoing: it is better done at the wrong place than not at all.

        Raises:
            ConfkitError: the client is not open, or not for this process or thread.
        """
        self._refuse_event_loops(undoing=undoing)
        if self._problem() == CLOSED:
            # Its loop is gone. What is over needs none, and says so; the rest is refused.
            from anyio.from_thread import start_blocking_portal

            with start_blocking_portal() as portal:
                return _waited_for(portal, work)
        return _waited_for(self._check(), work)

    def _check(self) -> BlockingPortal:
        if (problem := self._problem()) is not None:
            raise ConfkitError(problem)
        if self._portal is None:
            raise ConfkitError("open the client first: with confkit.Client(...) as client")
        return self._portal

    def _problem(self) -> str | None:
        if self._process is not None and (problem := forked(self._process)) is not None:
            return problem
        return CLOSED if self._closed else None

    def _refuse_event_loops(self, *, undoing: bool = False) -> None:
        """Whoever waits in the thread of an event loop stops it; in that of this one, for ever."""
        if (not undoing or threading.get_ident() == self._thread) and event_loop() is not None:
            raise ConfkitError(
                "an event loop runs in this thread, and would stand still meanwhile: take confkit.AsyncClient"
            )


def _waited_for(portal: BlockingPortal, work: Callable[[], Awaitable[R]]) -> R:
    from concurrent import futures  # late, as whatever only the blocking client needs

    try:
        future = portal.start_task_soon(work)
    except RuntimeError as error:  # its loop has ended meanwhile
        raise ConfkitError(CLOSED) from error
    try:
        # A signal that comes just before this thread begins to wait is handled when the waiting ends, so that it ends
        # now and then; on Windows nothing else would let Ctrl-C through.
        while not future.done():
            futures.wait((future,), timeout=SIGNALS_EVERY)
        return future.result()
    except BaseException:
        future.cancel()  # Ctrl-C in this thread ends the work in the other
        raise


class _Wrapper:
    """Has an asynchronous object and the loop that it lives in."""

    _wrapped: Any
    _loop: _Loop

    def _run(self, method: Callable[..., Awaitable[R]], *args: Any, **kwargs: Any) -> R:
        return self._loop.run(functools.partial(method, self._wrapped, *args, **kwargs))

    def _iterate(self, start: Callable[[], _Items[T]]) -> Generator[T, None, None]:
        """An asynchronous iterator of the other thread, as one of this; it begins now, not with the first item."""

        async def begun() -> _Items[T]:
            return start()

        return self._drain(self._loop.run(begun))

    def _drain(self, items: _Items[T]) -> Generator[T, None, None]:
        try:
            while True:
                try:
                    yield self._loop.run(items.__anext__)
                except StopAsyncIteration:
                    return
        finally:
            with suppress(ConfkitError):  # there is nothing left to stop
                self._loop.run(items.aclose, undoing=True)


class BlockingMeeting(_Wrapper):
    """A meeting, for code that does not await. See :class:`confkit.Meeting`."""

    def __init__(self, loop: _Loop, meeting: Meeting) -> None:
        self._loop = loop
        self._wrapped: Meeting = meeting

    def __enter__(self) -> Self:
        self._run(Meeting.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leave = functools.partial(self._wrapped.__aexit__, kind, error, traceback)
        try:
            self._loop.run(leave, undoing=True)
        except ConfkitError as problem:
            if error is None or isinstance(problem, MeetingError):
                raise

    end = _Blocking(Meeting.end)
    wait_until_ended = _Blocking(Meeting.wait_until_ended)
    add = _Blocking(Meeting.add)
    admit = _Blocking(Meeting.admit)
    remove = _Blocking(Meeting.remove)
    mute = _Blocking(Meeting.mute)
    unmute = _Blocking(Meeting.unmute)
    hold = _Blocking(Meeting.hold)
    resume = _Blocking(Meeting.resume)
    mute_all = _Blocking(Meeting.mute_all)
    play = _Blocking(Meeting.play)
    say = _Blocking(Meeting.say)
    stop_playing = _Blocking(Meeting.stop_playing)
    record = _Blocking(Meeting.record)
    send_digits = _Blocking(Meeting.send_digits)
    transfer = _Blocking(Meeting.transfer)

    def events(self) -> Generator[Event, None, None]:
        """What happens from now on, until the meeting is over."""
        return self._iterate(self._wrapped.events)

    @property
    def id(self) -> str:
        """Unique."""
        return self._wrapped.id

    @property
    def state(self) -> MeetingState:
        """Where the meeting stands."""
        return self._wrapped.state

    @property
    def mode(self) -> Mode | None:
        """Conference or bridge."""
        return self._wrapped.mode

    @property
    def conference(self) -> Conference | None:
        """The provider's conference, once it is known."""
        return self._wrapped.conference

    @property
    def bridge(self) -> Bridge | None:
        """The provider's bridge, once it is known."""
        return self._wrapped.bridge

    @property
    def participants(self) -> tuple[Participant, ...]:
        """Every party that was ever invited."""
        return self._wrapped.participants

    @property
    def trace(self) -> Trace:
        """The steps so far."""
        return self._wrapped.trace

    @property
    def left_behind(self) -> tuple[str, ...]:
        """What could not be undone when the meeting ended."""
        return self._wrapped.left_behind

    def participant(self, who: Who) -> Participant:
        """One party, by address, party, participant or id."""
        return self._wrapped.participant(who)

    def __repr__(self) -> str:
        return repr(self._wrapped)


class BlockingDirect(_Wrapper):
    """A provider's operations by hand, for code that does not await; it is ``client.direct``."""

    def __init__(self, loop: _Loop, direct: Direct) -> None:
        self._loop = loop
        self._wrapped: Direct = direct

    create_conference = _Blocking(Direct.create_conference)
    create_call = _Blocking(Direct.create_call)
    until_answered = _Blocking(Direct.until_answered)
    join = _Blocking(Direct.join)
    add_member = _Blocking(Direct.add_member)
    update_member = _Blocking(Direct.update_member)
    remove_member = _Blocking(Direct.remove_member)
    update_conference = _Blocking(Direct.update_conference)
    end_conference = _Blocking(Direct.end_conference)
    hang_up = _Blocking(Direct.hang_up)
    create_bridge = _Blocking(Direct.create_bridge)
    end_bridge = _Blocking(Direct.end_bridge)
    play = _Blocking(Direct.play)
    say = _Blocking(Direct.say)
    stop_playing = _Blocking(Direct.stop_playing)
    record = _Blocking(Direct.record)
    send_digits = _Blocking(Direct.send_digits)
    transfer = _Blocking(Direct.transfer)
    fetch = _Blocking(Direct.fetch)


class Client(_Wrapper):
    """Connects people through one provider, for code that does not await.

    Takes the arguments of :class:`confkit.AsyncClient`.
    """

    def __init__(
        self,
        provider: str | object,
        *,
        caller_id: str | None = None,
        policy: Policy | None = None,
        plugins: Sequence[object] = (),
        request_timeout: Duration = timedelta(seconds=10),
        show_numbers: bool = False,
        public_url: str | None = None,
        webhook_user: str | None = None,
        webhook_password: str | None = None,
        **settings: Any,
    ) -> None:
        given = Secret({"public_url": public_url, "webhook_user": webhook_user, "webhook_password": webhook_password})
        given.reveal().update(settings)
        del settings, public_url, webhook_user, webhook_password  # a traceback may be shown with its locals
        self._wrapped: AsyncClient = AsyncClient(
            provider,
            caller_id=caller_id,
            policy=policy,
            plugins=plugins,
            request_timeout=request_timeout,
            show_numbers=show_numbers,
            **given.reveal(),
        )
        self._loop = _Loop()

    def __enter__(self) -> Self:
        self._loop.open(self._wrapped)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.close(kind, error, traceback)

    def connect(
        self,
        *parties: str | Party,
        caller_id: str | None = None,
        quorum: int = 2,
        answer_timeout: Duration = timedelta(seconds=30),
        expandable: bool = False,
    ) -> BlockingMeeting:
        """A meeting of these parties; see :meth:`confkit.AsyncClient.connect`. Enter it with ``with``."""

        async def planned() -> Meeting:
            return self._wrapped.connect(
                *parties,
                caller_id=caller_id,
                quorum=quorum,
                answer_timeout=answer_timeout,
                expandable=expandable,
            )

        return BlockingMeeting(self._loop, self._loop.run(planned))

    @property
    def direct(self) -> BlockingDirect:
        """The provider's operations by hand, one step each: what meetings are made of."""
        return BlockingDirect(self._loop, self._wrapped.direct)

    reject_call = _Blocking(AsyncClient.reject_call)
    receive = _Blocking(AsyncClient.receive)

    def incoming(self) -> Iterator[IncomingCall]:
        """Calls that come in, until the client closes; see :meth:`confkit.AsyncClient.incoming`."""
        return self._iterate(self._wrapped.incoming)

    @property
    def incoming_url(self) -> str:
        """The callback URL for the provider's numbers; see :attr:`confkit.AsyncClient.incoming_url`."""
        return self._wrapped.incoming_url

    @property
    def provider(self) -> Any:
        """The provider object, for what is beyond the contract."""
        return self._wrapped.provider

    @property
    def provider_name(self) -> str:
        """The provider's name."""
        return self._wrapped.provider_name

    @property
    def capabilities(self) -> Capabilities:
        """What the provider can do."""
        return self._wrapped.capabilities
