"""What workflows say to each other and to the application: frozen values that survive serialisation.

What happens to a workflow comes to one place only, its mailbox, so everything that it may have to react to is one of
these.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import timedelta

from attrs import field, frozen

from confkit.models.capabilities import BridgeEnds, Bridging, ConferenceCreation
from confkit.models.errors import ProviderError
from confkit.models.events import (
    CallAnswered,
    CallEnded,
    CallRinging,
    ConferenceEnded,
    ConferenceStarted,
    Event,
    MemberJoined,
    MemberLeft,
)
from confkit.models.records import (
    Bridge,
    Call,
    Conference,
    ConferencePatch,
    EndCause,
    JoinMethod,
    Media,
    Member,
    MemberPatch,
    Outcome,
    Party,
    RecordAction,
)
from confkit.workflows.policy import Plan


@frozen(kw_only=True)
class Failure:
    """An error as a value.

    Args:
        kind: the class of the error, such as ``RateLimited``.
        message: one sentence for people, masked.
        detail: the sentence without the provider, operation and code, which the error puts around it itself.
    """

    kind: str
    message: str
    detail: str = ""
    operation: str = ""
    code: str | None = None
    status: int | None = None

    @classmethod
    def of_cause(cls, cause: EndCause) -> Failure | None:
        """Why a call ended before it was answered; ``None`` where the outcome says it all."""
        match Outcome.of(cause):
            case Outcome.NO_CAPACITY:
                why = "the provider carries no more calls at the moment"
            case Outcome.FAILED:
                why = f"the call ended before it was answered: {cause.value}"
            case _:
                return None
        return cls(kind="CallEnded", message=why)

    @classmethod
    def of(cls, error: ProviderError) -> Failure:
        """A provider's error as a value."""
        return cls(
            kind=type(error).__name__,
            message=str(error),
            detail=error.message,
            operation=error.operation,
            code=error.code,
            status=error.status,
        )


@frozen(kw_only=True)
class MeetingBrief:
    """The input of the workflow ``meeting``.

    Args:
        owner: the mailbox of the application's handle.
        shortest_ring, tells_answers: see :class:`LegBrief`.
        provider: its name.
    """

    plan: Plan
    owner: str
    provider: str
    creation: ConferenceCreation
    join_method: JoinMethod
    bridging: Bridging
    bridge_to_conference: bool = False
    end_hangs_up: bool = False
    bridge_ends: BridgeEnds = BridgeEnds.BY_REQUEST
    shortest_ring: timedelta = timedelta(0)
    tells_answers: bool = True


@frozen(kw_only=True)
class LegBrief:
    """The input of the workflow ``leg``: one party and where it belongs.

    Args:
        meeting: the workflow that hears what becomes of the leg.
        join_method: how its call is to get into the conference.
        waits_for_release: for ``Proceed``, before dialling: the conference has no id yet, and dialling makes it.
        shortest_ring: what the platform's phones ring at least; for less, the leg hangs up itself.
        tells_answers: whether the record of a call tells ringing from answered.
        named: the conference is a name, under which a call that is dialled into it makes it again when it has ended.
        incoming: a call that the party has made to us, to be answered instead of dialled.
    """

    meeting: str
    party: Party
    caller_id: str = field(repr=False)
    answer_timeout: timedelta
    into: Conference | Bridge | None = None
    join_method: JoinMethod = JoinMethod.EXPLICIT
    waits_for_release: bool = False
    named: bool = False
    incoming: Call | None = None
    shortest_ring: timedelta = timedelta(0)
    tells_answers: bool = True

    @property
    def rings_too_long(self) -> bool:
        """Whether the platform lets a phone ring for longer than is asked for."""
        return self.answer_timeout < self.shortest_ring

    @property
    def up_is_answered(self) -> bool:
        """Whether a call that is up after its time to ring has been answered: the platform ends any other by then."""
        return not self.tells_answers and not self.rings_too_long


class Stage(enum.Enum):
    """How far a leg has come."""

    WAITING = "waiting"
    DIALLED = "dialled"
    ANSWERED = "answered"
    JOINED = "joined"
    UPDATED = "updated"
    ENDED = "ended"


