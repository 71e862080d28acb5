"""One meeting at the command line, from ringing to its end, whatever ends it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio
from attrs import field, frozen

from confkit.cli import failures, tables
from confkit.cli.report import describe
from confkit.cli.screen import Screen
from confkit.client.client import AsyncClient
from confkit.client.meeting import Meeting
from confkit.ingest.watching import Missed
from confkit.models.addresses import masked
from confkit.models.capabilities import EventSource
from confkit.models.errors import MeetingError, SettingsError
from confkit.models.events import (
    CallAnswered,
    CallEnded,
    CallRinging,
    DigitsReceived,
    Event,
    IncomingCall,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
    RecordingFailed,
    RecordingReady,
    Unknown,
    call_of,
)
from confkit.models.records import Party
from confkit.models.text import one_line

if TYPE_CHECKING:
    from confkit.cli.console import Controls
    from confkit.cli.listening import Callbacks

#: The time between two pictures of what moves, in seconds.
TICK = 0.1
#: Told by the participants' states.
_PEOPLE = (CallRinging, CallAnswered, CallEnded, MemberJoined, MemberLeft, MemberUpdated)


@frozen(kw_only=True)
class Wanted:
    """What the user asked for."""

    provider: str
    parties: tuple[str | Party, ...]
    caller_id: str | None = None
    quorum: int = 2
    expandable: bool = False
    answer_timeout: timedelta = timedelta(seconds=30)
    settings: Mapping[str, Any] = field(factory=dict, repr=False)


class Session:
    """Connects people and ends the meeting again.

    Args:
        established: called once everyone has joined or has an outcome, while the meeting is up.
        stay: stay in the meeting until a signal comes or everyone has left.
        controls: rule it by keys while it stays.
        callbacks: where the provider reports what happens; without it, it is asked.

    Attributes:
        meeting: ``None`` until the provider has been opened.
        report: the meeting as it was when it was established, or as it failed.
        failure: what went wrong.
        interrupted: the signal that ended it.
    """

    def __init__(
        self,
        wanted: Wanted,
        screen: Screen,
        *,
        stay: bool = False,
        controls: Controls | None = None,
        callbacks: Callbacks | None = None,
        established: Callable[[Meeting], None] = lambda _: None,
    ) -> None:
        self._wanted = wanted
        self._screen = screen
        self._stay = stay
        self._controls = controls
        self._callbacks = callbacks
        self._on_established = established
        self._scope: anyio.CancelScope | None = None
        self._leaving = anyio.Event()
        self.meeting: Meeting | None = None
        self.established = False
        self.report: dict[str, Any] = {}
        self.failure: BaseException | None = None
        self.interrupted: signal.Signals | None = None

    async def run(self) -> None:
        """Do it all; what goes wrong is kept in ``failure``."""
        try:
            await self._run()
        except Exception as error:
            self.failure = failures.the_one(error)
        if not self.established:
            self.report = self._describe()
        if self.failure is not None:
            self.report["error"] = failures.as_dict(self.failure)
        elif self.interrupted is not None and not self.established:
            self.report["error"] = {"type": "Interrupted", "message": self.epitaph()}

    def epitaph(self) -> str:
        """What was undone in the end, in a few words."""
        return tables.undone(self.meeting.trace.records if self.meeting else ())

    @property
    def callbacks(self) -> int | None:
        """How many callbacks have come; ``None`` where none were asked for."""
        return self._callbacks.taken if self._callbacks is not None else None

    async def _run(self) -> None:
        wanted = self._wanted
        public_url = self._callbacks.public_url if self._callbacks is not None else None
        client = AsyncClient(wanted.provider, caller_id=wanted.caller_id, public_url=public_url, **wanted.settings)
        with _signals() as signals:
            async with self._receiving(client), client:
                self.meeting = meeting = client.connect(
                    *wanted.parties,
                    quorum=wanted.quorum,
                    answer_timeout=wanted.answer_timeout,
                    expandable=wanted.expandable,
                )
                with self._screen, self._controls.keyboard if self._controls is not None else nullcontext():
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self._heed, signals)
                        tasks.start_soon(self._show, meeting)
                        tasks.start_soon(self._tell, meeting)
                        if self._controls is not None:
                            tasks.start_soon(self._obey, self._controls, meeting)
                        try:
                            await self._meet(meeting)
                        finally:
                            self._screen.show(meeting)
                            tasks.cancel_scope.cancel()

    async def _meet(self, meeting: Meeting) -> None:
        with anyio.CancelScope() as self._scope:
            if self.interrupted is not None:
                self._scope.cancel()
            async with meeting:
                self.established = True
                self.report = self._describe()
                self._screen.show(meeting)
                self._on_established(meeting)
                if self._stay:
                    await self._remain(meeting)
        if self.interrupted is not None and meeting.left_behind:
            raise MeetingError("interrupted", participants=meeting.participants, left_behind=meeting.left_behind)

    async def _remain(self, meeting: Meeting) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._until_left, tasks.cancel_scope)
            await meeting.wait_until_ended()
            tasks.cancel_scope.cancel()

    async def _until_left(self, scope: anyio.CancelScope) -> None:
        await self._leaving.wait()
        self._screen.say("hanging up ...")
        scope.cancel()

    async def _obey(self, controls: Controls, meeting: Meeting) -> None:
        await controls.run(meeting, redraw=lambda: self._screen.show(meeting), say=self._screen.say)
        self._leaving.set()

    def _receiving(self, client: AsyncClient) -> AbstractAsyncContextManager[None]:
        """The receiver, open for longer than the client: the last calls are reported when they have ended."""
        if self._callbacks is None:
            return nullcontext()
        if EventSource.WEBHOOK not in client.capabilities.events:
            raise SettingsError(self._wanted.provider, ["it sends no webhooks: leave --public-url out"])
        return self._callbacks.serving(client.webhooks)

    def _describe(self) -> dict[str, Any]:
        return describe(self._wanted.provider, self.meeting, callbacks=self.callbacks)

    async def _heed(self, signals: AsyncIterator[signal.Signals]) -> None:
        """The first signal ends the meeting. More of them change nothing: leaving at once would leave calls up."""
        async for received in signals:
            if self.interrupted is None:
                self.interrupted = received
                if self._scope is not None:
                    self._scope.cancel()
                self._screen.say("hanging up ...")
            else:
                self._screen.say("still hanging up; Ctrl-\\ leaves at once, and may leave calls up")

    async def _show(self, meeting: Meeting) -> None:
        while True:
            self._screen.show(meeting)
            with anyio.move_on_after(TICK):
                await meeting.changed()
            await anyio.sleep(TICK / 4)

    async def _tell(self, meeting: Meeting) -> None:
        async for event in meeting.events():
            if not isinstance(event, _PEOPLE):
                self._screen.say(said(event, meeting))


def said(event: Event, meeting: Meeting) -> str:
    """An event in one line."""
    call = call_of(event)
    name = next((p.party.label for p in meeting.participants if call and p.call_id == call), None)
    match event:
        case DigitsReceived(digits=digits):
            text = f"pressed {digits}"
        case IncomingCall(caller=caller):
            text = f"a call from {masked(caller)}"
        case RecordingReady(recording_id=recording):
            text = f"recording {recording} is ready"
        case RecordingFailed(recording_id=recording):
            text = f"recording {recording} is lost"
        case Unknown(type=kind):
            text = f"event {kind}"
        case Missed(count=count):
            text = f"{count} events were missed"
        case _:
            words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in type(event).__name__)
            text = words.strip()
    return one_line(f"{name} {text}" if name else text)


def _signals() -> AbstractContextManager[AsyncIterator[signal.Signals]]:
    if os.name == "nt":  # there Ctrl-C cancels the main task, which ends the meeting as well
        return nullcontext(_never())
    ending = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
        ending.append(signal.SIGHUP)  # the terminal was closed: nobody could hang up any more
    return anyio.open_signal_receiver(*ending)


async def _never() -> AsyncIterator[signal.Signals]:
    await anyio.sleep_forever()
    yield signal.SIGINT
