"""One step: a provider operation with everything around it that must be the same everywhere.

The order is fixed: trace › capability › retry and reconcile › pace › provider hook › classify. Pacing is inside
the retry, because every attempt is a request that the provider counts.

What may be sent again, and when (:mod:`confkit.steps.decide` decides it, ``tests/core/test_decide.py`` is its table):

* certainly not executed (``Unavailable``, ``NotReady``): again, after a pause that doubles, five attempts in all;
* turned away for its rate (``RateLimited``): again when the provider says so, and nothing of its rate class before;
  that takes no attempt, but after two minutes of it the error stands;
* certainly refused: the error is the answer;
* unknown (``OutcomeUnknown``): looked up where the provider can, up to three times, and adopted if it happened. Sent
  again only if a second execution harms nobody, or the provider declares it idempotent, or the provider
  had finished with the request and shows nothing of it. Otherwise the error stands: nobody is dialled twice on a guess;
* cut off in an earlier run: unknown, before anything is sent;
* refused as a ``Conflict`` after an attempt whose outcome is unknown: that one may be the reason, so it is looked up;
* an attempt whose outcome is unknown is not forgotten over a later error: its own is the one that stands.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, cast

import anyio
import pluggy
from attrs import define, evolve, field, frozen

from confkit.models.addresses import masked
from confkit.models.capabilities import Capabilities
from confkit.models.errors import (
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Unavailable,
    Unsupported,
    Withdrawn,
)
from confkit.models.events import WebhookReply
from confkit.models.records import Call, CallSpec, Op, Party
from confkit.models.text import one_line
from confkit.models.trace import StepOutcome, StepRecord, finished, ids_of
from confkit.provider.discovery import implements
from confkit.provider.telling import Limit, heard_by
from confkit.steps.clock import Clock
from confkit.steps.decide import Adopt, Look, LookUp, Raise, SendAgain, Tried, decide, decide_read
from confkit.steps.log import logger
from confkit.steps.operations import OPERATIONS, READS, adopted, cost_key, detailed, find_hint, is_repeatable
from confkit.steps.rate_limits import CancelToken, Priority, RateLimiter
from confkit.steps.replies import Replies
from confkit.steps.reporting import WELL, StepReporter


@frozen(kw_only=True)
class StepRequest:
    """An operation to carry out.

    Args:
        step: the workflow's id and the place in it.
        caller_id: for limits that each number has for itself.
        callback_url: as :class:`~confkit.models.records.Op` has it.
        cancel: the order not to send what has not been sent yet.
        resumed: an earlier run of the step was cut off, and may have sent the request.
        reported: gives what the step has made, if it has reported itself to an address that only this step was given.
    """

    operation: str
    arguments: tuple[Any, ...]
    op_key: str
    step: str
    meeting: str | None = None
    party: str | None = None
    caller_id: str | None = field(default=None, repr=False)
    callback_url: str | None = field(default=None, repr=False)
    cancel: CancelToken = field(factory=CancelToken, repr=False)
    resumed: bool = False
    reported: Callable[[], Awaitable[Any]] | None = field(default=None, repr=False)


class Steps:
    """Carries out steps on one provider.

    Args:
        reachable: whether the client has a public URL, so that the provider reaches it.
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
        reachable: bool = True,
    ) -> None:
        self.provider = provider
        self.hook = manager.hook
        self.implemented = frozenset(
            name
            for name in (*OPERATIONS, "find", "list_calls", "receive", "events", "fetch")
            if implements(manager, name)
        )
        capabilities: Capabilities = manager.hook.capabilities()
        # What cannot be asked for is not found, whatever is declared.
        self.capabilities = (
            capabilities if "find" in self.implemented else evolve(capabilities, reconcilable=frozenset())
        )
        self._unreachable = frozenset() if reachable else self.capabilities.needs_public_url_for
        self.limiter = RateLimiter(self.capabilities.rates)
        self.replies = Replies()
        self.clock = clock
        self._timeout = request_timeout
        self._patience = 2 * request_timeout.total_seconds()
        self._show = (lambda number: number) if show_numbers else masked
        self._log = logger()
        self._reporter = StepReporter(manager.hook, self._log)
        self.traces = self._reporter.traces

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
        record = self._record(request, state) if self._reporter.is_heard(request.meeting) else None
        if record is not None:
            self._reporter.tell(record)
        outcome, error, result = StepOutcome.CANCELLED, None, None
        try:
            self.require(request.operation)
            if self._unreachable:
                _refuse_unreachable(self._unreachable, self.provider, request)
            result = await self._attempts(request, state)
            outcome = StepOutcome.ADOPTED if state.adopted else StepOutcome.DONE
        except ProviderError as failure:
            outcome, error = _outcome_of(failure), str(failure)
            raise
        finally:
            if record is not None or outcome not in WELL:
                self._reporter.tell(
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
        about = cost_key(operation, *arguments.values())
        attempt = 0
        while True:
            attempt += 1
            await self.limiter.wait(about, priority=priority, meeting=meeting)
            if (trace := self.traces.get(meeting or "")) is not None:
                trace.note_read(operation)
            try:
                return await self._read_once(operation, arguments, about)
            except ProviderError as error:
                decision = decide_read(operation, error, attempt, self.capabilities.rates)
                if isinstance(decision, Raise):
                    raise
            finally:
                if self.limiter.counts_replies:
                    self.limiter.done(about)
            if decision.back_off and self.limiter.limits(about):
                # In line with the others, whose turn it may be first: of two who sleep equally long, one would starve.
                self.limiter.back_off(about, timedelta(seconds=decision.back_off))
            else:
                await anyio.sleep(decision.pause)

    async def _read_once(self, operation: str, arguments: Mapping[str, Any], about: str) -> Any:
        try:
            with anyio.fail_after(self._patience), heard_by(_Hearing(self, about)):
                result = await getattr(self.hook, operation)(**arguments)
        except TimeoutError:
            problem: ProviderError = Unavailable("no reply in time", provider=self.provider, operation=operation)
        except Exception as error:
            problem = _classified(self.provider, error, operation, sent=False)
        else:
            if isinstance(result, READS[operation]):
                return result
            problem = Unavailable(f"the plugin returned {type(result).__name__} instead of {READS[operation].__name__}")
        raise problem

    async def _attempts(self, request: StepRequest, state: _Attempts) -> Any:
        """Send the request until there is a result, or :func:`decide` says that an error stands."""
        about = cost_key(request.operation, *request.arguments)
        pause = 0.0
        while True:
            try:
                return await self._attempt(request, state, about, pause)
            except ProviderError as error:
                match await self._decided(request, state, about, error):
                    case Adopt(found=found):
                        state.adopted = True
                        return found
                    case Raise(error=standing):
                        if standing is error:
                            raise
                        raise standing from error
                    case SendAgain(pause=pause):
                        pass

    async def _decided(
        self, request: StepRequest, state: _Attempts, about: str, error: ProviderError
    ) -> Adopt | Raise | SendAgain:
        """What follows an attempt that ended with this error, once all that must be looked up for it has been."""
        tried = (state.tried or _untried(request)).after(error, attempt=state.number)
        while True:
            tried = evolve(tried, elapsed=self.clock.now() - state.began)
            decision = decide(error, tried, self.capabilities)
            if not isinstance(decision, LookUp):
                break
            await anyio.sleep(decision.pause)
            tried = await self._look_up(request, tried, state.began)
        if not isinstance(decision, Adopt) and decision.back_off:
            self.limiter.back_off(about, timedelta(seconds=decision.back_off), number=request.caller_id or "")
            tried = evolve(tried, turned_away=tried.turned_away + decision.back_off)
        state.tried = tried
        return decision

    async def _look_up(self, request: StepRequest, tried: Tried, began: datetime) -> Tried:
        """Look up once what a request did; gives what has been tried then."""
        found, look = None, Look.NOTHING
        if request.reported is not None:
            found = await request.reported()
        if found is None and request.operation in self.capabilities.reconcilable:
            hint = find_hint(request.operation, request.arguments, since=None if request.resumed else began)
            try:
                shown = await self.read("find", meeting=request.meeting, op_key=request.op_key, hint=hint)
                found = shown[0] if shown else None
            except ProviderError as failure:
                self._log.warning("lookup_failed", operation=request.operation, error=str(failure))
                look = Look.FAILED
        if found is None:
            return evolve(tried, looks=(*tried.looks, look))
        joining = self.capabilities.join_method
        return evolve(tried, found=adopted(request.operation, request.arguments, found, joining))

    async def _attempt(self, request: StepRequest, state: _Attempts, about: str, pause: float) -> Any:
        """Pause, pace, call the provider's hook, classify what it raises.

        Raises:
            OutcomeUnknown: among others, for what an earlier run may have sent, before anything is sent by this one.
        """
        if request.resumed and state.tried is None:
            raise OutcomeUnknown(
                "it was cut off when it may have been sent", provider=self.provider, operation=request.operation
            )
        if pause:
            await self._wait(request, lambda: anyio.sleep(pause))
        state.number += 1
        spec = OPERATIONS[request.operation]
        state.waited += await self._place(request, about)
        op = Op(key=request.op_key, timeout=self._timeout, attempt=state.number, callback_url=request.callback_url)
        arguments = dict(zip(spec.arguments, request.arguments, strict=True))
        hearing = _Hearing(self, about, request.caller_id or "")
        try:
            # The provider keeps to op.timeout itself; this is for the one that does not.
            with anyio.move_on_after(self._patience) as patience, heard_by(hearing):
                result = await getattr(self.hook, request.operation)(**arguments, op=op)
        except Exception as error:
            raise _classified(self.provider, error, request.operation, sent=True) from error
        finally:
            if self.limiter.counts_replies:
                self.limiter.done(about, number=request.caller_id or "")
        if patience.cancelled_caught:
            raise OutcomeUnknown(
                "the provider gave no reply in time; the request may have been carried out",
                provider=self.provider,
                operation=request.operation,
            )
        if not isinstance(result, spec.gives):
            raise OutcomeUnknown(
                f"the plugin returned {type(result).__name__} instead of {spec.gives.__name__}",
                provider=self.provider,
                operation=request.operation,
            )
        return result

    async def _place(self, request: StepRequest, about: str) -> timedelta:
        """Wait for a place under the provider's limits; gives how long it took."""
        urgent = OPERATIONS[request.operation].urgent
        if not self.limiter.limits(about):
            if request.cancel.cancelled and not urgent:
                raise self._withdrawn(request)
            return timedelta(0)
        number, taken = request.caller_id or "", False

        async def take() -> timedelta:
            nonlocal taken
            priority = Priority.URGENT if urgent else Priority.NORMAL
            waited = await self.limiter.wait(about, priority=priority, meeting=request.meeting, number=number)
            taken = True
            return waited

        try:
            return cast(timedelta, await self._wait(request, take))
        except Withdrawn:
            if taken:
                self.limiter.done(about, number=number)
            raise

    async def _wait(self, request: StepRequest, wait: Callable[[], Any]) -> Any:
        """Wait before sending; a step that is withdrawn meanwhile has certainly not been executed.

        What frees something is never withdrawn: it is what an ending meeting is left to do.
        """
        if OPERATIONS[request.operation].urgent:
            return await wait()
        with anyio.CancelScope() as scope:
            request.cancel.ends(scope)
            try:
                waited = await wait()
            finally:
                request.cancel.ends(None)
            if not scope.cancel_called:  # who need not wait is not stopped by the scope
                return waited
        raise self._withdrawn(request)

    def _withdrawn(self, request: StepRequest) -> Withdrawn:
        return Withdrawn("withdrawn before it was sent", provider=self.provider, operation=request.operation)

    def _party_of(self, request: StepRequest) -> str | None:
        if request.party is not None:
            return request.party
        for argument in request.arguments:
            if isinstance(argument, CallSpec | Call) and argument.to:
                return self._show(argument.to)
        return None

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


@define
class _Hearing:
    """What the hook that is called tells, taken in for its operation."""

    steps: Steps
    about: str
    number: str = ""

    def limit(self, limit: Limit) -> None:
        self.steps.limiter.heed(self.about, limit, number=self.number)

    def reply(self, call_id: str, reply: WebhookReply) -> bool:
        return self.steps.replies.give(call_id, reply)


@define
class _Attempts:
    """How far one step has come. ``tried`` is there once an attempt has ended with an error."""

    began: datetime
    number: int = 0
    waited: timedelta = timedelta(0)
    adopted: bool = False
    tried: Tried | None = None


def _refuse_unreachable(unreachable: frozenset[str], provider: str, request: StepRequest) -> None:
    if lacking := unreachable & detailed(request.operation, request.arguments):
        raise Unsupported(
            min(lacking).replace(":", ": "),
            provider=provider,
            operation=request.operation,
            hint="it needs public_url=, where the provider reaches this application",
        )


def _untried(request: StepRequest) -> Tried:
    return Tried(
        operation=request.operation,
        about=cost_key(request.operation, *request.arguments),
        key=request.op_key,
        repeatable=is_repeatable(request.operation, request.arguments),
        reports=request.reported is not None,
    )


def _classified(provider: str, error: Exception, operation: str, *, sent: bool) -> ProviderError:
    """A portable error that names the provider and the operation; a native one that got out of a plugin is
    a defect of the plugin, and says nothing about what happened."""
    if isinstance(error, ProviderError):
        error.provider = error.provider or provider
        error.operation = error.operation or operation
        return error
    message = f"the plugin raised {type(error).__name__}, which is not a portable error"
    kind = OutcomeUnknown if sent else Unavailable
    return kind(message, provider=provider, operation=operation)


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
