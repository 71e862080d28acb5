"""Every program on the page about webhooks, as it is written there, on a real server, against the simulator."""

from __future__ import annotations

import re
import socket
import sys
import threading
import types
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

import anyio
import anyio.to_thread
import httpx
import pytest
import uvicorn
from confkit_bandwidth.simulator import Running, Simulator

from confkit import AsyncClient, Client, IncomingCall, WebhookRequest
from confkit.ingest.webhooks import LARGEST_QUERY

from .conftest import CALLER, PEOPLE

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs/webhooks.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
EVENT = {"eventType": "incomingcall", "callId": "c-1", "from": "+19195550199", "to": CALLER}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"  # uvicorn's


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    with Simulator().in_thread() as running:
        settings = {
            "BANDWIDTH_USER_ID": running.user_id,
            "BANDWIDTH_API_TOKEN": running.token,
            "BANDWIDTH_API_SECRET": running.secret,
            "BANDWIDTH_BASE_URL": running.base_url,
            "BANDWIDTH_LIMITS": "off",
            "BANDWIDTH_CALLER_ID": CALLER,
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield running


def program(*mentions: str) -> dict[str, Any]:
    """What the blocks that mention these define, run one after the other."""
    names: dict[str, Any] = {}
    for mention in mentions:
        [block] = [block for block in BLOCKS if mention in block]
        exec(compile(block, str(PAGE), "exec"), names)
    return names


def test_every_program_is_run() -> None:
    mentions = ("import Starlette", "import FastAPI", "get_asgi_application", "start_response", "client.incoming()")
    assert sorted(BLOCKS) == sorted(block for mention in mentions for block in BLOCKS if mention in block)


@asynccontextmanager
async def served(application: Any) -> AsyncIterator[httpx.AsyncClient]:
    """As ``uvicorn --lifespan on`` does."""
    server = uvicorn.Server(uvicorn.Config(application, ws="none", lifespan="on", log_config=None))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with anyio.fail_after(30):
                while not server.started and thread.is_alive():  # noqa: ASYNC110 - uvicorn has no event for it
                    await anyio.sleep(0.01)
            assert server.started
            async with httpx.AsyncClient(base_url=url, trust_env=False, verify=False) as http:
                yield http
        finally:
            server.should_exit = True
            await anyio.to_thread.run_sync(thread.join, 30)
            assert not thread.is_alive()


async def receives(client: AsyncClient, http: httpx.AsyncClient) -> None:
    """Real requests over a socket get the receiver's answers."""
    path = urlsplit(client.incoming_url).path
    assert (await http.post(path, json=EVENT)).status_code == 200
    assert (await http.get(path, params=EVENT)).status_code == 200
    assert (await http.post(path, content=b"{")).status_code == 400
    assert (await http.post(f"{path}x", json=EVENT)).status_code == 404
    assert (await http.get("/confkit/nothing")).status_code == 404


@pytest.mark.usefixtures("running")
async def test_starlette() -> None:
    names = program("import Starlette")
    async with served(names["app"]) as http:
        await receives(names["client"], http)


@pytest.mark.usefixtures("running")
async def test_fastapi() -> None:
    names = program("import Starlette", "import FastAPI")
    async with served(names["app"]) as http:
        await receives(names["client"], http)
        assert (await http.get("/openapi.json")).status_code == 200


@contextmanager
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Django site of one async view, which opens a meeting."""
    from django.http import HttpRequest, JsonResponse
    from django.urls import path

    async def meet(_: HttpRequest) -> JsonResponse:
        client = sys.modules["mysite.asgi"].client
        async with client.connect(*PEOPLE[:3]) as meeting:
            return JsonResponse({"states": [person.state.value for person in meeting.participants]})

    urls = types.ModuleType("mysite.urls")
    urls.urlpatterns = [path("meet", meet)]  # type: ignore[attr-defined]
    settings = types.ModuleType("mysite.settings")
    for name, value in {
        "ROOT_URLCONF": "mysite.urls",
        "ALLOWED_HOSTS": ["127.0.0.1"],
        "SECRET_KEY": "of a test",
        "LOGGING_CONFIG": None,
        "USE_TZ": True,
    }.items():
        setattr(settings, name, value)
    for module in (types.ModuleType("mysite"), urls, settings):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    yield


@pytest.mark.usefixtures("running")
async def test_django(monkeypatch: pytest.MonkeyPatch) -> None:
    with site(monkeypatch):
        names = program("get_asgi_application")
        asgi = types.ModuleType("mysite.asgi")
        asgi.client = names["client"]  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "mysite.asgi", asgi)
        async with served(names["application"]) as http:
            await receives(names["client"], http)
            with anyio.fail_after(60):
                assert (await http.get("/meet", timeout=60)).json() == {"states": ["joined"] * 3}
            assert (await http.get("/confkitten")).status_code == 404  # Django's


@pytest.mark.usefixtures("running")
async def test_a_client_that_cannot_be_opened_keeps_django_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    with site(monkeypatch):
        names = program("get_asgi_application")

        class Broken:
            async def __aenter__(self) -> None:
                raise OSError("no")

            async def __aexit__(self, *_: object) -> None:
                pass

        names["client"] = Broken()
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "lifespan.startup"}

        async def send(message: Any) -> None:
            sent.append(message)

        with pytest.raises(OSError, match="no"):
            await names["application"]({"type": "lifespan"}, receive, send)
        assert sent == []  # so the server does not start


@pytest.mark.usefixtures("running")
async def test_wsgi() -> None:
    names = program("start_response")
    client: Client = names["client"]

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    def serve() -> None:
        with client, make_server("127.0.0.1", 0, names["webhooks"], handler_class=Quiet) as server:
            servers.append(server)
            up.set()
            server.serve_forever(poll_interval=0.01)

    servers: list[Any] = []
    up = threading.Event()
    thread = threading.Thread(target=serve)
    thread.start()
    assert await anyio.to_thread.run_sync(up.wait, 30)
    try:
        url = f"http://127.0.0.1:{servers[0].server_port}"
        path = urlsplit(client.incoming_url).path
        async with httpx.AsyncClient(base_url=url, trust_env=False, verify=False) as http:
            assert (await http.post(path, json=EVENT)).status_code == 200
            assert (await http.get(path, params=EVENT)).status_code == 200
            assert (await http.post(path, content=b"{")).status_code == 400
            assert (await http.post("/confkit/nothing", json=EVENT)).status_code == 404
            assert (await http.put(path)).status_code == 405
            assert (await http.get(f"{path}?{'x' * (LARGEST_QUERY + 1)}")).status_code == 414
            assert (await http.post(path, content=b"x" * (WebhookRequest.LARGEST_BODY + 1))).status_code == 413
    finally:
        servers[0].shutdown()
        await anyio.to_thread.run_sync(thread.join, 30)


async def test_calls_that_come_in() -> None:
    answer = program("client.incoming()")["answer"]
    done: list[tuple[str, str]] = []

    class Desk:
        async def incoming(self) -> AsyncIterator[IncomingCall]:
            for caller in ("+19195550101", "+19195550102"):
                yield IncomingCall(provider="p", id=caller, call_id=caller, caller=caller, called=CALLER)

        async def admit(self, call: IncomingCall) -> None:
            done.append(("admitted", call.caller))

        async def reject_call(self, call: IncomingCall) -> None:
            done.append(("rejected", call.caller))

    await answer(Desk(), Desk(), lambda caller: caller.endswith("1"))
    assert done == [("admitted", "+19195550101"), ("rejected", "+19195550102")]
