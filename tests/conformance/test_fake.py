"""The fake provider in all its shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from confkit.testing.conformance import Conformance
from confkit.testing.conformance.idempotency import IdempotencyRules
from tests.conformance.fake_harness import FakeHarness
from tests.conformance.webhook_fake import WebhookHarness

SHAPES: dict[str, dict[str, Any]] = {
    "explicit": {},
    "bridge-first": {"bridge": "first", "end_hangs_up": True, "echoes": True},
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


class ForgetfulHarness(FakeHarness):
    """It lists what is alive, and knows that this proves nothing."""

    given: ClassVar[Mapping[str, Any]] = {"lists_ended": False}


@pytest.mark.virtual_time
class TestFakeThatForgets(IdempotencyRules):
    harness_class = ForgetfulHarness


class TestFakeOnBothLoops(Conformance):
    harness_class = FakeHarness


@pytest.mark.virtual_time
class TestFakeWithWebhooks(Conformance):
    harness_class = WebhookHarness
