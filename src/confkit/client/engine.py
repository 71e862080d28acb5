"""What runs under a client: the runtime of the workflows, the sources of facts, and the meetings that both serve."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import pluggy
from attrs import frozen

from confkit.ingest.delivery import Delivery
from confkit.ingest.meeting_view import SHOWN, MeetingView
from confkit.ingest.polling import Poller
from confkit.ingest.stream import take_in_stream
from confkit.models.capabilities import BridgeEnds, EventSource
from confkit.models.errors import ConfkitError, OutcomeUnknown, ProviderError, Unsupported
from confkit.models.events import Event, IncomingCall
from confkit.models.records import Bridge, Call, CallSpec, Conference, Dialled, FindHint, Member, Snapshot
from confkit.models.text import one_line
from confkit.runtime.home import CLOSED, Home
from confkit.runtime.host import Runtime, RuntimeFactory
from confkit.runtime.in_process import InProcessRuntime
from confkit.steps.clock import Clock
from confkit.steps.executor import StepRequest, Steps
from confkit.steps.log import logger
from confkit.steps.operations import OPERATIONS
from confkit.steps.rate_limits import CancelToken, Priority
from confkit.workflows.driver import Finished, RunStep, StepDone
from confkit.workflows.flow import FlowId, op_key
from confkit.workflows.meeting import FLOWS
from confkit.workflows.messages import Adopted, End, EndReason, Failure, MeetingBrief, MeetingEnd
from confkit.workflows.policy import Plan, Policy

if TYPE_CHECKING:
    # It loads what else no program needs.
    from anyio.abc import TaskGroup

#: How many calls may wait for the application to take them.
CALLERS: Final = 100
#: How long the undoing of a meeting may take before its owner gets a report instead.
UNDO_TIMEOUT: Final = timedelta(seconds=90)
#: How long a client that closes waits for legs that their meetings have given up on, in seconds.
DRAIN_TIMEOUT: Final = 60.0


def random_id() -> str:
    """An id that nobody else has."""
    return secrets.token_hex(8)


@frozen(kw_only=True)
class EngineOptions:
    """What an engine takes from outside, so that a test can decide it.

    Args:
        new_id: makes the meetings' ids, and through them the keys of all intents.
        clock: makes what the instants of traces and reports are read from.
        runtime: makes what the meetings run on.
    """

    new_id: Callable[[], str] = random_id
    clock: Callable[[], Clock] = Clock
    runtime: RuntimeFactory = InProcessRuntime


class Engine:
    """Runs the meetings of one client. All its tasks belong to the client's task group.

    Args:
        callbacks_below: makes the URL, ending in ``/``, below which the events of a meeting are to be reported.

    Attributes:
        callers: calls that have come in, for the application to take.
        closing: whether its client is closing or closed, so that nothing is begun any more.
        home: where the client lives.
        views: what is known of the meetings that are live, by id.
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
        callbacks_below: Callable[[str], str] | None = None,
        options: EngineOptions,
    ) -> None:
        self.policy = policy
        self.clock = options.clock()
        self.new_id = options.new_id
        self.steps = Steps(
            provider,
            manager,
            clock=self.clock,
            request_timeout=request_timeout,
            show_numbers=show_numbers,
            reachable=callbacks_below is not None,
        )
        self.delivery = Delivery(manager.hook, self.clock, self._announce)
        self.router, self.views = self.delivery.router, self.delivery.views
        self.runtime: Runtime = options.runtime(tasks, FLOWS, self)
        self.delivery.runtime = self.runtime
        self.closing = False
        self.home = Home()
        self._gone = anyio.Event()
        self._ring, self.callers = anyio.create_memory_object_stream[IncomingCall](CALLERS)
        told = EventSource.WEBHOOK in self.steps.capabilities.events and "receive" in self.steps.implemented
        self._callbacks_below = callbacks_below if told else None
        self._hook = manager.hook
        self._poller = Poller(self.steps, self.delivery, self.clock, tasks)
        if EventSource.STREAM in self.steps.capabilities.events and "events" in self.steps.implemented:
            tasks.start_soon(
                take_in_stream, self.steps, self.router, self._poller.look_at_all, name="confkit event stream"
            )

    def check(self) -> None:
        """Refuse to begin anything once the client closes, or from where it does not live.

        Raises:
            ConfkitError: says which.
        """
        if self.closing:
            raise ConfkitError(CLOSED)
        self.home.check()

    # --- the life of a meeting

    async def start(self, view: MeetingView, plan: Plan) -> None:
        """Start a meeting, and look after it until it is gone."""
        view.on_start(plan)
        self.views[view.id] = view
        self.steps.traces[view.id] = view.trace
        self.delivery.tell("meeting_started", meeting=view.id)
        await self.runtime.start("meeting", view.id, self._brief(view.id, plan))
        if EventSource.STREAM in self.steps.capabilities.events or self._callbacks_below is not None:
            self._poller.guard(view)
        else:
            self._poller.follow(view)

    async def end(self, view: MeetingView) -> None:
        """End a meeting and wait until it is over, whatever happens to our own task meanwhile."""
        if view.end is not None or view.plan is None:
            return
        self.home.check()
        with anyio.CancelScope(shield=True):
            self.runtime.post(FlowId(view.id), End(), key="end")
            with anyio.move_on_after(UNDO_TIMEOUT.total_seconds()):
                while view.end is None:
                    await view.changed()
            if view.end is None:
                # The owner is told, and the workflow goes on in the background.
                late = f"the undoing of {view.id} did not finish within {UNDO_TIMEOUT.total_seconds():g} s"
                view.on_end(_failed(late, left_behind=late), self.clock.now())

    async def aclose(self) -> None:
        """End all meetings, stop all workflows, release the provider."""
        self.closing = True
        async with anyio.create_task_group() as endings:
            for view in list(self.views.values()):
                endings.start_soon(self.end, view)
        with anyio.move_on_after(DRAIN_TIMEOUT):
            while self.views:
                await self._gone.wait()
        await self.runtime.aclose()
        self._ring.close()
        self.callers.close()
        if self._hook.aclose.get_hookimpls():
            await self._hook.aclose()

    def _brief(self, meeting: str, plan: Plan) -> MeetingBrief:
        capabilities = self.steps.capabilities
        return MeetingBrief(
            plan=plan,
            owner=f"{meeting}/owner",
            provider=self.steps.provider,
            creation=capabilities.creation,
            join_method=capabilities.join_method,
            bridging=capabilities.bridging,
            # Where calls cannot be parted, they are not moved one by one either.
            bridge_to_conference=capabilities.bridge_to_conference
            and capabilities.bridge_ends is BridgeEnds.BY_REQUEST,
            bridge_ends=capabilities.bridge_ends,
            end_hangs_up=capabilities.end_hangs_up,
            shortest_ring=capabilities.rings[0],
            tells_answers=capabilities.tells_answers,
        )

    # --- what webhooks bring

    def has(self, meeting: str) -> bool:
        """Whether a meeting with this id is live."""
        return meeting in self.views

    def accept(self, event: Event) -> None:
        """Take in an event that a webhook has brought.

        Raises:
            Exception: an observer's; the event counts when it comes again.
        """
        self.router.accept(event)

    def _announce(self, event: IncomingCall) -> None:
        try:
            self._ring.send_nowait(event)
        except anyio.WouldBlock:
            logger().warning("incoming_call_missed", call=one_line(event.call_id), waiting=CALLERS)

    # --- what the runtime asks and tells

    async def run_step(self, step: RunStep, cancel: CancelToken, *, resumed: bool) -> Any:
        """Carry out a step of a workflow."""
        meeting = step.flow.meeting
        match step.name:
            case "find":
                return await self._find(meeting, *step.args)
            case "fetch":
                return await self._fetch(meeting, *step.args)
            case "list_calls":
                return await self._list_calls(meeting, *step.args)
        key = op_key(step.flow, step.name, step.ordinal)
        if OPERATIONS[step.name].gives is not object:
            self.router.bind("op", key, step.flow)
        if step.name == "create_conference":
            self.router.bind("key", key, step.flow)
        spec = step.args[0] if step.name == "create_call" else None
        return await self.steps.run(
            StepRequest(
                operation=step.name,
                arguments=step.args,
                op_key=key,
                step=f"{step.flow}#{step.ordinal}",
                meeting=meeting,
                party=self._label(step.flow),
                caller_id=step.caller_id,
                callback_url=self._callback_url(step.flow),
                cancel=cancel,
                resumed=resumed,
                reported=partial(self._reported, step.flow, spec) if isinstance(spec, CallSpec) else None,
            )
        )

    def learn(self, step: RunStep, done: StepDone) -> None:
        """What a step has made is the meeting's: events of it find their way from here on."""
        meeting = step.flow.meeting
        if isinstance(done.error, OutcomeUnknown) and step.name == "create_call":
            self.router.expect(step.flow)
        if done.error is not None or (view := self.views.get(meeting)) is None or step.name in _LOOKS:
            return
        view.on_result(step.flow, done.result)
        match done.result:
            case Dialled(call=call, conference=conference):
                self.delivery.bind_call(call.id, step.flow)
                self.delivery.bind_conference(conference, meeting)
            case Conference() as conference:
                self.delivery.bind_conference(conference, meeting)
            case Member(conference=conference):
                self.delivery.bind_conference(conference, meeting)
            case Bridge(id=id_):
                self.router.bind("bridge", id_, FlowId(meeting))

    def observe(self, flow: FlowId, what: Any) -> None:
        """A message of a meeting, or the brief of a workflow that starts."""
        if not isinstance(what, SHOWN) or (view := self.views.get(flow.meeting)) is None:
            return
        view.on_message(flow, what, self.clock.now())
        if isinstance(what, Adopted):
            self.delivery.bind_conference(what.conference, view.id)

    def ended(self, finished: Finished) -> None:
        """A meeting is over."""
        if (view := self.views.get(finished.flow)) is None:
            return
        end: MeetingEnd = finished.value
        if (error := finished.error) is not None:
            end = _failed(
                f"confkit has a defect, or was stopped: {type(error).__name__}: {error}",
                left_behind=f"whatever {view.id} had created may still be up",
            )
        view.on_end(end, self.clock.now())
        self.delivery.tell("meeting_ended", meeting=view.id, reason=end.reason.value)

    def gone(self, meeting: str) -> None:
        """No leg of a meeting that is over is hanging up any more."""
        if meeting not in self.views:
            return
        self.delivery.release(meeting)
        self._poller.forget(meeting)
        del self.steps.traces[meeting]
        self._gone.set()
        self._gone = anyio.Event()

    async def _reported(self, flow: FlowId, spec: CallSpec) -> Call | None:
        """The call that a lost request has made, where it has reported itself at the leg's own address.

        Whoever knows the address can say so of any call, so the provider is asked whom that one was made to.
        """
        for call_id in self.router.reported_at(flow):
            ref = Call(provider=self.steps.provider, id=call_id)
            try:
                snapshot = await self._ask(flow.meeting, ref)
            except ProviderError:
                continue
            if (call := snapshot.made_for(spec.to, call_id)) is not None:
                return call
        return None

    async def _ask(self, meeting: str, ref: Conference | Call | Bridge) -> Snapshot:
        """The provider's account, on which a workflow depends: it does not wait behind the polls."""
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
        if hint.operation not in self.steps.capabilities.reconcilable:
            raise Unsupported(f"find: {hint.operation}", provider=self.steps.provider, operation="find")
        return await self.steps.read("find", meeting=meeting, op_key=op_key, hint=hint)

    async def _fetch(self, meeting: str, ref: Conference | Call | Bridge) -> Snapshot:
        """The provider's account of what a workflow asks about; what it says of the meeting's own calls is taken in."""
        asked_at = self.clock.now()
        snapshot = await self._ask(meeting, ref)
        if (view := self.views.get(meeting)) is not None:
            self.delivery.take_in(view, snapshot, asked_at)
        return snapshot

    def _callback_url(self, flow: FlowId) -> str | None:
        """Where events of a workflow are reported: its id stands in the URL, so nothing has to be looked up."""
        return None if self._callbacks_below is None else self._callbacks_below(flow.meeting) + flow

    def _label(self, flow: FlowId) -> str | None:
        legs = self.views[flow.meeting].roster.legs
        return self.steps.label(legs[flow][0]) if flow in legs else None


#: Steps that make nothing.
_LOOKS: Final = ("find", "fetch", "list_calls")


def _failed(message: str, *, left_behind: str) -> MeetingEnd:
    failure = Failure(kind="MeetingError", message=message)
    return MeetingEnd(reason=EndReason.FAILED, established=False, failure=failure, left_behind=(left_behind,))
