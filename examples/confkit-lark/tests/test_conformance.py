"""Lark passes the conformance suite, on both event loops."""

from __future__ import annotations

from confkit_lark_harness import LarkHarness

from confkit.testing.conformance import Conformance


class TestLark(Conformance):
    harness_class = LarkHarness
