"""The operations by hand: create a conference, dial into it, let each call join, on every shape of platform."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping
from functools import partial
from typing import Any

import anyio
import pytest
from attrs import evolve
from confkit_fake import FakeProvider

from confkit import AsyncClient, Client, Conference, Unsupported
from confkit.client import rooms
from confkit.provider import (
    Call,
    ConferenceState,
    Conflict,
    Dialled,
    Member,
    Membership,
    MemberState,
    NotReady,
    PolicyError,
    ProviderError,
    hookimpl,
)

pytestmark = pytest.mark.anyio

OURS = "+12018994444"
ANN, BOB, CY = PEOPLE = [f"+1919555010{index}" for index in range(1, 4)]
JOINS = {"explicit": "explicit", "on_join": "fused", "from_call": "explicit", "fused": "fused"}
SHAPES = list(JOINS)
FUSED = [shape for shape in SHAPES if JOINS[shape] == "fused"]
ADDING = [shape for shape in SHAPES if JOINS[shape] == "explicit"]
UNBORN = ["on_join", "from_call"]


def client(provider: FakeProvider, **settings: Any) -> AsyncClient:
    return AsyncClient(provider, caller_id=OURS, **settings)


def sent(provider: FakeProvider) -> Counter[str]:
    return Counter(request.operation for request in provider.requests if request.operation not in ("fetch", "find"))


def together(provider: FakeProvider, calls: list[Call]) -> bool:
    return all(provider.exchange.hears(one.id, two.id) for one in calls for two in calls if one != two)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("answer_after", [0, 0.1])
async def test_the_three_steps(shape: str, answer_after: float) -> None:
    provider = FakeProvider(shape=shape, answer_after=answer_after)
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        dialled = [await calls.direct.create_call(who, into=conference) for who in PEOPLE]
        members = [await calls.direct.join(each, conference) for each in dialled]
        assert [each.membership.value for each in dialled] == [JOINS[shape]] * 3
        assert together(provider, [each.call for each in dialled])
        (room,) = provider.exchange.conferences
        assert [member.conference.id for member in members] == [room] * 3
        assert [member.call_id for member in members] == [each.call.id for each in dialled]
        assert {member.state for member in members} == {MemberState.JOINED}
        assert sent(provider)["add_member"] == (3 if JOINS[shape] == "explicit" else 0)
        for each in dialled:
            await calls.direct.hang_up(each.call)
        await calls.direct.end_conference(conference)
    assert provider.exchange.still_up() == ()
    assert [len(rings) for rings in provider.exchange.rings.values()] == [1, 1, 1]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_three_steps_without_await(shape: str) -> None:
    provider = FakeProvider(shape=shape, answer_after=0.1)
    with Client(provider, caller_id=OURS) as calls:
        conference = calls.direct.create_conference()
        dialled = [calls.direct.create_call(who, into=conference) for who in PEOPLE]
        members = [calls.direct.join(each, conference) for each in dialled]
        assert len({member.conference.id for member in members}) == 1
        assert together(provider, [each.call for each in dialled])
        for each in dialled:
            calls.direct.hang_up(each.call)
        calls.direct.end_conference(conference)
    assert provider.exchange.still_up() == ()


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_record_that_was_given_first_stays_good(shape: str) -> None:
    """Where the conference came into being later, it is known by the id that the platform told then."""
    provider = FakeProvider(shape=shape)
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        assert (conference.id is None) is (shape in UNBORN)
        dialled = await calls.direct.create_call(ANN, into=conference)
        member = await calls.direct.join(dialled, conference)
        account = await calls.direct.fetch(conference)
        assert account.conference is not None
        assert account.conference.id == member.conference.id
        assert [each.id for each in account.members] == [member.id]
        await calls.direct.update_conference(conference, mute=True)
        await calls.direct.say(conference, "Hello")
        await calls.direct.end_conference(conference)
        await calls.direct.end_conference(conference)
    (room,) = provider.exchange.conferences.values()
    assert room.mute
    assert room.state is ConferenceState.ENDED
    assert provider.exchange.still_up() == (dialled.call.id,)  # ending the conference hangs up nobody here


class Asked:
    """Listens to which conference id the provider is told, operation by operation."""

    def __init__(self, calls: AsyncClient) -> None:
        self._ids: list[tuple[str, str | None]] = []
        calls.plugin_manager.add_hookcall_monitoring(self._before, lambda *_: None)

    def _before(self, operation: str, _: object, arguments: Mapping[str, Any]) -> None:
        self._ids += [(operation, given.id) for given in arguments.values() if isinstance(given, Conference)]

    def ids(self, operation: str) -> list[str | None]:
        return [id_ for asked, id_ in self._ids if asked == operation]


@pytest.mark.virtual_time
@pytest.mark.parametrize("shape", SHAPES)
async def test_the_id_is_told_to_the_platform_as_soon_as_it_is_known(shape: str) -> None:
    """Also where all come at once: one makes the conference, and the others wait for its id."""
    provider = FakeProvider(shape=shape, latency=0.1)
    calls = client(provider)
    asked = Asked(calls)
    async with calls:
        conference = await calls.direct.create_conference()
        dialled: list[Dialled] = []
        members: list[Member] = []

        async def dial(who: str) -> None:
            dialled.append(await calls.direct.create_call(who, into=conference))

        async def join(one: Dialled) -> None:
            members.append(await calls.direct.join(one, conference))

        async with anyio.create_task_group() as tasks:
            for who in PEOPLE:
                tasks.start_soon(dial, who)
        async with anyio.create_task_group() as tasks:
            for one in dialled:
                tasks.start_soon(join, one)
        assert len({member.conference.id for member in members}) == 1
        await calls.direct.end_conference(conference)
        for one in dialled:
            await calls.direct.hang_up(one.call)
    (room,) = provider.exchange.conferences
    assert asked.ids("create_call") == {"on_join": [None, room, room], "from_call": [None] * 3}.get(shape, [room] * 3)
    assert asked.ids("add_member") == {"explicit": [room] * 3, "from_call": [None, room, room]}.get(shape, [])
    assert asked.ids("end_conference") == [room]
    assert provider.exchange.still_up() == ()


@pytest.mark.virtual_time
async def test_dials_that_make_no_conference_do_not_wait_for_one_another() -> None:
    provider = FakeProvider(shape="from_call", latency=1)
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for who in PEOPLE:
                tasks.start_soon(partial(calls.direct.create_call, who, into=conference))
        assert anyio.current_time() - began == pytest.approx(1, abs=0.1)


@pytest.mark.virtual_time
@pytest.mark.parametrize("shape", UNBORN)
async def test_who_could_not_make_the_conference_leaves_it_to_the_next(shape: str) -> None:
    provider = FakeProvider(shape=shape)
    provider.fail("create_call" if shape == "on_join" else "add_member", "forbidden")
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        dialled: list[Dialled] = []
        failed = 0
        for who in PEOPLE:
            try:
                dialled.append(await calls.direct.create_call(who, into=conference))
                await calls.direct.join(dialled[-1], conference)
            except ProviderError:
                failed += 1
        assert failed == 1
        assert len(provider.exchange.conferences) == 1
        for each in dialled:
            await calls.direct.hang_up(each.call)
        await calls.direct.end_conference(conference)
    assert provider.exchange.still_up() == ()


@pytest.mark.virtual_time
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_dial_whose_reply_was_lost_joins_too(shape: str) -> None:
    provider = FakeProvider(shape=shape)
    provider.fail("create_call", "drop-reply", times=2)
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        dialled = [await calls.direct.create_call(who, into=conference) for who in PEOPLE]
        members = [await calls.direct.join(each, conference) for each in dialled]
        assert len({member.conference.id for member in members}) == 1
        for each in dialled:
            await calls.direct.hang_up(each.call)
        await calls.direct.end_conference(conference)
    assert provider.exchange.still_up() == ()


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_call_alone_joins_as_its_platforms_calls_do(shape: str) -> None:
    provider = FakeProvider(shape=shape)
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        dialled = await calls.direct.create_call(ANN, into=conference)
        member = await calls.direct.join(dialled.call, conference)
        assert (member.call_id, member.state) == (dialled.call.id, MemberState.JOINED)
        assert sent(provider)["add_member"] == (1 if JOINS[shape] == "explicit" else 0)


@pytest.mark.parametrize("shape", ADDING)
async def test_a_call_that_was_dialled_into_nothing_is_added(shape: str) -> None:
    provider = FakeProvider(shape=shape)
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        dialled = await calls.direct.create_call(ANN)
        assert dialled.membership is Membership.NONE
        assert (await calls.direct.join(dialled, conference)).call_id == dialled.call.id


@pytest.mark.virtual_time
@pytest.mark.parametrize("shape", FUSED)
async def test_a_conference_that_came_again_under_another_id(shape: str) -> None:
    """The first hangs up before the second answers, so the conference ended in between and its name made another."""
    provider = FakeProvider(shape=shape)
    provider.party(ANN).answers().hangs_up(after=1)
    provider.party(BOB).answers(after=3)
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        first = await calls.direct.create_call(ANN, into=conference)
        second = await calls.direct.create_call(BOB, into=conference)
        one = await calls.direct.join(first, conference)
        two = await calls.direct.join(second, conference)
        assert one.conference.id != two.conference.id
        assert (await calls.direct.fetch(conference)).members[0].call_id == second.call.id
        await calls.direct.end_conference(conference)
        await calls.direct.hang_up(second.call)
    assert provider.exchange.still_up() == ()


@pytest.mark.virtual_time
@pytest.mark.parametrize("shape", SHAPES)
async def test_who_does_not_answer_does_not_join(shape: str) -> None:
    provider = FakeProvider(shape=shape)
    provider.party(ANN).busy()
    provider.party(BOB).never_answers()
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        busy = await calls.direct.create_call(ANN, into=conference)
        with pytest.raises(Conflict, match="ended before it was answered: busy") as over:
            await calls.direct.join(busy, conference)
        assert over.value.left_behind == ()
        rings = await calls.direct.create_call(BOB, into=conference)
        began = anyio.current_time()
        with pytest.raises(NotReady, match="nobody answered within 5 s") as waits:
            await calls.direct.join(rings, conference, answer_timeout=5)
        assert anyio.current_time() - began == pytest.approx(5, abs=0.1)
        assert waits.value.left_behind == ("the call to +1919•••0102 may still be up",)
        assert "NOT undone: the call to" in str(waits.value)
        await calls.direct.hang_up(rings.call)
        await calls.direct.end_conference(conference)
    assert provider.exchange.still_up() == ()


@pytest.mark.virtual_time
@pytest.mark.parametrize("shape", ADDING)
async def test_who_could_not_be_added_is_named(shape: str) -> None:
    provider = FakeProvider(shape=shape)
    provider.fail("add_member", "forbidden")
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        dialled = await calls.direct.create_call(ANN, into=conference)
        with pytest.raises(ProviderError) as raised:
            await calls.direct.join(dialled, conference)
        assert raised.value.left_behind == ("the call to +1919•••0101 may still be up",)


@pytest.mark.virtual_time
@pytest.mark.parametrize("shape", FUSED)
async def test_who_is_in_another_conference_is_not_in_this_one(shape: str) -> None:
    provider = FakeProvider(shape=shape)
    async with client(provider) as calls:
        other, conference = [await calls.direct.create_conference() for _ in range(2)]
        dialled = await calls.direct.create_call(ANN, into=other)
        began = anyio.current_time()
        with pytest.raises(NotReady, match="nobody confirms that it has joined") as raised:
            await calls.direct.join(dialled, conference)
        assert anyio.current_time() - began == pytest.approx(15, abs=0.1)
        assert len(raised.value.left_behind) == 1
        assert (await calls.direct.join(dialled, other)).conference.key == other.key


@pytest.mark.virtual_time
@pytest.mark.parametrize("shape", FUSED)
async def test_who_was_taken_out_is_not_in(shape: str) -> None:
    provider = FakeProvider(shape=shape)
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        dialled = await calls.direct.create_call(ANN, into=conference)
        await calls.direct.remove_member(await calls.direct.join(dialled, conference))
        with pytest.raises(NotReady, match="nobody confirms that it has joined"):
            await calls.direct.join(dialled, conference)


async def test_who_comes_after_the_end_of_the_conference_is_named() -> None:
    provider = FakeProvider()
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        dialled = await calls.direct.create_call(ANN, into=conference)
        await calls.direct.end_conference(conference)
        with pytest.raises(Conflict) as raised:
            await calls.direct.join(dialled, conference)
        assert len(raised.value.left_behind) == 1


async def test_conferences_that_are_known_by_their_ids_alone_are_not_taken_for_one_another() -> None:
    provider = FakeProvider(shape="fused")
    async with client(provider) as calls:
        one, two = [
            Conference(provider="fake", key="", id=(await calls.direct.create_conference()).id) for _ in range(2)
        ]
        await calls.direct.end_conference(one)
        again = await calls.direct.create_call(ANN, into=one)  # its name, which is empty, makes another
        assert again.conference is not None
        account = await calls.direct.fetch(two)
        assert account.conference is not None
        assert account.conference.id == two.id


@pytest.mark.virtual_time
@pytest.mark.parametrize("shape", FUSED)
async def test_who_answered_and_hung_up_before_it_was_seen_in_the_conference(shape: str) -> None:
    provider = FakeProvider(shape=shape)
    provider.party(ANN).answers(after=1).hangs_up(after=0.8)
    async with client(provider) as calls:
        other, conference = [await calls.direct.create_conference() for _ in range(2)]
        dialled = await calls.direct.create_call(ANN, into=other)
        with pytest.raises(Conflict, match="before it was in the conference") as raised:
            await calls.direct.join(dialled, conference)
        assert raised.value.left_behind == ()


@pytest.mark.parametrize("shape", FUSED)
async def test_a_platform_that_has_forgotten_an_ended_conference(shape: str) -> None:
    """Its name is another conference now, in which the call's own account shows it."""
    provider = FakeProvider(shape=shape)
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        dialled = await calls.direct.create_call(ANN, into=conference)
        member = await calls.direct.join(dialled, evolve(conference, id="conf-forgotten"))
        assert member.conference.key == conference.key
        await calls.direct.hang_up(dialled.call)


