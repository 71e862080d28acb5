"""Addresses, times, Locations, provider's texts and settings: anything may stand where they are expected."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import confkit_bandwidth
import confkit_fake
import pytest
from confkit_bandwidth.errors import read_error
from confkit_bandwidth.wire import timestamp
from hypothesis import example, given
from hypothesis import strategies as st

from confkit import AsyncClient, Party
from confkit.models.addresses import canonical, is_e164, is_sip, masked, problem_with
from confkit.models.errors import SettingsError
from confkit.provider import id_from_location, without_credentials
from confkit.provider.http_errors import redacted
from confkit.provider.settings import Settings

from .strategies import JSON, ODD, SCALARS

SEVEN = re.compile(r"\d{7,}")
NUMBERS = st.from_regex(r"\+?[0-9]{7,15}", fullmatch=True)
#: Numbers wherever an address has room for one, and where it has none.
ADDRESSES = ODD | NUMBERS | st.lists(NUMBERS | ODD | st.sampled_from(["sip:", "sips:", "@", ":", ";x="])).map("".join)


@given(ADDRESSES)
@example("sip:ann@example.com;phone=+19195550101")
@example("sip:ann@19195550101.example.com")
@example("+19195550101:x@example.com")
@example("٣٤٥٦٧٨٩٣٤٥٦@example.com")
def test_an_address_is_dialled_or_refused_and_no_number_in_it_shown(address: str) -> None:
    problem = problem_with(address)
    assert (problem is None) == (is_e164(address) or is_sip(address))
    assert not SEVEN.search(problem or "")
    assert not SEVEN.search(masked(address))
    assert not SEVEN.search(repr(Party(address)))
    assert canonical(canonical(address)) == canonical(address)


@given(ADDRESSES, st.text(alphabet="abcXYZ/?#@:", min_size=6, max_size=12))
@example("[", "http://[x@]/y")
@example("", "pa/ss@")
@example("00000000٠0000", "::::::")
def test_a_text_of_the_provider_loses_numbers_and_secrets(text: str, secret: str) -> None:
    shown = redacted(f"no {secret} to {text}, http://u:{secret}@example.com/{secret}", (secret,))
    assert secret not in shown
    assert not SEVEN.search(shown)
    assert len(shown) <= 200
    assert shown.isprintable()


@pytest.mark.parametrize("password", ["plain", "with/slash", "with?mark", "with#mark", "with@at", "8080/x"])
def test_credentials_are_dropped_from_a_url_even_where_they_should_have_been_encoded(password: str) -> None:
    url = f"http://user:{password}@example.com/path"
    assert without_credentials(url) == "http://example.com/path"
    assert redacted(f"cannot call {url}") == "cannot call example.com/…"


@given(JSON)
@example("9999-12-31T23:59:59-23:59")
@example("0001-01-01T00:00:00+00:01")
@example(float("nan"))
def test_a_time_is_an_instant_or_nothing(value: Any) -> None:
    found = timestamp(value)
    assert found is None or found.utcoffset() == timedelta(0)


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1)))
def test_the_ways_to_write_a_time_agree(moment: datetime) -> None:
    instant = moment.replace(tzinfo=UTC, microsecond=0)
    written = instant.isoformat()
    forms = [
        written,
        written.replace("+00:00", "Z"),
        written.replace("+00:00", ""),
        written.replace(":00+", ":00.000+"),
    ]
    assert {timestamp(form) for form in forms} == {instant}


@given(ODD | st.builds("https://{}/v1/{}".format, ODD, ODD))
def test_a_location_has_an_id_or_none(location: str) -> None:
    try:
        found = id_from_location(location)
    except ValueError:
        return
    assert found
    assert found.isprintable()
    assert found not in (".", "..")


@given(
    st.dictionaries(st.sampled_from(["date", "x-ratelimit-reset", "retry-after"]), ODD | SCALARS.map(str)),
    st.dictionaries(st.sampled_from(["code", "message", "details"]), JSON),
)
@example({"x-ratelimit-reset": "1e999"}, {})
@example({"x-ratelimit-reset": "1479308598680", "date": "Mon, 01 Jan 0001 00:00:00 +2359"}, {})
def test_an_error_body_says_something_or_nothing(headers: dict[str, str], payload: dict[str, Any]) -> None:
    details = read_error(429, headers, payload)
    assert details.retry_after is None or timedelta(0) <= details.retry_after <= timedelta(seconds=5)


VALUES = SCALARS | st.sampled_from(
    [
        "http://user:pa55word/x@host",
        "http://ex ample",
        "http://[::1",
        "http://h:99999",
        Decimal("Infinity"),
        b"bytes",
        [],
    ]
)
BANDWIDTH = ("user_id", "token", "secret", "base_url", "profile", "limits", "call_pacing", "calls_limit", "unknown")
FAKE = ("shape", "bridge", "events", "max_members", "latency", "answer_after", "rates", "client_ids", "end_hangs_up")


@given(st.dictionaries(st.sampled_from(BANDWIDTH), VALUES), st.booleans())
@example({"user_id": "\udc80"}, True)
@example({"base_url": "http://ex ample"}, True)
@example({"base_url": "http://user:pa55word/x@host"}, True)
@example({"calls_limit": Decimal("Infinity")}, True)
def test_bandwidths_settings_are_taken_or_refused(given: dict[str, Any], complete: bool) -> None:
    usable = {"user_id": "u-1", "token": "t-1", "secret": "s-1"} if complete else {}
    settings = Settings(provider="bandwidth", keywords=usable | given, environ={})
    try:
        confkit_bandwidth.confkit_create_provider(settings)
    except SettingsError as error:
        refusal = str(error)
    else:
        return
    elsewhere = [value for name, value in given.items() if name != "base_url"]
    assert "pa55word" not in refusal or "http://user:pa55word/x@host" in elsewhere


@given(st.dictionaries(st.sampled_from(FAKE), VALUES))
@example({"latency": Decimal("sNaN")})
@example({"max_members": float("inf")})
def test_the_fakes_settings_are_taken_or_refused(given: dict[str, Any]) -> None:
    with suppress(SettingsError):
        confkit_fake.confkit_create_provider(Settings(provider="fake", keywords=given, environ={}))


URLS = ODD | st.builds("{}://{}/{}".format, st.sampled_from(["http", "https", "ftp"]), ODD, ODD)


@given(URLS, st.none() | ODD, st.none() | ODD)
@example("http://ex\udc80mple.com", None, None)
@example("http://example.com", "\udc80", "\udc80")
def test_the_webhooks_settings_are_taken_or_refused(url: str, user: str | None, password: str | None) -> None:
    with suppress(SettingsError):
        AsyncClient("fake", public_url=url, webhook_user=user, webhook_password=password)
