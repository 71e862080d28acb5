"""The settings of the way to a host, and what the environment says of it where nothing is set."""

from __future__ import annotations

import base64
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import confkit_asterisk
import confkit_bandwidth
import pytest
from confkit_asterisk.settings import AsteriskSettings
from confkit_bandwidth.settings import BandwidthSettings

from confkit.models.errors import SettingsError
from confkit.models.records import Call, Op
from confkit.provider import ErrorTable, Http, HttpSettings, NoConnection, http_url
from confkit.provider.route import Route, excepted
from confkit.provider.settings import Secret, Settings, without_credentials

from .conftest import OK, Authority, Serve, Server
from .test_matrix import refusal, tunnel

SOON = timedelta(seconds=5)
FAR = "https://api.example"
KINDS: dict[str, tuple[Any, dict[str, str]]] = {
    "bandwidth": (BandwidthSettings, {"user_id": "u-1", "token": "t-1", "secret": "s-1"}),
    "asterisk": (AsteriskSettings, {"user": "confkit", "password": "p-1"}),
}


def route(url: str = FAR, **settings: Any) -> Route:
    return Route.to(url, HttpSettings(**settings), provider="acme")


def read(provider: str, environ: dict[str, str] | None = None, **given: Any) -> Any:
    kind, needed = KINDS[provider]
    return Settings(provider=provider, keywords=needed | given, environ=environ or {}).read(kind)


# --- as settings


@pytest.mark.parametrize("provider", KINDS)
def test_every_provider_has_them_by_keyword_and_by_variable(provider: str, authority: Authority) -> None:
    found = read(provider, ca_file=authority.file, proxy="proxy.example:3128")
    assert (found.ca_file, found.proxy) == (str(authority.file), "http://proxy.example:3128")
    prefix = provider.upper()
    found = read(provider, {f"{prefix}_CA_FILE": str(authority.file), f"{prefix}_PROXY": "https://u:p@h:1/"})
    assert (found.ca_file, found.proxy) == (str(authority.file), "https://u:p@h:1")
    found = read(provider)
    assert (found.ca_file, found.proxy) == (None, None)


