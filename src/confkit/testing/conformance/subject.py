"""What there is to test: chosen while tests are collected, from what the provider declares and has, and its harness."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

import pytest
from attrs import frozen

from confkit.models.capabilities import Bridging, Capabilities, ConferenceCreation, EventSource
from confkit.models.records import JoinMethod
from confkit.provider.contract import ProviderSpec
from confkit.provider.discovery import implements, open_provider
from confkit.testing.conformance.harness import Harness

#: The mark that carries a condition; confkit's pytest plugin reads it, and collects no test whose condition fails.
MARK = "confkit_where"
#: Everything that a provider can implement.
OPERATIONS = tuple(name for name in vars(ProviderSpec) if not name.startswith("_"))


@frozen
class Subject:
    """A provider that is to be tested, as it declares itself.

    Args:
        harness: of its platform.
        can: what it declares.
        hooks: the operations that it implements.
    """

    harness: type[Harness]
    can: Capabilities
    hooks: frozenset[str]

    @property
    def explicit(self) -> bool:
        """Whether conferences exist before they have members."""
        return self.can.creation is ConferenceCreation.EXPLICIT

    @property
    def fused(self) -> bool:
        """Whether calls join by themselves."""
        return self.can.join_method is JoinMethod.FUSED

    def has(self, operation: str) -> bool:
        """Whether it implements the hook."""
        return operation in self.hooks

    def can_do(self, operation: str) -> bool:
        """Whether the operation asks the platform for something here."""
        match operation:
            case "create_conference":
                return self.explicit
            case "add_member":
                return self.has(operation) and (not self.fused or self.can.bridge_to_conference)
        return self.has(operation)

    @staticmethod
    def declares(names: Collection[str], operation: str) -> bool:
        """Whether a set of operations has this one, as ``play:call`` or as ``play``."""
        return operation in names or operation.partition(":")[0] in names

    def can_ask_for(self, operation: str) -> bool:
        """Whether the operation can be asked for here: what it is about has to be there as well."""
        name, _, place = operation.partition(":")
        declared = {"play": self.can.play, "record": self.can.record}.get(name)
        return self.can_do(name) and (declared is None or place in declared)

    def can_make(self, place: str) -> bool:
        """Whether there can be such a place: a ``bridge`` is not everywhere."""
        return place != "bridge" or self.can.bridging is not Bridging.NONE

    def tells_by(self, source: EventSource) -> bool:
        """Whether it declares that facts come from there."""
        return source in self.can.events


@cache
def subject_of(harness: type[Harness]) -> Subject:
    """The provider of a harness, without its platform."""
    _, manager = open_provider(harness.declared(), {})
    can: Capabilities = manager.hook.capabilities()
    return Subject(harness, can, frozenset(name for name in OPERATIONS if implements(manager, name)))


def where(applies: Callable[..., object]) -> pytest.MarkDecorator:
    """Collect a test only where a condition holds.

    Args:
        applies: takes the :class:`Subject`, and by their names those of the test's parameters that it asks for.
    """
    mark: pytest.MarkDecorator = getattr(pytest.mark, MARK)
    return mark.with_args(applies)


def chosen(item: pytest.Function, harness: type[Harness]) -> bool:
    """Whether all conditions of a test hold for the provider of a harness."""
    parameters: Mapping[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
    return all(_holds(mark.args[0], subject_of(harness), parameters) for mark in item.iter_markers(MARK))


def _holds(applies: Callable[..., object], subject: Subject, parameters: Mapping[str, Any]) -> bool:
    _, *names = inspect.signature(applies).parameters
    return bool(applies(subject, **{name: parameters[name] for name in names}))
