"""What the exchange keeps and tells: records of calls, conferences, members and bridges, facts, and refusals.

Records are live: the exchange changes them as things happen, and a reader sees the current truth. What must
not change under a reader's hands (a reply, a fact) is copied out of them. Nothing is ever deleted.
"""

from __future__ import annotations

import enum
from datetime import datetime

from attrs import define, field, frozen

from confkit.provider import BridgeState, CallState, ConferenceState, EndCause, MemberState, masked


class ErrorCode(enum.Enum):
    """Why the exchange refuses a request."""

    CONFERENCE_NOT_FOUND = "conference_not_found"
    CONFERENCE_ENDED = "conference_ended"
    CONFERENCE_FULL = "conference_full"
    CALL_NOT_FOUND = "call_not_found"
    #: Too early: the call is still being rung.
    CALL_NOT_ANSWERED = "call_not_answered"
    CALL_ANSWERED_ALREADY = "call_answered_already"
    CALL_OVER = "call_over"
    CALL_NOT_INCOMING = "call_not_incoming"
    CALL_OF_OTHER_CONFERENCE = "call_of_other_conference"
    CALL_IN_CONFERENCE = "call_in_conference"
    CALL_IN_OTHER_BRIDGE = "call_in_other_bridge"
    ALREADY_MEMBER = "already_member"
    MEMBER_NOT_FOUND = "member_not_found"
    MEMBER_LEFT = "member_left"
    BRIDGE_NOT_FOUND = "bridge_not_found"
    BRIDGE_OVER = "bridge_over"
    BRIDGE_FULL = "bridge_full"
    #: No answered call is on the bridge, so nobody would hear.
    BRIDGE_EMPTY = "bridge_empty"
    NUMBER_NOT_OWNED = "number_not_owned"
    DUPLICATE_ID = "duplicate_id"
    ALREADY_RECORDING = "already_recording"
    NOT_RECORDING = "not_recording"


class ExchangeError(Exception):
    """A request that the state of the exchange forbids; it changed nothing."""

    def __init__(self, code: ErrorCode, subject: str = "") -> None:
        self.code = code
        self.subject = subject
        super().__init__(f"{code.value.replace('_', ' ')}{f': {subject}' if subject else ''}")


class Direction(enum.Enum):
    """Whether the exchange dialled the party, or the party dialled a number of the exchange."""

    OUT = "out"
    IN = "in"


class MediaKind(enum.Enum):
    """Files and speech play and stop independently of each other."""

    FILE = "file"
    SPEECH = "speech"


class RecordingState(enum.Enum):
    """The life of a recording."""

    RECORDING = "recording"
    PAUSED = "paused"
    COMPLETE = "complete"


@define(kw_only=True, eq=False)
class Conference:
    """A mixing room.

    Args:
        name: a room with a name comes again, under another id, when somebody who was dialled into it answers after it
            has ended.
        interpret_digits: keys that members press control the conference, and ``#`` leaves it; otherwise they
            are reported.
        notes: for whoever builds a platform on the exchange; the exchange never reads them.
    """

    id: str
    caller_id: str = field(repr=masked)
    name: str | None = None
    state: ConferenceState = ConferenceState.CREATED
    interpret_digits: bool = True
    mute: bool = False
    hold: bool = False
    created_at: datetime
    activated_at: datetime | None = None
    ended_at: datetime | None = None
    notes: dict[str, object] = field(factory=dict, repr=False)


