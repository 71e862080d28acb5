"""What a provider can do, as data: printed as a matrix, checked before the wire, tested against behaviour."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from attrs import field, frozen


class ConferenceCreation(enum.Enum):
    """When the platform's conference comes to exist."""

    EXPLICIT = "explicit"
    ON_JOIN = "on_join"
    FROM_CALL = "from_call"


class JoinMethod(enum.Enum):
    """How a call gets into a conference: by ``add_member``, or by having been dialled into it."""

    EXPLICIT = "explicit"
    FUSED = "fused"


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


class Idempotency(enum.Enum):
    """What makes re-sending a request safe: nothing, a key within a window, or an id that we choose."""

    NONE = "none"
    KEY = "key"
    CLIENT_ID = "client_id"


@frozen(kw_only=True)
class RateClass:
    """A limit that the platform enforces: so many requests per so long.

    Args:
        name: such as ``calls``; unique within a provider.
        limit: how many requests.
        per: in which sliding span of time.
        costs: the operations that count against it, each with its number of requests on the wire. Where that depends
            on what an operation is about, the key names it: ``play:member``, ``fetch:call``, ``find:create_call``.
        scope: ``account``, or ``number`` for a limit that each caller ID has for itself.
    """

    name: str
    limit: int
    per: timedelta
    costs: Mapping[str, int]
    scope: str = "account"


@frozen(kw_only=True)
class Capabilities:
    """What a provider can do and what limits it has.

    An operation that the provider does not implement is a missing capability by itself; this record says
    what cannot be read from the hooks.

    Args:
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
        idempotency_window: how long a key is remembered; ``None`` for as long as the resource exists.
        poll_interval: the pause between two polls of a meeting's calls while someone is still being rung.
        signs_webhooks: whether ``receive`` can tell by a signature that a request is the platform's own. Then the
            client's ``incoming_url`` is the same at every start, so that it can be set in the platform's portal.
    """

    creation: ConferenceCreation = ConferenceCreation.EXPLICIT
    join_method: JoinMethod = JoinMethod.EXPLICIT
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
    idempotency: Idempotency = Idempotency.NONE
    idempotency_window: timedelta | None = None
    reconcilable: frozenset[str] = frozenset()
    rates: tuple[RateClass, ...] = ()
    poll_interval: timedelta = timedelta(seconds=1)
    signs_webhooks: bool = False

    def rows(self) -> dict[str, Any]:
        """The record as plain values, for tables and JSON: names of enums, sorted lists, seconds."""
        return {
            "conference comes to exist": self.creation.value,
            "a call joins": self.join_method.value,
            "bridge": self.bridging.value,
            "max members": self.max_members,
            "member": sorted(self.member),
            "play": sorted(self.play),
            "max text": self.max_text,
            "record": sorted(self.record),
            "ending hangs up": self.end_hangs_up,
            "answers callers into": sorted(self.answers_into),
            "bridge to conference": self.bridge_to_conference,
            "events": sorted(source.value for source in self.events),
            "signs webhooks": self.signs_webhooks,
            "idempotency": self.idempotency.value,
            "reconcilable": sorted(self.reconcilable),
            "rates": [
                f"{rate.name}: {rate.limit} per {rate.per.total_seconds():g} s ({rate.scope})" for rate in self.rates
            ],
        }
