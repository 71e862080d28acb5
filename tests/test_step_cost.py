"""A step costs no more than it did: calls are counted, not timed, so the verdict is the same on every machine.

What counts is every call that confkit's own code makes or receives, the methods that attrs generates for it included.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import anyio.lowlevel
import confkit_fake
import pytest

import confkit
from confkit.models.records import CallSpec, ConferenceSpec, MemberOptions, MemberPatch, Op
from confkit.models.trace import Trace
from confkit.provider.discovery import open_provider
from confkit.steps.clock import Clock
from confkit.steps.executor import StepRequest, Steps

HOME = str(Path(confkit.__file__).parent)
GENERATED = "<attrs generated methods confkit."
CALLER_ID = "+12018994444"
#: Calls when this was last looked at. More than a tenth above fails: find out why, and lower or raise the figure.
STEP = {"nobody looks": 26, "in a trace": 44}
MEETING = 7600

pytestmark = [
    pytest.mark.skipif(
        sys.version_info[:2] != (3, 11), reason="what counts as a call differs between versions of Python"
    ),
    pytest.mark.skipif(sys.getprofile() is not None, reason="something else is profiling"),
]


class Calls:
    """The calls that confkit's code makes and receives while counted."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """One profiling event."""
        if event in ("call", "c_call") and frame.f_code.co_filename.startswith((HOME, GENERATED)):
            self.number += 1

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count."""
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(None)


@pytest.mark.parametrize("seen", STEP)
def test_a_step(seen: str) -> None:
    calls = Calls()

    async def steps() -> None:
        provider = confkit_fake.FakeProvider()
        _, manager = open_provider(provider, {})
        steps = Steps("fake", manager, clock=Clock(), request_timeout=timedelta(seconds=10))
        if seen == "in a trace":
            steps.traces["m-1"] = Trace("m-1")
        op = Op(key="op-1")
        conference = await provider.create_conference(ConferenceSpec(caller_id=CALLER_ID), op)
        spec = CallSpec(to="+19195550101", caller_id=CALLER_ID, answer_timeout=timedelta(seconds=30))
        dialled = await provider.create_call(spec, op, conference)
        await anyio.lowlevel.checkpoint()
        member = await provider.add_member(conference, dialled.call, MemberOptions(), op)
        with calls.counted():
            for number in range(100):
                await steps.run(
                    StepRequest(
                        operation="update_member",
                        arguments=(member, MemberPatch(mute=True)),
                        op_key="op-2",
                        step=f"m-1/leg-1#{number}",
                        meeting="m-1",
                        party="Ann",
                    )
                )

    anyio.run(steps)
    assert calls.number / 100 <= STEP[seen] * 1.1, "calls for each step"


def test_a_meeting() -> None:
    calls = Calls()

    async def meetings() -> None:
        async with confkit.AsyncClient("fake", caller_id=CALLER_ID) as client:
            for number in range(3):
                if number == 1:  # the first one imports
                    sys.setprofile(calls)
                async with client.connect(*(f"+1919555010{each}" for each in range(5))):
                    pass
            sys.setprofile(None)

    anyio.run(meetings)
    assert calls.number / 2 <= MEETING * 1.1, "calls for each meeting of five"
