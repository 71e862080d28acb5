"""Whole meetings through the portable API: what all the other rules are for."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest

from confkit.client.meeting import Meeting
from confkit.models.errors import ProviderError, QuorumNotReached
from confkit.models.records import EndCause, Outcome
from confkit.testing.conformance import rules
from confkit.testing.conformance.area import RuleGroup
from confkit.testing.conformance.fixture import Fixture, on_fixture
from confkit.testing.conformance.harness import Harness, Reaction
from confkit.testing.conformance.rules import broken, check


class MeetingRules(RuleGroup):
    """See ``docs/contract.md#meetings``."""

    @pytest.mark.parametrize("number", [2, 3, 5])
    async def test_connect(self, harness: Harness, number: int) -> None:
        async with on_fixture(harness) as fixture:
            most = fixture.capabilities.max_members or number
            people = [fixture.party() for _ in range(min(number, most))]
            async with fixture.client.connect(*people, quorum=len(people)) as meeting:
                outcomes = {person.outcome for person in meeting.participants}
                check(outcomes == {Outcome.JOINED}, rules.CONNECTS, "not everyone has joined")
                check(harness.calls_up() == len(people), rules.CONNECTS, f"{harness.calls_up()} calls are up")
            await self._nothing_is_up(fixture, rules.CONNECTS)
            rang = {harness.rings(to) for to in people}
            check(rang == {1}, rules.DIALS_ONCE, f"phones rang {sorted(rang)} times")

    async def test_by_hand(self, harness: Harness) -> None:
        """The three steps that every shape has, through the portable API."""
        async with on_fixture(harness) as fixture:
            try:
                await self._by_hand(fixture)
            except ProviderError as error:
                raise broken(rules.BY_HAND, f"{type(error).__name__}: {error}") from error
            await self._nothing_is_up(fixture, rules.BY_HAND)

    async def _by_hand(self, fixture: Fixture) -> None:
        direct = fixture.client.direct
        conference = await direct.create_conference()
        calls = [await direct.create_call(fixture.party(), into=conference) for _ in range(2)]
        members = [await direct.join(call, conference) for call in calls]
        rooms = {member.conference.id for member in members}
        check(len(rooms) == 1 and None not in rooms, rules.BY_HAND, f"they are in {len(rooms)} conferences")
        inside = await fixture.members(members[0].conference)
        check(inside.keys() == {call.call.id for call in calls}, rules.BY_HAND, "not everyone is in")
        for call in calls:
            await direct.hang_up(call.call)
        await direct.end_conference(conference)

    async def test_outcomes(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            expected = {
                fixture.party(): Outcome.JOINED,
                fixture.party(): Outcome.JOINED,
                fixture.party(Reaction.NEVER_ANSWERS): Outcome.NO_ANSWER,
            }
            for reaction, cause in ((Reaction.BUSY, EndCause.BUSY), (Reaction.REJECTS, EndCause.REJECTED)):
                if cause in fixture.capabilities.causes:
                    expected[fixture.party(reaction)] = Outcome.of(cause)
            async with fixture.client.connect(*expected, answer_timeout=timedelta(seconds=2)) as meeting:
                for to, outcome in expected.items():
                    found = meeting.participant(to).outcome
                    told = found.value if found else "nothing"
                    check(found is outcome, rules.OUTCOMES, f"it is {told} instead of {outcome.value}")
            await self._nothing_is_up(fixture, rules.CONNECTS)

    async def test_coming_and_going(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            people = [fixture.party() for _ in range(3)]
            async with fixture.client.connect(*people, quorum=3) as meeting:
                late = fixture.party()
                await meeting.add(late)
                await self._reaches(fixture, meeting, late, Outcome.JOINED)
                await meeting.remove(people[0])
                await self._reaches(fixture, meeting, people[0], Outcome.LEFT)
                harness.hang_up(people[1])
                await self._reaches(fixture, meeting, people[1], Outcome.LEFT)
            await self._nothing_is_up(fixture, rules.CONNECTS)

    async def test_too_few(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            people = [fixture.party(), fixture.party(Reaction.BUSY), fixture.party(Reaction.REJECTS)]
            try:
                async with fixture.client.connect(*people):
                    pass
            except QuorumNotReached as error:
                check(not error.left_behind, rules.UNDOES, f"it left behind: {'; '.join(error.left_behind)}")
            else:
                raise broken(rules.OUTCOMES, "a meeting of one was established")
            await self._nothing_is_up(fixture, rules.UNDOES)

    async def test_a_meeting_is_cancelled(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            for seconds in (0.0, 0.002, 0.01, 0.05):
                people = [fixture.party(), fixture.party(), fixture.party(Reaction.NEVER_ANSWERS)]
                with anyio.move_on_after(seconds):
                    async with fixture.client.connect(*people):
                        pass
                await self._nothing_is_up(fixture, rules.UNDOES)

    async def _reaches(self, fixture: Fixture, meeting: Meeting, who: str, outcome: Outcome) -> None:
        async def reached() -> bool:
            return meeting.participant(who).outcome is outcome

        await fixture.until(reached, rules.OUTCOMES, f"a party has not {outcome.value}")

    async def _nothing_is_up(self, fixture: Fixture, rule: rules.Rule) -> None:
        async def quiet() -> bool:
            return fixture.harness.calls_up() == 0

        await fixture.until(quiet, rule, f"{fixture.harness.calls_up()} calls are up")
