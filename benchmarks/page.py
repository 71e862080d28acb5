"""The page on which a run writes what it measured."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence

from benchmarks.report import Result, table

_TOP = """\
# Performance

<!-- Written by `python -m benchmarks`; changes made by hand are lost. -->

Every figure is a ratio of two things measured in the same run, or stands beside what it is to be compared with: the
median of the rounds, with the least and the most. A row that misses its target says so. Time is processor time, except
where waiting is what is measured (establishing, and whole processes).

    uv run python -m benchmarks            # measures everything and writes this page
    uv run python -m benchmarks --quick    # fewer and smaller rounds, prints only

What follows from the figures for many meetings and for many machines: [scaling](scaling.md).
"""


def page(results: Sequence[Result], facts: Mapping[str, str]) -> str:
    """The whole page."""
    where = ", ".join(f"{name} {value}" for name, value in facts.items())
    missed = sum(figure.reached is False for result in results for figure in result.figures)
    aimed = sum(figure.reached is not None for result in results for figure in result.figures)
    parts = [_TOP, f"Measured on: {where}.\n", f"{aimed - missed} of {aimed} targets reached.\n"]
    parts += [table(results) + "\n", "## How each was measured\n"]
    for result in results:
        about = importlib.import_module(f"benchmarks.{result.name}").__doc__ or ""
        parts.append(f"### {result.title}\n\n{about.strip().replace('``', '`')}\n")
        parts.append(f"![{result.title}](performance/{result.name}.svg)\n")
    return "\n".join(parts)
