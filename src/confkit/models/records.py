"""The values of the provider contract: what operations take and what they give back.

All are frozen, slotted and keyword-only; states are enums; instants are aware ``datetime``, durations
``timedelta``. ``raw`` is the provider's own payload, left out of ``repr`` and of comparison.
``provider_options`` is the escape on the way in: a provider refuses keys that it does not know.
``data`` of a conference, call, member or bridge is the provider's memory of it, a few words of text: what it gives with
the object is handed back in every later operation on it, also by another process, and kept where a record that comes
later has none. It is written down with the meeting, so it holds no secret.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from attrs import asdict, evolve, field, frozen

from confkit.models.addresses import canonical, masked
from confkit.models.text import one_line


def _raw() -> Any:
    return field(factory=dict, repr=False, eq=False)


def _options() -> Any:
    return field(factory=dict, repr=False)


def _data() -> Any:
    return field(factory=dict, repr=False, hash=False)


class CallState(enum.Enum):
    """The life of a call, in order; a later state is never undone by an earlier one."""

    QUEUED = "queued"
    RINGING = "ringing"
    ANSWERED = "answered"
    ENDED = "ended"


class EndCause(enum.Enum):
    """Why a call ended."""

    HANGUP = "hangup"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    REJECTED = "rejected"
    UNALLOCATED = "unallocated"
    CANCELLED = "cancelled"
    NOT_PERMITTED = "not_permitted"
    #: The platform, or the account, carries no more calls at the moment: the party was not called.
    CAPACITY = "capacity"
    FAILED = "failed"
    UNKNOWN = "unknown"


class ConferenceState(enum.Enum):
    """A conference exists, has members, or is over for good."""

    CREATED = "created"
    ACTIVE = "active"
    ENDED = "ended"


class MemberState(enum.Enum):
    """A call's place in a conference. ``JOINING``: asked for, not yet confirmed by the provider."""

    JOINING = "joining"
    JOINED = "joined"
    LEFT = "left"


class BridgeState(enum.Enum):
    """A bridge waits for its calls, connects two, holds them apart, or is over."""

    CREATED = "created"
    ACTIVE = "active"
    HELD = "held"
    ENDED = "ended"


class JoinMethod(enum.Enum):
    """How a call gets into a conference: by ``add_member`` once it has answered, or by having been dialled into it."""

    EXPLICIT = "explicit"
    FUSED = "fused"


class Membership(enum.Enum):
    """What ``create_call`` promises about the call's way into its conference or bridge."""

    #: Nothing: the call stands alone.
    NONE = "none"
    #: The core calls ``add_member`` once the call is answered.
    EXPLICIT = "explicit"
    #: The provider joins it; ``MemberJoined`` says when.
    FUSED = "fused"
    #: The call is in as soon as it is answered; no further event says so (a Bandwidth v1 bridge).
    ON_ANSWER = "on_answer"


@frozen
class Party:
    """Somebody to reach.

    Args:
        address: an E.164 number or a SIP URI.
        name: shown instead of the address where people look.
    """

    address: str = field(repr=masked)
    name: str | None = None

    @property
    def identity(self) -> str:
        """Equal for two spellings of one address."""
        return canonical(self.address)

    @property
    def label(self) -> str:
        """The name, else the masked address, in one line that is safe to show."""
        return one_line(self.name or "") or masked(self.address)


@frozen(kw_only=True)
class Op:
    """One intent, identical on every re-send of it.

    Args:
        key: at most 36 characters of ``[A-Za-z0-9-]``: the platform's idempotency key, client-chosen id or
            correlation tag, whichever it has.
        timeout: how long one request may take on the wire; never the ring timeout.
        attempt: 1 for the first time that the intent is sent.
        callback_url: where the platform is to report what comes of the operation; ``None`` where nobody listens, and
            for what is done by hand. It is a secret. A provider may add a query to it, which comes back with the
            request.
    """

    key: str
    timeout: timedelta = timedelta(seconds=10)
    attempt: int = 1
    callback_url: str | None = field(default=None, repr=False)


@frozen(kw_only=True)
class ConferenceSpec:
    """A conference to create.

    Args:
        caller_id: the number that hosts it, E.164.
        max_members: how many the meeting may come to hold.
    """

    caller_id: str = field(repr=masked)
    max_members: int | None = None
    provider_options: Mapping[str, Any] = _options()


