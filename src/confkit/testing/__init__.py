"""For those who test: deterministic simulation of whole meetings, and a runtime that crashes and replays.

Needs the fake provider (``confkit-fake``) and trio; confkit itself needs neither.
"""
