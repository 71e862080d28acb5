"""The receiver as an ASGI application: over real sockets, and message by message."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.abc
import httpx
import pytest
from confkit_bandwidth.simulator import CallbackFaults, Fault, SimulatorOptions

from confkit import AsyncClient, Event, Outcome, ParticipantState, WebhookRequest
from confkit.ingest import webhooks
from confkit.ingest.webhooks import LARGEST_QUERY
from confkit.provider import hookimpl

from .conftest import CALLER, HOST, PEOPLE, PUBLIC, staged, two_servers

pytestmark = pytest.mark.anyio

MISHAPS = CallbackFaults(duplicate=0.4, delay=0.4, reorder=0.4, delay_seconds=0.3)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"  # uvicorn's


async def test_five_people_are_connected_over_two_servers_without_one_poll() -> None:
    async with (
        two_servers(SimulatorOptions(answer_after=0.2)) as (client, running),
        client.connect(*PEOPLE) as meeting,
    ):
        assert [person.state for person in meeting.participants] == [ParticipantState.JOINED] * 5
        assert meeting.trace.reads == {}
        assert {entry["outcome"] for entry in running.state()["callbacks"]} == {"delivered"}


@pytest.mark.parametrize("seed", range(4))
async def test_the_roster_is_the_same_however_callbacks_are_mangled(seed: int) -> None:
    options = SimulatorOptions(answer_after=0.1, callbacks=MISHAPS, seed=seed)
    async with two_servers(options) as (client, running):
        running.party(PEOPLE[1]).busy()
        async with client.connect(*PEOPLE) as meeting:
            states = [person.state for person in meeting.participants]
            joined, ended = ParticipantState.JOINED, ParticipantState.ENDED
            assert states == [joined, ended, joined, joined, joined]
            assert meeting.trace.reads == {}


@pytest.mark.parametrize(
    ("script", "outcome"),
    [("busy", Outcome.BUSY), ("rejects", Outcome.REJECTED), ("unreachable", Outcome.UNREACHABLE)],
)
async def test_a_dial_whose_reply_was_lost_rings_once_whatever_the_party_did(script: str, outcome: Outcome) -> None:
    lost = Fault(operation="create_call", kind="drop-reply", times=1)
    async with two_servers(SimulatorOptions(faults=(lost,))) as (client, running):
        getattr(running.party(PEOPLE[0]), script)()
        async with client.connect(*PEOPLE[:4]) as meeting:
            assert meeting.participant(PEOPLE[0]).outcome is outcome
            assert [person.outcome for person in meeting.participants[1:]] == [Outcome.JOINED] * 3
        assert running.run(lambda exchange: [len(exchange.rings[number]) for number in PEOPLE[:4]]) == [1] * 4


@pytest.mark.thorough  # the safety net takes 10 s
async def test_lost_callbacks_are_healed_over_real_servers() -> None:
    options = SimulatorOptions(callbacks=CallbackFaults(lose=1.0))
    async with two_servers(options) as (client, _), client.connect(*PEOPLE) as meeting:
        assert [person.state for person in meeting.participants] == [ParticipantState.JOINED] * 5


@pytest.mark.parametrize("prefix", ["", "/hooks", "/deep/er/hooks"])
async def test_it_may_be_mounted_under_any_prefix(prefix: str) -> None:
    async with (
        two_servers(SimulatorOptions(), prefix=prefix) as (client, _),
        client.connect(*PEOPLE[:3]) as meeting,
    ):
        assert meeting.trace.reads == {}


async def test_oversized_forged_and_malformed_requests_get_their_answers_over_a_kept_connection() -> None:
    async with two_servers(SimulatorOptions()) as (client, _), client.connect(*PEOPLE[:3]):
        good = client.incoming_url
        event = {"eventType": "incomingcall", "callId": "c-1", "from": "+19195550199", "to": CALLER}
        async with httpx.AsyncClient(trust_env=False, verify=False) as http:
            for _ in range(3):
                assert (await http.post(good, content=b"x" * (WebhookRequest.LARGEST_BODY + 1))).status_code == 413
                assert (await http.post(good, content=b"x" * 1_000_000)).status_code == 413
                assert (await http.post(good, content=b"{")).status_code == 400
                assert (await http.post(f"{good}x", content=b"x" * 1_000_000)).status_code == 404
                assert (await http.put(good)).status_code == 405
                assert (await http.post(good, json=event)).status_code == 200
                assert (await http.get(good, params=event)).status_code == 200


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[anyio.abc.SocketStream]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    async with await anyio.connect_tcp(parts.hostname, parts.port) as stream:
        yield stream


def beginning(url: str, length: int) -> bytes:
    """A request, up to its body."""
    return f"POST {urlsplit(url).path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n".encode()


async def everything(stream: anyio.abc.SocketStream) -> bytes:
    """What the server sends until it closes the connection."""
    answer = b""
    with anyio.fail_after(30):
        try:
            while True:
                answer += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return answer


async def test_a_body_that_never_ends_is_cut_off_and_so_is_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "BODY_TIME", 0.2)
    async with two_servers(SimulatorOptions()) as (client, _), connected(client.incoming_url) as stream:
        await stream.send(beginning(client.incoming_url, 100) + b"{")
        assert (await everything(stream)).startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_trickles_in_is_cut_off_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "BODY_TIME", 0.3)
    async with (
        two_servers(SimulatorOptions()) as (client, _),
        connected(client.incoming_url) as stream,
        anyio.create_task_group() as tasks,
    ):
        await stream.send(beginning(client.incoming_url, 60_000))

        async def trickle() -> None:
            with suppress(anyio.BrokenResourceError):
                while True:
                    await stream.send(b" ")
                    await anyio.sleep(0.05)

        tasks.start_soon(trickle)
        answer = await everything(stream)
        tasks.cancel_scope.cancel()
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_who_has_no_token_is_answered_before_a_byte_of_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "BODY_TIME", 0.0)  # reading would be answered by 408
    async with two_servers(SimulatorOptions()) as (client, _):
        forged = client.incoming_url.replace("/incoming", "/m-1")
        async with connected(forged) as stream:
            await stream.send(beginning(forged, 100))
            with anyio.fail_after(30):
                assert (await stream.receive()).startswith(b"HTTP/1.1 404 ")


async def test_a_body_that_is_announced_as_too_long_is_not_waited_for() -> None:
    async with two_servers(SimulatorOptions()) as (client, _), connected(client.incoming_url) as stream:
        await stream.send(beginning(client.incoming_url, WebhookRequest.LARGEST_BODY + 1))
        with anyio.fail_after(30):
            assert (await stream.receive()).startswith(b"HTTP/1.1 413 ")


async def test_a_query_has_a_limit_over_real_sockets() -> None:
    async with (
        two_servers(SimulatorOptions()) as (client, _),
        httpx.AsyncClient(trust_env=False, verify=False) as http,
    ):
        for length, status in ((LARGEST_QUERY, 200), (LARGEST_QUERY + 1, 414), (40_000, 414)):
            query = "eventType=x&filler="
            query += "x" * (length - len(query))
            assert (await http.get(f"{client.incoming_url}?{query}")).status_code == status


# --- message by message


async def asgi(client: AsyncClient, *body: dict[str, Any], **scope: Any) -> list[Any]:
    """What the application sends for these messages."""
    messages = iter(body)
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    given = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    await client.webhooks({**given, **scope}, receive, send)
    return sent


def chunk(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_strangers_body_is_not_read() -> None:
    async with AsyncClient("fake", public_url=PUBLIC) as client:
        [start, end] = await asgi(client, path="/confkit/" + "a" * 22 + "/m-1")  # reading would fail
        assert start["status"] == 404
        assert dict(start["headers"])[b"content-length"] == b"0"
        assert end == {"type": "http.response.body", "body": b""}


async def test_a_body_is_read_up_to_the_limit_and_no_further() -> None:
    async with staged() as stage:
        path = urlsplit(stage.client.incoming_url).path
        start, _ = await asgi(
            stage.client, chunk(b"x" * WebhookRequest.LARGEST_BODY, True), chunk(b"x", True), path=path
        )
        assert start["status"] == 413


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
async def test_the_body_of_another_method_is_not_read(method: str) -> None:
    async with staged() as stage:
        path = urlsplit(stage.client.incoming_url).path
        start, _ = await asgi(stage.client, path=path, method=method)  # reading would fail
        assert start["status"] == 405


async def test_too_much_at_once_is_refused_before_it_is_kept() -> None:
    async with staged() as stage:
        path = urlsplit(stage.client.incoming_url).path
        huge = {"type": "http.request", "body": bytes(WebhookRequest.LARGEST_BODY + 1), "more_body": True}
        start, _ = await asgi(stage.client, huge, path=path)
        assert start["status"] == 413


@pytest.mark.parametrize("length", [b"65537", b"9" * 5_000])
async def test_a_length_that_is_announced_is_believed(length: bytes) -> None:
    async with staged() as stage:
        path = urlsplit(stage.client.incoming_url).path
        start, _ = await asgi(stage.client, path=path, headers=[(b"content-length", length)])  # reading would fail
        assert start["status"] == 413


@pytest.mark.parametrize("length", [b"", b"x", b"-1", b"\xb2", b"65536"])
async def test_a_length_that_means_nothing_does_not_matter(length: bytes) -> None:
    async with staged() as stage:
        path, body = urlsplit(stage.client.incoming_url).path, chunk(b'{"eventType": "x"}')
        start, _ = await asgi(stage.client, body, path=path, headers=[(b"content-length", length)])
        assert start["status"] == 200


@pytest.mark.parametrize(("version", "closes"), [("1.0", True), ("1.1", True), ("2", False), ("3", False)])
async def test_a_connection_is_closed_where_the_protocol_has_a_word_for_it(
    version: str, closes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "BODY_TIME", 0.0)
    async with staged() as stage:

        async def receive() -> Any:
            await anyio.sleep_forever()

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        path = urlsplit(stage.client.incoming_url).path
        scope = {"type": "http", "method": "POST", "path": path, "headers": [], "http_version": version}
        await stage.client.webhooks(scope, receive, send)
        assert sent[0]["status"] == 408
        assert ((b"connection", b"close") in sent[0]["headers"]) is closes


async def test_who_hangs_up_in_the_middle_of_a_body_gets_nothing() -> None:
    async with staged() as stage:
        path = urlsplit(stage.client.incoming_url).path
        assert await asgi(stage.client, chunk(b"{", True), {"type": "http.disconnect"}, path=path) == []


async def test_a_body_may_come_in_pieces_and_under_a_root_path() -> None:
    async with staged() as stage:
        tail = urlsplit(stage.client.incoming_url).path.removeprefix("/confkit")
        body = json.dumps({"eventType": "x"}).encode()
        for scope in ({"path": tail}, {"path": f"/a/b{tail}", "root_path": "/a/b"}, {"path": f"{tail}/"}):
            start, _ = await asgi(stage.client, *(chunk(bytes([byte]), True) for byte in body), chunk(b""), **scope)
            assert start["status"] == 200


async def test_the_provider_sees_the_public_url_with_the_query_as_it_was_sent() -> None:
    seen = []

    class Look:
        @hookimpl(wrapper=True)
        def receive(self, request: Any) -> Any:
            seen.append(request)
            return (yield)

    async with staged(plugins=(Look(),), webhook_user="u", webhook_password="p") as stage:
        tail = urlsplit(stage.client.incoming_url).path.removeprefix("/confkit")
        start, _ = await asgi(
            stage.client,
            chunk(b""),
            method="GET",
            path=f"/behind/a/proxy{tail}",
            query_string=b"eventType=x&from=%2B1919&from=%2b1",
            headers=[(b"Authorization", b"basic dTpw"), (b"x-a", b"1"), (b"X-A", b"2")],
        )
        assert start["status"] == 200
        [request] = seen
        assert request.url == f"{PUBLIC}{tail}?eventType=x&from=%2B1919&from=%2b1"
        assert request.path == tail
        assert request.query == {"eventType": "x", "from": "+1"}
        assert request.headers["x-a"] == "1, 2"


async def test_too_many_parameters_are_refused() -> None:
    async with staged() as stage:
        path = urlsplit(stage.client.incoming_url).path
        start, _ = await asgi(stage.client, method="GET", path=path, query_string=b"&".join([b"a=b"] * 1000))
        assert start["status"] == 400


async def test_it_speaks_http_only() -> None:
    async with AsyncClient("fake", public_url=PUBLIC) as client:
        assert await asgi(client, type="websocket") == [{"type": "websocket.close"}]
        with pytest.raises(RuntimeError, match="speaks HTTP"):
            await asgi(client, type="lifespan")


async def test_deliveries_of_one_event_that_overlap_count_once() -> None:
    seen: list[Event] = []

    class Watch:
        @hookimpl
        def meeting_event(self, event: Event) -> None:
            seen.append(event)

    async with (
        staged(plugins=(Watch(),)) as stage,
        stage.client.connect(*PEOPLE[:3]) as meeting,
        anyio.create_task_group() as tasks,
    ):
        await anyio.sleep(0.1)
        seen.clear()
        url = stage.url_of(meeting, "leg-1").removeprefix(HOST)
        pressed = {"eventType": "dtmf", "callId": meeting.participant("leg-1").call_id, "dtmfDigit": "5"}
        for _ in range(50):
            tasks.start_soon(lambda: asgi(stage.client, chunk(json.dumps(pressed).encode()), path=url))
        await anyio.sleep(0.1)
        assert len(seen) == 1
