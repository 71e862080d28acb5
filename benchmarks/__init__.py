"""Measurements: ratios between two things measured in the same run. ``uv run python -m benchmarks`` runs them all."""
