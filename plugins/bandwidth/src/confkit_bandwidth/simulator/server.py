"""The simulator as a server on a loopback port, inside the running event loop or in a thread of its own."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar

import anyio
import anyio.abc
import anyio.from_thread
import anyio.lowlevel
import uvicorn
from attrs import evolve, frozen
from confkit_fake.exchange import Exchange, PartyScript
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from confkit_bandwidth.simulator import events
from confkit_bandwidth.simulator.account import Account
from confkit_bandwidth.simulator.api import Api, not_found
from confkit_bandwidth.simulator.control import Control, Guard, state
from confkit_bandwidth.simulator.delivery import Delivery, callback_client
from confkit_bandwidth.simulator.options import SimulatorOptions

HOST: Final = "127.0.0.1"
_T = TypeVar("_T")


def _directly(function: Callable[[], Any]) -> Any:
    return function()


@frozen(kw_only=True)
class Running:
    """A simulator that serves.

    Args:
        base_url: without a slash at the end; what an SDK takes as its endpoint.
    """

    base_url: str
    user_id: str
    token: str
    secret: str
    account: Account
    call: Callable[[Callable[[], Any]], Any] = _directly

    @property
    def exchange(self) -> Exchange:
        """The telephone exchange; it belongs to the server's event loop (see :meth:`run`)."""
        return self.account.exchange

    def run(self, function: Callable[[Exchange], _T]) -> _T:
        """Do something with the exchange, from any thread."""

        def in_loop() -> _T:
            result = function(self.exchange)
            self.account.catch_up()
            return result

        result: _T = self.call(in_loop)
        return result

    def state(self) -> dict[str, Any]:
        """What really happened; the same as ``GET /_simulator/state``, from any thread."""
        result: dict[str, Any] = self.call(lambda: state(self.account))
        return result

    def party(self, address: str) -> PartyScript:
        """The script of a party, to be changed before it is called."""
        return self.run(lambda exchange: exchange.party(address))


class Simulator:
    """One simulated Bandwidth account, to be served.

    ``async with Simulator(options).serve() as running`` serves inside the running asyncio loop;
    ``with Simulator(options).in_thread() as running`` serves beside any program, whatever loop it has.
    """

    def __init__(self, options: SimulatorOptions | None = None) -> None:
        self.options = options or SimulatorOptions()

    @asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[Running]:
        """Serve on a loopback port; everything has ended when the context is left.

        Args:
            port: 0 lets the system choose.

        Raises:
            OSError: the port is taken.
            RuntimeError: the running event loop is not asyncio's.
        """
        if not anyio.get_cancelled_exc_class().__module__.startswith("asyncio"):
            raise RuntimeError("the simulator's server needs asyncio; here, run it by Simulator.in_thread()")
        # With the protocol named, asyncio switches Nagle's algorithm off; else replies come 40 ms late.
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, port))
            base_url = f"http://{HOST}:{listener.getsockname()[1]}"
            async with callback_client() as http, anyio.create_task_group() as tasks:
                delivery = Delivery(
                    http,
                    tasks,
                    self.options.callbacks,
                    seed=self.options.seed,
                    now=lambda: account.exchange.now(),
                )
                account = Account(self.options, base_url=base_url, delivery=delivery, tasks=tasks, observe=events.tell)
                stopping = anyio.Event()
                server = _Server(application(account, stopping))
                await tasks.start(server.run_on, listener)
                tasks.start_soon(account.keep_up)
                try:
                    yield Running(
                        base_url=base_url,
                        user_id=account.user_id,
                        token=account.token,
                        secret=account.secret,
                        account=account,
                    )
                finally:
                    stopping.set()
                    tasks.cancel_scope.cancel()

    @contextmanager
    def in_thread(self, port: int = 0) -> Iterator[Running]:
        """Serve from a thread of its own; as for :meth:`serve`."""
        with (
            anyio.from_thread.start_blocking_portal("asyncio", name="confkit-bandwidth-simulator") as portal,
            portal.wrap_async_context_manager(self.serve(port)) as running,
        ):
            yield evolve(running, call=portal.call)


def application(account: Account, stopping: anyio.Event | None = None) -> Starlette:
    """The simulator's ASGI application.

    Args:
        stopping: set it so that requests that wait on purpose give up.
    """
    control = Control(account)

    def elsewhere(request: Request, _: Exception) -> Response:
        return not_found(request.scope)

    app = Starlette(
        routes=[
            Mount(
                "/_simulator",
                routes=[
                    Route("/state", control.state, methods=["GET"]),
                    Route("/parties", control.parties, methods=["POST"]),
                    Route("/faults", control.faults, methods=["POST"]),
                    Route("/incoming", control.incoming, methods=["POST"]),
                ],
                middleware=[Middleware(Guard)],
            ),
            Mount("/v1", Api(account, stopping or anyio.Event())),
        ],
        exception_handlers={404: elsewhere, 405: elsewhere},
    )
    app.router.redirect_slashes = False
    return app


class Protocol(H11Protocol):
    """HTTP whose applications can reach the connection, to close it without a reply."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app_state = {"transport": transport}


class _Server(uvicorn.Server):
    """uvicorn as a guest: it installs no signal handlers, and stops with the task it runs in."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=75,
            )
        )

    async def run_on(
        self, listener: socket.socket, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve connections to a bound socket until cancelled."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.on_tick(0)
        await self.startup(sockets=[listener])
        task_status.started()
        try:
            while True:
                await anyio.sleep(1)
                await self.on_tick(0)  # the Date header
        finally:
            with anyio.CancelScope(shield=True):
                await self._stop()

    async def _stop(self) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        for task in tuple(self.server_state.tasks):
            await task
        await anyio.lowlevel.checkpoint()  # the connections notice that they are lost
        for server in self.servers:
            await server.wait_closed()
