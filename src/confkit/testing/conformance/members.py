"""Members: getting in, being muted and held, getting out."""

from __future__ import annotations

from typing import Any

import pytest

from confkit.models.capabilities import Patches
from confkit.models.errors import Conflict, NotFound, NotReady, ProviderError
from confkit.models.records import MemberOptions, MemberPatch
from confkit.testing.conformance import rules
from confkit.testing.conformance.area import RuleGroup
from confkit.testing.conformance.fixture import Fixture, Room, on_fixture
from confkit.testing.conformance.harness import Harness, Reaction
from confkit.testing.conformance.rules import broken, check
from confkit.testing.conformance.subject import where

FLAGS = ("mute", "hold", "deaf", "coach")


def patch_of(flag: str, room: Room) -> MemberPatch:
    """A patch of the first member; who coaches is heard by the second alone."""
    return MemberPatch(coach=room.calls[1].id) if flag == "coach" else _switched(flag, True)


def _switched(flag: str, value: bool) -> MemberPatch:
    change: dict[str, Any] = {flag: value}
    return MemberPatch(**change)


class MemberRules(RuleGroup):
    """See ``docs/contract.md#add_member``."""

    async def test_calls_join(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room(2)
            inside = await fixture.members(room.conference)
            rule = rules.JOINS_ITSELF if fixture.fused else rules.JOINS
            check(set(inside) == {call.id for call in room.calls}, rule, f"{len(inside)} of 2 are members")

    @where(lambda on: not on.fused)
    async def test_a_ringing_call_cannot_join_yet(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room()
            address = fixture.party(Reaction.NEVER_ANSWERS)
            dialled = await fixture.dial(address, room.conference)
            arguments = {"conference": room.conference, "call": dialled.call, "options": MemberOptions()}
            await fixture.refused(NotReady, "add_member", **arguments)

    @where(lambda on: not on.fused)
    async def test_a_call_that_has_ended_cannot_join(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room()
            dialled = await fixture.dial(fixture.party(), room.conference)
            call = await fixture.answered(dialled.call)
            await fixture.ask("hang_up", call=call)
            await fixture.ended(call)
            arguments = {"conference": room.conference, "call": call, "options": MemberOptions()}
            await fixture.any_of((Conflict, NotFound), "add_member", **arguments)

    @where(lambda on: not on.fused and "mute" in on.can.member)
    async def test_a_member_enters_as_asked(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room()
            dialled = await fixture.dial(fixture.party(), room.conference)
            call = await fixture.answered(dialled.call)
            options = MemberOptions(mute=True)
            arguments = {"conference": room.conference, "call": call, "options": options}
            await fixture.one_request("add_member", rules.STARTS_MUTED, **arguments)
            member = await fixture.inside(room.conference, call)
            check(member.mute and not member.hold, rules.STARTS_MUTED, "the member is not muted, or is held")

    @where(lambda on, flag: flag in on.can.member)
    @pytest.mark.parametrize("flag", ["mute", "hold"])
    async def test_change_a_member(self, harness: Harness, flag: str) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room(2)
            for value in (True, False):
                patch = _switched(flag, value)
                await fixture.one_request("update_member", member=room.members[0], patch=patch)

                async def changed(value: bool = value) -> bool:
                    inside = await fixture.members(room.conference)
                    other = getattr(inside[room.calls[1].id], flag)
                    return getattr(inside[room.calls[0].id], flag) is value and other is False

                await fixture.until(changed, rules.PATCHES, f"{flag} {'on' if value else 'off'} is not shown")

    @where(lambda on: on.can.patches is Patches.ANY and {"mute", "hold"} <= on.can.member)
    async def test_change_several_settings_of_a_member(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room(2)
            patch = MemberPatch(mute=True, hold=True)
            await fixture.one_request("update_member", rules.PATCHES_ANY, member=room.members[0], patch=patch)

            async def changed() -> bool:
                member = (await fixture.members(room.conference))[room.calls[0].id]
                return member.mute and member.hold

            await fixture.until(changed, rules.PATCHES_ANY, "mute and hold are not both shown")

    @where(lambda on, flag: flag in on.can.member)
    @pytest.mark.parametrize("flag", ["deaf", "coach"])
    async def test_change_what_a_member_hears(self, harness: Harness, flag: str) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room(2)
            patch = patch_of(flag, room)
            await fixture.one_request("update_member", rules.PATCHES, member=room.members[0], patch=patch)

    @where(lambda on, flag: on.has("update_member") and flag not in on.can.member)
    @pytest.mark.parametrize("flag", FLAGS)
    async def test_a_change_that_is_not_declared(self, harness: Harness, flag: str) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room(2)
            await nothing_happens(fixture, "update_member", member=room.members[0], patch=patch_of(flag, room))

    async def test_remove_member(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room(2)
            await fixture.one_request("remove_member", rules.REMOVES, member=room.members[0])
            await fixture.outside(room.conference, room.calls[0], rules.REMOVES)
            check(room.calls[1].id in await fixture.members(room.conference), rules.REMOVES, "the other one is out too")

    async def test_remove_member_again(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room(2)
            await fixture.ask("remove_member", member=room.members[0])
            await fixture.outside(room.conference, room.calls[0], rules.REMOVES)
            try:
                await fixture.attempt("remove_member", member=room.members[0])
            except ProviderError as error:
                raise broken(rules.REMOVES_AGAIN, f"it raised {type(error).__name__}: {error}") from error


async def nothing_happens(fixture: Fixture, operation: str, **arguments: Any) -> None:
    """Call a hook for what is not declared: it refuses, or it sends nothing."""
    before = fixture.harness.mutations()
    try:
        await fixture.attempt(operation, **arguments)
    except ProviderError:
        return
    sent = fixture.harness.mutations() - before
    check(sent == 0, rules.UNDECLARED, f"{operation} did it")
