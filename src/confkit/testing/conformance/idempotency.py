"""One intent, one ring: what is sent, what is sent again, and what can be found."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from confkit.models.errors import Conflict, OutcomeUnknown, ProviderError
from confkit.models.records import Bridge, Call, Conference, Dialled, Member, MemberOptions
from confkit.testing.conformance import rules
from confkit.testing.conformance.area import RuleGroup
from confkit.testing.conformance.fixture import Fixture, on_fixture
from confkit.testing.conformance.harness import Fault, Harness, Reaction
from confkit.testing.conformance.intents import INTENTS, MADE, Intent
from confkit.testing.conformance.rules import check
from confkit.testing.conformance.subject import where

_SENT = (Fault.LOST_REPLY, Fault.GARBLED, Fault.SERVER_ERROR, Fault.RATE_LIMITED)
#: Of what can be made, what makes a telephone ring.
_DIALS = ("create_call", "transfer")
#: Between two calls to one party that a platform can tell apart by their instants.
_LATER = timedelta(minutes=1)


class IdempotencyRules(RuleGroup):
    """See ``docs/contract.md#one-request``."""

    @where(lambda on, fault: fault not in on.harness.lacks)
    @pytest.mark.parametrize("fault", _SENT, ids=lambda fault: fault.value)
    async def test_a_dial_is_not_sent_again(self, harness: Harness, fault: Fault) -> None:
        async with on_fixture(harness, fault, "create_call") as fixture:
            conference = await fixture.conference()
            before = harness.mutations()
            with contextlib.suppress(ProviderError):
                await fixture.attempt("create_call", spec=fixture.spec(fixture.party()), into=conference)
            sent = harness.mutations() - before
            check(sent == 1, rules.NO_RETRY, f"after {fault.value} create_call had sent {sent}")

    async def test_one_request_for_a_dial(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            conference = await fixture.conference()
            await fixture.one_request("create_call", spec=fixture.spec(fixture.party()), into=conference)

    @where(lambda on: not on.fused)
    async def test_one_request_for_a_member(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            conference = await fixture.conference()
            call = await fixture.answered((await fixture.dial(fixture.party(), conference)).call)
            await fixture.one_request("add_member", conference=conference, call=call, options=MemberOptions())

    async def test_looking_changes_nothing(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room()
            before = harness.mutations()
            for ref in (room.conference, room.calls[0]):
                await fixture.fetch(ref)
            if fixture.implements("list_calls"):
                await fixture.ask("list_calls", into=room.conference)
            check(harness.mutations() == before, rules.RAW_READS, "something was sent")

    @where(lambda on, operation: on.declares(on.can.idempotent, operation) and on.can_ask_for(operation))
    @pytest.mark.parametrize("operation", INTENTS)
    async def test_the_same_op_twice(self, harness: Harness, operation: str) -> None:
        async with on_fixture(harness) as fixture:
            asked, name = await INTENTS[operation](fixture, Reaction.ANSWERS), operation.partition(":")[0]
            first = await fixture.ask(name, op=asked.op, **asked.arguments)
            rang, up = harness.rings(asked.to) if asked.to else 0, harness.calls_up()
            refused: ProviderError | None = None
            second = None
            try:
                second = await fixture.attempt(name, op=evolve(asked.op, attempt=2), **asked.arguments)
            except (Conflict, OutcomeUnknown) as error:
                refused = error
            more = harness.rings(asked.to) - rang if asked.to else 0
            check(more <= 0, rules.SAME_INTENT, f"the phone rang {more} more times")
            more = harness.calls_up() - up
            check(more <= 0, rules.SAME_INTENT, f"there are {more} more calls")
            if refused is not None:
                found = name in fixture.capabilities.reconcilable
                check(found, rules.SAME_RESULT, f"{name} raised {type(refused).__name__}, and cannot be looked up")
            else:
                check(_made(second) == _made(first), rules.SAME_RESULT, f"{name} gave another one")

    @where(lambda on: not on.declares(on.can.idempotent, "create_call"))
    async def test_a_key_that_is_not_declared(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room()
            to, op = fixture.party(), fixture.op()
            first = await fixture.dial(to, room.conference, op=op)
            spec, again = fixture.spec(to), evolve(op, attempt=2)
            try:
                second = await fixture.attempt("create_call", spec=spec, into=room.conference, op=again)
            except ProviderError:
                return
            check(second.call.id != first.call.id, rules.UNDECLARED_KEY, "the same key gave the same call")

    @where(lambda on, operation: operation in on.can.reconcilable)
    @pytest.mark.parametrize("operation", MADE)
    async def test_find(self, harness: Harness, operation: str) -> None:
        """The reply is really lost: what only the provider's own memory knows of is not found."""
        async with on_fixture(harness) as fixture:
            lost = await self._lose(fixture, operation)
            await self._found(fixture, lost)

    @where(lambda on, operation, fate: operation in on.can.reconcilable and (fate == "over" or operation in _DIALS))
    @pytest.mark.parametrize("fate", ["busy", "rejects", "over"])
    @pytest.mark.parametrize("operation", MADE)
    async def test_find_what_is_over(self, harness: Harness, operation: str, fate: str) -> None:
        async with on_fixture(harness) as fixture:
            if fate == "over":
                lost = await self._lose(fixture, operation)
                await self._end(fixture, lost, await self._found(fixture, lost))
            else:
                lost = await self._lose(fixture, operation, Reaction(fate))
                await self._over(fixture, lost)
            with contextlib.suppress(OutcomeUnknown):
                found = await fixture.attempt("find", op_key=lost.op.key, hint=lost.hint)
                check(found and lost.is_it(found[0]), rules.FINDS_WHAT_IS_OVER, _shown(found))

    @where(lambda on, operation: operation in on.can.reconcilable)
    @pytest.mark.parametrize("operation", MADE)
    async def test_find_what_was_never_asked_for(self, harness: Harness, operation: str) -> None:
        async with on_fixture(harness) as fixture:
            asked = await INTENTS[operation](fixture, Reaction.ANSWERS)
            with contextlib.suppress(OutcomeUnknown):
                found = await fixture.attempt("find", op_key=asked.op.key, hint=asked.hint)
                check(not found, rules.FINDS_NOTHING, f"it shows {len(found)} things")

    @where(lambda on: "create_call" in on.can.reconcilable)
    async def test_find_of_one_who_was_called_before(self, harness: Harness) -> None:
        """Who was busy is called again, and that request is lost before anything was done."""
        async with on_fixture(harness) as fixture:
            asked = await INTENTS["create_call"](fixture, Reaction.BUSY)
            await fixture.ask("create_call", op=asked.op, **asked.arguments)
            await self._over(fixture, asked)
            # Platforms that tell whole seconds cannot tell the two apart sooner.
            later = evolve(asked.hint, since=datetime.now(UTC) + _LATER)
            with contextlib.suppress(OutcomeUnknown):
                found = await fixture.attempt("find", op_key=fixture.op().key, hint=later)
                check(not found, rules.FINDS_NOTHING_OLDER, f"it shows {len(found)} calls")

    @where(lambda on, operation: on.has("find") and on.can_do(operation) and operation not in on.can.reconcilable)
    @pytest.mark.parametrize("operation", MADE)
    async def test_find_what_is_not_declared(self, harness: Harness, operation: str) -> None:
        async with on_fixture(harness) as fixture:
            asked = await INTENTS[operation](fixture, Reaction.ANSWERS)
            await fixture.ask(operation, op=asked.op, **asked.arguments)
            try:
                found = await fixture.attempt("find", op_key=asked.op.key, hint=asked.hint)
            except ProviderError:
                return
            check(not found, rules.DECLARED, f"find shows what {operation} made, and does not declare it")

    async def test_a_lost_dial(self, harness: Harness) -> None:
        """Through the portable API: whatever can be done about a lost reply is done, except ringing again."""
        async with on_fixture(harness, Fault.LOST_REPLY, "create_call") as fixture:
            conference = await fixture.client.direct.create_conference()
            to = fixture.party()
            can = fixture.capabilities
            findable = "create_call" in can.reconcilable | can.idempotent
            try:
                await fixture.client.direct.create_call(to, into=conference)
            except OutcomeUnknown:
                check(not findable, rules.ADOPTS, "it was not found")
            else:
                check(findable, rules.ADOPTS, "it was dialled again on a guess")
            check(harness.rings(to) == 1, rules.ADOPTS, f"it rang {harness.rings(to)} times")

    async def _lose(self, fixture: Fixture, operation: str, reaction: Reaction = Reaction.ANSWERS) -> Intent:
        """Carry out an operation whose reply is lost."""
        asked = await INTENTS[operation](fixture, reaction)
        asked.others = fixture.harness.calls_up()
        fixture.harness.provoke(Fault.LOST_REPLY, operation)
        with contextlib.suppress(ProviderError):  # which one is another rule's business
            await fixture.attempt(operation, op=asked.op, **asked.arguments)
        return asked

    async def _found(self, fixture: Fixture, lost: Intent) -> Any:
        """What find shows, once it does: the first is what the core adopts."""
        shown = "it shows nothing"

        async def look() -> Any:
            nonlocal shown
            try:
                found = await fixture.attempt("find", op_key=lost.op.key, hint=lost.hint)
            except OutcomeUnknown:
                return None
            shown = _shown(found)
            return found[0] if found and lost.is_it(found[0]) else None

        return await fixture.until(look, rules.FINDS, lambda: shown)

    async def _end(self, fixture: Fixture, lost: Intent, made: Any) -> None:
        """Let what was made come to its end, as people do: whoever was called hangs up."""
        match made:
            case Call():
                await fixture.answered(made)
                if fixture.harness.rings(lost.to):
                    fixture.harness.hang_up(lost.to)
                else:  # it came in
                    await fixture.ask("hang_up", call=made)
                await fixture.ended(made)
            case Member():
                fixture.harness.hang_up(lost.to)
                await fixture.outside(made.conference, lost.arguments["call"], rules.LEAVES)
            case Conference():
                await fixture.ask("end_conference", conference=made)
            case Bridge() if fixture.implements("end_bridge"):
                await fixture.ask("end_bridge", bridge=made)
            case Bridge():
                for call in lost.arguments["calls"]:
                    await fixture.ask("hang_up", call=call)

    async def _over(self, fixture: Fixture, lost: Intent) -> None:
        """Wait until the party has been called and is not called any more."""

        async def over() -> bool:
            return fixture.harness.rings(lost.to) > 0 and fixture.harness.calls_up() <= lost.others

        await fixture.until(over, rules.CAUSES, "it is still called")


def _shown(found: Sequence[object]) -> str:
    return "it shows something else" if found else "it shows nothing"


def _made(result: object) -> str | None:
    """The id of what an operation gave; ``None`` where it gives nothing."""
    made = result.call if isinstance(result, Dialled) else result
    return getattr(made, "id", None)