@frozen(kw_only=True)
class LegReport:
    """A leg tells its meeting how far it has come.

    Args:
        number: counts the leg's reports, so that of two changes at one instant the later holds.
        conference_id: where joining told the id of the conference.
        data: of the conference, with ``conference_id``.
        left_behind: what could not be undone, one sentence.
        watches: the leg is over, and still looks out for a call that may have been made.
        told: that the call has ended was told and not asked for, so that it may still be up.
    """

    leg: str
    stage: Stage
    number: int = 0
    call: Call | None = None
    member: Member | None = None
    conference_id: str | None = None
    data: Mapping[str, str] = field(factory=dict, repr=False, hash=False)
    mute: bool | None = None
    hold: bool | None = None
    outcome: Outcome | None = None
    failure: Failure | None = None
    left_behind: str | None = None
    watches: bool = False
    told: bool = False


@frozen(kw_only=True)
class Proceed:
    """The meeting lets a leg go on: dial into, or join, this conference; or: it is bridged now."""

    into: Conference | Bridge


@frozen(kw_only=True)
class HangUp:
    """The meeting takes a leg out: nothing of it may stay.

    Args:
        done: the call is hung up together with its conference.
    """

    done: bool = False


@frozen(kw_only=True)
class Happened:
    """A fact from the provider.

    Args:
        asked: it is the answer to a question of ours; otherwise somebody has told it.
    """

    event: Event
    asked: bool = False


@frozen(kw_only=True)
class Command:
    """Something that the application asks for.

    Args:
        id: for the reply, which goes to ``owner``.
        target: the leg that it is about; ``None`` for the whole meeting.
    """

    id: str
    owner: str
    target: str | None = None


@frozen(kw_only=True)
class Add(Command):
    """One more party; or somebody who has called in."""

    party: Party
    incoming: Call | None = None


@frozen(kw_only=True)
class Remove(Command):
    """Take a party out and hang up."""


#: What an operation is told beside what it is about.
Argument = str | MemberPatch | ConferencePatch | Media | RecordAction


@frozen(kw_only=True)
class Perform(Command):
    """Carry out one operation of the contract, on the meeting's room or on one party.

    Args:
        arguments: those that follow the conference, bridge, call or member in the contract, in its order.
    """

    operation: str
    arguments: tuple[Argument, ...] = field(default=(), repr=False)


@frozen(kw_only=True)
class End:
    """The application wants the meeting over; everything it created is undone."""


@frozen(kw_only=True)
class Established:
    """The meeting tells its owner that everyone has joined or has an outcome, and the quorum is there."""

    conference: Conference | None = None
    bridge: Bridge | None = None


@frozen(kw_only=True)
class Adopted:
    """The meeting tells its owner which conference it is in now; one without an id has ended, and comes again."""

    conference: Conference


@frozen(kw_only=True)
class Reply:
    """The answer to a command: done, or why not. ``leg`` is the new participant after ``Add``."""

    command: str
    failure: Failure | None = None
    leg: str | None = None


@frozen(kw_only=True)
class LegEnd:
    """The result of the workflow ``leg``."""

    outcome: Outcome


class EndReason(enum.Enum):
    """Why a meeting is over."""

    ASKED = "asked"
    EVERYONE_LEFT = "everyone_left"
    QUORUM_MISSED = "quorum_missed"
    CONFERENCE_ENDED = "conference_ended"
    FAILED = "failed"


@frozen(kw_only=True)
class MeetingEnd:
    """The result of the workflow ``meeting``.

    Args:
        left_behind: calls and rooms that may still be up, one sentence each.
        orphans: empty rooms that may have been made by a request whose reply was lost; they ring nobody.
    """

    reason: EndReason
    established: bool
    failure: Failure | None = None
    left_behind: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()


Message = LegReport | Proceed | HangUp | Happened | Add | Remove | Perform | End | Established | Adopted | Reply

#: The kinds of events that a workflow acts on; others only change what is shown of the meeting.
HEEDED = (
    CallRinging,
    CallAnswered,
    CallEnded,
    MemberJoined,
    MemberLeft,
    ConferenceStarted,
    ConferenceEnded,
)