class OnAnswer:
    """A platform on which a call is in as soon as it is answered."""

    @hookimpl(wrapper=True)
    def create_call(self) -> Generator[None, Any, Any]:
        made = yield

        async def dialled() -> Dialled:
            result: Dialled = await made
            return evolve(result, membership=Membership.ON_ANSWER)

        return dialled()


async def test_who_is_in_with_the_answer_is_not_added() -> None:
    provider = FakeProvider(shape="fused")
    async with client(provider, plugins=[OnAnswer()]) as calls:
        conference = await calls.direct.create_conference()
        dialled = await calls.direct.create_call(ANN, into=conference)
        assert dialled.membership is Membership.ON_ANSWER
        assert (await calls.direct.join(dialled, conference)).call_id == dialled.call.id
        assert sent(provider)["add_member"] == 0


async def test_where_calls_cannot_be_added_nobody_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = FakeProvider()
    monkeypatch.setattr(provider, "add_member", None)
    provider.party(ANN).never_answers()
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        dialled = await calls.direct.create_call(ANN, into=conference)
        with pytest.raises(Unsupported):
            await calls.direct.join(dialled, conference)


async def test_what_create_call_gave_is_no_call() -> None:
    async with client(FakeProvider()) as calls:
        dialled: Any = await calls.direct.create_call(ANN)
        with pytest.raises(ProviderError, match=r"must be a confkit.Call, not Dialled; take its \.call"):
            await calls.direct.hang_up(dialled)


