"""The conformance suite against the real engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confkit_asterisk.engine import Engine

from confkit.testing.conformance import Conformance
from plugins.asterisk.tests.media.loopback import AsteriskHarness, harness_of


class TestAsterisk(Conformance):
    harness_class = AsteriskHarness

    @pytest.fixture
    def harness(self, engine: Engine) -> Iterator[AsteriskHarness]:
        with harness_of(engine) as harness:
            yield harness
