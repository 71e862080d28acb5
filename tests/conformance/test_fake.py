"""The fake provider in all its shapes."""

from __future__ import annotations

from typing import Any

import pytest

from confkit.testing.conformance import Conformance
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


@pytest.mark.virtual_time
class TestFake(Conformance):
    @pytest.fixture(params=SHAPES)
    def harness(self, request: pytest.FixtureRequest) -> FakeHarness:
        return FakeHarness(**SHAPES[request.param])


class TestFakeOnBothLoops(Conformance):
    @pytest.fixture
    def harness(self) -> FakeHarness:
        return FakeHarness()


@pytest.mark.virtual_time
class TestFakeWithWebhooks(Conformance):
    @pytest.fixture
    def harness(self) -> WebhookHarness:
        return WebhookHarness()
