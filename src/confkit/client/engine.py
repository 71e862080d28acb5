"""What runs under a client: the runtime of the flows, the sources of facts, and the meetings that both serve."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

import anyio
import pluggy
from anyio.abc import TaskGroup
from attrs import frozen

from confkit.ingest.participants import Roster
from confkit.ingest.router import Arrival, Intake, events_in
from confkit.models.capabilities import EventSource, Joining
from confkit.models.errors import ConfkitError, OutcomeUnknown, ProviderError, Unsupported
from confkit.models.events import (
    Event,
    IncomingCall,
    MemberJoined,
    RecordingFailed,
    RecordingReady,
    conference_of,
    key_of,
)
from confkit.models.records import Bridge, Call, CallSpec, Conference, Dialled, FindHint, Member, Participant, Snapshot
from confkit.models.text import one_line
from confkit.models.trace import Trace
from confkit.runtime.home import CLOSED, Home
from confkit.steps.clock import Clock, PlatformClock
from confkit.steps.executor import StepRequest, Steps
from confkit.steps.log import logger
from confkit.steps.rate_limits import Priority, Withdrawal
from confkit.workflows.flows import InProcessRuntime, Runtime, RuntimeFactory, op_key
from confkit.workflows.leg import made_for
from confkit.workflows.meeting import FLOWS
from confkit.workflows.messages import Adopted, EndReason, Failure, Happened, MeetingBrief, MeetingEnd
from confkit.workflows.policy import Policy

#: How long the first poll waits until everyone has been dialled, and the pause after it, in seconds. The pause doubles
#: up to the provider's ``poll_interval``; all starts over when somebody else is dialled.
FIRST_POLL = 0.03
#: How often a meeting is looked at in which nobody is on the way in, in seconds.
STEADY_POLL = 2.0
#: Every so many of those looks asks for the members too: who leaves a conference need not hang up.
MEMBERS_EVERY = 5
#: Where webhooks or a stream tell what happens, polling only heals what they lost: how often a meeting is looked at
#: while somebody is on the way in, in seconds; and how many of those turns make one while nobody is.
SAFETY_POLL = 10.0
STEADY_TURNS = 3
#: How many meetings are looked at for safety at a time: thousands at once would keep everybody from what is urgent.
HEALERS = 8
#: How many recordings are remembered, so that each is told once.
RECORDINGS = 10_000
#: How much of a meeting may wait to be known as its own, as when a conference's id comes after what happens in it.
HELD = 200
#: How many calls may wait for the application to take them.
CALLERS = 100
#: How long a client that closes waits for legs that their meetings have given up on, in seconds.
STRAGGLERS = 60.0
#: The pause before a broken stream is opened again, in seconds.
REOPEN = 1.0


def random_id() -> str:
    """An id that nobody else has."""
    return secrets.token_hex(8)


@frozen(kw_only=True)
class Surroundings:
    """What an engine takes from outside, so that a test can decide it.

    Args:
        new_id: makes the meetings' ids, and through them the keys of all intents.
        clock: makes what the instants of traces and reports are read from.
        runtime: makes what the flows run on.
    """

    new_id: Callable[[], str] = random_id
    clock: Callable[[], Clock] = Clock
    runtime: RuntimeFactory = InProcessRuntime


class Meeting(Protocol):
    """What the engine needs of a meeting; the application's handle is one."""

    id: str

    @property
    def conference(self) -> Conference | None: ...
    @property
    def bridge(self) -> Bridge | None: ...
    @property
    def participants(self) -> tuple[Participant, ...]: ...
    @property
    def roster(self) -> Roster: ...
    @property
    def trace(self) -> Trace: ...

    def observe(self, flow: str, message: Any) -> None: ...
    def happened(self, flow: str, event: Event, at: datetime, number: int) -> Event | None: ...
    def learned(self, flow: str, result: Any) -> None: ...
    def ended(self, end: MeetingEnd) -> None: ...
    def lacks_the_cause_of(self, call: Call) -> bool: ...
    def call_of(self, person: Participant) -> Call: ...
    async def changed(self) -> None: ...
    async def finish(self) -> None: ...


