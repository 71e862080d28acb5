"""Settings: every mistake in one error, and no secret in it."""

from __future__ import annotations

from typing import Any

import pytest
from confkit_asterisk.settings import AsteriskSettings

from confkit import SettingsError
from confkit.provider import Settings


def read(environ: dict[str, str] | None = None, **keywords: Any) -> AsteriskSettings:
    return Settings(provider="asterisk", keywords=keywords, environ=environ or {}).read(AsteriskSettings)


def test_keywords_and_environment() -> None:
    found = read(
        {
            "ASTERISK_PASSWORD": "secret",
            "ASTERISK_BASE_URL": "https://pbx.example.com/ari/",
            "ASTERISK_APPLICATION": "app-2",
        },
        user="confkit",
        endpoint="PJSIP/{number}@trunk",
        sip_endpoint="PJSIP/trunk/{uri}",
    )
    assert (found.base_url, found.application, found.password) == ("https://pbx.example.com", "app-2", "secret")
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user", "a:b"),
        ("base_url", "pbx.example.com"),
        ("base_url", "http://user:password@pbx.example.com"),
        ("base_url", "http://127.0.0.1:0"),
        ("application", "one,two"),
        ("application", ""),
        ("endpoint", "PJSIP/trunk/{uri}"),
        ("endpoint", "PJSIP/+19195550101@trunk"),
        ("sip_endpoint", "{uri}"),
    ],
)
def test_mistakes(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read(None, **({"user": "confkit", "password": "secret"} | {name: value}))


def test_all_mistakes_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        read(endpoint="nonsense", pasword="secret")
    assert len(caught.value.problems) == 4
    assert "secret" not in str(caught.value)
