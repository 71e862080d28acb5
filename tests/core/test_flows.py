"""The runtime of the flows: mailboxes, children, steps, and what happens when one crashes."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from confkit.models.events import CallAnswered
from confkit.workflows.flows import Flow, InProcessRuntime, op_key
from confkit.workflows.messages import End, HangUp, Happened


def happened(name: str) -> Happened:
    return Happened(event=CallAnswered(provider="p", id=name, call_id=name))


def name_of(message: Any) -> str:
    return message.event.id if isinstance(message, Happened) else type(message).__name__


async def no_steps(*arguments: Any) -> Any:
    """Gives back what it was asked."""
    return arguments[:4]


async def collect(flow: Flow, args: int) -> list[str]:
    """Take so many messages."""
    return [name_of(await flow.receive(None)) for _ in range(args)]


async def crash(_flow: Flow, _args: Any) -> None:
    raise ZeroDivisionError


async def patient(flow: Flow, args: float) -> tuple[str, float]:
    begun = anyio.current_time()
    message = await flow.receive(timedelta(seconds=args))
    return name_of(message), anyio.current_time() - begun


async def parent(flow: Flow, args: int) -> list[str]:
    children = [await flow.spawn("child", f"leg-{number}", flow.id) for number in range(args)]
    for child in children:
        await flow.send(child, happened(child))
    return sorted([name_of(await flow.receive(None)) for _ in children])


async def child(flow: Flow, args: str) -> None:
    await flow.send(args, happened("from " + name_of(await flow.receive(None))))


async def stepper(flow: Flow, args: str) -> list[Any]:
    return [await flow.step("create_call", args), await flow.step("add_member", args, limit="+1")]


@asynccontextmanager
async def runtime() -> AsyncGenerator[InProcessRuntime, None]:
    kinds: dict[str, Callable[..., Any]] = {
        each.__name__: each for each in (collect, crash, patient, parent, child, stepper)
    }
    async with anyio.create_task_group() as tasks:
        flows = InProcessRuntime(tasks, kinds, no_steps)
        yield flows
        await flows.aclose()


@pytest.mark.anyio
async def test_messages_come_in_order_and_a_key_that_was_seen_is_dropped() -> None:
    async with runtime() as flows:
        await flows.start("collect", "f", 3)
        for name in ("a", "b", "a", "c"):
            await flows.send("f", happened(name), key=name)
        assert await flows.result("f") == ["a", "b", "c"]
        assert await flows.status("f") == "done"


@pytest.mark.anyio
async def test_starting_what_exists_gives_what_exists() -> None:
    async with runtime() as flows:
        first = await flows.start("collect", "f", 1)
        assert await flows.start("collect", "f", 2) is first
        await flows.send("f", happened("a"), key="a")
        assert await flows.result("f") == ["a"]
        assert await flows.start("collect", "f", 2) is first
        await flows.wind_up("f")
        assert await flows.status("f") == "unknown"


@pytest.mark.anyio
@pytest.mark.virtual_time
async def test_waiting_ends_in_time_or_with_the_message() -> None:
    async with runtime() as flows:
        await flows.start("patient", "in vain", 5.0)
        await flows.start("patient", "rewarded", 5.0)
        await anyio.sleep(2)
        await flows.send("rewarded", End(), key="end")
        assert await flows.result("in vain") == ("NoneType", pytest.approx(5))
        assert await flows.result("rewarded") == ("End", pytest.approx(2))
        await flows.start("collect", "for ever", 1)
        with pytest.raises(TimeoutError):
            await flows.result("for ever", timedelta(seconds=100))
        assert await flows.status("for ever") == "running"


@pytest.mark.anyio
async def test_a_flow_that_crashes_takes_nobody_with_it() -> None:
    async with runtime() as flows:
        await flows.start("collect", "good", 1)
        await flows.start("crash", "bad", None)
        with pytest.raises(ZeroDivisionError):
            await flows.result("bad")
        assert await flows.status("bad") == "failed"
        await flows.send("bad", HangUp(), key="late")
        await flows.send("nobody", HangUp(), key="lost")
        await flows.send("good", happened("a"), key="a")
        assert await flows.result("good") == ["a"]


@pytest.mark.anyio
async def test_children_are_named_after_their_parent_and_talk_to_it() -> None:
    async with runtime() as flows:
        await flows.start("parent", "m", 3)
        assert await flows.result("m") == [f"from m/leg-{number}" for number in range(3)]
        assert await flows.status("m/leg-1") == "done"
        await flows.wind_up("m")
        assert await flows.status("m/leg-1") == "unknown"


@pytest.mark.anyio
async def test_steps_are_numbered_in_their_flow() -> None:
    async with runtime() as flows:
        await flows.start("stepper", "f", "x")
        assert await flows.result("f") == [("f", 1, "create_call", ("x",)), ("f", 2, "add_member", ("x",))]


@pytest.mark.anyio
async def test_only_closing_stops_a_flow() -> None:
    async with runtime() as flows:
        await flows.start("collect", "f", 1)
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(5):
            await flows.aclose()
        assert await flows.status("f") == "failed"


@given(st.text(max_size=60), st.sampled_from(["create_call", "add_member", "end_conference"]), st.integers(1, 10**6))
def test_the_key_of_an_intent_fits_every_platform_and_is_always_the_same(flow: str, name: str, ordinal: int) -> None:
    key = op_key(flow, name, ordinal)
    assert re.fullmatch(r"[A-Za-z0-9-]{1,36}", key)
    assert key == op_key(flow, name, ordinal)
    assert key != op_key(flow, name, ordinal + 1)
    assert key != op_key(flow + "x", name, ordinal)
