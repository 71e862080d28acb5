"""Nothing marked comes out of meetings on Bandwidth: over HTTP against the simulator, and against a platform that
repeats everything it was told."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import structlog
from confkit_bandwidth.provider import BandwidthProvider
from confkit_bandwidth.settings import BandwidthSettings
from confkit_bandwidth.simulator import Fault, Running, Simulator, SimulatorOptions

from confkit import AsyncClient, SettingsError
from confkit.cli.app import run

from .everything import by_hand, by_mistake, deliver, meet, show_client
from .marks import CALLER, LATER, PASSWORD, PEOPLE, SECRET, STRANGER, TOKEN, USER, Observer, Seen, basic

FAULTS: tuple[tuple[str, ...], ...] = (
    (),
    ("create_conference=500",),
    ("create_conference=garbled",),
    ("create_call=html:1",),
    ("create_call=invalid-call-to-number",),
    ("add_member=drop-reply:1",),
    ("add_member=conference-max-members",),
    ("create_bridge=refuse:1", "hang_up=call-not-found"),
    ("*=user-access-denied",),
)


def serve(stack: ExitStack, seen: Seen, faults: tuple[str, ...] = ()) -> Running:
    """A simulator, whose credentials are marked."""
    options = SimulatorOptions(faults=tuple(Fault.parse(fault) for fault in faults))
    running = stack.enter_context(Simulator(options).in_thread())
    seen.secrets += [running.token, running.secret, basic(running.token, running.secret)]
    return running


def opened(running: Running, seen: Seen, **given: Any) -> AsyncClient:
    settings = {name: getattr(running, name) for name in ("user_id", "token", "secret", "base_url")} | given
    return AsyncClient("bandwidth", caller_id=CALLER, plugins=[Observer(seen)], limits="off", **settings)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"], scope="module")
async def test_nothing_marked_comes_out_over_http(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen = Seen()
    with ExitStack() as stack:

        async def scenario(running: Running, by_hand_too: bool, **given: Any) -> None:
            async with opened(running, seen, **given) as client:
                show_client(client, seen)
                await meet(client, seen)
                if by_hand_too:
                    await by_hand(client, seen)

        async def unhappy(running: Running) -> None:
            running.party(PEOPLE[0]).busy()
            running.party(PEOPLE[2]).rejects()
            async with opened(running, seen) as client:
                await by_mistake(client, seen)
                await meet(client, seen, quorum=3, answer_timeout=timedelta(seconds=2))

        async with anyio.create_task_group() as tasks:
            for faults in FAULTS:
                # Where requests are sent again and again, one meeting takes long enough.
                tasks.start_soon(scenario, serve(stack, seen, faults), not faults)
            tasks.start_soon(unhappy, serve(stack, seen))
            strict = serve(stack, seen)
            for wrong in ({"secret": SECRET}, {"token": TOKEN}, {"user_id": "u-other"}):
                tasks.start_soon(lambda wrong: scenario(strict, True, **wrong), wrong)
            tasks.start_soon(lambda: scenario(strict, False, base_url="http://127.0.0.1:1"))
    seen.logs((), caplog.records)
    seen.assert_clean()
    assert {"create_call", "add_member", "transfer", "play", "add"} <= seen.done
    assert {"Unauthenticated", "OutcomeUnknown", "Unavailable", "InvalidRequest"} <= set(seen.errors)


class Echo(httpx.AsyncBaseTransport):
    """A platform that repeats everything it was told in everything it says."""

    def __init__(self, status: int, code: str | None, seen: Seen) -> None:
        self._status, self._code, self._seen = status, code, seen

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = request.content.decode()
        url = json.loads(body).get("callbackUrl", "") if body else ""
        self._seen.secrets += [part for part in url.split("/") if len(part) == 22]
        told = f"{url} {CALLER} {TOKEN}:{SECRET} {request.headers['authorization']} {body}"
        said = {"message": told, "code": self._code or told, "details": [{"name": told, "value": told}]}
        headers = {"location": f"http://{USER}:{PASSWORD.replace(' ', '+')}@127.0.0.1/{CALLER}/r-1"}
        return httpx.Response(self._status, json=said, headers=headers)


@pytest.mark.anyio
@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (200, None),
        (302, None),
        (400, None),
        (401, None),
        (409, None),
        (500, None),
        (503, "call-unavailable"),
    ],
)
async def test_what_the_platform_repeats_is_not_passed_on(
    status: int, code: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen = Seen()
    given = BandwidthSettings(
        user_id="u-1", token=TOKEN, secret=SECRET, base_url="http://127.0.0.1:9", limits="off", calls_limit=1000
    )
    provider = BandwidthProvider(given, transport=Echo(status, code, seen))
    captured = structlog.testing.LogCapture()
    structlog.configure(processors=[captured])
    async with AsyncClient(
        provider,
        caller_id=CALLER,
        plugins=[Observer(seen)],
        public_url="http://127.0.0.1:9/hooks",
        webhook_user=USER,
        webhook_password=PASSWORD,
    ) as client:
        show_client(client, seen)
        await meet(client, seen)
        await by_hand(client, seen)
        await deliver(client, seen, client.incoming_url)
    seen.logs(captured.entries, caplog.records)
    seen.assert_clean()
    assert len(seen.errors) > 10
    assert seen.secrets


@pytest.mark.parametrize(
    "given",
    [
        {"token": f"{TOKEN}\n\0", "secret": f"\0{SECRET}\0x"},
        {"token": f"{TOKEN}:x", "secret": ""},
        {"base_url": f"http://{TOKEN}:{SECRET}@127.0.0.1"},
        {"base_url": f"http://127.0.0.1/?token={TOKEN}"},
        {"odd": SECRET, "secret": None},
        {"public_url": f"http://{USER}:{SECRET}@127.0.0.1"},
        {"webhook_user": USER, "webhook_password": PASSWORD},
        {"public_url": "odd", "webhook_user": f"{SECRET}:", "webhook_password": PASSWORD},
    ],
)
def test_malformed_settings_are_named_but_not_shown(given: dict[str, Any]) -> None:
    seen = Seen()
    settings = {"user_id": "u-1", "token": TOKEN, "secret": SECRET} | given
    with pytest.raises(SettingsError) as raised:
        AsyncClient("bandwidth", caller_id=CALLER, **settings)
    seen.error("settings", raised.value)
    seen.assert_clean()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Running], None]]:
    """Sets the environment as an application has it that uses this simulator."""

    def set_up(running: Running) -> None:
        for name, value in (
            ("BANDWIDTH_USER_ID", running.user_id),
            ("BANDWIDTH_API_TOKEN", running.token),
            ("BANDWIDTH_API_SECRET", running.secret),
            ("BANDWIDTH_BASE_URL", running.base_url),
            ("BANDWIDTH_LIMITS", "off"),
            ("BANDWIDTH_CALLER_ID", CALLER),
            ("COLUMNS", "300"),
        ):
            monkeypatch.setenv(name, value)

    yield set_up
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("faults", "debug"),
    [((), True), ((), False), (("*=user-access-denied",), True), (("create_call=html:1",), False)],
)
def test_the_command_line_shows_nothing_marked(
    faults: tuple[str, ...],
    debug: bool,
    environment: Callable[[Running], None],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    seen = Seen()
    with ExitStack() as stack:
        environment(serve(stack, seen, faults))
        diagram = tmp_path / "meeting.mmd"
        for parties in ((*PEOPLE, LATER), (*PEOPLE, STRANGER[1:])):
            head = ("--debug",) if debug else ()
            run((*head, "connect", "--provider", "bandwidth", *parties, "--json", "--mermaid", str(diagram)))
            captured = capsys.readouterr()
            report = json.loads(captured.out)
            for person in report.get("participants", ()):
                del person["party"]  # the application's own address, as it gave it
            seen.text("stdout", json.dumps(report, ensure_ascii=False))
            seen.text("stderr", captured.err)
            seen.text("mermaid", diagram.read_text())
    seen.assert_clean()
