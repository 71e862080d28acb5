"""One step: a provider operation with everything around it that must be the same everywhere.

The order is fixed: trace › capability › retry and reconcile › pace › provider hook › classify. Pacing is inside
the retry, because every attempt is a request that the provider counts.

What may be sent again, and when:

* certainly not executed (``Unavailable``, ``NotReady``, ``RateLimited``): again, after a pause;
* certainly refused: the error is the answer;
* unknown (``OutcomeUnknown``): looked up where the provider can, and adopted if it happened. Sent again only if a
  second execution harms nobody, or the provider's idempotency makes it the same one, or the provider had finished
  with the request and shows nothing of it. Otherwise the error stands: nobody is dialled twice on a guess.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import anyio
import pluggy
from attrs import define, evolve, field, frozen

from confkit.models.addresses import masked
from confkit.models.capabilities import Capabilities, Idempotency, Joining
from confkit.models.errors import (
    Conflict,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Unavailable,
    Unsupported,
    Withdrawn,
)
from confkit.models.records import (
    Bridge,
    Call,
    CallSpec,
    Conference,
    Dialled,
    FindHint,
    Member,
    Membership,
    Op,
    Party,
    Snapshot,
)
from confkit.models.text import one_line
from confkit.models.trace import StepOutcome, StepRecord, Trace, finished, ids_of
from confkit.provider.discovery import implements
from confkit.steps.clock import Clock
from confkit.steps.log import enabled, logger
from confkit.steps.rate_limits import Pacer, Priority, Withdrawal

#: How often a request is sent that was certainly not executed.
ATTEMPTS = 5
#: How long one step may be turned away for its rate before the error stands.
PATIENCE = timedelta(minutes=2)
#: The pauses between look-ups of a request whose outcome is unknown.
LOOKUPS = (0.0, 0.5, 2.0)


@frozen(kw_only=True)
class Semantics:
    """What the core must know of an operation to send it safely.

    Args:
        arguments: the hook's arguments besides ``op``, in order.
        repeatable: executing it twice is the same as once.
        urgent: it frees something, so it goes before others.
        gives: what the hook returns.
    """

    arguments: tuple[str, ...]
    repeatable: bool = False
    urgent: bool = False
    gives: type = object


OPERATIONS: Mapping[str, Semantics] = {
    "create_conference": Semantics(arguments=("spec",), gives=Conference),
    "create_call": Semantics(arguments=("spec", "into"), gives=Dialled),
    "add_member": Semantics(arguments=("conference", "call", "options"), repeatable=True, gives=Member),
    "update_member": Semantics(arguments=("member", "patch"), repeatable=True),
    "remove_member": Semantics(arguments=("member",), repeatable=True, urgent=True),
    "update_conference": Semantics(arguments=("conference", "patch"), repeatable=True),
    "end_conference": Semantics(arguments=("conference",), repeatable=True, urgent=True),
    "hang_up": Semantics(arguments=("call",), repeatable=True, urgent=True),
    # Two calls are on one bridge at most, but empty bridges can be many.
    "create_bridge": Semantics(arguments=("calls",), gives=Bridge),
    "end_bridge": Semantics(arguments=("bridge",), repeatable=True, urgent=True),
    "play": Semantics(arguments=("target", "media")),
    "record": Semantics(arguments=("target", "action"), repeatable=True),
    "send_digits": Semantics(arguments=("call", "digits")),
    "transfer": Semantics(arguments=("call", "to", "caller_id"), gives=Call),
    "answer_call": Semantics(arguments=("call", "into"), repeatable=True, gives=Dialled),
    "reject_call": Semantics(arguments=("call",), repeatable=True, urgent=True),
}


#: What operations that only look give.
READS: Mapping[str, type] = {"fetch": Snapshot, "list_calls": tuple, "find": tuple}


@frozen(kw_only=True)
class StepRequest:
    """An operation to carry out.

    Args:
        step: the flow's id and the place in it.
        limit: the caller ID, for limits that each number has for itself.
        withdrawal: the order not to send what has not been sent yet.
        again: an earlier run of the step was cut off, and may have sent the request.
        reported: gives what the step has made, if it has reported itself to an address that only this step was given.
    """

    operation: str
    arguments: tuple[Any, ...]
    op_key: str
    step: str
    meeting: str | None = None
    party: str | None = None
    limit: str | None = field(default=None, repr=False)
    withdrawal: Withdrawal = field(factory=Withdrawal, repr=False)
    again: bool = False
    reported: Callable[[], Awaitable[Any]] | None = field(default=None, repr=False)


class Steps:
    """Carries out steps on one provider.

    Args:
        show_numbers: whether numbers stand whole in the trace and the log.

    Attributes:
        traces: the traces of the meetings that are alive, by the meeting's id.
    """

    def __init__(
        self,
        provider: str,
        manager: pluggy.PluginManager,
        *,
        clock: Clock,
        request_timeout: timedelta,
        show_numbers: bool = False,
    ) -> None:
        self.provider = provider
        self.hook = manager.hook
        self.capabilities: Capabilities = manager.hook.capabilities()
        self.implemented = frozenset(
            name
            for name in (*OPERATIONS, "find", "list_calls", "receive", "events", "fetch")
            if implements(manager, name)
        )
        self.pacer = Pacer(self.capabilities.rates)
        self.clock = clock
        self._timeout = request_timeout
        self._patience = 2 * request_timeout.total_seconds()
        self._show = (lambda number: number) if show_numbers else masked
        self.traces: dict[str, Trace] = {}
        self._log = logger()
        self._logs_starts, self._logs_ends = enabled(self._log, logging.DEBUG), enabled(self._log, logging.INFO)

    def label(self, party: Party) -> str:
        """How a party is called in the trace and in the log."""
        return one_line(party.name or "") or self._show(party.address)

    def require(self, operation: str) -> None:
        """Refuse an operation that the provider does not implement.

        Raises:
            Unsupported: names the capability.
        """
        if operation not in self.implemented:
            raise Unsupported(operation, provider=self.provider, operation=operation)

    async def run(self, request: StepRequest) -> Any:
        """Carry out one step.

        Raises:
            ProviderError: the portable error that stands after all that could be done.
        """
        state = _Attempts(began=self.clock.now())
        # Most of what a step costs is its record, so one that nobody looks at is not written.
        record = self._record(request, state) if self._is_watched(request) else None
        if record is not None:
            self._note(record)
        outcome, error, result = StepOutcome.CANCELLED, None, None
        try:
            self.require(request.operation)
            result = await self._attempts(request, state)
            outcome = StepOutcome.ADOPTED if state.adopted else StepOutcome.DONE
        except ProviderError as failure:
            outcome, error = _outcome_of(failure), str(failure)
            raise
        finally:
            if record is not None or outcome not in _WELL:
                self._note(
                    finished(
                        record or self._record(request, state),
                        outcome,
                        self.clock.now(),
                        attempt=max(state.number, 1),
                        waited=state.waited,
                        error=error,
                        **ids_of(result),
                    )
                )
        return result

    async def read(
        self, operation: str, /, *, meeting: str | None = None, priority: Priority = Priority.READ, **arguments: Any
    ) -> Any:
        """Ask the provider for something; sent again if need be.

        Args:
            priority: behind everything else, unless somebody's place depends on the answer.

        Raises:
            ProviderError: the portable error of the last attempt.
        """
        self.require(operation)
        about = _about(operation, *arguments.values())
        for attempt in range(1, ATTEMPTS + 1):
            await self.pacer.wait(about, priority=priority, meeting=meeting)
            if (trace := self.traces.get(meeting or "")) is not None:
                trace.note_read(operation)
            try:
                with anyio.fail_after(self._patience):
                    result = await getattr(self.hook, operation)(**arguments)
                if isinstance(result, READS[operation]):
                    return result
                error: ProviderError = Unavailable(
                    f"the plugin returned {type(result).__name__} instead of {READS[operation].__name__}"
                )
            except TimeoutError:
                error = Unavailable("no reply in time", provider=self.provider, operation=operation)
            except Exception as raised:
                error = self._classified(raised, operation, sent=False)
            # That nothing of a lost request shows, which proves nothing, is an answer; any other read is sent again.
            again = error.retryable or (isinstance(error, OutcomeUnknown) and operation != "find")
            if not again or attempt == ATTEMPTS:
                raise error
            await anyio.sleep(self._pause(operation, error, attempt, seed=operation))
        raise AssertionError("the loop returns or raises")

    async def _attempts(self, request: StepRequest, state: _Attempts) -> Any:
        """Retry and reconcile; an attempt that may have been executed is not forgotten over a later one that was not.

        Raises:
            OutcomeUnknown: some attempt may have been executed, and no later one says otherwise.
        """
        try:
            return await self._attempt_until(request, state)
        except ProviderError as error:
            if state.doubt is None or isinstance(error, OutcomeUnknown):
                raise
            raise state.doubt from error

    async def _attempt_until(self, request: StepRequest, state: _Attempts) -> Any:
        about = _about(request.operation, *request.arguments)
        turned_away = timedelta(0)
        failed = 0
        if request.again:
            state.doubt = OutcomeUnknown(
                "it was cut off when it may have been sent", provider=self.provider, operation=request.operation
            )
            if (found := await self._find(request, state.doubt)) is not None:
                state.adopted = True
                return found
            if not self._safe_to_resend(request, state.doubt, state):
                raise state.doubt
        while True:
            state.number += 1
            try:
                return await self._attempt(request, state, about)
            except RateLimited as error:
                pause = self._pause(request.operation, error, state.number, seed=request.op_key)
                turned_away += timedelta(seconds=pause)
                self.pacer.hold_back(about, timedelta(seconds=pause), number=request.limit or "")
                if turned_away > PATIENCE:
                    raise
            except OutcomeUnknown as error:
                state.doubt = error
                failed += 1
                if (found := await self._find(request, error)) is not None:
                    state.adopted = True
                    return found
                if failed >= ATTEMPTS or not self._safe_to_resend(request, error, state):
                    raise
                pause = self._pause(request.operation, error, failed, seed=request.op_key)
            except Conflict as error:
                # An earlier attempt that nobody could vouch for did happen after all.
                if state.doubt is not None and (found := await self._find(request, error)) is not None:
                    state.adopted = True
                    return found
                raise
            except ProviderError as error:
                failed += 1
                if not error.retryable or failed >= ATTEMPTS:
                    raise
                pause = self._pause(request.operation, error, failed, seed=request.op_key)
            await self._wait(request, lambda: anyio.sleep(pause))  # noqa: B023 - awaited at once

    async def _attempt(self, request: StepRequest, state: _Attempts, about: str) -> Any:
        """Pace, call the provider's hook, classify what it raises."""
        semantics = OPERATIONS[request.operation]
        state.waited += await self._place(request, about)
        op = Op(key=request.op_key, timeout=self._timeout, attempt=state.number)
        arguments = dict(zip(semantics.arguments, request.arguments, strict=True))
        try:
            # The provider keeps to op.timeout itself; this is for the one that does not.
            with anyio.move_on_after(self._patience) as patience:
                result = await getattr(self.hook, request.operation)(**arguments, op=op)
        except Exception as error:
            raise self._classified(error, request.operation, sent=True) from error
        if patience.cancelled_caught:
            raise OutcomeUnknown(
                "the provider gave no reply in time; the request may have been carried out",
                provider=self.provider,
                operation=request.operation,
            )
        if not isinstance(result, semantics.gives):
            raise OutcomeUnknown(
                f"the plugin returned {type(result).__name__} instead of {semantics.gives.__name__}",
                provider=self.provider,
                operation=request.operation,
            )
        return result

    async def _place(self, request: StepRequest, about: str) -> timedelta:
        """Wait for a place under the provider's limits; gives how long it took."""
        urgent = OPERATIONS[request.operation].urgent
        if not self.pacer.limits(about):
            if request.withdrawal.ordered and not urgent:
                raise self._withdrawn(request)
            return timedelta(0)
        waited: timedelta = await self._wait(
            request,
            lambda: self.pacer.wait(
                about,
                priority=Priority.URGENT if urgent else Priority.NORMAL,
                meeting=request.meeting,
                number=request.limit or "",
            ),
        )
        return waited

    async def _wait(self, request: StepRequest, wait: Callable[[], Any]) -> Any:
        """Wait before sending; a step that is withdrawn meanwhile has certainly not been executed.

        What frees something is never withdrawn: it is what an ending meeting is left to do.
        """
        if OPERATIONS[request.operation].urgent:
            return await wait()
        with anyio.CancelScope() as scope:
            request.withdrawal.ends(scope)
            try:
                waited = await wait()
            finally:
                request.withdrawal.ends(None)
            if not scope.cancel_called:  # who need not wait is not stopped by the scope
                return waited
        raise self._withdrawn(request)

    def _withdrawn(self, request: StepRequest) -> Withdrawn:
        return Withdrawn("withdrawn before it was sent", provider=self.provider, operation=request.operation)

    async def _find(self, request: StepRequest, error: ProviderError) -> Any:
        """Look up what a request did whose outcome is unknown; ``None`` when nothing shows."""
        finds = request.operation in self.capabilities.finds and "find" in self.implemented
        if not finds and request.reported is None:
            return None
        hint = _hint(request)
        for pause in LOOKUPS:
            await anyio.sleep(pause)
            if request.reported is not None and (made := await request.reported()) is not None:
                return _adopted(request, made, self.capabilities)
            if not finds:
                continue
            answered = isinstance(error, Conflict) or (isinstance(error, OutcomeUnknown) and error.answered)
            try:
                found = await self.read("find", meeting=request.meeting, op_key=request.op_key, hint=hint)
            except ProviderError as failure:
                self._log.warning("lookup_failed", operation=request.operation, error=str(failure))
                # Not having been able to look is not having found nothing.
                if isinstance(error, OutcomeUnknown):
                    error.answered = False
                continue
            if found:
                return _adopted(request, found[0], self.capabilities)
            if answered:
                break  # the platform had finished with the request, and shows that it has not executed it
        return None

    def _safe_to_resend(self, request: StepRequest, error: OutcomeUnknown, state: _Attempts) -> bool:
        if OPERATIONS[request.operation].repeatable or (request.operation == "create_bridge" and request.arguments[0]):
            return True
        match self.capabilities.idempotency:
            case Idempotency.CLIENT_ID:
                return True
            case Idempotency.KEY:
                window = self.capabilities.idempotency_window
                if window is None or self.clock.now() - state.began < window / 2:
                    return True
        return error.answered and request.operation in self.capabilities.finds

    def _pause(self, operation: str, error: ProviderError, attempt: int, *, seed: str) -> float:
        """Seconds until the next attempt: what the provider says, else doubling, with jitter.

        The jitter comes from the intent's key, so that a run can be repeated exactly.
        """
        spread = random.Random(f"{seed} {attempt}").uniform(1.0, 1.25)
        if isinstance(error, RateLimited):
            if error.retry_after is not None:
                return min(max(error.retry_after.total_seconds(), 0.0), 30.0) + 0.05 * spread
            return max(self.pacer.spacing(operation).total_seconds(), 1.0) * spread
        return float(min(0.2 * 2 ** (attempt - 1), 5.0) * spread)

    def _classified(self, error: Exception, operation: str, *, sent: bool) -> ProviderError:
        """A portable error that names the provider and the operation; a native one that got out of a plugin is
        a defect of the plugin, and says nothing about what happened."""
        if isinstance(error, ProviderError):
            error.provider = error.provider or self.provider
            error.operation = error.operation or operation
            return error
        message = f"the plugin raised {type(error).__name__}, which is not a portable error"
        kind = OutcomeUnknown if sent else Unavailable
        return kind(message, provider=self.provider, operation=operation)

    def _party_of(self, request: StepRequest) -> str | None:
        if request.party is not None:
            return request.party
        for argument in request.arguments:
            if isinstance(argument, CallSpec | Call) and argument.to:
                return self._show(argument.to)
        return None

    def _is_watched(self, request: StepRequest) -> bool:
        return (
            request.meeting in self.traces
            or self._logs_starts
            or self._logs_ends
            or bool(self.hook.step_started.get_hookimpls() or self.hook.step_finished.get_hookimpls())
        )

    def _record(self, request: StepRequest, state: _Attempts) -> StepRecord:
        """A step as it begins."""
        return StepRecord(
            meeting=request.meeting,
            step=request.step,
            provider=self.provider,
            operation=request.operation,
            op=request.op_key,
            party=self._party_of(request),
            started_at=state.began,
            **ids_of(*request.arguments),
        )

    def _note(self, record: StepRecord) -> None:
        if (trace := self.traces.get(record.meeting or "")) is not None:
            trace.note(record)
        if record.outcome is StepOutcome.STARTED:
            if self._logs_starts:
                self._log.debug("step", phase="start", **record.line())
            self._tell(self.hook.step_started, record)
        else:
            if record.outcome not in _WELL:
                self._log.warning("step", phase="end", **record.line())
            elif self._logs_ends:
                self._log.info("step", phase="end", **record.line())
            self._tell(self.hook.step_finished, record)

    def _tell(self, observers: pluggy.HookCaller, record: StepRecord) -> None:
        """An observer that fails must not change what happens to people."""
        if not observers.get_hookimpls():
            return
        try:
            observers(step=record)
        except Exception:
            self._log.exception("observer_failed", hook=observers.name)


