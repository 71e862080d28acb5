"""What a benchmark hands in: figures with targets, the raw rounds, and how they are written down."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen


def _rounds(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


@frozen(kw_only=True)
class Figure:
    """One row of the table.

    Args:
        what: what was measured.
        against: what it was measured against, in the same run.
        rounds: one value for each round; the row shows the median and the spread.
        unit: of the values; empty for a ratio.
        at_most: the target, or ``None``.
        at_least: the target, or ``None``; a row with neither is recorded only.
        note: what a reader must know to judge it.
    """

    what: str
    against: str
    rounds: tuple[float, ...] = field(converter=_rounds)
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def median(self) -> float:
        """Of the rounds."""
        return statistics.median(self.rounds)

    @property
    def reached(self) -> bool | None:
        """Whether the target was; ``None`` where there is none."""
        if self.at_most is not None:
            return self.median <= self.at_most
        if self.at_least is not None:
            return self.median >= self.at_least
        return None

    @property
    def verdict(self) -> str:
        """For the table."""
        return {True: "reached", False: "**MISSED**", None: "recorded"}[self.reached]

    @property
    def target(self) -> str:
        """For the table."""
        if self.at_most is not None:
            return f"≤ {_number(self.at_most, self.unit)}"
        return f"≥ {_number(self.at_least, self.unit)}" if self.at_least is not None else "–"

    @property
    def shown(self) -> str:
        """For the table: the median, and the spread where there are several rounds."""
        middle = _number(self.median, self.unit)
        if len(self.rounds) < 2:
            return middle
        return f"{middle} ({_number(min(self.rounds))} … {_number(max(self.rounds))}, n={len(self.rounds)})"


@frozen(kw_only=True)
class Result:
    """What one benchmark measured.

    Args:
        name: its module.
        data: plain values, for the plot.
    """

    name: str
    title: str
    figures: tuple[Figure, ...]
    data: dict[str, Any]

    def json(self) -> str:
        """As one line."""
        return json.dumps(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """As plain values, with the medians and verdicts."""
        figures = [
            attrs.asdict(figure) | {"median": figure.median, "target": figure.target, "reached": figure.reached}
            for figure in self.figures
        ]
        return {"name": self.name, "title": self.title, "figures": figures, "data": self.data}

    @classmethod
    def read(cls, values: dict[str, Any]) -> Result:
        """What ``as_dict`` gave."""
        names = [attribute.name for attribute in attrs.fields(Figure)]
        figures = tuple(Figure(**{name: figure[name] for name in names}) for figure in values["figures"])
        return cls(name=values["name"], title=values["title"], figures=figures, data=values["data"])


def table(results: Sequence[Result], *, bold: bool = True) -> str:
    """All figures as a Markdown table."""
    lines = ["| what | figure: median (least … most, rounds) | measured against | target | verdict |"]
    lines.append("|:--|:--|:--|:--|:--|")
    for result in results:
        for figure in result.figures:
            what = f"{figure.what}: {figure.note}" if figure.note else figure.what
            verdict = figure.verdict if bold else figure.verdict.strip("*")
            lines.append(f"| {what} | {figure.shown} | {figure.against} | {figure.target} | {verdict} |")
    return "\n".join(lines)


def machine() -> dict[str, str]:
    """What the figures depend on; nothing that names the machine or a place on it."""
    facts = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        "processor": _processor(),
    }
    for distribution in ("confkit", "anyio", "attrs", "httpx", "httpx-aiohttp", "pluggy", "structlog"):
        facts[distribution] = version(distribution)
    return facts


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown")


def _number(value: float | None, unit: str = "") -> str:
    if value is None:
        return "–"
    size = abs(value)
    text = f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
    return f"{text} {unit}" if unit else text