@define(kw_only=True, eq=False)
class Call:
    """A leg between the exchange and one party.

    Args:
        conference_id: the conference that it was dialled into or has entered; kept after it left.
        bridge_id: the bridge that it was dialled into or is on; kept after it left.
        join_on_answer: the exchange makes it a member once it is answered.
        room: the room that it joins then by its name: that one, or the one of this name that is there.
        ring_for: seconds.
        transferred_to: the call that this one was handed over to.
        digits_sent: what was sent to the party, one item a request.
    """

    id: str
    direction: Direction
    to: str = field(repr=masked)
    caller_id: str = field(repr=masked)
    state: CallState = CallState.QUEUED
    cause: EndCause | None = None
    conference_id: str | None = None
    bridge_id: str | None = None
    join_on_answer: bool = False
    room: Conference | None = None
    ring_for: float = 60.0
    created_at: datetime
    ringing_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    transferred_to: str | None = None
    digits_sent: list[str] = field(factory=list)
    notes: dict[str, object] = field(factory=dict, repr=False)

    @property
    def party(self) -> str:
        """The address of the party at the other end."""
        return self.to if self.direction is Direction.OUT else self.caller_id


@define(kw_only=True, eq=False)
class Member:
    """A call's stay in a conference; who comes back is a new member."""

    id: str
    conference_id: str
    call_id: str
    state: MemberState = MemberState.JOINED
    mute: bool = False
    hold: bool = False
    deaf: bool = False
    coach: str | None = None
    joined_at: datetime
    left_at: datetime | None = None
    notes: dict[str, object] = field(factory=dict, repr=False)


@define(kw_only=True, eq=False)
class Bridge:
    """Two calls connected without a conference.

    Args:
        call_ids: the calls that take up its two places: being rung for it, or on it.
        audio: whether its calls hear each other.
        activated_at: when two answered calls were first on it.
    """

    id: str
    state: BridgeState = BridgeState.CREATED
    call_ids: list[str] = field(factory=list)
    audio: bool = True
    created_at: datetime
    activated_at: datetime | None = None
    ended_at: datetime | None = None
    notes: dict[str, object] = field(factory=dict, repr=False)


@define(kw_only=True, eq=False)
class Recording:
    """A recording of a call, a conference or a bridge.

    Args:
        ordinal: the how-manieth recording of its target, from 1.
    """

    id: str
    ordinal: int
    conference_id: str | None = None
    call_id: str | None = None
    bridge_id: str | None = None
    state: RecordingState = RecordingState.RECORDING
    started_at: datetime
    ended_at: datetime | None = None


class FactKind(enum.Enum):
    """What can happen."""

    CALL_INCOMING = "call_incoming"
    CALL_RINGING = "call_ringing"
    CALL_ANSWERED = "call_answered"
    CALL_ENDED = "call_ended"
    CALL_TRANSFERRED = "call_transferred"
    CONFERENCE_CREATED = "conference_created"
    CONFERENCE_UPDATED = "conference_updated"
    CONFERENCE_ENDED = "conference_ended"
    MEMBER_JOINED = "member_joined"
    MEMBER_UPDATED = "member_updated"
    MEMBER_LEFT = "member_left"
    BRIDGE_CREATED = "bridge_created"
    BRIDGE_STARTED = "bridge_started"
    BRIDGE_HELD = "bridge_held"
    BRIDGE_ENDED = "bridge_ended"
    PLAYBACK_STARTED = "playback_started"
    PLAYBACK_ENDED = "playback_ended"
    RECORDING_READY = "recording_ready"
    DIGITS = "digits"


@frozen(kw_only=True)
class Fact:
    """Something that happened, as it was at that moment.

    Args:
        number: counts the exchange's facts, from 1.
        active_members: how many are in the conference after the fact; with ``MEMBER_*``.
        cause: with ``CALL_ENDED``.
        digit: one key; with ``DIGITS``.
        media: what plays; with ``PLAYBACK_*``.
    """

    number: int
    kind: FactKind
    at: datetime
    conference_id: str | None = None
    call_id: str | None = None
    member_id: str | None = None
    bridge_id: str | None = None
    recording_id: str | None = None
    cause: EndCause | None = None
    mute: bool | None = None
    hold: bool | None = None
    active_members: int | None = None
    digit: str | None = None
    media: MediaKind | None = None
