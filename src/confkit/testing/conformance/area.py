"""What every area of the suite has: the harness of the platform, and the event loops that it runs on."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, ClassVar

import pytest

from confkit.testing.conformance.harness import Harness
from confkit.testing.conformance.subject import chosen

LOOPS = ("asyncio", "trio") if find_spec("trio") else ("asyncio",)


class RuleGroup:
    """Tests of one area; plain pytest, run by anyio's plugin.

    Attributes:
        harness_class: the harness of the platform under test; set it.
    """

    pytestmark: ClassVar[Any] = pytest.mark.anyio
    harness_class: ClassVar[type[Harness]]

    @pytest.fixture
    def harness(self) -> Harness:
        """The platform under test, new for every test; override it where making it takes more than its class."""
        return self.harness_class()

    @pytest.fixture(params=LOOPS)
    def anyio_backend(self, request: pytest.FixtureRequest) -> Any:
        """The event loop; override it where the provider knows only one, or to test on a virtual clock."""
        return request.param

    @classmethod
    def confkit_collects(cls, item: pytest.Function) -> bool:
        """Asked by confkit's pytest plugin for every test."""
        if not hasattr(cls, "harness_class"):
            raise pytest.Collector.CollectError(f"{cls.__name__}: set harness_class to the Harness of your platform")
        return chosen(item, cls.harness_class)
