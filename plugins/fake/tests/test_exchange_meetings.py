"""Conferences and bridges at the exchange."""

from __future__ import annotations

import anyio
import pytest
from confkit_fake import ErrorCode, Exchange, ExchangeError, FactKind
from confkit_fake.exchange import Call, Conference, MediaKind, Member

from confkit.provider import BridgeState, CallState, ConferenceState, EndCause, MemberState

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

OURS = "+12018994444"


def refused(code: ErrorCode) -> pytest.RaisesExc[ExchangeError]:
    return pytest.RaisesExc(ExchangeError, check=lambda error: error.code is code)


def number(index: int) -> str:
    return f"+1919555{index:04}"


def answered(exchange: Exchange, count: int, conference_id: str | None = None) -> list[Call]:
    calls = [exchange.dial(number(index), caller_id=OURS, conference_id=conference_id) for index in range(count)]
    exchange.advance()
    return calls


def conference_of(exchange: Exchange, count: int) -> tuple[Conference, list[Call], list[Member]]:
    conference = exchange.create_conference(caller_id=OURS)
    calls = answered(exchange, count, conference.id)
    return conference, calls, [exchange.add_member(conference.id, call.id) for call in calls]


async def test_a_conference_waits_for_its_first_member_for_ever() -> None:
    exchange = Exchange()
    conference = exchange.create_conference(caller_id=OURS)
    await anyio.sleep(24 * 3600)
    exchange.advance()
    assert conference.state is ConferenceState.CREATED
    assert exchange.still_up() == (conference.id,)


async def test_the_last_member_out_ends_the_conference() -> None:
    exchange = Exchange()
    conference, calls, members = conference_of(exchange, 2)
    exchange.remove_member(members[0].id)
    assert exchange.still_up() == (calls[0].id, calls[1].id, conference.id)
    exchange.hang_up(calls[1].id)
    assert conference.state is ConferenceState.ENDED
    assert [member.state for member in exchange.members_of(conference.id)] == [MemberState.LEFT] * 2
    assert calls[0].state is CallState.ANSWERED
    with refused(ErrorCode.CONFERENCE_ENDED):
        exchange.add_member(conference.id, calls[0].id)
    with refused(ErrorCode.CONFERENCE_ENDED):
        exchange.dial(number(9), caller_id=OURS, conference_id=conference.id)
    with refused(ErrorCode.CONFERENCE_ENDED):
        exchange.update_conference(conference.id, mute=True)


@pytest.mark.parametrize("hangs_up", [True, False])
async def test_ending_a_conference(hangs_up: bool) -> None:
    exchange = Exchange(end_hangs_up=hangs_up)
    conference, calls, members = conference_of(exchange, 3)
    exchange.end_conference(conference.id)
    assert {member.state for member in members} == {MemberState.LEFT}
    assert {call.state for call in calls} == {CallState.ENDED if hangs_up else CallState.ANSWERED}
    assert [fact.kind for fact in exchange.history].count(FactKind.CONFERENCE_ENDED) == 1
    with refused(ErrorCode.CONFERENCE_ENDED):
        exchange.end_conference(conference.id)
    with refused(ErrorCode.MEMBER_LEFT):
        exchange.remove_member(members[0].id)


async def test_who_may_become_a_member() -> None:
    exchange = Exchange()
    conference, calls, _ = conference_of(exchange, 1)
    exchange.party(number(7)).never_answers()
    ringing = exchange.dial(number(7), caller_id=OURS, conference_id=conference.id)
    other = exchange.create_conference(caller_id=OURS)
    (elsewhere,) = answered(exchange, 1, other.id)
    (loose, gone) = answered(exchange, 2)
    exchange.hang_up(gone.id)
    for call_id, code in (
        (ringing.id, ErrorCode.CALL_NOT_ANSWERED),
        (elsewhere.id, ErrorCode.CALL_OF_OTHER_CONFERENCE),
        (gone.id, ErrorCode.CALL_OVER),
        (calls[0].id, ErrorCode.ALREADY_MEMBER),
        ("c-none", ErrorCode.CALL_NOT_FOUND),
    ):
        with refused(code):
            exchange.add_member(conference.id, call_id)
    exchange.add_member(conference.id, loose.id)


async def test_a_strict_exchange_takes_only_the_calls_that_were_dialled_for_the_conference() -> None:
    exchange = Exchange(only_own_calls=True)
    conference = exchange.create_conference(caller_id=OURS)
    (loose,) = answered(exchange, 1)
    with refused(ErrorCode.CALL_OF_OTHER_CONFERENCE):
        exchange.add_member(conference.id, loose.id)


async def test_the_maximum_counts_who_is_in() -> None:
    exchange = Exchange(max_members=2)
    conference = exchange.create_conference(caller_id=OURS)
    first, second, third = answered(exchange, 3, conference.id)
    member = exchange.add_member(conference.id, first.id)
    exchange.add_member(conference.id, second.id)
    with refused(ErrorCode.CONFERENCE_FULL):
        exchange.add_member(conference.id, third.id)
    exchange.remove_member(member.id)
    exchange.add_member(conference.id, third.id)
    again = answered(exchange, 1, conference.id)[0]
    with refused(ErrorCode.CONFERENCE_FULL):
        exchange.add_member(conference.id, again.id)


