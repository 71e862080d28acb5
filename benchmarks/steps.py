"""What the core adds to each operation: the step stack on the fake, against calling the fake's operations directly.

Tracing off is how confkit comes: the log is filtered out. On is every event of the log rendered as JSON and written
to nowhere, and the records kept in a meeting's trace. The fake takes no time of its own on the way.
"""

from __future__ import annotations

import gc
import logging
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pluggy
import structlog
from confkit_fake import FakeProvider

from benchmarks.report import Figure, Result
from benchmarks.running import CALLER_ID, numbers, run
from confkit.models.records import CallSpec, MemberOptions, MemberPatch, Op
from confkit.models.trace import Trace
from confkit.provider.discovery import open_provider
from confkit.steps.clock import Clock
from confkit.steps.executor import StepRequest, Steps

#: The machine for which the targets are set takes so long to call a hook with one implementation, in microseconds.
PLUGGY = 2.0
TARGETS = {"off": 60.0, "on": 120.0}


def pluggy_call(calls: int) -> float:
    """Microseconds for calling a hook with one implementation and two arguments."""
    spec, mark = pluggy.HookspecMarker("benchmark"), pluggy.HookimplMarker("benchmark")

    class Spec:
        @spec(firstresult=True)
        def operation(self, one: int, other: int) -> int:  # type: ignore[empty-body]
            """An operation."""

    class Plugin:
        @mark
        def operation(self, one: int, other: int) -> int:
            return one + other

    manager = pluggy.PluginManager("benchmark")
    manager.add_hookspecs(Spec)
    manager.register(Plugin())
    began = time.process_time()
    for _ in range(calls):
        manager.hook.operation(one=1, other=2)
    return (time.process_time() - began) / calls * 1e6


async def _a_step(steps: Steps, provider: Any) -> tuple[Callable[[], Awaitable[Any]], Callable[[], Awaitable[Any]]]:
    """One operation directly, and the same as a step of a meeting."""
    op = Op(key="op-u-0123456789abcdef0123456789abcde")
    conference = await provider.create_conference(_conference_spec(), op)
    spec = CallSpec(to=numbers(1)[0], caller_id=CALLER_ID, answer_timeout=timedelta(seconds=30))
    dialled = await provider.create_call(spec, op, conference)
    await anyio.lowlevel.checkpoint()
    member = await provider.add_member(conference, dialled.call, MemberOptions(), op)
    patch = MemberPatch(mute=True)
    count = 0

    async def directly() -> None:
        await provider.update_member(member, patch, op)

    async def as_step() -> None:
        nonlocal count
        count += 1
        await steps.run(
            StepRequest(
                operation="update_member",
                arguments=(member, patch),
                op_key=op.key,
                step=f"m-1/leg-1#{count}",
                meeting="m-1",
                party="+1919•••0101",
            )
        )

    return directly, as_step


def _conference_spec() -> Any:
    from confkit.models.records import ConferenceSpec

    return ConferenceSpec(caller_id=CALLER_ID)


async def _each(operation: Callable[[], Awaitable[Any]], times: int) -> float:
    """Microseconds of processor time."""
    gc.collect()
    began = time.process_time()
    for _ in range(times):
        await operation()
    return (time.process_time() - began) / times * 1e6


async def _rounds(times: int, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"directly": [], "off": [], "on": [], "pluggy": []}
    for _ in range(rounds + 1):
        found["pluggy"].append(pluggy_call(times * 10))
        for tracing in ("off", "on"):
            _log(tracing)
            provider = FakeProvider()
            _, manager = open_provider(provider, {})
            steps = Steps("fake", manager, clock=Clock(), request_timeout=timedelta(seconds=10))
            if tracing == "on":
                steps.traces["m-1"] = Trace("m-1")
            directly, as_step = await _a_step(steps, provider)
            if tracing == "off":
                found["directly"].append(await _each(directly, times))
            found[tracing].append(await _each(as_step, times))
    return {name: values[1:] for name, values in found.items()}


class _Nowhere:
    def __call__(self, *_: Any) -> Any:
        return self

    def msg(self, message: str) -> None:
        """Drop it."""

    debug = info = warning = error = msg


def _log(tracing: str) -> None:
    structlog.reset_defaults()
    if tracing == "on":
        structlog.configure(
            processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
            wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
            logger_factory=_Nowhere(),
            cache_logger_on_first_use=True,
        )


def measure(quick: bool) -> Result:
    """All ways in turn."""
    found = anyio.run(_rounds, 500 if quick else 2000, 5 if quick else 11)
    direct = statistics.median(found["directly"])
    factor = statistics.median(found["pluggy"]) / PLUGGY
    added = {
        tracing: [micros - each for micros, each in zip(found[tracing], found["directly"], strict=True)]
        for tracing in ("off", "on")
    }
    figures = []
    for tracing, target in TARGETS.items():
        figures += [
            Figure(
                what=f"added to each step, tracing {tracing}",
                against=f"the fake's operation itself ({direct:.0f} µs)",
                rounds=added[tracing],
                unit="µs",
                at_most=round(target * factor, 1),
                note=f"the target is {target:g} µs where a pluggy call takes {PLUGGY:g}; here {PLUGGY * factor:.1f}",
            ),
            Figure(
                what=f"a step, tracing {tracing}",
                against="the fake's operation itself",
                rounds=[1 + each / direct for each in added[tracing]],
            ),
        ]
    return Result(name="steps", title="What the core adds to a step", figures=tuple(figures), data=found)


if __name__ == "__main__":
    run(measure, __doc__)
