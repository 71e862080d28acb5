"""The HTTP toolkit on the wire: what every way to fail means for a mutation and for a read."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
from datetime import timedelta
from typing import Any

import anyio
import httpx
import pytest

from confkit.provider import (
    Call,
    CallSpec,
    Conference,
    ErrorTable,
    Http,
    Op,
    errors,
    id_from_location,
    without_credentials,
)
from confkit.provider.http_errors import redacted

pytestmark = [
    pytest.mark.anyio,
    # Under trio, httpcore leaves a socket to the garbage collector when a reply is cut off or cancelled half way.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
OP = Op(key="k-1")
CALL = Call(provider="bandwidth", id="c-1")
SPEC = CallSpec(to="+19195550101", caller_id="+12018994444")


async def dial(provider: Any, op: Op = OP) -> Any:
    return await provider.create_call(spec=SPEC, op=op, into=None)


def text_of(error: BaseException) -> str:
    return f"{error!r} {error}"


async def test_v1_basic_auth_path_and_no_cookie_of_any_kind(provider: Any, stub: Any) -> None:
    stub.created("/v1/users/u-1/calls/c-9")
    await dial(provider)
    (seen,) = stub.seen
    assert (seen.method, seen.target) == ("POST", "/v1/users/u-1/calls")
    assert seen.headers["authorization"] == "Basic " + base64.b64encode(b"t-marked-token:s-marked-secret").decode()
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["accept-encoding"] == "identity"


async def test_connections_are_reused(provider: Any, stub: Any) -> None:
    for _ in range(3):
        await provider.hang_up(call=CALL, op=OP)
    assert len(stub.seen) == 3
    assert provider.capabilities().idempotent == frozenset()


async def test_the_proxy_of_the_environment_is_used(connect: Any, stub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", stub.base_url)
    monkeypatch.delenv("no_proxy", raising=False)
    stub.created("/v1/users/u-1/calls/c-9")
    dialled = await dial(connect(base_url="http://api.invalid"))
    assert dialled.call.id == "c-9"
    assert [seen.target for seen in stub.seen] == ["http://api.invalid/v1/users/u-1/calls"]


async def test_a_host_that_the_environment_excepts_is_reached_without_the_proxy(
    connect: Any, stub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    stub.created("/v1/users/u-1/calls/c-9")
    assert (await dial(connect())).call.id == "c-9"
    assert [seen.target for seen in stub.seen] == ["/v1/users/u-1/calls"]


async def test_a_proxy_that_is_not_there_is_certainly_not_executed(
    connect: Any, stub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", "127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(errors.Unavailable):
        await dial(connect())
    assert stub.seen == []


async def test_connection_refused_is_certainly_not_executed(connect: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(errors.Unavailable) as caught:
            await dial(connect(base_url=f"http://127.0.0.1:{port}"))
    assert str(caught.value) == (f"bandwidth create_call: cannot connect to 127.0.0.1:{port}: connection refused")


async def test_tls_to_a_server_that_speaks_none_is_certainly_not_executed(connect: Any, stub: Any) -> None:
    provider = connect(base_url=stub.base_url.replace("http:", "https:"))
    with pytest.raises(errors.Unavailable, match="cannot connect to"):
        await dial(provider, Op(key="k", timeout=timedelta(seconds=0.2)))


async def test_a_connection_that_takes_all_the_time_is_certainly_not_executed(connect: Any) -> None:
    # A listener whose queue is full lets nobody in and refuses nobody.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        provider = connect(base_url=f"http://127.0.0.1:{address[1]}")
        with pytest.raises(errors.Unavailable, match=r"no connection within 0\.3 s"):
            await dial(provider, Op(key="k", timeout=timedelta(seconds=0.3)))
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_reply_lost_after_sending_leaves_a_mutation_open(provider: Any, stub: Any, how: str) -> None:
    stub.lose(how)
    with pytest.raises(errors.OutcomeUnknown, match="the request may have been carried out") as caught:
        await dial(provider)
    assert not caught.value.answered
    assert len(stub.seen) == 1  # nothing is sent again


async def test_a_deadline_after_sending_leaves_a_mutation_open(provider: Any, stub: Any) -> None:
    stub.lose("silence")
    with pytest.raises(errors.OutcomeUnknown) as caught:
        await dial(provider, Op(key="k", timeout=timedelta(seconds=0.5)))
    assert str(caught.value) == ("bandwidth create_call: no reply within 0.5 s; the request may have been carried out")
    assert not caught.value.answered
    assert len(stub.seen) == 1


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_read_that_is_lost_changed_nothing(provider: Any, stub: Any, how: str) -> None:
    stub.lose(how)
    with pytest.raises(errors.Unavailable, match=r"no answer from 127\.0\.0\.1"):
        await provider.fetch(ref=CALL)
    assert len(stub.seen) == 1


async def test_the_deadline_is_for_the_whole_exchange(provider: Any, stub: Any) -> None:
    stub.script.append(b"HTTP/1.1 500 X\r\ncontent-length: 50\r\n\r\n{")
    stub.script.append("silence")
    with anyio.fail_after(10), pytest.raises(errors.OutcomeUnknown) as caught:
        await dial(provider, Op(key="k", timeout=timedelta(seconds=0.5)))
    assert caught.value.status == 500  # the status had come, so it counts
    assert caught.value.answered


async def test_cancellation_passes_through_unchanged(provider: Any, stub: Any) -> None:
    stub.lose("silence")
    with anyio.move_on_after(0.1) as scope:
        await dial(provider)
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 abc\r\n\r\n", b"\x00\x01\x02 no http at all\r\n\r\n", b"HTTP/1.1 201 X\r\ncontent-"],
    ids=["bad-status", "binary", "cut-headers"],
)
async def test_what_is_no_http_leaves_a_mutation_open(provider: Any, stub: Any, answer: bytes) -> None:
    stub.script += [answer + b"connection: close\r\n", "close"]
    with pytest.raises(errors.OutcomeUnknown) as caught:
        await dial(provider, Op(key="k", timeout=timedelta(seconds=0.5)))
    assert not caught.value.answered


async def test_v25_a_201_without_location_leaves_a_mutation_open(provider: Any, stub: Any) -> None:
    stub.reply(201)
    with pytest.raises(errors.OutcomeUnknown, match="no Location header") as caught:
        await dial(provider)
    assert caught.value.answered
    assert caught.value.status == 201


@pytest.mark.parametrize("location", ["", "/", "http://h", "/v1/users/u-1/calls/", "/x/%ff", "http://[", "/a/%00"])
async def test_a_location_without_an_id_leaves_a_mutation_open(provider: Any, stub: Any, location: str) -> None:
    stub.created(location)
    with pytest.raises(errors.OutcomeUnknown, match="Location header has no id"):
        await dial(provider)


async def test_a_location_is_enough_even_if_the_body_is_cut_off(provider: Any, stub: Any) -> None:
    stub.script.append(
        b"HTTP/1.1 201 X\r\nlocation: /v1/users/u-1/calls/c-9\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{"
    )
    assert (await dial(provider)).call.id == "c-9"


UNREADABLE = [
    pytest.param(b"<html>Sign in</html>", "HTML, not JSON", id="html"),
    pytest.param(b'{"id": "c-1"', "not JSON", id="truncated"),
    pytest.param(b"[" * 100_000, "not JSON", id="nested"),
    pytest.param(b"\xff\xfe\x00", "not JSON", id="binary"),
]


@pytest.mark.parametrize(("content", "why"), UNREADABLE)
async def test_a_2xx_that_cannot_be_read(provider: Any, stub: Any, content: bytes, why: str) -> None:
    stub.reply(200, content)
    with pytest.raises(errors.Unavailable, match=why):
        await provider.fetch(ref=CALL)
    stub.reply(200, content)
    with pytest.raises(errors.OutcomeUnknown, match=why) as caught:
        await provider.hang_up(call=CALL, op=OP)
    assert caught.value.answered


@pytest.mark.parametrize("value", [[], "text", 7, None, {}, {"id": ""}, {"id": 7}])
async def test_json_of_another_shape_cannot_be_read(provider: Any, stub: Any, value: Any) -> None:
    stub.reply(200, value if value is not None else b"null")
    with pytest.raises(errors.Unavailable, match="cannot be read"):
        await provider.fetch(ref=CALL)
    stub.reply(200, {"id": "x"} if value == [] else value if value is not None else b"null")
    with pytest.raises(errors.Unavailable, match="cannot be read"):
        await provider.list_calls(into=Conference(provider="bandwidth", key="k", id="conf-1"))


async def test_an_endless_body_is_not_read_to_its_end(provider: Any, stub: Any) -> None:
    stub.reply(200, b'"' + b"x" * (5 * 1024 * 1024))
    with pytest.raises(errors.Unavailable, match="cut off"):
        await provider.fetch(ref=CALL)


async def test_t47_an_empty_body_with_a_json_content_type_is_fine(provider: Any, stub: Any) -> None:
    stub.reply(200, b"", content_type="application/json")
    await provider.hang_up(call=CALL, op=OP)


@pytest.mark.parametrize(("status", "answered"), [(500, True), (503, True), (502, False), (504, False)])
async def test_v91_html_errors_keep_their_status(provider: Any, stub: Any, status: int, answered: bool) -> None:
    stub.reply(status, b"<html>Bad Gateway</html>", content_type="text/html")
    with pytest.raises(errors.OutcomeUnknown, match="answered with a web page") as caught:
        await dial(provider)
    assert caught.value.status == status
    assert caught.value.answered is answered  # behind a gateway the request may still be at work
    stub.reply(status, b"<html>Bad Gateway</html>")
    with pytest.raises(errors.Unavailable):
        await provider.fetch(ref=CALL)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed_with_credentials(provider: Any, stub: Any, status: int) -> None:
    stub.reply(status, location="http://elsewhere.example/v1?token=1")
    with pytest.raises((errors.InvalidRequest, errors.OutcomeUnknown), match="redirects to elsewhere"):
        await dial(provider)
    assert len(stub.seen) == 1


async def test_errors_show_no_credentials_and_no_whole_numbers(provider: Any, stub: Any) -> None:
    message = (
        "the token t-marked-token may not dial +19195550101 or sip:ann@example.com, callback "
        "https://u:p@app.example/hook/token-4711?x=1 \x1b[31m s-marked-secret " + "long " * 100
    )
    stub.refuse(400, "validation-error", message)
    with pytest.raises(errors.InvalidRequest) as caught:
        await dial(provider)
    shown = text_of(caught.value)
    for hidden in ("marked", "9195550101", "ann@", "u:p", "4711", "\x1b"):
        assert hidden not in shown
    assert "+1919•••0101" in shown
    assert "app.example/…" in shown
    assert len(caught.value.message) <= 200


async def test_what_cannot_be_written_as_json_is_refused_before_the_wire(provider: Any, stub: Any) -> None:
    with pytest.raises(errors.InvalidRequest):
        await provider.send_digits(call=CALL, digits="\ud800", op=OP)
    with pytest.raises(errors.InvalidRequest, match="cannot be written"):
        await provider.transfer(call=CALL, to="sip:\ud800@example.com", caller_id="", op=OP)
    assert not stub.seen


@pytest.mark.parametrize("found", ["", ".", ".."])
async def test_t45_an_id_that_is_none_addresses_nothing(provider: Any, stub: Any, found: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="has no id"):
        await provider.hang_up(call=Call(provider="bandwidth", id=found), op=OP)
    assert not stub.seen


async def test_ids_are_percent_encoded(provider: Any, stub: Any) -> None:
    await provider.hang_up(call=Call(provider="bandwidth", id="a/b?c#d e%"), op=OP)
    assert stub.seen[0].target == "/v1/users/u-1/calls/a%2Fb%3Fc%23d%20e%25"


async def test_a_closed_client_sends_nothing(provider: Any, stub: Any) -> None:
    await provider.aclose()
    with pytest.raises(errors.Unavailable, match="the client is closed"):
        await dial(provider)
    assert not stub.seen


TRANSPORT_ERRORS = [
    (httpx.ConnectError, errors.Unavailable),
    (httpx.ConnectTimeout, errors.Unavailable),
    (httpx.PoolTimeout, errors.Unavailable),
    (httpx.ProxyError, errors.Unavailable),
    (httpx.UnsupportedProtocol, errors.Unavailable),
    (httpx.ReadTimeout, errors.OutcomeUnknown),
    (httpx.WriteTimeout, errors.OutcomeUnknown),
    (httpx.ReadError, errors.OutcomeUnknown),
    (httpx.WriteError, errors.OutcomeUnknown),
    (httpx.CloseError, errors.OutcomeUnknown),
    (httpx.RemoteProtocolError, errors.OutcomeUnknown),
    (httpx.LocalProtocolError, errors.OutcomeUnknown),
    (httpx.DecodingError, errors.OutcomeUnknown),
    (ConnectionResetError, errors.OutcomeUnknown),
    (RuntimeError, errors.OutcomeUnknown),
]


@pytest.mark.parametrize(
    ("raised", "expected"), TRANSPORT_ERRORS, ids=[raised.__name__ for raised, _ in TRANSPORT_ERRORS]
)
async def test_every_exception_of_a_transport_becomes_a_portable_one(
    raised: type[Exception], expected: type[errors.ProviderError]
) -> None:
    def handle(_: httpx.Request) -> httpx.Response:
        raise raised("https://user:password@secret.example/?q=1")

    http = Http(
        "acme",
        "https://api.example",
        auth=("a", "b"),
        errors=ErrorTable(),
        transport=httpx.MockTransport(handle),
    )
    with pytest.raises(expected) as caught:
        await http.update("x", operation="hang_up", body={}, timeout=timedelta(seconds=1))
    assert "password" not in text_of(caught.value)
    with pytest.raises(errors.Unavailable):
        await http.read("x", operation="fetch", decode=dict)
    await http.aclose()


async def test_a_mocked_transport_is_a_seam_for_tests() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"path": request.url.path})

    http = Http(
        "acme",
        "https://api.example/v9",
        auth=("a", "b"),
        errors=ErrorTable(),
        transport=httpx.MockTransport(handle),
    )
    assert await http.read("x", operation="fetch", decode=dict) == {"path": "/v9/x"}
    await http.update("x", operation="hang_up", body={}, timeout=timedelta(seconds=1))
    await http.aclose()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("how", ["close", "reset", "silence"])
async def test_the_fast_transport_tells_lost_from_not_sent(connect: Any, stub: Any, how: str) -> None:
    pytest.importorskip("httpx_aiohttp")
    provider = connect()
    stub.created("/calls/c-1")
    await dial(provider)  # the connection that is lost is a reused one
    stub.lose(how)
    with pytest.raises(errors.OutcomeUnknown):
        await dial(provider, Op(key="k", timeout=timedelta(seconds=0.5)))
    assert len(stub.seen) == 2


@pytest.mark.parametrize("how", ["close", "reset", "silence"])
async def test_the_ordinary_transport_tells_lost_from_not_sent(stub: Any, how: str) -> None:
    http = Http("acme", stub.base_url, auth=("a", "b"), errors=ErrorTable(), transport=httpx.AsyncHTTPTransport())
    change: dict[str, Any] = {"operation": "hang_up", "body": {}, "timeout": timedelta(seconds=0.5)}
    await http.update("x", **change)
    stub.lose(how)
    with pytest.raises(errors.OutcomeUnknown):
        await http.update("x", **change)
    await http.aclose()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = Http(
            "acme",
            f"http://127.0.0.1:{free.getsockname()[1]}",
            auth=("a", "b"),
            errors=ErrorTable(),
            transport=httpx.AsyncHTTPTransport(),
        )
        with pytest.raises(errors.Unavailable, match="connection refused"):
            await nowhere.update("x", **change)
    await nowhere.aclose()
    assert len(stub.seen) == 2


def test_importing_confkit_or_the_plugin_loads_no_httpx() -> None:
    code = "import sys, confkit, confkit_bandwidth, confkit.provider.http; sys.exit('httpx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


LOCATIONS = {
    "V4 conference": ("/v1/users/u-1/conferences/conf-9", "conf-9"),
    "V18 call": ("/v1/users/u-1/calls/c-9", "c-9"),
    "V21 member": ("/v1/users/u-1/conferences/conf-9/members/member-9", "member-9"),
    "V22 member without its conference": ("/v1/users/u-1/conferences/members/member-9", "member-9"),
    "V72 bridge under calls": ("/v1/users/u-1/calls/brg-9", "brg-9"),
    "bridge under bridges": ("/v1/users/u-1/bridges/brg-9", "brg-9"),
    "gather": ("/v1/users/u-1/calls/c-9/gather/gtr-9", "gtr-9"),
    "V23 absolute": ("https://api.catapult.inetwork.com/v1/users/u-1/conferences/conf-9", "conf-9"),
    "odd host": ("http://localhost/conferenceId", "conferenceId"),
    "V24 trailing slash": ("/v1/users/u-1/conferences/conf-9/", "conf-9"),
    "V24 query": ("/v1/users/u-1/conferences/conf-9?x=1", "conf-9"),
    "fragment": ("/v1/users/u-1/conferences/conf-9#f", "conf-9"),
    "slash and query": ("https://h/conferences/conf-9//?x=/y", "conf-9"),
    "percent": ("/v1/users/u-1/calls/c%2D9%2f1", "c-9/1"),
    "bare": ("conf-9", "conf-9"),
    "V96 another host": ("https://localhost:8444/v1/users/u-1/calls/c-7", "c-7"),
}


@pytest.mark.parametrize(("location", "expected"), LOCATIONS.values(), ids=LOCATIONS)
def test_ids_come_from_every_shape_of_location(location: str, expected: str) -> None:
    assert id_from_location(location) == expected


def test_urls_are_shown_without_what_is_secret() -> None:
    assert without_credentials("https://u:p@h.example:8/x?y#z") == "https://h.example:8/x"
    assert without_credentials("http://[") == "an unreadable URL"
    assert redacted("a http://[ b") == "a /… b"
