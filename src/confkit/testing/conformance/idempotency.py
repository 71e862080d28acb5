"""One intent, one ring: what is sent, what is sent again, and what can be found."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from attrs import evolve

from confkit.capabilities import Idempotency
from confkit.errors import OutcomeUnknown, ProviderError
from confkit.models import Conference, ConferenceSpec, FindHint, MemberOptions, Op
from confkit.testing.conformance import rules
from confkit.testing.conformance.area import Area
from confkit.testing.conformance.bench import Bench, on_bench
from confkit.testing.conformance.harness import Harness, Trouble
from confkit.testing.conformance.rules import broken, check

_SENT = (Trouble.LOST_REPLY, Trouble.GARBLED, Trouble.SERVER_ERROR, Trouble.RATE_LIMITED)


class IdempotencyRules(Area):
    """See ``docs/contract.md#one-request``."""

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

    async def test_one_request_for_a_member(self, harness: Harness) -> None:
        async with on_bench(harness) as bench:
            bench.need(not bench.fused, "joining: explicit")
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

    @pytest.mark.parametrize(
        "operation",
        ["create_conference", "create_call", "add_member", "create_bridge", "transfer"],
    )
    async def test_find(self, harness: Harness, operation: str) -> None:
        async with on_bench(harness) as bench:
            bench.need(operation in bench.capabilities.finds, f"finds: {operation}")
            op, hint, made = await getattr(self, f"_{operation}")(bench)
            found = await bench.ask("find", op_key=op.key, hint=hint)
            ids = [each.id for each in found]
            check(made in ids, rules.FINDS, f"it shows {len(ids)} others" if ids else "it shows nothing")

    async def test_find_what_was_never_asked_for(self, harness: Harness) -> None:
        async with on_bench(harness) as bench:
            bench.need("create_call" in bench.capabilities.finds, "finds: create_call")
            room = await bench.room()
            hint = FindHint(operation="create_call", into=room.conference, to=bench.party())
            found = await bench.ask("find", op_key=bench.op().key, hint=hint)
            check(not found, rules.FINDS_NOTHING, f"it shows {len(found)} things")

    async def test_find_what_is_not_declared(self, harness: Harness) -> None:
        async with on_bench(harness) as bench:
            bench.need_hook("find")
            op, hint, made = await self._create_call(bench)
            if "create_call" in bench.capabilities.finds:
                pytest.skip("declared: finds: create_call")
            try:
                found = await bench.attempt("find", op_key=op.key, hint=hint)
            except ProviderError:
                return
            check(made not in [each.id for each in found], rules.DECLARED, "find shows a call and does not declare it")

    async def test_a_lost_dial(self, harness: Harness) -> None:
        """Through the portable API: whatever can be done about a lost reply is done, except ringing again."""
        async with on_bench(harness, Trouble.LOST_REPLY, "create_call") as bench:
            conference = await bench.client.create_conference()
            to = bench.party()
            can = bench.capabilities
            findable = "create_call" in can.finds or can.idempotency is not Idempotency.NONE
            try:
                await bench.client.create_call(to, into=conference)
            except OutcomeUnknown:
                check(not findable, rules.ADOPTS, "it was not found")
            else:
                check(findable, rules.ADOPTS, "it was dialled again on a guess")
            check(harness.rings(to) == 1, rules.ADOPTS, f"it rang {harness.rings(to)} times")

    async def _create_conference(self, bench: Bench) -> tuple[Op, FindHint, Any]:
        op = bench.op()
        spec = ConferenceSpec(caller_id=bench.harness.caller_id)
        made = await bench.ask("create_conference", spec=spec, op=op)
        return op, FindHint(operation="create_conference"), made.id

    async def _create_call(self, bench: Bench) -> tuple[Op, FindHint, Any]:
        conference, op, to = await bench.conference(), bench.op(), bench.party()
        dialled = await bench.dial(to, conference, op=op)
        into: Conference = dialled.conference or conference
        return op, FindHint(operation="create_call", into=into, to=to), dialled.call.id

    async def _add_member(self, bench: Bench) -> tuple[Op, FindHint, Any]:
        room, op = await bench.room(), bench.op()
        if not bench.fused:
            call = await bench.answered((await bench.dial(bench.party(), room.conference)).call)
        elif bench.capabilities.moves_calls:
            call = (await bench.pair())[1][0]
        else:
            raise broken(rules.DECLARED, "find is declared for add_member, by which no call gets in")
        arguments = {"conference": room.conference, "call": call, "options": MemberOptions()}
        member = await bench.ask("add_member", op=op, **arguments)
        return op, FindHint(operation="add_member", into=room.conference, call=call), member.id

    async def _create_bridge(self, bench: Bench) -> tuple[Op, FindHint, Any]:
        op = bench.op()
        calls: tuple[Any, ...] = ()
        if bench.capabilities.bridging.value == "after":
            calls = tuple([await bench.answered((await bench.dial(bench.party())).call) for _ in range(2)])
        made = await bench.ask("create_bridge", calls=calls, op=op)
        return op, FindHint(operation="create_bridge"), made.id

    async def _transfer(self, bench: Bench) -> tuple[Op, FindHint, Any]:
        room, op, to = await bench.room(), bench.op(), bench.party()
        arguments = {"call": room.calls[0], "to": to, "caller_id": bench.harness.caller_id}
        made = await bench.ask("transfer", op=op, **arguments)
        return op, FindHint(operation="transfer", to=to), made.id
