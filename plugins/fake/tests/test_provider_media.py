"""Whose recordings and playbacks are, in the events of the fake provider."""

from __future__ import annotations

import pytest
from confkit_fake import FakeProvider

from confkit.provider import (
    Bridge,
    Call,
    CallSpec,
    Conference,
    ConferenceSpec,
    Media,
    Member,
    MemberOptions,
    Op,
    events,
)
from confkit.provider import RecordAction as Action

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

OURS = "+12018994444"
ANN, BOB = "+19195550101", "+19195550102"
OF_MEDIA = events.PlaybackStarted | events.PlaybackEnded | events.RecordingReady
#: What to play to or to record, and by which of the three its events name it.
PLACES = {"conference": "conference_id", "member": "call_id", "call": "call_id", "bridge": "bridge_id"}


async def place(fake: FakeProvider, kind: str) -> Conference | Member | Call | Bridge:
    calls = []
    conference = await fake.create_conference(spec=ConferenceSpec(caller_id=OURS), op=Op(key="room"))
    for to in (ANN, BOB):
        spec = CallSpec(to=to, caller_id=OURS)
        calls.append((await fake.create_call(spec=spec, op=Op(key=to[1:]), into=None)).call)
    fake.exchange.advance()
    if kind == "bridge":
        return await fake.create_bridge(calls=tuple(calls), op=Op(key="bridge"))
    options = MemberOptions()
    member = await fake.add_member(conference=conference, call=calls[0], options=options, op=Op(key="add"))
    places: dict[str, Conference | Member | Call] = {"conference": conference, "member": member, "call": calls[0]}
    return places[kind]


def whose(event: events.Event) -> dict[str, str]:
    assert isinstance(event, OF_MEDIA)
    named = {name: getattr(event, name) for name in ("conference_id", "bridge_id", "call_id")}
    return {name: value for name, value in named.items() if value is not None}


def told(fake: FakeProvider) -> list[events.Event]:
    from confkit_fake.translate import event

    facts = [event(fact, fake.exchange) for fact in fake.exchange.history]
    return [each for each in facts if isinstance(each, OF_MEDIA)]


@pytest.mark.parametrize("kind", PLACES)
async def test_what_plays_names_where(kind: str) -> None:
    fake = FakeProvider()
    where = await place(fake, kind)
    await fake.play(target=where, media=Media(text="hi"), op=Op(key="play"))
    fake.exchange.stop_playing(where.id or "")
    assert [type(each) for each in told(fake)] == [events.PlaybackStarted, events.PlaybackEnded]
    expected = where.call_id if isinstance(where, Member) else where.id
    assert [whose(each) for each in told(fake)] == [{PLACES[kind]: expected}] * 2


@pytest.mark.parametrize("ending", ["stop", "end"])
@pytest.mark.parametrize("kind", ["conference", "call", "bridge"])
async def test_a_recording_names_what_was_recorded(kind: str, ending: str) -> None:
    fake = FakeProvider()
    where = await place(fake, kind)
    assert not isinstance(where, Member)
    await fake.record(target=where, action=Action.START, op=Op(key="record"))
    if ending == "stop":
        await fake.record(target=where, action=Action.STOP, op=Op(key="stop"))
    elif isinstance(where, Conference):
        await fake.end_conference(conference=where, op=Op(key="end"))
    elif isinstance(where, Bridge):
        await fake.end_bridge(bridge=where, op=Op(key="end"))
    else:
        await fake.hang_up(call=where, op=Op(key="end"))
    (ready,) = told(fake)
    assert isinstance(ready, events.RecordingReady)
    assert whose(ready) == {PLACES[kind]: where.id}
    assert ready.recording_id in fake.exchange.recordings
