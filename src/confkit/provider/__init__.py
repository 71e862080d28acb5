"""What a provider author imports, and all of it: contract, records, events, errors, settings, and the HTTP toolkit.

In other places things may move without notice.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from confkit.models import errors, events, records
from confkit.models.addresses import (
    canonical,
    is_e164,
    is_sip,
    masked,
)
from confkit.models.capabilities import (
    BridgeEnds,
    Bridging,
    Capabilities,
    ConferenceCreation,
    EventSource,
    Patches,
    RateClass,
)
from confkit.models.errors import (
    CapacityReached,
    ConfkitError,
    Conflict,
    InsufficientFunds,
    InvalidRequest,
    NotFound,
    NotReady,
    OutcomeUnknown,
    PermissionDenied,
    PluginError,
    PolicyError,
    ProviderError,
    RateLimited,
    SettingsError,
    Unauthenticated,
    Unavailable,
    Unsupported,
    WebhookRejected,
)
from confkit.models.events import (
    BridgeEnded,
    BridgeStarted,
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
    Received,
    RecordingFailed,
    RecordingReady,
    Unknown,
    WebhookReply,
    WebhookRequest,
)
from confkit.models.records import (
    STOP,
    Bridge,
    BridgeState,
    Call,
    CallSpec,
    CallState,
    Conference,
    ConferencePatch,
    ConferenceSpec,
    ConferenceState,
    Dialled,
    EndCause,
    FindHint,
    JoinMethod,
    Media,
    Member,
    MemberOptions,
    MemberPatch,
    Membership,
    MemberState,
    Op,
    Party,
    RecordAction,
    Snapshot,
)
from confkit.models.trace import (
    StepOutcome,
    StepRecord,
)
from confkit.provider.contract import (
    ModuleSpec,
    ProviderSpec,
    hookimpl,
)
from confkit.provider.settings import (
    Secret,
    Settings,
    without_credentials,
)
from confkit.provider.telling import Limit, give_reply, report_limit

if TYPE_CHECKING:
    from confkit.provider.http import READ_TIMEOUT, Http, NoConnection
    from confkit.provider.http_errors import ErrorDetails, ErrorTable
    from confkit.provider.http_reply import Reply, id_from_location
    from confkit.provider.http_tokens import ClientCredentials
    from confkit.provider.route import HttpSettings, http_url

#: The toolkit, which is loaded when a provider first asks for it: not every provider speaks HTTP.
_TOOLKIT = {
    "confkit.provider.http": "Http NoConnection READ_TIMEOUT",
    "confkit.provider.http_errors": "ErrorDetails ErrorTable",
    "confkit.provider.http_reply": "Reply id_from_location",
    "confkit.provider.http_tokens": "ClientCredentials",
    "confkit.provider.route": "HttpSettings http_url",
}
_PLACE_OF = {name: place for place, names in _TOOLKIT.items() for name in names.split()}

__all__ = [
    "READ_TIMEOUT",
    "STOP",
    "Bridge",
    "BridgeEnded",
    "BridgeEnds",
    "BridgeStarted",
    "BridgeState",
    "Bridging",
    "Call",
    "CallAnswered",
    "CallEnded",
    "CallRinging",
    "CallSpec",
    "CallState",
    "Capabilities",
    "CapacityReached",
    "ClientCredentials",
    "Conference",
    "ConferenceCreation",
    "ConferenceEnded",
    "ConferencePatch",
    "ConferenceSpec",
    "ConferenceStarted",
    "ConferenceState",
    "ConfkitError",
    "Conflict",
    "Dialled",
    "DigitsReceived",
    "EndCause",
    "ErrorDetails",
    "ErrorTable",
    "Event",
    "EventSource",
    "FindHint",
    "Http",
    "HttpSettings",
    "IncomingCall",
    "InsufficientFunds",
    "InvalidRequest",
    "JoinMethod",
    "Limit",
    "Media",
    "Member",
    "MemberJoined",
    "MemberLeft",
    "MemberOptions",
    "MemberPatch",
    "MemberState",
    "MemberUpdated",
    "Membership",
    "ModuleSpec",
    "NoConnection",
    "NotFound",
    "NotReady",
    "Op",
    "OutcomeUnknown",
    "Party",
    "Patches",
    "PermissionDenied",
    "PlaybackEnded",
    "PlaybackStarted",
    "PluginError",
    "PolicyError",
    "ProviderError",
    "ProviderSpec",
    "RateClass",
    "RateLimited",
    "Received",
    "RecordAction",
    "RecordingFailed",
    "RecordingReady",
    "Reply",
    "Secret",
    "Settings",
    "SettingsError",
    "Snapshot",
    "StepOutcome",
    "StepRecord",
    "Unauthenticated",
    "Unavailable",
    "Unknown",
    "Unsupported",
    "WebhookRejected",
    "WebhookReply",
    "WebhookRequest",
    "canonical",
    "errors",
    "events",
    "give_reply",
    "hookimpl",
    "http_url",
    "id_from_location",
    "is_e164",
    "is_sip",
    "masked",
    "records",
    "report_limit",
    "without_credentials",
]


#: What was here, and what to write instead.
_GONE = {"Idempotency": "list the operations: Capabilities(idempotent=frozenset({'create_call'}))"}

if not TYPE_CHECKING:  # a type checker, which sees the imports above, is to refuse every other name

    def __getattr__(name: str) -> object:
        if name in _GONE:
            raise ImportError(f"there is no {name} any more: {_GONE[name]}")
        if name not in _PLACE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(_PLACE_OF[name]), name)
        globals()[name] = found
        return found
