"""Conferences: how they come to exist, what they hold, how they end."""

from __future__ import annotations

import pytest
from attrs import evolve

from confkit.models.capabilities import ConferenceCreation
from confkit.models.errors import CapacityReached, Conflict, NotFound
from confkit.models.records import (
    Conference,
    ConferencePatch,
    ConferenceSpec,
    ConferenceState,
    JoinMethod,
    MemberOptions,
)
from confkit.testing.conformance import rules
from confkit.testing.conformance.area import RuleGroup
from confkit.testing.conformance.fixture import Fixture, Room, on_fixture
from confkit.testing.conformance.harness import Harness
from confkit.testing.conformance.rules import broken, check
from confkit.testing.conformance.subject import where

#: A conference that holds more than this is taken at its word.
_MOST = 50


class ConferenceRules(RuleGroup):
    """See ``docs/contract.md#create_conference``."""

    async def test_create_conference(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            op = fixture.op()
            before = harness.mutations()
            conference = await fixture.ask("create_conference", spec=ConferenceSpec(caller_id=harness.caller_id), op=op)
            sent = harness.mutations() - before
            rule = rules.CREATES if fixture.explicit else rules.CREATES_NOTHING
            check(conference.key == op.key, rule, f"the key is {conference.key!r}")
            check(conference.provider == fixture.client.provider_name, rule, f"it is of {conference.provider!r}")
            check((conference.id is not None) is fixture.explicit, rule, f"the id is {conference.id!r}")
            check(sent == (1 if fixture.explicit else 0), rule, f"{sent} requests were sent")

    async def test_a_conference_gets_its_id(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            conference = await fixture.conference()
            dialled = await fixture.dial(fixture.party(), conference)
            conference = dialled.conference or conference
            call = await fixture.answered(dialled.call)
            if fixture.capabilities.join_method is JoinMethod.EXPLICIT:
                member = await fixture.ask("add_member", conference=conference, call=call, options=MemberOptions())
                conference = member.conference
            if fixture.capabilities.creation is ConferenceCreation.BY_NAME:
                conference = await fixture.materialised(conference)  # by its name, if no reply has told the id
            check(conference.id is not None, rules.GETS_ITS_ID, "it has none")
            shown = (await fixture.fetch(conference)).conference
            check(shown is not None and shown.id == conference.id, rules.GETS_ITS_ID, "it is not that conference's")

    async def test_end_conference(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room(2)
            await fixture.one_request("end_conference", conference=room.conference)

            async def over() -> bool:
                return not await fixture.members(room.conference)

            await fixture.until(over, rules.ENDS, "its members are still in it")
            shown = (await fixture.fetch(room.conference)).conference
            # A platform that forgets what has ended answers with the reference that it was asked about.
            if shown is not None and shown.created_at is not None:
                check(shown.state is ConferenceState.ENDED, rules.ENDS, f"it is shown as {shown.state.value}")

    async def test_end_conference_again(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room()
            for _ in range(2):
                await self._ends(fixture, room.conference)

    @where(lambda on: not on.explicit)
    async def test_end_a_conference_that_never_came_to_be(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            await self._ends(fixture, await fixture.conference())

    async def _ends(self, fixture: Fixture, conference: Conference) -> None:
        try:
            await fixture.attempt("end_conference", conference=conference)
        except (Conflict, NotFound) as error:
            raise broken(rules.ENDS_AGAIN, f"it raised {type(error).__name__}: {error}") from error

    async def test_what_ends_with_a_conference(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room(2)
            await fixture.ask("end_conference", conference=room.conference)
            if fixture.capabilities.end_hangs_up:
                for call in room.calls:
                    await fixture.ended(call, rules.END_HANGS_UP)
                return
            await fixture.outside(room.conference, room.calls[0], rules.ENDS)
            for call in room.calls:
                shown = await fixture.look_at(call)
                told = f"it is not declared and the call is {shown.state.value}"
                check(fixture.is_answered(shown), rules.END_HANGS_UP, told)

    @where(lambda on: on.can.max_members is not None and on.can.max_members <= _MOST)
    async def test_max_members(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            most = fixture.capabilities.max_members
            room = await fixture.room(most or 0)
            inside = len(await fixture.members(room.conference))
            check(inside == most, rules.MAX_MEMBERS, f"{inside} of {most} are in")
            to = fixture.spec(fixture.party())
            try:
                dialled = await fixture.attempt("create_call", spec=to, into=room.conference)
            except CapacityReached:
                return
            if fixture.fused:
                await fixture.ended(dialled.call, rules.MAX_MEMBERS)
            else:
                call = await fixture.answered(dialled.call)
                arguments = {"conference": room.conference, "call": call, "options": MemberOptions()}
                await fixture.refused(CapacityReached, "add_member", **arguments)
            inside = len(await fixture.members(room.conference))
            check(inside == most, rules.MAX_MEMBERS, f"one more came in and {inside} are in")

    async def test_a_snapshot_shows_everyone(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room(2)
            snapshot = await fixture.fetch(room.conference)
            conference = snapshot.conference
            check(
                conference is not None and conference.state is ConferenceState.ACTIVE,
                rules.SNAPSHOT,
                f"a conference with members is {conference.state.value if conference else 'missing'}",
            )
            expected = {call.id for call in room.calls}
            members = {member.call_id for member in snapshot.members}
            calls = {call.id for call in snapshot.calls if fixture.is_answered(call)}
            check(members == expected, rules.SNAPSHOT, f"it shows {len(members & expected)} of 2 members")
            check(calls == expected, rules.SNAPSHOT, f"it shows {len(calls & expected)} of 2 answered calls")
            ids = {member.id for member in snapshot.members}
            check(ids == {member.id for member in room.members}, rules.SNAPSHOT, "the members' ids changed")

    async def test_conferences_are_separate(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            rooms = [await fixture.room(), await fixture.room()]
            for room in rooms:
                snapshot = await fixture.fetch(room.conference)
                own = {call.id for call in room.calls}
                check({member.call_id for member in snapshot.members} == own, rules.SEPARATE, "it shows other members")
                check({call.id for call in snapshot.calls} == own, rules.SEPARATE, "it shows other calls")

    async def test_whose_a_conference_is(self, harness: Harness) -> None:
        """By the key that the platform keeps, the core tells a conference of its own from everybody else's."""
        async with on_fixture(harness) as fixture:
            room = Room(await fixture.conference())
            key = room.conference.key
            await fixture.admit(room)
            for asked in (key, fixture.op().key):
                shown = (await fixture.fetch(evolve(room.conference, key=asked))).conference
                if shown is not None:
                    told = "the key that was asked with" if shown.key == asked else "another key"
                    check(shown.key in ("", key), rules.WHOSE, f"it shows {told}")

    @where(lambda on: on.has("update_conference"))
    @pytest.mark.parametrize("flag", ["mute", "hold"])
    async def test_update_conference(self, harness: Harness, flag: str) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room()
            for value in (True, False):
                patch = ConferencePatch(**{flag: value})
                await fixture.one_request(
                    "update_conference", rules.UPDATES_ALL, conference=room.conference, patch=patch
                )

    async def test_a_conference_that_does_not_exist(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            name = fixture.client.provider_name
            conference = Conference(provider=name, key=fixture.op().key, id=harness.missing("conference"))
            await fixture.refused(NotFound, "fetch", ref=conference)
