"""What Asterisk does not tell when it is asked: who was dialled for what, who is muted, how a call ended.

ARI shows the channels that there are, and nothing of those that were; a channel shows neither that it is muted nor
which bridge it is in. So the provider remembers what it did and what the events said.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from attrs import define, evolve, field

from confkit.provider import Call, CallState, EndCause
from confkit_asterisk import wire
from confkit_asterisk.wire import PROVIDER

T = TypeVar("T")

#: How many calls that have ended are remembered.
_MEMORY: Final = 10_000


@define(kw_only=True)
class Leg:
    """One call.

    Args:
        into: the conference that it was dialled for, or is in.
        epoch: in which life of the event stream it was dialled.
        bridge: where it is now, a conference or a bridge of two.
        joined: whether it has been a member of ``into``.
        given_up: whether we have asked for its end.
        suppressed: the directions of its audio (``in``, ``out``) that may be suppressed at the channel.
        coach: the only call that hears it.
        coaching: the intent by which that was set up.
    """

    call: Call
    into: str | None = None
    epoch: int = 0
    rings_for: timedelta | None = None
    bridge: str | None = None
    joined: bool = False
    given_up: bool = False
    incoming: bool = False
    mute: bool = False
    hold: bool = False
    deaf: bool = False
    suppressed: set[str] = field(factory=set)
    coach: str | None = None
    coaching: str | None = None

    @property
    def over(self) -> bool:
        """Whether the call has ended."""
        return self.call.state is CallState.ENDED


@define
class State:
    """All calls of one provider object, by their ids.

    Attributes:
        legs: the calls that are up or being rung.
        ended: the latest calls that have ended.
        over: the latest conferences that have ended.
        bridges: the latest bridges of two that have connected their calls.
        muted: conferences in which everyone is muted.
        held: conferences in which everyone is on hold.
        conferences: the conferences that are open.
        played: the latest playbacks that have begun, with their targets.
        playing: by target (``bridge:<id>``, ``channel:<id>``), the playbacks that may be running.
        recording: by target, the recording that is running.
        presumed_gone: channels and bridges that have gone with the engine, as far as could be seen.
    """

    legs: dict[str, Leg] = field(factory=dict)
    ended: OrderedDict[str, Leg] = field(factory=OrderedDict)
    conferences: set[str] = field(factory=set)
    over: OrderedDict[str, None] = field(factory=OrderedDict)
    bridges: OrderedDict[str, None] = field(factory=OrderedDict)
    muted: set[str] = field(factory=set)
    held: set[str] = field(factory=set)
    played: OrderedDict[str, None] = field(factory=OrderedDict)
    playing: dict[str, set[str]] = field(factory=dict)
    recording: dict[str, str] = field(factory=dict)
    presumed_gone: list[tuple[str, str]] = field(factory=list)

    def leg(self, call_id: str) -> Leg | None:
        """What is known of a call, ended or not."""
        return self.legs.get(call_id) or self.ended.get(call_id)

    def known(self, call_id: str) -> Leg:
        """What is known of a call that is up; a new entry for one that another process has dialled."""
        found = self.leg(call_id)
        if found is None:
            call = Call(provider=PROVIDER, id=call_id, state=CallState.ANSWERED)
            found = self.legs[call_id] = Leg(call=call)
        return found

    def in_conference(self, conference_id: str) -> Iterator[Leg]:
        """The calls that were dialled into a conference or are in it, ended ones included."""
        for legs in (self.legs, self.ended):
            for leg in list(legs.values()):
                if leg.into == conference_id:
                    yield leg

    def advance(self, call_id: str, state: CallState, at: datetime | None) -> None:
        """A call rings, or is answered."""
        if (leg := self.legs.get(call_id)) is None:
            return
        answered_at = (at or datetime.now(UTC)) if state is CallState.ANSWERED else None
        if leg.call.state is not CallState.ANSWERED:
            leg.call = evolve(leg.call, state=state, answered_at=answered_at)

    def end(self, call_id: str, cause: EndCause, at: datetime | None = None, *, answered: bool = False) -> EndCause:
        """A call is over; gives the cause, as it appears with all that is known.

        Args:
            answered: whether it was, where nothing is known of the call.
        """
        ended_at = at or datetime.now(UTC)
        leg = self.legs.pop(call_id, None)
        if leg is None:
            known = self.ended.get(call_id)
            if known is None:
                return wire.after_answer(cause) if answered else cause
            if known.call.cause is EndCause.UNKNOWN:
                known.call = evolve(known.call, cause=_cause(known, cause, ended_at))
            return known.call.cause or cause
        cause = _cause(leg, cause, ended_at)
        leg.call = evolve(leg.call, state=CallState.ENDED, cause=cause, ended_at=ended_at)
        leg.bridge = None
        remember(self.ended, call_id, leg)
        self.forget_target(f"channel:{call_id}")
        return cause

    def conference_over(self, conference_id: str) -> None:
        """A conference is over."""
        self.conferences.discard(conference_id)
        self.muted.discard(conference_id)
        self.held.discard(conference_id)
        self.forget_target(f"bridge:{conference_id}")
        remember(self.over, conference_id, None)

    def forget_target(self, target: str) -> None:
        """Nothing plays there or is recorded there any more."""
        self.playing.pop(target, None)
        self.recording.pop(target, None)


def remember(memory: OrderedDict[str, T], key: str, value: T) -> None:
    """Keep the latest entries."""
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > _MEMORY:
        memory.popitem(last=False)


def _cause(leg: Leg, cause: EndCause, ended_at: datetime) -> EndCause:
    if leg.joined or leg.call.state is CallState.ANSWERED or leg.call.answered_at is not None:
        return wire.after_answer(cause)
    if leg.given_up:
        return EndCause.CANCELLED  # Asterisk says 16, normal clearing, as for a call that was answered
    rang = ended_at - leg.call.created_at if leg.call.created_at is not None else timedelta(0)
    if cause is EndCause.UNKNOWN and leg.rings_for is not None and rang >= leg.rings_for - timedelta(seconds=0.5):
        return EndCause.NO_ANSWER  # version 16 gives 0 for a phone that rang until its time was up
    return cause
