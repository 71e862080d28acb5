"""Calls at the exchange: what parties do, what the application may do when, and what the facts say."""

from __future__ import annotations

import anyio
import pytest
from confkit_fake import ErrorCode, Exchange, ExchangeError, FactKind
from confkit_fake.exchange import RecordingState

from confkit.provider import CallState, EndCause, MemberState, RecordAction

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

OURS = "+12018994444"
ANN = "+19195550101"
BOB = "+19195550102"


def refused(code: ErrorCode) -> pytest.RaisesExc[ExchangeError]:
    return pytest.RaisesExc(ExchangeError, check=lambda error: error.code is code)


def kinds(exchange: Exchange) -> list[FactKind]:
    return [fact.kind for fact in exchange.history]


async def test_an_unscripted_party_rings_and_answers_at_once() -> None:
    exchange = Exchange()
    call = exchange.dial(ANN, caller_id=OURS)
    assert kinds(exchange) == [FactKind.CALL_RINGING]
    exchange.advance()
    assert call.state is CallState.ANSWERED
    assert kinds(exchange) == [FactKind.CALL_RINGING, FactKind.CALL_ANSWERED]


async def test_a_script_answers_and_hangs_up_at_its_moments() -> None:
    exchange = Exchange()
    exchange.party(ANN).answers(after=2).hangs_up(after=30)
    call = exchange.dial(ANN, caller_id=OURS)
    await anyio.sleep(1.9)
    exchange.advance()
    assert kinds(exchange) == [FactKind.CALL_RINGING]
    await anyio.sleep(100)
    exchange.advance()
    assert (call.state, call.cause) == (CallState.ENDED, EndCause.HANGUP)
    assert call.answered_at is not None
    assert call.ended_at is not None
    assert (call.answered_at - call.created_at).total_seconds() == pytest.approx(2)
    assert (call.ended_at - call.answered_at).total_seconds() == pytest.approx(30)


@pytest.mark.parametrize(
    ("reaction", "cause", "seconds", "rings"),
    [
        ("busy", EndCause.BUSY, 3, False),
        ("rejects", EndCause.REJECTED, 3, True),
        ("unreachable", EndCause.UNALLOCATED, 3, False),
        ("never_answers", EndCause.NO_ANSWER, 20, True),
    ],
)
async def test_how_a_call_fails(reaction: str, cause: EndCause, seconds: float, rings: bool) -> None:
    exchange = Exchange()
    script = exchange.party(ANN)
    getattr(script, reaction)(*([] if reaction == "never_answers" else [3]))
    call = exchange.dial(ANN, caller_id=OURS, ring_for=20)
    await anyio.sleep(60)
    exchange.advance()
    assert call.cause is cause
    assert call.ended_at is not None
    assert (call.ended_at - call.created_at).total_seconds() == pytest.approx(seconds)
    assert (FactKind.CALL_RINGING in kinds(exchange)) is rings
    assert exchange.rings == {ANN: [call.id]}
    assert exchange.still_up() == ()


async def test_an_answer_after_the_ring_timeout_never_comes() -> None:
    exchange = Exchange()
    exchange.party(ANN).answers(after=30)
    call = exchange.dial(ANN, caller_id=OURS, ring_for=10)
    await anyio.sleep(60)
    exchange.advance()
    assert call.cause is EndCause.NO_ANSWER
    assert FactKind.CALL_ANSWERED not in kinds(exchange)


async def test_two_spellings_of_a_sip_address_are_one_party() -> None:
    exchange = Exchange()
    exchange.party("sip:ann@EXAMPLE.com").busy()
    call = exchange.dial("sip:ann@example.com", caller_id=OURS)
    exchange.advance()
    assert call.cause is EndCause.BUSY


async def test_hanging_up() -> None:
    exchange = Exchange()
    exchange.party(BOB).never_answers()
    answered, ringing = exchange.dial(ANN, caller_id=OURS), exchange.dial(BOB, caller_id=OURS)
    exchange.hang_up(answered.id)
    exchange.hang_up(ringing.id)
    assert (answered.cause, ringing.cause) == (EndCause.HANGUP, EndCause.CANCELLED)
    with refused(ErrorCode.CALL_OVER):
        exchange.hang_up(answered.id)
    with refused(ErrorCode.CALL_NOT_FOUND):
        exchange.hang_up("c-nobody")


async def test_only_own_numbers_may_call_and_be_called() -> None:
    exchange = Exchange(numbers=[OURS])
    with refused(ErrorCode.NUMBER_NOT_OWNED):
        exchange.dial(ANN, caller_id=BOB)
    with refused(ErrorCode.NUMBER_NOT_OWNED):
        exchange.create_conference(caller_id=BOB)
    with refused(ErrorCode.NUMBER_NOT_OWNED):
        exchange.incoming(ANN, BOB)
    assert exchange.still_up() == ()
    assert exchange.rings == {}


async def test_a_refusal_masks_the_number() -> None:
    with pytest.raises(ExchangeError) as failure:
        Exchange(numbers=[OURS]).dial(ANN, caller_id=BOB)
    assert BOB not in str(failure.value)


async def test_an_incoming_call_is_answered_into_a_conference() -> None:
    exchange = Exchange()
    exchange.party(ANN).hangs_up(after=10)
    conference = exchange.create_conference(caller_id=OURS)
    call = exchange.incoming(ANN, OURS)
    assert call.state is CallState.RINGING
    exchange.answer(call.id, conference_id=conference.id)
    assert [member.call_id for member in exchange.active_members(conference.id)] == [call.id]
    with refused(ErrorCode.CALL_ANSWERED_ALREADY):
        exchange.answer(call.id)
    await anyio.sleep(11)
    assert exchange.still_up() == ()
    with refused(ErrorCode.CALL_OVER):
        exchange.reject(call.id)


