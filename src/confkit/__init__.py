"""confkit connects people by telephone, through whichever provider an application has chosen.

It plans who goes into a conference and who is bridged, runs the provider's sequence, never rings a phone twice for
one intent, and tells the application what happened to everyone it dialled.
"""

from confkit.client.blocking import (
    Client,
)
from confkit.client.client import (
    AsyncClient,
)
from confkit.client.meeting import Meeting
from confkit.client.signals import (
    ending_on_signals,
)
from confkit.ingest.meeting_view import MeetingState
from confkit.ingest.watching import (
    EventStream,
    Missed,
)
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
from confkit.models.trace import (
    StepOutcome,
    StepRecord,
    Trace,
)
from confkit.workflows.policy import (
    Mode,
    Plan,
    Policy,
)

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