async def test_who_left_comes_back_as_a_new_member() -> None:
    exchange = Exchange()
    conference, calls, members = conference_of(exchange, 2)
    exchange.remove_member(members[0].id)
    again = exchange.add_member(conference.id, calls[0].id)
    assert again.id != members[0].id
    assert len(exchange.members_of(conference.id)) == 3


async def test_joining_on_answer() -> None:
    exchange = Exchange(max_members=1)
    exchange.party(number(1)).answers(after=1)
    exchange.party(number(2)).answers(after=2)
    exchange.party(number(3)).answers(after=9)
    conference = exchange.create_conference(caller_id=OURS)
    joined, full, late = (
        exchange.dial(number(index), caller_id=OURS, conference_id=conference.id, join_on_answer=True)
        for index in (1, 2, 3)
    )
    await anyio.sleep(3)
    exchange.advance()
    assert [member.call_id for member in exchange.active_members(conference.id)] == [joined.id]
    assert full.cause is EndCause.FAILED
    exchange.hang_up(joined.id)
    await anyio.sleep(10)
    exchange.advance()
    assert late.cause is EndCause.CANCELLED  # its conference was over by then


async def test_a_conference_out_of_an_answered_call() -> None:
    exchange = Exchange()
    (call,) = answered(exchange, 1)
    member = exchange.seed_conference(call.id, caller_id=OURS)
    assert exchange.conferences[member.conference_id].state is ConferenceState.ACTIVE
    with refused(ErrorCode.ALREADY_MEMBER):
        exchange.seed_conference(call.id, caller_id=OURS)
    assert len(exchange.conferences) == 1


async def test_mute_and_hold_of_member_and_conference_add_up() -> None:
    exchange = Exchange()
    conference, (ann, bob), (member, _) = conference_of(exchange, 2)
    assert exchange.hears(bob.id, ann.id)
    exchange.update_member(member.id, mute=True)
    exchange.update_conference(conference.id, mute=True)
    assert not exchange.hears(ann.id, bob.id)
    exchange.update_conference(conference.id, mute=False)
    assert exchange.hears(ann.id, bob.id)
    assert not exchange.hears(bob.id, ann.id)  # the member's own mute stays in force
    exchange.update_member(member.id, mute=False, hold=True)
    assert not exchange.hears(ann.id, bob.id)
    exchange.update_member(member.id, hold=False, deaf=True)
    assert not exchange.hears(ann.id, bob.id)
    assert exchange.hears(bob.id, ann.id)


async def test_a_coach_is_heard_by_one_only() -> None:
    exchange = Exchange()
    _, (ann, bob, eve), (coach, _, _) = conference_of(exchange, 3)
    exchange.update_member(coach.id, coach=bob.id)
    assert exchange.hears(bob.id, ann.id)
    assert not exchange.hears(eve.id, ann.id)
    exchange.update_member(coach.id, coach="")
    assert exchange.hears(eve.id, ann.id)
    with refused(ErrorCode.MEMBER_NOT_FOUND):
        exchange.update_member(coach.id, coach="c-none")


async def test_an_update_that_changes_nothing_is_no_fact() -> None:
    exchange = Exchange()
    conference, _, (member, _) = conference_of(exchange, 2)
    exchange.update_member(member.id, mute=True)
    facts = len(exchange.history)
    exchange.update_member(member.id, mute=True)
    exchange.update_conference(conference.id, mute=False)
    assert len(exchange.history) == facts


async def test_a_bridge_of_two_answered_calls_is_active_and_over_when_both_have_gone() -> None:
    exchange = Exchange()
    ann, bob = answered(exchange, 2)
    bridge = exchange.create_bridge([ann.id, bob.id])
    assert bridge.activated_at is not None
    assert exchange.hears(ann.id, bob.id)
    exchange.hang_up(ann.id)
    assert bridge.call_ids == [bob.id]
    exchange.hang_up(bob.id)
    assert bridge.state is BridgeState.ENDED
    with refused(ErrorCode.BRIDGE_OVER):
        exchange.update_bridge(bridge.id, audio=False)


async def test_calls_dialled_into_a_bridge_are_on_it_when_they_answer() -> None:
    exchange = Exchange()
    bridge = exchange.create_bridge()
    exchange.party(number(0)).answers(after=1)
    exchange.party(number(1)).busy(after=2)
    exchange.dial(number(0), caller_id=OURS, bridge_id=bridge.id)
    exchange.dial(number(1), caller_id=OURS, bridge_id=bridge.id)
    with refused(ErrorCode.BRIDGE_FULL):
        exchange.dial(number(2), caller_id=OURS, bridge_id=bridge.id)
    await anyio.sleep(3)
    exchange.advance()
    assert bridge.activated_at is None
    exchange.dial(number(2), caller_id=OURS, bridge_id=bridge.id)  # the busy one has given up its place
    exchange.advance()
    assert bridge.state is BridgeState.ACTIVE


