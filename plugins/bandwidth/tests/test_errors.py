"""The error table, row by row over the wire; how long a 429 says to wait."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from confkit_bandwidth.errors import CODES, retry_after

from confkit.provider import Call, CallSpec, Op, errors

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).parents[3] / "docs" / "providers" / "bandwidth.md"
OP = Op(key="k")
SPEC = CallSpec(to="+19195550101", caller_id="+12018994444")
STATUSES = {
    400: errors.InvalidRequest,
    401: errors.Unauthenticated,
    402: errors.InsufficientFunds,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    405: errors.InvalidRequest,
    406: errors.InvalidRequest,
    408: errors.Unavailable,
    409: errors.Conflict,
    410: errors.NotFound,
    413: errors.InvalidRequest,
    415: errors.InvalidRequest,
    422: errors.InvalidRequest,
    429: errors.RateLimited,
    500: errors.OutcomeUnknown,
    503: errors.OutcomeUnknown,
}


def table() -> list[tuple[int, str, str]]:
    """The rows of the provider page: status, code, class."""
    rows = re.findall(r"^\| ([0-9]{3}) \| `([\w-]+)` \| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    return [(int(status), code, kind) for status, code, kind in rows]


def test_the_page_has_the_table_of_the_code() -> None:
    assert {code: kind for _, code, kind in table()} == {code: kind.__name__ for code, kind in CODES.items()}


@pytest.mark.parametrize(("status", "code", "kind"), table(), ids=[row[1] for row in table()])
async def test_every_row(provider: Any, stub: Any, status: int, code: str, kind: str) -> None:
    stub.refuse(status, code, "some words")
    with pytest.raises(errors.ProviderError) as caught:
        await provider.create_call(spec=SPEC, op=OP, into=None)
    assert type(caught.value).__name__ == kind
    assert str(caught.value) == f"bandwidth create_call: some words (HTTP {status}, {code})"
    assert caught.value.raw["category"] == "c"
    if isinstance(caught.value, errors.OutcomeUnknown):
        assert caught.value.answered
    stub.refuse(status, code)
    with pytest.raises(errors.ProviderError) as caught:
        await provider.fetch(ref=Call(provider="bandwidth", id="c-1"))
    # What only read has changed nothing, so it can be read again.
    assert type(caught.value).__name__ == kind.replace("OutcomeUnknown", "Unavailable")


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
async def test_without_a_known_code_the_status_decides(
    provider: Any, stub: Any, status: int, kind: type[Exception]
) -> None:
    for body in ({"code": "never-heard-of"}, {"code": 7}, b"", b"<html>", b"[1]", b"{"):
        stub.reply(status, body)
        with pytest.raises(errors.ProviderError) as caught:
            await provider.create_call(spec=SPEC, op=OP, into=None)
        assert type(caught.value) is kind
        assert caught.value.status == status


async def test_v3_bad_credentials(provider: Any, stub: Any) -> None:
    stub.reply(401, {"category": "authentication", "message": "Invalid credentials"})
    with pytest.raises(errors.Unauthenticated, match="Invalid credentials"):
        await provider.create_call(spec=SPEC, op=OP, into=None)


async def test_t18_v81_v82_a_429_without_message_and_without_header(provider: Any, stub: Any) -> None:
    body = {"category": "too-many-requests", "code": "rate-limit-reached", "details": []}
    stub.reply(429, body)
    with pytest.raises(errors.RateLimited, match="refused without a reason") as caught:
        await provider.create_call(spec=SPEC, op=OP, into=None)
    assert caught.value.retry_after is None
    reset = str(int((datetime.now(UTC) + timedelta(seconds=1)).timestamp() * 1000))
    stub.reply(429, body, X_RateLimit_Reset=reset)
    with pytest.raises(errors.RateLimited) as caught:
        await provider.create_call(spec=SPEC, op=OP, into=None)
    assert caught.value.retry_after is not None
    assert timedelta(0) < caught.value.retry_after <= timedelta(seconds=1)


async def test_v85_the_call_rate_does_not_say_how_long_to_wait(provider: Any, stub: Any) -> None:
    stub.refuse(403, "call-rate-limit", "You can create 1 calls per 1 seconds. Your rate is: 1.1")
    with pytest.raises(errors.RateLimited, match=r"Your rate is: 1\.1") as caught:
        await provider.create_call(spec=SPEC, op=OP, into=None)
    assert caught.value.retry_after is None


TS12 = datetime(2016, 11, 16, 15, 3, 18, 680000, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WAITS = {
    "V83 milliseconds": ("1479308598680", None, TS12 - SECOND, SECOND),
    "seconds": ("1479308598", None, TS12 - timedelta(seconds=1.68), SECOND),
    "past": ("1479308598680", None, TS12 + SECOND, timedelta(0)),
    "far": ("1479308598680", None, TS12 - timedelta(hours=1), timedelta(seconds=5)),
    "local clock an hour late": (
        "1479308598680",
        format_datetime(TS12.replace(microsecond=0) - SECOND, usegmt=True),
        TS12 - timedelta(hours=1),
        timedelta(seconds=1.68),
    ),
    "clocks agree": (
        "1479308598680",
        format_datetime(TS12.replace(microsecond=0) - SECOND, usegmt=True),
        TS12 - SECOND,
        SECOND,
    ),
    "odd date": ("1479308598680", "yesterday", TS12 - SECOND, SECOND),
    "nothing": (None, None, TS12, None),
    "words": ("soon", None, TS12, None),
    "not a number": ("nan", None, TS12, None),
    "infinite": ("inf", None, TS12, None),
    "huge": ("9" * 30, None, TS12, None),
}


@pytest.mark.parametrize(("reset", "date", "now", "expected"), WAITS.values(), ids=WAITS)
def test_how_long_to_wait(reset: str | None, date: str | None, now: datetime, expected: Any) -> None:
    headers = {"x-ratelimit-reset": reset, "date": date}
    given = {name: value for name, value in headers.items() if value is not None}
    assert retry_after(given, {}, now=now) == expected


@pytest.mark.parametrize("details", [None, 7, [7], [{"name": 1}], [{"name": "rateLimitResetTime"}]])
def test_the_reset_may_stand_in_the_details(details: Any) -> None:
    assert retry_after({}, {"details": details}, now=TS12) is None
    payload = {"details": [{"name": "rateLimitResetTime", "value": "1479308598680"}]}
    assert retry_after({}, payload, now=TS12 - SECOND) == SECOND
