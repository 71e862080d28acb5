"""Replies that never come, over real sockets: nobody is rung twice, and what was begun is there or undone."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from confkit_bandwidth.simulator import Fault, Running, Simulator, SimulatorOptions

import confkit

pytestmark = pytest.mark.anyio
CALLER_ID = "+12018994444"
OPERATIONS = (
    "create_conference",
    "create_call",
    "add_member",
    "hang_up",
    "end_conference",
    "create_bridge",
    "list_calls",
)
SEEDS = 12


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The simulator's server needs asyncio."""
    return "asyncio"


async def meet(simulator: Running, numbers: list[str]) -> confkit.Meeting:
    """One meeting from beginning to end; it may fail in any way that confkit fails."""
    async with confkit.AsyncClient(
        "bandwidth",
        caller_id=CALLER_ID,
        user_id=simulator.user_id,
        token=simulator.token,
        secret=simulator.secret,
        base_url=simulator.base_url,
        limits="off",
    ) as client:
        meeting = client.connect(*(confkit.Party(number, name=f"P{number[-4:]}") for number in numbers))
        try:
            async with meeting:
                pass
        except confkit.ConfkitError:
            pass  # established or not: the exchange says what is left
        return meeting


def check(state: dict[str, Any], meeting: confkit.Meeting) -> None:
    rings = Counter(call["to"] for call in state["calls"])
    assert not [number for number, times in rings.items() if times > 1]
    told = meeting.left_behind
    for call in state["calls"]:
        over = call["state"] in ("completed", "rejected", "error")
        assert over or any(call["to"][-4:] in sentence for sentence in told), (call["state"], told)
    for conference in state["conferences"]:
        named = [sentence for sentence in told if "conference" in sentence]
        assert conference["state"] == "completed" or named, (conference["state"], told)
    for bridge in state["bridges"]:
        named = [sentence for sentence in told if "bridge" in sentence]
        assert bridge["state"] == "completed" or named, (bridge["state"], told)
    if meeting.trace.records:
        assert all(record.outcome is not confkit.StepOutcome.STARTED for record in meeting.trace.records)


def numbers(count: int) -> list[str]:
    return [f"+1919555{number:04d}" for number in range(101, 101 + count)]


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_lost_reply_of_any_one_operation(operation: str, count: int) -> None:
    options = SimulatorOptions(faults=(Fault.parse(f"{operation}=drop-reply:1"),))
    async with Simulator(options).serve() as simulator:
        meeting = await meet(simulator, numbers(count))
        check(simulator.state(), meeting)
        assert {person.outcome for person in meeting.participants} == {confkit.Outcome.LEFT}


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_three_replies_in_ten_lost_of_all_operations(seed: int) -> None:
    chance = random.Random(seed)
    options = SimulatorOptions(
        faults=(Fault.parse("*=drop-reply:30%"),), seed=seed, answer_after=chance.choice((0.0, 0.02, 0.1))
    )
    async with Simulator(options).serve() as simulator:
        people = numbers(chance.choice((2, 3, 3, 5, 8)))
        for number in people:
            if chance.random() < 0.2:
                getattr(simulator.party(number), chance.choice(("busy", "rejects", "unreachable")))()
        meeting = await meet(simulator, people)
        check(simulator.state(), meeting)
