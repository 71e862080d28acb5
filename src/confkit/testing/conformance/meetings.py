"""Whole meetings through the portable API: what all the other rules are for."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest

from confkit.client.meeting import Meeting
from confkit.models.errors import ProviderError, QuorumNotReached
from confkit.models.records import Outcome
from confkit.testing.conformance import rules
from confkit.testing.conformance.area import Area
from confkit.testing.conformance.bench import Bench, on_bench
from confkit.testing.conformance.harness import Harness, Reaction
from confkit.testing.conformance.rules import broken, check


class MeetingRules(Area):
    """See ``docs/contract.md#meetings``."""

    @pytest.mark.parametrize("number", [2, 3, 5])
    async def test_connect(self, harness: Harness, number: int) -> None:
        async with on_bench(harness) as bench:
            most = bench.capabilities.max_members or number
            people = [bench.party() for _ in range(min(number, most))]
            async with bench.client.connect(*people, quorum=len(people)) as meeting:
                outcomes = {person.outcome for person in meeting.participants}
                check(outcomes == {Outcome.JOINED}, rules.CONNECTS, "not everyone has joined")
                check(harness.calls_up() == len(people), rules.CONNECTS, f"{harness.calls_up()} calls are up")
            await self._nothing_is_up(bench, rules.CONNECTS)
            rang = {harness.rings(to) for to in people}
            check(rang == {1}, rules.DIALS_ONCE, f"phones rang {sorted(rang)} times")

    async def test_by_hand(self, harness: Harness) -> None:
        """The three steps that every shape has, through the portable API."""
        async with on_bench(harness) as bench:
            try:
                await self._by_hand(bench)
            except ProviderError as error:
                raise broken(rules.BY_HAND, f"{type(error).__name__}: {error}") from error
            await self._nothing_is_up(bench, rules.BY_HAND)

    async def _by_hand(self, bench: Bench) -> None:
        direct = bench.client.direct
        conference = await direct.create_conference()
        calls = [await direct.create_call(bench.party(), into=conference) for _ in range(2)]
        members = [await direct.join(call, conference) for call in calls]
        rooms = {member.conference.id for member in members}
        check(len(rooms) == 1 and None not in rooms, rules.BY_HAND, f"they are in {len(rooms)} conferences")
        inside = await bench.members(members[0].conference)
        check(inside.keys() == {call.call.id for call in calls}, rules.BY_HAND, "not everyone is in")
        for call in calls:
            await direct.hang_up(call.call)
        await direct.end_conference(conference)

    async def test_outcomes(self, harness: Harness) -> None:
        async with on_bench(harness) as bench:
            expected = {
                bench.party(): Outcome.JOINED,
                bench.party(): Outcome.JOINED,
                bench.party(Reaction.BUSY): Outcome.BUSY,
                bench.party(Reaction.REJECTS): Outcome.REJECTED,
                bench.party(Reaction.NEVER_ANSWERS): Outcome.NO_ANSWER,
            }
            async with bench.client.connect(*expected, answer_timeout=timedelta(seconds=2)) as meeting:
                for to, outcome in expected.items():
                    found = meeting.participant(to).outcome
                    told = found.value if found else "nothing"
                    check(found is outcome, rules.OUTCOMES, f"it is {told} instead of {outcome.value}")
            await self._nothing_is_up(bench, rules.CONNECTS)

    async def test_coming_and_going(self, harness: Harness) -> None:
        async with on_bench(harness) as bench:
            people = [bench.party() for _ in range(3)]
            async with bench.client.connect(*people, quorum=3) as meeting:
                late = bench.party()
                await meeting.add(late)
                await self._reaches(bench, meeting, late, Outcome.JOINED)
                await meeting.remove(people[0])
                await self._reaches(bench, meeting, people[0], Outcome.LEFT)
                harness.hang_up(people[1])
                await self._reaches(bench, meeting, people[1], Outcome.LEFT)
            await self._nothing_is_up(bench, rules.CONNECTS)

    async def test_too_few(self, harness: Harness) -> None:
        async with on_bench(harness) as bench:
            people = [bench.party(), bench.party(Reaction.BUSY), bench.party(Reaction.REJECTS)]
            try:
                async with bench.client.connect(*people):
                    pass
            except QuorumNotReached as error:
                check(not error.left_behind, rules.UNDOES, f"it left behind: {'; '.join(error.left_behind)}")
            else:
                raise broken(rules.OUTCOMES, "a meeting of one was established")
            await self._nothing_is_up(bench, rules.UNDOES)

    async def test_a_meeting_is_cancelled(self, harness: Harness) -> None:
        async with on_bench(harness) as bench:
            for seconds in (0.0, 0.002, 0.01, 0.05):
                people = [bench.party(), bench.party(), bench.party(Reaction.NEVER_ANSWERS)]
                with anyio.move_on_after(seconds):
                    async with bench.client.connect(*people):
                        pass
                await self._nothing_is_up(bench, rules.UNDOES)

    async def _reaches(self, bench: Bench, meeting: Meeting, who: str, outcome: Outcome) -> None:
        async def reached() -> bool:
            return meeting.participant(who).outcome is outcome

        await bench.until(reached, rules.OUTCOMES, f"a party has not {outcome.value}")

    async def _nothing_is_up(self, bench: Bench, rule: rules.Rule) -> None:
        async def quiet() -> bool:
            return bench.harness.calls_up() == 0

        await bench.until(quiet, rule, f"{bench.harness.calls_up()} calls are up")