async def test_a_bridge_that_nobody_was_on_waits() -> None:
    exchange = Exchange()
    bridge = exchange.create_bridge()
    exchange.party(number(0)).busy()
    exchange.dial(number(0), caller_id=OURS, bridge_id=bridge.id)
    exchange.advance()
    assert bridge.state is BridgeState.CREATED


async def test_the_list_of_calls_replaces_who_is_on_a_bridge() -> None:
    exchange = Exchange()
    first, second, third, fourth = answered(exchange, 4)
    bridge = exchange.create_bridge([first.id, second.id])
    exchange.update_bridge(bridge.id, call_ids=[first.id])
    assert bridge.call_ids == [first.id]
    exchange.update_bridge(bridge.id, call_ids=[third.id, fourth.id])
    assert bridge.call_ids == [third.id, fourth.id]
    exchange.update_bridge(bridge.id, audio=False)
    assert (bridge.state, bridge.call_ids) == (BridgeState.HELD, [third.id, fourth.id])
    assert not exchange.hears(third.id, fourth.id)
    with refused(ErrorCode.BRIDGE_FULL):
        exchange.update_bridge(bridge.id, call_ids=[first.id, second.id, third.id])
    with refused(ErrorCode.CALL_IN_OTHER_BRIDGE):
        exchange.create_bridge([third.id])
    exchange.update_bridge(bridge.id, call_ids=[])
    assert bridge.state is BridgeState.ENDED
    assert third.state is CallState.ANSWERED


async def test_a_call_moves_from_a_bridge_into_a_conference_but_not_back() -> None:
    exchange = Exchange()
    ann, bob = answered(exchange, 2)
    bridge = exchange.create_bridge([ann.id, bob.id])
    conference = exchange.create_conference(caller_id=OURS)
    exchange.add_member(conference.id, ann.id)
    assert bridge.call_ids == [bob.id]
    exchange.add_member(conference.id, bob.id)
    assert bridge.state is BridgeState.ENDED
    assert exchange.hears(ann.id, bob.id)
    with refused(ErrorCode.CALL_IN_CONFERENCE):
        exchange.create_bridge([ann.id, bob.id])


async def test_speech_ends_by_itself_and_a_loop_when_it_is_stopped() -> None:
    exchange = Exchange()
    conference, (call, _), _ = conference_of(exchange, 2)
    exchange.play(conference.id, text="hello", duration=2)
    exchange.play(call.id, url="http://files.example/a.mp3", loop=True)
    await anyio.sleep(100)
    exchange.advance()
    assert [playback.target.id for playback in exchange.playing] == [call.id]
    assert not exchange.stop_playing(call.id, MediaKind.SPEECH)
    assert exchange.stop_playing(call.id, MediaKind.FILE)
    assert not exchange.stop_playing(call.id)
    facts = [(fact.kind, fact.media, fact.conference_id, fact.call_id) for fact in exchange.history[-4:]]
    assert facts == [
        (FactKind.PLAYBACK_STARTED, MediaKind.SPEECH, conference.id, None),
        (FactKind.PLAYBACK_STARTED, MediaKind.FILE, None, call.id),
        (FactKind.PLAYBACK_ENDED, MediaKind.SPEECH, conference.id, None),
        (FactKind.PLAYBACK_ENDED, MediaKind.FILE, None, call.id),
    ]


async def test_new_speech_replaces_the_old_and_the_end_silences_all() -> None:
    exchange = Exchange()
    conference, _, (member, _) = conference_of(exchange, 2)
    exchange.play(conference.id, text="one")
    exchange.play(conference.id, text="two")
    exchange.play(conference.id, url="http://files.example/a.mp3", loop=True)
    exchange.play(member.id, text="you")
    assert len(exchange.playing) == 3
    exchange.end_conference(conference.id)
    assert not exchange.playing
    with refused(ErrorCode.CONFERENCE_ENDED):
        exchange.play(conference.id, text="three")


async def test_nothing_plays_to_an_empty_bridge() -> None:
    exchange = Exchange()
    bridge = exchange.create_bridge()
    with refused(ErrorCode.BRIDGE_EMPTY):
        exchange.play(bridge.id, text="hello")


async def test_chosen_ids_are_used_once() -> None:
    exchange = Exchange()
    assert exchange.create_conference(caller_id=OURS, id="mine").id == "mine"
    with refused(ErrorCode.DUPLICATE_ID):
        exchange.create_conference(caller_id=OURS, id="mine")


async def test_the_same_seed_gives_the_same_ids() -> None:
    def ids(seed: int) -> list[str]:
        exchange = Exchange(seed=seed)
        conference, calls, members = conference_of(exchange, 3)
        return [conference.id, *(call.id for call in calls), *(member.id for member in members)]

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)
