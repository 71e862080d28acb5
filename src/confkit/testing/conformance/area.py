"""What every area of the suite has: the harness of the platform, and the event loops that it runs on."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, ClassVar

import pytest

from confkit.testing.conformance.harness import Harness

LOOPS = ("asyncio", "trio") if find_spec("trio") else ("asyncio",)


class Area:
    """Tests of one area; plain pytest, run by anyio's plugin."""

    pytestmark: ClassVar[Any] = pytest.mark.anyio

    @pytest.fixture
    def harness(self) -> Harness:
        """The platform under test, new for every test; override it."""
        raise NotImplementedError("override the fixture harness: it gives your confkit.testing.conformance.Harness")

    @pytest.fixture(params=LOOPS)
    def anyio_backend(self, request: pytest.FixtureRequest) -> Any:
        """The event loop; override it where the provider knows only one, or to test on a virtual clock."""
        return request.param
