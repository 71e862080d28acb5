"""What happens to calls, members, conferences and bridges, in one vocabulary for all platforms.

An event is a fact. The state of a meeting is a function of the set of facts, not of their order, so every
event carries ids instead of positions. ``id`` is the provider's event id, or a digest of the payload where the
platform has none; two deliveries of one event have one id.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from attrs import field, frozen

from confkit.models.addresses import masked
from confkit.models.records import EndCause


@frozen(kw_only=True)
class Event:
    """What all events have.

    Args:
        provider: the provider's name.
        id: for dropping duplicates.
        occurred_at: the platform's clock; ``None`` where it does not say.
        flow: the id of the workflow that the event was addressed to, where the platform echoes it.
        op: our key of the request that made the call, conference or bridge that the event is about, where the platform
            echoes it (a tag, a label, a client state); never a guess.
        raw: the payload as it came, read-only.
    """

    provider: str
    id: str
    occurred_at: datetime | None = None
    flow: str | None = None
    op: str | None = None
    raw: Mapping[str, Any] = field(factory=dict, repr=False, eq=False)


@frozen(kw_only=True)
class CallRinging(Event):
    """The party's phone rings."""

    call_id: str


@frozen(kw_only=True)
class CallAnswered(Event):
    """The party has answered."""

    call_id: str


@frozen(kw_only=True)
class CallEnded(Event):
    """The call is over, whoever ended it."""

    call_id: str
    cause: EndCause = EndCause.UNKNOWN


@frozen(kw_only=True)
class MemberJoined(Event):
    """The call is in the conference."""

    call_id: str
    member_id: str
    conference_id: str
    mute: bool | None = None
    hold: bool | None = None


@frozen(kw_only=True)
class MemberLeft(Event):
    """The call is out of the conference; it may still be up."""

    call_id: str
    member_id: str
    conference_id: str


@frozen(kw_only=True)
class MemberUpdated(Event):
    """Mute or hold of a member changed; ``None`` where the event does not tell."""

    call_id: str
    member_id: str
    conference_id: str
    mute: bool | None = None
    hold: bool | None = None


@frozen(kw_only=True)
class ConferenceStarted(Event):
    """The conference exists. ``key`` is ours, where the platform echoes it."""

    conference_id: str
    key: str | None = None


@frozen(kw_only=True)
class ConferenceEnded(Event):
    """The conference is over and cannot be used again."""

    conference_id: str


@frozen(kw_only=True)
class BridgeStarted(Event):
    """Two calls hear each other over the bridge."""

    bridge_id: str


@frozen(kw_only=True)
class BridgeEnded(Event):
    """The bridge is over."""

    bridge_id: str


@frozen(kw_only=True)
class PlaybackStarted(Event):
    """A file or speech began to play to a conference, on a bridge, or to one call."""

    conference_id: str | None = None
    bridge_id: str | None = None
    call_id: str | None = None


@frozen(kw_only=True)
class PlaybackEnded(Event):
    """A file or speech has ended or was stopped."""

    conference_id: str | None = None
    bridge_id: str | None = None
    call_id: str | None = None


@frozen(kw_only=True)
class RecordingReady(Event):
    """A recording can be fetched.

    It names what was recorded, by exactly one of ``conference_id``, ``bridge_id`` and ``call_id``: an event that names
    none reaches nobody.
    """

    recording_id: str
    conference_id: str | None = None
    bridge_id: str | None = None
    call_id: str | None = None
    url: str | None = field(default=None, repr=False)


@frozen(kw_only=True)
class RecordingFailed(Event):
    """A recording was lost; names what was recorded, as :class:`RecordingReady` does."""

    recording_id: str
    conference_id: str | None = None
    bridge_id: str | None = None
    call_id: str | None = None


@frozen(kw_only=True)
class DigitsReceived(Event):
    """The party pressed keys (DTMF, RFC 4733: ``0-9``, ``*``, ``#``, ``A-D``)."""

    call_id: str
    digits: str


@frozen(kw_only=True)
class IncomingCall(Event):
    """Somebody calls a number of the application."""

    call_id: str
    caller: str = field(repr=masked)
    called: str = field(repr=masked)


@frozen(kw_only=True)
class Unknown(Event):
    """A type of event that confkit has no word for; ``raw`` has all of it."""

    type: str
    call_id: str | None = None
    conference_id: str | None = None


def call_of(event: Event) -> str | None:
    """The id of the call that the event speaks of, if it speaks of one."""
    return getattr(event, "call_id", None)


def conference_of(event: Event) -> str | None:
    """The id of the conference that the event speaks of, if it speaks of one."""
    return getattr(event, "conference_id", None)


def bridge_of(event: Event) -> str | None:
    """The id of the bridge that the event speaks of, if it speaks of one."""
    return getattr(event, "bridge_id", None)


def key_of(event: Event) -> str | None:
    """Our own name for the conference that the event speaks of, where the platform echoes it."""
    return getattr(event, "key", None)


@frozen(kw_only=True)
class WebhookRequest:
    """A provider's request to the application, as it came over HTTP.

    Args:
        path: decoded; a provider's hook sees only what follows ``public_url``, whatever the mount point is.
        headers: names in lower case.
        query: the query parameters, decoded.
        url: a provider's hook sees the URL that was called, without credentials: ``public_url``, never a proxy's
            guess, then the path and the query string as it was sent. Of what an application gives, only the query
            string is kept.
        at: when it came, aware, on the client's clock: an age that a signature proves is measured by it, and by no
            clock of the provider's own. The receiver sets it, whatever an application gives.

    Attributes:
        LARGEST_BODY: the longest body that is taken, in bytes: a telephone event has less than a hundredth of it.
    """

    LARGEST_BODY: ClassVar = 64 * 1024

    method: str
    path: str = field(repr=False)  # it holds the token that lets a callback in
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    query: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    url: str = field(default="", repr=False)
    at: datetime = field(factory=lambda: datetime.now(UTC), eq=False)


@frozen(kw_only=True)
class WebhookReply:
    """What to answer."""

    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = b""


@frozen(kw_only=True)
class Received:
    """What a provider made of a webhook request: the facts in it, and what it wants to hear back.

    Args:
        reply: what is answered, as it is: it may be a document that the platform carries out.
        decided_within: for a platform that takes it from the reply what becomes of the :class:`IncomingCall` in
            ``events``: so long the request is kept waiting for ``answer_call`` or ``reject_call`` to say it, by
            :func:`confkit.provider.give_reply`; after that ``reply`` is answered. Shorter than the platform waits.
    """

    events: tuple[Event, ...] = ()
    reply: WebhookReply = WebhookReply()
    decided_within: timedelta | None = None
