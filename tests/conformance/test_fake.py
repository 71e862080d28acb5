"""The fake provider in all its shapes."""

from __future__ import annotations

from typing import Any

import pytest
from confkit_fake import FakeProvider

from confkit.errors import OutcomeUnknown
from confkit.hookspecs import hookimpl
from confkit.models import FindHint
from confkit.testing.conformance import Conformance
from confkit.testing.conformance.idempotency import IdempotencyRules
from tests.conformance.fake_harness import FakeHarness
from tests.conformance.webhook_fake import WebhookHarness

SHAPES: dict[str, dict[str, Any]] = {
    "explicit": {},
    "bridge-first": {"bridge": "first", "end_hangs_up": True},
    "on_join": {"shape": "on_join", "bridge": "none"},
    "from_call": {"shape": "from_call", "max_members": None},
    "fused": {"shape": "fused", "max_members": 6},
    "poll": {"events": "poll"},
    "client-ids": {"idempotency": "client_id"},
    "on_join-poll": {"shape": "on_join", "events": "poll", "idempotency": "client_id", "end_hangs_up": True},
}


def suite_on(settings: dict[str, Any]) -> type[Conformance]:
    class Shaped(FakeHarness):
        given = settings

    @pytest.mark.virtual_time
    class Suite(Conformance):
        harness_class = Shaped

    return Suite


globals().update({f"TestFake_{name}": suite_on(settings) for name, settings in SHAPES.items()})


class Forgetful(FakeProvider):
    """It lists what is up, and knows that this proves nothing."""

    @hookimpl
    async def find(self, op_key: str, hint: FindHint) -> tuple[Any, ...]:
        found = await super().find(op_key=op_key, hint=hint)
        if up := tuple(each for each in found if each.state.value not in ("ended", "left")):
            return up
        raise OutcomeUnknown("nothing is up, which proves nothing", provider=self.name, operation="find")


class ForgetfulHarness(FakeHarness):
    kind = Forgetful


@pytest.mark.virtual_time
class TestFakeThatForgets(IdempotencyRules):
    harness_class = ForgetfulHarness


class TestFakeOnBothLoops(Conformance):
    harness_class = FakeHarness


@pytest.mark.virtual_time
class TestFakeWithWebhooks(Conformance):
    harness_class = WebhookHarness
