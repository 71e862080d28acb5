"""The conformance suite against the real engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from confkit_asterisk.provider import AsteriskProvider
from confkit_asterisk.server import Engine
from confkit_asterisk.settings import AsteriskSettings

from confkit.provider import Call, Op, hookimpl
from confkit.testing.conformance import Conformance
from plugins.asterisk.tests.media.loopback import AsteriskHarness, harness_of


class TestAsterisk(Conformance):
    harness_class = AsteriskHarness

    @pytest.fixture
    def harness(self, engine: Engine) -> Iterator[AsteriskHarness]:
        with harness_of(engine) as harness:
            yield harness


class Hasty(AsteriskProvider):
    """Sends a request twice, to be on the safe side."""

    @hookimpl
    async def hang_up(self, call: Call, op: Op) -> None:
        for _ in range(2):
            await super().hang_up(call, op)


class OfHasty(AsteriskHarness):
    def provider(self) -> Any:
        super().provider()
        return Hasty(AsteriskSettings(**self.settings))


@pytest.mark.anyio
async def test_a_request_that_is_sent_twice_is_noticed(engine: Engine) -> None:
    with harness_of(engine, OfHasty) as harness, pytest.raises(pytest.fail.Exception, match="hang_up sent 2"):
        await TestAsterisk().test_hang_up_while_it_rings(harness)
