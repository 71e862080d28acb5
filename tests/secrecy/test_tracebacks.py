"""Nothing marked is in a traceback that is shown with its locals, as error trackers and rich's consoles do."""

from __future__ import annotations

import io
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import attrs
import httpx
import pytest
import rich.console
import rich.traceback
import structlog
from attrs import field, frozen
from confkit_bandwidth.provider import BandwidthProvider
from confkit_bandwidth.settings import BandwidthSettings

import confkit.provider.discovery
from confkit import AsyncClient, Client, SettingsError, WebhookRequest
from confkit.models.errors import OutcomeUnknown, PluginError, ProviderError, Unavailable
from confkit.models.records import CallSpec, ConferenceSpec, Op
from confkit.provider import ErrorTable, Http, HttpSettings
from confkit.provider.contract import hookimpl
from confkit.provider.discovery import open_provider
from confkit.provider.settings import Secret, Settings

from .marks import CALLER, PASSWORD, PEOPLE, SECRET, SECRETS, STRANGER, TOKEN, USER, basic

HOOK = "https://app.example/hook/marked-path/token"
FALLBACK = "https://app.example/fallback/marked-path"
MARKS = (*SECRETS, "marked-path", "hunter2")
GIVEN = {"user_id": "u-1", "token": TOKEN, "secret": SECRET}


def assert_clean(error: BaseException, *marks: str) -> None:
    """Show an error in each way; the frames of this file, which may know the marks, are left out."""
    _leave_out_this_file(error)
    console = rich.console.Console(file=io.StringIO(), width=1_000)
    kind = type(error)
    console.print(
        rich.traceback.Traceback.from_exception(
            kind, error, error.__traceback__, show_locals=True, locals_max_length=200, locals_max_string=20
        )
    )
    shown = {
        "traceback": "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()),
        "rich": console.file.getvalue(),  # type: ignore[attr-defined]
        "tracker": "\n".join(_tracked(error)),
    }
    for name, text in shown.items():
        for mark in (*MARKS, *marks):
            assert mark not in text, (
                f"{mark} in {name}: …{text[max(0, text.index(mark) - 400) : text.index(mark) + 80]}"
            )
    assert "locals" in shown["rich"] or error.__traceback__ is None


def _leave_out_this_file(error: BaseException) -> None:
    for one in _all_of(error):
        frame = one.__traceback__
        while frame is not None and frame.tb_frame.f_code.co_filename == __file__:
            frame = frame.tb_next
        one.__traceback__ = frame


