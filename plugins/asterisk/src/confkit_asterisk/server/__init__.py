"""A development engine: Asterisk, fetched and run as an ordinary user, on loopback only."""

from __future__ import annotations

from confkit_asterisk.server.install import EngineUnavailable, Installation, install
from confkit_asterisk.server.run import Engine

__all__ = ["Engine", "EngineUnavailable", "Installation", "install"]