@frozen(kw_only=True)
class Conference:
    """The provider's mixing room.

    Args:
        key: our name for it, stable from the moment it was asked for; the room's name where the platform
            knows rooms by name.
        id: the provider's; ``None`` until the platform creates it with its first member.
    """

    provider: str
    key: str
    id: str | None = None
    state: ConferenceState = ConferenceState.CREATED
    mute: bool = False
    hold: bool = False
    created_at: datetime | None = None
    ended_at: datetime | None = None
    data: Mapping[str, str] = _data()
    raw: Mapping[str, Any] = _raw()


@frozen(kw_only=True)
class CallSpec:
    """A party to dial.

    Args:
        to: E.164 number or SIP URI.
        caller_id: the number shown to the party, E.164.
        answer_timeout: how long the phone may ring.
        join_method: how the call is to get into its conference, where the platform has both ways: by itself as soon
            as it is answered, or by ``add_member``.
    """

    to: str = field(repr=masked)
    caller_id: str = field(repr=masked)
    answer_timeout: timedelta = timedelta(seconds=30)
    join_method: JoinMethod = JoinMethod.EXPLICIT
    provider_options: Mapping[str, Any] = _options()


@frozen(kw_only=True)
class Call:
    """One leg between the provider and one party."""

    provider: str
    id: str
    to: str = field(default="", repr=masked)
    caller_id: str = field(default="", repr=masked)
    state: CallState = CallState.QUEUED
    cause: EndCause | None = None
    conference_id: str | None = None
    bridge_id: str | None = None
    created_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    data: Mapping[str, str] = _data()
    raw: Mapping[str, Any] = _raw()


@frozen(kw_only=True)
class Dialled:
    """What ``create_call`` gives back: the provider has accepted the call; nobody has answered yet.

    Args:
        conference: with its id, if this call brought it into being.
        queued_for: how long the platform holds the call back before it rings, where it says so: a leg waits for the
            answer that much longer.
    """

    call: Call
    membership: Membership = Membership.NONE
    conference: Conference | None = None
    queued_for: timedelta | None = None


@frozen(kw_only=True)
class MemberOptions:
    """How a call enters its conference."""

    mute: bool = False
    hold: bool = False
    provider_options: Mapping[str, Any] = _options()


@frozen(kw_only=True)
class Member:
    """A call's place in a conference.

    ``state`` is what the reply says: a provider whose reply *is* the membership (Bandwidth v1 answers 201
    when the member is in) gives ``JOINED``; any other gives ``JOINING`` and sends ``MemberJoined``.
    """

    provider: str
    id: str
    call_id: str
    conference: Conference
    state: MemberState = MemberState.JOINING
    mute: bool = False
    hold: bool = False
    joined_at: datetime | None = None
    left_at: datetime | None = None
    data: Mapping[str, str] = _data()
    raw: Mapping[str, Any] = _raw()


@frozen(kw_only=True)
class MemberPatch:
    """What to change of a member; ``None`` leaves it as it is.

    Args:
        deaf: the member hears nobody.
        coach: the id of the only call that hears this member.
    """

    mute: bool | None = None
    hold: bool | None = None
    deaf: bool | None = None
    coach: str | None = None

    @property
    def parts(self) -> tuple[MemberPatch, ...]:
        """The same as patches of one setting each, in the order of the fields."""
        return tuple(MemberPatch(**{name: value}) for name, value in asdict(self).items() if value is not None)


@frozen(kw_only=True)
class ConferencePatch:
    """What to change for everyone in a conference; ``None`` leaves it as it is."""

    mute: bool | None = None
    hold: bool | None = None

    @property
    def parts(self) -> tuple[ConferencePatch, ...]:
        """The same as patches of one setting each, in the order of the fields."""
        return tuple(ConferencePatch(**{name: value}) for name, value in asdict(self).items() if value is not None)


@frozen(kw_only=True)
class Bridge:
    """Two calls connected without a conference."""

    provider: str
    id: str
    call_ids: tuple[str, ...] = ()
    state: BridgeState = BridgeState.CREATED
    created_at: datetime | None = None
    data: Mapping[str, str] = _data()
    raw: Mapping[str, Any] = _raw()


