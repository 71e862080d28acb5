"""Faults on purpose: which requests go wrong, how, and how often."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Final, Self, TypeVar

from attrs import frozen

from confkit_bandwidth.simulator.refusals import CODES

_N = TypeVar("_N", int, float)

#: Every operation that a request can stand for; the names are those of confkit's provider contract where it has one.
OPERATIONS: Final = frozenset(
    {
        "create_conference",
        "update_conference",
        "end_conference",
        "add_member",
        "update_member",
        "remove_member",
        "list_members",
        "create_call",
        "answer_call",
        "reject_call",
        "hang_up",
        "update_call",
        "transfer",
        "record",
        "send_digits",
        "gather",
        "list_calls",
        "list_events",
        "list_recordings",
        "list_transcriptions",
        "transcribe",
        "list_transactions",
        "list_errors",
        "list_domains",
        "create_domain",
        "delete_domain",
        "list_endpoints",
        "create_bridge",
        "update_bridge",
        "end_bridge",
        "list_bridges",
        "play",
        "fetch",
    }
)

KINDS: Final = {
    "drop-reply": "executed, then the connection is closed without a reply",
    "refuse": "the connection is closed before anything is executed",
    "500": "500 backend-protocol-support-failure, not executed",
    "503": "503 internal-error, not executed",
    "rate-limit": "429 rate-limit-reached, not executed",
    "slow": "executed at once, the reply comes late",
    "late": "executed late, the reply comes then",
    "garbled": "executed; a 2xx whose body is cut off, or that lacks its Location",
    "html": "502 with a page of HTML, as a proxy answers; not executed",
}


@frozen(kw_only=True)
class Fault:
    """One kind of fault on one operation.

    Args:
        operation: of :data:`OPERATIONS`, or ``*`` for every one.
        kind: of :data:`KINDS`, or any error code of Bandwidth's, which is then the answer.
        times: how many requests it hits; ``None``: no limit.
        probability: that it hits a request, from 0 to 1.
    """

    operation: str
    kind: str
    times: int | None = None
    probability: float = 1.0

    def __attrs_post_init__(self) -> None:
        if self.operation != "*" and self.operation not in OPERATIONS:
            raise ValueError(
                f"no operation is called {self.operation!r}; there are * and " + ", ".join(sorted(OPERATIONS))
            )
        if self.kind not in KINDS and self.kind not in CODES:
            raise ValueError(
                f"no fault is called {self.kind!r}; there are " + ", ".join(KINDS) + " and Bandwidth's error codes"
            )
        if self.times is not None and self.times < 1:
            raise ValueError("a fault happens at least once")
        if not 0 < self.probability <= 1:
            raise ValueError("a fault's probability is above 0 % and at most 100 %")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``create_call=drop-reply:2`` (twice), ``*=503:30%`` (of the requests) or ``play=slow`` (always).

        Raises:
            ValueError: saying what is wrong with it.
        """
        operation, equals, rest = text.partition("=")
        kind, colon, amount = rest.partition(":")
        if not equals or not kind:
            raise ValueError(f"a fault is OPERATION=KIND, OPERATION=KIND:TIMES or OPERATION=KIND:PERCENT%: {text!r}")
        operation, kind, amount = operation.strip(), kind.strip(), amount.strip()
        if not colon:
            return cls(operation=operation, kind=kind)
        try:
            if amount.endswith("%"):
                return cls(operation=operation, kind=kind, probability=_number(amount[:-1], float) / 100)
            return cls(operation=operation, kind=kind, times=_number(amount, int))
        except ValueError as error:
            raise ValueError(f"{text!r}: {error}") from None

    def __str__(self) -> str:
        amount = f":{self.times}" if self.times is not None else ""
        if self.probability < 1:
            amount = f":{self.probability * 100:g}%"
        return f"{self.operation}={self.kind}{amount}"


def _number(text: str, kind: type[_N]) -> _N:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


class Faults:
    """The faults in force.

    Args:
        seed: of the draw for those with a probability.
    """

    def __init__(self, faults: Iterable[Fault], *, seed: int = 0) -> None:
        self._random = random.Random(f"faults {seed}")
        self._left: list[tuple[Fault, int | None]] = [(fault, fault.times) for fault in faults]

    def add(self, fault: Fault) -> None:
        """One more, after the others."""
        self._left.append((fault, fault.times))

    def clear(self) -> None:
        """No more faults."""
        self._left.clear()

    def take(self, operation: str) -> str | None:
        """The kind of fault that hits this request; the first that applies is used up by one."""
        for index, (fault, left) in enumerate(self._left):
            if fault.operation not in ("*", operation) or self._random.random() >= fault.probability:
                continue
            if left == 1:
                del self._left[index]
            elif left is not None:
                self._left[index] = (fault, left - 1)
            return fault.kind
        return None
