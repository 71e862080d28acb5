"""The suite on every broken provider; run by ``test_broken``, not by itself: nearly all of this fails on purpose."""

from __future__ import annotations

from typing import Any

import pytest
import trio.testing

from confkit.testing.conformance import Conformance
from tests.conformance import broken_answers, broken_correlation, broken_declares  # noqa: F401 - they register
from tests.conformance.broken import BROKEN, Broken


class OnAVirtualClock(Conformance):
    @pytest.fixture
    def anyio_backend(self) -> Any:
        return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


def suite_on(broken: Broken) -> type[Conformance]:
    class Suite(OnAVirtualClock):
        harness_class = broken.harness

    if not broken.whole:
        for name in dir(Conformance):
            if name.startswith("test_") and name not in broken.caught_by:
                setattr(Suite, name, None)  # pytest takes what is not callable for no test

    return Suite


globals().update({f"Test{name}": suite_on(broken) for name, broken in BROKEN.items()})
