"""Whatever is asked of the exchange in whatever order, its invariants hold."""

from __future__ import annotations

from typing import Any

import anyio
import trio.testing
from confkit_fake import Exchange, ExchangeError, FactKind
from hypothesis import given, settings
from hypothesis import strategies as st

from confkit.provider import BridgeState, CallState, ConferenceState, MemberState, RecordAction

OURS = "+12018994444"
MAXIMUM = 3

REACTIONS = ("answers", "busy", "rejects", "unreachable", "never_answers")
OPERATIONS = (
    "create_conference",
    "seed_conference",
    "end_conference",
    "dial",
    "dial_into",
    "dial_joining",
    "dial_bridge",
    "incoming",
    "answer",
    "reject",
    "hang_up",
    "add_member",
    "remove_member",
    "update_member",
    "create_bridge",
    "update_bridge",
    "end_bridge",
    "transfer",
    "play",
    "stop_playing",
    "record",
    "press",
    "wait",
)
small = st.integers(0, 9)
steps = st.lists(st.tuples(st.sampled_from(OPERATIONS), small, small, st.booleans()), min_size=25, max_size=50)
# Most parties answer: who does not gives the other operations nothing to work on.
scripts = st.lists(
    st.tuples(st.sampled_from(("answers",) * 6 + REACTIONS), st.integers(0, 4), st.none() | st.integers(0, 9)),
    min_size=8,
    max_size=8,
)


def pick(records: dict[str, Any], index: int) -> str:
    ids = list(records)
    return ids[index % len(ids)] if ids else "none"


def populate(exchange: Exchange) -> None:
    """A conference with two members, an empty one, a bridge, and calls that stand alone."""
    numbers = [f"+191955510{index:02}" for index in range(6)]
    conference = exchange.create_conference(caller_id=OURS)
    exchange.create_conference(caller_id=OURS, interpret_digits=False)
    inside = [exchange.dial(to, caller_id=OURS, conference_id=conference.id) for to in numbers[:2]]
    bridged = [exchange.dial(to, caller_id=OURS) for to in numbers[2:4]]
    for to in numbers[4:]:
        exchange.dial(to, caller_id=OURS)
    exchange.advance()
    for call in inside:
        exchange.add_member(conference.id, call.id)
    exchange.create_bridge([call.id for call in bridged])


def perform(exchange: Exchange, name: str, a: int, b: int, flag: bool) -> None:
    conference, call = pick(exchange.conferences, a), pick(exchange.calls, b)
    bridge, member = pick(exchange.bridges, a), pick(exchange.members, b)
    party = f"+1919555000{b}"
    anything = pick({**exchange.conferences, **exchange.calls, **exchange.bridges, **exchange.members}, a + b)
    match name:
        case "create_conference":
            exchange.create_conference(caller_id=OURS, interpret_digits=flag)
        case "seed_conference":
            exchange.seed_conference(call, caller_id=OURS)
        case "end_conference":
            exchange.end_conference(conference)
        case "dial":
            exchange.dial(party, caller_id=OURS, ring_for=3)
        case "dial_into" | "dial_joining":
            joining = name == "dial_joining"
            exchange.dial(party, caller_id=OURS, conference_id=conference, join_on_answer=joining)
        case "dial_bridge":
            exchange.dial(party, caller_id=OURS, bridge_id=bridge)
        case "incoming":
            exchange.incoming(party, OURS, ring_for=3)
        case "answer":
            exchange.answer(call, conference_id=conference if flag else None)
        case "reject":
            exchange.reject(call)
        case "hang_up":
            exchange.hang_up(call)
        case "add_member":
            exchange.add_member(conference, call, mute=flag)
        case "remove_member":
            exchange.remove_member(member)
        case "update_member":
            exchange.update_member(member, mute=flag, hold=not flag)
        case "create_bridge":
            exchange.create_bridge([call, pick(exchange.calls, a)] if flag else [])
        case "update_bridge":
            exchange.update_bridge(bridge, call_ids=[call] if flag else None, audio=flag)
        case "end_bridge":
            exchange.end_bridge(bridge)
        case "transfer":
            exchange.transfer(call, party, caller_id=OURS, ring_for=3)
        case "play":
            exchange.play(anything, text="hello", loop=flag)
        case "stop_playing":
            exchange.stop_playing(anything)
        case "record":
            exchange.record(anything, list(RecordAction)[a % 3])
        case "press":
            exchange.press(call, "5#")


