"""Bridges: two calls without a conference."""

from __future__ import annotations

from confkit.models.capabilities import BridgeEnds, Bridging
from confkit.models.errors import NotFound, ProviderError
from confkit.models.records import Bridge, BridgeState, MemberOptions, Membership
from confkit.testing.conformance import rules
from confkit.testing.conformance.area import RuleGroup
from confkit.testing.conformance.fixture import on_fixture
from confkit.testing.conformance.harness import Harness
from confkit.testing.conformance.rules import broken, check
from confkit.testing.conformance.subject import Subject, where


def _bridges(on: Subject) -> bool:
    return on.can.bridging is not Bridging.NONE


class BridgeRules(RuleGroup):
    """See ``docs/contract.md#create_bridge``."""

    @where(_bridges)
    async def test_create_bridge(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            bridge, calls = await fixture.pair()

            async def connected() -> bool:
                shown = (await fixture.fetch(bridge)).bridge
                ids = {call.id for call in calls}
                return shown is not None and shown.state is BridgeState.ACTIVE and set(shown.call_ids) == ids

            await fixture.until(connected, rules.BRIDGES, "the bridge is not shown as active, with both calls")

    @where(_bridges)
    async def test_a_bridge_is_one_request(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            if fixture.capabilities.bridging is Bridging.FIRST:
                bridge = await fixture.one_request("create_bridge", calls=())
                dialled = await fixture.dial(fixture.party(), bridge)
                found = dialled.membership
                check(found is Membership.ON_ANSWER, rules.MEMBERSHIP, f"into a bridge it is {found.value}")
            else:
                calls = [await fixture.answered((await fixture.dial(fixture.party())).call) for _ in range(2)]
                await fixture.one_request("create_bridge", calls=tuple(calls))

    @where(lambda on: _bridges(on) and on.has("end_bridge"))
    async def test_end_bridge(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            bridge, calls = await fixture.pair()
            await fixture.one_request("end_bridge", rules.UNBRIDGES, bridge=bridge)

            async def over() -> bool:
                shown = (await fixture.fetch(bridge)).bridge
                return shown is not None and shown.state is BridgeState.ENDED

            await fixture.until(over, rules.UNBRIDGES, "the bridge is not shown as ended")
            for call in calls:
                shown = await fixture.look_at(call)
                check(fixture.is_answered(shown), rules.UNBRIDGES, f"a call is {shown.state.value}")
            try:
                await fixture.attempt("end_bridge", bridge=bridge)
            except ProviderError as error:
                raise broken(rules.UNBRIDGES, f"the second time it raised {type(error).__name__}: {error}") from error

    @where(lambda on: _bridges(on) and on.has("add_member"))
    async def test_moving_calls_from_a_bridge(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room()
            _, calls = await fixture.pair()
            for call in calls:
                arguments = {"conference": room.conference, "call": call, "options": MemberOptions()}
                if not fixture.capabilities.bridge_to_conference:
                    try:
                        await fixture.attempt("add_member", **arguments)
                    except ProviderError:
                        return
                    raise broken(rules.MOVES, "it is not declared and a call moved")
                shown = await fixture.look_at(call)
                left = f"the one that was left on the bridge is {shown.state.value}"
                check(fixture.is_answered(shown), rules.MOVES, left)
                await fixture.ask("add_member", **arguments)
                await fixture.inside(room.conference, call)
            inside = await fixture.members(room.conference)
            there = [call for call in calls if call.id in inside and fixture.is_answered(await fixture.look_at(call))]
            check(there == calls, rules.MOVES, f"both have moved and {len(there)} are there")

    @where(_bridges)
    async def test_what_becomes_of_the_other_on_a_bridge(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            _, (first, other) = await fixture.pair()
            harness.hang_up(first.to)
            await fixture.ended(first, rules.LEAVES)
            if fixture.capabilities.bridge_hangs_up:
                await fixture.ended(other, rules.BRIDGE_HANGS_UP)
                return
            shown = await fixture.look_at(other)
            told = f"it is not declared and the other one is {shown.state.value}"
            check(fixture.is_answered(shown), rules.BRIDGE_HANGS_UP, told)

    @where(lambda on: _bridges(on) and on.can.bridge_ends is BridgeEnds.WITH_ITS_CALLS)
    async def test_a_bridge_ends_with_its_calls(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            bridge, calls = await fixture.pair()
            for call in calls:
                await fixture.ask("hang_up", call=call)
                await fixture.ended(call)

            async def over() -> bool:
                shown = (await fixture.fetch(bridge)).bridge
                return shown is not None and shown.state is BridgeState.ENDED

            await fixture.until(over, rules.BRIDGE_ENDS, "it is not shown as ended")

    @where(_bridges)
    async def test_a_bridge_that_does_not_exist(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            bridge = Bridge(provider=fixture.client.provider_name, id=harness.missing("bridge"))
            await fixture.refused(NotFound, "fetch", ref=bridge)
