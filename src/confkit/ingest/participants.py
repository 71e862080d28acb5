"""Who is in a meeting and how they are: a function of the set of facts, never of the order of their coming.

Each leg's facts form a join semilattice: sets grow, first instants win, the newest of two changes wins by its own
time. Merging is therefore commutative, associative and idempotent, so webhooks, streams, polls and the workflow's own
reports can arrive late, twice and in any order, and the roster comes out the same.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from attrs import field, frozen

from confkit.models.events import (
    CallAnswered,
    CallEnded,
    CallRinging,
    Event,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
)
from confkit.models.records import EndCause, MemberState, Outcome, Participant, ParticipantState, Party
from confkit.workflows.messages import LegReport, Stage

T = TypeVar("T", str, datetime, tuple[datetime, str])


@frozen
class Change:
    """A setting with the instant at which it became so; the newest one holds.

    Args:
        number: decides between two at one instant: the leg's own reports are counted, and what comes in is.
    """

    at: datetime
    number: int
    value: bool


@frozen(kw_only=True)
class Facts:
    """All that is known of one leg.

    Args:
        joined: member ids with the earliest instant at which each was seen to be in.
        left: member ids with the earliest instant at which each was seen to be out; it outweighs ``joined``.
        ended: when the call ended, with the cause; of several, the earliest.
        outcome: what the leg's own workflow concluded.
        promised: the reply to its joining was a promise, so that somebody must tell when it is in.
    """

    call_id: str | None = None
    dialled_at: datetime | None = None
    ringing_at: datetime | None = None
    answered_at: datetime | None = None
    joined: frozenset[tuple[str, datetime]] = frozenset()
    left: frozenset[tuple[str, datetime]] = frozenset()
    ended: tuple[datetime, str] | None = None
    mute: Change | None = None
    hold: Change | None = None
    outcome: tuple[datetime, str] | None = None
    error: str | None = None
    promised: bool = False

    def merge(self, other: Facts) -> Facts:
        """What both say together. Most facts say little, so what is not said is not compared."""
        return Facts(
            call_id=self.call_id if other.call_id is None else _least(self.call_id, other.call_id),
            dialled_at=self.dialled_at if other.dialled_at is None else _least(self.dialled_at, other.dialled_at),
            ringing_at=self.ringing_at if other.ringing_at is None else _least(self.ringing_at, other.ringing_at),
            answered_at=self.answered_at if other.answered_at is None else _least(self.answered_at, other.answered_at),
            joined=_earliest(self.joined | other.joined) if other.joined else self.joined,
            left=_earliest(self.left | other.left) if other.left else self.left,
            ended=self.ended if other.ended is None else _least(self.ended, other.ended),
            mute=self.mute if other.mute is None else _newest(self.mute, other.mute),
            hold=self.hold if other.hold is None else _newest(self.hold, other.hold),
            outcome=self.outcome if other.outcome is None else _least(self.outcome, other.outcome),
            error=self.error if other.error is None else _least(self.error, other.error),
            promised=self.promised or other.promised,
        )

    def participant(self, id_: str, party: Party) -> Participant:
        """The facts as the application sees them."""
        gone = {member for member, _ in self.left}
        here = sorted((at, member) for member, at in self.joined if member not in gone)
        # Instants come from two clocks, one of which may tell whole seconds only: nobody answers before being dialled.
        answered_at = _not_before(self.answered_at, self.dialled_at)
        ended_at = self.ended[0] if self.ended else self.outcome[0] if self.outcome else None
        # A bridge can grow into a conference and never the other way, whatever two clocks say of which came first.
        members = [member for _, member in here if member != ON_BRIDGE]
        return Participant(
            id=id_,
            party=party,
            state=self._state(bool(here)),
            outcome=self._outcome(bool(here)),
            call_id=self.call_id,
            member_id=members[-1] if members else None,
            mute=self.mute.value if self.mute else False,
            hold=self.hold.value if self.hold else False,
            dialled_at=self.dialled_at,
            answered_at=answered_at,
            joined_at=_not_before(min((at for _, at in self.joined), default=None), answered_at),
            ended_at=_not_before(ended_at, answered_at or self.dialled_at),
            error=self.error,
        )

    def _state(self, here: bool) -> ParticipantState:
        if self.ended or self.outcome or (self.left and not here and self.answered_at):
            return ParticipantState.ENDED
        if here:
            # A platform may put a call into the room while it still rings: in means joined and answered.
            return ParticipantState.JOINED if self.answered_at else ParticipantState.RINGING
        if self.answered_at:
            return ParticipantState.ANSWERED
        if self.ringing_at:
            return ParticipantState.RINGING
        return ParticipantState.DIALLING if self.dialled_at else ParticipantState.WAITING

    @property
    def is_over(self) -> bool:
        """Whether the leg has ended, or its call has."""
        return self.ended is not None or self.outcome is not None

    @property
    def is_in(self) -> bool:
        """Whether the call is answered and joined, and has not left."""
        gone = {member for member, _ in self.left}
        return self.answered_at is not None and any(member not in gone for member, _ in self.joined)

    def _outcome(self, here: bool) -> Outcome | None:
        if self.outcome:
            return Outcome(self.outcome[1])
        if self.left and not here and self.answered_at:
            return Outcome.LEFT
        if self.ended:
            return Outcome.LEFT if self.answered_at else Outcome.of(EndCause(self.ended[1]))
        return Outcome.JOINED if here and self.answered_at else None


#: A bridge has no members; who is on it is in under this name.
ON_BRIDGE = "(bridge)"


def facts_in_event(event: Event, at: datetime, number: int = 0) -> Facts:
    """What an event says about its leg; nothing, for events that say nothing about people.

    Args:
        at: when it happened, on our clock.
        number: decides between two at one instant, as platforms that tell whole seconds have them.
    """
    match event:
        case CallRinging(call_id=call):
            return Facts(call_id=call, ringing_at=at)
        case CallAnswered(call_id=call):
            return Facts(call_id=call, answered_at=at)
        case CallEnded(call_id=call, cause=cause):
            return Facts(call_id=call, ended=(at, cause.value))
        case MemberJoined(call_id=call, member_id=member):
            mute, hold = _change(event.mute, at, number), _change(event.hold, at, number)
            return Facts(call_id=call, joined=frozenset({(member, at)}), mute=mute, hold=hold)
        case MemberUpdated(call_id=call):
            return Facts(call_id=call, mute=_change(event.mute, at, number), hold=_change(event.hold, at, number))
        case MemberLeft(call_id=call, member_id=member):
            return Facts(call_id=call, left=frozenset({(member, at)}))
    return Facts()


def facts_in_report(report: LegReport, at: datetime) -> Facts:
    """What a leg's report says about it."""
    known: dict[str, Any] = {}
    if report.call is not None:
        known |= {"call_id": report.call.id, "dialled_at": at}
    match report.stage:
        case Stage.ANSWERED:
            known["answered_at"] = at
        case Stage.JOINED:
            member = report.member.id if report.member else ON_BRIDGE
            known |= {"answered_at": at, "joined": frozenset({(member, at)})}
        case Stage.UPDATED if report.member is not None and report.member.state is MemberState.LEFT:
            known["left"] = frozenset({(report.member.id, at)})
        case Stage.UPDATED if report.member is not None and report.member.state is MemberState.JOINING:
            known["promised"] = True
        case Stage.ENDED if report.outcome is not None:
            error = report.failure.message if report.failure else None
            known |= {"outcome": (at, report.outcome.value), "error": error}
    return Facts(mute=_change(report.mute, at, report.number), hold=_change(report.hold, at, report.number), **known)


