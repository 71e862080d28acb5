"""Memory: a meeting that one process has begun is gone on with by another, with what was written down of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
from attrs import evolve

from confkit.models.capabilities import BridgeEnds, Bridging
from confkit.models.records import Bridge, Call, Conference, Member
from confkit.testing.conformance import rules
from confkit.testing.conformance.area import RuleGroup
from confkit.testing.conformance.fixture import Fixture, Room, on_fixture
from confkit.testing.conformance.harness import Harness
from confkit.testing.conformance.rules import broken, check
from confkit.testing.conformance.subject import where

R = TypeVar("R", Conference, Call, Member, Bridge)


def written(record: R) -> R:
    """A record as another process reads it: without the platform's payload, its data a mapping of text."""
    is_text = all(isinstance(each, str) for pair in record.data.items() for each in pair)
    check(is_text, rules.IS_TEXT, f"that of a {type(record).__name__} holds something else")
    return evolve(record, raw={}, data=json.loads(json.dumps(dict(record.data))))


class MemoryRules(RuleGroup):
    """See ``docs/contract.md#memory``."""

    @pytest.mark.parametrize("stage", ["created", "dialled", "joined"])
    async def test_another_process_goes_on(self, harness: Harness, stage: str) -> None:
        async with on_fixture(harness) as first:
            room, address, dialled = Room(await first.conference()), first.party(), None
            if stage == "dialled":
                dialled = await first.dial(address, room.conference)
            elif stage == "joined":
                await first.admit(room)
            room.conference = written(room.conference)
            room.calls, room.members = [written(call) for call in room.calls], [written(each) for each in room.members]
            async with self._another(first) as second:
                if dialled is not None:
                    told = dialled.conference and written(dialled.conference)
                    await second.let_in(room, address, evolve(dialled, call=written(dialled.call), conference=told))
                await second.admit(room)
                inside = await second.members(room.conference)
                check(inside.keys() == {call.id for call in room.calls}, rules.SNAPSHOT, f"{len(inside)} are shown")
                await second.ask("remove_member", member=room.members[0])
                await self._hang_up(second, room.calls)
                await second.ask("end_conference", conference=room.conference)

    @where(lambda on: on.can.bridging is not Bridging.NONE and on.can.bridge_ends is BridgeEnds.BY_REQUEST)
    async def test_another_process_unbridges(self, harness: Harness) -> None:
        async with on_fixture(harness) as first:
            bridge, calls = await first.pair()
            bridge, calls = written(bridge), [written(call) for call in calls]
            async with self._another(first) as second:
                await second.ask("end_bridge", bridge=bridge)
                await self._hang_up(second, calls)

    @asynccontextmanager
    async def _another(self, first: Fixture) -> AsyncIterator[Fixture]:
        """Another provider object, as another process would have one; what goes wrong there is for want of memory."""
        async with on_fixture(first.harness) as second:
            second.after(first)
            try:
                yield second
            except pytest.fail.Exception as failure:
                raise broken(rules.ANOTHER_GOES_ON, f"in another: {failure.msg}") from None

    async def _hang_up(self, fixture: Fixture, calls: list[Call]) -> None:
        for call in calls:
            await fixture.ask("hang_up", call=call)

        async def over() -> bool:
            return fixture.harness.calls_up() == 0

        await fixture.until(over, rules.HANGS_UP, "a call is still up")
