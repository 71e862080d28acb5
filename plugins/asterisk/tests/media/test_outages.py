"""Lost replies, cut connections, and an engine that dies."""

from __future__ import annotations

import math
import time
from typing import Any

import anyio
import pytest
from confkit_asterisk.server import Engine
from confkit_asterisk.softphone import Phones, hearing

import confkit
from confkit import Outcome, ParticipantState
from confkit.provider import StepOutcome
from plugins.asterisk.tests.media.loopback import Proxy, before

pytestmark = pytest.mark.anyio
CALLER_ID = "+12015550199"


@pytest.mark.parametrize("kind", ["bridges", "channels"])
async def test_lost_replies_ring_nobody_twice(connect: Any, phones: Phones, hear: Any, proxy: Proxy, kind: str) -> None:
    """The first three replies about conferences and members, or about calls, are lost after the engine has acted."""
    five = phones.five()
    proxy.fail(f"POST /ari/{kind}/", times=3)
    async with connect(base_url=proxy.base_url) as client:
        async with client.connect(*(phone.user for phone in five)) as meeting:
            await hear(five)
            outcomes = {record.outcome for record in meeting.trace.records}
        assert meeting.left_behind == ()
    assert len(proxy.hit) == 3
    assert [phone.rang for phone in five] == [1] * 5
    assert outcomes <= {StepOutcome.STARTED, StepOutcome.DONE, StepOutcome.ADOPTED}


async def test_slow_replies_change_nothing(connect: Any, phones: Phones, hear: Any, proxy: Proxy) -> None:
    five = phones.five()
    proxy.delay = 0.1
    async with connect(base_url=proxy.base_url) as client:
        async with client.connect(*(phone.user for phone in five)) as meeting:
            await hear(five)
        assert meeting.left_behind == ()
    assert [phone.rang for phone in five] == [1] * 5


async def test_who_leaves_while_the_stream_is_cut_has_left(
    connect: Any, phones: Phones, hear: Any, proxy: Proxy
) -> None:
    five = phones.five()
    async with (
        connect(base_url=proxy.base_url) as client,
        client.connect(*(phone.user for phone in five)) as meeting,
    ):
        await hear(five)
        await proxy.cut()
        five[1].hang_up()
        await anyio.sleep(3)
        proxy.down = False
        await phones.until(lambda: meeting.participant(five[1].user).outcome is Outcome.LEFT)
        others = [meeting.participant(phone.user) for phone in five if phone is not five[1]]
        assert {person.state for person in others} == {ParticipantState.JOINED}
        await hear([five[0], *five[2:]])
        await meeting.mute(five[0].user)
        await hear([five[0], *five[2:]], muted=five[:1])
        five[2].hang_up()  # and events come in again
        await phones.until(lambda: meeting.participant(five[2].user).outcome is Outcome.LEFT)
    assert [phone.rang for phone in five] == [1] * 5


async def test_a_killed_engine_is_told_within_five_seconds(engine: Engine, phones: Phones, hear: Any) -> None:
    """It has an engine of its own; the ports are the same after the restart."""
    five = phones.five()
    with Engine(engine.installation) as own:
        settings = own.settings(numbers_at=phones.port)
        async with confkit.AsyncClient("asterisk", caller_id=CALLER_ID, **settings) as client:
            killed, told = math.inf, math.inf
            async with client.connect(*(phone.user for phone in five)) as meeting:
                await hear(five)
                own.kill()
                killed = time.monotonic()
                await phones.until(
                    lambda: all(person.outcome is Outcome.LEFT for person in meeting.participants),
                    describe=lambda: meeting.participants,
                )
                told = time.monotonic()
                await meeting.wait_until_ended()
            ended = time.monotonic()
            assert told - killed < 5
            assert ended - killed < 5.5
            assert meeting.left_behind == ()  # it was on this machine, so it is known that nothing is up
            for phone in five:
                phone.hang_up()  # the engine did not say good-bye to them
            await phones.until(lambda: not hearing(five)[five[0].user])
            own.start()
            async with client.connect(*(phone.user for phone in five)):
                await hear(five)
            await phones.until(lambda: not own.get("channels") and not own.get("bridges"))


async def test_an_engine_that_restarts_unseen_has_lost_its_calls(engine: Engine, phones: Phones, hear: Any) -> None:
    """The provider is without connection meanwhile, so it finds out by asking."""
    three = phones.five()[:3]
    with Engine(engine.installation) as own:
        async with before(own) as proxy:
            settings = own.settings(numbers_at=phones.port) | {"base_url": proxy.base_url}
            async with confkit.AsyncClient("asterisk", caller_id=CALLER_ID, **settings) as client:
                async with client.connect(*(phone.user for phone in three)) as meeting:
                    await hear(three)
                    await proxy.cut()
                    own.kill()
                    own.start()
                    proxy.down = False
                    await meeting.wait_until_ended()
                assert {person.outcome for person in meeting.participants} == {Outcome.LEFT}
