"""What a provider can do, as data: printed as a matrix, checked before the wire, tested against behaviour."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from attrs import field, frozen

from confkit.models.records import EndCause, JoinMethod


class ConferenceCreation(enum.Enum):
    """When the platform's conference comes to exist.

    Where it is a name (``BY_NAME``), whoever joins first makes it, all may dial and join at once, and one that ended
    comes again under its name with another id. Where the first dial makes it and tells its id (``ON_JOIN``), or the
    first call that is added (``FROM_CALL``), one goes first and the others wait for the id.
    """

    EXPLICIT = "explicit"
    BY_NAME = "by_name"
    ON_JOIN = "on_join"
    FROM_CALL = "from_call"


class Bridging(enum.Enum):
    """When a bridge can be made: before its calls are dialled, after both have answered, or never."""

    FIRST = "first"
    AFTER = "after"
    NONE = "none"


class EventSource(enum.Enum):
    """How the platform's facts reach us."""

    WEBHOOK = "webhook"
    STREAM = "stream"
    POLL = "poll"


class BridgeEnds(enum.Enum):
    """How a bridge ends: by ``end_bridge``, which leaves its calls up, or with its calls and in no other way."""

    BY_REQUEST = "by request"
    WITH_ITS_CALLS = "with its calls"


class Patches(enum.Enum):
    """How many settings of a member or a conference one request changes."""

    SINGLE = "single"
    ANY = "any"


@frozen(kw_only=True)
class RateClass:
    """A limit that the platform enforces: so many requests per so long, or so many under way at a time.

    Args:
        name: such as ``calls``; unique within a provider.
        limit: how many requests.
        per: in which sliding span of time; of no account where ``concurrent``.
        concurrent: the limit is how many requests may wait for their replies at a time.
        costs: the operations that count against it, each with its number of requests on the wire. Where that depends
            on what an operation is about, the key names it: ``play:member``, ``fetch:call``, ``find:create_call``.
        scope: ``account``, or ``number`` for a limit that each caller ID has for itself.
    """

    name: str
    limit: int
    per: timedelta = timedelta(0)
    costs: Mapping[str, int]
    scope: str = "account"
    concurrent: bool = False

    def __str__(self) -> str:
        span = "at a time" if self.concurrent else f"per {self.per.total_seconds():g} s"
        return f"{self.name}: {self.limit} {span} ({self.scope})"


