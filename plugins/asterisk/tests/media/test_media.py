"""Playing, recording and coaching: who hears what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from confkit_asterisk.provider import AsteriskProvider
from confkit_asterisk.server import Engine
from confkit_asterisk.server.config import write_tone
from confkit_asterisk.settings import AsteriskSettings
from confkit_asterisk.softphone import Phone, Phones, hearing

import confkit
from confkit import RecordAction, Unsupported
from confkit.provider import Conflict, Event, InvalidRequest, PlaybackEnded, PlaybackStarted, RecordingReady, hookimpl

pytestmark = pytest.mark.anyio
PROMPT = 2300  # Hz; no phone has it


@pytest.fixture
def prompt(engine: Engine) -> str:
    path = engine.sounds / "prompt.wav"
    write_tone(path, hz=PROMPT, seconds=20)
    return path.as_uri()


def hears(phone: Phone) -> bool:
    return bool(phone.hears([PROMPT]))


async def test_what_is_played_to_all_is_heard_by_all(connect: Any, phones: Phones, hear: Any, prompt: str) -> None:
    five = phones.five()
    async with connect() as client, client.connect(*(phone.user for phone in five)) as meeting:
        await meeting.play(prompt)
        await phones.until(lambda: all(hears(phone) for phone in five))
        await hear(five)
        await meeting.stop_playing()
        await phones.until(lambda: not any(hears(phone) for phone in five))


async def test_what_is_played_to_one_is_heard_by_that_one_in_the_mix(
    connect: Any, phones: Phones, hear: Any, prompt: str
) -> None:
    five = phones.five()
    async with connect() as client, client.connect(*(phone.user for phone in five)) as meeting:
        await meeting.play(prompt, to=five[2].user)
        await phones.until(lambda: hears(five[2]))
        await hear(five)  # it stays in the conversation, both ways
        assert [hears(phone) for phone in five] == [False, False, True, False, False]
        await meeting.stop_playing(to=five[2].user)
        await phones.until(lambda: not hears(five[2]))
        await meeting.play(prompt, to=five[2].user)
        await phones.until(lambda: hears(five[2]))


async def test_playing_to_one_on_a_bridge_of_two(connect: Any, phones: Phones, hear: Any, prompt: str) -> None:
    ann, ben, *_ = phones.five()
    async with connect() as client, client.connect(ann.user, ben.user) as meeting:
        await meeting.play(prompt, to=ann.user)
        await phones.until(lambda: hears(ann))
        await hear([ann, ben])
        assert not hears(ben)


async def test_playing_is_told(connect: Any, phones: Phones, engine: Engine) -> None:
    write_tone(engine.sounds / "short.wav", hz=PROMPT, seconds=0.2)
    three = phones.five()[:3]
    async with connect() as client, client.connect(*(phone.user for phone in three)) as meeting:
        told = meeting.events()
        await meeting.play((engine.sounds / "short.wav").as_uri())
        seen = []
        async for event in told:
            seen.append(type(event))
            if isinstance(event, PlaybackEnded):
                break
        await told.aclose()
        assert PlaybackStarted in seen


async def test_speech_is_refused_before_the_wire(connect: Any, phones: Phones) -> None:
    ann, ben, *_ = phones.five()
    async with connect() as client, client.connect(ann.user, ben.user) as meeting:
        with pytest.raises(Unsupported, match="play: text"):
            await meeting.say("Welcome")
        with pytest.raises(InvalidRequest, match="file:///"):
            await meeting.play("ftp://example.com/a.wav")


async def test_a_coach_is_heard_by_one_only_and_hears_all(connect: Any, phones: Phones, hear: Any) -> None:
    coach, agent, customer, *_ = phones.five()
    group = [coach, agent, customer]
    async with connect() as client:
        conference = await client.direct.create_conference()
        calls = {phone.user: await client.direct.create_call(phone.user, into=conference) for phone in group}
        members = {user: await client.direct.join(call, conference) for user, call in calls.items()}
        await hear(group)
        await client.direct.update_member(members[coach.user], coach=calls[agent.user].call.id)
        want = {
            coach.user: {agent.user, customer.user},
            agent.user: {coach.user, customer.user},
            customer.user: {agent.user},
        }
        await phones.until(lambda: hearing(group) == want, describe=lambda: hearing(group))
        await client.direct.update_member(members[coach.user], mute=True)
        await hear(group, muted=[coach])
        await client.direct.update_member(members[coach.user], mute=False, coach="")
        await hear(group)
        await client.direct.update_member(members[coach.user], coach=calls[agent.user].call.id)
        await phones.until(lambda: hearing(group) == want, describe=lambda: hearing(group))
        coach.hang_up()  # what coaching took goes with the coach
        await hear([agent, customer])
        await client.direct.end_conference(conference)


async def test_a_conference_and_a_call_are_recorded(connect: Any, phones: Phones, hear: Any, engine: Engine) -> None:
    three = phones.five()[:3]
    async with connect() as client, client.connect(*(phone.user for phone in three)) as meeting:
        told = meeting.events()
        await meeting.record()
        await meeting.record(RecordAction.PAUSE)
        await meeting.record()  # goes on
        await meeting.record(of=three[0].user)
        await hear(three)
        await meeting.record(RecordAction.STOP, of=three[0].user)
        await meeting.record(RecordAction.STOP)
        with pytest.raises(Conflict, match="nothing"):
            await meeting.record(RecordAction.PAUSE)
        async for event in told:
            if isinstance(event, RecordingReady) and event.call_id:
                assert event.call_id == meeting.participant(three[0].user).call_id
                break
        await told.aclose()
        names = {each["name"] for each in engine.get("recordings/stored")}
        assert event.recording_id in names
        assert len(names) >= 2


class Overheard(AsteriskProvider):
    """Keeps what it tells: what is told after a meeting's end is not the meeting's any more."""

    def __init__(self, settings: AsteriskSettings) -> None:
        super().__init__(settings)
        self.ready: list[RecordingReady] = []

    @hookimpl
    async def events(self) -> AsyncIterator[Event]:
        async for event in super().events():
            if isinstance(event, RecordingReady):
                self.ready.append(event)
            yield event


@pytest.mark.parametrize("ending", ["stop", "end"])
@pytest.mark.parametrize("size", [2, 3])
async def test_a_recording_names_the_conference_or_the_bridge(
    phones: Phones, hear: Any, engine: Engine, size: int, ending: str
) -> None:
    """Also when it is ready only because what was recorded is over."""
    group = phones.five()[:size]
    provider = Overheard(AsteriskSettings(**engine.settings(numbers_at=phones.port)))
    async with confkit.AsyncClient(provider, caller_id="+12015550199") as client:
        async with client.connect(*(phone.user for phone in group)) as meeting, aclosing(meeting.events()) as told:
            await meeting.record()
            await hear(group)
            place = meeting.bridge or meeting.conference
            assert place is not None
            if ending == "stop":
                await meeting.record(RecordAction.STOP)
                await phones.until(lambda: bool(provider.ready))
                while size == 3 and not isinstance(await anext(told), RecordingReady):
                    pass
        await phones.until(lambda: bool(provider.ready))
    (ready,) = provider.ready
    expected = (None, place.id, None) if size == 2 else (place.id, None, None)
    assert (ready.conference_id, ready.bridge_id, ready.call_id) == expected
    assert ready.recording_id in {each["name"] for each in engine.get("recordings/stored")}


async def test_what_is_switched_off_and_on_again_at_once(connect: Any, phones: Phones, hear: Any) -> None:
    """Asterisk confirms the end of a bridge or channel before it is gone, so nothing may be made under its id."""
    coach, agent, customer, *_ = phones.five()
    group = [coach, agent, customer]
    async with connect() as client:
        conference = await client.direct.create_conference()
        calls = [await client.direct.create_call(phone.user, into=conference) for phone in group]
        members = [await client.direct.join(call, conference) for call in calls]
        for _ in range(15):
            await client.direct.update_member(members[0], coach=calls[1].call.id)
            await client.direct.update_member(members[0], coach="")
            await client.direct.record(calls[2].call, RecordAction.START)
            await client.direct.record(calls[2].call, RecordAction.STOP)
        await hear(group)
        await client.direct.update_member(members[0], coach=calls[1].call.id)
        want = {
            coach.user: {agent.user, customer.user},
            agent.user: {coach.user, customer.user},
            customer.user: {agent.user},
        }
        await phones.until(lambda: hearing(group) == want, describe=lambda: hearing(group))
        await client.direct.end_conference(conference)
