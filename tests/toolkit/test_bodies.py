"""What a request carries: JSON, forms with repeated names, and content of any type."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest

from confkit.models.errors import Conflict, InvalidRequest, NotFound, ProviderError, RateLimited, Unauthenticated
from confkit.provider import ErrorDetails, ErrorTable, Http, Secret

from .conftest import Answer, Platform

pytestmark = pytest.mark.anyio
SOON = timedelta(seconds=5)


def opened(platform: Platform, errors: ErrorTable | None = None) -> Any:
    return aclosing(Http("parrot", platform.url, auth="t-marked", errors=errors or ErrorTable()))


async def put(http: Http, **body: Any) -> None:
    await http.request("PUT", "things", operation="play", timeout=SOON, **body)


async def test_content_goes_as_it_is_with_its_type(platform: Platform) -> None:
    async with opened(platform) as http:
        await put(http, content=b"<Say>\xc3\xa9</Say>", content_type="application/xml")
        await put(http, content=Secret(b""))
    one, two = platform.asked
    assert (one.body, one.headers["content-type"]) == (b"<Say>\xc3\xa9</Say>", "application/xml")
    assert (two.body, two.headers["content-type"]) == (b"", "application/octet-stream")


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ({"To": "+1919 é", "Event": ["start", "end"], "Odd": ()}, b"To=%2B1919+%C3%A9&Event=start&Event=end"),
        ([("Event", "end"), ("To", Secret("sip:a@b")), ("Event", "start")], b"Event=end&To=sip%3Aa%40b&Event=start"),
        ({"Mute": True, "Hold": False, "None": None, "N": 5, "Half": 0.5}, b"Mute=true&Hold=false&None=&N=5&Half=0.5"),
        (Secret({"Event": Secret(["a", Secret("b")])}), b"Event=a&Event=b"),
    ],
)
async def test_a_form_in_which_names_come_again(platform: Platform, form: Any, written: bytes) -> None:
    async with opened(platform) as http:
        await put(http, form=form)
    (asked,) = platform.asked
    assert asked.body == written
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"


async def test_a_query_in_which_names_come_again(platform: Platform) -> None:
    async with opened(platform) as http:
        await http.read("things", operation="fetch", decode=dict, query={"tag": ["a", "b c"], "one": Secret("&")})
    assert platform.paths() == ["/things?tag=a&tag=b+c&one=%26"]


@pytest.mark.parametrize(
    "body",
    [
        {"form": {"a": object()}},
        {"form": {"a": b"bytes"}},
        {"form": 7},
        {"content": "text"},
        {"body": {"a": object()}},
        {"body": {}, "content": b""},
        {"form": {}, "body": {}},
        {"content": b"x", "content_type": "a\r\nb: c"},
    ],
)
async def test_what_cannot_be_written_is_not_sent(platform: Platform, body: Mapping[str, Any]) -> None:
    async with opened(platform) as http:
        with pytest.raises(InvalidRequest, match="cannot be written as a request"):
            await put(http, **body)
    assert not platform.asked


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (422, "10011", InvalidRequest),  # the pair
        (429, "10011", RateLimited),  # the pair
        (403, "10011", Conflict),  # the code
        (404, "10011", NotFound),  # the pair, against code and status
        (401, "7", Unauthenticated),  # the status
        (418, "7", InvalidRequest),
    ],
)
async def test_the_most_exact_row_of_the_table_decides(
    platform: Platform, status: int, code: str, kind: type[ProviderError]
) -> None:
    table = ErrorTable(
        exact={(422, "10011"): InvalidRequest, (429, "10011"): RateLimited, (404, "10011"): NotFound},
        codes={"10011": Conflict},
        read=lambda _status, _headers, payload: ErrorDetails(code=payload["code"]),
    )
    platform.answer = lambda _: Answer(status=status, payload={"code": code})
    async with opened(platform, table) as http:
        with pytest.raises(ProviderError) as caught:
            await put(http, body={})
    assert type(caught.value) is kind
