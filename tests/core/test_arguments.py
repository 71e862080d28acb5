"""What operations and commands are given: what does not fit is refused in words, before anything is sent."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from types import UnionType
from typing import Any

import pytest
from attrs import evolve
from confkit_fake import FakeProvider

from confkit import (
    AsyncClient,
    Bridge,
    Call,
    Client,
    Conference,
    ConfkitError,
    IncomingCall,
    Meeting,
    MeetingError,
    Party,
    Policy,
    PolicyError,
    SettingsError,
    Unsupported,
)
from confkit.client.direct import Direct
from confkit.models.capabilities import ConferenceCreation
from confkit.provider import CallSpec, CallState, InvalidRequest, Member, Op, hookimpl

pytestmark = pytest.mark.anyio

OURS = "+12018994444"
ANN, BOB, CY, DI = (f"+1919555010{index}" for index in range(1, 5))
REFERENCES = (Conference, Call, Bridge, Member, IncomingCall)
NAMES = ["fake", "fake on_join", "fake from_call", "fake fused", "bandwidth", "asterisk"]


def client_of(name: str) -> AsyncClient:
    """A client of each provider and shape; where it would send to, nothing listens."""
    provider, _, shape = name.partition(" ")
    settings: dict[str, Any] = {"shape": shape} if shape else {}
    if provider == "bandwidth":
        settings = {"base_url": "http://127.0.0.1:9", "user_id": "u-1", "token": "t", "secret": "s"}
    if provider == "asterisk":
        settings = {"base_url": "http://127.0.0.1:9", "user": "u", "password": "p"}
    return AsyncClient(provider, caller_id=OURS, **settings)


@asynccontextmanager
async def opened(name: str) -> AsyncGenerator[tuple[AsyncClient, list[str]], None]:
    """A client, and the operations that its provider is asked for."""
    client = client_of(name)
    asked: list[str] = []

    def before(operation: str, *_: object) -> None:
        if operation not in ("capabilities", "events", "aclose"):
            asked.append(operation)

    client.plugin_manager.add_hookcall_monitoring(before, lambda *_: None)
    async with client:
        yield client, asked


def good(provider: str) -> dict[type, Any]:
    """An object of each kind, as the provider could have given it."""
    conference = Conference(provider=provider, key="k", id="conf-1")
    return {
        Conference: conference,
        Call: Call(provider=provider, id="c-1", state=CallState.ANSWERED),
        Bridge: Bridge(provider=provider, id="brg-1"),
        Member: Member(provider=provider, id="member-1", call_id="c-1", conference=conference),
        IncomingCall: IncomingCall(provider=provider, id="e-1", call_id="c-1", caller=ANN, called=OURS),
    }


def bad(provider: str, kinds: tuple[type, ...]) -> Iterator[tuple[Any, str]]:
    """What is no object of these kinds at this provider, and what is said of it."""
    objects = good(provider)
    for wrong in ("conf-1", "", 5, b"c-1", {"id": "c-1"}, ["c-1"], Party(ANN), object()):
        yield wrong, "must be a confkit."
    for kind in set(REFERENCES).difference(kinds):
        yield objects[kind], "must be a confkit."
    for kind in kinds:
        yield evolve(objects[kind], provider="acme"), "of the provider 'acme'"
        for nothing in ("", None, 7):
            name = "call_id" if kind is IncomingCall else "id"
            if kind is not Conference or nothing is not None:
                yield evolve(objects[kind], **{name: nothing}), "has no id"
        if kind is Member:
            stray = evolve(objects[Conference], provider="acme")
            yield (
                evolve(objects[Member], conference=stray),
                "of a conference that is a Conference of the provider 'acme'",
            )
            yield evolve(objects[Member], conference="conf-1"), "of a conference that must be"


def kinds_in(annotation: Any) -> tuple[type, ...]:
    members = typing.get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return tuple(member for member in members if member in REFERENCES)


def operations() -> list[str]:
    return [name for name, _ in inspect.getmembers(Direct, inspect.iscoroutinefunction) if not name.startswith("_")]


REST: dict[str, Any] = {
    "to": ANN,
    "url": "https://example.com/a.wav",
    "text": "Hello",
    "digits": "1",
    "action": "set below",
}


def arguments(operation: str, provider: str) -> tuple[dict[str, Any], dict[str, tuple[type, ...]]]:
    """Good arguments of an operation by their names, and which of them are objects of what kinds."""
    method = getattr(Direct, operation)
    hints, objects = typing.get_type_hints(method), good(provider)
    given: dict[str, Any] = {}
    references: dict[str, tuple[type, ...]] = {}
    for name, parameter in inspect.signature(method).parameters.items():
        if name == "self":
            continue
        if kinds := kinds_in(hints[name]):
            references[name] = kinds
            given[name] = objects[kinds[0]]
        elif name == "action":
            given[name] = hints[name].START
        elif parameter.default is parameter.empty:
            given[name] = REST[name]
    return given, references


async def call(client: AsyncClient, operation: str, given: dict[str, Any]) -> None:
    if "calls" in given:
        await client.direct.create_bridge(given["calls"])
    else:
        await getattr(client.direct, operation)(**given)


def test_every_object_that_an_operation_takes_is_tried_below() -> None:
    tried = {(operation, name) for operation in operations() for name in arguments(operation, "fake")[1]}
    assert len(tried) == 20
    assert {name for _, name in tried} == {"into", "call", "calls", "conference", "member", "bridge", "target", "ref"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("operation", [name for name in operations() if arguments(name, "fake")[1]])
async def test_what_is_no_object_of_the_provider_is_refused(operation: str, name: str) -> None:
    async with opened(name) as (client, asked):
        provider = client.provider_name
        given, references = arguments(operation, provider)
        for argument, kinds in references.items():
            for wrong, words in bad(provider, kinds):
                with pytest.raises((InvalidRequest, Unsupported)) as raised:
                    await call(client, operation, {**given, argument: wrong})
                if isinstance(raised.value, InvalidRequest):
                    assert words in str(raised.value)
                    assert f"{provider} {operation}: " in str(raised.value)
                    assert "conf-1" not in str(raised.value)
                else:
                    assert operation not in ("create_call", "hang_up", "fetch", "until_answered", "end_conference")
        assert asked == []


@pytest.mark.parametrize("name", NAMES)
async def test_a_conference_without_an_id_is_one_only_where_rooms_come_of_themselves(name: str) -> None:
    async with opened(name) as (client, asked):
        unborn = Conference(provider=client.provider_name, key="k")
        keyless = Conference(provider=client.provider_name, key="")
        with pytest.raises(InvalidRequest, match="has no id"):
            await client.direct.create_call(ANN, into=keyless)
        if client.capabilities.creation is ConferenceCreation.EXPLICIT:
            with pytest.raises(InvalidRequest, match="has no id"):
                await client.direct.create_call(ANN, into=unborn)
        assert asked == []


@pytest.mark.parametrize("shape", ["on_join", "from_call"])
async def test_a_room_that_comes_of_itself_is_known_by_its_key(shape: str) -> None:
    provider = FakeProvider(shape=shape)
    async with AsyncClient(provider, caller_id=OURS) as client:
        unborn = await client.direct.create_conference()
        assert unborn.id is None
        ann = (await client.direct.create_call(ANN, into=unborn)).call
        await client.direct.hang_up(ann)
        await client.direct.end_conference(unborn)
    assert provider.exchange.still_up() == ()


async def test_how_to_come_by_an_object_is_said_and_works() -> None:
    provider = FakeProvider()
    async with AsyncClient(provider, caller_id=OURS) as client:
        made = await client.direct.create_conference()
        dialled = (await client.direct.create_call(ANN, into=made)).call
        ids: Any = {"conference": made.id, "call": dialled.id}
        with pytest.raises(InvalidRequest, match=r"make confkit.Call\(provider='fake', id=...\)"):
            await client.direct.hang_up(ids["call"])
        with pytest.raises(InvalidRequest, match=r"make confkit.Conference\(provider='fake', key='', id=...\)"):
            await client.direct.end_conference(ids["conference"])
        with pytest.raises(InvalidRequest, match="fetch"):
            await client.direct.remove_member(ids["call"])
        conference = Conference(provider="fake", key="", id=ids["conference"])
        ann = Call(provider="fake", id=ids["call"])
        member = await client.direct.add_member(conference, ann)
        assert (await client.direct.fetch(conference)).members[0].id == member.id
        await client.direct.hang_up(ann)
        await client.direct.end_conference(conference)
    assert provider.exchange.still_up() == ()


@pytest.mark.parametrize(
    ("operation", "wrong"),
    [
        ("update_member", {"mute": "yes"}),
        ("update_member", {"hold": 1}),
        ("update_member", {"deaf": "no"}),
        ("update_member", {"coach": Call(provider="fake", id="c-1")}),
        ("add_member", {"mute": None}),
        ("add_member", {"hold": "no"}),
        ("add_member", {"provider_options": "x"}),
        ("update_conference", {"mute": 1}),
        ("update_conference", {"hold": "x"}),
        ("create_conference", {"provider_options": [1]}),
        ("create_call", {"provider_options": 5}),
        ("play", {"url": None}),
        ("play", {"loop": "x"}),
        ("say", {"text": 5}),
        ("say", {"voice": 5}),
        ("say", {"locale": b"en"}),
        ("record", {"action": "start"}),
        ("send_digits", {"digits": 5}),
        ("transfer", {"to": 5}),
    ],
)
async def test_other_arguments(operation: str, wrong: dict[str, Any]) -> None:
    async with opened("fake") as (client, asked):
        given, _ = arguments(operation, "fake")
        with pytest.raises(InvalidRequest, match=f"{next(iter(wrong))} must be"):
            await call(client, operation, {**given, **wrong})
        assert asked == []


WRONG_PARTIES = [5, None, b"+19195550101", [ANN, BOB], (ANN,), {"to": ANN}, Party(5), Party(ANN, name=5)]  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", WRONG_PARTIES, ids=lambda value: type(value).__name__)
async def test_a_party_that_is_none_is_one_problem_among_others(wrong: Any) -> None:
    async with opened("fake") as (client, asked):
        meeting = client.connect(ANN, wrong, "12345", ANN, caller_id="0", quorum=9, answer_timeout=-1)
        with pytest.raises(PolicyError) as raised:
            await meeting.__aenter__()
        problems = raised.value.problems
        assert len(problems) == 6
        assert problems[0].startswith("party 2")
        assert all(number not in str(raised.value) for number in (ANN, BOB))
        with pytest.raises(PolicyError, match=r"^to"):
            await client.direct.create_call(wrong)
        assert asked == []


async def test_a_list_is_to_be_unpacked() -> None:
    async with opened("fake") as (client, _):
        parties: Any = [ANN, BOB, CY]
        with pytest.raises(PolicyError, match=r"party 1 must be .* not list; unpack it"):
            await client.connect(parties).__aenter__()


@pytest.mark.parametrize("wrong", [True, 2.0, "2", None, math.nan])
async def test_a_quorum_is_a_whole_number(wrong: Any) -> None:
    async with opened("fake") as (client, asked):
        with pytest.raises(PolicyError, match="the quorum must be a whole number"):
            await client.connect(ANN, BOB, CY, quorum=wrong).__aenter__()
        assert asked == []


async def test_a_caller_id_is_text() -> None:
    async with opened("fake") as (client, asked):
        wrong: Any = 12018994444
        with pytest.raises(PolicyError, match="the caller ID must be a str, not int"):
            await client.connect(ANN, BOB, CY, caller_id=wrong).__aenter__()
        for operation in ("create_conference", "create_call", "transfer"):
            given, _ = arguments(operation, "fake")
            with pytest.raises(PolicyError, match="the caller ID must be a str, not int"):
                await call(client, operation, {**given, "caller_id": wrong})
        assert asked == []


@pytest.mark.parametrize("wrong", [{"minimum": "3"}, {"maximum": 2.5}, {"minimum": True}, {"maximum": None}])
def test_a_policys_numbers_are_whole(wrong: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match="must be a whole number"):
        Policy(**wrong)


WRONG_DURATIONS = [
    0,
    -1,
    -0.5,
    math.nan,
    math.inf,
    -math.inf,
    1e300,
    10**400,
    True,
    "30",
    None,
    b"30",
    [30],
    timedelta(0),
    timedelta(seconds=-1),
    timedelta.max,
    timedelta(days=1),
    86_400,
]


@pytest.mark.parametrize("wrong", WRONG_DURATIONS, ids=lambda value: repr(value)[:20])
async def test_what_is_no_duration_is_refused(wrong: Any) -> None:
    with pytest.raises(SettingsError, match="request_timeout must be"):
        AsyncClient("fake", request_timeout=wrong)
    with pytest.raises(SettingsError, match="request_timeout must be"):
        Client("fake", request_timeout=wrong)
    async with opened("fake") as (client, asked):
        ann = good("fake")[Call]
        with pytest.raises(PolicyError, match="the answer timeout must be"):
            await client.connect(ANN, BOB, CY, answer_timeout=wrong).__aenter__()
        with pytest.raises(PolicyError, match="answer_timeout must be"):
            await client.direct.create_call(ANN, answer_timeout=wrong)
        with pytest.raises(PolicyError, match="timeout must be"):
            await client.direct.until_answered(ann, timeout=wrong)
        for state in CallState:
            with pytest.raises(PolicyError, match="answer_timeout must be"):
                await client.direct.add_member(good("fake")[Conference], evolve(ann, state=state), answer_timeout=wrong)
        assert asked == []


@pytest.mark.parametrize("duration", [2, 2.0, timedelta(seconds=2)], ids=repr)
async def test_a_number_is_seconds(duration: float | timedelta) -> None:
    provider, heard = FakeProvider(), set()

    class Listening:
        @hookimpl(wrapper=True)
        def create_call(self, spec: CallSpec, op: Op) -> Generator[None, Any, Any]:
            heard.add((spec.answer_timeout, op.timeout))
            return (yield)

    async with AsyncClient(provider, caller_id=OURS, request_timeout=duration, plugins=[Listening()]) as client:
        async with client.connect(ANN, CY, DI, answer_timeout=duration) as meeting:
            assert [person.party.address for person in meeting.participants] == [ANN, CY, DI]
        conference = await client.direct.create_conference()
        ann = (await client.direct.create_call(ANN, into=conference, answer_timeout=duration)).call
        assert (await client.direct.until_answered(ann, timeout=duration)).state is CallState.ANSWERED
        await client.direct.add_member(conference, ann, answer_timeout=duration)
        await client.direct.hang_up(ann)
        await client.direct.end_conference(conference)
    assert heard == {(timedelta(seconds=2), timedelta(seconds=2))}
    assert len(provider.exchange.calls) == 4


def test_the_blocking_client_takes_the_same() -> None:
    provider = FakeProvider()
    with Client(provider, caller_id=OURS, request_timeout=5) as client:
        wrong: Any = 5
        with pytest.raises(PolicyError, match="party 2 must be an address"):
            client.connect(ANN, wrong, CY).__enter__()
        with pytest.raises(PolicyError, match="the answer timeout must be a number of seconds"):
            client.connect(ANN, BOB, CY, answer_timeout=math.nan).__enter__()
        with pytest.raises(InvalidRequest, match=r"call must be a confkit\.Call, not int"):
            client.direct.hang_up(wrong)
        assert provider.requests == []
        with client.connect(ANN, BOB, CY, answer_timeout=2.5) as meeting:
            with pytest.raises(PolicyError, match="the party must be an address"):
                meeting.add(wrong)
            with pytest.raises(MeetingError, match="not by int"):
                meeting.mute(wrong)


WRONG_COMMANDS: list[tuple[str, Callable[[Meeting, Any], Any]]] = [
    ("the party must be", lambda meeting, wrong: meeting.add(wrong)),
    ("call must be", lambda meeting, wrong: meeting.admit(wrong)),
    ("not by", lambda meeting, wrong: meeting.remove(wrong)),
    ("not by", lambda meeting, wrong: meeting.mute(wrong)),
    ("not by", lambda meeting, wrong: meeting.say("Hello", to=[wrong])),  # type: ignore[arg-type]
    ("on must be", lambda meeting, wrong: meeting.mute_all(wrong)),
    ("url must be", lambda meeting, wrong: meeting.play(wrong)),
    ("loop must be", lambda meeting, wrong: meeting.play("https://example.com/a", loop=wrong)),
    ("text must be", lambda meeting, wrong: meeting.say(wrong)),
    ("voice must be", lambda meeting, wrong: meeting.say("Hello", voice=wrong)),
    ("action must be", lambda meeting, wrong: meeting.record(wrong)),
    ("digits must be", lambda meeting, wrong: meeting.send_digits(ANN, wrong)),
    ("to must be", lambda meeting, wrong: meeting.transfer(ANN, wrong)),
]


@pytest.mark.parametrize("wrong", [5, b"1", ["x"]], ids=repr)
async def test_a_meeting_refuses_the_same_and_goes_on(wrong: Any) -> None:
    provider = FakeProvider()
    async with AsyncClient(provider, caller_id=OURS) as client, client.connect(ANN, BOB, CY) as meeting:
        sent = len(provider.requests)
        for words, command in WRONG_COMMANDS:
            with pytest.raises(ConfkitError, match=words):
                await command(meeting, wrong)
        assert len(provider.requests) == sent
        await meeting.say("Hello")
    assert provider.exchange.still_up() == ()


@pytest.mark.parametrize("name", NAMES)
async def test_what_is_no_call_is_not_rejected(name: str) -> None:
    async with opened(name) as (client, asked):
        for wrong, words in bad(client.provider_name, (Call, IncomingCall)):
            with pytest.raises((InvalidRequest, Unsupported), match=words):
                await client.reject_call(wrong)
        assert asked == []
