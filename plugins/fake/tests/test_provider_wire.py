"""What can happen on the way: faults, look-ups after them, limits, latency, and the record of requests."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest
from confkit_fake import FakeProvider, FaultKind

from confkit.provider import (
    Call,
    CallSpec,
    CallState,
    Conference,
    ConferenceSpec,
    ConferenceState,
    Conflict,
    Dialled,
    FindHint,
    MemberOptions,
    Op,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Unavailable,
)

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

OURS = "+12018994444"
ANN = "+19195550101"
HINT = FindHint(operation="create_call", to=ANN)


async def dial(
    fake: FakeProvider, key: str = "dial", attempt: int = 1, timeout: float = 10, into: Conference | None = None
) -> Dialled:
    op = Op(key=key, attempt=attempt, timeout=timedelta(seconds=timeout))
    return await fake.create_call(spec=CallSpec(to=ANN, caller_id=OURS), op=op, into=into)


@pytest.mark.parametrize(
    ("kind", "raised", "answered", "executed"),
    [
        ("refuse", Unavailable, None, False),
        ("drop-reply", OutcomeUnknown, False, True),
        ("lost", OutcomeUnknown, False, False),
        ("error-500", OutcomeUnknown, True, False),
        ("error-after", OutcomeUnknown, True, True),
        ("rate-limit", RateLimited, None, False),
    ],
)
async def test_a_fault_and_what_really_happened(
    kind: str, raised: type[ProviderError], answered: bool | None, executed: bool
) -> None:
    fake = FakeProvider()
    fake.fail("create_call", kind)
    with pytest.raises(raised) as failure:
        await dial(fake)
    assert getattr(failure.value, "answered", None) is answered
    assert bool(fake.exchange.rings) is executed
    found = await fake.find(op_key="dial", hint=HINT)
    assert [each.id for each in found if isinstance(each, Call)] == fake.exchange.rings.get(ANN, [])
    (request, _) = fake.requests
    assert (request.operation, request.op_key, request.executed, request.outcome) == (
        "create_call",
        "dial",
        executed,
        raised.__name__,
    )
    await dial(fake, "again")


async def test_a_late_request_is_executed_after_nobody_found_it() -> None:
    fake = FakeProvider()
    fake.fail("create_call", "late", seconds=3)
    with pytest.raises(OutcomeUnknown) as failure:
        await dial(fake)
    assert not failure.value.answered
    assert await fake.find(op_key="dial", hint=HINT) == ()
    await anyio.sleep(3)
    assert len(await fake.find(op_key="dial", hint=HINT)) == 1
    assert fake.requests[0].executed


async def test_a_late_request_that_is_no_longer_possible_is_not_executed() -> None:
    fake = FakeProvider()
    conference = await fake.create_conference(spec=ConferenceSpec(caller_id=OURS), op=Op(key="room"))
    fake.fail("create_call", "late", seconds=3)
    with pytest.raises(OutcomeUnknown):
        await dial(fake, into=conference)
    await fake.end_conference(conference=conference, op=Op(key="end"))
    await anyio.sleep(5)
    fake.exchange.advance()
    assert not fake.requests[1].executed
    assert fake.exchange.still_up() == ()


async def test_a_slow_reply_comes_or_comes_too_late() -> None:
    fake = FakeProvider()
    fake.fail("create_call", "slow", seconds=2, times=2)
    start = anyio.current_time()
    await dial(fake, "patient")
    assert anyio.current_time() - start == pytest.approx(2)
    with pytest.raises(OutcomeUnknown) as failure:
        await dial(fake, "impatient", timeout=1)
    assert not failure.value.answered
    assert len(await fake.find(op_key="impatient", hint=HINT)) == 1


async def test_faults_are_counted() -> None:
    fake = FakeProvider()
    fake.fail("create_call", FaultKind.REFUSE, times=2, after=1)
    outcomes = []
    for index in range(4):
        try:
            await dial(fake, f"dial-{index}", attempt=index + 1)
            outcomes.append("ok")
        except Unavailable:
            outcomes.append("refused")
    assert outcomes == ["ok", "refused", "refused", "ok"]
    assert [request.attempt for request in fake.requests] == [1, 2, 3, 4]


async def test_faults_that_do_not_exist() -> None:
    fake = FakeProvider()
    with pytest.raises(ValueError, match="no operation 'dial'"):
        fake.fail("dial", "refuse")
    with pytest.raises(ValueError, match="explode"):
        fake.fail("create_call", "explode")


@pytest.mark.parametrize("kind", ["lost", "drop-reply", "error-500", "refuse"])
async def test_a_failed_read_leaves_nothing_unknown(kind: str) -> None:
    fake = FakeProvider()
    call = (await dial(fake)).call
    fake.fail("fetch", kind)
    with pytest.raises(Unavailable):
        await fake.fetch(ref=call)
    assert fake.requests[-1].outcome == "Unavailable"
    await fake.fetch(ref=call)


@pytest.mark.parametrize("shape", ["explicit", "fused"])
async def test_what_lost_creations_left_is_found_by_their_keys(shape: str) -> None:
    fake = FakeProvider(shape=shape)
    for operation in ("create_conference", "create_call", "add_member", "create_bridge"):
        fake.fail(operation, "drop-reply")
    with pytest.raises(OutcomeUnknown):
        await fake.create_conference(spec=ConferenceSpec(caller_id=OURS), op=Op(key="room"))
    (conference,) = await fake.find(op_key="room", hint=FindHint(operation="create_conference"))
    assert isinstance(conference, Conference)
    assert conference.key == "room"
    with pytest.raises(OutcomeUnknown):
        await dial(fake)
    (call,) = await fake.find(op_key="dial", hint=HINT)
    assert isinstance(call, Call)
    with pytest.raises(OutcomeUnknown):
        await fake.add_member(conference=conference, call=call, options=MemberOptions(), op=Op(key="add"))
    assert len(await fake.find(op_key="add", hint=FindHint(operation="add_member"))) == 1
    calls = (call, (await dial(fake, "other")).call)
    with pytest.raises(Conflict):
        await fake.create_bridge(calls=calls, op=Op(key="bridge"))  # the first is in the conference
    assert await fake.find(op_key="bridge", hint=FindHint(operation="create_bridge")) == ()
    assert await fake.find(op_key="nothing", hint=HINT) == ()


async def test_a_client_chosen_id_makes_sending_again_safe() -> None:
    fake = FakeProvider(client_ids=True)
    fake.fail("create_call", "drop-reply")
    with pytest.raises(OutcomeUnknown):
        await dial(fake)
    dialled = await dial(fake, attempt=2)
    assert dialled.call.id == "dial"
    assert fake.exchange.rings == {ANN: ["dial"]}
    spec = ConferenceSpec(caller_id=OURS)
    rooms = [await fake.create_conference(spec=spec, op=Op(key="room")) for _ in range(2)]
    members = [
        await fake.add_member(conference=rooms[0], call=dialled.call, options=MemberOptions(), op=Op(key="add"))
        for _ in range(2)
    ]
    assert rooms[0].id == rooms[1].id == "room"
    assert members[0].id == members[1].id == "add"
    assert len(fake.exchange.conferences) == len(fake.exchange.members) == 1


async def test_limits_are_enforced_and_published() -> None:
    fake = FakeProvider(rates="bandwidth")
    assert {rate.name: (rate.limit, rate.per.total_seconds()) for rate in fake.capabilities().rates} == {
        "calls": (10, 10),
        "conferences": (1, 1),
        "other calls": (1, 1),
        "bridges": (1, 1),
    }
    for index in range(10):
        await dial(fake, f"dial-{index}")
    await anyio.sleep(4)
    with pytest.raises(RateLimited) as refusal:
        await dial(fake, "dial-10")
    assert refusal.value.retry_after is not None
    assert refusal.value.retry_after.total_seconds() == pytest.approx(6)
    await anyio.sleep(6)
    await dial(fake, "dial-10", attempt=2)
    assert len(fake.exchange.calls) == 11


async def test_who_keeps_to_the_pace_is_never_refused() -> None:
    fake = FakeProvider(rates="bandwidth", latency=0.3)
    spec = ConferenceSpec(caller_id=OURS)
    for index in range(5):
        await fake.create_conference(spec=spec, op=Op(key=f"room-{index}"))
        with pytest.raises(RateLimited):
            await fake.create_conference(spec=spec, op=Op(key="hasty"))
        await anyio.sleep(0.4)
    assert len(fake.exchange.conferences) == 5


async def test_latency_is_there_and_back() -> None:
    fake = FakeProvider(latency=1)
    start = anyio.current_time()
    with anyio.move_on_after(0.6):
        await dial(fake)
    assert len(fake.exchange.calls) == 1  # it had arrived when the caller gave up
    assert fake.requests[0].outcome == "cancelled"
    with anyio.move_on_after(0.4):
        await dial(fake, "other")
    assert len(fake.exchange.calls) == 1
    await dial(fake, "third")
    assert anyio.current_time() - start == pytest.approx(2)


async def test_a_platform_that_lists_only_the_living_cannot_say_what_became_of_a_call_that_is_over() -> None:
    fake = FakeProvider(lists_ended=False)
    room = await fake.create_conference(spec=ConferenceSpec(caller_id=OURS), op=Op(key="room"))
    fake.party(ANN).busy(after=5)
    call = (await dial(fake, into=room)).call
    assert [each.id for each in await fake.find(op_key="dial", hint=HINT) if isinstance(each, Call)] == [call.id]
    assert [each.id for each in await fake.list_calls(into=room)] == [call.id]
    await anyio.sleep(5)
    with pytest.raises(OutcomeUnknown):
        await fake.find(op_key="dial", hint=HINT)
    with pytest.raises(OutcomeUnknown):
        await fake.find(op_key="never sent", hint=HINT)
    assert await fake.list_calls(into=room) == ()
    assert (await fake.fetch(ref=room)).calls == ()
    (itself,) = (await fake.fetch(ref=call)).calls
    assert itself.state is CallState.ENDED


async def test_a_platform_that_writes_whole_seconds_cuts_every_instant_that_it_tells() -> None:
    fake = FakeProvider(whole_seconds=True)
    events = fake.events()
    room = await fake.create_conference(spec=ConferenceSpec(caller_id=OURS), op=Op(key="room"))
    await anyio.sleep(0.3)
    call = (await dial(fake, into=room)).call
    member = await fake.add_member(conference=room, call=call, options=MemberOptions(), op=Op(key="join"))
    snapshot = await fake.fetch(ref=room)
    told = [event.occurred_at for event in [await anext(events) for _ in range(4)]]
    instants = (call.created_at, member.joined_at, member.conference.created_at, snapshot.calls[0].answered_at, *told)
    assert all(instant is not None and instant.microsecond == 0 for instant in instants)
    assert any(fact.at.microsecond for fact in fake.exchange.history), "the exchange itself keeps them whole"


@pytest.mark.parametrize("shape", ["on_join", "fused"])
async def test_a_room_that_is_known_by_its_name_comes_again_for_those_who_were_dialled_into_it(shape: str) -> None:
    fake = FakeProvider(shape=shape)
    fake.party(ANN).hangs_up(0.5)
    fake.party("+19195550102").answers(2)
    room = await fake.create_conference(spec=ConferenceSpec(caller_id=OURS), op=Op(key="room"))
    first = await dial(fake, "first", into=room)
    room = first.conference or room
    spec = CallSpec(to="+19195550102", caller_id=OURS)
    second = await fake.create_call(spec=spec, op=Op(key="second"), into=room)
    await anyio.sleep(1)
    fake.exchange.advance()
    assert fake.exchange.conferences[room.id or ""].state is ConferenceState.ENDED
    await anyio.sleep(1.5)
    fake.exchange.advance()
    place = fake.exchange.place_of(second.call.id)
    assert place is not None
    assert place.conference_id != room.id
    again = (await fake.fetch(ref=Conference(provider="fake", key="", id=place.conference_id))).conference
    assert again is not None
    assert again.key == room.key
