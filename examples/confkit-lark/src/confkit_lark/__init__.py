"""Lark as a confkit provider."""

from __future__ import annotations

from confkit.provider import Capabilities, Settings, hookimpl

__all__ = ["confkit_capabilities", "confkit_create_provider"]


@hookimpl
def confkit_create_provider(settings: Settings) -> object:
    """Build the provider from keywords and ``LARK_*`` variables; no I/O."""
    from confkit_lark.provider import LarkProvider
    from confkit_lark.settings import LarkSettings

    return LarkProvider(settings.read(LarkSettings))


@hookimpl
def confkit_capabilities() -> Capabilities:
    """What the provider can do."""
    from confkit_lark.provider import CAPABILITIES

    return CAPABILITIES
