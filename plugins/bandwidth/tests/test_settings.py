"""Settings: keywords, then the environment; every mistake at once; never a secret."""

from __future__ import annotations

from typing import Any

import pytest
from confkit_bandwidth import confkit_create_provider
from confkit_bandwidth.settings import BandwidthSettings

from confkit.provider import Settings, SettingsError

GOOD = {"user_id": "u-1", "token": "t-marked", "secret": "s-marked"}


def read(keywords: dict[str, Any], environ: dict[str, str] | None = None) -> BandwidthSettings:
    return Settings(provider="bandwidth", keywords=keywords, environ=environ or {}).read(BandwidthSettings)


def test_from_the_environment() -> None:
    found = read(
        {},
        {
            "BANDWIDTH_USER_ID": "u-1",
            "BANDWIDTH_API_TOKEN": "t-1\n",
            "BANDWIDTH_API_SECRET": "s-1",
            "BANDWIDTH_BASE_URL": "http://127.0.0.1:8080/",
            "BANDWIDTH_CALLS_LIMIT": "20",
            "BANDWIDTH_CALLER_ID": "+12018994444",  # the core's, not ours
        },
    )
    assert (found.user_id, found.token, found.secret) == ("u-1", "t-1", "s-1")
    assert (found.base_url, found.calls_limit) == ("http://127.0.0.1:8080", 20)


def test_keywords_come_first_and_the_rest_has_defaults() -> None:
    found = read(GOOD, {"BANDWIDTH_USER_ID": "u-2"})
    assert found.user_id == "u-1"
    assert found.base_url == "https://api.catapult.inetwork.com"
    assert (found.profile, found.limits, found.call_pacing) == ("interpret_digits", "documented", "burst")
    assert (found.calls_limit, found.requests_per_second) == (10, 1)


def test_a_base_url_may_end_in_v1() -> None:
    assert read(GOOD | {"base_url": "https://h/x/v1/"}).base_url == "https://h/x"


def test_every_mistake_is_listed_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        confkit_create_provider(
            Settings(
                provider="bandwidth",
                keywords={"token": "t:marked", "limits": "some", "api_secret": "s-marked", "calls_limit": 0},
                environ={},
            )
        )
    shown = str(caught.value)
    for part in (
        "unknown setting 'api_secret'",
        "user_id is missing: pass user_id= or set BANDWIDTH_USER_ID",
        "secret is missing: pass secret= or set BANDWIDTH_API_SECRET",
        "token is malformed: check token= or BANDWIDTH_API_TOKEN",
        "limits is malformed",
        "calls_limit is malformed (0: it must be at least 1)",
    ):
        assert part in shown
    assert "marked" not in shown
    assert len(caught.value.problems) == 6


@pytest.mark.parametrize(
    "url",
    [
        "h",
        "ftp://h",
        "https://",
        "https://u:marked@h",
        "https://h?marked",
        "https://h#marked",
        "http://h:0",
        "http://h:x",
        "http://[",
        7,
    ],
)
def test_a_base_url_that_is_none(url: Any) -> None:
    with pytest.raises(SettingsError, match="base_url is malformed") as caught:
        read(GOOD | {"base_url": url})
    assert "marked" not in str(caught.value)


@pytest.mark.parametrize("value", [0, -1, "x", "", 2.5, True])
def test_limits_are_whole_and_positive(value: Any) -> None:
    with pytest.raises(SettingsError, match="requests_per_second is malformed"):
        read(GOOD | {"requests_per_second": value})


@pytest.mark.parametrize("name", ["user_id", "token", "secret"])
@pytest.mark.parametrize("value", ["", "  ", 7])
def test_credentials_must_be_there(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=f"{name} is malformed"):
        read(GOOD | {name: value})


def test_secrets_are_not_shown() -> None:
    assert "marked" not in repr(read(GOOD))
    provider = confkit_create_provider(Settings(provider="bandwidth", keywords=GOOD, environ={}))
    assert "marked" not in repr(provider)
    assert "marked" not in repr(vars(provider))
