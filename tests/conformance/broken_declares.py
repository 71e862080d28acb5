"""Providers that declare what is not so of their platform, or do not declare what is; registered like the others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from attrs import evolve
from confkit_fake import FakeProvider

from confkit.provider import (
    Bridge,
    BridgeState,
    Call,
    CallSpec,
    CallState,
    Capabilities,
    Conference,
    Dialled,
    EndCause,
    InvalidRequest,
    Op,
    RecordAction,
    Snapshot,
    hookimpl,
)
from tests.conformance.broken import Into, caught_by


@caught_by("test_why_nobody_answered", "test_outcomes", whole=True, tells_rejections=False)
class ClaimsToTellRejections(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        can = super().capabilities()
        return evolve(can, causes=can.causes | {EndCause.REJECTED})


@caught_by("test_a_cause_that_is_not_declared", whole=True)
class HidesThatItTellsRejections(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        can = super().capabilities()
        return evolve(can, causes=can.causes - {EndCause.REJECTED})


@caught_by("test_answer_timeout", whole=True, shortest_ring=8)
class HidesItsShortestRing(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities(), rings=(timedelta(0), None))


@caught_by("test_the_longest_ring", whole=True)
class RingsLessThanItSays(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities(), rings=(timedelta(0), timedelta(minutes=10)))

    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Into) -> Dialled:
        if spec.answer_timeout > timedelta(minutes=5):
            raise InvalidRequest("too long", provider=self.name, operation="create_call")
        return await super().create_call(spec=spec, op=op, into=into)


@caught_by("test_max_calls", whole=True, max_calls=30)
class CarriesFewerCallsThanItSays(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities(), max_calls=31)


@caught_by("test_a_ringing_call_is_not_answered", whole=True)
class TakesAliveForAnswered(FakeProvider):
    """Its platform says no more than that a call is alive, and it makes the best of it."""

    @hookimpl
    async def fetch(self, ref: Conference | Call | Bridge) -> Snapshot:
        snapshot = await super().fetch(ref=ref)
        calls = tuple(evolve(call, **self._alive(call)) for call in snapshot.calls)
        return evolve(snapshot, calls=calls) if isinstance(ref, Call) else snapshot

    def _alive(self, call: Call) -> dict[str, Any]:
        return {"state": CallState.ANSWERED} if call.state is CallState.RINGING else {}


@caught_by("test_what_becomes_of_the_other_on_a_bridge", whole=True)
class ClaimsThatABridgeHangsUp(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities(), bridge_hangs_up=True)


@caught_by("test_what_becomes_of_the_other_on_a_bridge", bridge_hangs_up=True)
class HidesThatABridgeHangsUp(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities(), bridge_hangs_up=False)


@caught_by("test_a_bridge_ends_with_its_calls", bridge_ends="with_its_calls")
class ForgetsThatABridgeIsOver(FakeProvider):
    @hookimpl
    async def fetch(self, ref: Conference | Call | Bridge) -> Snapshot:
        snapshot = await super().fetch(ref=ref)
        if snapshot.bridge is None:
            return snapshot
        return evolve(snapshot, bridge=evolve(snapshot.bridge, state=BridgeState.ACTIVE))


@caught_by("test_capabilities_make_sense", bridge_ends="with_its_calls")
class MovesWhatItCannotPart(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities(), bridge_to_conference=True)


@caught_by("test_capabilities_make_sense")
class NeedsWebhooksThatItLacks(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities(), needs_webhooks=True)


@caught_by("test_capabilities_make_sense")
class NeedsAUrlForNothing(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities(), needs_public_url_for=frozenset({"sing"}))


@caught_by("test_record", whole=True)
class StartsInsteadOfGoingOn(FakeProvider):
    @hookimpl
    async def record(self, target: Conference | Call | Bridge, action: RecordAction, op: Op) -> None:
        again = RecordAction.START if action is RecordAction.RESUME else action
        await super().record(target=target, action=again, op=op)
