"""Measurements: each a ratio between two things measured in the same run. Run with ``uv run python -m benchmarks``."""
