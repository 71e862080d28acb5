"""An in-memory telephone exchange as a confkit provider: scripted parties, scripted faults, no network."""

from __future__ import annotations

from attrs import asdict

from confkit.provider import Capabilities, Settings, hookimpl
from confkit_fake.exchange import ErrorCode, Exchange, ExchangeError, Fact, FactKind, PartyScript
from confkit_fake.faults import FaultKind, Request
from confkit_fake.options import FakeSettings, Rates, Shape
from confkit_fake.provider import FakeProvider

__all__ = [
    "ErrorCode",
    "Exchange",
    "ExchangeError",
    "Fact",
    "FactKind",
    "FakeProvider",
    "FakeSettings",
    "FaultKind",
    "PartyScript",
    "Rates",
    "Request",
    "Shape",
    "confkit_capabilities",
    "confkit_create_provider",
]


@hookimpl
def confkit_create_provider(settings: Settings) -> FakeProvider:
    """Build the provider; see :class:`FakeSettings`."""
    return FakeProvider(**asdict(settings.read(FakeSettings), recurse=False))


@hookimpl
def confkit_capabilities() -> Capabilities:
    """What the provider can do with its default settings."""
    return FakeSettings().capabilities()
