"""Bandwidth Voice v1 as a confkit provider."""

from __future__ import annotations

from typing import Any

from confkit.provider import Capabilities, Settings, hookimpl

__all__ = ["confkit_add_commands", "confkit_capabilities", "confkit_create_provider"]


@hookimpl
def confkit_create_provider(settings: Settings) -> object:
    """Build the provider from keywords and ``BANDWIDTH_*`` variables; no I/O."""
    from confkit_bandwidth.provider import BandwidthProvider
    from confkit_bandwidth.settings import BandwidthSettings

    return BandwidthProvider(settings.read(BandwidthSettings))


@hookimpl
def confkit_capabilities() -> Capabilities:
    """What the provider can do with its default settings; needs no account."""
    from confkit_bandwidth.provider import capabilities
    from confkit_bandwidth.settings import BandwidthSettings

    return capabilities(BandwidthSettings(user_id="unknown", token="unknown", secret="unknown"))


@hookimpl
def confkit_add_commands(app: Any) -> None:
    """Add ``confkit bandwidth ...``."""
    from confkit_bandwidth import commands

    commands.add(app)
