"""The fake provider's harness: an exchange of its own for every test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import confkit_fake
from confkit_fake import FakeProvider

from confkit.provider import CallState
from confkit.testing.conformance import Fault, Harness, Reaction

_READS = {"fetch", "list_calls", "find"}
_FAULTS = {
    Fault.UNREACHABLE: "refuse",
    Fault.LOST_REPLY: "drop-reply",
    Fault.SERVER_ERROR: "error-500",
    Fault.RATE_LIMITED: "rate-limit",
    Fault.FORBIDDEN: "forbidden",
    Fault.BAD_CREDENTIALS: "unauthenticated",
    Fault.NO_FUNDS: "no-funds",
}


class FakeHarness(Harness):
    """Any provider that is a :class:`FakeProvider` of some kind.

    Attributes:
        kind: the class, for those that are broken on purpose.
        given: the provider's settings.
    """

    name = "fake"
    module = confkit_fake
    lacks = frozenset({Fault.GARBLED})
    kind: ClassVar[type[FakeProvider]] = FakeProvider
    given: ClassVar[Mapping[str, Any]] = {}

    def __init__(self) -> None:
        self.settings = self.given
        self.fake = self.kind(**self.given)
        self._fakes: list[FakeProvider] = []

    def provider(self) -> FakeProvider:
        # Each but the first is another process on the same exchange.
        another = self.kind(**self.given, exchange=self.fake.exchange) if self._fakes else self.fake
        self._fakes.append(another)
        return another

    def script(self, address: str, reaction: Reaction) -> None:
        getattr(self.fake.party(address), reaction.value)()

    def hang_up(self, address: str) -> None:
        self.fake.exchange.advance()
        for call_id in self.fake.exchange.rings[address]:
            if self.fake.exchange.calls[call_id].state is CallState.ANSWERED:
                self.fake.exchange.hang_up(call_id)

    def rings(self, address: str) -> int:
        return len(self.fake.exchange.rings.get(address, []))

    def calls_up(self) -> int:
        self.fake.exchange.advance()
        return sum(call.state is not CallState.ENDED for call in self.fake.exchange.calls.values())

    def answered(self, address: str) -> bool:
        self.fake.exchange.advance()
        calls = self.fake.exchange.calls.values()
        return any(call.party == address and call.state is CallState.ANSWERED for call in calls)

    def mutations(self) -> int:
        return sum(request.operation not in _READS for fake in self._fakes for request in fake.requests)

    def provoke(self, fault: Fault, operation: str) -> None:
        self.fake.fail(operation, _FAULTS[fault])

    def call_in(self, caller: str) -> str | None:
        return self.fake.exchange.incoming(caller, self.caller_id).id
