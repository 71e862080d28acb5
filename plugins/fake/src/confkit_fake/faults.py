"""What can go wrong between an application and its provider, on purpose; and the record of every request."""

from __future__ import annotations

import enum
from datetime import datetime

from attrs import define

from confkit.provider import ProviderSpec

OPERATIONS = frozenset(
    {
        "create_conference",
        "create_call",
        "end_conference",
        "hang_up",
        "remove_member",
        "fetch",
        "add_member",
        "update_member",
        "update_conference",
        "create_bridge",
        "end_bridge",
        "play",
        "record",
        "send_digits",
        "transfer",
        "answer_call",
        "reject_call",
        "list_calls",
        "find",
    }
)
assert all(hasattr(ProviderSpec, operation) for operation in OPERATIONS)


class FaultKind(enum.Enum):
    """How a request goes wrong, and whether it was executed all the same."""

    #: The connection is refused: not executed, and the caller knows it.
    REFUSE = "refuse"
    #: Executed, but the connection breaks before the reply.
    DROP_REPLY = "drop-reply"
    #: Not executed: the request never arrived, but the caller cannot know.
    LOST = "lost"
    #: Executed only ``seconds`` after the caller has given up on it.
    LATE = "late"
    #: Not executed; answered with an internal error that does not say so.
    ERROR_500 = "error-500"
    #: Executed, and answered with an internal error that does not say so.
    ERROR_AFTER = "error-after"
    #: Not executed; too many requests, try again in ``seconds``.
    RATE_LIMIT = "rate-limit"
    #: Not executed; the account's credentials are not accepted.
    UNAUTHENTICATED = "unauthenticated"
    #: Not executed; the credentials are good, but not for this.
    FORBIDDEN = "forbidden"
    #: Not executed; the account cannot pay.
    NO_FUNDS = "no-funds"
    #: Executed; the reply takes ``seconds`` longer.
    SLOW = "slow"


@define
class Fault:
    """A fault that waits for its requests.

    Args:
        times: how many requests it hits.
        after: how many it lets pass before.
    """

    kind: FaultKind
    times: int = 1
    after: int = 0
    seconds: float = 1.0


class Faults:
    """The faults that are scripted, for each operation in the order in which they were."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Fault]] = {}

    def add(self, operation: str, fault: Fault) -> None:
        """Script a fault.

        Raises:
            ValueError: there is no such operation.
        """
        if operation not in OPERATIONS:
            raise ValueError(f"no operation {operation!r}; there are {', '.join(sorted(OPERATIONS))}")
        self._waiting.setdefault(operation, []).append(fault)

    def take(self, operation: str) -> Fault | None:
        """The fault that hits this request, if one does."""
        waiting = self._waiting.get(operation)
        if not waiting:
            return None
        fault = waiting[0]
        if fault.after > 0:
            fault.after -= 1
            return None
        fault.times -= 1
        if fault.times <= 0:
            waiting.pop(0)
        return fault


@define(kw_only=True)
class Request:
    """One request that reached the provider, in the order of sending.

    Args:
        op_key: of the intent; empty for a read.
        executed: whether the exchange carried it out.
        outcome: ``ok``, the name of the error that the caller got, ``pending`` or ``cancelled``.
    """

    operation: str
    op_key: str
    attempt: int
    at: datetime
    executed: bool = False
    outcome: str = "pending"