def _all_of(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        yield one
        waiting += [one.__cause__, one.__context__]


def _tracked(error: BaseException) -> Iterator[str]:
    """What an error tracker sends: it looks into texts, mappings and sequences, and takes the repr of others."""
    for one in _all_of(error):
        yield f"{one!r} {one} {one.args!r} {getattr(one, '__notes__', ())}"
        for frame, _ in traceback.walk_tb(one.__traceback__):
            for name, value in frame.f_locals.items():
                yield f"{frame.f_code.co_name} {name} = {_serialised(value)}"


def _serialised(value: Any, depth: int = 0) -> str:
    if isinstance(value, str | bytes):
        return str(value)
    if depth < 5 and isinstance(value, Mapping):
        return " ".join(f"{key}: {_serialised(each, depth + 1)}" for key, each in value.items())
    if depth < 5 and isinstance(value, list | tuple | set | frozenset):
        return " ".join(_serialised(each, depth + 1) for each in value)
    return repr(value)


def test_the_look_would_find_something() -> None:
    def fail(inner: dict[str, str]) -> None:
        raise RuntimeError(len(inner))

    for planted in ({"token": TOKEN}, {"x": "a" * 30 + SECRET}):
        with pytest.raises(RuntimeError) as caught:
            eval("fail(planted)", {"fail": _elsewhere(fail), "planted": planted})
        with pytest.raises(AssertionError, match=r" in (traceback|rich)"):
            assert_clean(caught.value)


def _elsewhere(function: Any) -> Any:
    """A function as if it stood in another file."""
    return type(function)(function.__code__.replace(co_filename="elsewhere.py"), function.__globals__)


# --- settings


@pytest.mark.parametrize(
    "given",
    [
        {"limits": "odd"},
        {"odd": SECRET},
        {"token": f"{TOKEN}:"},
        {"secret": f"\0{SECRET}"},
        {"base_url": f"http://user:hunter2/secret@{'host'}"},
        {"base_url": "http://user:hunter2"},
        {"proxy": "http://user:hunter2/secret@proxy:3128"},
        {"proxy": "gopher://user:hunter2@proxy"},
        {"ca_file": "/nowhere"},
        {"public_url": "http://user:hunter2/secret@host"},
        {"public_url": "http://user:80/hunter2@host"},
        {"public_url": 7},
        {"public_url": "odd", "webhook_user": USER, "webhook_password": PASSWORD},
        {"webhook_user": f"{USER}:", "webhook_password": PASSWORD},
        {"webhook_user": USER, "webhook_password": PASSWORD},
    ],
)
@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_settings_that_are_malformed(given: dict[str, Any], kind: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        kind("bandwidth", **(GIVEN | {"webhook_password": PASSWORD} | given))
    assert_clean(caught.value)


def test_settings_for_a_provider_that_is_built_already_or_not_installed() -> None:
    for provider in (object(), "nobody"):
        with pytest.raises(PluginError) as caught:
            open_provider(provider, GIVEN)
        assert_clean(caught.value)


def odd(value: str) -> str:
    raise LookupError(f"no {value}")


def no_url(value: str) -> str:
    return str(urlsplit(value).port)


@frozen(kw_only=True)
class Converted:
    token: str = field(repr=False)
    secret: str = field(repr=False, converter=odd)
    user_id: str = ""
    url: str = field(default="", converter=no_url)


@frozen(kw_only=True)
class Together:
    token: str = field(repr=False)
    secret: str = field(repr=False)
    user_id: str = ""

    def __attrs_post_init__(self) -> None:
        raise ValueError(f"{self.token} and {self.secret} do not go with {self.user_id}")


@pytest.mark.parametrize("kind", [Converted, Together])
def test_a_settings_class_that_trips_over_what_is_given(kind: Any) -> None:
    given = GIVEN | ({"url": "http://user:hunter2/x@host"} if kind is Converted else {})
    with pytest.raises(SettingsError) as caught:
        Settings(provider="acme", keywords=given, environ={}).read(kind)
    assert_clean(caught.value)
    assert ("they do not go together: t-•••" in str(caught.value)) == (kind is Together)
    assert ("url is malformed (http://host" in str(caught.value)) == (kind is Converted)


def test_a_plugin_that_fails_when_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def confkit_create_provider(settings: Settings) -> object:
        read = settings.read(BandwidthSettings)
        raise RuntimeError(f"no provider today: {read!r}")

    create = hookimpl(_elsewhere(confkit_create_provider))
    monkeypatch.setattr(
        confkit.provider.discovery, "load_module", lambda _: SimpleNamespace(confkit_create_provider=create)
    )
    kinds: tuple[Any, ...] = (AsyncClient, Client)
    for kind in kinds:
        with pytest.raises(RuntimeError, match="no provider today") as caught:
            kind(
                "acme",
                **GIVEN,
                proxy=f"http://{USER}:hunter2@proxy:3128",
                public_url="http://app.example",
                webhook_user=USER,
                webhook_password=PASSWORD,
            )
        assert_clean(caught.value)


def test_the_http_toolkit_with_credentials_that_no_header_can_carry() -> None:
    for auth in (("marked-user", f"{SECRET}\udc80"), f"{TOKEN}\n", f"{TOKEN}é"):
        with pytest.raises(SettingsError, match="no HTTP header can carry") as caught:
            Http("acme", "https://user:hunter2/x@host", auth=auth, errors=ErrorTable(), secrets=(SECRET,))
        assert_clean(caught.value)
        assert len(caught.value.problems) == 2


def test_the_way_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://user:hunter2/x@proxy:3128")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(SettingsError, match="HTTPS_PROXY is malformed") as caught:
        AsyncClient("bandwidth", caller_id=CALLER, user_id="u-1", token=TOKEN, secret=SECRET)
    assert_clean(caught.value)


# --- requests


class Broken(httpx.AsyncBaseTransport):
    """Raises while it has the request in its hands."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await _break(request, request.headers, request.content)


async def _break(request: httpx.Request, headers: httpx.Headers, body: bytes) -> httpx.Response:
    try:
        raise KeyError(str(request.url), dict(headers), body)
    except KeyError as error:
        raise RuntimeError(f"{dict(headers)} {body!r}") from error


_break = _elsewhere(_break)


class Garbled(httpx.AsyncBaseTransport):
    """Repeats the request in what cannot be read."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"marked-path": [request.content.decode(), dict(request.headers)]})


@pytest.fixture
async def made() -> Any:
    providers: list[BandwidthProvider] = []

    def make(transport: httpx.AsyncBaseTransport | None) -> BandwidthProvider:
        settings = BandwidthSettings(**GIVEN, base_url="http://127.0.0.1:9", limits="off")
        providers.append(BandwidthProvider(settings, transport=transport))
        return providers[-1]

    yield make
    for provider in providers:
        await provider.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("transport", "kind"), [(None, Unavailable), (Broken(), OutcomeUnknown), (Garbled(), OutcomeUnknown)]
)
async def test_a_request_that_fails(
    made: Callable[..., BandwidthProvider],
    monkeypatch: pytest.MonkeyPatch,
    transport: httpx.AsyncBaseTransport | None,
    kind: type[ProviderError],
    fast: bool,
) -> None:
    if not fast:
        monkeypatch.setitem(sys.modules, "aiohttp", None)
    provider = made(transport)
    op = Op(key="k", callback_url=HOOK)
    options = {"fallback_url": FALLBACK}
    conference = ConferenceSpec(caller_id=CALLER, provider_options=options)
    call = CallSpec(to=PEOPLE[0], caller_id=CALLER, provider_options=options)
    for work in (
        provider.create_conference(spec=conference, op=op),
        provider.create_call(spec=call, op=op, into=None),
    ):
        with pytest.raises(kind) as caught:
            await work
        assert_clean(caught.value)
    with pytest.raises(Unavailable) as caught:
        await provider._http.read("x", operation="fetch", decode=wanting, query={"key": SECRET})
    assert_clean(caught.value)
    with pytest.raises(ProviderError) as caught:
        await provider._http.request(
            "POST", "x", operation="play", body={"a": SECRET, "b": object()}, timeout=op.timeout
        )
    assert_clean(caught.value)


def wanting(record: Any) -> Any:
    return record["what is not there"]


@pytest.mark.anyio
async def test_a_request_that_is_stopped() -> None:
    class Stopped(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return await _stop(request, request.headers.raw)

    http = Http("acme", "https://api.example", auth=(TOKEN, SECRET), errors=ErrorTable(), transport=Stopped())
    with pytest.raises(KeyboardInterrupt) as caught:
        await http.update("x", operation="hang_up", body={"url": HOOK}, timeout=Op(key="k").timeout)
    assert_clean(caught.value)


async def _stop(request: httpx.Request, headers: list[tuple[bytes, bytes]]) -> httpx.Response:
    raise KeyboardInterrupt(len(str(request.url)), len(headers))


_stop = _elsewhere(_stop)


@pytest.mark.anyio
async def test_secrets_within_what_is_sent_are_sent() -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    http = Http(
        "acme", "https://api.example", auth=Secret(TOKEN), errors=ErrorTable(), transport=httpx.MockTransport(handle)
    )
    timeout = Op(key="k").timeout
    await http.update("x", operation="play", body=Secret({"url": Secret(HOOK), "more": [Secret("é")]}), timeout=timeout)
    await http.request("POST", "x", operation="play", form={"url": Secret(HOOK)}, timeout=timeout)
    await http.read("x", operation="fetch", query={"key": Secret("v 1")}, decode=dict)
    assert json.loads(seen[0].content) == {"url": HOOK, "more": ["é"]}
    assert seen[0].headers["content-type"] == "application/json"
    assert seen[1].content == b"url=https%3A%2F%2Fapp.example%2Fhook%2Fmarked-path%2Ftoken"
    assert seen[2].url.query == b"key=v+1"
    assert seen[2].headers["authorization"] == f"Bearer {TOKEN}"


# --- webhooks


@pytest.mark.anyio
async def test_a_webhook_that_a_plugin_trips_over(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[dict[str, Any]] = []
    trouble: list[BaseException] = []

    def keep(_: object, __: str, event: MutableMapping[str, Any]) -> str:
        found.append(dict(event))
        if (error := sys.exc_info()[1]) is not None and event.get("exc_info"):
            trouble.append(error)
        return ""

    def parse(payload: Mapping[str, Any]) -> Any:
        return [payload["tag"] for _ in range(3)][int(payload["digits"])]

    monkeypatch.setattr("confkit_bandwidth.callbacks.parse", _elsewhere(parse))
    structlog.configure(processors=[keep], logger_factory=structlog.ReturnLoggerFactory())
    settings = BandwidthSettings(**GIVEN, base_url="http://127.0.0.1:9", limits="off")
    body = json.dumps({"from": STRANGER, "digits": "4929123123123", "tag": SECRET}).encode()
    async with AsyncClient(
        BandwidthProvider(settings),
        caller_id=CALLER,
        public_url="http://app.example",
        webhook_user=USER,
        webhook_password=PASSWORD,
    ) as client:
        path = urlsplit(client.incoming_url).path
        headers = {"authorization": f"Basic {basic(USER, PASSWORD)}"}
        reply = await client.receive(WebhookRequest(method="POST", path=path, headers=headers, body=body))
    assert reply.status == 400
    (told,) = [event for event in found if event["event"] == "webhook_unreadable"]
    assert "IndexError at" in told["error"]
    assert "elsewhere.py" in told["error"]
    assert not trouble
    for mark in (*MARKS, STRANGER, "4929123123123"):
        assert mark not in repr(told)


def test_settings_show_themselves_without_what_is_secret() -> None:
    shown = repr(BandwidthSettings(**GIVEN, proxy="http://user:hunter2@proxy:3128", base_url="https://h/x"))
    assert "http://proxy:3128" in shown
    for mark in MARKS:
        assert mark not in shown
    assert repr(HttpSettings()) == "HttpSettings(ca_file=None, proxy=None)"
    assert repr(Secret(SECRET)) == str(Secret(SECRET)) == "•••"
    assert Secret[str](Secret(SECRET)).reveal() == SECRET
    assert not attrs.has(Secret)
