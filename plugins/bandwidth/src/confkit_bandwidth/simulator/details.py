"""What Bandwidth keeps of a resource beyond what a telephone exchange knows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import define, field, frozen

from confkit_bandwidth.simulator.delivery import CallbackSettings


@define(kw_only=True)
class ConferenceDetails:
    """Of a conference."""

    callbacks: CallbackSettings
    profile: str = "interpret_digits"


@define(kw_only=True)
class MemberDetails:
    """Of a member."""

    join_tone: bool = False
    leaving_tone: bool = False


@frozen(kw_only=True)
class LogEntry:
    """A line of a call's event log (``getCallsCallIdEvents.md``)."""

    id: str
    name: str
    at: datetime
    data: str | None = None


@define(kw_only=True)
class Gather:
    """A request for digits.

    Args:
        pause: seconds between two digits after which it completes.
        prompted: something is played to ask for the digits; the first one interrupts it.
        round: counts the waits for a digit; a wait that was overtaken by a digit does nothing.
    """

    id: str
    most: int | None
    pause: float
    terminators: str
    tag: str | None
    prompted: bool
    created_at: datetime
    completed_at: datetime | None = None
    digits: str = ""
    reason: str | None = None
    round: int = 0


@define(kw_only=True)
class CallDetails:
    """Of a call.

    Args:
        call_timeout: seconds.
        recording_limit: seconds.
        rejected: it was refused by its owner (an incoming call), so it ends as ``rejected``.
        failed: it ends in the state ``error``.
    """

    callbacks: CallbackSettings
    call_timeout: int | None = None
    recording_enabled: bool = False
    recording_format: str = "wav"
    recording_limit: int = 3600
    recording_formats: dict[str, str] = field(factory=dict)
    transcription_enabled: bool = False
    sip_headers: dict[str, str] = field(factory=dict)
    application: str | None = None
    rejected: bool = False
    failed: bool = False
    log: list[LogEntry] = field(factory=list)
    gathers: dict[str, Gather] = field(factory=dict)

    @property
    def gather(self) -> Gather | None:
        """The gather that is running."""
        return next((gather for gather in self.gathers.values() if gather.completed_at is None), None)


@frozen(kw_only=True)
class Reply:
    """What a handler answers.

    Args:
        body: JSON, or ``None`` for an empty body.
        location: path of what was created.
        links: of the pages of a list, by their ``rel``.
    """

    status: int = 200
    body: Any = None
    location: str | None = None
    links: tuple[tuple[str, str], ...] = ()