async def test_an_incoming_call_is_rejected_or_given_up() -> None:
    exchange = Exchange()
    rejected, given_up = exchange.incoming(ANN, OURS), exchange.incoming(BOB, OURS, ring_for=5)
    exchange.reject(rejected.id)
    await anyio.sleep(6)
    exchange.advance()
    assert (rejected.cause, given_up.cause) == (EndCause.REJECTED, EndCause.CANCELLED)
    out = exchange.dial(ANN, caller_id=OURS)
    with refused(ErrorCode.CALL_NOT_INCOMING):
        exchange.answer(out.id)


async def test_keys_reach_the_application_outside_of_a_conference() -> None:
    exchange = Exchange()
    exchange.party(ANN).presses("5#", after=3)
    call = exchange.dial(ANN, caller_id=OURS)
    await anyio.sleep(4)
    exchange.advance()
    assert [fact.digit for fact in exchange.history if fact.kind is FactKind.DIGITS] == ["5", "#"]
    assert call.state is CallState.ANSWERED


@pytest.mark.parametrize("interprets", [True, False])
async def test_the_hash_key_leaves_a_conference_that_interprets_keys(interprets: bool) -> None:
    exchange = Exchange()
    exchange.party(ANN).presses("5#", after=3)
    conference = exchange.create_conference(caller_id=OURS, interpret_digits=interprets)
    calls = [exchange.dial(to, caller_id=OURS, conference_id=conference.id) for to in (ANN, BOB)]
    exchange.advance()
    member, _ = [exchange.add_member(conference.id, call.id) for call in calls]
    await anyio.sleep(4)
    exchange.advance()
    assert member.state is (MemberState.LEFT if interprets else MemberState.JOINED)
    assert calls[0].state is CallState.ANSWERED
    assert (FactKind.DIGITS in kinds(exchange)) is not interprets


async def test_digits_are_sent_to_answered_calls_only() -> None:
    exchange = Exchange()
    exchange.party(BOB).never_answers()
    call, ringing = exchange.dial(ANN, caller_id=OURS), exchange.dial(BOB, caller_id=OURS)
    exchange.send_digits(call.id, "1WWW,59#")
    assert call.digits_sent == ["1WWW,59#"]
    with refused(ErrorCode.CALL_NOT_ANSWERED):
        exchange.send_digits(ringing.id, "1")
    with refused(ErrorCode.CALL_NOT_ANSWERED):
        exchange.press(ringing.id, "1")


async def test_a_transferred_call_leaves_its_conference_and_ends_with_the_new_one() -> None:
    exchange = Exchange()
    exchange.party(BOB).answers(after=1).hangs_up(after=5)
    conference = exchange.create_conference(caller_id=OURS)
    call = exchange.dial(ANN, caller_id=OURS, conference_id=conference.id)
    exchange.advance()
    exchange.add_member(conference.id, call.id)
    new = exchange.transfer(call.id, BOB, caller_id=OURS)
    assert (call.transferred_to, exchange.place_of(call.id)) == (new.id, None)
    await anyio.sleep(2)
    exchange.advance()
    assert (call.state, new.state) == (CallState.ANSWERED, CallState.ANSWERED)
    await anyio.sleep(10)
    assert exchange.still_up() == ()


async def test_hanging_up_a_transferred_call_cancels_the_ringing_one() -> None:
    exchange = Exchange()
    exchange.party(BOB).never_answers()
    call = exchange.dial(ANN, caller_id=OURS)
    exchange.advance()
    new = exchange.transfer(call.id, BOB, caller_id=OURS)
    exchange.hang_up(call.id)
    assert new.cause is EndCause.CANCELLED


async def test_recordings_start_pause_go_on_and_stop() -> None:
    exchange = Exchange()
    call = exchange.dial(ANN, caller_id=OURS)
    with refused(ErrorCode.NOT_RECORDING):
        exchange.record(call.id, RecordAction.STOP)
    first = exchange.record(call.id, RecordAction.START)
    with refused(ErrorCode.ALREADY_RECORDING):
        exchange.record(call.id, RecordAction.START)
    exchange.record(call.id, RecordAction.PAUSE)
    assert first.state is RecordingState.PAUSED
    assert exchange.record(call.id, RecordAction.RESUME) is first
    exchange.record(call.id, RecordAction.STOP)
    second = exchange.record(call.id, RecordAction.START)
    exchange.hang_up(call.id)
    assert [(each.ordinal, each.state) for each in exchange.recordings.values()] == [
        (1, RecordingState.COMPLETE),
        (2, RecordingState.COMPLETE),
    ]
    ready = [fact.recording_id for fact in exchange.history if fact.kind is FactKind.RECORDING_READY]
    assert ready == [first.id, second.id]


async def test_a_request_that_is_refused_changes_nothing() -> None:
    exchange = Exchange()
    exchange.party(ANN).never_answers()
    conference = exchange.create_conference(caller_id=OURS)
    call = exchange.dial(ANN, caller_id=OURS, conference_id=conference.id)
    before = (list(exchange.history), dict(exchange.members), list(exchange.still_up()))
    for attempt in (
        lambda: exchange.add_member(conference.id, call.id),
        lambda: exchange.add_member("conf-none", call.id),
        lambda: exchange.create_bridge([call.id]),
        lambda: exchange.transfer(call.id, BOB, caller_id=OURS),
        lambda: exchange.seed_conference(call.id, caller_id=OURS),
        lambda: exchange.play(call.id, text="hello"),
        lambda: exchange.remove_member("member-none"),
        lambda: exchange.end_bridge("brg-none"),
    ):
        with pytest.raises(ExchangeError):
            attempt()
    assert (list(exchange.history), dict(exchange.members), list(exchange.still_up())) == before
