"""Steps whose outcome is unknown: looked up, adopted, sent again only where nobody can be rung twice for it."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import anyio
import pytest
from attrs import evolve
from confkit_fake import FakeProvider

import confkit
import confkit.provider
from confkit import AsyncClient, OutcomeUnknown, StepOutcome, StepRecord
from confkit.provider import hookimpl

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

OURS = "+12018994444"
ANN = "+19195550101"
BOB = "+19195550102"


class With:
    """Changes the capabilities, as a wrapper."""

    def __init__(self, **changes: Any) -> None:
        self._changes = changes

    @hookimpl(wrapper=True)
    def capabilities(self) -> Generator[None, Any, Any]:
        return evolve((yield), **self._changes)


class Last:
    """Keeps the records of finished steps."""

    def __init__(self) -> None:
        self.records: list[StepRecord] = []

    @hookimpl
    def step_finished(self, step: StepRecord) -> None:
        self.records.append(step)

    @property
    def outcome(self) -> StepOutcome:
        return self.records[-1].outcome


def client(provider: FakeProvider, *plugins: object) -> AsyncClient:
    return AsyncClient(provider, caller_id=OURS, plugins=plugins)


def dials(provider: FakeProvider) -> list[tuple[bool, str]]:
    return [(each.executed, each.outcome) for each in provider.requests if each.operation == "create_call"]


@pytest.mark.parametrize("fault", ["drop-reply", "slow"])
async def test_a_dial_whose_reply_was_lost_is_found_and_adopted(fault: str) -> None:
    provider, last = FakeProvider(), Last()
    provider.fail("create_call", fault, seconds=60)
    async with client(provider, last) as calls:
        room = await calls.direct.create_conference()
        call = (await calls.direct.create_call(ANN, into=room)).call
        assert last.outcome is StepOutcome.ADOPTED
        member = await calls.direct.add_member(room, call)
    assert provider.exchange.rings[ANN] == [call.id]
    assert member.state is confkit.provider.MemberState.JOINED
    assert len(dials(provider)) == 1


async def test_a_dial_that_is_lost_and_not_found_is_not_sent_again() -> None:
    provider, last = FakeProvider(), Last()
    provider.fail("create_call", "lost")
    async with client(provider, last) as calls:
        with pytest.raises(OutcomeUnknown) as raised:
            await calls.direct.create_call(ANN)
    assert not raised.value.answered
    assert last.outcome is StepOutcome.UNKNOWN
    assert dials(provider) == [(False, "OutcomeUnknown")]
    assert [each.operation for each in provider.requests] == ["create_call", "find", "find", "find"]


async def test_a_dial_that_arrives_late_is_found_by_a_later_look() -> None:
    provider, last = FakeProvider(), Last()
    provider.fail("create_call", "late", seconds=1.5)
    async with client(provider, last) as calls:
        call = (await calls.direct.create_call(ANN)).call
    assert provider.exchange.rings[ANN] == [call.id]
    assert last.outcome is StepOutcome.ADOPTED


async def test_an_error_after_which_the_provider_shows_nothing_is_sent_again() -> None:
    provider = FakeProvider()
    provider.fail("create_call", "error-500", times=2)
    async with client(provider) as calls:
        call = (await calls.direct.create_call(ANN)).call
    assert provider.exchange.rings[ANN] == [call.id]
    assert [executed for executed, _ in dials(provider)] == [False, False, True]


async def test_where_nothing_can_be_looked_up_a_dial_is_sent_once() -> None:
    for fault in ("error-500", "drop-reply", "lost"):
        provider = FakeProvider()
        provider.fail("create_call", fault)
        async with client(provider, With(reconcilable=frozenset())) as calls:
            with pytest.raises(OutcomeUnknown):
                await calls.direct.create_call(ANN)
        assert len(provider.requests) == 1


async def test_not_having_been_able_to_look_is_not_having_found_nothing() -> None:
    provider = FakeProvider()
    provider.fail("create_call", "error-500")
    provider.fail("find", "refuse", times=99)
    async with client(provider) as calls:
        with pytest.raises(OutcomeUnknown):
            await calls.direct.create_call(ANN)
    assert len(dials(provider)) == 1


async def test_an_id_that_we_choose_makes_sending_again_safe() -> None:
    for fault in ("drop-reply", "lost"):
        provider = FakeProvider(client_ids=True)
        provider.fail("create_call", fault, times=2)
        async with client(provider, With(reconcilable=frozenset())) as calls:
            call = (await calls.direct.create_call(ANN)).call
        assert provider.exchange.rings[ANN] == [call.id]
        assert len(dials(provider)) == 3
        assert call.id == provider.requests[0].op_key


async def test_a_key_makes_sending_again_safe_for_half_of_its_window() -> None:
    window = timedelta(seconds=60)
    for slow, sent in ((1, 2), (31, 1)):
        provider = FakeProvider(client_ids=True)  # the fake's keys are its ids
        provider.fail("create_call", "rate-limit", seconds=slow)
        provider.fail("create_call", "drop-reply")
        key = With(reconcilable=frozenset(), idempotency_window=window)
        async with client(provider, key) as calls:
            if sent == 2:
                await calls.direct.create_call(ANN)
            else:
                with pytest.raises(OutcomeUnknown):
                    await calls.direct.create_call(ANN)
        assert len(dials(provider)) == sent + 1
        assert len(provider.exchange.rings[ANN]) == 1


@pytest.mark.parametrize("fault", ["drop-reply", "lost", "error-500"])
async def test_what_harms_nobody_is_sent_again(fault: str) -> None:
    provider = FakeProvider()
    for operation in ("add_member", "update_member", "hang_up", "end_conference"):
        provider.fail(operation, fault)
    async with client(provider) as calls:
        room = await calls.direct.create_conference()
        call = (await calls.direct.create_call(ANN, into=room)).call
        member = await calls.direct.add_member(room, call)
        await calls.direct.update_member(member, mute=True)
        assert provider.exchange.members[member.id].mute
        await calls.direct.hang_up(call)
        await calls.direct.end_conference(room)
    assert provider.exchange.still_up() == ()


async def test_a_join_that_did_happen_is_adopted_when_the_second_one_is_refused() -> None:
    """The look-up fails, so the join is sent again; the refusal as already a member tells that it had worked."""
    provider, last = FakeProvider(), Last()
    provider.fail("add_member", "drop-reply")
    provider.fail("find", "refuse", times=15)
    async with client(provider, last) as calls:
        room = await calls.direct.create_conference()
        call = (await calls.direct.create_call(ANN, into=room)).call
        member = await calls.direct.add_member(room, call)
    assert [each.id for each in provider.exchange.members_of(room.id or "")] == [member.id]
    assert last.outcome is StepOutcome.ADOPTED


async def test_a_transfer_is_not_made_twice() -> None:
    provider = FakeProvider()
    provider.fail("transfer", "drop-reply")
    async with client(provider) as calls:
        call = (await calls.direct.create_call(ANN)).call
        await calls.direct.until_answered(call)
        new = await calls.direct.transfer(call, BOB)
        provider.fail("send_digits", "drop-reply")
        with pytest.raises(OutcomeUnknown):
            await calls.direct.send_digits(new, "12")
    assert provider.exchange.rings[BOB] == [new.id]
    assert provider.exchange.calls[new.id].digits_sent == ["12"]


async def test_a_plugin_that_returns_the_wrong_thing_is_told_so() -> None:
    class Forgetful:
        """Forgets to return what was made."""

        @hookimpl(wrapper=True)
        def create_call(self) -> Generator[None, Any, Any]:
            result = yield

            async def nothing() -> None:
                await result

            return nothing()

    provider = FakeProvider()
    async with client(provider, Forgetful(), With(reconcilable=frozenset())) as calls:
        with pytest.raises(OutcomeUnknown, match="NoneType"):
            await calls.direct.create_call(ANN)
        with anyio.fail_after(60), pytest.raises(confkit.QuorumNotReached) as raised:
            await calls.connect(BOB, "+19195550103", "+19195550104").__aenter__()
    assert len(raised.value.left_behind) == 3


async def test_the_low_level_recipe_by_hand() -> None:
    provider = FakeProvider(answer_after=2)
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        call = (await calls.direct.create_call(ANN, into=conference)).call
        member = await calls.direct.add_member(conference, call, mute=True)
        snapshot = await calls.direct.fetch(conference)
        assert [(each.id, each.mute) for each in snapshot.members] == [(member.id, True)]
        await calls.direct.say(conference, "Welcome")
        await calls.direct.play(call, "https://example.com/music.wav", loop=True)
        await calls.direct.stop_playing(call)
        await calls.direct.record(call, confkit.RecordAction.START)
        await calls.direct.update_conference(conference, hold=True)
        await calls.direct.update_member(member, deaf=True, mute=False)
        await calls.direct.remove_member(member)
        await calls.direct.remove_member(member)
        await calls.direct.hang_up(call)
        await calls.direct.hang_up(call)
        await calls.direct.end_conference(conference)
        await calls.direct.end_conference(conference)
    assert provider.exchange.still_up() == ()


async def test_a_bridge_by_hand_in_both_ways() -> None:
    provider = FakeProvider()
    async with client(provider) as calls:
        one, two = [(await calls.direct.create_call(who)).call for who in (ANN, BOB)]
        for call in (one, two):
            await calls.direct.until_answered(call)
        bridge = await calls.direct.create_bridge(one, two)
        assert provider.exchange.hears(one.id, two.id)
        await calls.direct.end_bridge(bridge)
        assert not provider.exchange.hears(one.id, two.id)
    first = FakeProvider(bridge="first")
    async with client(first) as calls:
        bridge = await calls.direct.create_bridge()
        one, two = [(await calls.direct.create_call(who, into=bridge)).call for who in (ANN, BOB)]
        await calls.direct.until_answered(two)
        assert first.exchange.hears(one.id, two.id)
