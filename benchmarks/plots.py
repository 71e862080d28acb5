"""One plot for each benchmark, drawn from what it measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from benchmarks.report import Result

OURS, THEIRS, OTHER, QUIET = "#1f5fa8", "#c8553d", "#3a8f5c", "#8a8a8a"
STYLE: dict[Any, Any] = {  # its keys are literal types to matplotlib
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 11,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.fonttype": "path",
    # The same figures make the same file.
    "svg.hashsalt": "confkit",
}


def draw(result: Result, path: Path) -> None:
    """Write the plot of a result as SVG."""
    if result.name not in PLOTS:
        return
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 4.8), layout="constrained")
        PLOTS[result.name](figure, result.data)
        figure.suptitle(result.title)
        figure.savefig(path, metadata={"Date": None})


def _establish(figure: Figure, data: dict[str, Any]) -> None:
    """Time against latency, for the most parties; and how many times sooner, for all."""
    left, right = figure.subplots(1, 2)
    counts = sorted({point["parties"] for point in data["points"]})
    most = [point for point in data["points"] if point["parties"] == counts[-1]]
    latencies = [point["latency"] * 1000 for point in most]
    named = {
        "SDK": ("bandwidth-sdk 3.1.0, one by one", THEIRS, "s"),
        "polling": ("confkit, answers polled", OURS, "o"),
        "webhooks": ("confkit, answers by webhook", OTHER, "^"),
        "by hand": ("the same requests by hand", QUIET, "x"),
    }
    for key, (label, colour, marker) in named.items():
        medians = [statistics.median(point["seconds"][key]) for point in most]
        left.plot(latencies, medians, marker=marker, color=colour, label=label)
    left.plot(latencies, [4 * each / 1000 for each in latencies], ":", color="black", label="4 round trips")
    left.set(xscale="log", yscale="log", xlabel="latency of each request (ms)", ylabel="until all are members (s)")
    left.set_title(f"{counts[-1]} parties", fontsize=11)
    left.set_xticks(latencies, [f"{each:g}" for each in latencies], minor=False)
    left.minorticks_off()
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter("{x:g}")
    left.set_ylim(None, 20 * max(statistics.median(point["seconds"]["SDK"]) for point in most))
    left.legend(fontsize=9, loc="upper left")
    for count, marker in zip(counts, "o^s", strict=False):
        mine = [point for point in data["points"] if point["parties"] == count]
        ratios = [
            statistics.median(point["seconds"]["SDK"]) / statistics.median(point["seconds"]["polling"])
            for point in mine
        ]
        right.plot([p["latency"] * 1000 for p in mine], ratios, marker=marker, label=f"{count} parties")
    right.axhline(10, color="black", linestyle=":", label="target at 20 parties, 50 ms")
    right.set(xscale="log", xlabel="latency of each request (ms)", ylabel="times sooner than the SDK", ylim=(0, None))
    right.set_xticks(latencies, [f"{each:g}" for each in latencies], minor=False)
    right.minorticks_off()
    right.legend(fontsize=9)


def _limits(figure: Figure, data: dict[str, Any]) -> None:
    """The runs above their floors."""
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    points = data["points"]
    cases = sorted({(point["delay"], point["parties"]) for point in points})
    labels = [f"{parties}\n{delay:g} s" for delay, parties in cases]
    for offset, (source, colour) in enumerate((("polling", OURS), ("webhooks", OTHER))):
        mine = {(p["delay"], p["parties"]): p for p in points if p["source"] == source}
        places = [place + 0.38 * offset - 0.19 for place in range(len(cases))]
        left.bar(places, [mine[case]["seconds"] for case in cases], 0.36, color=colour, label=f"answers by {source}")
        right.plot(range(len(cases)), [mine[c]["seconds"] / mine[c]["floor"] for c in cases], "o-", color=colour)
    floors = [next(p["floor"] for p in points if (p["delay"], p["parties"]) == case) for case in cases]
    left.hlines(floors, [x - 0.42 for x in range(len(cases))], [x + 0.42 for x in range(len(cases))], color="black")
    left.plot([], [], color="black", label="floor")
    left.set(xlabel="parties, answering after", ylabel="until all are members (s, virtual time)")
    left.set_xticks(range(len(cases)), labels, fontsize=9)
    left.legend(fontsize=9)
    right.axhline(1.05, color="black", linestyle=":", label="target")
    right.set(xlabel="parties, answering after", ylabel="time over floor", ylim=(1, 1.08))
    right.set_xticks(range(len(cases)), labels, fontsize=8)
    right.legend(fontsize=9)


def _members(figure: Figure, data: dict[str, Any]) -> None:
    """Time and processor time against the number of members, at both platforms."""
    left, right = figure.subplots(1, 2)
    sizes = sorted({point["members"] for point in data["points"]})
    lines = (
        (left, "Asterisk", "seconds", "Asterisk", "o-", OURS),
        (left, "Bandwidth", "seconds", "Bandwidth's simulator", "s-", THEIRS),
        (right, "Asterisk", "client", "confkit, on Asterisk", "o-", OURS),
        (right, "Bandwidth", "client", "confkit, on Bandwidth's simulator", "s-", THEIRS),
        (right, "Asterisk", "engine", "Asterisk itself", "^:", QUIET),
    )
    for axes, where, what, label, style, colour in lines:
        mine = [point for point in data["points"] if point["where"] == where]
        medians, spread = _spread([point[what] for point in mine])
        shown = [point["members"] for point in mine]
        axes.errorbar(shown, medians, spread, fmt=style, color=colour, capsize=4, label=label)
    for axes, label, place in (
        (left, "until all have joined (s)", "upper left"),
        (right, "processor time per member (ms)", "lower right"),
    ):
        axes.set(xlabel="members of one conference", ylabel=label, ylim=(0, None), xticks=sizes)
        axes.legend(fontsize=9, loc=place)


def _requests(figure: Figure, data: dict[str, Any]) -> None:
    axes = figure.subplots()
    named = {
        "by hand": "by hand,\nhttpx-aiohttp",
        "confkit": "confkit",
        "by hand, httpx's own pool": "by hand,\nhttpx's own pool",
    }
    _dots(axes, [data["microseconds"][name] for name in named], list(named.values()), (QUIET, OURS, QUIET))
    axes.axhline(
        1.25 * statistics.median(data["microseconds"]["by hand"]), color="black", linestyle=":", label="target"
    )
    axes.set(ylabel="processor time per request (µs)", ylim=(0, None))
    axes.legend(fontsize=9)


def _steps(figure: Figure, data: dict[str, Any]) -> None:
    axes = figure.subplots()
    named = {
        "pluggy": "calling a hook",
        "directly": "the fake's operation\nitself",
        "off": "a step,\ntracing off",
        "on": "a step,\ntracing on",
    }
    _dots(axes, [data[name] for name in named], list(named.values()), (QUIET, QUIET, OURS, OTHER))
    axes.set(ylabel="processor time (µs)", ylim=(0, None))


def _meetings(figure: Figure, data: dict[str, Any]) -> None:
    left, right = figure.subplots(1, 2)
    sizes, milliseconds, raised = data["sizes"], data["milliseconds"], data["raised"]
    some = [place for place, size in enumerate(sizes) if size > 1]  # what one meeting takes is lost in the process
    for axes, shown, values, colour, label in (
        (left, sizes, milliseconds, OURS, "as Python comes"),
        (left, raised["sizes"], raised["milliseconds"], OTHER, "the collector's thresholds raised"),
        (right, [sizes[place] for place in some], [data["kB"][place] for place in some], OURS, None),
    ):
        medians, spread = _spread(values)
        axes.errorbar(shown, medians, spread, fmt="o-", color=colour, capsize=4, label=label)
    target = 1.3 * statistics.median(milliseconds[sizes.index(100)])
    for axes, shown, limit, named, label in (
        (left, sizes, target, "target: 1.3 of that at 100", "processor time per meeting (ms)"),
        (right, [sizes[place] for place in some], 25.0, "target", "memory per participant (kB)"),
    ):
        axes.axhline(limit, color="black", linestyle=":", label=named)
        axes.set(xscale="log", xlabel="meetings of five at once", ylabel=label)
        axes.set_xticks(shown, [f"{each:,}" for each in shown], minor=False)
        axes.minorticks_off()
        axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
        axes.legend(fontsize=9, loc="lower left")


def _intake(figure: Figure, data: dict[str, Any]) -> None:
    axes = figure.subplots()
    rates = data["per second"]
    labels = ["answering 204,\nno work", "verified, parsed, told\nto the meeting"]
    _dots(axes, [rates["nothing"], rates["confkit"]], labels, (QUIET, OURS))
    axes.axhline(statistics.median(rates["nothing"]) / 2, color="black", linestyle=":", label="target: half")
    axes.set(ylabel="requests per second of processor time", ylim=(0, None))
    axes.legend(fontsize=9)


def _webhooks(figure: Figure, data: dict[str, Any]) -> None:
    left, right = figure.subplots(1, 2)
    places = range(1, len(data["bursts"]) + 1)
    left.bar(places, [sum(each["statuses"].values()) / each["took"] for each in data["bursts"]], color=OURS)
    left.set(xlabel="burst", ylabel="deliveries answered per second", xticks=list(places))
    right.plot(places, data["peaks"], "o-", color=OURS)
    right.set(xlabel="burst", ylabel="peak memory of the process (MiB)", xticks=list(places))
    right.set_ylim(0, 1.15 * max(data["peaks"]))


def _imports(figure: Figure, data: dict[str, Any]) -> None:
    left, right = figure.subplots(1, 2)
    values = data["milliseconds"]
    imports = {
        "attrs, pluggy, structlog": "attrs, pluggy,\nstructlog",
        "confkit": "confkit",
        "attrs, pluggy, structlog, no rich": "the three,\nno rich",
        "confkit, no rich": "confkit,\nno rich",
    }
    _dots(left, [values[name] for name in imports], list(imports.values()), (QUIET, OURS, QUIET, OURS))
    left.set(ylabel="processor time of the import (ms)", ylim=(0, None))
    left.tick_params(axis="x", labelsize=9)
    processes = {
        "python": "python\n-c ''",
        "confkit --help": "confkit\n--help",
        "first request by hand": "one request\nby hand",
        "first request": "one request,\nconfkit",
    }
    _dots(right, [values[name] for name in processes], list(processes.values()), (QUIET, OURS, QUIET, OURS))
    right.set(ylabel="the whole process (ms)", ylim=(0, None))
    right.tick_params(axis="x", labelsize=9)


def _suites(figure: Figure, data: dict[str, Any]) -> None:
    shown = {what: rounds for what, rounds in data.items() if rounds}
    units = {what: "runs per second" if "a second" in what else "seconds" for what in shown}
    every = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, (what, rounds) in zip(every, shown.items(), strict=True):
        axes.plot(range(1, len(rounds) + 1), rounds, "o-", color=OURS)
        axes.set(xlabel="round", ylabel=units[what], xticks=range(1, len(rounds) + 1))
        axes.set_ylim(0, 1.15 * max(rounds))
        axes.set_title(what, fontsize=10)


def _dots(axes: Axes, groups: Sequence[Sequence[float]], labels: list[str], colours: Sequence[str]) -> None:
    """A bar for the median of each group, and a dot for each round."""
    for place, (group, colour) in enumerate(zip(groups, colours, strict=True)):
        middle = statistics.median(group)
        axes.bar(place, middle, 0.6, color=colour, alpha=0.55)
        axes.plot([place] * len(group), group, ".", color=colour, markersize=5)
        axes.annotate(f"{middle:,.1f}" if middle < 100 else f"{middle:,.0f}", (place, 0), (0, 6), ha="center",
                      textcoords="offset points")  # fmt: skip
    axes.set_xticks(range(len(labels)), labels)
    axes.grid(visible=False, axis="x")


def _spread(values: Sequence[Sequence[float]]) -> tuple[list[float], list[list[float]]]:
    """Medians, and how far the rounds reach below and above them."""
    medians = [statistics.median(group) for group in values]
    below = [middle - min(group) for middle, group in zip(medians, values, strict=True)]
    above = [max(group) - middle for middle, group in zip(medians, values, strict=True)]
    return medians, [below, above]


PLOTS: dict[str, Callable[[Figure, dict[str, Any]], None]] = {
    "establish": _establish,
    "limits": _limits,
    "members": _members,
    "requests": _requests,
    "steps": _steps,
    "meetings": _meetings,
    "intake": _intake,
    "webhooks": _webhooks,
    "imports": _imports,
    "suites": _suites,
}
