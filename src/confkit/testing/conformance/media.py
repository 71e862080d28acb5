"""Media: files, speech and recordings, wherever they are declared, and nowhere else."""

from __future__ import annotations

import pytest

from confkit.models.records import STOP, Bridge, Call, Conference, Media, Member, RecordAction
from confkit.testing.conformance import rules
from confkit.testing.conformance.area import RuleGroup
from confkit.testing.conformance.fixture import Fixture, on_fixture
from confkit.testing.conformance.harness import Harness
from confkit.testing.conformance.members import nothing_happens
from confkit.testing.conformance.rules import check
from confkit.testing.conformance.subject import where

PLACES = ("conference", "member", "call", "bridge")
RECORDED = ("call", "conference", "bridge")
URL = "https://media.example.com/welcome.wav"
SOUNDS = {"url": Media(url=URL), "text": Media(text="Welcome"), "loop": Media(url=URL, loop=True)}


async def target(fixture: Fixture, place: str) -> Conference | Member | Call | Bridge:
    """Something of that kind, with answered calls in it."""
    if place == "bridge":
        return (await fixture.pair())[0]
    room = await fixture.room()
    if place == "member":
        return room.members[0]
    return room.calls[0] if place == "call" else room.conference


async def _stop(fixture: Fixture, where: Conference | Member | Call | Bridge) -> None:
    """Stop what plays; a provider that knows that nothing does need not say so to the platform."""
    before = fixture.harness.mutations()
    await fixture.ask("play", target=where, media=STOP)
    sent = fixture.harness.mutations() - before
    check(sent <= 1, rules.STOPS, f"play sent {sent}")


class MediaRules(RuleGroup):
    """See ``docs/contract.md#play``."""

    @where(lambda on, place, sound: {place, sound} <= on.can.play)
    @pytest.mark.parametrize("sound", SOUNDS)
    @pytest.mark.parametrize("place", PLACES)
    async def test_play(self, harness: Harness, place: str, sound: str) -> None:
        async with on_fixture(harness) as fixture:
            where = await target(fixture, place)
            await fixture.one_request("play", rules.PLAYS, target=where, media=SOUNDS[sound])

    @where(lambda on, place: {place, "stop"} <= on.can.play)
    @pytest.mark.parametrize("place", PLACES)
    async def test_stop_playing(self, harness: Harness, place: str) -> None:
        async with on_fixture(harness) as fixture:
            where = await target(fixture, place)
            for sound in ("url", "text"):
                if sound in fixture.capabilities.play:
                    await fixture.ask("play", target=where, media=SOUNDS[sound])
                    await _stop(fixture, where)
            await _stop(fixture, where)

    @where(lambda on, sound: on.has("play") and sound not in on.can.play)
    @pytest.mark.parametrize("sound", [*SOUNDS, "stop"])
    async def test_a_sound_that_is_not_declared(self, harness: Harness, sound: str) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room()
            place = next(place for place in PLACES if place in fixture.capabilities.play)
            where = room.conference if place == "bridge" else await target(fixture, place)
            await nothing_happens(fixture, "play", target=where, media=SOUNDS.get(sound, STOP))

    @where(lambda on, place: on.has("play") and place not in on.can.play and on.can_make(place))
    @pytest.mark.parametrize("place", PLACES)
    async def test_a_place_that_is_not_declared(self, harness: Harness, place: str) -> None:
        async with on_fixture(harness) as fixture:
            sound = next(sound for sound in SOUNDS if sound in fixture.capabilities.play)
            await nothing_happens(fixture, "play", target=await target(fixture, place), media=SOUNDS[sound])

    @where(lambda on: on.can.max_text is not None and "text" in on.can.play)
    async def test_the_longest_text(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            longest = fixture.capabilities.max_text
            place = next(place for place in PLACES if place in fixture.capabilities.play)
            where = await target(fixture, place)
            media = Media(text=("word " * (longest or 0))[: longest or 0])
            await fixture.one_request("play", rules.SAYS, target=where, media=media)

    @where(lambda on, place: place in on.can.record)
    @pytest.mark.parametrize("place", RECORDED)
    async def test_record(self, harness: Harness, place: str) -> None:
        async with on_fixture(harness) as fixture:
            where = await target(fixture, place)
            pauses = (RecordAction.PAUSE, RecordAction.RESUME) if "pause" in fixture.capabilities.record else ()
            for action in (RecordAction.START, *pauses, RecordAction.STOP):
                await fixture.one_request("record", rules.RECORDS, target=where, action=action)

    @where(lambda on, place: on.has("record") and place not in on.can.record and on.can_make(place))
    @pytest.mark.parametrize("place", RECORDED)
    async def test_a_recording_that_is_not_declared(self, harness: Harness, place: str) -> None:
        async with on_fixture(harness) as fixture:
            where = await target(fixture, place)
            await nothing_happens(fixture, "record", target=where, action=RecordAction.START)

    @where(lambda on: on.has("record") and "pause" not in on.can.record)
    async def test_a_pause_that_is_not_declared(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            place = next(place for place in RECORDED if place in fixture.capabilities.record)
            where = await target(fixture, place)
            await fixture.ask("record", target=where, action=RecordAction.START)
            for action in (RecordAction.PAUSE, RecordAction.RESUME):
                await nothing_happens(fixture, "record", target=where, action=action)
