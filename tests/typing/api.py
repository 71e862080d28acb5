"""The public surface as a type checker sees it. Nothing runs here: mypy checks the file with the others."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_type

import confkit
import confkit.provider
from confkit import (
    AsyncClient,
    Bridge,
    Call,
    Client,
    Conference,
    Event,
    EventStream,
    Meeting,
    MeetingState,
    Mode,
    Outcome,
    Participant,
    ParticipantState,
    Party,
    Policy,
    StepRecord,
)
from confkit.provider import STOP, Capabilities, Dialled, Member, Snapshot, hookimpl


async def meets() -> None:
    async with AsyncClient("bandwidth", user_id="u-1", caller_id="+12018994444", policy=Policy(maximum=10)) as client:
        assert_type(client, AsyncClient)
        assert_type(client.capabilities, Capabilities)
        async with client.connect("+19195550101", Party("sip:ann@example.com", name="Ann"), quorum=1) as meeting:
            assert_type(meeting, Meeting)
            assert_type(meeting.state, MeetingState)
            assert_type(meeting.mode, Mode | None)
            assert_type(meeting.conference, Conference | None)
            assert_type(meeting.bridge, Bridge | None)
            assert_type(meeting.participants, tuple[Participant, ...])
            assert_type(meeting.participant("leg-1").state, ParticipantState)
            assert_type(meeting.participant("leg-1").outcome, Outcome | None)
            assert_type(meeting.trace.records, tuple[StepRecord, ...])
            assert_type(await meeting.add("+19195550103"), Participant)
            await meeting.mute(meeting.participants[0])
            await meeting.say("Welcome", to=Party("+19195550101"))
            await meeting.mute("leg-1", "leg-2")  # type: ignore[call-arg]
            assert_type(meeting.events(), EventStream)
            async for event in meeting.events():
                assert_type(event, Event)


async def by_hand(client: AsyncClient) -> None:
    conference = await client.direct.create_conference()
    dialled = await client.direct.create_call("+19195550101", into=conference, answer_timeout=timedelta(seconds=20))
    call = dialled.call
    assert_type(dialled, Dialled)
    assert_type(await client.direct.join(dialled, conference), Member)
    member = await client.direct.add_member(conference, call)
    assert_type(conference, Conference)
    assert_type(call, Call)
    assert_type(member, Member)
    assert_type(await client.direct.create_bridge(call, call), Bridge)
    assert_type(await client.direct.fetch(conference), Snapshot)
    await client.direct.add_member(call, conference)  # type: ignore[arg-type]
    call.state = confkit.provider.CallState.ENDED  # type: ignore[misc]


def observed() -> None:
    AsyncClient("fake", plugins=[confkit.OpenTelemetry()])
    confkit.OpenTelepathy()  # type: ignore[attr-defined]
    confkit.provider.OpenTelepathy()  # type: ignore[attr-defined]


def blocking() -> None:
    with confkit.ending_on_signals(), Client("fake", caller_id="+12018994444", request_timeout=5) as client:
        client.connect("+19195550101", answer_timeout=2.5)
    with Client("fake", caller_id="+12018994444") as client, client.connect("+19195550101") as meeting:
        assert_type(meeting.participants, tuple[Participant, ...])
        assert_type(meeting.add("+19195550102"), Participant)
        assert_type(meeting.mute("+19195550102"), None)
        meeting.mute(5)  # type: ignore[arg-type]
        for event in meeting.events():
            assert_type(event, Event)
        conference = client.direct.create_conference()
        assert_type(conference, Conference)
        assert_type(client.direct.join(client.direct.create_call("+19195550101", into=conference), conference), Member)


class Provider(confkit.provider.ProviderSpec):
    @hookimpl
    async def hang_up(self, call: Call, op: confkit.provider.Op) -> None:
        """Held to the specification."""

    @hookimpl
    async def send_digits(self, call: Call, digits: int, op: confkit.provider.Op) -> None:  # type: ignore[override]
        """A wrong type is found out."""


assert_type(STOP, confkit.provider.Media)
