"""The runtime in process: effects carried out, on both event loops."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import structlog

from confkit.runtime.in_process import InProcessRuntime
from confkit.steps.rate_limits import CancelToken
from confkit.workflows.driver import Finished, RunStep, StepDone
from confkit.workflows.flow import Flow, FlowId
from confkit.workflows.messages import End, HangUp
from tests.core.test_driver import PROGRAMS, happened, name_of

pytestmark = pytest.mark.anyio
REQUEST: ContextVar[str] = ContextVar("REQUEST", default="none")


class Client:
    """What a runtime runs under.

    Attributes:
        journal: what it was asked and told, in order.
        orders: the order not to send of each step.
        replies: what steps give: at once, or when the event is set.
    """

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.orders: dict[str, CancelToken] = {}
        self.holds: dict[str, anyio.Event] = {}
        self.contexts: list[str] = []
        self.ends: dict[str, Finished] = {}
        self.left: set[str] = set()
        self.changed = anyio.Event()

    async def run_step(self, step: RunStep, cancel: CancelToken, *, resumed: bool) -> Any:
        assert not resumed
        self.journal.append(f"run {step.flow} {step.name}")
        self.contexts.append(REQUEST.get())
        self.orders[step.name] = cancel
        if step.name in self.holds:
            await self.holds[step.name].wait()
        if step.name == "refused":
            raise ValueError(step.name)
        return step.name

    def learn(self, step: RunStep, done: StepDone) -> None:
        self.journal.append(f"learn {step.name} {done.result or done.error}")

    def observe(self, flow: FlowId, what: Any) -> None:
        self.journal.append(f"observe {flow} {name_of(what)}")

    def ended(self, finished: Finished) -> None:
        self.journal.append(f"ended {finished.flow}")
        self.ends[finished.flow] = finished

    def gone(self, meeting: str) -> None:
        self.journal.append(f"gone {meeting}")
        self.left.add(meeting)
        self.changed.set()
        self.changed = anyio.Event()

    def is_ordered(self, step: str) -> bool:
        """Whether a step that was begun is not to be sent."""
        return self.orders[step].cancelled

    async def until_gone(self, *meetings: str) -> None:
        while not self.left.issuperset(meetings):
            await self.changed.wait()


async def timed(flow: Flow, brief: float) -> tuple[str, float]:
    begun = anyio.current_time()
    return name_of(await flow.receive(timedelta(seconds=brief))), anyio.current_time() - begun


async def refused(flow: Flow, _brief: None) -> str:
    try:
        await flow.step("refused")
    except ValueError as error:
        return f"{error} it was"
    return "it was not"


async def two_legs(flow: Flow, _brief: None) -> str:
    """Returns before its leg, which goes on with a step."""
    await flow.spawn("stepper", "leg-1", "x")
    return "over"


@asynccontextmanager
async def runtime() -> AsyncGenerator[tuple[InProcessRuntime, Client]]:
    client = Client()
    async with anyio.create_task_group() as tasks:
        programs = {**PROGRAMS, "timed": timed, "refused": refused, "two_legs": two_legs}
        running = InProcessRuntime(tasks, programs, client)
        await running.open()
        try:
            yield running, client
        finally:
            await running.aclose()


async def test_steps_are_run_in_their_order_and_known_before_the_workflow_goes_on() -> None:
    async with runtime() as (running, client):
        await running.start("stepper", "m", "x")
        await client.until_gone("m")
        assert client.ends["m"] == Finished(FlowId("m"), ["create_call", "add_member"])
        assert client.journal == [
            "observe m str",
            "run m create_call",
            "learn create_call create_call",
            "run m add_member",
            "learn add_member add_member",
            "ended m",
            "gone m",
        ]


async def test_the_error_of_a_step_is_the_workflows() -> None:
    async with runtime() as (running, client):
        await running.start("refused", "m", None)
        await client.until_gone("m")
        assert client.ends["m"].value == "refused it was"
        assert "learn refused refused" in client.journal


async def test_starting_what_runs_changes_nothing() -> None:
    async with runtime() as (running, client):
        await running.start("collect", "m", 1)
        await running.start("collect", "m", 2)
        running.post(FlowId("m"), happened("a"), key="a")
        await client.until_gone("m")
        assert client.ends["m"].value == ["a"]


@pytest.mark.virtual_time
async def test_waiting_ends_in_time_or_with_the_message() -> None:
    async with runtime() as (running, client):
        for name, seconds in (("late", 5.0), ("early", 2.0), ("rewarded", 5.0)):
            await running.start("timed", name, seconds)
        await anyio.sleep(1)
        await running.start("timed", "first", 0.5)
        running.post(FlowId("rewarded"), End(), key="end")
        await client.until_gone("late", "early", "rewarded", "first")
        got = {name: end.value for name, end in client.ends.items()}
        assert got == {
            "late": ("NoneType", pytest.approx(5)),
            "early": ("NoneType", pytest.approx(2)),
            "rewarded": ("End", pytest.approx(1)),
            "first": ("NoneType", pytest.approx(0.5)),
        }
        assert list(got) == ["rewarded", "first", "early", "late"]


@pytest.mark.virtual_time
async def test_timers_that_nobody_waits_for_are_dropped_and_the_others_fire() -> None:
    async with runtime() as (running, client):
        await running.start("timed", "last", 100.0)
        for number in range(500):
            await running.start("patient", f"m-{number}", 50.0)
            running.post(FlowId(f"m-{number}"), End(), key="1")
            running.post(FlowId(f"m-{number}"), End(), key="2")
        assert len(running._timers._heap) < 200  # the 500 had two each
        await client.until_gone("last")
        assert client.ends["last"].value == ("NoneType", pytest.approx(100))


async def test_a_defect_takes_nobody_with_it() -> None:
    with structlog.testing.capture_logs() as log:
        async with runtime() as (running, client):
            await running.start("collect", "good", 1)
            await running.start("break_down", "bad", None)
            assert isinstance(client.ends["bad"].error, ZeroDivisionError)
            running.post(FlowId("bad"), HangUp(), key="late")
            running.post(FlowId("nobody"), HangUp(), key="lost")
            running.post(FlowId("good"), happened("a"), key="a")
            await client.until_gone("good", "bad")
            assert client.ends["good"].value == ["a"]
    assert [line["event"] for line in log] == ["flow_failed"]


async def test_a_meeting_that_is_over_is_gone_with_its_last_leg() -> None:
    async with runtime() as (running, client):
        client.holds["add_member"] = anyio.Event()
        await running.start("two_legs", "m", None)
        await anyio.wait_all_tasks_blocked()
        assert client.ends["m"].value == "over"
        assert client.left == set()
        client.holds["add_member"].set()
        await client.until_gone("m")
        assert client.journal[-2:] == ["learn add_member add_member", "gone m"]


async def test_an_order_to_stop_reaches_the_step_that_is_under_way() -> None:
    async with runtime() as (running, client):
        client.holds["create_call"] = anyio.Event()
        await running.start("undoing", "m", None)
        await anyio.wait_all_tasks_blocked()
        assert not client.is_ordered("create_call")
        running.post(FlowId("m"), End(), key="stop")
        assert client.is_ordered("create_call")
        client.holds["create_call"].set()
        await client.until_gone("m")
        assert not client.is_ordered("hang_up")


async def test_a_step_that_is_begun_after_the_order_has_it_from_the_beginning() -> None:
    async with runtime() as (running, client):
        client.holds["hang_up"] = anyio.Event()
        await running.start("undoing", "m", None)
        await anyio.wait_all_tasks_blocked()
        running.post(FlowId("m"), End(), key="stop")
        client.holds["hang_up"].set()
        await client.until_gone("m")
        assert client.is_ordered("end_conference")


async def test_steps_run_in_the_context_of_whoever_started_the_meeting() -> None:
    async with runtime() as (running, client):
        REQUEST.set("the start")
        await running.start("undoing", "m", None)
        client.holds["hang_up"] = anyio.Event()
        REQUEST.set("a webhook")
        running.post(FlowId("m"), happened("a"), key="a")
        client.holds["hang_up"].set()
        await client.until_gone("m")
        assert client.contexts == ["the start"] * 3


async def test_what_cancels_the_client_cancels_no_step_and_closing_does() -> None:
    client = Client()
    client.holds["create_call"] = anyio.Event()
    async with anyio.create_task_group() as tasks:
        running = InProcessRuntime(tasks, PROGRAMS, client)
        await running.open()
        await running.start("stepper", "m", "x")
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            client.holds["create_call"].set()
            await client.until_gone("m")
            assert client.ends["m"].value == ["create_call", "add_member"]
            await running.aclose()


async def test_closing_stops_what_runs() -> None:
    async with runtime() as (running, client):
        client.holds["create_call"] = anyio.Event()
        await running.start("collect", "waits", 1)
        await running.start("stepper", "steps", "x")
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(5):
            await running.aclose()
        assert client.left == {"waits", "steps"}
        assert {str(end.error) for end in client.ends.values()} == {"waits was stopped", "steps was stopped"}
        running.post(FlowId("waits"), happened("a"), key="a")
        assert client.journal[-1].startswith("gone")