@pytest.mark.parametrize("shape", ["explicit", "fused"])
async def test_a_conference_that_keeps_its_id_need_not_be_remembered(shape: str) -> None:
    async with client(FakeProvider(shape=shape)) as calls:
        conference = await calls.direct.create_conference()
        await calls.direct.join(await calls.direct.create_call(ANN, into=conference), conference)
        assert calls.direct._rooms._rooms == {}


async def test_conferences_are_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "ROOMS", 2)
    provider = FakeProvider(shape="from_call")
    async with client(provider) as calls:
        made = []
        for who in PEOPLE:
            made.append(await calls.direct.create_conference())
            await calls.direct.join(await calls.direct.create_call(who, into=made[-1]), made[-1])
        remembered = calls.direct._rooms
        assert [remembered.now(each).id is not None for each in made] == [False, True, True]
        await calls.direct.end_conference(made[2])
        assert [remembered.now(each).id is not None for each in made] == [False, True, False]


@pytest.mark.parametrize("single", [True, False])
async def test_settings_are_changed_together_or_one_by_one(single: bool) -> None:
    provider = FakeProvider(single_patches=single)
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        dialled = await calls.direct.create_call(ANN, into=conference)
        member = await calls.direct.join(dialled, conference)
        await calls.direct.update_member(member, mute=True, hold=True)
        await calls.direct.update_conference(conference, mute=False, hold=True)
        assert (provider.exchange.members[member.id].mute, provider.exchange.members[member.id].hold) == (True, True)
    each = 2 if single else 1
    assert (sent(provider)["update_member"], sent(provider)["update_conference"]) == (each, each)
    keys = [request.op_key for request in provider.requests if request.operation == "update_member"]
    assert len(set(keys)) == each


async def test_a_phone_rings_within_what_the_platform_can() -> None:
    provider = FakeProvider(shortest_ring=10)
    async with client(provider) as calls:
        with pytest.raises(PolicyError, match="at least 10 s here, not 5 s"):
            await calls.direct.create_call(ANN, answer_timeout=5)
        assert provider.requests == []
        await calls.direct.create_call(ANN, answer_timeout=10)


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_call_joins_where_no_record_tells_that_it_is_answered(shape: str) -> None:
    provider = FakeProvider(shape=shape, tells_answers=False, answer_after=0.2)
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        dialled = [await calls.direct.create_call(who, into=conference) for who in (ANN, BOB)]
        for each in dialled:
            await calls.direct.join(each, conference)
        assert together(provider, [each.call for each in dialled])


@pytest.mark.parametrize("shape", ["explicit", "fused"])
async def test_a_call_that_rings_where_no_record_tells_so_does_not_join(shape: str) -> None:
    provider = FakeProvider(shape=shape, tells_answers=False)
    provider.party(ANN).never_answers()
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        dialled = await calls.direct.create_call(ANN, into=conference)
        with pytest.raises(NotReady):
            await calls.direct.join(dialled, conference, answer_timeout=0.3)
