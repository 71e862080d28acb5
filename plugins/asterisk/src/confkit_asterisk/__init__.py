"""Asterisk, through its REST interface ARI, as a confkit provider."""

from __future__ import annotations

from typing import Any

from confkit.provider import Capabilities, Settings, hookimpl

__all__ = ["confkit_add_commands", "confkit_capabilities", "confkit_create_provider", "confkit_demo"]


@hookimpl
def confkit_create_provider(settings: Settings) -> object:
    """Build the provider from keywords and ``ASTERISK_*`` variables; no I/O."""
    from confkit_asterisk.provider import AsteriskProvider
    from confkit_asterisk.settings import AsteriskSettings

    return AsteriskProvider(settings.read(AsteriskSettings))


@hookimpl
def confkit_capabilities() -> Capabilities:
    """What the provider can do; needs no engine."""
    from confkit_asterisk.provider import CAPABILITIES

    return CAPABILITIES


@hookimpl
def confkit_add_commands(app: Any) -> None:
    """Add ``confkit asterisk ...``."""
    from confkit_asterisk import commands

    commands.add(app)


@hookimpl
def confkit_demo(parties: int, as_json: bool) -> int:
    """Run ``confkit demo --provider asterisk``."""
    from confkit_asterisk import demo

    return demo.run(parties=parties, as_json=as_json)
