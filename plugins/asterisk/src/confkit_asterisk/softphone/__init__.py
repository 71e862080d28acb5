"""Softphones for tests and demonstrations: each sends its own tone and can tell which tones it hears."""

from __future__ import annotations

from confkit_asterisk.softphone.audio import level
from confkit_asterisk.softphone.phone import Manner, Phone
from confkit_asterisk.softphone.phones import TONES, Phones, hearing, tones

__all__ = ["TONES", "Manner", "Phone", "Phones", "hearing", "level", "tones"]