@pytest.mark.parametrize("provider", KINDS)
def test_every_mistake_is_in_one_error(provider: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    with pytest.raises(SettingsError) as caught:
        read(provider, ca_file=empty, proxy="gopher://user:hunter2@proxy", base_url="http://user:hunter2/secret@host")
    variable = provider.upper()
    problems = dict(problem.split(" ", 1) for problem in caught.value.problems)
    assert problems == {
        "ca_file": f"is malformed ({empty!r}: it holds no certificates in PEM): check ca_file= or {variable}_CA_FILE",
        "proxy": "is malformed (gopher://proxy: it must be http://host:port; credentials in it are percent-encoded): "
        f"check proxy= or {variable}_PROXY",
        "base_url": "is malformed (http://host: it must have no credentials, query or fragment): "
        f"check base_url= or {variable}_BASE_URL",
    }


NO_FILES = {
    "nothing": "no such file or directory",
    "key.pem": "it holds no certificates in PEM",
    "binary": "it holds no certificates in PEM",
    "folder": "it holds no certificates under the names that 'openssl rehash' gives them",
    "nul\0": "it is no path",
}


@pytest.mark.parametrize(("name", "reason"), NO_FILES.items(), ids=range(len(NO_FILES)))
def test_authorities_that_are_none(tmp_path: Path, authority: Authority, name: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "README").touch()
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    authority.ca.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    with pytest.raises(SettingsError, match=reason):
        read("bandwidth", ca_file=f"{tmp_path}/{name}")


@pytest.mark.parametrize("given", [7, b"x", ["x"]])
def test_a_proxy_or_a_path_of_another_type(given: Any) -> None:
    with pytest.raises(SettingsError, match=r"proxy is malformed .*it must be text"):
        read("bandwidth", proxy=given)


PROXIES = {
    "proxy": "http://proxy",
    " proxy:3128 ": "http://proxy:3128",
    "http://u:p%40w@proxy:3128/": "http://u:p%40w@proxy:3128",
    "https://proxy": "https://proxy",
    "http://[::1]:3128": "http://[::1]:3128",
    "": None,
    "ftp://proxy": None,
    "http://": None,
    "http://proxy:0": None,
    "http://proxy:99999": None,
    "http://proxy/path": None,
    "http://proxy?x": None,
    "http://proxy#x": None,
    "http://a b": None,
    "http://user:hun/ter2@proxy": None,
    "http://[": None,
    f"http://{'x' * 64}": None,
    "socks5://proxy": None,  # the package for it is not installed
}


@pytest.mark.parametrize(("given", "expected"), PROXIES.items())
def test_proxies(given: str, expected: str | None) -> None:
    if expected is not None:
        assert HttpSettings(proxy=given).proxy == expected
        return
    with pytest.raises(SettingsError, match="proxy is malformed") as caught:
        read("bandwidth", proxy=given)
    assert "hun" not in str(caught.value)


URLS = {
    "https://h/x/": "https://h/x",
    " http://127.0.0.1:8080 ": "http://127.0.0.1:8080",
    "http://[::1]:80": "http://[::1]:80",
    "h": None,
    "ftp://h": None,
    "https://": None,
    "https://u:marked@h": None,
    "http://user:marked/secret@host": None,
    "http://user:marked": None,
    "https://h?marked": None,
    "https://h#marked": None,
    "http://h:0": None,
    "http://h:99999": None,
    "http://[": None,
    "http://a b": None,
    "http://a\nb": None,
    f"http://{'x' * 64}": None,
    "http://a..b": None,
}


@pytest.mark.parametrize(("given", "expected"), URLS.items())
def test_base_urls(given: str, expected: str | None) -> None:
    if expected is not None:
        assert http_url(given) == expected
        return
    for provider in KINDS:
        with pytest.raises(SettingsError, match="base_url is malformed") as caught:
            read(provider, base_url=given)
        assert "marked" not in str(caught.value)
    # ...nor where a plugin hands on what it was given
    with pytest.raises(SettingsError, match="base_url is malformed") as caught:
        Http("acme", given, auth="token", errors=ErrorTable())
    assert "marked" not in str(caught.value)


def test_a_base_url_that_only_httpx_refuses() -> None:
    with pytest.raises(SettingsError, match="base_url cannot be read"):
        Http("acme", "http://1.2.3.999", auth="token", errors=ErrorTable())


SHOWN = {
    "https://u:p@h.example:8/x?y#z": "https://h.example:8/x",
    "http://user:hunter2/secret@host": "http://host",
    "http://user:hunter2": "http://user:•••",
    "user:hunter2@host": "host",
    "user:hunter2@x://host": "host",
    "http://[": "an unreadable URL",
    "HTTP://h": "http://h",
}


@pytest.mark.parametrize(("url", "shown"), SHOWN.items())
def test_urls_as_they_are_shown(url: str, shown: str) -> None:
    if url == "user:hunter2@x://host":
        assert "hunter2" not in without_credentials(url)
    else:
        assert without_credentials(url) == shown


# --- out of the environment


def test_the_proxy_of_the_environment_by_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    assert route().proxy is None
    monkeypatch.setenv("ALL_PROXY", "all.example:1")
    assert route().proxy_host == "all.example:1"
    monkeypatch.setenv("HTTPS_PROXY", "https.example")
    assert route().proxy_host == "https.example:80"
    assert route("http://api.example").proxy_host == "all.example:1"
    monkeypatch.setenv("NO_PROXY", "api.example")
    assert route().proxy is None
    # what is set goes before all of these
    assert route(proxy="http://u:marked@[::1]:9").proxy_host == "[::1]:9"
    assert "marked" not in repr(route(proxy="http://u:marked@[::1]:9"))


EXCEPTED = {
    ("10.1.2.3", 443, "10.0.0.0/8"): True,
    ("11.1.2.3", 443, "10.0.0.0/8"): False,
    ("10.1.2.3", 443, "10.1.2.9/24"): True,
    ("10.1.2.3", 443, "10.1.2.3"): True,
    ("10.1.2.30", 443, "10.1.2.3"): False,
    ("10.1.2.3", 443, "10.1.2"): False,
    ("::1", 443, "::1"): True,
    ("::1", 443, "[::1]"): True,
    ("::1", 443, "[::1]:443"): True,
    ("::1", 443, "[::1]:80"): False,
    ("fd00::5", 443, "fd00::/8"): True,
    ("fe00::5", 443, "fd00::/8"): False,
    ("10.1.2.3", 443, "fd00::/8"): False,
    ("api.example", 443, "example"): True,
    ("api.example", 443, ".example"): True,
    ("api.example", 443, "*.example"): True,
    ("api.example", 443, "API.Example"): True,
    ("API.example.", 443, "api.example."): True,
    ("api.example", 443, "i.example"): False,
    ("api.example", 443, "other.example"): False,
    ("api.example", 443, "api.example.org"): False,
    ("api.example", 443, "api.example:443"): True,
    ("api.example", 443, "example:443"): True,
    ("api.example", 443, "api.example:80"): False,
    ("10.1.2.3", 8088, "10.0.0.0/8:8088"): True,
    ("10.1.2.3", 8088, "10.0.0.0/8:80"): False,
    ("api.example", 443, "http://api.example"): True,
    ("api.example", 443, "*"): True,
    ("api.example", 443, "localhost, api.example"): True,
    ("api.example", 443, "localhost api.example"): True,
    ("api.example", 443, "other, *"): True,
    ("api.example", 443, ""): False,
    ("api.example", 443, " , "): False,
    ("api.example", 443, "."): False,
    ("10.1.2.3", 443, "10.0.0.0/99"): False,
    ("localhost", 80, "127.0.0.0/8"): False,
}


@pytest.mark.parametrize(("host", "port", "no_proxy", "expected"), [(*case, found) for case, found in EXCEPTED.items()])
def test_hosts_that_no_proxy_excepts(host: str, port: int, no_proxy: str, expected: bool) -> None:
    assert excepted(host, port, no_proxy) is expected


def test_no_proxy_with_a_network_and_with_the_port_that_a_scheme_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "10.0.0.0/8,api.example:443,[fd00::]/8")
    assert route("https://10.9.8.7").proxy is None
    assert route("https://api.example").proxy is None
    assert route("https://api.example:444").proxy_host == "proxy.example:3128"
    assert route("https://11.9.8.7").proxy_host == "proxy.example:3128"


