"""ARI's errors as portable ones.

ARI has HTTP statuses and a ``message`` for people, which is never looked at. What a status means depends on the
operation, so the table has a row for each pair that departs from the general meaning
(``rest-api/api-docs/*.json`` of Asterisk lists the statuses of each request). One refusal has a word for programs
instead, ``error``: a 500 that is none of the server's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from confkit.provider import (
    Conflict,
    ErrorDetails,
    ErrorTable,
    InvalidRequest,
    NotFound,
    NotReady,
    OutcomeUnknown,
    PermissionDenied,
    ProviderError,
    Unauthenticated,
    Unavailable,
)

CODES: Final[Mapping[str, type[ProviderError]]] = {
    "Allocation failed": InvalidRequest,  # no channel can be made of the endpoint: it is not configured
}
STATUSES: Final[Mapping[int, type[ProviderError]]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    403: PermissionDenied,  # the user of ari.conf is read_only
    404: NotFound,
    409: Conflict,
    412: NotReady,  # the channel is not up yet
    422: NotReady,  # the channel is not in the application yet
    500: OutcomeUnknown,
    503: Unavailable,
}
#: By operation and status, where that says more than the status alone.
EXCEPTIONS: Final[Mapping[tuple[str, int], type[ProviderError]]] = {
    ("add_member", 400): Conflict,  # there is no such channel: the call is over
    ("add_member", 404): Conflict,  # there is no such bridge: the conference is over
    ("create_bridge", 400): Conflict,
    ("create_bridge", 404): Conflict,
    ("update_member", 404): Conflict,  # the call is over
}
#: What says that it is so already, by operation.
DONE: Final[Mapping[str, frozenset[int]]] = {
    "hang_up": frozenset({404}),
    "reject_call": frozenset({404}),
    "remove_member": frozenset({400, 404, 422}),  # no such channel, no such bridge, not in this bridge
    "end_conference": frozenset({404}),
    "end_bridge": frozenset({404}),
    "play": frozenset({404}),  # stopping what has ended
    "record": frozenset({404}),
}


def read_error(status: int, headers: Mapping[str, str], payload: Mapping[str, Any]) -> ErrorDetails:
    """What an ARI error body says."""
    del status, headers
    message, code = payload.get("message"), payload.get("error")
    return ErrorDetails(
        code=code if isinstance(code, str) else None, message=message if isinstance(message, str) else None
    )


def for_operation(error: ProviderError) -> ProviderError:
    """The error as the operation has it."""
    kind = EXCEPTIONS.get((error.operation, error.status or 0))
    if kind is None or isinstance(error, kind):
        return error
    return kind(error.message, provider=error.provider, operation=error.operation, status=error.status, raw=error.raw)


TABLE: Final = ErrorTable(codes=CODES, statuses=STATUSES, read=read_error)
