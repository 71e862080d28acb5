"""confkit connects people by telephone, through whichever provider an application has chosen.

It plans who goes into a conference and who is bridged, runs the provider's sequence, never rings a phone twice for
one intent, and tells the application what happened to everyone it dialled.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from confkit.client.blocking import Client
    from confkit.client.client import AsyncClient
    from confkit.client.meeting import Meeting
    from confkit.client.signals import ending_on_signals
    from confkit.ingest.meeting_view import MeetingState
    from confkit.ingest.watching import EventStream, Missed
    from confkit.models.errors import (
        ConfkitError,
        InsufficientFunds,
        MeetingEnded,
        MeetingError,
        OutcomeUnknown,
        PluginError,
        PolicyError,
        ProviderError,
        ProviderNotFound,
        QuorumNotReached,
        RateLimited,
        SettingsError,
        Unavailable,
        Unsupported,
    )
    from confkit.models.events import (
        CallAnswered,
        CallEnded,
        CallRinging,
        ConferenceEnded,
        ConferenceStarted,
        DigitsReceived,
        Event,
        IncomingCall,
        MemberJoined,
        MemberLeft,
        MemberUpdated,
        PlaybackEnded,
        PlaybackStarted,
        RecordingFailed,
        RecordingReady,
        WebhookReply,
        WebhookRequest,
    )
    from confkit.models.records import (
        Bridge,
        Call,
        Conference,
        Outcome,
        Participant,
        ParticipantState,
        Party,
        RecordAction,
    )
    from confkit.models.trace import StepOutcome, StepRecord, Trace
    from confkit.steps.otel import OpenTelemetry as OpenTelemetry
    from confkit.workflows.policy import Mode, Plan, Policy

#: Where each name is found when it is first asked for: an application pays for what it uses.
_PLACES = {
    "confkit.client.blocking": "Client",
    "confkit.client.client": "AsyncClient",
    "confkit.client.meeting": "Meeting",
    "confkit.client.signals": "ending_on_signals",
    "confkit.ingest.meeting_view": "MeetingState",
    "confkit.ingest.watching": "EventStream Missed",
    "confkit.models.errors": (
        "ConfkitError InsufficientFunds MeetingEnded MeetingError OutcomeUnknown PluginError PolicyError "
        "ProviderError ProviderNotFound QuorumNotReached RateLimited SettingsError Unavailable Unsupported"
    ),
    "confkit.models.events": (
        "CallAnswered CallEnded CallRinging ConferenceEnded ConferenceStarted DigitsReceived Event "
        "IncomingCall MemberJoined MemberLeft MemberUpdated PlaybackEnded PlaybackStarted RecordingFailed "
        "RecordingReady WebhookReply WebhookRequest"
    ),
    "confkit.models.records": "Bridge Call Conference Outcome Participant ParticipantState Party RecordAction",
    "confkit.models.trace": "StepOutcome StepRecord Trace",
    "confkit.steps.otel": "OpenTelemetry",  # not in __all__: it needs the extra otel
    "confkit.workflows.policy": "Mode Plan Policy",
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names.split()}

__all__ = [
    "AsyncClient",
    "Bridge",
    "Call",
    "CallAnswered",
    "CallEnded",
    "CallRinging",
    "Client",
    "Conference",
    "ConferenceEnded",
    "ConferenceStarted",
    "ConfkitError",
    "DigitsReceived",
    "Event",
    "EventStream",
    "IncomingCall",
    "InsufficientFunds",
    "Meeting",
    "MeetingEnded",
    "MeetingError",
    "MeetingState",
    "MemberJoined",
    "MemberLeft",
    "MemberUpdated",
    "Missed",
    "Mode",
    "Outcome",
    "OutcomeUnknown",
    "Participant",
    "ParticipantState",
    "Party",
    "Plan",
    "PlaybackEnded",
    "PlaybackStarted",
    "PluginError",
    "Policy",
    "PolicyError",
    "ProviderError",
    "ProviderNotFound",
    "QuorumNotReached",
    "RateLimited",
    "RecordAction",
    "RecordingFailed",
    "RecordingReady",
    "SettingsError",
    "StepOutcome",
    "StepRecord",
    "Trace",
    "Unavailable",
    "Unsupported",
    "WebhookReply",
    "WebhookRequest",
    "ending_on_signals",
]


if not TYPE_CHECKING:  # a type checker, which sees the imports above, is to refuse every other name

    def __getattr__(name: str) -> object:
        if name not in _PLACE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(_PLACE_OF[name]), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
