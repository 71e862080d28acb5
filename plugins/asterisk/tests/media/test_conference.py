"""Who hears whom, measured from what each phone received."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

import pytest
from confkit_asterisk.server import Engine, Installation
from confkit_asterisk.server.run import exposed
from confkit_asterisk.softphone import Phones

from confkit import Outcome, ParticipantState, Policy, PolicyError
from confkit.provider import Unknown
from plugins.asterisk.tests.test_facts import MEANINGS

pytestmark = pytest.mark.anyio


async def test_each_of_five_hears_exactly_the_other_four(connect: Any, phones: Phones, hear: Any) -> None:
    five = phones.five()
    async with connect() as client, client.connect(*(phone.user for phone in five)) as meeting:
        assert {person.state for person in meeting.participants} == {ParticipantState.JOINED}
        await hear(five)
    assert [phone.rang for phone in five] == [1] * 5
    assert meeting.left_behind == ()
    await phones.until(lambda: not any(phone.up for phone in five))


async def test_a_muted_member_is_heard_by_nobody_and_hears_all(connect: Any, phones: Phones, hear: Any) -> None:
    five = phones.five()
    async with connect() as client, client.connect(*(phone.user for phone in five)) as meeting:
        await hear(five)
        await meeting.mute(five[1].user)
        await hear(five, muted=[five[1]])
        assert meeting.participant(five[1].user).mute
        await meeting.unmute(five[1].user)
        await hear(five)


async def test_a_held_member_is_neither_heard_nor_hears(connect: Any, phones: Phones, hear: Any) -> None:
    five = phones.five()
    async with connect() as client, client.connect(*(phone.user for phone in five)) as meeting:
        await meeting.mute(five[2].user)
        await meeting.hold(five[2].user)
        await hear(five, muted=[five[2]], deaf=[five[2]])
        await meeting.resume(five[2].user)
        await hear(five, muted=[five[2]])  # resuming does not unmute
        await meeting.unmute(five[2].user)
        await hear(five)


async def test_after_a_removal_the_rest_hear_each_other(connect: Any, phones: Phones, hear: Any) -> None:
    five = phones.five()
    async with connect() as client, client.connect(*(phone.user for phone in five)) as meeting:
        await hear(five)
        await meeting.remove(five[0].user)
        await hear(five[1:])
        await phones.until(lambda: not five[0].up)
        assert meeting.participant(five[0].user).outcome is Outcome.LEFT


async def test_everyone_can_be_muted_and_those_who_come_are_too(connect: Any, phones: Phones, hear: Any) -> None:
    five = phones.five()
    async with connect() as client, client.connect(*(phone.user for phone in five[:4])) as meeting:
        await meeting.mute(five[0].user)
        await meeting.mute_all()
        await hear(five[:4], muted=five)
        await meeting.add(five[4].user)
        await phones.until(lambda: five[4].up)
        await hear(five, muted=five)
        await meeting.mute_all(False)
        await hear(five, muted=five[:1])  # was muted by itself


async def test_a_bridge_of_two_hears_both_ways_and_grows(connect: Any, phones: Phones, hear: Any) -> None:
    ann, ben, cleo, *_ = phones.five()
    async with connect() as client, client.connect(ann.user, ben.uri) as meeting:
        assert meeting.bridge is not None
        await hear([ann, ben])
        await meeting.add(cleo.user)
        await hear([ann, ben, cleo])
        assert meeting.conference is not None
    assert (ann.rang, ben.rang, cleo.rang) == (1, 1, 1)


async def test_who_hangs_up_has_left_and_the_others_stay(connect: Any, phones: Phones, hear: Any) -> None:
    five = phones.five()
    async with connect() as client, client.connect(*(phone.user for phone in five)) as meeting:
        await hear(five)
        five[3].hang_up()
        await phones.until(lambda: meeting.participant(five[3].user).outcome is Outcome.LEFT)
        await hear(five[:3] + five[4:])


async def test_a_user_event_about_a_member_and_its_conference_moves_nobody(
    connect: Any, phones: Phones, hear: Any, engine: Engine
) -> None:
    three = phones.five()[:3]
    async with connect() as client, client.connect(*(phone.user for phone in three)) as meeting:
        call_id, conference_id = meeting.participant(three[0].user).call_id, meeting.conference.id
        async with aclosing(meeting.events()) as told:
            sources = f"source=channel:{call_id},bridge:{conference_id}"
            engine.post(f"events/user/Note?application={engine.settings()['application']}&{sources}")
            while not isinstance(event := await anext(told), Unknown) or event.type != "ChannelUserevent":
                pass
        assert (event.call_id, event.conference_id) == (call_id, conference_id)
        await hear(three)
        three[2].hang_up()  # and what comes later is told as ever
        await phones.until(lambda: meeting.participant(three[2].user).outcome is Outcome.LEFT)
        assert [meeting.participant(phone.user).outcome for phone in three[:2]] == [Outcome.JOINED] * 2
    assert [phone.rang for phone in three] == [1] * 3


def test_every_type_of_event_that_the_engine_has_is_looked_at(installation: Installation) -> None:
    model = json.loads((installation.root / "usr/share/asterisk/rest-api/events.json").read_text())["models"]
    types = {*model["Event"]["subTypes"], *model["Message"]["subTypes"]} - {"Event"}
    assert types - set(MEANINGS) == set()


async def test_the_engine_is_on_this_machine_only(connect: Any, phones: Phones, hear: Any, engine: Engine) -> None:
    """While it listens to events, plays, and three people talk: every socket of its process is on loopback."""
    three = phones.five()[:3]
    async with connect() as client, client.connect(*(phone.user for phone in three)) as meeting:
        await meeting.play("sound:demo-congrats")
        await hear(three)
        assert exposed(engine.pid) == []


async def test_the_operations_by_hand(connect: Any, phones: Phones, hear: Any) -> None:
    three = phones.five()[:3]
    async with connect() as client:
        conference = await client.direct.create_conference()
        calls = [await client.direct.create_call(phone.user, into=conference) for phone in three]
        members = [await client.direct.join(call, conference) for call in calls]
        await hear(three)
        await client.direct.update_member(members[0], deaf=True)
        await hear(three, deaf=three[:1])
        await client.direct.update_member(members[0], deaf=False)
        await client.direct.remove_member(members[2])
        await client.direct.remove_member(members[2])
        await hear(three, muted=three[2:], deaf=three[2:])
        assert three[2].up
        snapshot = await client.direct.fetch(conference)
        assert {member.call_id for member in snapshot.members if member.state.value == "joined"} == {
            dialled.call.id for dialled in calls[:2]
        }
        await client.direct.hang_up(calls[2].call)
        await client.direct.end_conference(conference)
        await client.direct.end_conference(conference)
        await phones.until(lambda: not any(phone.up for phone in three))


async def test_fifty_by_raising_the_policys_maximum(connect: Any, phones: Phones) -> None:
    fifty = [phones.add(f"+1919555{number:04}") for number in range(50)]
    everyone = [phone.user for phone in fifty]
    async with connect() as client:
        with pytest.raises(PolicyError, match="maximum of 20"):
            await client.connect(*everyone).__aenter__()
    async with connect(policy=Policy(maximum=50)) as client, client.connect(*everyone) as meeting:
        assert [person.outcome for person in meeting.participants] == [Outcome.JOINED] * 50
        snapshot = await client.direct.fetch(meeting.conference)
        assert sum(member.state.value == "joined" for member in snapshot.members) == 50
    assert [phone.rang for phone in fifty] == [1] * 50
    assert meeting.left_behind == ()