@frozen(kw_only=True)
class Capabilities:
    """What a provider can do and what limits it has.

    An operation that the provider does not implement is a missing capability by itself; this record says
    what cannot be read from the hooks.

    Args:
        join_methods: how calls get into a conference: one way or both (see :attr:`join_method`).
        max_members: how many a conference holds; ``None`` for no limit. The effective maximum of a meeting is
            the smaller of this and the policy's.
        member: of ``mute``, ``hold``, ``deaf``, ``coach``: what ``update_member`` can change.
        play: of ``conference``, ``member``, ``call``, ``bridge`` (where) and ``url``, ``text``, ``loop``,
            ``stop`` (what).
        max_text: how many characters of speech one request takes.
        voices: names of voices by locale; empty where the provider does not publish them.
        record: of ``conference``, ``call``, ``bridge``, ``pause``.
        end_hangs_up: whether ending a conference hangs up its calls.
        admits: of ``conference``, ``bridge``: into what a call that came in can be answered.
        bridge_to_conference: whether an answered call can be moved from a bridge into a conference.
        finds: the operations whose lost requests ``find`` can look up.
        idempotent: the operations that, sent again with the same ``op.key``, have no second effect: the platform keeps
            a key, or the key becomes the id of what they make. Alone, or with what they are about, as in
            ``RateClass.costs``: ``play:conference``. A request whose outcome is unknown is sent again only where its
            operation stands here; what is the same twice anyway, such as a hang-up, need not. The second reply must
            give the result of the first, or the operation must be ``reconcilable`` too.
        idempotency_window: how long a key is remembered; ``None`` for as long as the resource exists.
        compound: the operations that take several requests which change something: all of them, or only those with a
            detail, such as ``play:member`` or ``add_member:mute``. Any other is one request; ``create_call`` always is.
        patches: whether ``update_member`` and ``update_conference`` change any number of settings with one request, or
            a single one: then the core sends the flags of a patch one after the other.
        causes: which ends of a call that nobody answered the platform can tell apart; where two look alike, only the
            one that is shown stands here.
        rings: how long a phone rings at least and at most, whatever is asked for; ``None`` for no limit. The policy
            refuses an ``answer_timeout`` above; a call that is to ring for less is hung up by the core in time.
        max_calls: how many calls the account carries at a time; a meeting that needs more is refused before anything
            is sent. ``None`` for no limit.
        tells_answers: whether the record of a call tells ringing from answered. Where it does not, events do, and a
            call that is up when its time to ring is over counts as answered.
        needs_webhooks: the platform cannot do without a callback URL: a client without ``public_url`` does not open.
        needs_public_url_for: the operations that need a URL of ours, and are refused without ``public_url``. Alone,
            with what they are about, or with what is played: ``record``, ``play:call``, ``play:text``.
        bridge_ends: by ``end_bridge``, or with its calls: then there is no ``end_bridge``, and two who are bridged are
            not moved into a conference.
        bridge_hangs_up: whether the one on a bridge is hung up when the other hangs up; else that call stays up.
        poll_interval: the pause between two polls of a meeting's calls while someone is still being rung.
        signs_webhooks: whether ``receive`` can tell by a signature that a request is the platform's own. Then the
            client's ``incoming_url`` is the same at every start, so that it can be set in the platform's portal.
    """

    creation: ConferenceCreation = ConferenceCreation.EXPLICIT
    join_methods: frozenset[JoinMethod] = frozenset({JoinMethod.EXPLICIT})
    bridging: Bridging = Bridging.NONE
    max_members: int | None = None
    member: frozenset[str] = frozenset()
    play: frozenset[str] = frozenset()
    max_text: int | None = None
    voices: Mapping[str, frozenset[str]] = field(factory=dict)
    record: frozenset[str] = frozenset()
    end_hangs_up: bool = False
    answers_into: frozenset[str] = frozenset()
    bridge_to_conference: bool = False
    events: frozenset[EventSource] = frozenset()
    idempotent: frozenset[str] = frozenset()
    idempotency_window: timedelta | None = None
    reconcilable: frozenset[str] = frozenset()
    rates: tuple[RateClass, ...] = ()
    poll_interval: timedelta = timedelta(seconds=1)
    causes: frozenset[EndCause] = frozenset({EndCause.BUSY, EndCause.NO_ANSWER, EndCause.REJECTED})
    rings: tuple[timedelta, timedelta | None] = (timedelta(0), None)
    max_calls: int | None = None
    tells_answers: bool = True
    needs_webhooks: bool = False
    needs_public_url_for: frozenset[str] = frozenset()
    bridge_ends: BridgeEnds = BridgeEnds.BY_REQUEST
    bridge_hangs_up: bool = False
    compound: frozenset[str] = frozenset()
    patches: Patches = Patches.ANY
    signs_webhooks: bool = False

    @property
    def join_method(self) -> JoinMethod:
        """How the core lets calls join: by ``add_member`` where the platform has it.

        Only then nobody is in before a second can be, so that an early leaver ends no conference, and who has answered
        can be asked something first.
        """
        return JoinMethod.EXPLICIT if JoinMethod.EXPLICIT in self.join_methods else JoinMethod.FUSED

    def rows(self) -> dict[str, Any]:
        """The record as plain values, for tables and JSON: names of enums, sorted lists, seconds."""
        return {
            "conference comes to exist": self.creation.value,
            "a call joins": sorted(method.value for method in self.join_methods),
            "bridge": self.bridging.value,
            "a bridge ends": self.bridge_ends.value if self.bridging is not Bridging.NONE else None,
            "a bridge hangs up the other": self.bridge_hangs_up,
            "max members": self.max_members,
            "max calls": self.max_calls,
            "rings": _span(*self.rings),
            "answers in records": self.tells_answers,
            "ends told apart": sorted(cause.value for cause in self.causes),
            "member": sorted(self.member),
            "play": sorted(self.play),
            "max text": self.max_text,
            "record": sorted(self.record),
            "ending hangs up": self.end_hangs_up,
            "answers callers into": sorted(self.answers_into),
            "bridge to conference": self.bridge_to_conference,
            "events": sorted(source.value for source in self.events),
            "signs webhooks": self.signs_webhooks,
            "idempotent": sorted(self.idempotent),
            "needs webhooks": self.needs_webhooks,
            "needs a public URL": sorted(self.needs_public_url_for),
            "several requests": sorted(self.compound),
            "settings in one request": self.patches.value,
            "reconcilable": sorted(self.reconcilable),
            "rates": [str(rate) for rate in self.rates],
        }


def _span(least: timedelta, most: timedelta | None) -> str | None:
    """A span of time for people; ``None`` where it has no limits."""
    if most is None:
        return f"{least.total_seconds():g} s or more" if least else None
    return f"{least.total_seconds():g} to {most.total_seconds():g} s"
