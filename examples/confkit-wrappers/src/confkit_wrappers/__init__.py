"""Plugins that go around any confkit provider."""

from __future__ import annotations

from confkit_wrappers.audit import AuditLog
from confkit_wrappers.phones import TestPhones

__all__ = ["AuditLog", "TestPhones"]
