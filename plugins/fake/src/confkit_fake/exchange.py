"""An in-memory telephone exchange with real rules, on which platforms are simulated.

Its methods are synchronous and immediate; it has no task of its own. What is going to happen by itself
(an answer, a hang-up, the end of a speech) happens as soon as anybody looks: at the beginning of every
method, and in :meth:`Exchange.facts`. It belongs to one event loop at a time and is not thread-safe.

The rules, where the field leaves a choice:

* A conference is created, becomes active with its first member and ends for good when its last member leaves
  or when it is ended. Ending it does not hang up its calls unless ``end_hangs_up``. One that has a name comes again
  under that name, with another id, for those who were dialled into it before it ended.
* A call is in one conference or on one bridge; adding a bridged call to a conference moves it.
* A bridge has two places, taken from the moment a call is dialled into it. It ends when a call has been on
  it, answered, and nobody is left.
* A call that has ended, a member that has left, a conference that is over: all keep their records.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from confkit.provider import BridgeState, CallState, ConferenceState, EndCause, RecordAction, canonical
from confkit_fake.media import Playback
from confkit_fake.records import (
    Bridge,
    Call,
    Conference,
    Direction,
    ErrorCode,
    ExchangeError,
    Fact,
    FactKind,
    MediaKind,
    Member,
    Recording,
    RecordingState,
)
from confkit_fake.script import PartyScript, Reaction
from confkit_fake.switchboard import Switchboard
from confkit_fake.timeline import Facts

__all__ = [
    "Bridge",
    "Call",
    "Conference",
    "Direction",
    "ErrorCode",
    "Exchange",
    "ExchangeError",
    "Fact",
    "FactKind",
    "Facts",
    "MediaKind",
    "Member",
    "PartyScript",
    "Playback",
    "Reaction",
    "Recording",
    "RecordingState",
]


class Exchange(Switchboard):
    """A telephone exchange.

    Args:
        max_members: how many a conference holds at a time; ``None`` for no limit.
        max_calls: how many calls there can be at a time; ``None`` for no limit.
        numbers: the numbers that may host conferences, dial and be called; ``None`` for any.
        seed: of the ids; the same seed and the same requests give the same ids.
        base: the date and time at which the exchange's clock begins; now by default.
        end_hangs_up: ending a conference hangs up its members' calls.
        bridge_hangs_up: who is on a bridge is hung up when the other hangs up.
        only_own_calls: a conference takes only calls that were dialled with its id, as Bandwidth v1 does
            (``postConferencesConferenceIdMembers.md``); otherwise also calls that were dialled with none.

    Attributes:
        queues_for: seconds that a call is held back before it rings.
        default_answer_after: seconds until unscripted parties answer.
        conferences, calls, members, bridges, recordings: all records by id, oldest first.
        rings: for each address, the calls that were dialled to it.
        history: all facts.
    """

    # Looking

    @property
    def history(self) -> Sequence[Fact]:
        """All facts so far, oldest first."""
        return self._timeline.history

    @property
    def recordings(self) -> Mapping[str, Recording]:
        """All recordings by id, oldest first."""
        return self._media.recordings

    @property
    def playing(self) -> Collection[Playback]:
        """What is playing, and where."""
        return tuple(self._media.playing.values())

    def advance(self) -> None:
        """Let happen what is due."""
        self._timeline.advance()

    def now(self) -> datetime:
        """The exchange's clock."""
        self.advance()
        return self._timeline.now()

    def facts(self) -> Facts:
        """Everything that happens from now on; the buffer has no bound, so a slow reader loses nothing."""
        return self._timeline.facts()

    def party(self, address: str) -> PartyScript:
        """The script of a party, to be changed by its methods."""
        return self._scripts.setdefault(canonical(address), PartyScript(address))

    def place_of(self, call_id: str) -> Member | None:
        """The call's place in a conference now, if it has one."""
        return self._places.get(call_id)

    def is_bridged(self, call_id: str) -> bool:
        """Whether the call is on a bridge now."""
        return any(call_id in bridge.call_ids for bridge in self.bridges.values())

    def members_of(self, conference_id: str) -> list[Member]:
        """Everybody who was or is in the conference, in the order of joining."""
        return list(self._attended.get(conference_id, ()))

    def calls_for(self, conference_id: str) -> list[Call]:
        """Every call that was dialled or answered into the conference, or has joined it, ended ones included."""
        return list(self._meant_for.get(conference_id, {}).values())

    def still_up(self) -> tuple[str, ...]:
        """The ids of all calls, conferences and bridges that are not over."""
        self.advance()
        return (
            *(call.id for call in self.calls.values() if call.state is not CallState.ENDED),
            *(each.id for each in self.conferences.values() if each.state is not ConferenceState.ENDED),
            *(each.id for each in self.bridges.values() if each.state is not BridgeState.ENDED),
        )

    def hears(self, listener_id: str, speaker_id: str) -> bool:
        """Whether one call hears another: the sum of places, mutes, holds, coaching and bridges."""
        self.advance()
        listener, speaker = self._places.get(listener_id), self._places.get(speaker_id)
        if listener and speaker and listener.conference_id == speaker.conference_id:
            conference = self.conferences[listener.conference_id]
            held = conference.hold or listener.hold or speaker.hold
            silent = conference.mute or speaker.mute
            private = speaker.coach not in (None, listener_id)
            return listener_id != speaker_id and not (held or silent or listener.deaf or private)
        return any(
            bridge.state is BridgeState.ACTIVE and {listener_id, speaker_id} == set(bridge.call_ids)
            for bridge in self.bridges.values()
        )

    def later(self, delay: float, action: Callable[[], None]) -> None:
        """Let something of the world outside happen in so many seconds, such as a request that was held up."""
        self.advance()
        self._timeline.after(delay, action)

    # Conferences

    def create_conference(
        self,
        *,
        caller_id: str,
        interpret_digits: bool = True,
        name: str | None = None,
        id: str | None = None,
        notes: Mapping[str, object] | None = None,
    ) -> Conference:
        """Make an empty conference; it waits for members without limit.

        Args:
            name: under which it comes again after it has ended.
            id: chosen by the caller; refused if it exists.
        """
        self.advance()
        self._require_number(caller_id)
        return self._open(
            Conference(
                id=self._new_id("conf-", id, self.conferences),
                caller_id=caller_id,
                name=name,
                interpret_digits=interpret_digits,
                created_at=self._timeline.now(),
                notes=dict(notes or {}),
            )
        )

    def update_conference(
        self, conference_id: str, *, mute: bool | None = None, hold: bool | None = None
    ) -> Conference:
        """Mute or hold everyone; members' own flags stay as they are."""
        self.advance()
        conference = self._open_conference(conference_id)
        before = (conference.mute, conference.hold)
        conference.mute = conference.mute if mute is None else mute
        conference.hold = conference.hold if hold is None else hold
        if before != (conference.mute, conference.hold):
            self._timeline.tell(
                FactKind.CONFERENCE_UPDATED,
                conference_id=conference.id,
                mute=conference.mute,
                hold=conference.hold,
            )
        return conference

    def end_conference(self, conference_id: str) -> Conference:
        """End a conference for everyone."""
        self.advance()
        conference = self._open_conference(conference_id)
        inside = [self.calls[member.call_id] for member in self.active_members(conference.id)]
        self._complete(conference)
        if self.end_hangs_up:
            for call in inside:
                self._end(call, EndCause.HANGUP)
        return conference

    def add_member(
        self,
        conference_id: str,
        call_id: str,
        *,
        mute: bool = False,
        hold: bool = False,
        id: str | None = None,
        notes: Mapping[str, object] | None = None,
    ) -> Member:
        """Put an answered call into a conference, off its bridge if it is on one."""
        self.advance()
        conference = self._open_conference(conference_id)
        call = self._check_for_conference(call_id, conference.id)
        if self._full(conference):
            raise ExchangeError(ErrorCode.CONFERENCE_FULL, conference.id)
        member_id = self._new_id("member-", id, self.members)
        return self._join(conference, call, mute=mute, hold=hold, id=member_id, notes=notes)

    def seed_conference(
        self,
        call_id: str,
        *,
        caller_id: str,
        mute: bool = False,
        hold: bool = False,
        interpret_digits: bool = True,
        id: str | None = None,
        notes: Mapping[str, object] | None = None,
        member_notes: Mapping[str, object] | None = None,
    ) -> Member:
        """Make a conference out of an answered call: it exists with its first member, or not at all.

        Args:
            id: of the member, chosen by the caller.
            notes: of the conference.
        """
        self.advance()
        call = self._check_for_conference(call_id, None)
        member_id = self._new_id("member-", id, self.members)
        conference = self.create_conference(caller_id=caller_id, interpret_digits=interpret_digits, notes=notes)
        return self._join(conference, call, mute=mute, hold=hold, id=member_id, notes=member_notes)

    def named(
        self,
        name: str,
        *,
        caller_id: str,
        interpret_digits: bool = True,
        notes: Mapping[str, object] | None = None,
    ) -> Conference:
        """A room that is a name: it is there from the moment when somebody joins it, and comes again when it has ended.

        Gives what to dial into (``dial(room=)``), or to join with ``add_to``.
        """
        return Conference(
            id="",
            caller_id=caller_id,
            name=name,
            interpret_digits=interpret_digits,
            created_at=self._timeline.now(),
            notes=dict(notes or {}),
        )

    def add_to(
        self,
        room: Conference,
        call_id: str,
        *,
        mute: bool = False,
        hold: bool = False,
        id: str | None = None,
        notes: Mapping[str, object] | None = None,
    ) -> Member:
        """Put an answered call into the room of a name, which is made if there is none."""
        self.advance()
        call = self._check_for_conference(call_id, self.call(call_id).conference_id)
        member_id = self._new_id("member-", id, self.members)
        conference = self._incarnation(room)
        if self._full(conference):
            raise ExchangeError(ErrorCode.CONFERENCE_FULL, conference.id)
        return self._join(conference, call, mute=mute, hold=hold, id=member_id, notes=notes)

    def update_member(
        self,
        member_id: str,
        *,
        mute: bool | None = None,
        hold: bool | None = None,
        deaf: bool | None = None,
        coach: str | None = None,
    ) -> Member:
        """Change what a member may hear and who hears them.

        Args:
            coach: the only call that hears this member; an empty string ends it.
        """
        self.advance()
        member = self._present_member(member_id)
        if coach:
            place = self._places.get(coach)
            if place is None or place.conference_id != member.conference_id:
                raise ExchangeError(ErrorCode.MEMBER_NOT_FOUND, coach)
        before = (member.mute, member.hold, member.deaf, member.coach)
        member.mute = member.mute if mute is None else mute
        member.hold = member.hold if hold is None else hold
        member.deaf = member.deaf if deaf is None else deaf
        member.coach = member.coach if coach is None else coach or None
        if before != (member.mute, member.hold, member.deaf, member.coach):
            self._tell_member(FactKind.MEMBER_UPDATED, member)
        return member

    def remove_member(self, member_id: str) -> Member:
        """Take a member out of the conference; the call stays up."""
        self.advance()
        member = self._present_member(member_id)
        self._leave(member)
        return member

    # Calls

    def dial(
        self,
        to: str,
        *,
        caller_id: str,
        ring_for: float = 60.0,
        conference_id: str | None = None,
        bridge_id: str | None = None,
        join_on_answer: bool = False,
        room: Conference | None = None,
        id: str | None = None,
        notes: Mapping[str, object] | None = None,
    ) -> Call:
        """Dial a party.

        Args:
            ring_for: seconds until the exchange gives up.
            conference_id: the conference that the call is for.
            bridge_id: the bridge that the call is on as soon as it is answered.
            join_on_answer: make it a member of the conference at that moment.
            room: a room that is a name (:meth:`named`), for the call to be a member of at that moment.
        """
        if (conference_id and bridge_id) or (join_on_answer and not conference_id) or (room and bridge_id):
            raise ValueError("a call is dialled into a conference or into a bridge")
        self.advance()
        self._require_number(caller_id)
        if conference_id:
            self._open_conference(conference_id)
        if bridge_id:
            self._require_room(self._open_bridge(bridge_id))
        return self._dial(
            Call(
                id=self._new_id("c-", id, self.calls),
                direction=Direction.OUT,
                to=to,
                caller_id=caller_id,
                ring_for=ring_for,
                conference_id=conference_id,
                bridge_id=bridge_id,
                join_on_answer=join_on_answer,
                room=room,
                created_at=self._timeline.now(),
                notes=dict(notes or {}),
            )
        )

    def incoming(self, caller: str, called: str, *, ring_for: float = 60.0) -> Call:
        """A party calls a number of the exchange; it rings until it is answered, rejected or given up."""
        self.advance()
        self._require_number(called)
        now = self._timeline.now()
        call = Call(
            id=self._timeline.new_id("c-"),
            direction=Direction.IN,
            to=called,
            caller_id=caller,
            ring_for=ring_for,
            state=CallState.RINGING,
            created_at=now,
            ringing_at=now,
        )
        self.calls[call.id] = call
        self._timeline.tell(FactKind.CALL_INCOMING, call_id=call.id)
        self._later(call, ring_for, EndCause.CANCELLED)
        return call

    def answer(self, call_id: str, *, conference_id: str | None = None, bridge_id: str | None = None) -> Call:
        """Answer an incoming call, and put it into a conference or onto a bridge at once if one is named."""
        if conference_id and bridge_id:
            raise ValueError("a call is answered into a conference or onto a bridge")
        self.advance()
        call = self._ringing_incoming(call_id)
        if conference_id:
            conference = self._open_conference(conference_id)
            if self._full(conference):
                raise ExchangeError(ErrorCode.CONFERENCE_FULL, conference_id)
            self._mean_for(call, conference_id)
            call.join_on_answer = True
        if bridge_id:
            bridge = self._open_bridge(bridge_id)
            self._require_room(bridge)
            call.bridge_id = bridge_id
            bridge.call_ids.append(call.id)
        self._answer(call)
        return call

    def reject(self, call_id: str) -> Call:
        """Refuse an incoming call."""
        self.advance()
        call = self._ringing_incoming(call_id)
        self._end(call, EndCause.REJECTED)
        return call

    def hang_up(self, call_id: str) -> Call:
        """End a call, ringing or answered."""
        self.advance()
        call = self.call(call_id)
        if call.state is CallState.ENDED:
            raise ExchangeError(ErrorCode.CALL_OVER, call.id)
        answered = call.state is CallState.ANSWERED
        self._end(call, EndCause.HANGUP if answered else EndCause.CANCELLED)
        return call

    def transfer(
        self,
        call_id: str,
        to: str,
        *,
        caller_id: str,
        ring_for: float = 60.0,
        id: str | None = None,
        notes: Mapping[str, object] | None = None,
    ) -> Call:
        """Dial another party for an answered call; the two calls end together. Gives the new call."""
        self.advance()
        call = self._answered_call(call_id)
        self._require_number(caller_id)
        new_id = self._new_id("c-", id, self.calls)
        self._step_out(call)
        new = Call(
            id=new_id,
            direction=Direction.OUT,
            to=to,
            caller_id=caller_id,
            ring_for=ring_for,
            created_at=self._timeline.now(),
            notes=dict(notes or {}),
        )
        call.transferred_to = new.id
        self._handed_over[new.id] = call.id
        self._timeline.tell(FactKind.CALL_TRANSFERRED, call_id=call.id)
        return self._dial(new)

    def send_digits(self, call_id: str, digits: str) -> None:
        """Play DTMF to the party of an answered call."""
        self.advance()
        call = self._answered_call(call_id)
        call.digits_sent.append(digits)

    def press(self, call_id: str, keys: str) -> None:
        """The party presses keys."""
        self.advance()
        call = self._answered_call(call_id)
        self._press(call, keys)

    # Bridges

    def create_bridge(
        self,
        call_ids: Sequence[str] = (),
        *,
        audio: bool = True,
        id: str | None = None,
        notes: Mapping[str, object] | None = None,
    ) -> Bridge:
        """Connect two answered calls, or make a bridge with places for calls to come."""
        self.advance()
        self._check_for_bridge(call_ids, None)
        bridge = Bridge(
            id=self._new_id("brg-", id, self.bridges),
            audio=audio,
            created_at=self._timeline.now(),
            notes=dict(notes or {}),
        )
        self.bridges[bridge.id] = bridge
        self._timeline.tell(FactKind.BRIDGE_CREATED, bridge_id=bridge.id)
        self._put_on_bridge(bridge, call_ids)
        return bridge

    def update_bridge(
        self, bridge_id: str, *, call_ids: Sequence[str] | None = None, audio: bool | None = None
    ) -> Bridge:
        """Replace the calls of a bridge, or let its calls hear each other or not.

        Args:
            call_ids: exactly these are on it afterwards; an empty list ends it; ``None`` changes nothing.
        """
        self.advance()
        bridge = self._open_bridge(bridge_id)
        if call_ids is not None:
            self._check_for_bridge(call_ids, bridge)
        if audio is not None:
            bridge.audio = audio
        if call_ids is not None:
            if not call_ids:
                self._end_bridge(bridge)
                return bridge
            bridge.call_ids = [call_id for call_id in bridge.call_ids if call_id in call_ids]
            self._put_on_bridge(bridge, call_ids)
        self._settle(bridge)
        return bridge

    def end_bridge(self, bridge_id: str) -> Bridge:
        """Take a bridge down; its calls stay up."""
        self.advance()
        bridge = self._open_bridge(bridge_id)
        self._end_bridge(bridge)
        return bridge

    # Media; a target is the id of a conference, a member, a call or a bridge

    def play(
        self,
        target_id: str,
        *,
        url: str | None = None,
        text: str | None = None,
        loop: bool = False,
        duration: float | None = None,
    ) -> Playback:
        """Play a file or speak a text.

        Args:
            duration: seconds; by default 5 for a file and 0.06 for each character of a text.
        """
        if (url is None) == (text is None):
            raise ValueError("play takes either a URL or a text")
        self.advance()
        target = self._target(target_id)
        return self._media.play(target, url=url, text=text, loop=loop, duration=duration)

    def stop_playing(self, target_id: str, kind: MediaKind | None = None) -> bool:
        """Stop the file, the speech or (without ``kind``) both; says whether anything was playing."""
        self.advance()
        return self._media.stop(self._target(target_id).id, kind)

    def record(self, target_id: str, action: RecordAction) -> Recording:
        """Start, pause, go on with or stop a recording."""
        self.advance()
        return self._media.record(self._target(target_id), action)
