"""Providers that are broken on purpose: what is found, our keys, and memory."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from confkit_fake import FakeProvider

from confkit.provider import (
    Bridge,
    Call,
    CallSpec,
    Conference,
    ConferenceSpec,
    Dialled,
    Event,
    FindHint,
    InvalidRequest,
    Op,
    hookimpl,
)
from tests.conformance.broken import Into, caught_by
from tests.conformance.webhook_fake import WebhookFake

# What is found


@caught_by("test_find_of_one_who_was_called_before", whole=True)
class FindsByNumber(FakeProvider):
    @hookimpl
    async def find(self, op_key: str, hint: FindHint) -> Any:
        if hint.operation != "create_call":
            return await super().find(op_key=op_key, hint=hint)
        calls = await super().list_calls(into=hint.into) if hint.into is not None else ()
        return tuple(call for call in calls if call.to == hint.to)


# Our keys


@caught_by("test_the_stream_echoes_no_other_key")
class EchoesTheNewestKey(FakeProvider):
    def told(self, fact: Any) -> Event:
        newest = [request.op_key for request in self.requests if request.operation == "create_call"]
        return evolve(super().told(fact), op=newest[-1] if newest else None)


@caught_by("test_a_webhook_echoes_our_key", whole=True)
class LosesOurKey(WebhookFake):
    def parse(self, payload: dict[str, Any]) -> Event:
        return evolve(super().parse(payload), op=None)


# Memory


@caught_by("test_another_process_goes_on", whole=True, shape="on_join", bridge="none")
class RemembersByItself(FakeProvider):
    """What a room is to be it knows in its own object, and nobody else does."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._rooms: dict[str, Conference] = {}

    @hookimpl
    async def create_conference(self, spec: ConferenceSpec, op: Op) -> Conference:
        self._rooms[op.key] = await super().create_conference(spec=spec, op=op)
        return evolve(self._rooms[op.key], data={})

    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Into) -> Dialled:
        if isinstance(into, Conference) and into.id is None:
            if into.key not in self._rooms:
                raise InvalidRequest("nobody has told what room this is to be")
            into = evolve(into, data=self._rooms[into.key].data)
        return await super().create_call(spec=spec, op=op, into=into)


@caught_by("test_another_process_unbridges")
class RemembersInObjects(FakeProvider):
    @hookimpl
    async def create_bridge(self, calls: tuple[Call, ...], op: Op) -> Bridge:
        bridge = await super().create_bridge(calls=calls, op=op)
        data: Any = {"calls": [call.id for call in calls]}
        return evolve(bridge, data=data)
