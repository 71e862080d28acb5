"""Bandwidth's errors as portable ones (``errors.md``, ``callRateLimits.md``, ``resourceRateLimits.md``).

The code decides, not the status: 403 alone stands for pay, wait, full and never. The message is never looked
at: its wording differs from page to page.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

from confkit.provider import (
    CapacityReached,
    Conflict,
    ErrorDetails,
    ErrorTable,
    InsufficientFunds,
    InvalidRequest,
    NotFound,
    NotReady,
    OutcomeUnknown,
    PermissionDenied,
    ProviderError,
    RateLimited,
)

CODES: Final[Mapping[str, type[ProviderError]]] = {
    # 400
    "validation-error": InvalidRequest,
    "missing-property": InvalidRequest,
    "callback-invalid-url": InvalidRequest,
    "callback-url-invalid": InvalidRequest,
    "bridge-invalid-operation": Conflict,
    "bridge-bridged-callId": Conflict,
    "bridge-invalid-state": Conflict,
    # 401; the one for bad credentials has no documented code
    "user-access-denied": PermissionDenied,
    "number-access-denied": PermissionDenied,
    "no-allocated-number": PermissionDenied,
    # 403
    "insufficient-available-balance": InsufficientFunds,
    "call-rate-limit": RateLimited,
    "conference-max-members": CapacityReached,
    "conference-error": Conflict,
    "invalid-call-conference-id": InvalidRequest,
    "call-id-not-found": NotFound,
    "call-invalid-state": Conflict,
    "call-audio-invalid-state": Conflict,
    "bridge-callIds-overflow": CapacityReached,
    "invalid-call-to-number": InvalidRequest,
    "invalid-destination-number": PermissionDenied,
    "maximum-recording-value-request": InvalidRequest,
    "media-invalid-url": InvalidRequest,
    "media-not-supported": InvalidRequest,
    "media-size-overflow": InvalidRequest,
    # 404
    "conference-not-found": NotFound,
    "conference-member-not-found": NotFound,
    "call-not-found": NotFound,
    "bridge-not-found": NotFound,
    "recording-not-found": NotFound,
    "media-not-found": NotFound,
    "number-not-found": NotFound,
    "user-not-found": NotFound,
    "resource-not-found": NotFound,
    # 409: another update is in progress, so this one was not carried out
    "conference-update-conflict": NotReady,
    "conference-member-update-conflict": NotReady,
    "call-update-conflict": NotReady,
    "bridge-update-conflict": NotReady,
    "recording-update-conflict": NotReady,
    # 409: the state of the resource
    "call-duplicate-gather-error": Conflict,
    "conflicted-recording-values-request": Conflict,
    # 409: the platform drew an id twice, so nothing was created
    "duplicate-conference": NotReady,
    "duplicate-bridge": NotReady,
    "call-duplicated-error": NotReady,
    "duplicate-recording": NotReady,
    "duplicate-call-event": NotReady,
    # 429: the sample body has one code, the table of codes the other
    "rate-limit-reached": RateLimited,
    "too-many-requests": RateLimited,
    # 500
    "backend-protocol-support-failure": OutcomeUnknown,
    "pre-pay-refill-missing-payment-info": InsufficientFunds,
    "pre-pay-refill-amount-too-low": InsufficientFunds,
    "pre-pay-transaction-type-error": InsufficientFunds,
    "pre-pay-transaction-error": InsufficientFunds,
    # 503: a call that is not there yet, and faults of which no page says that nothing was done
    "call-unavailable": NotReady,
    "call-creation-failure": OutcomeUnknown,
    "call-transfer-error": OutcomeUnknown,
    "audio-update-failure": OutcomeUnknown,
    "send-dtmf-failure": OutcomeUnknown,
    "bridge-create-error": OutcomeUnknown,
    "bridge-update-error": OutcomeUnknown,
    "speak-error": OutcomeUnknown,
    "media-unavailable": OutcomeUnknown,
    "gateway-unavailable": OutcomeUnknown,
    "service-provider-configuration-error": OutcomeUnknown,
    "internal-error": OutcomeUnknown,
}

#: A family's limit is cleared within a second or a few; an instant further away is a clock gone wrong.
LONGEST_WAIT: Final = timedelta(seconds=5)
#: Clocks that differ by less than this are taken to agree: the Date header has whole seconds only.
_CLOCKS_AGREE: Final = timedelta(seconds=2)


def read_error(status: int, headers: Mapping[str, str], payload: Mapping[str, Any]) -> ErrorDetails:
    """What a Bandwidth error body says; any of its fields may be missing."""
    del status
    code, message = payload.get("code"), payload.get("message")
    return ErrorDetails(
        code=code if isinstance(code, str) and code else None,
        message=message if isinstance(message, str) and message else None,
        retry_after=retry_after(headers, payload, now=datetime.now(UTC)),
    )


def retry_after(headers: Mapping[str, str], payload: Mapping[str, Any], *, now: datetime) -> timedelta | None:
    """How long to wait after a 429, from 0 to 5 s; ``None`` where the platform does not say.

    ``X-RateLimit-Reset`` and the detail ``rateLimitResetTime`` are called UNIX timestamps, in milliseconds.

    Args:
        headers: names in lower case.
        now: the local clock; the reply's ``Date`` stands in for it where the two disagree.
    """
    reset = _instant(headers.get("x-ratelimit-reset")) or _instant(_detail(payload, "rateLimitResetTime"))
    if reset is None:
        return None
    theirs = _date(headers.get("date"))
    if theirs is not None and abs(theirs - now) > _CLOCKS_AGREE:
        now = theirs
    return min(max(reset - now, timedelta(0)), LONGEST_WAIT)


def _instant(value: object) -> datetime | None:
    try:
        number = float(str(value))
        # Below 10^11 it can only be seconds: as milliseconds it would be before 1974.
        return datetime.fromtimestamp(number / 1000 if number >= 1e11 else number, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _date(value: str | None) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(value or "")
        return parsed.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _detail(payload: Mapping[str, Any], name: str) -> object:
    details = payload.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and detail.get("name") == name:
            return detail.get("value")
    return None


TABLE: Final = ErrorTable(codes=CODES, read=read_error)
