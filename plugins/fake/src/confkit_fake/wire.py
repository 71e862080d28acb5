"""The way between an application and the fake platform: latency, limits, faults, and the record of it all."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar, cast

import anyio

from confkit.provider import (
    InsufficientFunds,
    Op,
    OutcomeUnknown,
    PermissionDenied,
    ProviderError,
    RateClass,
    RateLimited,
    Unauthenticated,
    Unavailable,
)
from confkit_fake.exchange import Exchange, ExchangeError
from confkit_fake.faults import Fault, FaultKind, Faults, Request
from confkit_fake.translate import NAME, error

T = TypeVar("T")

_REFUSALS: Final[Mapping[FaultKind, tuple[type[ProviderError], int, str]]] = {
    FaultKind.UNAUTHENTICATED: (Unauthenticated, 401, "the credentials are not accepted"),
    FaultKind.FORBIDDEN: (PermissionDenied, 403, "the account may not do this"),
    FaultKind.NO_FUNDS: (InsufficientFunds, 402, "the account cannot pay for this"),
}

#: A client that keeps to the limit must not be refused because its event loop was late by some milliseconds.
_JITTER = 0.01


class Limit:
    """One rate class: a log of the requests in its sliding span. A refused request does not count."""

    def __init__(self, rate: RateClass) -> None:
        self._rate = rate
        self._span = rate.per.total_seconds()
        self._taken: deque[float] = deque()

    def wait(self, operation: str, now: float) -> float:
        """Seconds until the platform takes this request; 0 when it takes it now."""
        while self._taken and now - self._taken[0] >= self._span - _JITTER:
            self._taken.popleft()
        cost = self._rate.costs.get(operation, 0)
        excess = len(self._taken) + cost - self._rate.limit
        return self._taken[excess - 1] + self._span - now if cost and excess > 0 else 0.0

    def count(self, operation: str, now: float) -> None:
        """The request was taken."""
        self._taken.extend([now] * self._rate.costs.get(operation, 0))


class Wire:
    """Carries requests to the exchange and replies back.

    Args:
        written: what becomes of a reply's values as the platform writes them down.

    Attributes:
        requests: all of them, in the order of sending.
        faults: those that are scripted.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        latency: float,
        rates: tuple[RateClass, ...],
        written: Callable[[Any], Any],
    ) -> None:
        self.requests: list[Request] = []
        self.faults = Faults()
        self._exchange = exchange
        self._latency = latency
        self._written = written
        self._limits = [Limit(rate) for rate in rates]

    async def mutate(self, operation: str, op: Op, execute: Callable[[], T]) -> T:
        """Send a request that changes something; wait for its reply no longer than ``op.timeout``."""
        return await self._send(operation, op, execute, reads=False)

    async def read(self, operation: str, key: str, execute: Callable[[], T]) -> T:
        """Send a request that changes nothing: no failure of it leaves anything unknown."""
        return await self._send(operation, Op(key=key), execute, reads=True)

    async def _send(self, operation: str, op: Op, execute: Callable[[], T], *, reads: bool) -> T:
        request = Request(operation=operation, op_key=op.key, attempt=op.attempt, at=self._exchange.now())
        self.requests.append(request)
        try:
            try:
                reply = await self._carry(request, op.timeout, execute)
            except OutcomeUnknown as failure:
                if not reads:
                    raise
                raise Unavailable(
                    failure.message, provider=NAME, operation=operation, status=failure.status
                ) from failure
        except anyio.get_cancelled_exc_class():
            request.outcome = "cancelled"
            raise
        except Exception as failure:
            request.outcome = type(failure).__name__
            raise
        request.outcome = "ok"
        return cast(T, self._written(reply))

    async def _carry(self, request: Request, timeout: timedelta, execute: Callable[[], T]) -> T:
        operation = request.operation
        fault = self.faults.take(operation)
        if fault and fault.kind is FaultKind.REFUSE:
            raise Unavailable("the connection was refused", provider=NAME, operation=operation)
        sent_at = anyio.current_time()
        with anyio.move_on_after(timeout.total_seconds()):
            await anyio.sleep(self._latency / 2)
            if fault and fault.kind in (FaultKind.LOST, FaultKind.LATE):
                if fault.kind is FaultKind.LATE:
                    self._exchange.later(fault.seconds, lambda: self._arrive_late(request, execute))
                raise OutcomeUnknown("the connection was lost", provider=NAME, operation=operation)
            try:
                reply = self._serve(request, sent_at, fault, execute)
            except ProviderError:
                await anyio.sleep(self._latency / 2)
                raise
            if fault and fault.kind is FaultKind.DROP_REPLY:
                raise OutcomeUnknown("the connection was lost before the reply", provider=NAME, operation=operation)
            if fault and fault.kind is FaultKind.ERROR_AFTER:
                raise _internal_error(operation)
            slow = fault.seconds if fault and fault.kind is FaultKind.SLOW else 0.0
            await anyio.sleep(self._latency / 2 + slow)
            return reply
        raise OutcomeUnknown("no reply in time", provider=NAME, operation=operation)

    def _serve(self, request: Request, sent_at: float, fault: Fault | None, execute: Callable[[], T]) -> T:
        """What the platform does with a request that has arrived."""
        operation = request.operation
        self._limit(operation, sent_at, fault)
        if fault and fault.kind in _REFUSALS:
            kind, status, message = _REFUSALS[fault.kind]
            raise kind(message, provider=NAME, operation=operation, status=status)
        if fault and fault.kind is FaultKind.ERROR_500:
            raise _internal_error(operation)
        try:
            reply = execute()
        except ExchangeError as refusal:
            raise error(refusal, operation) from refusal
        request.executed = True
        return reply

    def _arrive_late(self, request: Request, execute: Callable[[], object]) -> None:
        try:
            execute()
        except (ExchangeError, ProviderError):
            return  # what it asked for is no longer possible, and nobody waits for the answer
        request.executed = True

    def _limit(self, operation: str, now: float, fault: Fault | None) -> None:
        wait = max((limit.wait(operation, now) for limit in self._limits), default=0.0)
        if fault and fault.kind is FaultKind.RATE_LIMIT:
            wait = max(wait, fault.seconds)
        if wait > 0:
            raise RateLimited(
                "too many requests",
                retry_after=timedelta(seconds=wait),
                provider=NAME,
                operation=operation,
                status=429,
            )
        for limit in self._limits:
            limit.count(operation, now)


def _internal_error(operation: str) -> OutcomeUnknown:
    return OutcomeUnknown("internal error", answered=True, provider=NAME, operation=operation, status=500)
