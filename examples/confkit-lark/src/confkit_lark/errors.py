"""Lark's errors as portable ones: its code decides."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from confkit.provider import (
    CapacityReached,
    Conflict,
    ErrorDetails,
    ErrorTable,
    InsufficientFunds,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Unauthenticated,
)

OVER: Final = "16030"

CODES: Final[Mapping[str, type[ProviderError]]] = {
    "16020": CapacityReached,
    OVER: Conflict,
    "20003": Unauthenticated,
    "20005": InsufficientFunds,
    "20404": NotFound,
    "20429": RateLimited,
    "21210": PermissionDenied,
    "21211": InvalidRequest,
}


def read_error(status: int, headers: Mapping[str, str], payload: Mapping[str, Any]) -> ErrorDetails:
    """What a Lark error body says: ``{"code": 20404, "message": "..."}``."""
    del status
    code, message, after = payload.get("code"), payload.get("message"), headers.get("retry-after", "")
    return ErrorDetails(
        code=str(code) if isinstance(code, int) else None,
        message=message if isinstance(message, str) else None,
        retry_after=timedelta(seconds=int(after)) if after.isdigit() else None,
    )


TABLE: Final = ErrorTable(codes=CODES, read=read_error)
