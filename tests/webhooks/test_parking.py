"""What nobody owns yet is kept for a while, within bounds, and takes no room from what is addressed to others."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

import anyio
import pytest

from confkit import CallAnswered, DigitsReceived, Event
from confkit.ingest.parking import PARKED, PARKED_BYTES, PARKING_TIME, PART_OF_ONE
from confkit.ingest.router import EventRouter
from confkit.steps.clock import Clock
from confkit.workflows.flow import FlowId

from .conftest import PEOPLE, staged

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

LARGE = {"filler": "x" * 60_000}


class Door:
    """A router, and what it has delivered."""

    def __init__(self) -> None:
        self.delivered: list[str] = []
        self.router = EventRouter(Clock(), lambda _flow, arrival: self.delivered.append(arrival.event.id))
        self._number = 0

    def park(self, call_id: str, flow: str | None = "m-1/leg-1", raw: Any = None) -> weakref.ref[Event]:
        self._number += 1
        event = CallAnswered(provider="p", id=str(self._number), call_id=call_id, flow=flow, raw=raw or {})
        self.router.accept(event)
        return weakref.ref(event)

    def anything(self) -> None:
        """Something arrives that has an owner."""
        self.router.bind("call", "known", FlowId("m-9/leg-1"))
        self._number += 1
        self.router.accept(DigitsReceived(provider="p", id=str(self._number), call_id="known", digits="1"))

    def kept(self, *call_ids: str, meeting: str = "m-1") -> int:
        """How many events were kept for these calls."""
        before = len(self.delivered)
        for call_id in call_ids:
            self.router.bind("call", call_id, FlowId(f"{meeting}/leg-1"))
        return len(self.delivered) - before


def alive(*references: weakref.ref[Event]) -> list[bool]:
    gc.collect()
    return [reference() is not None for reference in references]


async def test_what_is_too_old_is_let_go_of_when_anything_arrives() -> None:
    door = Door()
    old = door.park("c-1")
    await anyio.sleep(PARKING_TIME.total_seconds() / 2)
    young = door.park("c-2")
    door.anything()
    assert alive(old, young) == [True, True]
    await anyio.sleep(PARKING_TIME.total_seconds() / 2)
    door.anything()
    assert alive(old, young) == [False, True]
    assert (door.kept("c-1"), door.kept("c-2")) == (0, 1)


async def test_what_comes_quietly_is_kept_no_longer() -> None:
    door = Door()
    old = door.park("c-1")
    await anyio.sleep(PARKING_TIME.total_seconds())
    door.router.accept_logged(CallAnswered(provider="p", id="of a stream", call_id="c-2"))
    assert alive(old) == [False]


async def test_a_meeting_that_ends_takes_what_was_addressed_to_it_along() -> None:
    door = Door()
    first, second, stray = door.park("c-1"), door.park("c-2", "m-2/leg-1"), door.park("c-3", None)
    door.router.release("m-1")
    assert alive(first, second, stray) == [False, True, True]
    assert (door.kept("c-2", meeting="m-2"), door.kept("c-3")) == (1, 1)


async def test_what_was_delivered_is_not_kept() -> None:
    door = Door()
    door.park("c-0")
    event = door.park("c-1")
    assert door.kept("c-1") == 1
    assert alive(event) == [False]


async def test_a_meeting_has_its_part_of_the_memory_and_no_more() -> None:
    door = Door()
    calls = [f"c-{number}" for number in range(500)]
    for call_id in calls:
        door.park(call_id, raw=LARGE)
    kept = door.kept(*calls)
    assert 0 < kept * 60_000 <= PARKED_BYTES * PART_OF_ONE
    assert door.delivered[-1] == "500"  # the latest are kept


async def test_a_payload_of_many_small_things_counts_as_what_it_takes() -> None:
    door = Door()
    nested: dict[str, Any] = {"filler": [[] for _ in range(20_000)]}  # 60 kB on the wire, 1.3 MB here
    calls = [f"c-{number}" for number in range(20)]
    for call_id in calls:
        door.park(call_id, raw=nested)
    assert door.kept(*calls) <= PARKED_BYTES * PART_OF_ONE / 1_000_000


async def test_a_meeting_has_its_part_of_the_places_and_no_more() -> None:
    door = Door()
    for _ in range(3_000):
        door.park("c-1")
    assert 0 < door.kept("c-1") <= PARKED * PART_OF_ONE


async def test_a_flood_for_one_meeting_pushes_out_nobody_elses() -> None:
    door = Door()
    others = [f"other-{number}" for number in range(50)]
    for number, call_id in enumerate(others):
        door.park(call_id, f"m-{number + 2}/leg-1")
    for number in range(1_000):
        door.park(f"c-{number}", raw=LARGE)
    assert sum(door.kept(call_id, meeting=f"m-{number + 2}") for number, call_id in enumerate(others)) == 50


async def test_a_flood_without_an_address_is_bounded_and_pushes_out_nobody_elses() -> None:
    door = Door()
    door.park("c-1")
    calls = [f"stray-{number}" for number in range(1_000)]
    for call_id in calls:
        door.park(call_id, None, raw=LARGE)
    assert door.kept("c-1") == 1
    assert PARKED_BYTES / 2 < door.kept(*calls) * 60_000 <= PARKED_BYTES
    for number in range(PARKED + 10):
        door.park(f"small-{number}", None)
    assert door.kept("small-0") == 0
    assert door.kept(f"small-{PARKED}") == 1


async def test_many_meetings_together_have_no_more_than_there_is() -> None:
    door = Door()
    calls = [f"c-{number}" for number in range(400)]
    for number, call_id in enumerate(calls):
        door.park(call_id, f"m-{number}/leg-1", raw=LARGE)
    kept = sum(door.kept(call_id, meeting=f"m-{number}") for number, call_id in enumerate(calls))
    assert PARKED_BYTES / 2 < kept * 60_000 <= PARKED_BYTES


def strangers() -> list[DigitsReceived]:
    """What the process still holds of them, and not of what other files of the suite keep."""
    gc.collect()
    alive = [each for each in gc.get_objects() if isinstance(each, DigitsReceived)]
    return [each for each in alive if each.call_id.startswith("c-stranger-")]


async def test_the_receiver_of_500_large_strangers_keeps_little_and_the_meeting_goes_on() -> None:
    async with staged() as stage, stage.client.connect(*PEOPLE[:3]) as meeting:
        url = stage.url_of(meeting, "leg-1")
        for number in range(500):
            stranger = {"eventType": "dtmf", "callId": f"c-stranger-{number}", "dtmfDigit": "1", **LARGE}
            assert (await stage.post(url, stranger)).status == 200
        kept = strangers()
        assert 0 < sum(len(json.dumps(dict(event.raw))) for event in kept) <= PARKED_BYTES * PART_OF_ONE
        await stage.post(url, {"eventType": "hangup", "callId": meeting.participant("leg-1").call_id})
        assert meeting.participant("leg-1").ended_at is not None
        del kept
    assert not strangers()
