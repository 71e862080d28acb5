"""Lark passes the conformance suite, on both event loops."""

from __future__ import annotations

import pytest
from confkit_lark_harness import LarkHarness

from confkit.testing.conformance import Conformance


class TestLark(Conformance):
    @pytest.fixture
    def harness(self) -> LarkHarness:
        return LarkHarness()
