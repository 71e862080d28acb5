"""The same on asyncio and on trio, in real time: meetings, errors and cancellation as each loop has them."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from confkit_fake import FakeProvider

from confkit import AsyncClient, CallEnded, MeetingState, Mode, Outcome, QuorumNotReached

pytestmark = pytest.mark.anyio

OURS = "+12018994444"
PARTIES = [f"+1919555010{index}" for index in range(1, 6)]


SHAPES: list[dict[str, Any]] = [
    *({"shape": shape} for shape in ("explicit", "on_join", "from_call", "fused")),
    *(
        {"shape": "by_name", "joins": joins, "tells_room": tells_room}
        for joins in ("dial", "add", "both")
        for tells_room in ("reply", "event")
    ),
]


@pytest.mark.parametrize("source", ["stream", "poll"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: " ".join(shape.values()))
@pytest.mark.parametrize("count", [2, 5])
async def test_a_meeting(shape: dict[str, Any], source: str, count: int) -> None:
    provider = FakeProvider(events=source, **shape)
    async with AsyncClient(provider, caller_id=OURS) as client, client.connect(*PARTIES[:count]) as meeting:
        assert meeting.mode is (Mode.CONFERENCE if count > 2 else Mode.BRIDGE)
        assert [person.outcome for person in meeting.participants] == [Outcome.JOINED] * count
        if source == "poll":
            return  # what happens later is looked at every other second
        events = meeting.events()
        await meeting.remove(PARTIES[0])
        async for event in events:
            if isinstance(event, CallEnded):
                break
        await events.aclose()
    assert provider.exchange.still_up() == ()


async def test_a_quorum_that_is_missed() -> None:
    provider = FakeProvider()
    for party in PARTIES:
        provider.party(party).busy()
    async with AsyncClient(provider, caller_id=OURS) as client:
        with pytest.raises(QuorumNotReached):
            await client.connect(*PARTIES).__aenter__()
    assert provider.exchange.still_up() == ()


async def test_an_error_in_the_block() -> None:
    provider = FakeProvider()
    with pytest.raises(ZeroDivisionError):
        async with AsyncClient(provider, caller_id=OURS) as client, client.connect(*PARTIES):
            raise ZeroDivisionError
    assert provider.exchange.still_up() == ()


@pytest.mark.parametrize("whole", [True, False])
async def test_cancellation(whole: bool) -> None:
    provider = FakeProvider()
    provider.party(PARTIES[0]).never_answers()
    client = AsyncClient(provider, caller_id=OURS)
    meeting = None
    with anyio.move_on_after(0.02) as outer:
        async with client:
            with anyio.move_on_after(None if whole else 0.01) as inner:
                meeting = client.connect(*PARTIES)
                async with meeting:
                    pass
            assert inner.cancelled_caught
            assert provider.exchange.still_up() == ()
            await anyio.sleep_forever()
    assert outer.cancelled_caught
    assert meeting is not None
    assert meeting.state is MeetingState.ENDED
    assert provider.exchange.still_up() == ()
