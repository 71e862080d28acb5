"""Whatever arrives at the receiver is answered by 2xx or 4xx, and leaves the client in order."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from attrs import define, field
from confkit_bandwidth.callbacks import parse
from confkit_bandwidth.provider import BandwidthProvider
from confkit_bandwidth.settings import BandwidthSettings
from hypothesis import example, given, settings
from hypothesis import strategies as st

from confkit import AsyncClient, WebhookRequest
from confkit.models.errors import ConfkitError, WebhookRejected
from confkit.models.events import Event

from .strategies import JSON, NAMES, ODD, records

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

PEOPLE = ("+19195550101", "+19195550102", "+19195550103")
TYPES = st.sampled_from(
    [
        "incomingcall",
        "answer",
        "timeout",
        "hangup",
        "playback",
        "speak",
        "dtmf",
        "recording",
        "conference",
        "conference-member",
        "conference-speak",
        "transferComplete",
    ]
)
IDS = st.sampled_from(["call-1", "call-2", "call-3", "conference-1", "member-1", "stranger"]) | ODD
PAYLOADS = records(
    eventType=TYPES,
    callId=IDS,
    conferenceId=IDS,
    memberId=IDS,
    state=st.sampled_from(["active", "completed", "created"]),
)


@define
class Platform(httpx.AsyncBaseTransport):
    """Accepts everything, and keeps the callback URLs that it was given."""

    urls: list[str] = field(factory=list)
    made: dict[str, int] = field(factory=dict)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=[])
        given = json.loads(request.content) if request.content else {}
        if url := given.get("callbackUrl"):
            self.urls.append(url)
        kind = request.url.path.rpartition("/")[2].removesuffix("s")
        self.made[kind] = self.made.get(kind, 0) + 1
        return httpx.Response(201, headers={"location": f"/v1/things/{kind}-{self.made[kind]}"})


@define
class Stage:
    """A client with a meeting whose phones ring."""

    client: AsyncClient
    urls: list[str]

    async def send(self, path: str, *, method: str = "POST", **parts: Any) -> int:
        reply = await self.client.receive(WebhookRequest(method=method, path=path, **parts))
        assert 200 <= reply.status < 300 or 400 <= reply.status < 500
        return reply.status


@asynccontextmanager
async def ringing() -> AsyncIterator[Stage]:
    platform = Platform()
    given = BandwidthSettings(user_id="u-1", token="t-1", secret="s-1", base_url="http://127.0.0.1:9", limits="off")
    provider = BandwidthProvider(given, transport=platform)
    async with (
        AsyncClient(provider, caller_id="+12018994444", public_url="http://127.0.0.1:8/x") as client,
        anyio.create_task_group() as tasks,
    ):

        async def connect() -> None:
            try:
                async with client.connect(*PEOPLE):
                    await anyio.sleep_forever()
            except ConfkitError:
                pass  # what the callbacks say may well end it

        tasks.start_soon(connect)
        with anyio.fail_after(30):
            while len(platform.urls) < 4:  # noqa: ASYNC110 - the transport has no event to wait for
                await anyio.sleep(0.01)
        yield Stage(client, [*platform.urls, client.incoming_url])
        tasks.cancel_scope.cancel()


@given(st.lists(st.tuples(st.integers(0, 4), PAYLOADS), min_size=1, max_size=8))
@example([(0, {"eventType": "incomingcall", "callId": "\ud800", "from": "\ud800"})])
@settings(max_examples=30)
async def test_callbacks_may_say_anything_in_any_order(deliveries: list[tuple[int, dict[str, Any]]]) -> None:
    async with ringing() as stage:
        for which, payload in deliveries:
            path = urlsplit(stage.urls[which]).path
            status = await stage.send(path, body=json.dumps(payload).encode())
            kind = payload.get("eventType")
            assert status == (200 if isinstance(kind, str) and kind else 400)
            await anyio.sleep(0.01)


BODIES = (
    st.binary(max_size=60)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.just(b"[" * (WebhookRequest.LARGEST_BODY - 1))
    | st.just(b'{"eventType":' * 4_000)
    | st.just(b'{"eventType": "answer", "time": ' + b"9" * 5_000 + b"}")
    | st.just(b"x" * (WebhookRequest.LARGEST_BODY + 1))
)
PATHS = ODD | st.lists(ODD | st.sampled_from(["/", "incoming", "m-1", "leg-1", ".."])).map("/".join)
TEXTS = st.dictionaries(ODD | st.sampled_from(["authorization", "eventType", "callId"]), ODD, max_size=4)
METHODS = st.sampled_from(["GET", "POST", "PUT", "HEAD", ""]) | ODD


@given(
    st.lists(
        st.tuples(METHODS, st.integers(0, 9), PATHS, TEXTS, TEXTS, BODIES, ODD),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=30)
async def test_requests_may_be_anything(requests: list[tuple[str, int, str, Any, Any, bytes, str]]) -> None:
    async with ringing() as stage:
        for method, which, path, headers, query, body, url in requests:
            place = urlsplit(stage.urls[which]).path if which < 5 else path
            await stage.send(place, method=method, headers=headers, query=query, body=body, url=url)


@given(
    which=st.integers(0, 9),
    method=METHODS,
    headers=st.lists(st.tuples(st.binary(max_size=12) | st.just(b"authorization"), st.binary(max_size=30)), max_size=4),
    query=st.binary(max_size=60) | st.just(b"&".join([b"a=b"] * 300)) | st.just(b"eventType=answer&callId=%ff"),
    pieces=st.lists(BODIES, max_size=3),
)
@settings(max_examples=30)
async def test_a_server_may_pass_on_anything(
    which: int, method: str, headers: list[tuple[bytes, bytes]], query: bytes, pieces: list[bytes]
) -> None:
    async with ringing() as stage:
        path = urlsplit(stage.urls[which]).path if which < 5 else "/nowhere"
        scope = {"type": "http", "method": method, "path": path, "headers": headers, "query_string": query}
        messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        messages.append({"type": "http.request"})
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        await stage.client.webhooks(scope, receive, send)
        start, end = sent
        assert 200 <= start["status"] < 300 or 400 <= start["status"] < 500
        assert end["type"] == "http.response.body"


@pytest.mark.parametrize("known", [True, False])
async def test_a_body_without_end_is_not_read_on(known: bool) -> None:
    async with ringing() as stage:
        read, sent = 0, []

        async def receive() -> Any:
            nonlocal read
            read += 8_192
            return {"type": "http.request", "body": b" " * 8_192, "more_body": True}

        async def send(message: Any) -> None:
            sent.append(message)

        path = urlsplit(stage.urls[0]).path if known else "/x/y"
        scope = {"type": "http", "method": "POST", "path": path, "headers": []}
        await stage.client.webhooks(scope, receive, send)
        assert sent[0]["status"] == (413 if known else 404)
        assert read <= (WebhookRequest.LARGEST_BODY + 8_192 if known else 0)


@given(PAYLOADS | st.dictionaries(st.sampled_from(NAMES), JSON))
@settings(max_examples=100)
def test_any_object_is_events_or_none_of_bandwidths(payload: dict[str, Any]) -> None:
    try:
        events = parse(payload)
    except WebhookRejected:
        return
    assert events
    for event in events:
        assert isinstance(event, Event)
        assert event.provider == "bandwidth"
        assert event.id
        assert event.occurred_at is None or event.occurred_at.tzinfo
        repr(event)
