"""Stopping a meeting at any moment, in any way: it ends as itself, and nothing of it is left."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest
from confkit_fake import FakeProvider

from confkit import AsyncClient, MeetingState, StepOutcome
from confkit.client.meeting import Meeting

OURS = "+12018994444"
PARTIES = [f"+1919555010{index}" for index in range(1, 5)]
#: Latency 0.3: creating takes until 0.3, dialling until 0.6, answers from 0.95 on, joining until 1.9.
MOMENTS = [0.0, 0.15, 0.299, 0.3, 0.301, 0.45, 0.6, 0.61, 0.95, 1.0, 1.2, 1.6]

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]


def scripted(shape: str, source: str, count: int) -> FakeProvider:
    provider = FakeProvider(shape=shape, events=source, latency=0.3)
    for index, party in enumerate(PARTIES[:count]):
        provider.party(party).answers(after=0.5 + 0.2 * index)
    return provider


def nothing_is_left(provider: FakeProvider) -> bool:
    assert all(len(calls) == 1 for calls in provider.exchange.rings.values())
    return provider.exchange.still_up() == ()


@asynccontextmanager
async def opened(provider: FakeProvider) -> AsyncGenerator[AsyncClient, None]:
    async with AsyncClient(provider, caller_id=OURS) as client:
        yield client


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("shape", ["explicit", "on_join", "from_call"])
@pytest.mark.parametrize("source", ["stream", "poll"])
async def test_cancelling_while_it_connects(shape: str, source: str, count: int, moment: float) -> None:
    provider = scripted(shape, source, count)
    async with opened(provider) as client:
        meeting = client.connect(*PARTIES[:count])
        with anyio.fail_after(60):
            with anyio.move_on_after(moment) as scope:
                async with meeting:
                    await anyio.sleep_forever()
            assert scope.cancelled_caught
            assert meeting.state is MeetingState.ENDED
            assert meeting.left_behind == ()
            assert nothing_is_left(provider)
        async with client.connect(*PARTIES[:count]) as again:
            assert again.state is MeetingState.ESTABLISHED


@pytest.mark.parametrize("moment", MOMENTS)
async def test_cancelling_around_the_whole_client(moment: float) -> None:
    provider = scripted("explicit", "stream", 4)
    with anyio.move_on_after(moment) as scope:
        async with AsyncClient(provider, caller_id=OURS) as client, client.connect(*PARTIES):
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert nothing_is_left(provider)
    assert provider.closed


async def test_cancelling_before_anybody_is_dialled_rings_nobody() -> None:
    provider = scripted("explicit", "stream", 4)
    async with opened(provider) as client:
        with anyio.move_on_after(0.2):
            async with client.connect(*PARTIES):
                pass
    assert provider.exchange.rings == {}
    assert nothing_is_left(provider)


async def test_cancelling_while_dials_wait_for_their_turn_withdraws_them() -> None:
    provider = FakeProvider(rates="bandwidth")
    parties = [f"+191955502{index:02d}" for index in range(20)]
    async with opened(provider) as client:
        meeting = client.connect(*parties)
        with anyio.move_on_after(5):
            async with meeting:
                pass
    assert len(provider.exchange.rings) == 10
    withdrawn = [record for record in meeting.trace.records if record.outcome is StepOutcome.WITHDRAWN]
    assert len(withdrawn) >= 10
    assert nothing_is_left(provider)


@pytest.mark.parametrize("count", [1, 2, 4])
async def test_an_error_in_the_block_is_the_error_that_comes_out(count: int) -> None:
    provider = scripted("explicit", "stream", count)
    error = ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError) as raised:
        async with AsyncClient(provider, caller_id=OURS) as client, client.connect(*PARTIES[:count]):
            raise error
    assert raised.value is error
    assert not hasattr(error, "__notes__")
    assert nothing_is_left(provider)


async def test_an_error_in_the_clients_block_ends_its_meetings() -> None:
    provider = scripted("explicit", "stream", 4)
    meetings: list[Meeting] = []

    async def fail() -> None:
        async with AsyncClient(provider, caller_id=OURS) as client:
            meetings.append(await client.connect(*PARTIES).__aenter__())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert meetings[0].state is MeetingState.ENDED
    assert nothing_is_left(provider)


async def test_an_error_beside_the_block_comes_as_structured_concurrency_has_it() -> None:
    """A task of the application's own group fails: the meeting is undone, the group is the application's."""
    provider = scripted("explicit", "stream", 4)

    async def fails() -> None:
        await anyio.sleep(1.0)
        raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError):
        async with AsyncClient(provider, caller_id=OURS) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(fails)
            async with client.connect(*PARTIES):
                await anyio.sleep_forever()
    assert nothing_is_left(provider)


async def test_ending_twice_and_from_two_sides() -> None:
    provider = scripted("explicit", "stream", 4)
    async with opened(provider) as client, client.connect(*PARTIES) as meeting:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(meeting.end)
            tasks.start_soon(meeting.end)
        await meeting.end()
        assert meeting.state is MeetingState.ENDED
        await meeting.wait_until_ended()
    assert nothing_is_left(provider)
    ended = [request for request in provider.requests if request.operation == "end_conference"]
    assert len(ended) == 1


@pytest.mark.parametrize(
    ("operations", "told"),
    [
        (["hang_up"], "the call to +1919•••0101 may still be up: its leg did not report"),
        (["hang_up", "end_conference"], "did not finish within 90 s"),
    ],
)
async def test_an_undoing_that_takes_for_ever_is_reported(operations: list[str], told: str) -> None:
    provider = scripted("explicit", "stream", 4)
    async with opened(provider) as client:
        meeting = client.connect(*PARTIES)
        await meeting.__aenter__()
        for operation in operations:
            provider.fail(operation, "rate-limit", times=10_000, seconds=1000)
        error = ZeroDivisionError()
        with anyio.fail_after(100):
            await meeting.__aexit__(ZeroDivisionError, error, None)
        assert told in error.__notes__[0]