def test_what_the_environment_says_wrong_is_in_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hunter2/x@proxy")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with pytest.raises(SettingsError) as caught:
        Http("acme", FAR, auth="token", errors=ErrorTable())
    assert caught.value.problems == (
        "HTTPS_PROXY is malformed (http://proxy: it must be http://host:port; credentials in it are percent-encoded)",
        "REQUESTS_CA_BUNDLE is malformed ('/nowhere/ca.pem': no such file or directory)",
    )
    # Without TLS none are needed, so none are looked at.
    Http("acme", "http://api.example", auth="token", errors=ErrorTable())


@pytest.mark.parametrize("kind", ["setting", "directory", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_the_authorities_that_are_trusted(
    kind: str, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = str(authority.file)
    if kind in ("directory", "SSL_CERT_DIR"):
        context = ssl.create_default_context(cafile=authority.file)
        (tmp_path / f"{_hash_of(authority)}.0").write_text(authority.file.read_text())
        assert context.cert_store_stats()["x509_ca"] == 1
        wanted = str(tmp_path)
    if kind.isupper():
        monkeypatch.setenv(kind, wanted)
        found = route()
    else:
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/else")
        found = route(ca_file=wanted)
    assert found.trust is not None
    _shake_hands(found.trust, authority)


def _hash_of(authority: Authority) -> str:
    done = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", authority.file], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _shake_hands(trust: ssl.SSLContext, authority: Authority) -> None:
    """In memory, without a socket."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trust.wrap_bio(to_client, to_server, server_hostname="api.example")
    server = authority.certificate("api.example").wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
    assert len(done) == 2


def test_requests_own_variable_goes_before_the_others(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    found = route()
    assert found.trust is not None
    assert found.trust.cert_store_stats()["x509_ca"] == 1
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name)
    usual = route().trust
    assert usual is not None
    assert usual.cert_store_stats()["x509_ca"] > 10


# --- aiohttp that cannot be told to send once


def test_an_aiohttp_without_its_switch_is_not_used() -> None:
    """In a process of its own: what is imported once is not imported again."""
    code = """
import anyio, aiohttp, warnings
aiohttp.ClientSession.ATTRS = frozenset(aiohttp.ClientSession.ATTRS) - {"_retry_connection"}
from confkit.provider import ErrorTable, Http
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    http = Http("acme", "http://127.0.0.1:9", auth="t", errors=ErrorTable())
assert "sends requests again by itself" in str(caught[0].message), caught
from confkit.provider.transport import opened
async def kind():
    print(type(opened(http.route)).__name__)
anyio.run(kind)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["AsyncHTTPTransport"], done.stderr


# --- requests that are sent once, and connections for what is no request


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Http]]:
    made: list[Http] = []

    def make(url: str, **settings: Any) -> Http:
        made.append(Http("acme", url, auth=("u", "marked"), errors=ErrorTable(), settings=HttpSettings(**settings)))
        return made[-1]

    yield make
    for http in made:
        await http.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
@pytest.mark.parametrize("body", [None, {"a": 1}])
async def test_nothing_is_sent_again_on_a_connection_that_the_server_closes(
    serve: Serve, connect: Callable[..., Http], anyio_backend: str, method: str, body: Any
) -> None:
    server = serve(OK, lambda _: None)
    http = connect(f"http://{server.host}")
    await http.update("x", operation="play", body={}, timeout=SOON)
    with pytest.raises(Exception, match="the connection was closed before the reply"):
        await http.request(method, "x", operation="play", body=body, timeout=SOON)
    assert [head.split(" ")[0] for head in server.seen] == ["POST", method]
    fast = anyio_backend == "asyncio" and sys.modules.get("aiohttp") is not None
    assert type(http._line._transport).__name__ == ("AiohttpTransport" if fast else "AsyncHTTPTransport")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("provider", "target"),
    [
        ("bandwidth", "POST http://api.example/v1/users/u-1/calls/c-1"),
        ("asterisk", "DELETE http://api.example/ari/channels/c-1"),
    ],
)
async def test_providers_go_the_way_that_their_settings_say(serve: Serve, provider: str, target: str) -> None:
    proxy = serve(OK)
    made = Settings(
        provider=provider,
        keywords=KINDS[provider][1] | {"base_url": "http://api.example", "proxy": proxy.host},
        environ={},
    )
    opened = confkit_bandwidth if provider == "bandwidth" else confkit_asterisk
    plugin: Any = opened.confkit_create_provider(made)
    await plugin.hang_up(call=Call(provider=provider, id="c-1"), op=Op(key="k"))
    await plugin.aclose()
    assert proxy.seen[0].startswith(f"{target} HTTP/1.1\r\n")