@frozen
class Roster:
    """The legs of a meeting with their facts, in the order of invitation.

    Args:
        legs: by the leg's id, with the party.
    """

    legs: dict[str, tuple[Party, Facts]] = field(factory=dict)

    def seat(self, leg: str, party: Party) -> None:
        """Add a leg; one that is there keeps its facts."""
        known = self.legs.get(leg)
        self.legs[leg] = (party, known[1] if known else Facts())

    def learn(self, leg: str, facts: Facts) -> bool:
        """Merge facts in; tells whether they said anything new."""
        party, known = self.legs[leg]
        merged = known.merge(facts)
        self.legs[leg] = (party, merged)
        return merged != known

    @property
    def settled(self) -> bool:
        """Whether nobody is being rung or is on the way in."""
        return all(facts.is_in or facts.is_over for _, facts in self.legs.values())

    def has(self, call_id: str) -> bool:
        """Whether this is a leg's call."""
        return any(facts.call_id == call_id for _, facts in self.legs.values())

    @property
    def under_way(self) -> int:
        """How many are to be dialled, are being rung, or are in."""
        return sum(not facts.is_over for _, facts in self.legs.values())

    @property
    def dialling(self) -> bool:
        """Whether there is somebody who has no call yet, and is not over."""
        return any(facts.call_id is None and not facts.is_over for _, facts in self.legs.values())

    @property
    def ringing(self) -> bool:
        """Whether there is a call that has not been answered, and is not over."""
        return any(
            facts.call_id is not None and facts.answered_at is None and not facts.is_over
            for _, facts in self.legs.values()
        )

    @property
    def promised(self) -> bool:
        """Whether there is somebody who is to be in by a promise, and is not yet."""
        return any(facts.promised and not (facts.is_in or facts.is_over) for _, facts in self.legs.values())

    @property
    def calls(self) -> int:
        """How many calls are up, or may be."""
        return sum(facts.call_id is not None and not facts.is_over for _, facts in self.legs.values())

    def participants(self) -> tuple[Participant, ...]:
        """Everybody, in the order of invitation."""
        return tuple(facts.participant(leg.rpartition("/")[2], party) for leg, (party, facts) in self.legs.items())


def _not_before(at: datetime | None, earliest: datetime | None) -> datetime | None:
    return at if at is None or earliest is None else max(at, earliest)


def _change(value: bool | None, at: datetime, number: int = 0) -> Change | None:
    return None if value is None else Change(at, number, value)


def _least(one: T | None, other: T) -> T:
    return other if one is None else min(one, other)


def _newest(one: Change | None, other: Change) -> Change:
    if one is None:
        return other
    return one if (one.at, one.number, one.value) >= (other.at, other.number, other.value) else other


def _earliest(pairs: frozenset[tuple[str, datetime]]) -> frozenset[tuple[str, datetime]]:
    found: dict[str, datetime] = {}
    for name, at in pairs:
        found[name] = min(at, found.get(name, at))
    return frozenset(found.items())
