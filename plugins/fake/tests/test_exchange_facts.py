"""The stream of facts, on both event loops and in virtual time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import pytest
from confkit_fake import Exchange, Fact, FactKind

pytestmark = pytest.mark.anyio

OURS = "+12018994444"
ANN = "+19195550101"
BASE = datetime(2030, 1, 1, tzinfo=UTC)


async def collect(exchange: Exchange, until: FactKind) -> list[Fact]:
    facts = []
    with anyio.fail_after(5):
        async for fact in exchange.facts():
            facts.append(fact)
            if fact.kind is until:
                break
    return facts


async def test_a_listener_gets_what_happens_without_anyone_calling_the_exchange() -> None:
    exchange = Exchange()
    exchange.party(ANN).answers(after=0.01).hangs_up(after=0.01)
    exchange.dial(ANN, caller_id=OURS)
    facts = await collect(exchange, FactKind.CALL_ENDED)
    assert [fact.kind for fact in facts] == [FactKind.CALL_ANSWERED, FactKind.CALL_ENDED]


async def test_a_waiting_listener_is_woken_by_a_method() -> None:
    exchange = Exchange()
    got: list[Fact] = []

    async def listen() -> None:
        got.extend(await collect(exchange, FactKind.CALL_ANSWERED))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await anyio.wait_all_tasks_blocked()
        exchange.dial(ANN, caller_id=OURS)
    assert [fact.kind for fact in got] == [FactKind.CALL_RINGING, FactKind.CALL_ANSWERED]


async def test_each_listener_gets_every_fact_from_its_own_start_on() -> None:
    exchange = Exchange()
    early = exchange.facts()
    conference = exchange.create_conference(caller_id=OURS)
    late = exchange.facts()
    exchange.end_conference(conference.id)
    assert [(await anext(early)).kind, (await anext(early)).kind] == [
        FactKind.CONFERENCE_CREATED,
        FactKind.CONFERENCE_ENDED,
    ]
    assert (await anext(late)).kind is FactKind.CONFERENCE_ENDED


async def test_a_cancelled_listener_loses_nothing() -> None:
    exchange = Exchange()
    facts = exchange.facts()
    with anyio.move_on_after(0):
        await anext(facts)
    exchange.create_conference(caller_id=OURS)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await anext(facts)
    assert (await anext(facts)).kind is FactKind.CONFERENCE_CREATED


@pytest.mark.virtual_time
async def test_an_hour_takes_no_time_and_facts_carry_their_own_moment() -> None:
    exchange = Exchange(base=BASE)
    exchange.party(ANN).answers(after=2).hangs_up(after=3600)
    exchange.dial(ANN, caller_id=OURS)
    with anyio.fail_after(4000):
        facts = [await anext(facts) for facts in [exchange.facts()] for _ in range(2)]
    assert [fact.at - BASE for fact in facts] == [timedelta(seconds=2), timedelta(seconds=3602)]
    assert [fact.number for fact in exchange.history] == [1, 2, 3]


@pytest.mark.virtual_time
async def test_what_is_played_late_happened_in_order_and_in_time() -> None:
    exchange = Exchange(base=BASE)
    for index, after in ((1, 3), (2, 1), (3, 2)):
        exchange.party(f"+1919555000{index}").answers(after=after)
        exchange.dial(f"+1919555000{index}", caller_id=OURS)
    await anyio.sleep(100)
    exchange.advance()
    answers = [fact.at - BASE for fact in exchange.history if fact.kind is FactKind.CALL_ANSWERED]
    assert answers == [timedelta(seconds=1), timedelta(seconds=2), timedelta(seconds=3)]


def test_outside_of_an_event_loop_time_stands_still() -> None:
    exchange = Exchange(base=BASE)

    async def session() -> None:
        exchange.party(ANN).never_answers()
        exchange.dial(ANN, caller_id=OURS, ring_for=0.01)

    anyio.run(session)
    assert len(exchange.still_up()) == 1

    async def later() -> None:
        await anyio.sleep(0.02)
        exchange.advance()

    anyio.run(later)
    anyio.run(later, backend="trio")
    assert exchange.still_up() == ()
