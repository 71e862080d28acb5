"""What lies between the simulated platform and confkit: events that come late, twice, not at all, or untrue ones."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import anyio
from attrs import evolve

from confkit.models.capabilities import Capabilities
from confkit.models.events import (
    CallAnswered,
    CallEnded,
    ConferenceEnded,
    ConferenceStarted,
    Event,
    MemberJoined,
    MemberLeft,
    call_of,
    conference_of,
)
from confkit.models.records import CallState, EndCause
from confkit.provider.contract import hookimpl
from confkit.testing.scenario import Post
from confkit.testing.story import Story, news_in
from confkit.workflows.flow import FlowId, op_key


class Courier:
    """Carries the provider's events: late, twice, in another order, or not at all; and others that are not true."""

    def __init__(self, post: Post, seed: int, story: Story) -> None:
        self._post = post
        self._chance = random.Random(f"post {seed}")
        self._story = story
        self._told = 0

    @hookimpl(wrapper=True)
    def events(self) -> Generator[None, AsyncIterator[Event], AsyncIterator[Event]]:
        stream = yield
        return self._carry(stream)

    async def _carry(self, stream: AsyncIterator[Event]) -> AsyncIterator[Event]:
        bag: list[tuple[float, int, Event]] = []
        count = 0
        while True:
            with anyio.CancelScope(deadline=bag[0][0] if bag else math.inf):
                event = await anext(stream)
                if self._chance.random() >= self._post.lost:
                    told = evolve(event, flow=self._address_of(event)) if self._post.addressed else event
                    for each in (told, *self._forgeries(event)):
                        for _ in range(1 + (self._chance.random() < self._post.twice)):
                            count += 1
                            due = anyio.current_time() + self._chance.uniform(0, self._post.late)
                            heapq.heappush(bag, (due, count, each))
            while bag and bag[0][0] <= anyio.current_time():
                yield heapq.heappop(bag)[2]
                if self._chance.random() < self._post.breaks:
                    return

    def _address_of(self, event: Event) -> str | None:
        """The workflow that dialled the call, or created the conference: the address that the platform would have."""
        exchange = self._story.provider.exchange
        record = exchange.calls.get(call_of(event) or "") or exchange.conferences.get(conference_of(event) or "")
        op = record.notes.get("op", record.notes.get("key")) if record else None
        return next((address for address in self._addresses() if op in self._keys(address)), None)

    def _addresses(self) -> list[str]:
        return [
            address
            for meeting in self._story.meetings
            for address in (meeting.id, *(f"{meeting.id}/{person.id}" for person in meeting.participants))
        ]

    def _keys(self, address: str) -> tuple[str, ...]:
        operation = "create_call" if "/" in address else "create_conference"
        return tuple(op_key(address, operation, ordinal) for ordinal in (1, 2, 3))

    def _forgeries(self, event: Event) -> Iterator[Event]:
        self._told += 1
        chance = self._chance
        common: dict[str, Any] = {"provider": event.provider, "id": f"forged-{self._told}"}
        addresses = self._addresses()
        if addresses and chance.random() < self._post.foreign:
            address = chance.choice(addresses)
            conference, call, member = self._story.foreign
            root = FlowId(address).meeting
            mine = [person.call_id for meeting in self._story.meetings for person in meeting.participants]
            about: dict[str, Any] = {"call_id": chance.choice((call, *filter(None, mine))), "member_id": member}
            at_leg: dict[str, Any] = {**common, "flow": address if "/" in address else None}
            at_root: dict[str, Any] = {**common, "flow": root}
            self._story.forged += 1
            yield chance.choice(
                (
                    ConferenceStarted(conference_id=conference, key=self._keys(root)[0], **at_root),
                    ConferenceStarted(conference_id=conference, **at_root),
                    ConferenceEnded(conference_id=conference, **at_root),
                    ConferenceEnded(conference_id="conf-of-nobody", **at_root),
                    CallAnswered(call_id=call, **at_leg),
                    CallEnded(call_id=call, cause=EndCause.HANGUP, **at_leg),
                    MemberJoined(conference_id=conference, **about, **at_leg),
                    MemberLeft(conference_id=conference, **about, **at_leg),
                )
            )
        legs = [address for address in addresses if "/" in address] if self._story.scenario.echoes else []
        if legs and chance.random() < self._post.foreign:
            self._story.forged += 1
            key = self._keys(chance.choice(legs))[0]
            kind = chance.choice((CallAnswered, CallEnded))
            yield kind(call_id=self._story.foreign[1], op=key, **{**common, "id": f"key-{self._told}"})
        up = [call for call in self._story.provider.exchange.calls.values() if call.state is not CallState.ENDED]
        ours = [call for call in up if call.id != self._story.foreign[1]]
        if ours and chance.random() < self._post.false:
            cause = chance.choice((EndCause.HANGUP, EndCause.BUSY))
            common["id"] = f"false-{self._told}"
            self._story.false += 1
            yield CallEnded(call_id=chance.choice(ours).id, cause=cause, **common)


class Witness:
    """An observer: what it is told of each meeting."""

    def __init__(self, story: Story) -> None:
        self._story = story

    @hookimpl
    def meeting_event(self, meeting: str, event: Event) -> None:
        for attendance in self._story.attendances:
            if attendance.meeting is not None and attendance.meeting.id == meeting:
                attendance.observed.append(news_in(event))


class Boaster:
    """Publishes limits that are twice of what the platform grants."""

    @hookimpl(wrapper=True)
    def capabilities(self) -> Generator[None, Capabilities, Capabilities]:
        told = yield
        return evolve(told, rates=tuple(evolve(rate, limit=2 * rate.limit) for rate in told.rates))
