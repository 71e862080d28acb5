"""What the core does differently because of what a provider declares of its platform."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from datetime import timedelta
from typing import Any

import anyio
import pytest
from attrs import evolve
from confkit_fake import FakeProvider

from confkit import AsyncClient, Bridge, Call, ConfkitError, Outcome, PolicyError, Unsupported
from confkit.provider import CallSpec, Capabilities, EndCause, Event, RateClass, hookimpl
from confkit.workflows.messages import Failure
from confkit.workflows.policy import Policy, plan, problems_with_ringing

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

OURS = "+12018994444"
URL = "https://app.example.com/confkit"
SHAPES = ["explicit", "on_join", "from_call", "fused"]
PEOPLE = [f"+1919555010{index}" for index in range(1, 8)]
SECOND = timedelta(seconds=1)


def client(provider: FakeProvider, **settings: Any) -> AsyncClient:
    return AsyncClient(provider, caller_id=OURS, **settings)


def _nothing(batch: list[Event]) -> list[Event]:
    return batch[:0]


def sent(provider: FakeProvider, operation: str) -> int:
    return sum(request.operation == operation for request in provider.requests)


# --- how long a phone rings


@pytest.mark.parametrize(("least", "wanted", "rung"), [(10, 4, 4), (10, 10, 10), (0, 4, 4)])
async def test_a_phone_rings_no_longer_than_is_asked_for(least: float, wanted: float, rung: float) -> None:
    provider = FakeProvider(shortest_ring=least)
    provider.party(PEOPLE[2]).never_answers()
    begun = anyio.current_time()
    async with client(provider) as calls, calls.connect(*PEOPLE[:3], answer_timeout=wanted) as meeting:
        assert [person.outcome for person in meeting.participants][2] is Outcome.NO_ANSWER
        assert anyio.current_time() - begun == pytest.approx(rung, abs=0.5)
    (call_id,) = provider.exchange.rings[PEOPLE[2]]
    cause = provider.exchange.calls[call_id].cause
    assert cause is (EndCause.CANCELLED if wanted < least else EndCause.NO_ANSWER)


class Changed:
    """Changes what is declared."""

    def __init__(self, **changes: Any) -> None:
        self._changes = changes

    @hookimpl(wrapper=True)
    def capabilities(self) -> Generator[None, Any, Any]:
        return evolve((yield), **self._changes)


class Specs:
    """Keeps with what calls are created."""

    def __init__(self) -> None:
        self.seen: list[CallSpec] = []

    @hookimpl(wrapper=True)
    def create_call(self, spec: CallSpec) -> Generator[None, Any, Any]:
        self.seen.append(spec)
        return (yield)


async def test_the_platform_is_asked_for_no_less_than_its_least() -> None:
    specs = Specs()
    async with client(FakeProvider(shortest_ring=10), plugins=[specs]) as calls:
        async with calls.connect(*PEOPLE[:3], answer_timeout=4):
            pass
        async with calls.connect(*PEOPLE[:3], answer_timeout=12):
            pass
    assert [spec.answer_timeout for spec in specs.seen] == [10 * SECOND] * 3 + [12 * SECOND] * 3


def test_a_phone_rings_for_at_most_so_long() -> None:
    can = Capabilities(rings=(5 * SECOND, 300 * SECOND))
    assert problems_with_ringing(SECOND, can) == problems_with_ringing(300 * SECOND, can) == []
    assert problems_with_ringing(301 * SECOND, can) == ["a phone rings for at most 300 s here, not 301 s"]
    with pytest.raises(PolicyError, match="at most 300 s here, not 400 s"):
        plan(PEOPLE[:3], policy=Policy(), capabilities=can, caller_id=OURS, answer_timeout=400)


@pytest.mark.parametrize("events", ["stream", "poll"])
async def test_a_call_that_is_held_back_is_waited_for_longer(events: str) -> None:
    provider = FakeProvider(events=events, queues_for=40)
    provider.party(PEOPLE[0]).answers(after=8)
    provider.party(PEOPLE[2]).never_answers()
    async with client(provider) as calls, calls.connect(*PEOPLE[:3], answer_timeout=10) as meeting:
        outcomes = [person.outcome for person in meeting.participants]
        assert outcomes == [Outcome.JOINED, Outcome.JOINED, Outcome.NO_ANSWER]


async def test_a_call_that_is_held_back_can_be_hung_up() -> None:
    provider = FakeProvider(queues_for=40)
    async with client(provider) as calls:
        with anyio.move_on_after(1):
            await calls.connect(*PEOPLE[:3]).__aenter__()
    assert provider.exchange.still_up() == ()
    await anyio.sleep(60)
    assert provider.exchange.still_up() == ()
    assert {call.ringing_at for call in provider.exchange.calls.values()} == {None}


# --- how many calls there can be


def test_a_meeting_that_needs_more_calls_than_there_are_is_refused_in_words() -> None:
    can = Capabilities(max_calls=2, max_members=20)
    with pytest.raises(PolicyError, match=r"^5 parties need 5 calls, and the provider carries 2 at a time$"):
        plan(PEOPLE[:5], policy=Policy(), capabilities=can, caller_id=OURS)
    assert plan(PEOPLE[:2], policy=Policy(), capabilities=can, caller_id=OURS).limit == 2
    with pytest.raises(PolicyError, match="more than the provider's maximum of 3"):
        plan(PEOPLE[:5], policy=Policy(), capabilities=evolve(can, max_calls=9, max_members=3), caller_id=OURS)


async def test_a_party_for_whom_there_was_no_call_left_has_not_rejected_it() -> None:
    provider = FakeProvider(max_calls=5)
    async with client(provider) as calls, calls.connect(*PEOPLE[:3]), calls.connect(*PEOPLE[3:6]) as second:
        (person,) = [each for each in second.participants if each.outcome is not Outcome.JOINED]
        assert person.outcome is Outcome.NO_CAPACITY
        assert person.error == "the provider carries no more calls at the moment"
    assert provider.exchange.still_up() == ()


def test_a_cause_says_in_words_what_the_outcome_does_not() -> None:
    assert {cause for cause in EndCause if Failure.of_cause(cause) is not None} == {
        EndCause.CAPACITY,
        EndCause.FAILED,
        EndCause.HANGUP,
        EndCause.UNKNOWN,
    }


# --- what records tell


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("events", ["stream", "poll"])
async def test_who_is_not_shown_as_answered_is_not_hung_up_on(shape: str, events: str) -> None:
    provider = FakeProvider(shape=shape, events=events, tells_answers=False)
    if events == "stream":
        provider.deliver = _nothing  # the news of the answers is lost
    async with client(provider) as calls, calls.connect(*PEOPLE[:3], answer_timeout=10) as meeting:
        assert [person.outcome for person in meeting.participants] == [Outcome.JOINED] * 3


async def test_who_rings_for_too_long_is_not_taken_for_answered() -> None:
    """The platform lets it ring for longer than is asked for, so that it is up then says nothing."""
    provider = FakeProvider(tells_answers=False, shortest_ring=30)
    provider.party(PEOPLE[2]).never_answers()
    async with client(provider) as calls, calls.connect(*PEOPLE[:3], answer_timeout=4) as meeting:
        assert meeting.participants[2].outcome is Outcome.NO_ANSWER
    assert sent(provider, "hang_up") == 3


# --- bridges


async def test_a_bridge_that_ends_with_its_calls_is_not_ended_and_does_not_grow() -> None:
    provider = FakeProvider(bridge_ends="with_its_calls", bridge_hangs_up=True)
    async with client(provider) as calls:
        async with calls.connect(*PEOPLE[:2]) as meeting:
            with pytest.raises(PolicyError, match="cannot move a call from a bridge into a conference"):
                await meeting.add(PEOPLE[2])
        assert not any(record.operation == "end_bridge" for record in meeting.trace.records)
        (bridge,) = provider.exchange.bridges.values()
        with pytest.raises(Unsupported):
            await calls.direct.end_bridge(Bridge(provider="fake", id=bridge.id))
    assert provider.exchange.still_up() == ()


async def test_where_one_is_hung_up_with_the_other_both_have_left() -> None:
    provider = FakeProvider(bridge_hangs_up=True)
    provider.party(PEOPLE[0]).hangs_up(after=5)
    async with client(provider) as calls, calls.connect(*PEOPLE[:2]) as meeting:
        await meeting.wait_until_ended()
        assert [person.outcome for person in meeting.participants] == [Outcome.LEFT] * 2


async def test_what_says_that_it_can_move_what_it_cannot_part_does_not_grow() -> None:
    provider = FakeProvider(bridge_ends="with_its_calls")
    lies = Changed(bridge_to_conference=True)
    async with client(provider, plugins=[lies]) as calls, calls.connect(*PEOPLE[:2]) as meeting:
        with pytest.raises(PolicyError, match="cannot move a call"):
            await meeting.add(PEOPLE[2])


# --- what cannot be done without a URL of ours


async def test_a_client_without_a_url_does_not_open_where_one_is_needed() -> None:
    needy = Changed(needs_webhooks=True)
    with pytest.raises(ConfkitError, match="fake needs public_url"):
        await client(FakeProvider(), plugins=[needy]).__aenter__()
    async with client(FakeProvider(), plugins=[needy], public_url=URL):
        pass


@pytest.mark.parametrize(
    ("declared", "refused"),
    [
        ("play", {"text", "url", "room"}),
        ("play:call", {"text", "url"}),
        ("play:text", {"text"}),
        ("play:loop", set()),
        ("record", set()),
    ],
)
async def test_an_operation_that_needs_a_url_is_refused_without_one(declared: str, refused: set[str]) -> None:
    provider = FakeProvider()
    needy = Changed(needs_public_url_for=frozenset({declared}))
    async with client(provider, plugins=[needy]) as calls:
        assert await _refused(calls) == refused
        assert sent(provider, "play") == 3 - len(refused)
    async with client(FakeProvider(), plugins=[needy], public_url=URL) as calls:
        assert await _refused(calls) == set()


async def _refused(calls: AsyncClient) -> set[str]:
    direct = calls.direct
    room = await direct.create_conference()
    call = (await direct.join(await direct.create_call(PEOPLE[0], into=room), room)).call_id
    target = Call(provider="fake", id=call)
    plays: dict[str, Callable[[], Awaitable[None]]] = {
        "text": lambda: direct.say(target, "Welcome"),
        "url": lambda: direct.play(target, "https://media.example.com/a.wav"),
        "room": lambda: direct.play(room, "https://media.example.com/a.wav"),
    }
    refused = {}
    for name, play in plays.items():
        try:
            await play()
        except Unsupported as error:
            refused[name] = str(error)
    assert all(said.endswith("where the provider reaches this application") for said in refused.values())
    return set(refused)


# --- how many requests are under way at a time


class UnderWay:
    """Counts the requests that wait for their replies."""

    def __init__(self) -> None:
        self.now = self.most = 0

    @hookimpl(wrapper=True)
    def create_call(self) -> Generator[None, Any, Any]:
        return self._counted((yield))

    @hookimpl(wrapper=True)
    def fetch(self) -> Generator[None, Any, Any]:
        return self._counted((yield))

    async def _counted(self, request: Awaitable[Any]) -> Any:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await request
        finally:
            self.now -= 1


@pytest.mark.parametrize("fault", [None, "refuse", "error-500", "drop-reply"])
async def test_no_more_requests_are_under_way_than_the_platform_takes(fault: str | None) -> None:
    provider = FakeProvider(latency=0.2, events="poll")
    if fault is not None:
        provider.fail("create_call", fault, times=3)
        provider.fail("fetch", "refuse", times=2)
    lanes = RateClass(name="lanes", limit=2, costs={"create_call": 1, "fetch": 1}, concurrent=True)
    watch = UnderWay()
    async with client(provider, plugins=[Changed(rates=(lanes,)), watch]) as calls:
        async with calls.connect(*PEOPLE[:6]) as meeting:
            assert [person.outcome for person in meeting.participants] == [Outcome.JOINED] * 6
        with anyio.move_on_after(0.3):  # cancelled while some are under way and others wait
            await calls.connect(*PEOPLE[:6]).__aenter__()
        async with calls.connect(*PEOPLE[:6]):
            pass
    assert watch.most == 2
