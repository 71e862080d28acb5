"""The adapter against the simulator: the sequences by hand, over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from typing import Any

import anyio
import pytest
from confkit_bandwidth import confkit_create_provider
from confkit_bandwidth.simulator import Running, Simulator

from confkit import AsyncClient
from confkit.provider import (
    STOP,
    BridgeState,
    CallSpec,
    CallState,
    ConferencePatch,
    ConferenceSpec,
    ConferenceState,
    EndCause,
    FindHint,
    Media,
    MemberOptions,
    MemberPatch,
    Membership,
    MemberState,
    Op,
    RecordAction,
    Settings,
    errors,
)

pytestmark = pytest.mark.anyio
NUMBER = "+12018994444"


@pytest.fixture
def simulator() -> Iterator[Running]:
    with Simulator().in_thread() as running:
        yield running


@pytest.fixture
async def bandwidth(simulator: Running) -> AsyncIterator[Any]:
    keywords = {
        "user_id": simulator.user_id,
        "token": simulator.token,
        "secret": simulator.secret,
        "base_url": simulator.base_url,
        "limits": "off",
    }
    made: Any = confkit_create_provider(Settings(provider="bandwidth", keywords=keywords, environ={}))
    yield made
    await made.aclose()


@pytest.fixture
def op() -> Callable[[], Op]:
    numbers = count()
    return lambda: Op(key=f"k-{next(numbers)}")


async def until(bandwidth: Any, into: Any, state: CallState, number: int) -> Any:
    with anyio.fail_after(5):
        while True:
            calls = await bandwidth.list_calls(into=into)
            if sum(call.state is state for call in calls) == number:
                return calls
            await anyio.sleep(0.01)


async def test_a_conference_from_beginning_to_end(bandwidth: Any, simulator: Running, op: Any) -> None:
    conference = await bandwidth.create_conference(spec=ConferenceSpec(caller_id=NUMBER), op=op())
    assert (await bandwidth.fetch(ref=conference)).conference.state is ConferenceState.CREATED
    dialled = [
        await bandwidth.create_call(spec=CallSpec(to=f"+1919555010{n}", caller_id=NUMBER), op=op(), into=conference)
        for n in range(3)
    ]
    calls = [each.call for each in dialled]
    await until(bandwidth, conference, CallState.ANSWERED, 3)
    members = [
        await bandwidth.add_member(
            conference=conference, call=call, options=MemberOptions(mute=call is calls[1]), op=op()
        )
        for call in calls
    ]
    with pytest.raises(errors.Conflict):
        await bandwidth.add_member(conference=conference, call=calls[0], options=MemberOptions(), op=op())
    hint = FindHint(operation="add_member", into=conference, call=calls[1])
    (found,) = await bandwidth.find(op_key="k", hint=hint)
    assert (found.id, found.mute) == (members[1].id, True)
    await bandwidth.update_member(member=members[1], patch=MemberPatch(mute=False), op=op())
    await bandwidth.update_conference(conference=conference, patch=ConferencePatch(hold=True), op=op())
    for target in (conference, members[0], calls[0]):
        speech, file = Media(text="hello", voice="Kate", locale="en_US"), Media(url="http://h/a.wav")
        for media in (speech, STOP, STOP, file, STOP):
            await bandwidth.play(target=target, media=media, op=op())
    for action in (RecordAction.START, RecordAction.STOP):
        await bandwidth.record(target=calls[0], action=action, op=op())
    await bandwidth.send_digits(call=calls[0], digits="12#", op=op())
    # What is over is over, however often it is asked for.
    for _ in range(2):
        await bandwidth.remove_member(member=members[2], op=op())
        await bandwidth.hang_up(call=calls[2], op=op())
    states = [member.state for member in (await bandwidth.fetch(ref=conference)).members]
    assert states == [MemberState.JOINED, MemberState.JOINED, MemberState.LEFT]
    for _ in range(2):
        await bandwidth.end_conference(conference=conference, op=op())
    await bandwidth.remove_member(member=members[0], op=op())
    assert (await bandwidth.fetch(ref=conference)).conference.state is ConferenceState.ENDED
    for call in calls:
        await bandwidth.hang_up(call=call, op=op())
    assert all(call["state"] == "completed" for call in simulator.state()["calls"])


async def test_a_bridge_from_beginning_to_end(bandwidth: Any, op: Any) -> None:
    bridge = await bandwidth.create_bridge(calls=(), op=op())
    calls = [
        (await bandwidth.create_call(spec=CallSpec(to=to, caller_id=NUMBER), op=op(), into=bridge)).call
        for to in ("+19195550111", "sip:ann@example.com")
    ]
    await until(bandwidth, bridge, CallState.ANSWERED, 2)
    found = (await bandwidth.fetch(ref=bridge)).bridge
    assert (found.state, set(found.call_ids)) == (BridgeState.ACTIVE, {call.id for call in calls})
    hint = FindHint(operation="create_call", into=bridge, to="sip:ann@example.com")
    assert [call.id for call in await bandwidth.find(op_key="k", hint=hint)] == [calls[1].id]
    for media in (Media(text="hello"), STOP):
        await bandwidth.play(target=bridge, media=media, op=op())
    for _ in range(2):
        await bandwidth.end_bridge(bridge=bridge, op=op())
    assert (await bandwidth.fetch(ref=bridge)).bridge.state is BridgeState.ENDED


async def test_the_log_of_a_call_says_busy(bandwidth: Any, simulator: Running, op: Any) -> None:
    simulator.run(lambda exchange: exchange.party("+19195550199").busy())
    conference = await bandwidth.create_conference(spec=ConferenceSpec(caller_id=NUMBER), op=op())
    spec = CallSpec(to="+19195550199", caller_id=NUMBER)
    call = (await bandwidth.create_call(spec=spec, op=op(), into=conference)).call
    (listed,) = await until(bandwidth, conference, CallState.ENDED, 1)
    assert listed.cause is None
    assert (await bandwidth.fetch(ref=call)).calls[0].cause is EndCause.BUSY


async def test_a_wrong_secret(simulator: Running, op: Any) -> None:
    keywords = {
        "user_id": simulator.user_id,
        "token": simulator.token,
        "secret": "wrong",
        "base_url": simulator.base_url,
    }
    made: Any = confkit_create_provider(Settings(provider="bandwidth", keywords=keywords, environ={}))
    with pytest.raises(errors.Unauthenticated):
        await made.create_conference(spec=ConferenceSpec(caller_id=NUMBER), op=op())
    await made.aclose()


@pytest.mark.parametrize("answered_after", [0, 0.3])
async def test_the_three_steps_through_the_client(simulator: Running, answered_after: float) -> None:
    people = [f"+1919555010{n}" for n in range(3)]
    simulator.run(lambda exchange: [exchange.party(who).answers(after=answered_after) for who in people])
    settings: dict[str, Any] = {
        "user_id": simulator.user_id,
        "token": simulator.token,
        "secret": simulator.secret,
        "base_url": simulator.base_url,
        "limits": "off",
    }
    async with AsyncClient("bandwidth", caller_id=NUMBER, **settings) as client:
        conference = await client.direct.create_conference()
        calls = [await client.direct.create_call(who, into=conference) for who in people]
        members = [await client.direct.join(call, conference) for call in calls]
        assert [call.membership for call in calls] == [Membership.EXPLICIT] * 3
        assert [member.state for member in members] == [MemberState.JOINED] * 3
        assert {member.conference.id for member in members} == {conference.id}
        for call in calls:
            await client.direct.hang_up(call.call)
        await client.direct.end_conference(conference)
        account = await client.direct.fetch(conference)
        assert account.conference is not None
        assert account.conference.state is ConferenceState.ENDED
    assert all(call["state"] == "completed" for call in simulator.state()["calls"])