_Remembered = TypeVar("_Remembered", Conference, Call, Member, Bridge)


def with_memory(shown: _Remembered, known: _Remembered | None) -> _Remembered:
    """A record as it was shown, with the ``data`` that came with the object before, where it has none of its own."""
    return shown if shown.data or known is None or not known.data else evolve(shown, data=known.data)


@frozen(kw_only=True)
class Media:
    """Something to play: a file by its URL, or text to be spoken.

    Args:
        voice: the platform's name of a voice; checked by the provider's capabilities.
        locale: such as ``en_US``.
        loop: play a file until it is stopped.
    """

    url: str | None = None
    text: str | None = None
    voice: str | None = None
    locale: str | None = None
    loop: bool = False


#: Stops whatever is playing.
STOP: Final = Media()


class RecordAction(enum.Enum):
    """What to do with a recording. ``RESUME`` goes on with one that is paused; ``START`` begins one."""

    START = "start"
    STOP = "stop"
    PAUSE = "pause"
    RESUME = "resume"


@frozen(kw_only=True)
class Snapshot:
    """The provider's own account of a conference, a bridge or a call, at one moment."""

    conference: Conference | None = None
    bridge: Bridge | None = None
    members: tuple[Member, ...] = ()
    calls: tuple[Call, ...] = ()

    def made_for(self, address: str, call_id: str) -> Call | None:
        """The call of this id, if it is said to have been made to this address."""
        for call in self.calls:
            if call.id == call_id and call.to and canonical(call.to) == canonical(address):
                return call
        return None


@frozen(kw_only=True)
class FindHint:
    """What is known of an intent whose request was lost.

    Args:
        operation: the contract's operation, such as ``create_call``.
        into: where the call was dialled.
        to: whom it was for.
        call: the call that was to be added.
        since: it was not sent before, by our clock, which may be ahead of the platform's or behind it: what is older
            was made by another request. ``None`` where that is not known.
        caller_id: the number that the party was to see.
    """

    operation: str
    into: Conference | Bridge | None = None
    to: str | None = field(default=None, repr=lambda to: masked(to) if to else "None")
    call: Call | None = None
    since: datetime | None = None
    caller_id: str | None = field(default=None, repr=lambda number: masked(number) if number else "None")


class Outcome(enum.Enum):
    """How it ended for one party; ``JOINED`` while they are still there."""

    JOINED = "joined"
    LEFT = "left"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"
    #: The provider carries no more calls at the moment.
    NO_CAPACITY = "no_capacity"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @classmethod
    def of(cls, cause: EndCause) -> Outcome:
        """What it means for a party that its call ended so before it was answered."""
        return {
            EndCause.BUSY: cls.BUSY,
            EndCause.NO_ANSWER: cls.NO_ANSWER,
            EndCause.REJECTED: cls.REJECTED,
            EndCause.UNALLOCATED: cls.UNREACHABLE,
            EndCause.NOT_PERMITTED: cls.UNREACHABLE,
            EndCause.CAPACITY: cls.NO_CAPACITY,
            EndCause.CANCELLED: cls.CANCELLED,
        }.get(cause, cls.FAILED)


class ParticipantState(enum.Enum):
    """Where one party of a meeting stands."""

    WAITING = "waiting"
    DIALLING = "dialling"
    RINGING = "ringing"
    ANSWERED = "answered"
    JOINED = "joined"
    ENDED = "ended"


@frozen(kw_only=True)
class Participant:
    """One party of a meeting, as the facts known so far have it.

    Args:
        id: ours, stable for the life of the meeting: ``leg-3``.
        error: what went wrong, one sentence, where ``outcome`` is ``FAILED`` or ``NO_CAPACITY``.
    """

    id: str
    party: Party
    state: ParticipantState = ParticipantState.WAITING
    outcome: Outcome | None = None
    call_id: str | None = None
    member_id: str | None = None
    mute: bool = False
    hold: bool = False
    dialled_at: datetime | None = None
    answered_at: datetime | None = None
    joined_at: datetime | None = None
    ended_at: datetime | None = None
    error: str | None = None
