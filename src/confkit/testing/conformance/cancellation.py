"""Cancellation at every await, and operations at the same time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from confkit.models.records import MemberOptions
from confkit.testing.conformance import rules
from confkit.testing.conformance.area import RuleGroup
from confkit.testing.conformance.fixture import Fixture, on_fixture
from confkit.testing.conformance.harness import Harness
from confkit.testing.conformance.rules import broken, check

#: When operations are cancelled: after so many turns of the event loop, then after so many seconds.
_TURNS = range(12)
_SECONDS = (0.001, 0.002, 0.005, 0.01)
#: How long a cancelled operation may take to end.
_GRACE = 1.0
_AT_ONCE = 8


def _moments() -> Iterator[tuple[str, Callable[[], Awaitable[Any]]]]:
    for number in _TURNS:
        yield f"after {number} turns of the event loop", partial(_turns, number)
    for seconds in _SECONDS:
        yield f"after {seconds * 1000:g} ms", partial(anyio.sleep, seconds)


async def _turns(number: int) -> None:
    for _ in range(number):
        await anyio.lowlevel.checkpoint()


class CancellationRules(RuleGroup):
    """See ``docs/contract.md#cancellation``."""

    @pytest.mark.parametrize("operation", ["create_call", "fetch"])
    async def test_cancellation_passes_through(self, harness: Harness, operation: str) -> None:
        async with on_fixture(harness) as fixture:
            _, call = await fixture.ring()
            for moment, wait in _moments():
                arguments: dict[str, Any] = {"ref": call}
                if operation == "create_call":
                    into = await fixture.conference()
                    arguments = {"spec": fixture.spec(fixture.party()), "into": into, "op": fixture.op()}
                await self._cancel(fixture, operation, arguments, moment, wait)
            room = await fixture.room()
            check(len(await fixture.members(room.conference)) == 1, rules.USABLE, "nobody can join any more")

    async def _cancel(
        self,
        fixture: Fixture,
        operation: str,
        arguments: dict[str, Any],
        moment: str,
        wait: Callable[[], Awaitable[Any]],
    ) -> None:
        ended, failure = False, None
        cancelled_at = anyio.current_time()
        at_once = "after 0 " in moment

        async def cancel(scope: anyio.CancelScope) -> None:
            nonlocal cancelled_at
            await wait()
            cancelled_at = anyio.current_time()
            scope.cancel()

        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as scope:
                if at_once:
                    scope.cancel()
                else:
                    tasks.start_soon(cancel, scope)
                try:
                    await getattr(fixture.hook, operation)(**arguments)
                    ended = True
                except Exception as error:
                    failure = error
            took = anyio.current_time() - cancelled_at
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise broken(rules.CANCELS, f"{operation}, cancelled {moment}, raised {type(failure).__name__}")
        if ended and at_once:
            raise broken(rules.CANCELS, f"{operation}, cancelled before it began, went on to its end")
        check(took < _GRACE, rules.CANCELS, f"{operation}, cancelled {moment}, took {took:.1f} s to end")


class ConcurrencyRules(RuleGroup):
    """See ``docs/contract.md#concurrency``."""

    async def test_dialling_at_the_same_time(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room()
            number = min(_AT_ONCE, (fixture.capabilities.max_members or _AT_ONCE + 1) - 1)
            people = [fixture.party() for _ in range(number)]
            arguments = [{"spec": fixture.spec(to), "into": room.conference} for to in people]
            calls = [dialled.call for dialled in await self._at_once(fixture, "create_call", arguments)]
            check(len({call.id for call in calls}) == number, rules.NO_CROSSTALK, "two dials gave one call")
            for to, call in zip(people, calls, strict=True):
                shown = await fixture.answered(call)
                check(shown.to in ("", to), rules.NO_CROSSTALK, "a dial gave the call to somebody else")
                check(harness.rings(to) == 1, rules.NO_CROSSTALK, f"a phone rang {harness.rings(to)} times")
            if not fixture.fused:
                arguments = [
                    {"conference": room.conference, "call": call, "options": MemberOptions()} for call in calls
                ]
                members = await self._at_once(fixture, "add_member", arguments)
                right = [member.call_id for member in members] == [call.id for call in calls]
                check(right, rules.NO_CROSSTALK, "an addition gave the member of another call")
            for call in calls:
                await fixture.inside(room.conference, call)

    async def _at_once(self, fixture: Fixture, operation: str, each: list[dict[str, Any]]) -> list[Any]:
        results: list[Any] = [None] * len(each)
        failures: list[Exception] = []

        async def one(place: int, arguments: dict[str, Any]) -> None:
            try:
                results[place] = await getattr(fixture.hook, operation)(op=fixture.op(), **arguments)
            except Exception as error:
                failures.append(error)

        async with anyio.create_task_group() as tasks:
            for place, arguments in enumerate(each):
                tasks.start_soon(one, place, arguments)
        if failures:
            error = failures[0]
            raise broken(rules.NO_CROSSTALK, f"{operation} raised {type(error).__name__}: {error}")
        return results

    async def test_two_clients(self, harness: Harness) -> None:
        async with on_fixture(harness) as first:
            room = await first.room()
            async with on_fixture(harness) as second:
                second.after(first)
                await second.room()
            check(harness.calls_up() == 2, rules.CLOSES, f"{harness.calls_up()} of 2 calls are up afterwards")
            await first.admit(room)
            inside = len(await first.members(room.conference))
            check(inside == 2, rules.INDEPENDENT, f"{inside} of 2 are in the first one's conference")