def echo(connection: Any) -> None:
    connection.sendall(b"you said " + connection.recv(100))
    connection.recv(1)


@pytest.mark.anyio
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("proxy", ["none", "http", "https"])
async def test_a_connection_for_what_is_no_request(
    accept: Callable[..., Server], authority: Authority, connect: Callable[..., Http], proxy: str, encrypted: bool
) -> None:
    server = accept(echo, authority.certificate("localhost") if encrypted else None)
    url = f"http{'s' if encrypted else ''}://localhost:{server.port}"
    settings: dict[str, Any] = {"ca_file": authority.file}
    if proxy != "none":
        between = tunnel(accept, server, authority.certificate("localhost") if proxy == "https" else None)
        settings["proxy"] = f"{proxy}://me:mark%40ed@localhost:{between.port}"
    stream = await connect(url, **settings).connected(SOON)
    await stream.send(b"hello")
    assert await stream.receive() == b"you said hello"
    await anyio.aclose_forcefully(stream)
    if proxy != "none":
        first, *fields = between.seen[0].split("\r\n")
        assert first == f"CONNECT localhost:{server.port} HTTP/1.1"
        assert f"Proxy-Authorization: Basic {base64.b64encode(b'me:mark@ed').decode()}" in fields


@pytest.mark.anyio
async def test_a_connection_that_does_not_come_about(
    accept: Callable[..., Server], serve: Serve, authority: Authority, connect: Callable[..., Http]
) -> None:
    free = Server(echo)
    with free:
        port = free.port
    here = rf"localhost:{port}"
    wrong = serve(tls=authority.certificate("other.example"))
    closing = accept(lambda connection: connection.recv(1000) and None)
    silent = accept(lambda connection: connection.recv(1) and connection.recv(1000) and connection.recv(1))
    for http, message, refused in (
        (connect(f"http://{here}"), f"cannot connect to {here}: connection refused", True),
        (connect(FAR, proxy=here), f"cannot connect to the proxy {here}: connection refused", False),
        (connect(FAR, proxy=serve(refusal(407, "No")).host), "wants credentials \\(407\\)", False),
        (connect(FAR, proxy=serve(refusal(502, "No")).host), "makes no connection to it \\(502\\)", False),
        (connect(FAR, proxy=serve(b"220 mail\r\n\r\n").host), "makes no connection to it", False),
        (connect(f"https://localhost:{wrong.port}", ca_file=authority.file), "Hostname mismatch", False),
        (
            connect(f"https://localhost:{wrong.port}", ca_file=authority.file, proxy=tunnel(accept, wrong).host),
            "through the proxy .* Hostname mismatch",
            False,
        ),
        (connect(f"https://{closing.host}"), "the connection was closed|connection reset", False),
        (connect(f"https://{silent.host}"), "no connection within 0.5 s", False),
    ):
        within = timedelta(seconds=0.5) if "within" in message else SOON
        with pytest.raises(NoConnection, match=message) as caught:
            await http.connected(within)
        assert caught.value.refused is refused
        assert "marked" not in str(caught.value)


@pytest.mark.anyio
async def test_cancelling_a_connection_leaves_nothing_open(
    accept: Callable[..., Server], connect: Callable[..., Http]
) -> None:
    ended = anyio.Event()
    silent = accept(lambda connection: connection.recv(1000) and connection.recv(1000) and None)
    with anyio.move_on_after(0.2) as scope:
        await connect(f"https://{silent.host}").connected(SOON)
        ended.set()
    assert scope.cancelled_caught
    assert not ended.is_set()


def test_secrets_go_through_the_settings_as_they_are() -> None:
    given = Secret({"user_id": "u-1", "token": "t-1", "secret": "s-1"})
    found = Settings(provider="bandwidth", keywords=given, environ={}).read(BandwidthSettings)
    assert found.secret == "s-1"
