"""How calls end, how they come in, and what is refused."""

from __future__ import annotations

from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest
from confkit_asterisk.server import Engine
from confkit_asterisk.softphone import Manner, Phones

from confkit import Outcome, PolicyError, QuorumNotReached
from confkit.provider import InvalidRequest, Unauthenticated

pytestmark = pytest.mark.anyio


async def test_every_end_has_its_outcome(connect: Any, phones: Phones, hear: Any) -> None:
    ann, ben, *_ = phones.five()
    phones.add("+19195550111", manner=Manner.BUSY)
    phones.add("+19195550112", manner=Manner.DECLINE)
    phones.add("+19195550113", manner=Manner.RING)
    everyone = [ann.user, ben.user, "+19195550111", "+19195550112", "+19195550113", "+19195550114"]
    async with connect() as client, client.connect(*everyone, answer_timeout=timedelta(seconds=1)) as meeting:
        outcomes = {person.party.address[-3:]: person.outcome for person in meeting.participants}
        await hear([ann, ben])
    assert outcomes == {
        "101": Outcome.JOINED,
        "102": Outcome.JOINED,
        "111": Outcome.BUSY,
        "112": Outcome.REJECTED,
        "113": Outcome.NO_ANSWER,
        "114": Outcome.UNREACHABLE,
    }


async def test_a_call_that_still_rings_is_cancelled(connect: Any, phones: Phones) -> None:
    ringing = phones.add("+19195550113", manner=Manner.RING)
    async with connect() as client:
        call = (await client.direct.create_call(ringing.user)).call
        await phones.until(lambda: ringing.ringing)
        await client.direct.hang_up(call)
        await client.direct.hang_up(call)
        await phones.until(lambda: not ringing.ringing)
        ended = (await client.direct.fetch(call)).calls[0]
        assert ended.cause is not None
        assert ended.cause.value == "cancelled"


async def test_too_few_answer_and_nothing_is_left(connect: Any, phones: Phones) -> None:
    phones.add("+19195550111", manner=Manner.BUSY)
    phones.add("+19195550112", manner=Manner.DECLINE)
    ann = phones.five()[0]
    async with connect() as client:
        with pytest.raises(QuorumNotReached) as caught:
            async with client.connect("+19195550111", "+19195550112", ann.user):
                raise AssertionError("it must not be established")
    assert caught.value.left_behind == ()


async def test_an_incoming_call_is_answered_into_the_meeting(
    connect: Any, phones: Phones, hear: Any, engine: Engine
) -> None:
    ann, ben, cleo, *_ = phones.five()
    async with connect() as client, client.connect(ann.user, ben.user, expandable=True) as meeting:
        cleo.call(f"sip:+12015550100@127.0.0.1:{engine.sip_port}", ("127.0.0.1", engine.sip_port))
        async with aclosing(client.incoming()) as calls:
            call = await anext(calls)
        assert (call.caller, call.called) == (cleo.user, "+12015550100")
        await meeting.admit(call)
        await hear([ann, ben, cleo])


async def test_an_incoming_call_is_refused(connect: Any, phones: Phones, engine: Engine) -> None:
    ann, _, cleo, *_ = phones.five()
    async with connect() as client:
        # So events come in: nobody rings an engine that nobody hears.
        dialled = await client.direct.create_call(ann.user)
        cleo.call(f"sip:+12015550100@127.0.0.1:{engine.sip_port}", ("127.0.0.1", engine.sip_port))
        async with aclosing(client.incoming()) as calls:
            call = await anext(calls)
        await client.reject_call(call)
        await client.reject_call(call)
        await phones.until(lambda: cleo.refused == 1)
        await client.direct.hang_up(dialled.call)


async def test_wrong_credentials_are_said(connect: Any) -> None:
    async with connect(password="wrong") as client:
        with pytest.raises(Unauthenticated):
            await client.direct.create_conference()


async def test_an_endpoint_that_is_not_configured_is_said(connect: Any) -> None:
    async with connect(endpoint="PJSIP/{number}@elsewhere", sip_endpoint=None) as client:
        with pytest.raises(InvalidRequest, match="configured"):
            await client.direct.create_call("+19195550101")


async def test_what_cannot_be_dialled_is_refused_before_the_wire(connect: Any) -> None:
    async with connect() as client:
        with pytest.raises(PolicyError):
            await client.direct.create_call("sip:nonsense")
