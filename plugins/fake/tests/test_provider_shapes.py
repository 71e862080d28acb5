"""The four shapes of platforms, and what the provider says of itself, through the contract's operations."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anyio
import pytest
from confkit_fake import FakeProvider, Shape, confkit_create_provider

from confkit.provider import (
    Bridge,
    BridgeState,
    Bridging,
    Call,
    CallSpec,
    CallState,
    CapacityReached,
    Conference,
    ConferenceCreation,
    ConferenceSpec,
    ConferenceState,
    Conflict,
    Dialled,
    EventSource,
    InvalidRequest,
    JoinMethod,
    MemberOptions,
    Membership,
    MemberState,
    NotFound,
    NotReady,
    Op,
    Settings,
    SettingsError,
)
from confkit.provider.contract import REQUIRED
from confkit.provider.discovery import implements, open_provider

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

OURS = "+12018994444"
ANN = "+19195550101"
BOB = "+19195550102"
SHAPES = [shape.value for shape in Shape]


def op(key: str) -> Op:
    return Op(key=key)


async def room(fake: FakeProvider, key: str = "room") -> Conference:
    return await fake.create_conference(spec=ConferenceSpec(caller_id=OURS), op=op(key))


async def dial(fake: FakeProvider, to: str, into: Conference | Bridge | None, key: str = "") -> Dialled:
    return await fake.create_call(spec=CallSpec(to=to, caller_id=OURS), op=op(key or f"dial{to[1:]}"), into=into)


async def test_explicit() -> None:
    fake = FakeProvider(shape="explicit")
    conference = await room(fake)
    assert conference.id
    dialled = await dial(fake, ANN, conference)
    assert (dialled.membership, dialled.conference) == (Membership.EXPLICIT, None)
    member = await fake.add_member(
        conference=conference, call=dialled.call, options=MemberOptions(mute=True), op=op("add")
    )
    assert (member.state, member.mute, member.conference.id) == (MemberState.JOINED, True, conference.id)


async def test_explicit_refuses_who_has_not_answered() -> None:
    fake = FakeProvider(shape="explicit", answer_after=5)
    conference = await room(fake)
    dialled = await dial(fake, ANN, conference)
    with pytest.raises(NotReady):
        await fake.add_member(conference=conference, call=dialled.call, options=MemberOptions(), op=op("add"))
    await anyio.sleep(5)
    await fake.add_member(conference=conference, call=dialled.call, options=MemberOptions(), op=op("add"))


async def test_on_join_the_first_call_makes_the_room() -> None:
    fake = FakeProvider(shape="on_join")
    conference = await room(fake)
    assert conference.id is None
    assert not fake.requests
    first = await dial(fake, ANN, conference)
    assert first.membership is Membership.FUSED
    assert first.conference is not None
    assert first.conference.id
    assert first.conference.key == "room"
    second = await dial(fake, BOB, first.conference)
    assert second.conference is None
    snapshot = await fake.fetch(ref=first.conference)
    assert {member.call_id for member in snapshot.members} == {first.call.id, second.call.id}


async def test_on_join_a_name_is_the_room() -> None:
    fake = FakeProvider(shape="on_join")
    conference = await room(fake)
    first, second = await dial(fake, ANN, conference), await dial(fake, BOB, conference)
    assert first.conference is not None
    assert second.conference is not None
    assert first.conference.id == second.conference.id
    await fake.end_conference(conference=conference, op=op("end"))  # by its name, had the reply been lost
    assert [each.state for each in fake.exchange.conferences.values()] == [ConferenceState.ENDED]


async def test_from_call_the_first_member_makes_the_conference() -> None:
    fake = FakeProvider(shape="from_call")
    conference = await room(fake)
    first, second = await dial(fake, ANN, conference), await dial(fake, BOB, conference)
    assert (first.membership, first.conference) == (Membership.EXPLICIT, None)
    assert not fake.exchange.conferences
    assert len(await fake.list_calls(into=conference)) == 2
    member = await fake.add_member(conference=conference, call=first.call, options=MemberOptions(), op=op("add-1"))
    assert member.conference.id
    assert member.conference.key == "room"
    with pytest.raises(Conflict) as conflict:
        await fake.add_member(conference=conference, call=second.call, options=MemberOptions(), op=op("add-2"))
    assert conflict.value.code == "conference_exists"
    await fake.add_member(conference=member.conference, call=second.call, options=MemberOptions(), op=op("add-2"))
    assert len(await fake.list_calls(into=member.conference)) == 2


async def test_from_call_two_at_once_make_one_conference() -> None:
    fake = FakeProvider(shape="from_call", latency=0.2)
    conference = await room(fake)
    calls = [(await dial(fake, to, conference)).call for to in (ANN, BOB)]
    outcomes: list[str] = []

    async def add(index: int) -> None:
        try:
            await fake.add_member(
                conference=conference, call=calls[index], options=MemberOptions(), op=op(f"add-{index}")
            )
            outcomes.append("joined")
        except Conflict:
            outcomes.append("conflict")

    async with anyio.create_task_group() as tasks:
        for index in range(2):
            tasks.start_soon(add, index)
    assert sorted(outcomes) == ["conflict", "joined"]
    assert len(fake.exchange.conferences) == 1


async def test_from_call_no_conference_without_a_member() -> None:
    fake = FakeProvider(shape="from_call", answer_after=5)
    conference = await room(fake)
    dialled = await dial(fake, ANN, conference)
    with pytest.raises(NotReady):
        await fake.add_member(conference=conference, call=dialled.call, options=MemberOptions(), op=op("add"))
    assert not fake.exchange.conferences
    await fake.end_conference(conference=conference, op=op("end"))  # never came to be


async def test_fused_calls_join_by_themselves() -> None:
    fake = FakeProvider(shape="fused", answer_after=1)
    conference = await room(fake)
    assert conference.id
    dialled = await dial(fake, ANN, conference)
    assert (dialled.membership, dialled.conference) == (Membership.FUSED, None)
    assert not (await fake.fetch(ref=conference)).members
    await anyio.sleep(1)
    (member,) = (await fake.fetch(ref=conference)).members
    assert member.call_id == dialled.call.id


@pytest.mark.parametrize("shape", SHAPES)
async def test_every_shape_ends_twice_without_complaint(shape: str) -> None:
    fake = FakeProvider(shape=shape)
    conference = await room(fake)
    dialled = await dial(fake, ANN, conference)
    conference = dialled.conference or conference
    if dialled.membership is Membership.EXPLICIT:
        member = await fake.add_member(conference=conference, call=dialled.call, options=MemberOptions(), op=op("add"))
        conference = member.conference
    else:
        (member,) = (await fake.fetch(ref=conference)).members
    for again in ("1", "2"):
        await fake.remove_member(member=member, op=op(f"remove-{again}"))
        await fake.hang_up(call=dialled.call, op=op(f"hang-up-{again}"))
        await fake.end_conference(conference=conference, op=op(f"end-{again}"))
    assert fake.exchange.still_up() == ()


@pytest.mark.parametrize("shape", SHAPES)
async def test_every_shape_refuses_a_full_conference(shape: str) -> None:
    fake = FakeProvider(shape=shape, max_members=1)
    conference = await room(fake)
    first = await dial(fake, ANN, conference)
    conference = first.conference or conference
    if first.membership is Membership.EXPLICIT:
        conference = (
            await fake.add_member(conference=conference, call=first.call, options=MemberOptions(), op=op("add-1"))
        ).conference
    second = await dial(fake, BOB, conference)
    if second.membership is Membership.EXPLICIT:
        with pytest.raises(CapacityReached):
            await fake.add_member(conference=conference, call=second.call, options=MemberOptions(), op=op("add-2"))
    else:
        (call,) = (await fake.fetch(ref=second.call)).calls
        assert call.state is CallState.ENDED


@pytest.mark.parametrize("shape", SHAPES)
async def test_every_shape_answers_an_incoming_call_into_a_conference(shape: str) -> None:
    fake = FakeProvider(shape=shape)
    conference = await room(fake)
    incoming = fake.exchange.incoming(ANN, OURS)
    (call,) = (await fake.fetch(ref=Call(provider="fake", id=incoming.id))).calls
    dialled = await fake.answer_call(call=call, into=conference, op=op("answer"))
    assert dialled.call.state is CallState.ANSWERED
    conference = dialled.conference or conference
    if dialled.membership is Membership.EXPLICIT:
        member = await fake.add_member(conference=conference, call=dialled.call, options=MemberOptions(), op=op("add"))
        conference = member.conference
    assert len((await fake.fetch(ref=conference)).members) == 1


async def test_a_bridge_after_two_answers() -> None:
    fake = FakeProvider(bridge="after")
    calls = [(await dial(fake, to, None)).call for to in (ANN, BOB)]
    with pytest.raises(InvalidRequest):
        await fake.create_bridge(calls=(), op=op("bridge"))
    bridge = await fake.create_bridge(calls=tuple(calls), op=op("bridge"))
    assert (bridge.state, bridge.call_ids) == (BridgeState.ACTIVE, tuple(call.id for call in calls))
    await fake.end_bridge(bridge=bridge, op=op("end-1"))
    await fake.end_bridge(bridge=bridge, op=op("end-2"))
    assert len(fake.exchange.still_up()) == 2  # the calls stay up


async def test_a_bridge_first() -> None:
    fake = FakeProvider(bridge="first")
    bridge = await fake.create_bridge(calls=(), op=op("bridge"))
    assert bridge.state is BridgeState.CREATED
    for to in (ANN, BOB):
        assert (await dial(fake, to, bridge)).membership is Membership.ON_ANSWER
    with pytest.raises(CapacityReached):
        await dial(fake, "+19195550103", bridge)
    snapshot = await fake.fetch(ref=bridge)
    assert snapshot.bridge is not None
    assert snapshot.bridge.state is BridgeState.ACTIVE
    assert await fake.list_calls(into=bridge) == snapshot.calls


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "by_name"])  # where calls can be added
async def test_a_bridge_grows_into_a_conference(shape: str) -> None:
    fake = FakeProvider(shape=shape)
    calls = [(await dial(fake, to, None)).call for to in (ANN, BOB)]
    bridge = await fake.create_bridge(calls=tuple(calls), op=op("bridge"))
    conference = await room(fake)
    for call in calls:
        member = await fake.add_member(
            conference=conference, call=call, options=MemberOptions(), op=op(f"add-{call.id[-4:]}")
        )
        conference = member.conference
    assert (await fake.fetch(ref=bridge)).bridge == Bridge(
        provider="fake", id=bridge.id, state=BridgeState.ENDED, created_at=bridge.created_at
    )
    assert fake.exchange.hears(calls[0].id, calls[1].id)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bridge", ["after", "first", "none"])
@pytest.mark.parametrize("source", ["stream", "poll"])
async def test_capabilities_say_what_is_there(shape: str, bridge: str, source: str) -> None:
    fake = FakeProvider(shape=shape, bridge=bridge, events=source)
    name, manager = open_provider(fake, {})
    capabilities = manager.hook.capabilities()
    assert name == "fake"
    assert all(implements(manager, operation) for operation in REQUIRED)
    assert implements(manager, "create_bridge") is (bridge != "none")
    assert capabilities.bridging is Bridging(bridge)
    assert implements(manager, "events") is (source == "stream")
    assert (EventSource.STREAM in capabilities.events) is (source == "stream")
    assert EventSource.POLL in capabilities.events
    assert not implements(manager, "receive")
    assert capabilities.creation is {
        "on_join": ConferenceCreation.ON_JOIN,
        "from_call": ConferenceCreation.FROM_CALL,
        "by_name": ConferenceCreation.BY_NAME,
    }.get(shape, ConferenceCreation.EXPLICIT)
    assert capabilities.join_method is (
        JoinMethod.FUSED if shape in ("on_join", "fused", "by_name") else JoinMethod.EXPLICIT
    )
    assert ("bridge" in capabilities.play) is (bridge != "none")


async def test_what_does_not_exist_is_not_found() -> None:
    fake = FakeProvider()
    ghost = Conference(provider="fake", key="ghost", id="conf-none")
    for attempt in (
        fake.end_conference(conference=ghost, op=op("end")),
        fake.fetch(ref=ghost),
        fake.list_calls(into=ghost),
        fake.hang_up(call=Call(provider="fake", id="c-none"), op=op("hang-up")),
        dial(fake, ANN, ghost),
        fake.fetch(ref=Bridge(provider="fake", id="brg-none")),
    ):
        with pytest.raises(NotFound):
            await attempt


def test_settings_come_from_keywords_and_the_environment() -> None:
    environ = {"FAKE_SHAPE": "fused", "FAKE_MAX_MEMBERS": "10", "FAKE_END_HANGS_UP": "yes", "FAKE_LATENCY": "0.5"}
    fake = confkit_create_provider(
        Settings(provider="fake", keywords={"bridge": "none", "max_members": 5}, environ=environ)
    )
    assert (fake.settings.shape, fake.settings.max_members) == (Shape.FUSED, 5)
    assert fake.settings.end_hangs_up
    assert fake.settings.latency == 0.5
    assert fake.capabilities().max_members == 5


def test_every_wrong_setting_is_named_at_once() -> None:
    keywords = {"shape": "round", "max_members": 0, "rates": "gentle", "events": "webhook", "colour": "red"}
    with pytest.raises(SettingsError) as failure:
        confkit_create_provider(Settings(provider="fake", keywords=keywords, environ={}))
    for name in keywords:
        assert name in str(failure.value)


def test_no_limit_of_members() -> None:
    environ = {"FAKE_MAX_MEMBERS": "none"}
    fake = confkit_create_provider(Settings(provider="fake", environ=environ))
    assert fake.capabilities().max_members is None


def test_a_misspelt_setting_is_refused_by_the_constructor() -> None:
    with pytest.raises(ValueError, match="round"):
        FakeProvider(shape="round")
    with pytest.raises(TypeError):
        FakeProvider(colour="red")  # type: ignore[call-arg]


async def test_the_ring_timeout_is_the_calls_own() -> None:
    fake = FakeProvider()
    fake.party(ANN).never_answers()
    spec = CallSpec(to=ANN, caller_id=OURS, answer_timeout=timedelta(seconds=7))
    dialled = await fake.create_call(spec=spec, op=op("dial"), into=None)
    await anyio.sleep(8)
    (call,) = (await fake.fetch(ref=dialled.call)).calls
    assert call.ended_at is not None
    assert call.created_at is not None
    assert call.ended_at - call.created_at == timedelta(seconds=7)


BY_NAME = [{"joins": joins, "tells_room": told} for joins in ("dial", "add", "both") for told in ("reply", "event")]


@pytest.mark.parametrize("settings", BY_NAME, ids=lambda settings: " ".join(settings.values()))
async def test_a_room_that_is_a_name_is_made_by_whoever_is_in_first(settings: dict[str, Any]) -> None:
    fake = FakeProvider(shape="by_name", **settings)
    room = await fake.create_conference(spec=ConferenceSpec(caller_id=OURS), op=op("room"))
    assert (room.key, room.id) == ("room", None)
    methods = fake.capabilities().join_methods
    assert (
        methods
        == {
            "dial": {JoinMethod.FUSED},
            "add": {JoinMethod.EXPLICIT},
            "both": {JoinMethod.FUSED, JoinMethod.EXPLICIT},
        }[settings["joins"]]
    )
    for method in methods:
        ids = set()
        for number, address in enumerate((ANN, BOB)):
            spec = CallSpec(to=address, caller_id=OURS, join_method=method)
            dialled = await fake.create_call(spec=spec, op=op(f"{method.value} {number}"), into=room)
            assert dialled.membership is (Membership.FUSED if method is JoinMethod.FUSED else Membership.EXPLICIT)
            told = dialled.conference
            fake.exchange.advance()
            if method is JoinMethod.EXPLICIT:
                member = await fake.add_member(
                    conference=room, call=dialled.call, options=MemberOptions(), op=op(f"add {number}")
                )
                promised = settings["tells_room"] == "event"
                assert member.state is (MemberState.JOINING if promised else MemberState.JOINED)
                told = member.conference
            assert (told is not None and told.id is not None) is (settings["tells_room"] == "reply")
            place = fake.exchange.place_of(dialled.call.id)
            assert place is not None
            ids.add(place.conference_id)
        (made,) = ids
        shown = (await fake.fetch(ref=room)).conference
        assert shown is not None
        assert (shown.id, shown.key) == (made, "room")
        for call in list(fake.exchange.calls.values()):
            if call.state is not CallState.ENDED:
                fake.exchange.hang_up(call.id)
        assert (await fake.fetch(ref=room)).conference is None  # it has ended, and comes again
