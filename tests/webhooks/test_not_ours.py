"""Over real sockets: what a callback URL can move, and what is made of requests whose replies were lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
from attrs import evolve
from confkit_bandwidth.simulator import Fault, Running, SimulatorOptions

from confkit import AsyncClient, Meeting, MeetingState, Outcome
from confkit.workflows.flow import op_key

from .conftest import PEOPLE, two_servers

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"  # uvicorn's


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        while not true():  # noqa: ASYNC110 - the simulator is in another thread, and has no event for it
            await anyio.sleep(0.02)


def conferences(running: Running) -> dict[str, str]:
    return {each["id"]: each["state"] for each in running.state()["conferences"]}


def url_of(client: AsyncClient, meeting: Meeting, leg: str = "") -> str:
    """What the platform was given, and somebody else may have seen."""
    assert client._addresses is not None
    return client._addresses.below(meeting.id) + meeting.id + leg


@pytest.mark.parametrize("run", range(20))
async def test_a_lost_reply_to_the_creation_of_the_conference_leaves_the_meeting_alive(run: int) -> None:
    options = SimulatorOptions(faults=(Fault.parse("create_conference=drop-reply:1"),), answer_after=0.05, seed=run)
    async with two_servers(options) as (client, running), client.connect(*PEOPLE) as meeting:
        assert [person.outcome for person in meeting.participants] == [Outcome.JOINED] * 5
        ours = meeting.conference and meeting.conference.id
        await until(lambda: sorted(conferences(running).values()) == ["active", "completed"])
        delivered = len(running.state()["callbacks"])
        await meeting.mute(PEOPLE[0])
        await until(lambda: len(running.state()["callbacks"]) > delivered)
        assert meeting.state is MeetingState.ESTABLISHED
        assert conferences(running)[ours or ""] == "active"
        assert [person.outcome for person in meeting.participants] == [Outcome.JOINED] * 5


def forgeries(attacked: Meeting, own: Meeting) -> list[tuple[str, dict[str, Any]]]:
    """What the holder of one meeting's URLs may try on another: where it is sent, and what."""
    conference = (attacked.conference and attacked.conference.id) or ""
    key = op_key(own.id, "create_conference", 1)
    victim = attacked.participants[0]
    member = {"memberId": victim.member_id, "callId": victim.call_id, "conferenceId": conference}
    return [
        ("", {"eventType": "conference", "status": "created", "conferenceId": conference}),
        ("", {"eventType": "conference", "status": "created", "conferenceId": conference, "tag": key}),
        ("", {"eventType": "conference", "status": "completed", "conferenceId": conference}),
        ("", {"eventType": "conference", "status": "completed", "conferenceId": "conf-nobodys"}),
        ("/leg-1", {"eventType": "hangup", "callId": victim.call_id, "cause": "NORMAL_CLEARING"}),
        ("/leg-1", {"eventType": "answer", "callId": victim.call_id}),
        ("/leg-1", {"eventType": "timeout", "callId": victim.call_id}),
        ("", {"eventType": "conference-member", "state": "completed", **member}),
        ("/leg-1", {"eventType": "conference-member", "state": "completed", **member}),
        ("/leg-1", {"eventType": "conference-member", "state": "active", "mute": True, **member}),
        (
            "/leg-1",
            {
                "eventType": "conference-member",
                "state": "completed",
                "memberId": victim.member_id,
                "callId": own.participants[0].call_id,
                "conferenceId": conference,
            },
        ),
    ]


@pytest.mark.parametrize("lost", [True, False])
async def test_nobodys_url_moves_another_meeting_or_ends_its_conference(lost: bool) -> None:
    faults = (Fault.parse("create_conference=drop-reply:1"),) if lost else ()
    async with (
        two_servers(SimulatorOptions(faults=faults)) as (client, running),
        httpx.AsyncClient() as stranger,
        client.connect(*PEOPLE[:3], quorum=3) as own,
        client.connect("+19195550120", "+19195550121", "+19195550122", quorum=3) as attacked,
    ):
        before = attacked.participants[0]
        for leg, payload in forgeries(attacked, own):
            reply = await stranger.post(url_of(client, own, leg), json=payload)
            assert reply.status_code < 500
        await own.mute(PEOPLE[1])
        await attacked.mute("+19195550121")
        assert own.state is attacked.state is MeetingState.ESTABLISHED
        assert [person.outcome for person in own.participants] == [Outcome.JOINED] * 3
        after = attacked.participant(before.id)
        # Its own news may still come, and tell that it joined a little earlier than was known.
        assert evolve(after, joined_at=before.joined_at) == before
        assert conferences(running)[(attacked.conference and attacked.conference.id) or ""] == "active"
        assert conferences(running)[(own.conference and own.conference.id) or ""] == "active"


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("fault", ["drop-reply", "503"])
async def test_a_dial_whose_reply_was_lost_to_a_busy_party_rings_once(count: int, fault: str) -> None:
    options = SimulatorOptions(faults=(Fault.parse(f"create_call={fault}:1"),))
    async with two_servers(options) as (client, running):
        for address in PEOPLE[:count]:
            running.party(address).busy()
        meeting = client.connect(*PEOPLE[:count], quorum=1)
        with pytest.raises(Exception, match="fewer than 1 joined"):
            await meeting.__aenter__()
        rung = [call["to"] for call in running.state()["calls"]]
        assert sorted(rung) == sorted(PEOPLE[:count])
        assert {person.outcome for person in meeting.participants} <= {Outcome.BUSY, Outcome.CANCELLED}
        assert meeting.left_behind == ()


async def test_a_call_whose_end_was_only_told_is_not_left_up() -> None:
    async with two_servers(SimulatorOptions()) as (client, running), httpx.AsyncClient() as stranger:
        async with client.connect(*PEOPLE[:3]) as meeting:
            for leg in ("leg-1", "leg-2"):
                call = meeting.participant(leg).call_id
                lie = {"eventType": "hangup", "callId": call, "cause": "NORMAL_CLEARING"}
                await stranger.post(url_of(client, meeting, f"/{leg}"), json=lie)
            assert [person.outcome for person in meeting.participants][:2] == [Outcome.LEFT] * 2
        assert meeting.left_behind == ()
        assert {call["state"] for call in running.state()["calls"]} == {"completed"}