class Engine:
    """Runs the meetings of one client. All its tasks belong to the client's task group.

    Args:
        callback_url: makes the URL below which events of a meeting are to be reported.

    Attributes:
        callers: calls that have come in, for the application to take.
        closing: whether its client is closing or closed, so that nothing is begun any more.
        home: where the client lives.
    """

    def __init__(
        self,
        provider: str,
        manager: pluggy.PluginManager,
        tasks: TaskGroup,
        *,
        policy: Policy,
        request_timeout: timedelta,
        show_numbers: bool,
        callback_url: Callable[[str], str] | None = None,
        surroundings: Surroundings,
    ) -> None:
        self.policy = policy
        self.clock = surroundings.clock()
        self.new_id = surroundings.new_id
        self.steps = Steps(
            provider,
            manager,
            clock=self.clock,
            request_timeout=request_timeout,
            show_numbers=show_numbers,
        )
        self.intake = Intake(self.clock, self._deliver)
        self._platform_clock = PlatformClock()
        self.runtime: Runtime = surroundings.runtime(tasks, FLOWS, self._run_step, self._observe)
        self.meetings: dict[str, Meeting] = {}
        self.closing = False
        self.home = Home()
        self._wound_up = anyio.Event()
        self._ring, self.callers = anyio.create_memory_object_stream[IncomingCall](CALLERS)
        self._callback_url = callback_url
        self._healing = anyio.Semaphore(HEALERS)
        #: When a meeting is looked at for safety, and which turn that is: in this order, since all wait equally long.
        self._due: dict[str, tuple[float, int]] = {}
        self._is_due: anyio.Event | None = None
        #: Those looks that are under way, by the meeting's id.
        self._lookouts: dict[str, anyio.CancelScope] = {}
        #: What the meeting has been told, and an observer, which failed, has not: by the meeting and the event's id.
        self._unobserved: dict[tuple[str, str], Event] = {}
        #: Which recordings have been told of, whether or not their meeting is over.
        self._recorded: OrderedDict[tuple[str, str], None] = OrderedDict()
        #: By meeting, what names a conference that is not known to be its own (yet), with the flow that it reached.
        self._held: dict[str, list[tuple[str, Arrival]]] = {}
        self._hook = manager.hook
        self._tasks = tasks
        self._log = logger()
        if EventSource.STREAM in self.steps.capabilities.events and "events" in self.steps.implemented:
            tasks.start_soon(self._stream, name="confkit event stream")
        tasks.start_soon(self._heal, name="confkit safety net")

    def check(self) -> None:
        """Refuse to begin anything once the client closes, or from where it does not live.

        Raises:
            ConfkitError: says which.
        """
        if self.closing:
            raise ConfkitError(CLOSED)
        self.home.check()

    async def open(self, meeting: Meeting, brief: MeetingBrief) -> None:
        """Start a meeting's flow and look after it until it has ended."""
        self.meetings[meeting.id] = meeting
        self.steps.traces[meeting.id] = meeting.trace
        self.tell("meeting_started", meeting=meeting.id)
        await self.runtime.start("meeting", meeting.id, brief)
        self._tasks.start_soon(self._look_after, meeting, name=f"confkit {meeting.id} result")
        if EventSource.STREAM in self.steps.capabilities.events or self.callbacks(meeting.id) is not None:
            self._falls_due(meeting, turn=1)
        else:
            self._tasks.start_soon(self._poll, meeting, name=f"confkit {meeting.id} poll")

    async def aclose(self) -> None:
        """End all meetings, stop all flows, release the provider."""
        self.closing = True
        async with anyio.create_task_group() as endings:
            for meeting in list(self.meetings.values()):
                endings.start_soon(meeting.finish)
        with anyio.move_on_after(STRAGGLERS):
            while self.meetings:
                await self._wound_up.wait()
        await self.runtime.aclose()
        self._ring.close()
        self.callers.close()
        if self._hook.aclose.get_hookimpls():
            await self._hook.aclose()

    def callbacks(self, meeting: str) -> str | None:
        """The URL below which the provider is to report the meeting's events; ``None`` where nobody listens."""
        able = EventSource.WEBHOOK in self.steps.capabilities.events and "receive" in self.steps.implemented
        return self._callback_url(meeting) if self._callback_url is not None and able else None

    def give_up(self, meeting: Meeting, late: str) -> None:
        """The undoing takes too long: the owner is told, and the flow goes on in the background."""
        failure = Failure(kind="MeetingError", message=late)
        meeting.ended(MeetingEnd(reason=EndReason.FAILED, established=False, failure=failure, left_behind=(late,)))

    async def _look_after(self, meeting: Meeting) -> None:
        with anyio.CancelScope(shield=True):
            try:
                end: MeetingEnd = await self.runtime.result(meeting.id)
            except Exception as error:
                message = f"confkit has a defect, or was stopped: {type(error).__name__}: {error}"
                end = MeetingEnd(
                    reason=EndReason.FAILED,
                    established=False,
                    failure=Failure(kind="MeetingError", message=message),
                    left_behind=(f"whatever {meeting.id} had created may still be up",),
                )
            meeting.ended(end)
            self.tell("meeting_ended", meeting=meeting.id, reason=end.reason.value)
            # A leg that the meeting has given up on may still be hanging up.
            await self.runtime.wind_up(meeting.id)
            del self.meetings[meeting.id]
            self._due.pop(meeting.id, None)
            if (lookout := self._lookouts.get(meeting.id)) is not None:
                lookout.cancel()
            del self.steps.traces[meeting.id]
            self.intake.release(meeting.id)
            self._held.pop(meeting.id, None)
            self._unobserved = {key: event for key, event in self._unobserved.items() if key[0] != meeting.id}
            self._wound_up.set()
            self._wound_up = anyio.Event()

    def tell(self, hook: str, **facts: Any) -> None:
        """Tell observers; one that fails must not change what happens to people."""
        try:
            getattr(self._hook, hook)(**facts)
        except Exception:
            self._log.exception("observer_failed", hook=hook)

    # --- steps and messages of flows

    async def _run_step(
        self,
        flow: str,
        ordinal: int,
        name: str,
        args: tuple[Any, ...],
        limit: str | None,
        withdrawal: Withdrawal,
        again: bool,
    ) -> Any:
        meeting_id = flow.partition("/")[0]
        if name == "find":
            return await self._find(meeting_id, *args)
        if name == "fetch":
            return await self._fetch(meeting_id, *args)
        if name == "list_calls":
            return await self._list_calls(meeting_id, *args)
        key = op_key(flow, name, ordinal)
        if name == "create_conference":
            self.intake.bind("key", key, meeting_id)
        spec = args[0] if name == "create_call" else None
        try:
            result = await self.steps.run(
                StepRequest(
                    operation=name,
                    arguments=args,
                    op_key=key,
                    step=f"{flow}#{ordinal}",
                    meeting=meeting_id,
                    party=self._label(flow),
                    limit=limit,
                    withdrawal=withdrawal,
                    again=again,
                    reported=partial(self._reported, flow, spec) if isinstance(spec, CallSpec) else None,
                )
            )
        except OutcomeUnknown:
            if isinstance(spec, CallSpec):
                self.intake.expect(flow)
            raise
        meeting = self.meetings[meeting_id]
        meeting.learned(flow, result)
        match result:
            case Dialled(call=call, conference=conference):
                self.intake.bind("call", call.id, flow)
                self._bind_conference(conference, meeting_id)
            case Conference() as conference:
                self._bind_conference(conference, meeting_id)
            case Member(conference=conference):
                self._bind_conference(conference, meeting_id)
            case Bridge(id=id_):
                self.intake.bind("bridge", id_, meeting_id)
        return result

    async def _reported(self, flow: str, spec: CallSpec) -> Call | None:
        """The call that a lost request has made, where it has reported itself at the leg's own address.

        Whoever knows the address can say so of any call, so the provider is asked whom that one was made to.
        """
        for call_id in self.intake.reported_at(flow):
            ref = Call(provider=self.steps.provider, id=call_id)
            try:
                snapshot = await self._ask(flow.partition("/")[0], ref)
            except ProviderError:
                continue
            if (call := made_for(spec.to, call_id, snapshot)) is not None:
                return call
        return None

    async def _ask(self, meeting: str, ref: Conference | Call | Bridge) -> Snapshot:
        """The provider's account, on which a flow depends: it does not wait behind the polls."""
        snapshot: Snapshot = await self.steps.read("fetch", meeting=meeting, priority=Priority.NORMAL, ref=ref)
        return snapshot

    async def _list_calls(self, meeting: str, room: Conference | Bridge) -> tuple[Call, ...]:
        """The calls of a room, with or without a request of its own for that."""
        if "list_calls" not in self.steps.implemented:
            return (await self._ask(meeting, room)).calls
        calls: tuple[Call, ...] = await self.steps.read(
            "list_calls", meeting=meeting, priority=Priority.NORMAL, into=room
        )
        return calls

    async def _find(self, meeting: str, op_key: str, hint: FindHint) -> Any:
        """What an earlier step has made, by its key."""
        if hint.operation not in self.steps.capabilities.finds:
            raise Unsupported(f"find: {hint.operation}", provider=self.steps.provider, operation="find")
        return await self.steps.read("find", meeting=meeting, op_key=op_key, hint=hint)

    async def _fetch(self, meeting: str, ref: Conference | Call | Bridge) -> Snapshot:
        """The provider's account of what a flow asks about; what it says of the meeting's own calls is taken in."""
        asked_at = self.clock.now()
        snapshot = await self._ask(meeting, ref)
        self._take_in(self.meetings[meeting], snapshot, asked_at)
        return snapshot

    def _label(self, flow: str) -> str | None:
        legs = self.meetings[flow.partition("/")[0]].roster.legs
        return self.steps.label(legs[flow][0]) if flow in legs else None

    def _observe(self, flow: str, message: Any) -> None:
        if (meeting := self.meetings.get(flow.partition("/")[0])) is None:
            return
        meeting.observe(flow, message)
        match message:
            case Adopted(conference=conference):
                self._bind_conference(conference, meeting.id)

    def _bind_conference(self, conference: Conference | None, meeting_id: str) -> None:
        """From now on a conference is the meeting's, and what was told of it before counts."""
        if conference is None or conference.id is None:
            return
        self.intake.bind("conference", conference.id, meeting_id)
        held = self._held.pop(meeting_id, [])
        self._held[meeting_id] = [each for each in held if conference_of(each[1].event) != conference.id]
        for flow, arrival in held:
            if conference_of(arrival.event) == conference.id and (meeting := self.meetings.get(meeting_id)) is not None:
                self._tell(meeting, flow, arrival)

    # --- facts

    def has(self, meeting: str) -> bool:
        """Whether a meeting with this id is live."""
        return meeting in self.meetings

    def accept(self, event: Event) -> None:
        """Take in an event that a webhook has brought.

        Raises:
            Exception: an observer's; the event counts when it comes again.
        """
        self.intake.accept(event)

    def _deliver(self, flow: str, arrival: Arrival) -> None:
        """Hand an event to the meeting that it is about, to the flow that acts on it, and last to observers.

        Raises:
            Exception: an observer's. The event may be delivered again then, and goes to the observers alone.
        """
        event = arrival.event
        if isinstance(event, IncomingCall):
            self._announce(event)
            return
        meeting_id = flow.partition("/")[0]
        key = (meeting_id, event.id)
        meeting = self.meetings.get(meeting_id)
        news: Event | None
        if key in self._unobserved:
            news = self._unobserved[key]
        elif meeting is not None:
            if self._concerns(meeting, event):
                news = meeting.happened(flow, event, self._at(arrival), arrival.number)
            else:
                news = None
                held = self._held.setdefault(meeting_id, [])
                held.append((flow, arrival))
                del held[:-HELD]
            self.runtime.post(flow, Happened(event=event, asked=arrival.asked), key=event.id)
        else:
            # What was recorded may be ready when the meeting is over: its observers are told, who else is there.
            news = event if isinstance(event, RecordingReady | RecordingFailed) else None
        if isinstance(event, RecordingReady | RecordingFailed) and key not in self._unobserved:
            news = news if self._is_first(event) else None
        if news is not None:
            self._show(meeting_id, news, key)

    def _is_first(self, event: RecordingReady | RecordingFailed) -> bool:
        """Whether nothing was told of this recording, in its meeting or after it."""
        fact = (type(event).__name__, event.recording_id)
        known = fact in self._recorded
        self._recorded[fact] = None
        if len(self._recorded) > RECORDINGS:
            self._recorded.popitem(last=False)
        return not known

    def _at(self, arrival: Arrival) -> datetime:
        """When it happened, on our clock. What a look shows now, is so since the question was sent at the latest."""
        return self._platform_clock.ours(arrival.event.occurred_at, arrival.at)

    def _concerns(self, meeting: Meeting, event: Event) -> bool:
        """Whether an event that reached a flow is the meeting's in all that it names.

        A conference that is not known to be the meeting's may be somebody else's. That is for the flow to find out;
        until then the meeting's state and the application do not hear of it.
        """
        conference_id, room = conference_of(event), meeting.conference
        if conference_id is None or self.intake.belongs_to("conference", conference_id) == meeting.id:
            return True
        return room is not None and key_of(event) == room.key

    def _tell(self, meeting: Meeting, flow: str, arrival: Arrival) -> None:
        if (news := meeting.happened(flow, arrival.event, self._at(arrival), arrival.number)) is not None:
            self.tell("meeting_event", meeting=meeting.id, event=news)

    def _show(self, meeting: str, event: Event, key: tuple[str, str]) -> None:
        if self._hook.meeting_event.get_hookimpls():
            self._unobserved[key] = event
            # Not by ``tell``: the meeting has it whatever the observer does, and a webhook's sender is to know of that.
            self._hook.meeting_event(meeting=meeting, event=event)
            del self._unobserved[key]

    def _take_in(self, meeting: Meeting, snapshot: Snapshot, asked_at: datetime) -> None:
        """Take in what the provider has answered: new facts go their way, of known members the newest state counts."""
        for event in events_in(snapshot):
            if self.intake.accept_quietly(event, at=asked_at, asked=True) or not isinstance(event, MemberJoined):
                continue
            flow = self.intake.owner(event)
            if flow is not None and flow.partition("/")[0] == meeting.id and self._concerns(meeting, event):
                self._tell(meeting, flow, self.intake.arrival(event, at=asked_at, asked=True))

    def _announce(self, event: IncomingCall) -> None:
        try:
            self._ring.send_nowait(event)
        except anyio.WouldBlock:
            self._log.warning("incoming_call_missed", call=one_line(event.call_id), waiting=CALLERS)

    async def _stream(self) -> None:
        """Take in the provider's stream; when it breaks, open it again and fetch what may have been missed."""
        while True:
            events = self._hook.events()
            try:
                async for event in events:
                    self.intake.accept_quietly(event)
            except Exception as error:
                # Also what no plugin should raise: the meetings go on, and are looked at below.
                message = str(error) if isinstance(error, ProviderError) else type(error).__name__
                self._log.warning("event_stream_broken", provider=self.steps.provider, error=message)
            finally:
                if isinstance(events, AsyncGenerator):
                    with anyio.CancelScope(shield=True):
                        await events.aclose()
            await anyio.sleep(REOPEN)
            for meeting in list(self.meetings.values()):
                await self._look(meeting, members=True)

    async def _poll(self, meeting: Meeting) -> None:
        """Look at a meeting's calls, often while somebody is being rung, seldom while all is quiet."""
        pause, looks, known, fresh = FIRST_POLL, 0, 0, False
        looked = anyio.current_time()
        while meeting.id in self.meetings:
            roster = meeting.roster
            if roster.under_way > known:  # somebody is new
                pause, fresh, looked = FIRST_POLL, True, anyio.current_time()
            known = roster.under_way
            if not self._can_be_looked_at(meeting):
                await meeting.changed()
                looked = anyio.current_time()
                continue
            if roster.dialling or not fresh:  # when the last one has been dialled, a look tells of all
                # Who has answered and is being added is waited for, not asked about.
                joining = self.steps.capabilities.joining is Joining.EXPLICIT and not (roster.ringing or fresh)
                with anyio.CancelScope(deadline=looked + (STEADY_POLL if roster.settled or joining else pause)):
                    await meeting.changed()
                    continue
            pause = FIRST_POLL if fresh else min(pause * 2, self.steps.capabilities.poll_interval.total_seconds())
            fresh = False
            looks += 1
            await self._look(meeting, members=roster.settled and looks % MEMBERS_EVERY == 0)
            looked = anyio.current_time()

    def _can_be_looked_at(self, meeting: Meeting) -> bool:
        """Whether there is anything to ask about: a call, or a room whose calls the provider can list.

        In a room they are asked about while they are being dialled: the request goes beside the dials, and what it
        tells waits for the replies that name the calls.
        """
        room = _room_of(meeting)
        listed = room is not None and room.id is not None and "list_calls" in self.steps.implemented
        return listed or meeting.roster.calls > 0

    async def _heal(self) -> None:
        """Look at each meeting now and then, in case an event was lost; nothing that happens wakes it."""
        async with anyio.create_task_group() as looks:
            while True:
                while not self._due:
                    self._is_due = anyio.Event()
                    await self._is_due.wait()
                meeting_id, (due, turn) = next(iter(self._due.items()))
                await anyio.sleep_until(due)
                if self._due.pop(meeting_id, None) is None:  # it is over
                    continue
                meeting = self.meetings[meeting_id]
                if meeting.roster.calls and not (meeting.roster.settled and turn % STEADY_TURNS):
                    looks.start_soon(self._look_for_safety, meeting, turn, name=f"confkit {meeting_id} look")
                else:
                    self._falls_due(meeting, turn + 1)

    def _falls_due(self, meeting: Meeting, turn: int) -> None:
        self._due[meeting.id] = (anyio.current_time() + SAFETY_POLL, turn)
        if self._is_due is not None:
            self._is_due.set()
            self._is_due = None

    async def _look_for_safety(self, meeting: Meeting, turn: int) -> None:
        if meeting.id not in self.meetings:  # it is over already
            return
        with anyio.CancelScope() as self._lookouts[meeting.id]:
            async with self._healing:
                await self._look(meeting, members=meeting.roster.settled)
        del self._lookouts[meeting.id]
        if meeting.id in self.meetings:
            self._falls_due(meeting, turn + 1)

    async def _look(self, meeting: Meeting, *, members: bool) -> None:
        """Ask the provider once for all legs where it can tell them at once."""
        room = _room_of(meeting)
        fused = self.steps.capabilities.joining is Joining.FUSED
        asked_about = [person for person in meeting.participants if person.call_id and person.ended_at is None]
        listed: set[str] = set()
        asked_at = self.clock.now()
        try:
            if room is None or room.id is None:
                pass
            elif members or fused or "list_calls" not in self.steps.implemented:
                snapshot = await self.steps.read("fetch", meeting=meeting.id, ref=room)
                self._take_in(meeting, snapshot, asked_at)
                listed = {call.id for call in snapshot.calls}
            else:
                calls = await self.steps.read("list_calls", meeting=meeting.id, into=room)
                # A list may not say why nobody answered (Bandwidth's does not); the call itself may. It is asked once
                # it is known whose it is: the list may tell of it before the reply to the dial.
                unexplained = [call for call in calls if meeting.lacks_the_cause_of(call)]
                for call in unexplained:
                    if meeting.roster.has(call.id):
                        told = await self.steps.read("fetch", meeting=meeting.id, ref=call)
                        self._take_in(meeting, told, asked_at)
                others = Snapshot(calls=tuple(call for call in calls if call not in unexplained))
                self._take_in(meeting, others, asked_at)
                listed = {call.id for call in calls}
            for person in asked_about:
                # Without a room to ask about, or dialled before there was one: each for itself.
                if person.call_id not in listed:
                    call = meeting.call_of(person)
                    told = await self.steps.read("fetch", meeting=meeting.id, ref=call)
                    self._take_in(meeting, told, asked_at)
        except ProviderError as error:
            self._log.warning("poll_failed", meeting=meeting.id, provider=error.provider, error=str(error))


def _room_of(meeting: Meeting) -> Conference | Bridge | None:
    return meeting.conference if meeting.conference is not None else meeting.bridge
