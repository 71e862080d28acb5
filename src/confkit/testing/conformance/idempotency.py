"""One intent, one ring: what is sent, what is sent again, and what can be found."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from attrs import define, evolve

from confkit.models.capabilities import Bridging, Idempotency
from confkit.models.errors import OutcomeUnknown, ProviderError
from confkit.models.records import Bridge, Call, Conference, ConferenceSpec, FindHint, Member, MemberOptions, Op
from confkit.testing.conformance import rules
from confkit.testing.conformance.area import Area
from confkit.testing.conformance.bench import Bench, on_bench
from confkit.testing.conformance.harness import Harness, Reaction, Trouble
from confkit.testing.conformance.rules import broken, check
from confkit.testing.conformance.subject import where

_SENT = (Trouble.LOST_REPLY, Trouble.GARBLED, Trouble.SERVER_ERROR, Trouble.RATE_LIMITED)
#: What an operation can make, and of that what makes a telephone ring.
MADE = ("create_conference", "create_call", "add_member", "create_bridge", "transfer", "answer_call")
_DIALS = ("create_call", "transfer")


@define(kw_only=True)
class _Asked:
    """A request whose reply is to be lost.

    Args:
        arguments: of the operation.
        hint: with which it is looked for.
        is_it: whether something that was found can be what the request made.
        to: whom it calls, or who hangs up to end it.
        others: how many calls were up before it was sent.
    """

    op: Op
    arguments: dict[str, Any]
    hint: FindHint
    is_it: Callable[[Any], bool]
    to: str = ""
    others: int = 0


class IdempotencyRules(Area):
    """See ``docs/contract.md#one-request``."""

    @where(lambda on, trouble: trouble not in on.harness.lacks)
    @pytest.mark.parametrize("trouble", _SENT, ids=lambda trouble: trouble.value)
    async def test_a_dial_is_not_sent_again(self, harness: Harness, trouble: Trouble) -> None:
        async with on_bench(harness, trouble, "create_call") as bench:
            conference = await bench.conference()
            before = harness.mutations()
            with contextlib.suppress(ProviderError):
                await bench.attempt("create_call", spec=bench.spec(bench.party()), into=conference)
            sent = harness.mutations() - before
            check(sent == 1, rules.NO_RETRY, f"after {trouble.value} create_call had sent {sent}")

    async def test_one_request_for_a_dial(self, harness: Harness) -> None:
        async with on_bench(harness) as bench:
            conference = await bench.conference()
            await bench.one_request("create_call", spec=bench.spec(bench.party()), into=conference)

    @where(lambda on: not on.fused)
    async def test_one_request_for_a_member(self, harness: Harness) -> None:
        async with on_bench(harness) as bench:
            conference = await bench.conference()
            call = await bench.answered((await bench.dial(bench.party(), conference)).call)
            await bench.one_request("add_member", conference=conference, call=call, options=MemberOptions())

    async def test_looking_changes_nothing(self, harness: Harness) -> None:
        async with on_bench(harness) as bench:
            room = await bench.room()
            before = harness.mutations()
            for ref in (room.conference, room.calls[0]):
                await bench.fetch(ref)
            if bench.implements("list_calls"):
                await bench.ask("list_calls", into=room.conference)
            check(harness.mutations() == before, rules.RAW_READS, "something was sent")

    async def test_the_same_intent_again(self, harness: Harness) -> None:
        async with on_bench(harness) as bench:
            room = await bench.room()
            to, op = bench.party(), bench.op()
            first = await bench.dial(to, room.conference, op=op)
            spec, again = bench.spec(to), evolve(op, attempt=2)
            if bench.capabilities.idempotency is not Idempotency.NONE:
                second = await bench.ask("create_call", spec=spec, into=room.conference, op=again)
                rang, same = harness.rings(to), second.call.id == first.call.id
                check(rang == 1, rules.SAME_INTENT, f"the phone rang {rang} times")
                check(same, rules.SAME_INTENT, "it gave another call")
                return
            try:
                second = await bench.attempt("create_call", spec=spec, into=room.conference, op=again)
            except ProviderError:
                return
            check(second.call.id != first.call.id, rules.UNDECLARED_KEY, "the same key gave the same call")

    @where(lambda on, operation: operation in on.can.finds)
    @pytest.mark.parametrize("operation", MADE)
    async def test_find(self, harness: Harness, operation: str) -> None:
        """The reply is really lost: what only the provider's own memory knows of is not found."""
        async with on_bench(harness) as bench:
            lost = await self._lose(bench, operation)
            await self._found(bench, lost)

    @where(lambda on, operation, fate: operation in on.can.finds and (fate == "over" or operation in _DIALS))
    @pytest.mark.parametrize("fate", ["busy", "rejects", "over"])
    @pytest.mark.parametrize("operation", MADE)
    async def test_find_what_is_over(self, harness: Harness, operation: str, fate: str) -> None:
        async with on_bench(harness) as bench:
            if fate == "over":
                lost = await self._lose(bench, operation)
                await self._end(bench, lost, await self._found(bench, lost))
            else:
                lost = await self._lose(bench, operation, Reaction(fate))
                await self._over(bench, lost)
            with contextlib.suppress(OutcomeUnknown):
                found = await bench.attempt("find", op_key=lost.op.key, hint=lost.hint)
                check(found and lost.is_it(found[0]), rules.FINDS_WHAT_IS_OVER, _shown(found))

    @where(lambda on, operation: operation in on.can.finds)
    @pytest.mark.parametrize("operation", MADE)
    async def test_find_what_was_never_asked_for(self, harness: Harness, operation: str) -> None:
        async with on_bench(harness) as bench:
            asked = await getattr(self, f"_{operation}")(bench, Reaction.ANSWERS)
            with contextlib.suppress(OutcomeUnknown):
                found = await bench.attempt("find", op_key=asked.op.key, hint=asked.hint)
                check(not found, rules.FINDS_NOTHING, f"it shows {len(found)} things")

    @where(lambda on, operation: on.has("find") and on.can_do(operation) and operation not in on.can.finds)
    @pytest.mark.parametrize("operation", MADE)
    async def test_find_what_is_not_declared(self, harness: Harness, operation: str) -> None:
        async with on_bench(harness) as bench:
            asked = await getattr(self, f"_{operation}")(bench, Reaction.ANSWERS)
            await bench.ask(operation, op=asked.op, **asked.arguments)
            try:
                found = await bench.attempt("find", op_key=asked.op.key, hint=asked.hint)
            except ProviderError:
                return
            check(not found, rules.DECLARED, f"find shows what {operation} made, and does not declare it")

    async def test_a_lost_dial(self, harness: Harness) -> None:
        """Through the portable API: whatever can be done about a lost reply is done, except ringing again."""
        async with on_bench(harness, Trouble.LOST_REPLY, "create_call") as bench:
            conference = await bench.client.direct.create_conference()
            to = bench.party()
            can = bench.capabilities
            findable = "create_call" in can.finds or can.idempotency is not Idempotency.NONE
            try:
                await bench.client.direct.create_call(to, into=conference)
            except OutcomeUnknown:
                check(not findable, rules.ADOPTS, "it was not found")
            else:
                check(findable, rules.ADOPTS, "it was dialled again on a guess")
            check(harness.rings(to) == 1, rules.ADOPTS, f"it rang {harness.rings(to)} times")

    async def _lose(self, bench: Bench, operation: str, reaction: Reaction = Reaction.ANSWERS) -> _Asked:
        """Carry out an operation whose reply is lost."""
        asked: _Asked = await getattr(self, f"_{operation}")(bench, reaction)
        asked.others = bench.harness.calls_up()
        bench.harness.provoke(Trouble.LOST_REPLY, operation)
        with contextlib.suppress(ProviderError):  # which one is another rule's business
            await bench.attempt(operation, op=asked.op, **asked.arguments)
        return asked

    async def _found(self, bench: Bench, lost: _Asked) -> Any:
        """What find shows, once it does: the first is what the core adopts."""
        shown = "it shows nothing"

        async def look() -> Any:
            nonlocal shown
            try:
                found = await bench.attempt("find", op_key=lost.op.key, hint=lost.hint)
            except OutcomeUnknown:
                return None
            shown = _shown(found)
            return found[0] if found and lost.is_it(found[0]) else None

        return await bench.until(look, rules.FINDS, lambda: shown)

    async def _end(self, bench: Bench, lost: _Asked, made: Any) -> None:
        """Let what was made come to its end, as people do: whoever was called hangs up."""
        match made:
            case Call():
                await bench.answered(made)
                if bench.harness.rings(lost.to):
                    bench.harness.hang_up(lost.to)
                else:  # it came in
                    await bench.ask("hang_up", call=made)
                await bench.ended(made)
            case Member():
                bench.harness.hang_up(lost.to)
                await bench.outside(made.conference, lost.arguments["call"], rules.LEAVES)
            case Conference():
                await bench.ask("end_conference", conference=made)
            case Bridge():
                await bench.ask("end_bridge", bridge=made)

    async def _over(self, bench: Bench, lost: _Asked) -> None:
        """Wait until the party has been called and is not called any more."""

        async def over() -> bool:
            return bench.harness.rings(lost.to) > 0 and bench.harness.calls_up() <= lost.others

        await bench.until(over, rules.CAUSES, "it is still called")

    # What is asked, before it is asked

    async def _create_conference(self, bench: Bench, _: Reaction) -> _Asked:
        op, spec = bench.op(), ConferenceSpec(caller_id=bench.harness.caller_id)
        hint = FindHint(operation="create_conference")
        return _Asked(op=op, arguments={"spec": spec}, hint=hint, is_it=lambda made: made.key in ("", op.key))

    async def _create_call(self, bench: Bench, reaction: Reaction) -> _Asked:
        # Nobody comes to those who are the first and busy, so on some platforms there is no conference either.
        into = (await bench.room()).conference if reaction is Reaction.ANSWERS else await bench.conference()
        to = bench.party(reaction)
        return _Asked(
            op=bench.op(),
            arguments={"spec": bench.spec(to), "into": into},
            hint=FindHint(operation="create_call", into=into, to=to),
            is_it=lambda made: made.to in ("", to),
            to=to,
        )

    async def _add_member(self, bench: Bench, _: Reaction) -> _Asked:
        room, to = await bench.room(), bench.party()
        if not bench.fused:
            call = await bench.answered((await bench.dial(to, room.conference)).call)
        elif bench.capabilities.moves_calls:
            call = (await bench.pair())[1][0]
            to = call.to
        else:
            raise broken(rules.DECLARED, "find is declared for add_member, by which no call gets in")
        return _Asked(
            op=bench.op(),
            arguments={"conference": room.conference, "call": call, "options": MemberOptions()},
            hint=FindHint(operation="add_member", into=room.conference, call=call),
            is_it=lambda made: made.call_id == call.id,
            to=to,
        )

    async def _create_bridge(self, bench: Bench, _: Reaction) -> _Asked:
        calls: tuple[Call, ...] = ()
        if bench.capabilities.bridging is Bridging.AFTER:
            calls = tuple([await bench.answered((await bench.dial(bench.party())).call) for _ in range(2)])
        hint = FindHint(operation="create_bridge")
        return _Asked(op=bench.op(), arguments={"calls": calls}, hint=hint, is_it=lambda made: bool(made.id))

    async def _transfer(self, bench: Bench, reaction: Reaction) -> _Asked:
        room, to = await bench.room(2), bench.party(reaction)
        return _Asked(
            op=bench.op(),
            arguments={"call": room.calls[0], "to": to, "caller_id": bench.harness.caller_id},
            hint=FindHint(operation="transfer", to=to),
            is_it=lambda made: made.to in ("", to),
            to=to,
        )

    async def _answer_call(self, bench: Bench, _: Reaction) -> _Asked:
        caller, call = await bench.incoming()
        return _Asked(
            op=bench.op(),
            arguments={"call": call, "into": None},
            hint=FindHint(operation="answer_call"),
            is_it=lambda made: made.id == call.id,
            to=caller,
        )


def _shown(found: Sequence[object]) -> str:
    return "it shows something else" if found else "it shows nothing"
