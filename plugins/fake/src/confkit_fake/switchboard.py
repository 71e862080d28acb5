"""The inside of an exchange: its state, the life of calls, members and bridges, and what must hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from confkit.provider import BridgeState, CallState, ConferenceState, EndCause, MemberState, canonical, masked
from confkit_fake.media import MediaDesk, Target
from confkit_fake.records import (
    Bridge,
    Call,
    Conference,
    Direction,
    ErrorCode,
    ExchangeError,
    FactKind,
    Member,
)
from confkit_fake.script import PartyScript, Reaction
from confkit_fake.timeline import Timeline, Timer

BRIDGE_PLACES = 2


class Switchboard:
    """What :class:`confkit_fake.exchange.Exchange` is built on; no method here looks at the clock."""

    def __init__(
        self,
        *,
        max_members: int | None = 20,
        max_calls: int | None = None,
        numbers: Collection[str] | None = None,
        seed: int = 0,
        base: datetime | None = None,
        end_hangs_up: bool = False,
        bridge_hangs_up: bool = False,
        only_own_calls: bool = False,
    ) -> None:
        self.max_members = max_members
        self.max_calls = max_calls
        self.end_hangs_up = end_hangs_up
        self.bridge_hangs_up = bridge_hangs_up
        self.only_own_calls = only_own_calls
        self.default_answer_after = 0.0
        self.queues_for = 0.0
        self.conferences: dict[str, Conference] = {}
        self.calls: dict[str, Call] = {}
        self.members: dict[str, Member] = {}
        self.bridges: dict[str, Bridge] = {}
        self.rings: dict[str, list[str]] = {}
        self._numbers = None if numbers is None else {canonical(number) for number in numbers}
        self._timeline = Timeline(seed=seed, base=base)
        self._media = MediaDesk(self._timeline)
        self._scripts: dict[str, PartyScript] = {}
        self._timers: dict[str, list[Timer]] = {}  # by call
        self._places: dict[str, Member] = {}  # the place that a call has in a conference now
        # By conference, because there may be thousands: who is in it now, by call; who ever was; calls that are for it.
        self._inside: dict[str, dict[str, Member]] = {}
        self._attended: dict[str, list[Member]] = {}
        self._meant_for: dict[str, dict[str, Call]] = {}
        self._handed_over: dict[str, str] = {}  # by the new call, the one that was transferred

    def active_members(self, conference_id: str) -> list[Member]:
        """Who is in the conference now."""
        return list(self._inside.get(conference_id, {}).values())

    def call(self, call_id: str) -> Call:
        """The record of a call; refuses an unknown id."""
        try:
            return self.calls[call_id]
        except KeyError:
            raise ExchangeError(ErrorCode.CALL_NOT_FOUND, call_id) from None

    # The life of calls

    def _dial(self, call: Call) -> Call:
        address = canonical(call.to)
        script = self._scripts.get(address) or PartyScript(call.to)
        self.calls[call.id] = call
        self.rings.setdefault(address, []).append(call.id)
        if call.conference_id:
            self._mean_for(call, call.conference_id)
        if call.bridge_id:
            self.bridges[call.bridge_id].call_ids.append(call.id)
        if self.queues_for:
            timer = self._timeline.after(self.queues_for, lambda: self._ring(call, script))
            self._timers.setdefault(call.id, []).append(timer)
        else:
            self._ring(call, script)
        return call

    def _ring(self, call: Call, script: PartyScript) -> None:
        after = self.default_answer_after if script.after is None else script.after
        if self.max_calls is not None and self._up() > self.max_calls:
            self._later(call, 0.0, EndCause.CAPACITY)
        elif script.reaction is Reaction.UNREACHABLE:
            self._later(call, after, EndCause.UNALLOCATED)
        elif script.reaction is Reaction.BUSY:
            self._later(call, after, EndCause.BUSY)
        else:
            call.state, call.ringing_at = CallState.RINGING, self._timeline.now()
            self._timeline.tell(FactKind.CALL_RINGING, call_id=call.id)
            if script.reaction is Reaction.REJECTS:
                self._later(call, after, EndCause.REJECTED)
            elif script.reaction is Reaction.ANSWERS:
                timer = self._timeline.after(after, lambda: self._answer(call))
                self._timers.setdefault(call.id, []).append(timer)
        self._later(call, call.ring_for, EndCause.NO_ANSWER)

    def _up(self) -> int:
        return sum(call.state is not CallState.ENDED for call in self.calls.values())

    def _later(self, call: Call, delay: float, cause: EndCause) -> None:
        timer = self._timeline.after(delay, lambda: self._end(call, cause))
        self._timers.setdefault(call.id, []).append(timer)

    def _answer(self, call: Call) -> None:
        self._cancel_timers(call)
        call.state, call.answered_at = CallState.ANSWERED, self._timeline.now()
        self._timeline.tell(FactKind.CALL_ANSWERED, call_id=call.id)
        script = self._scripts.get(canonical(call.party))
        if script and script.hangs_up_after is not None:
            self._later(call, script.hangs_up_after, EndCause.HANGUP)
        for keys, after in script.keys if script else ():
            timer = self._timeline.after(after, lambda keys=keys: self._press(call, keys))  # type: ignore[misc]
            self._timers.setdefault(call.id, []).append(timer)
        if call.bridge_id and call.id in self.bridges[call.bridge_id].call_ids:
            self._settle(self.bridges[call.bridge_id])
        room = call.room or self.conferences.get(call.conference_id or "")
        if (call.join_on_answer or call.room) and room is not None:
            conference = self._incarnation(room)
            if conference.state is ConferenceState.ENDED:
                self._end(call, EndCause.CANCELLED)  # it was dialled for a room that is no more
            elif self._full(conference):
                self._end(call, EndCause.FAILED)
            else:
                self._join(conference, call)

    def _end(self, call: Call, cause: EndCause) -> None:
        if call.state is CallState.ENDED:
            return
        self._cancel_timers(call)
        call.state, call.cause, call.ended_at = CallState.ENDED, cause, self._timeline.now()
        self._timeline.tell(FactKind.CALL_ENDED, call_id=call.id, cause=cause)
        self._media.silence(call.id)
        bridge = self.bridges.get(call.bridge_id or "")
        others = [each for each in bridge.call_ids if each != call.id] if bridge and call.id in bridge.call_ids else []
        self._step_out(call)
        for left in others if self.bridge_hangs_up else ():
            self._end(self.calls[left], EndCause.HANGUP)
        for other_id in (self._handed_over.get(call.id), call.transferred_to):
            if other_id is not None:
                other = self.calls[other_id]
                self._end(other, EndCause.HANGUP if other.answered_at else EndCause.CANCELLED)

    def _mean_for(self, call: Call, conference_id: str) -> None:
        """The call is for this conference now, and for no other."""
        if call.conference_id:
            self._meant_for.get(call.conference_id, {}).pop(call.id, None)
        call.conference_id = conference_id
        self._meant_for.setdefault(conference_id, {})[call.id] = call

    def _step_out(self, call: Call) -> None:
        """Out of the conference or off the bridge."""
        if member := self._places.get(call.id):
            self._leave(member)
        bridge = self.bridges.get(call.bridge_id or "")
        if bridge and call.id in bridge.call_ids:
            bridge.call_ids.remove(call.id)
            self._settle(bridge)

    def _press(self, call: Call, keys: str) -> None:
        for key in keys:
            member = self._places.get(call.id)
            if member is None or not self.conferences[member.conference_id].interpret_digits:
                self._timeline.tell(FactKind.DIGITS, call_id=call.id, digit=key)
            elif key == "#":
                self._leave(member)

    def _cancel_timers(self, call: Call) -> None:
        for timer in self._timers.pop(call.id, ()):
            timer.cancel()

    # The life of members and conferences

    def _open(self, conference: Conference) -> Conference:
        self.conferences[conference.id] = conference
        self._timeline.tell(FactKind.CONFERENCE_CREATED, conference_id=conference.id)
        return conference

    def _incarnation(self, conference: Conference) -> Conference:
        """The room itself; or, where it is not there and has a name, the one of that name that is."""
        there = self.conferences.get(conference.id) is conference and conference.state is not ConferenceState.ENDED
        if there or conference.name is None:
            return conference
        for other in self.conferences.values():
            if other.name == conference.name and other.state is not ConferenceState.ENDED:
                return other
        return self._open(
            Conference(
                id=self._timeline.new_id("conf-"),
                caller_id=conference.caller_id,
                name=conference.name,
                interpret_digits=conference.interpret_digits,
                created_at=self._timeline.now(),
                notes=dict(conference.notes),
            )
        )

    def _join(
        self,
        conference: Conference,
        call: Call,
        *,
        mute: bool = False,
        hold: bool = False,
        id: str | None = None,
        notes: Mapping[str, object] | None = None,
    ) -> Member:
        self._step_out(call)
        self._mean_for(call, conference.id)
        member = Member(
            id=id or self._timeline.new_id("member-"),
            conference_id=conference.id,
            call_id=call.id,
            mute=mute,
            hold=hold,
            joined_at=self._timeline.now(),
            notes=dict(notes or {}),
        )
        self.members[member.id] = self._places[call.id] = member
        self._inside.setdefault(conference.id, {})[call.id] = member
        self._attended.setdefault(conference.id, []).append(member)
        if conference.state is ConferenceState.CREATED:
            conference.state, conference.activated_at = ConferenceState.ACTIVE, member.joined_at
        self._tell_member(FactKind.MEMBER_JOINED, member)
        return member

    def _leave(self, member: Member) -> None:
        del self._places[member.call_id]
        del self._inside[member.conference_id][member.call_id]
        member.state, member.left_at = MemberState.LEFT, self._timeline.now()
        self._media.silence(member.id)
        self._tell_member(FactKind.MEMBER_LEFT, member)
        conference = self.conferences[member.conference_id]
        if not self.active_members(conference.id):
            self._complete(conference)

    def _complete(self, conference: Conference) -> None:
        for member in self.active_members(conference.id):
            self._leave(member)  # the last one completes the conference
        if conference.state is not ConferenceState.ENDED:
            conference.state, conference.ended_at = ConferenceState.ENDED, self._timeline.now()
            self._media.silence(conference.id)
            self._timeline.tell(FactKind.CONFERENCE_ENDED, conference_id=conference.id)

    def _tell_member(self, kind: FactKind, member: Member) -> None:
        self._timeline.tell(
            kind,
            conference_id=member.conference_id,
            call_id=member.call_id,
            member_id=member.id,
            mute=member.mute,
            hold=member.hold,
            active_members=len(self.active_members(member.conference_id)),
        )

    # The life of bridges

    def _put_on_bridge(self, bridge: Bridge, call_ids: Sequence[str]) -> None:
        for call_id in call_ids:
            if call_id not in bridge.call_ids:
                bridge.call_ids.append(call_id)
                self.calls[call_id].bridge_id = bridge.id
        self._settle(bridge)

    def _settle(self, bridge: Bridge) -> None:
        """Derive a bridge's state from its calls."""
        if bridge.state is BridgeState.ENDED:
            return
        answered = [each for each in bridge.call_ids if self.calls[each].state is CallState.ANSWERED]
        before = bridge.state
        if len(answered) == BRIDGE_PLACES:
            bridge.state = BridgeState.ACTIVE if bridge.audio else BridgeState.HELD
            bridge.activated_at = bridge.activated_at or self._timeline.now()
        elif not bridge.call_ids and self._was_used(bridge):
            self._end_bridge(bridge)
        else:
            bridge.state = BridgeState.CREATED
        if bridge.state is not before and bridge.state is BridgeState.ACTIVE:
            self._timeline.tell(FactKind.BRIDGE_STARTED, bridge_id=bridge.id)
        elif bridge.state is not before and bridge.state is BridgeState.HELD:
            self._timeline.tell(FactKind.BRIDGE_HELD, bridge_id=bridge.id)

    def _was_used(self, bridge: Bridge) -> bool:
        return any(call.bridge_id == bridge.id and call.answered_at for call in self.calls.values())

    def _end_bridge(self, bridge: Bridge) -> None:
        bridge.call_ids = []
        bridge.state, bridge.ended_at = BridgeState.ENDED, self._timeline.now()
        self._media.silence(bridge.id)
        self._timeline.tell(FactKind.BRIDGE_ENDED, bridge_id=bridge.id)

    # What must hold before a request is carried out

    def _check_for_bridge(self, call_ids: Sequence[str], bridge: Bridge | None) -> None:
        if len(set(call_ids)) > BRIDGE_PLACES:
            raise ExchangeError(ErrorCode.BRIDGE_FULL, bridge.id if bridge else "")
        for call_id in call_ids:
            if bridge and call_id in bridge.call_ids:
                continue
            self._answered_call(call_id)
            if call_id in self._places:
                raise ExchangeError(ErrorCode.CALL_IN_CONFERENCE, call_id)
            if any(call_id in other.call_ids for other in self.bridges.values()):
                raise ExchangeError(ErrorCode.CALL_IN_OTHER_BRIDGE, call_id)

    def _require_room(self, bridge: Bridge) -> None:
        if len(bridge.call_ids) >= BRIDGE_PLACES:
            raise ExchangeError(ErrorCode.BRIDGE_FULL, bridge.id)

    def _require_number(self, number: str) -> None:
        if self._numbers is not None and canonical(number) not in self._numbers:
            raise ExchangeError(ErrorCode.NUMBER_NOT_OWNED, masked(number))

    def _answered_call(self, call_id: str) -> Call:
        call = self.call(call_id)
        if call.state is CallState.ENDED:
            raise ExchangeError(ErrorCode.CALL_OVER, call.id)
        if call.state is not CallState.ANSWERED:
            raise ExchangeError(ErrorCode.CALL_NOT_ANSWERED, call.id)
        return call

    def _ringing_incoming(self, call_id: str) -> Call:
        call = self.call(call_id)
        if call.direction is not Direction.IN:
            raise ExchangeError(ErrorCode.CALL_NOT_INCOMING, call.id)
        if call.state is CallState.ENDED:
            raise ExchangeError(ErrorCode.CALL_OVER, call.id)
        if call.state is CallState.ANSWERED:
            raise ExchangeError(ErrorCode.CALL_ANSWERED_ALREADY, call.id)
        return call

    def _open_conference(self, conference_id: str) -> Conference:
        conference = self.conferences.get(conference_id)
        if conference is None:
            raise ExchangeError(ErrorCode.CONFERENCE_NOT_FOUND, conference_id)
        if conference.state is ConferenceState.ENDED:
            raise ExchangeError(ErrorCode.CONFERENCE_ENDED, conference_id)
        return conference

    def _open_bridge(self, bridge_id: str) -> Bridge:
        bridge = self.bridges.get(bridge_id)
        if bridge is None:
            raise ExchangeError(ErrorCode.BRIDGE_NOT_FOUND, bridge_id)
        if bridge.state is BridgeState.ENDED:
            raise ExchangeError(ErrorCode.BRIDGE_OVER, bridge_id)
        return bridge

    def _present_member(self, member_id: str) -> Member:
        member = self.members.get(member_id)
        if member is None:
            raise ExchangeError(ErrorCode.MEMBER_NOT_FOUND, member_id)
        if member.state is MemberState.LEFT:
            raise ExchangeError(ErrorCode.MEMBER_LEFT, member_id)
        return member

    def _check_for_conference(self, call_id: str, conference_id: str | None) -> Call:
        """The call, if it may become a member of this conference, or of a new one."""
        call = self.call(call_id)
        if call.conference_id != conference_id:
            other = self.conferences.get(call.conference_id or "")
            promised = other and other.state is not ConferenceState.ENDED and call.id not in self._places
            if promised or self.only_own_calls:
                raise ExchangeError(ErrorCode.CALL_OF_OTHER_CONFERENCE, call.id)
        self._answered_call(call_id)
        if call.id in self._places:
            raise ExchangeError(ErrorCode.ALREADY_MEMBER, call.id)
        return call

    def _full(self, conference: Conference) -> bool:
        return self.max_members is not None and len(self.active_members(conference.id)) >= self.max_members

    def _target(self, target_id: str) -> Target:
        if target_id in self.conferences:
            return Target(id=target_id, conference_id=self._open_conference(target_id).id)
        if target_id in self.members:
            member = self._present_member(target_id)
            return Target(id=target_id, call_id=member.call_id, member_id=member.id)
        if target_id in self.bridges:
            bridge = self._open_bridge(target_id)
            if not any(self.calls[each].state is CallState.ANSWERED for each in bridge.call_ids):
                raise ExchangeError(ErrorCode.BRIDGE_EMPTY, target_id)
            return Target(id=target_id, bridge_id=target_id)
        self._answered_call(target_id)
        return Target(id=target_id, call_id=target_id)

    def _new_id(self, prefix: str, chosen: str | None, existing: Collection[str]) -> str:
        if chosen is None:
            return self._timeline.new_id(prefix)
        if chosen in existing:
            raise ExchangeError(ErrorCode.DUPLICATE_ID, chosen)
        return chosen
