"""What a provider gives with an object comes back in every operation on it: its memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from attrs import evolve
from confkit_fake import FakeProvider

from confkit import AsyncClient, Outcome
from confkit.models.records import with_memory
from confkit.provider import (
    Bridge,
    Bridging,
    Call,
    CallSpec,
    CallState,
    Conference,
    ConferenceSpec,
    Dialled,
    FindHint,
    Member,
    MemberOptions,
    Op,
    Snapshot,
    hookimpl,
)

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

CALLER_ID = "+12018994444"
ANN, BOB, CARA, DORA, EVE = (f"+1919555010{number}" for number in range(1, 6))
SHAPES = ("explicit", "on_join", "from_call", "fused")
Room = Conference | Bridge | None
LOOKS = ("fetch", "list_calls")


def name_of(record: Any) -> str:
    return f"{type(record).__name__} {record.key if isinstance(record, Conference) else record.id}"


class Remembering(FakeProvider):
    """Gives something with each object, and compares what comes back. Its looks tell nothing of it.

    Attributes:
        given: what was given with each object last.
        asked: the operations to which an object came that something was given with, with the kind of the object.
        forgotten: what came without, or with something older.
    """

    def __init__(self, **settings: Any) -> None:
        self.given: dict[str, Mapping[str, str]] = {}
        self.asked: set[tuple[str, str]] = set()
        self.forgotten: list[tuple[str, str, Mapping[str, str]]] = []
        super().__init__(**settings)

    def give(self, record: Any, **more: str) -> Any:
        self.given[name_of(record)] = data = {"of": name_of(record), **more}
        return evolve(record, data=data)

    def check(self, operation: str, *records: Any) -> None:
        for record in records:
            if isinstance(record, Member):
                self.check(operation, record.conference)
            if record is not None and name_of(record) in self.given:
                self.asked.add((operation, type(record).__name__))
                if record.data != self.given[name_of(record)]:
                    self.forgotten.append((operation, name_of(record), record.data))

    @hookimpl
    async def create_conference(self, spec: ConferenceSpec, op: Op) -> Conference:
        return self.give(await super().create_conference(spec=spec, op=op))  # type: ignore[no-any-return]

    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Room) -> Dialled:
        self.check("create_call", into)
        dialled = await super().create_call(spec=spec, op=op, into=into)
        room = dialled.conference and self.give(dialled.conference, made_by=dialled.call.id)
        return evolve(dialled, call=self.give(dialled.call), conference=room)

    @hookimpl
    async def add_member(self, conference: Conference, call: Call, options: MemberOptions, op: Op) -> Member:
        self.check("add_member", conference, call)
        member = await super().add_member(conference=conference, call=call, options=options, op=op)
        if conference.id is None:
            member = evolve(member, conference=self.give(member.conference, made_by=call.id))
        return self.give(member)  # type: ignore[no-any-return]

    @hookimpl
    async def create_bridge(self, calls: tuple[Call, ...], op: Op) -> Bridge:
        self.check("create_bridge", *calls)
        return self.give(await super().create_bridge(calls=calls, op=op))  # type: ignore[no-any-return]

    @hookimpl
    async def fetch(self, ref: Conference | Call | Bridge) -> Snapshot:
        self.check("fetch", ref)
        return await super().fetch(ref=ref)

    @hookimpl
    async def list_calls(self, into: Conference | Bridge) -> tuple[Call, ...]:
        self.check("list_calls", into)
        calls = await super().list_calls(into=into)
        return tuple(evolve(call, cause=None) for call in calls)  # as Bandwidth's

    @hookimpl
    async def find(self, op_key: str, hint: FindHint) -> Any:
        self.check("find", hint.into, hint.call)
        return await super().find(op_key=op_key, hint=hint)

    @hookimpl
    async def update_member(self, member: Member, patch: Any, op: Op) -> None:
        self.check("update_member", member)
        await super().update_member(member=member, patch=patch, op=op)

    @hookimpl
    async def remove_member(self, member: Member, op: Op) -> None:
        self.check("remove_member", member)
        await super().remove_member(member=member, op=op)

    @hookimpl
    async def play(self, target: Any, media: Any, op: Op) -> None:
        self.check("play", target)
        await super().play(target=target, media=media, op=op)

    @hookimpl
    async def hang_up(self, call: Call, op: Op) -> None:
        self.check("hang_up", call)
        await super().hang_up(call=call, op=op)

    @hookimpl
    async def end_conference(self, conference: Conference, op: Op) -> None:
        self.check("end_conference", conference)
        await super().end_conference(conference=conference, op=op)

    @hookimpl
    async def end_bridge(self, bridge: Bridge, op: Op) -> None:
        self.check("end_bridge", bridge)
        await super().end_bridge(bridge=bridge, op=op)


def client(fake: FakeProvider) -> AsyncClient:
    return AsyncClient(fake, caller_id=CALLER_ID)


@pytest.mark.parametrize("events", ["stream", "poll"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_meeting_hands_everything_back(shape: str, events: str) -> None:
    fake = Remembering(shape=shape, events=events)
    fake.party(EVE).busy()
    async with client(fake) as opened:
        async with opened.connect(ANN, BOB, CARA, EVE) as meeting:
            await meeting.add(DORA)
            while meeting.participant(DORA).outcome is None:
                await meeting.changed()
            await meeting.mute(ANN)
            await meeting.say("hello")
            await meeting.say("hello", to=BOB)
            await meeting.remove(DORA)
            await anyio.sleep(60)  # it is looked at
        assert meeting.participant(EVE).outcome is Outcome.BUSY
    assert fake.forgotten == []
    fused = shape in ("on_join", "fused")
    expected = {
        ("create_call", "Conference"),
        ("play", "Conference"),
        ("hang_up", "Call"),
        ("end_conference", "Conference"),
    }
    if not fused:
        expected |= {("add_member", "Conference"), ("add_member", "Call"), ("update_member", "Member")}
    if events == "poll":
        expected |= {("fetch", "Conference")}
        expected |= set() if fused else {("fetch", "Call"), ("list_calls", "Conference")}
    assert expected <= fake.asked


async def test_calls_are_looked_at_with_what_was_given_with_them() -> None:
    fake = Remembering(shape="from_call", events="poll")
    fake.list_calls = None  # type: ignore[assignment]
    fake.party(BOB).answers(after=5)
    async with client(fake) as opened, opened.connect(ANN, BOB, CARA):
        pass
    assert fake.forgotten == []
    assert ("fetch", "Call") in fake.asked


@pytest.mark.parametrize("bridging", [Bridging.FIRST, Bridging.AFTER])
async def test_a_bridge_and_the_conference_that_it_becomes(bridging: Bridging) -> None:
    fake = Remembering(bridge=bridging)
    async with client(fake) as opened, opened.connect(ANN, BOB) as meeting:
        await meeting.add(CARA)
        while meeting.participant(CARA).outcome is None:
            await meeting.changed()
    assert fake.forgotten == []
    assert {("end_bridge", "Bridge"), ("add_member", "Call"), ("end_conference", "Conference")} <= fake.asked


async def test_a_lost_join_is_looked_for_with_it() -> None:
    fake = Remembering()
    fake.fail("add_member", "drop-reply")
    async with client(fake) as opened, opened.connect(ANN, BOB, CARA):
        pass
    assert fake.forgotten == []
    assert {("find", "Conference"), ("find", "Call")} <= fake.asked


@pytest.mark.parametrize("shape", SHAPES)
async def test_by_hand(shape: str) -> None:
    fake = Remembering(shape=shape)
    async with client(fake) as opened:
        direct = opened.direct
        conference = await direct.create_conference()  # the record from the beginning stays good
        calls = [await direct.create_call(to, into=conference) for to in (ANN, BOB)]
        members = [await direct.join(dialled, conference) for dialled in calls]
        for member in members:
            await direct.update_member(member, mute=True)
        await direct.fetch(conference)
        answered = await direct.until_answered(calls[0].call)
        assert answered.state is CallState.ANSWERED
        await direct.say(answered, "hello")
        await direct.hang_up(answered)
        await direct.remove_member(members[1])
        await direct.end_conference(conference)
    assert fake.forgotten == []
    assert {
        ("play", "Call"),
        ("hang_up", "Call"),
        ("fetch", "Conference"),
        ("end_conference", "Conference"),
    } <= fake.asked


def test_what_has_none_keeps_what_was_there() -> None:
    known = Call(provider="p", id="call-1", data={"leg": "1"})
    shown = Call(provider="p", id="call-1", state=CallState.ANSWERED)
    assert with_memory(shown, known) == evolve(shown, data={"leg": "1"})
    assert with_memory(evolve(shown, data={"leg": "2"}), known).data == {"leg": "2"}
    assert with_memory(shown, None) is shown
    assert "leg" not in repr(known)
    assert hash(known) == hash(evolve(known, data={}))
