"""Bandwidth against its simulator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confkit_bandwidth.simulator import Running, Simulator

from confkit.testing.conformance import Conformance
from tests.conformance.bandwidth_harness import BandwidthHarness


@pytest.fixture(scope="module")
def simulator() -> Iterator[Running]:
    with Simulator().in_thread() as running:
        yield running


class TestBandwidth(Conformance):
    harness_class = BandwidthHarness

    @pytest.fixture
    def harness(self, simulator: Running) -> Iterator[BandwidthHarness]:
        harness = BandwidthHarness(simulator)
        yield harness
        harness.clear()
