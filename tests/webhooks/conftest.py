"""A client and a simulated Bandwidth account that call each other without sockets, on whatever clock the test has."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import uvicorn
from attrs import define
from confkit_bandwidth.provider import BandwidthProvider
from confkit_bandwidth.settings import BandwidthSettings
from confkit_bandwidth.simulator import (
    CallbackFaults,
    Running,
    Simulator,
    SimulatorOptions,
    application,
    events,
)
from confkit_bandwidth.simulator.account import Account
from confkit_bandwidth.simulator.delivery import Delivery
from confkit_fake.exchange import Exchange
from starlette.applications import Starlette
from starlette.routing import Mount

from confkit import AsyncClient, Meeting, WebhookReply, WebhookRequest

CALLER = "+12018994444"
HOST = "http://127.0.0.1"
PUBLIC = f"{HOST}/confkit"
PEOPLE = tuple(f"+1919555010{number}" for number in range(5))


@define
class Stage:
    """A client, open, and the account that it telephones through."""

    client: AsyncClient
    account: Account

    @property
    def exchange(self) -> Exchange:
        return self.account.exchange

    def url_of(self, meeting: Meeting, leg: str | None = None) -> str:
        """The callback URL that the platform was given."""
        if leg is None:
            assert meeting.conference is not None
            given = self.account.conferences[meeting.conference.id or ""].callbacks.url
        else:
            given = self.account.calls[meeting.participant(leg).call_id or ""].callbacks.url
        assert given
        return given

    async def post(self, url: str, payload: Any, **headers: str) -> WebhookReply:
        """Deliver a callback to where its URL leads."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return await self.client.receive(
            WebhookRequest(method="POST", path=urlsplit(url).path, headers=headers, body=body)
        )

    async def get(self, url: str, query: Mapping[str, str]) -> WebhookReply:
        return await self.client.receive(WebhookRequest(method="GET", path=urlsplit(url).path, query=query))

    def log(self) -> list[tuple[str, str]]:
        """What became of the callbacks that the platform sent."""
        return [(entry["event"], entry["outcome"]) for entry in self.account.delivery.log]


@asynccontextmanager
async def staged(
    *,
    callbacks: CallbackFaults | None = None,
    public_url: str | None = PUBLIC,
    plugins: tuple[object, ...] = (),
    webhook_user: str | None = None,
    webhook_password: str | None = None,
    limits: str = "off",
    **options: Any,
) -> AsyncIterator[Stage]:
    """Open a client whose provider is the simulator, and whose receiver gets the simulator's callbacks."""
    chosen = SimulatorOptions(callbacks=callbacks or CallbackFaults(), **options)
    async with anyio.create_task_group() as tasks:
        late: dict[str, Any] = {}

        async def receiver(scope: Any, receive: Any, send: Any) -> None:
            await late["client"].webhooks(scope, receive, send)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(receiver)) as http:
            delivery = Delivery(http, tasks, chosen.callbacks, seed=chosen.seed, now=lambda: account.exchange.now())
            account = Account(chosen, base_url=HOST, delivery=delivery, tasks=tasks, observe=events.tell)
            tasks.start_soon(account.keep_up)
            settings = BandwidthSettings(
                user_id=account.user_id,
                token=account.token,
                secret=account.secret,
                base_url=HOST,
                limits=limits,
            )
            provider = BandwidthProvider(settings, transport=httpx.ASGITransport(application(account)))
            client = late["client"] = AsyncClient(
                provider,
                caller_id=CALLER,
                public_url=public_url,
                plugins=plugins,
                webhook_user=webhook_user,
                webhook_password=webhook_password,
            )
            async with client:
                yield Stage(client, account)
            tasks.cancel_scope.cancel()


class _Guest(uvicorn.Server):
    """A server in somebody else's event loop: it leaves the signals alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(application: Any) -> AsyncIterator[str]:
    """Serve an ASGI application on a loopback port, in the running asyncio loop; gives its URL."""
    server = _Guest(uvicorn.Config(application, ws="none", lifespan="off", log_config=None, access_log=False))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            with anyio.fail_after(30):
                while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await anyio.sleep(0.01)
            try:
                yield f"{HOST}:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True


@asynccontextmanager
async def two_servers(
    options: SimulatorOptions, *, prefix: str = "/confkit"
) -> AsyncIterator[tuple[AsyncClient, Running]]:
    """A client whose receiver is mounted in a Starlette application, and a simulator, each on a port of its own."""
    late: dict[str, Any] = {}

    async def receiver(scope: Any, receive: Any, send: Any) -> None:
        await late["client"].webhooks(scope, receive, send)

    application = Starlette(routes=[Mount(prefix or "/", receiver)])
    async with serving(application) as url:
        with Simulator(options).in_thread() as running:
            client = late["client"] = AsyncClient(
                "bandwidth",
                user_id=running.user_id,
                token=running.token,
                secret=running.secret,
                base_url=running.base_url,
                limits="off",
                caller_id=CALLER,
                public_url=url + prefix,
            )
            async with client:
                yield client, running
