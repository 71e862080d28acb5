"""What fails before the first byte of a request was certainly not executed; what fails later may have been.

Each way to fail, against real sockets, on asyncio with aiohttp and without, and on trio.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from confkit.models.errors import OutcomeUnknown, ProviderError, Unavailable
from confkit.provider import ErrorTable, Http, HttpSettings

from .conftest import OK, Authority, Serve, Server, reset

pytestmark = [
    pytest.mark.anyio,
    # Under trio, httpcore leaves a socket to the garbage collector when a reply is cut off half way.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
Connect = Callable[..., Http]
SOON = timedelta(seconds=5)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    made: list[Http] = []

    def make(base_url: str, **settings: Any) -> Http:
        http = Http("acme", base_url, auth=("user", "marked"), errors=ErrorTable(), settings=HttpSettings(**settings))
        made.append(http)
        return http

    yield make
    for http in made:
        await http.aclose()


async def change(http: Http, timeout: timedelta = SOON) -> ProviderError:
    """The error of a request that changes something."""
    with pytest.raises(ProviderError) as caught:
        await http.update("x", operation="hang_up", body={"to": "+19195550101"}, timeout=timeout)
    return _clean(caught.value)


async def look(http: Http, timeout: timedelta = SOON) -> ProviderError:
    """The error of a request that only reads."""
    with pytest.raises(ProviderError) as caught:
        await http.read("x", operation="fetch", decode=dict, timeout=timeout)
    return _clean(caught.value)


def _clean(error: ProviderError) -> ProviderError:
    """Whatever raised it does not hang on it: its frames and its texts hold requests."""
    assert error.__cause__ is None
    assert error.__context__ is None
    for text in (str(error), *getattr(error, "__notes__", ())):
        assert "marked" not in text
        assert base64.b64encode(b"user:marked").decode() not in text
    return error


async def not_sent(http: Http, message: str, timeout: timedelta = SOON) -> None:
    """Neither of the two got out, and both say why."""
    for error, operation in ((await change(http, timeout), "hang_up"), (await look(http, timeout), "fetch")):
        assert type(error) is Unavailable
        assert re.fullmatch(f"acme {operation}: cannot connect to {message}", str(error)), str(error)


async def lost(http: Http, message: str, timeout: timedelta = SOON) -> None:
    """Both may have been received."""
    error = await change(http, timeout)
    assert type(error) is OutcomeUnknown
    assert re.fullmatch(f"acme hang_up: {message}; the request may have been carried out", str(error)), str(error)
    assert not error.answered
    error = await look(http, timeout)
    assert type(error) is Unavailable
    assert re.fullmatch(rf"acme fetch: no answer from 127\.0\.0\.1:\d+: {message}", str(error)), str(error)


# --- TLS

HERE = r"(localhost|127\.0\.0\.1):\d+"


async def test_an_authority_that_is_not_trusted(serve: Serve, authority: Authority, connect: Connect) -> None:
    server = serve(tls=authority.certificate("localhost"))
    await not_sent(
        connect(f"https://localhost:{server.port}"),
        f"{HERE}: TLS: certificate not accepted: unable to get local issuer certificate; "
        "ca_file= or SSL_CERT_FILE names the authorities to trust",
    )
    assert not server.seen
    (note,) = (await change(connect(f"https://localhost:{server.port}"))).__notes__
    assert re.fullmatch(r"from httpx\.Connect(Error|Timeout), .*\bssl\.SSLCertVerificationError\b.*", note)


async def test_a_certificate_that_has_expired(serve: Serve, authority: Authority, connect: Connect) -> None:
    server = serve(tls=authority.certificate("localhost", expired=True))
    http = connect(f"https://localhost:{server.port}", ca_file=authority.file)
    await not_sent(http, f"{HERE}: TLS: certificate not accepted: certificate has expired")


@pytest.mark.parametrize(("host", "kind"), [("localhost", "Hostname"), ("127.0.0.1", "IP address")])
async def test_a_certificate_for_another_name(
    serve: Serve, authority: Authority, connect: Connect, host: str, kind: str
) -> None:
    server = serve(tls=authority.certificate("other.example"))
    http = connect(f"https://{host}:{server.port}", ca_file=authority.file)
    await not_sent(
        http, f"{HERE}: TLS: certificate not accepted: {kind} mismatch, certificate is not valid for '{host}'"
    )


async def test_a_certificate_that_is_trusted(serve: Serve, authority: Authority, connect: Connect) -> None:
    server = serve(OK, OK, tls=authority.certificate("localhost"))
    http = connect(f"https://localhost:{server.port}", ca_file=authority.file)
    await http.update("x", operation="hang_up", body={}, timeout=SOON)
    assert await http.read("x", operation="fetch", decode=dict, timeout=SOON) == {}
    assert len(server.seen) == 2


async def test_https_spoken_to_a_port_that_speaks_http(accept: Callable[..., Server], connect: Connect) -> None:
    def bad_request(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    server = accept(bad_request)
    await not_sent(
        connect(f"https://{server.host}"),
        f"{HERE}: TLS: the server speaks none at this port; is it http:// and not https://, or another port\\?",
    )


async def test_http_spoken_to_a_port_that_speaks_tls(serve: Serve, authority: Authority, connect: Connect) -> None:
    server = serve(tls=authority.certificate("127.0.0.1"))
    await lost(
        connect(f"http://{server.host}"),
        r"(what came back is not HTTP; does base_url have to begin with https\?"
        "|the connection was closed before the reply|connection reset by peer)",
    )


async def test_a_tls_alert_in_place_of_a_reply(accept: Callable[..., Server], connect: Connect) -> None:
    def alert(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"\x15\x03\x01\x00\x02\x02\x16")

    server = accept(alert)
    await lost(
        connect(f"http://{server.host}"), r"what came back is not HTTP; does base_url have to begin with https\?"
    )


@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_a_handshake_that_is_dropped(accept: Callable[..., Server], connect: Connect, how: str) -> None:
    def drop(connection: socket.socket) -> None:
        connection.recv(65536)
        if how == "reset":
            reset(connection)

    server = accept(drop)
    await not_sent(
        connect(f"https://{server.host}"),
        f"{HERE}: (the connection was closed (at once|during the TLS handshake)|connection reset by peer)",
    )


async def test_a_protocol_version_that_is_not_spoken(serve: Serve, authority: Authority, connect: Connect) -> None:
    context = authority.certificate("localhost")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES256-SHA:ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0")
    with contextlib.suppress(ValueError):
        context.set_ecdh_curve("secp521r1")
    server = serve(tls=context)
    await not_sent(connect(f"https://localhost:{server.port}", ca_file=authority.file), f"{HERE}: TLS: .+")


# --- the connection


async def test_nobody_listens(connect: Connect) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        await not_sent(connect(f"http://127.0.0.1:{port}"), f"127.0.0.1:{port}: connection refused")
        await not_sent(connect(f"https://127.0.0.1:{port}"), f"127.0.0.1:{port}: connection refused")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (socket.EAI_NONAME, "the name is not known"),
        (socket.EAI_AGAIN, "the name cannot be looked up: temporary failure in name resolution"),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_name_that_nobody_knows(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, scheme: str, code: int, message: str
) -> None:
    def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(code, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    await not_sent(connect(f"{scheme}://api.example"), f"api.example: {message}")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_listener_that_lets_nobody_in(connect: Connect, scheme: str) -> None:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        http = connect(f"{scheme}://127.0.0.1:{full.getsockname()[1]}")
        await not_sent(http, rf"{HERE}: no connection within 0\.3 s", timedelta(seconds=0.3))


async def test_a_handshake_that_never_ends(accept: Callable[..., Server], connect: Connect) -> None:
    server = accept(lambda connection: connection.recv(65536) and connection.recv(65536))
    await not_sent(connect(f"https://{server.host}"), rf"{HERE}: no connection within 0\.3 s", timedelta(seconds=0.3))


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("reused", [False, True])
@pytest.mark.parametrize("how", ["closed", "reset", "cut off", "silence"])
async def test_a_connection_that_dies_after_the_request(
    serve: Serve, authority: Authority, connect: Connect, how: str, reused: bool, encrypted: bool
) -> None:
    def die(connection: socket.socket) -> None:
        if how == "reset":
            reset(connection)
        elif how == "cut off":
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-le")
        elif how == "silence":
            connection.recv(65536)

    server = serve(*([OK] if reused else []), die, *([OK] if reused else []), die, tls=_tls(authority, encrypted))
    http = connect(f"http{'s' if encrypted else ''}://{server.host}", ca_file=authority.file)
    message = {
        "closed": "the connection was closed before the reply",
        "reset": "(the connection was closed before the reply|connection reset by peer)",
        "cut off": "the connection was closed before the reply",
        "silence": r"no reply within 0\.5 s",
    }[how]
    timeout = timedelta(seconds=0.5) if how == "silence" else SOON
    for ask, kind in ((change, OutcomeUnknown), (look, Unavailable)):
        if reused:
            await http.update("x", operation="hang_up", body={}, timeout=SOON)
        error = await ask(http, timeout)
        assert type(error) is kind
        assert re.search(message, str(error)), str(error)
    assert len(server.seen) == (4 if reused else 2)  # nothing is sent again


def _tls(authority: Authority, encrypted: bool) -> ssl.SSLContext | None:
    return authority.certificate("127.0.0.1") if encrypted else None


async def test_a_reply_that_dies_in_its_body_has_its_status(serve: Serve, connect: Connect) -> None:
    def die(connection: socket.socket) -> None:
        connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"a')
        reset(connection)

    server = serve(die, die)
    http = connect(f"http://{server.host}")
    error = await change(http)
    assert (type(error), error.status) == (OutcomeUnknown, 200)
    assert isinstance(error, OutcomeUnknown)
    assert error.answered
    assert "the reply cannot be read: it is cut off" in str(error)
    assert type(await look(http)) is Unavailable


@pytest.mark.parametrize(
    "answer", [b"220 mail.example ESMTP\r\n\r\n", b"\x00\x01\x02\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"]
)
async def test_what_is_no_http(serve: Serve, connect: Connect, answer: bytes) -> None:
    server = serve(answer, answer)
    await lost(
        connect(f"http://{server.host}"), r"what came back is not HTTP; does base_url have to begin with https\?"
    )


async def test_what_is_no_http_in_tls(serve: Serve, authority: Authority, connect: Connect) -> None:
    garbage = b"220 mail.example ESMTP\r\n\r\n"
    server = serve(garbage, garbage, tls=authority.certificate("127.0.0.1"))
    http = connect(f"https://{server.host}", ca_file=authority.file)
    await lost(http, r"what came back is not HTTP; is base_url right\?")


# --- proxies

FAR = "https://api.example"


def refusal(status: int, reason: str) -> bytes:
    return f"HTTP/1.1 {status} {reason}\r\ncontent-length: 0\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("status", "credentials", "message"),
    [
        (407, "", r"wants credentials \(407\): proxy= takes them, as http://user:password@host:port"),
        (407, "u:marked@", r"does not take the credentials \(407\): .*"),
        (403, "", r"does not let anybody through to it \(403\)"),
        (502, "", r"makes no connection to it \(502\)"),
    ],
)
@pytest.mark.parametrize("how", ["setting", "environment"])
async def test_a_proxy_that_makes_no_tunnel(
    serve: Serve,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    status: int,
    credentials: str,
    message: str,
) -> None:
    proxy = serve(refusal(status, "No"), refusal(status, "No"))
    url = f"http://{credentials}{proxy.host}"
    if how == "environment":
        monkeypatch.setenv("https_proxy", url)
    http = connect(FAR, **({"proxy": url} if how == "setting" else {}))
    await not_sent(http, f"api.example: the proxy {proxy.host} {message}")
    assert [head.partition("\r\n")[0] for head in proxy.seen] == ["CONNECT api.example:443 HTTP/1.1"] * 2
    assert [f"Basic {base64.b64encode(b'u:marked').decode()}" in head for head in proxy.seen] == [bool(credentials)] * 2


@pytest.mark.parametrize("how", ["closed", "reset", "garbage"])
async def test_a_proxy_that_drops_who_asks_for_a_tunnel(serve: Serve, connect: Connect, how: str) -> None:
    def drop(connection: socket.socket) -> None:
        if how == "reset":
            reset(connection)
        elif how == "garbage":
            connection.sendall(b"220 mail.example ESMTP\r\n\r\n")

    proxy = serve(drop, drop)
    await not_sent(
        connect(FAR, proxy=f"http://{proxy.host}"),
        rf"the proxy {proxy.host}: (the connection was closed at once|connection reset by peer)",
    )


async def test_a_proxy_that_is_silent(serve: Serve, connect: Connect) -> None:
    proxy = serve(*[lambda connection: connection.recv(1)] * 2)
    await not_sent(
        connect(FAR, proxy=f"http://{proxy.host}"),
        rf"the proxy {proxy.host}: no connection within 0\.4 s",
        timedelta(seconds=0.4),
    )


@pytest.mark.parametrize("far", [FAR, "http://api.example"])
async def test_a_proxy_that_is_not_there(connect: Connect, far: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        proxy = f"127.0.0.1:{free.getsockname()[1]}"
        await not_sent(connect(far, proxy=f"http://u:marked@{proxy}"), f"the proxy {proxy}: connection refused")


async def test_a_proxy_whose_name_nobody_knows(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    await not_sent(connect(FAR, proxy="proxy.example:3128"), "the proxy proxy.example:3128: the name is not known")


async def test_a_certificate_that_is_not_trusted_behind_a_proxy(
    accept: Callable[..., Server], serve: Serve, authority: Authority, connect: Connect
) -> None:
    host = serve(tls=authority.certificate("other.example"))
    proxy = tunnel(accept, host)
    await not_sent(
        connect(f"https://localhost:{host.port}", proxy=f"http://{proxy.host}", ca_file=authority.file),
        f"localhost:{host.port} through the proxy {proxy.host}: TLS: certificate not accepted: Hostname mismatch.*",
    )


async def test_a_proxy_that_makes_a_tunnel(
    accept: Callable[..., Server], serve: Serve, authority: Authority, connect: Connect
) -> None:
    """Both ways: what is sent arrives, and what is lost then may have been carried out."""
    host = serve(OK, lambda _: None, tls=authority.certificate("localhost"))
    proxy = tunnel(accept, host)
    http = connect(f"https://localhost:{host.port}", proxy=f"http://{proxy.host}", ca_file=authority.file)
    await http.update("x", operation="hang_up", body={}, timeout=SOON)
    assert type(await change(http)) is OutcomeUnknown
    assert len(host.seen) == 2


async def test_a_proxy_that_speaks_tls_itself(serve: Serve, authority: Authority, connect: Connect) -> None:
    host = serve(OK)
    proxy = serve(OK, tls=authority.certificate("localhost"))
    url = f"https://localhost:{proxy.port}"
    http = connect(f"http://{host.host}", proxy=url, ca_file=authority.file)
    await http.update("x", operation="hang_up", body={}, timeout=SOON)
    assert (len(proxy.seen), len(host.seen)) == (1, 0)
    await not_sent(
        connect(f"http://{host.host}", proxy=url),
        f"the proxy localhost:{proxy.port}: TLS: certificate not accepted: unable to get local issuer .*",
    )


async def test_a_proxy_that_passes_requests_on_wants_credentials(serve: Serve, connect: Connect) -> None:
    proxy = serve(refusal(407, "Proxy Authentication Required"), refusal(407, "No"))
    http = connect("http://api.example", proxy=f"http://{proxy.host}")
    await not_sent(http, rf"api.example: the proxy {proxy.host} wants credentials \(407\): .*")


async def test_a_page_that_may_be_the_proxys(serve: Serve, connect: Connect) -> None:
    proxy = serve(b"HTTP/1.1 403 No\r\ncontent-length: 7\r\n\r\n<html/>")
    error = await change(connect("http://api.example", proxy=proxy.host))
    assert str(error).startswith(
        f"acme hang_up: api.example (or the proxy {proxy.host}) answered with a web page; is base_url right?"
    )


async def test_a_407_with_no_proxy_that_we_know_of(serve: Serve, connect: Connect) -> None:
    server = serve(refusal(407, "No"), refusal(407, "No"))
    await not_sent(connect(f"http://{server.host}"), rf"{HERE}: a proxy on the way wants credentials \(407\): .*")


def tunnel(accept: Callable[..., Server], host: Server, tls: ssl.SSLContext | None = None) -> Server:
    """A proxy that connects whoever asks to this host."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def connect_them(connection: socket.socket) -> None:
        proxy.request(connection)
        with socket.create_connection(("127.0.0.1", host.port)) as far:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pump, args=(far, connection), daemon=True)
            back.start()
            pump(connection, far)
            back.join()

    proxy: Server = accept(connect_them, tls)
    return proxy