def check(exchange: Exchange) -> None:
    for conference in exchange.conferences.values():
        inside = exchange.active_members(conference.id)
        assert (conference.state is ConferenceState.ACTIVE) == bool(inside)
        assert (conference.state is ConferenceState.ENDED) == (conference.ended_at is not None)
        assert len(inside) <= MAXIMUM
        if conference.state is ConferenceState.CREATED:
            assert not exchange.members_of(conference.id)
    bridged = [call_id for bridge in exchange.bridges.values() for call_id in bridge.call_ids]
    assert len(bridged) == len(set(bridged))
    for call in exchange.calls.values():
        places = [
            member
            for member in exchange.members.values()
            if member.call_id == call.id and member.state is MemberState.JOINED
        ]
        assert len(places) <= 1
        assert exchange.place_of(call.id) == (places[0] if places else None)
        if places:
            assert call.state is CallState.ANSWERED
            assert call.conference_id == places[0].conference_id
            assert call.id not in bridged
        assert (call.state is CallState.ENDED) == (call.cause is not None) == (call.ended_at is not None)
        if call.state is CallState.ENDED:
            assert call.id not in bridged
    for bridge in exchange.bridges.values():
        answered = [each for each in bridge.call_ids if exchange.calls[each].state is CallState.ANSWERED]
        assert len(bridge.call_ids) <= 2
        assert (bridge.state in (BridgeState.ACTIVE, BridgeState.HELD)) == (len(answered) == 2)
        if bridge.state is BridgeState.ENDED:
            assert not bridge.call_ids
    for playback in exchange.playing:
        target = playback.target.id
        over = (
            (target in exchange.calls and exchange.calls[target].state is CallState.ENDED)
            or (target in exchange.members and exchange.members[target].state is MemberState.LEFT)
            or (target not in exchange.still_up() and target in exchange.conferences | exchange.bridges)
        )
        assert not over


def check_facts(exchange: Exchange) -> None:
    times = [fact.at for fact in exchange.history]
    assert times == sorted(times)
    ended = [fact.call_id for fact in exchange.history if fact.kind is FactKind.CALL_ENDED]
    assert len(ended) == len(set(ended))
    balance: dict[str | None, int] = {}
    for fact in exchange.history:
        if fact.kind in (FactKind.MEMBER_JOINED, FactKind.MEMBER_LEFT):
            balance[fact.conference_id] = balance.get(fact.conference_id, 0) + (
                1 if fact.kind is FactKind.MEMBER_JOINED else -1
            )
            assert fact.active_members == balance[fact.conference_id]
    dialled = sum(len(calls) for calls in exchange.rings.values())
    incoming = sum(fact.kind is FactKind.CALL_INCOMING for fact in exchange.history)
    assert dialled + incoming == len(exchange.calls)


@settings(max_examples=60)
@given(script=scripts, steps=steps, hangs_up=st.booleans())
def test_no_order_of_requests_breaks_the_exchange(
    script: list[tuple[str, int, int | None]],
    steps: list[tuple[str, int, int, bool]],
    hangs_up: bool,
) -> None:
    async def run() -> None:
        exchange = Exchange(max_members=MAXIMUM, end_hangs_up=hangs_up)
        for index, (reaction, after, hang_up_after) in enumerate(script):
            party = exchange.party(f"+1919555000{index}")
            party.never_answers() if reaction == "never_answers" else getattr(party, reaction)(after)
            if hang_up_after is not None:
                party.hangs_up(hang_up_after)
        listener = exchange.facts()
        populate(exchange)
        for name, a, b, flag in steps:
            facts = len(exchange.history)
            try:
                if name == "wait":
                    await anyio.sleep(a)
                    exchange.advance()
                else:
                    exchange.advance()
                    facts = len(exchange.history)
                    perform(exchange, name, a, b, flag)
            except ExchangeError:
                assert len(exchange.history) == facts  # a refusal changes nothing
            check(exchange)
        check_facts(exchange)
        heard = [await anext(listener) for _ in exchange.history]
        assert heard == list(exchange.history)

    anyio.run(run, backend="trio", backend_options={"clock": trio.testing.MockClock(autojump_threshold=0)})
