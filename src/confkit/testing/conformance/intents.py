"""What the suite asks a provider for, each with all that it needs: to lose a request, or to send it twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import define

from confkit.models.capabilities import Bridging
from confkit.models.records import (
    Call,
    ConferencePatch,
    ConferenceSpec,
    FindHint,
    MemberOptions,
    Op,
    RecordAction,
)
from confkit.testing.conformance import rules
from confkit.testing.conformance.fixture import Fixture
from confkit.testing.conformance.harness import Reaction
from confkit.testing.conformance.media import PLACES, RECORDED, SOUNDS, target
from confkit.testing.conformance.members import patch_of
from confkit.testing.conformance.rules import broken

#: What an operation can make.
MADE = ("create_conference", "create_call", "add_member", "create_bridge", "transfer", "answer_call")


@define(kw_only=True)
class Intent:
    """Something to ask a provider for, before it is asked: a request that is to be lost, or sent twice.

    Args:
        arguments: of the operation.
        hint: with which it is looked for.
        is_it: whether something that was found can be what the request made.
        to: whom it calls, or who hangs up to end it; empty for nobody.
        others: how many calls were up before it was sent.
    """

    op: Op
    arguments: dict[str, Any]
    hint: FindHint
    is_it: Callable[[Any], bool] = bool
    to: str = ""
    others: int = 0


async def _create_conference(fixture: Fixture, _: Reaction) -> Intent:
    op, spec = fixture.op(), ConferenceSpec(caller_id=fixture.harness.caller_id)
    hint = _hint("create_conference")
    return Intent(op=op, arguments={"spec": spec}, hint=hint, is_it=lambda made: made.key in ("", op.key))


async def _create_call(fixture: Fixture, reaction: Reaction) -> Intent:
    # Nobody comes to those who are the first and busy, so on some platforms there is no conference either.
    into = (await fixture.room()).conference if reaction is Reaction.ANSWERS else await fixture.conference()
    to = fixture.party(reaction)
    return Intent(
        op=fixture.op(),
        arguments={"spec": fixture.spec(to), "into": into},
        hint=_hint("create_call", into=into, to=to, caller_id=fixture.harness.caller_id),
        is_it=lambda made: made.to in ("", to),
        to=to,
    )


async def _add_member(fixture: Fixture, _: Reaction) -> Intent:
    room, to = await fixture.room(), fixture.party()
    if not fixture.fused:
        call = await fixture.answered((await fixture.dial(to, room.conference)).call)
    elif fixture.capabilities.bridge_to_conference:
        call = (await fixture.pair())[1][0]
        to = call.to
    else:
        raise broken(rules.DECLARED, "find is declared for add_member, by which no call gets in")
    return Intent(
        op=fixture.op(),
        arguments={"conference": room.conference, "call": call, "options": MemberOptions()},
        hint=_hint("add_member", into=room.conference, call=call),
        is_it=lambda made: made.call_id == call.id,
        to=to,
    )


async def _create_bridge(fixture: Fixture, _: Reaction) -> Intent:
    calls: tuple[Call, ...] = ()
    if fixture.capabilities.bridging is Bridging.AFTER:
        calls = tuple([await fixture.answered((await fixture.dial(fixture.party())).call) for _ in range(2)])
    hint = _hint("create_bridge")
    return Intent(op=fixture.op(), arguments={"calls": calls}, hint=hint, is_it=lambda made: bool(made.id))


async def _transfer(fixture: Fixture, reaction: Reaction) -> Intent:
    room, to = await fixture.room(2), fixture.party(reaction)
    return Intent(
        op=fixture.op(),
        arguments={"call": room.calls[0], "to": to, "caller_id": fixture.harness.caller_id},
        hint=_hint("transfer", call=room.calls[0], to=to, caller_id=fixture.harness.caller_id),
        is_it=lambda made: made.to in ("", to),
        to=to,
    )


async def _answer_call(fixture: Fixture, _: Reaction) -> Intent:
    caller, call = await fixture.incoming()
    return Intent(
        op=fixture.op(),
        arguments={"call": call, "into": None},
        hint=_hint("answer_call"),
        is_it=lambda made: made.id == call.id,
        to=caller,
    )


def _intent(fixture: Fixture, operation: str, **arguments: Any) -> Intent:
    """What makes nothing."""
    return Intent(op=fixture.op(), arguments=arguments, hint=_hint(operation))


def _play(place: str) -> Ask:
    async def asked(fixture: Fixture, _: Reaction) -> Intent:
        sound = next(media for name, media in SOUNDS.items() if name in fixture.capabilities.play)
        return _intent(fixture, "play", target=await target(fixture, place), media=sound)

    return asked


def _record(place: str) -> Ask:
    async def asked(fixture: Fixture, _: Reaction) -> Intent:
        return _intent(fixture, "record", target=await target(fixture, place), action=RecordAction.START)

    return asked


async def _send_digits(fixture: Fixture, _: Reaction) -> Intent:
    return _intent(fixture, "send_digits", call=(await fixture.room()).calls[0], digits="1")


async def _update_member(fixture: Fixture, _: Reaction) -> Intent:
    room = await fixture.room(2)
    flag = min(fixture.capabilities.member)
    return _intent(fixture, "update_member", member=room.members[0], patch=patch_of(flag, room))


async def _remove_member(fixture: Fixture, _: Reaction) -> Intent:
    return _intent(fixture, "remove_member", member=(await fixture.room(2)).members[0])


async def _update_conference(fixture: Fixture, _: Reaction) -> Intent:
    patch, conference = ConferencePatch(mute=True), (await fixture.room()).conference
    return _intent(fixture, "update_conference", conference=conference, patch=patch)


async def _end_conference(fixture: Fixture, _: Reaction) -> Intent:
    return _intent(fixture, "end_conference", conference=(await fixture.room()).conference)


async def _hang_up(fixture: Fixture, _: Reaction) -> Intent:
    return _intent(fixture, "hang_up", call=(await fixture.ring())[1])


async def _end_bridge(fixture: Fixture, _: Reaction) -> Intent:
    return _intent(fixture, "end_bridge", bridge=(await fixture.pair())[0])


async def _reject_call(fixture: Fixture, _: Reaction) -> Intent:
    return _intent(fixture, "reject_call", call=(await fixture.incoming())[1])


Ask = Callable[[Fixture, Reaction], Awaitable[Intent]]
#: By operation, or by operation and what it is about.
INTENTS: Mapping[str, Ask] = {
    "create_conference": _create_conference,
    "create_call": _create_call,
    "add_member": _add_member,
    "create_bridge": _create_bridge,
    "transfer": _transfer,
    "answer_call": _answer_call,
    **{f"play:{place}": _play(place) for place in PLACES},
    **{f"record:{place}": _record(place) for place in RECORDED},
    "send_digits": _send_digits,
    "update_member": _update_member,
    "remove_member": _remove_member,
    "update_conference": _update_conference,
    "end_conference": _end_conference,
    "hang_up": _hang_up,
    "end_bridge": _end_bridge,
    "reject_call": _reject_call,
}


def _hint(operation: str, **known: Any) -> FindHint:
    return FindHint(operation=operation, since=datetime.now(UTC), **known)
