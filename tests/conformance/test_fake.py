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
    "by_name": {"shape": "by_name"},
    "by_name-add": {"shape": "by_name", "joins": "add", "bridge": "none"},
    "by_name-both-reply": {"shape": "by_name", "joins": "both", "tells_room": "reply"},
    "by_name-add-poll": {"shape": "by_name", "joins": "add", "events": "poll"},
    "poll": {"events": "poll"},
    "client-ids": {"client_ids": True, "single_patches": True},
    "limited": {"max_calls": 30, "shortest_ring": 3, "tells_rejections": False},
    "untold": {"shape": "from_call", "tells_answers": False, "bridge_ends": "with_its_calls", "bridge_hangs_up": True},
    "on_join-poll": {"shape": "on_join", "events": "poll", "client_ids": True, "end_hangs_up": True},
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
