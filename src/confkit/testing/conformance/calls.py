"""Calls: dialling, answers and their absence, hanging up."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta

import anyio
import pytest
from attrs import evolve

from confkit.models.capabilities import Bridging
from confkit.models.errors import CapacityReached, Conflict, NotFound, ProviderError, Unsupported
from confkit.models.records import Call, CallState, EndCause, MemberOptions, Membership
from confkit.testing.conformance import rules
from confkit.testing.conformance.area import RuleGroup
from confkit.testing.conformance.fixture import Fixture, on_fixture
from confkit.testing.conformance.harness import Harness, Reaction
from confkit.testing.conformance.rules import broken, check
from confkit.testing.conformance.subject import where

#: A platform accepts a call within this many seconds; a person takes longer to pick up.
_ACCEPTS = 2.0
#: More calls than this are not made to see that there cannot be more.
_MOST = 50


class CallRules(RuleGroup):
    """See ``docs/contract.md#create_call``."""

    async def test_create_call_does_not_wait(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            conference = await fixture.conference()
            to = fixture.party(Reaction.NEVER_ANSWERS)
            began = anyio.current_time()
            dialled = await fixture.dial(to, conference)
            took = anyio.current_time() - began
            check(took < _ACCEPTS, rules.NOT_WAITING, f"it took {took:.1f} s while the phone rang")
            over = dialled.call.state in (CallState.ANSWERED, CallState.ENDED)
            check(not over, rules.NOT_WAITING, f"the call is {dialled.call.state.value}")
            await fixture.ask("hang_up", call=dialled.call)

    async def test_create_call_dials_the_party_once(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            to = fixture.party()
            dialled = await fixture.dial(to, await fixture.conference())
            call = await fixture.answered(dialled.call)
            check(bool(dialled.call.id), rules.DIALS_WHOM, "the call has no id")
            check(harness.rings(to) == 1, rules.DIALS_ONCE, f"it rang {harness.rings(to)} times")
            check(call.to in ("", to), rules.DIALS_WHOM, "it is shown with another address")

    async def test_membership(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            dialled = await fixture.dial(fixture.party(), await fixture.conference())
            expected = Membership.FUSED if fixture.fused else Membership.EXPLICIT
            check(dialled.membership is expected, rules.MEMBERSHIP, f"it is {dialled.membership.value}")
            try:
                alone = await fixture.attempt("create_call", spec=fixture.spec(fixture.party()), into=None)
            except Unsupported:
                if fixture.capabilities.bridging is Bridging.AFTER:
                    raise broken(rules.BRIDGES, "a call cannot be dialled by itself") from None
                return
            check(alone.membership is Membership.NONE, rules.MEMBERSHIP, f"alone it is {alone.membership.value}")

    async def test_a_call_is_shown_as_answered(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            dialled = await fixture.dial(fixture.party(), await fixture.conference())
            await fixture.answered(dialled.call)

    async def test_instants_are_aware(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room()
            snapshot = await fixture.fetch(room.conference)
            for record in (snapshot.conference, *snapshot.calls, *snapshot.members):
                for name in ("created_at", "answered_at", "ended_at", "joined_at", "left_at"):
                    instant = getattr(record, name, None)
                    aware = instant is None or (isinstance(instant, datetime) and instant.tzinfo is not None)
                    check(aware, rules.INSTANTS, f"{type(record).__name__}.{name} is {instant!r}")

    @where(lambda on, cause: cause in on.can.causes)
    @pytest.mark.parametrize(
        ("reaction", "cause"),
        [
            pytest.param(Reaction.BUSY, EndCause.BUSY, id="busy"),
            pytest.param(Reaction.REJECTS, EndCause.REJECTED, id="rejects"),
        ],
    )
    async def test_why_nobody_answered(self, harness: Harness, reaction: Reaction, cause: EndCause) -> None:
        async with on_fixture(harness) as fixture:
            _, call = await fixture.ring(reaction)
            await self._ended_by(fixture, call, cause)

    @where(lambda on, cause: cause not in on.can.causes)
    @pytest.mark.parametrize(
        ("reaction", "cause"),
        [
            pytest.param(Reaction.BUSY, EndCause.BUSY, id="busy"),
            pytest.param(Reaction.REJECTS, EndCause.REJECTED, id="rejects"),
        ],
    )
    async def test_a_cause_that_is_not_declared(self, harness: Harness, reaction: Reaction, cause: EndCause) -> None:
        async with on_fixture(harness) as fixture:
            _, call = await fixture.ring(reaction)
            ended = await fixture.ended(call, rules.CAUSES)
            check(ended.cause is not cause, rules.CAUSES, f"it shows {cause.value} and does not declare it")

    async def test_a_ringing_call_is_not_answered(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            to = fixture.party(Reaction.NEVER_ANSWERS)
            dialled = await fixture.dial(to, await fixture.conference())
            await fixture.room()  # time enough to ring
            shown = await fixture.look_at(dialled.call)
            check(shown.state is not CallState.ANSWERED, rules.RINGING, "it is")

    @where(lambda on: on.can.rings[1] is not None)
    async def test_the_longest_ring(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            spec = fixture.spec(fixture.party(), rings=fixture.capabilities.rings[1] or timedelta(0))
            try:
                into = await fixture.conference()
                dialled = await fixture.attempt("create_call", spec=spec, into=into)
            except ProviderError as error:
                raise broken(rules.RINGS_AT_MOST, f"it raised {type(error).__name__}: {error}") from error
            await fixture.ask("hang_up", call=dialled.call)

    async def test_answer_timeout(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            to = fixture.party(Reaction.NEVER_ANSWERS)
            rings = max(fixture.capabilities.rings[0], timedelta(seconds=1))
            dialled = await fixture.dial(to, await fixture.conference(), rings=rings)
            await anyio.sleep(rings.total_seconds() - 1)
            await self._ended_by(fixture, dialled.call, EndCause.NO_ANSWER)

    @where(lambda on: on.can.max_calls is not None and on.can.max_calls <= _MOST)
    async def test_max_calls(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            for _ in range(fixture.capabilities.max_calls or 0):
                dialled = await fixture.dial(fixture.party(), await fixture.conference())
                await fixture.answered(dialled.call, rules.MAX_CALLS)
            spec, into = fixture.spec(fixture.party()), await fixture.conference()
            try:
                dialled = await fixture.attempt("create_call", spec=spec, into=into)
            except CapacityReached:
                return
            ended = await fixture.ended(dialled.call, rules.MAX_CALLS)
            told = ended.cause is EndCause.CAPACITY or EndCause.CAPACITY not in fixture.capabilities.causes
            check(told, rules.CAUSES, "one call too many does not show capacity")

    async def _ended_by(self, fixture: Fixture, call: Call, cause: EndCause) -> None:
        timeout = cause is EndCause.NO_ANSWER
        ended = await fixture.ended(call, rules.RINGS_SO_LONG if timeout else rules.CAUSES)
        if cause not in fixture.capabilities.causes:
            return
        shown = ended.cause.value if ended.cause else "nothing"
        check(ended.cause is cause, rules.CAUSES, f"it shows {shown} instead of {cause.value}")

    async def test_a_party_hangs_up(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room(2)
            harness.hang_up(room.addresses[0])
            await fixture.ended(room.calls[0], rules.CAUSES)
            await fixture.outside(room.conference, room.calls[0], rules.LEAVES)
            check(
                room.calls[1].id in await fixture.members(room.conference), rules.LEAVES, "the other one has left too"
            )

    async def test_hang_up_while_it_rings(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            _, call = await fixture.ring()
            await fixture.one_request("hang_up", call=call)
            await fixture.ended(call)

    async def test_hang_up_when_it_is_answered(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room(2)
            await fixture.one_request("hang_up", call=room.calls[0])
            await fixture.ended(room.calls[0])
            check(
                harness.calls_up() == 1, rules.HANGS_UP, f"{harness.calls_up()} calls are up instead of the other one"
            )

    async def test_hang_up_again(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            _, call = await fixture.ring(Reaction.ANSWERS)
            await fixture.answered(call)
            await fixture.ask("hang_up", call=call)
            await fixture.ended(call)
            try:
                await fixture.attempt("hang_up", call=call)
            except ProviderError as error:
                raise broken(rules.HANGS_UP_AGAIN, f"it raised {type(error).__name__}: {error}") from error

    async def test_a_call_that_does_not_exist(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            call = Call(provider=fixture.client.provider_name, id=harness.missing("call"))
            await fixture.refused(NotFound, "fetch", ref=call)

    @where(lambda on: on.has("list_calls"))
    async def test_list_calls(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room(2)
            dialled = await fixture.dial(fixture.party(Reaction.BUSY), room.conference)
            await fixture.ended(dialled.call, rules.CAUSES)
            await fixture.ask("hang_up", call=room.calls[0])
            await fixture.ended(room.calls[0])
            listed = {call.id: call.state for call in await fixture.ask("list_calls", into=room.conference)}
            expected = {
                room.calls[0].id: CallState.ENDED,
                room.calls[1].id: CallState.ANSWERED if fixture.capabilities.tells_answers else CallState.RINGING,
                dialled.call.id: CallState.ENDED,
            }
            check(listed == expected, rules.LISTS, f"{len(listed)} of 3 are listed, or not as they are")

    @where(lambda on: on.has("send_digits"))
    async def test_send_digits(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room()
            await fixture.one_request("send_digits", rules.SENDS_DIGITS, call=room.calls[0], digits="12#")

    @where(lambda on: on.has("transfer"))
    async def test_transfer(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room(2)
            to = fixture.party()
            arguments = {"call": room.calls[0], "to": to, "caller_id": harness.caller_id}
            call = await fixture.one_request("transfer", rules.TRANSFERS, **arguments)
            await fixture.answered(call)
            check(harness.rings(to) == 1, rules.TRANSFERS, f"it rang {harness.rings(to)} times")

    @where(lambda on: on.has("answer_call"))
    async def test_answer_call(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            _, call = await fixture.incoming()
            await fixture.one_request("answer_call", rules.ANSWERS_CALLS, call=call, into=None)
            await fixture.answered(call)

    @where(lambda on: "conference" in on.can.answers_into)
    async def test_admit_a_caller(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room()
            _, call = await fixture.incoming()
            dialled = await fixture.ask("answer_call", call=call, into=room.conference)
            call = evolve(await fixture.answered(call), conference_id=room.conference.id)
            if dialled.membership is Membership.EXPLICIT:
                await fixture.ask("add_member", conference=room.conference, call=call, options=MemberOptions())
            await fixture.inside(room.conference, call)

    @where(lambda on: on.has("answer_call") and "conference" not in on.can.answers_into)
    async def test_a_caller_that_cannot_be_admitted(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room()
            _, call = await fixture.incoming()
            with contextlib.suppress(ProviderError):
                dialled = await fixture.attempt("answer_call", call=call, into=room.conference)
                call = evolve(await fixture.answered(call), conference_id=room.conference.id)
                if dialled.membership is Membership.EXPLICIT:
                    await fixture.attempt("add_member", conference=room.conference, call=call, options=MemberOptions())
            inside = await fixture.members(room.conference)
            check(call.id not in inside, rules.DECLARED, "a caller can be admitted, and it is not declared")

    @where(lambda on: on.has("reject_call"))
    async def test_reject_call(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            _, call = await fixture.incoming()
            for _ in range(2):
                try:
                    await fixture.attempt("reject_call", call=call)
                except (Conflict, NotFound) as error:
                    raise broken(rules.REJECTS_CALLS, f"it raised {type(error).__name__}: {error}") from error
            await fixture.ended(call, rules.REJECTS_CALLS)