_WELL = (StepOutcome.DONE, StepOutcome.ADOPTED)


@define
class _Attempts:
    """What has been tried for one step. ``doubt``: the last attempt that may have been executed."""

    began: datetime
    number: int = 0
    waited: timedelta = timedelta(0)
    doubt: OutcomeUnknown | None = None
    adopted: bool = False


def _about(operation: str, *arguments: Any) -> str:
    """The operation's name for pacing: with what it is about, because that can decide which limit it counts against."""
    for argument in arguments:
        match argument:
            case FindHint(operation=lost):
                return f"{operation}:{lost}"
            case Conference() | Call() | Member() | Bridge():
                return f"{operation}:{type(argument).__name__.lower()}"
    return operation


def _hint(request: StepRequest) -> FindHint:
    match request.operation, request.arguments:
        case "create_call", (CallSpec() as spec, into):
            return FindHint(operation="create_call", into=into, to=spec.to)
        case "add_member", (Conference() as conference, Call() as call, _):
            return FindHint(operation="add_member", into=conference, call=call)
        case operation, _:
            return FindHint(operation=operation)


def _adopted(request: StepRequest, found: Any, capabilities: Capabilities) -> Any:
    """The result that the lost reply would have given."""
    if OPERATIONS[request.operation].gives is not Dialled:
        return found
    match request.arguments:
        case (_, Conference() as into):
            fused = capabilities.joining is Joining.FUSED
            return Dialled(
                call=found,
                membership=Membership.FUSED if fused else Membership.EXPLICIT,
                # A room that is known by its name may have another id by now.
                conference=evolve(into, id=(fused and found.conference_id) or into.id or found.conference_id),
            )
        case (_, Bridge()):
            return Dialled(call=found, membership=Membership.ON_ANSWER)
    return Dialled(call=found)


def _outcome_of(error: ProviderError) -> StepOutcome:
    match error:
        case Withdrawn():
            return StepOutcome.WITHDRAWN
        case OutcomeUnknown():
            return StepOutcome.UNKNOWN
        case Unavailable() | RateLimited():
            return StepOutcome.UNAVAILABLE
        case _:
            return StepOutcome.REFUSED
