"""The client: the door to one provider."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import pluggy

from confkit.client.arguments import incoming_call, refuse_reference
from confkit.client.direct import Direct, run_by_hand
from confkit.client.engine import Engine, EngineOptions
from confkit.client.meeting import ConnectOptions, Meeting
from confkit.ingest.webhooks import Addresses, Receiver
from confkit.models.capabilities import Capabilities
from confkit.models.durations import Duration, duration
from confkit.models.errors import ConfkitError, SettingsError
from confkit.models.events import IncomingCall, WebhookReply, WebhookRequest
from confkit.models.records import Call, Party
from confkit.provider.discovery import open_provider
from confkit.provider.settings import Secret
from confkit.runtime.home import CLOSED
from confkit.steps.executor import Steps
from confkit.workflows.policy import Policy

if TYPE_CHECKING:
    # It loads what else no program needs.
    from anyio.abc import TaskGroup


class AsyncClient:
    """Connects people through one provider; on asyncio and on trio.

    Args:
        provider: the name of an installed provider, or a provider object.
        caller_id: the number that parties see, E.164; ``<PROVIDER>_CALLER_ID`` in the environment by default.
        policy: how many parties make a conference.
        plugins: wrappers and observers to register beside the provider.
        request_timeout: how long one request may take; it never cuts off ringing. A number is seconds.
        show_numbers: write whole numbers into the trace and the log instead of masked ones.
        public_url: where the provider reaches ``webhooks``, such as ``https://app.example.com/confkit``; without it,
            polling serves.
        webhook_user: for basic authentication of the provider, together with ``webhook_password``.
        settings: the provider's own; its page lists them with their environment names.

    Raises:
        ProviderNotFound: no such provider is installed.
        PluginError: the plugin does not fit the contract.
        SettingsError: settings are missing, unknown or malformed.
    """

    def __init__(
        self,
        provider: str | object,
        *,
        caller_id: str | None = None,
        policy: Policy | None = None,
        plugins: Sequence[object] = (),
        request_timeout: Duration = timedelta(seconds=10),
        show_numbers: bool = False,
        public_url: str | None = None,
        webhook_user: str | None = None,
        webhook_password: str | None = None,
        **settings: Any,
    ) -> None:
        given, url, user, password = (
            Secret(settings),
            Secret(public_url),
            Secret(webhook_user),
            Secret(webhook_password),
        )
        del settings, public_url, webhook_user, webhook_password  # a traceback may be shown with its locals
        self._name, self._manager = open_provider(provider, given, plugins=plugins)
        variable = f"{self._name.upper().replace('-', '_')}_CALLER_ID"
        self._caller_id = caller_id or os.environ.get(variable) or None
        self._policy = policy or Policy()
        try:
            self._request_timeout = duration(request_timeout)
        except ValueError as error:
            raise SettingsError("confkit", [f"request_timeout {error}"]) from None
        self._show_numbers = show_numbers
        self._tasks: TaskGroup | None = None
        self._task = 0  # the id of the one that opened it
        self._engine: Engine | None = None
        self._options = EngineOptions()
        self._addresses: Addresses | None = None
        if url.reveal() is not None:
            signed = self.capabilities.signs_webhooks
            self._addresses = Addresses(url, user=user, password=password, signed=signed)
        elif user.reveal() is not None or password.reveal() is not None:
            raise SettingsError("confkit", ["webhook_user and webhook_password are for a public_url"])
        self._receiver = Receiver(self._addresses, self._reachable)
        self._direct = Direct(self._running_steps, self._caller_id)

    @property
    def provider(self) -> Any:
        """The provider object, for what is beyond the contract (the fake's scripts, for one)."""
        return self._manager.get_plugin(self._name)

    @property
    def provider_name(self) -> str:
        """The provider's name."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What the provider can do; known before the client is entered."""
        capabilities: Capabilities = self._manager.hook.capabilities()
        return capabilities

    @property
    def plugin_manager(self) -> pluggy.PluginManager:
        """The manager through which the provider's hooks are called."""
        return self._manager

    def connect(
        self,
        *parties: str | Party,
        caller_id: str | None = None,
        quorum: int = 2,
        answer_timeout: Duration = timedelta(seconds=30),
        expandable: bool = False,
    ) -> Meeting:
        """A meeting of these parties: a conference of three or more, a bridge of fewer.

        Enter it with ``async with``: that checks the policy, dials everyone and returns when all have joined or
        have an outcome. Leaving the block ends the meeting and hangs up.

        Args:
            parties: E.164 numbers, SIP URIs or :class:`Party` objects.
            quorum: how many must join; all of them where there are fewer.
            answer_timeout: how long each phone may ring; a number is seconds.
            expandable: start as a conference even if they are few, so that others can be added on any platform.
        """
        return Meeting(
            self._opened,
            ConnectOptions(
                parties=parties,
                caller_id=caller_id or self._caller_id,
                quorum=quorum,
                answer_timeout=answer_timeout,
                expandable=expandable,
            ),
        )

    @property
    def meetings(self) -> tuple[Meeting, ...]:
        """The meetings that are live, the oldest first: from entering one until its last call has been hung up."""
        engine = self._running
        return tuple(Meeting(engine, None, view) for view in engine.views.values())

    @property
    def direct(self) -> Direct:
        """The provider's operations by hand, one step each: what meetings are made of."""
        return self._direct

    # --- what the provider reports, and who calls in

    @property
    def webhooks(self) -> Receiver:
        """The webhook receiver, an ASGI application: mount it where ``public_url`` leads.

        It may be mounted before the client is open, and must be served in the event loop that the client lives in.
        """
        return self._receiver

    async def receive(self, request: WebhookRequest) -> WebhookReply:
        """Take in one webhook request, for frameworks that are not ASGI; see :meth:`Receiver.receive`.

        Args:
            request: its body need not be read further than its ``LARGEST_BODY`` plus one byte.
        """
        return await self._receiver.receive(request)

    @property
    def incoming_url(self) -> str:
        """The callback URL for the provider's numbers, so that calls to them arrive here.

        Where the provider signs its webhooks (``capabilities.signs_webhooks``) it is ``{public_url}/incoming``.
        Elsewhere it is a secret, and another one for every client.

        Raises:
            ConfkitError: the client has no ``public_url``.
        """
        if self._addresses is None:
            raise ConfkitError("calls can come in where public_url= says how the provider reaches this application")
        return self._addresses.incoming()

    async def incoming(self) -> AsyncGenerator[IncomingCall, None]:
        """Calls that come in, until the client closes; each is given to one consumer.

        Take it with ``meeting.admit(call)`` or refuse it with ``client.reject_call(call)``. 100 wait while nobody
        consumes; more are left to ring.
        """
        with self._running.callers.clone() as callers:
            async for call in callers:
                yield call

    async def reject_call(self, call: IncomingCall | Call) -> None:
        """Refuse a call that has come in; refusing one that has ended succeeds.

        Raises:
            Unsupported: the provider cannot refuse calls.
            InvalidRequest: it is no call of this provider's.
        """
        steps = self._running_steps()
        refuse_reference(steps, "reject_call", "call", call, Call, IncomingCall)
        await run_by_hand(steps, "reject_call", incoming_call(call) if isinstance(call, IncomingCall) else call)

    async def __aenter__(self) -> Self:
        if self._engine is not None:
            self._engine.check()
            raise ConfkitError("this client is open already")
        if self._addresses is None and self.capabilities.needs_webhooks:
            raise ConfkitError(f"{self._name} needs public_url=: it cannot do without reaching this application")
        tasks = anyio.create_task_group()
        await tasks.__aenter__()
        try:
            self._engine = Engine(
                self._name,
                self._manager,
                tasks,
                policy=self._policy,
                request_timeout=self._request_timeout,
                show_numbers=self._show_numbers,
                callbacks_below=self._addresses.below if self._addresses is not None else None,
                options=self._options,
            )
            await self._engine.runtime.open()
        except BaseException:
            tasks.cancel_scope.cancel()
            await tasks.__aexit__(None, None, None)
            raise
        self._task, self._tasks = anyio.get_current_task().id, tasks
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if error is not None and self._engine is not None and self._engine.home.problem() is not None:
            return None  # the error says it, or matters more; whoever opened the client closes it
        engine, tasks = self._running, self._tasks
        assert tasks is not None
        with anyio.CancelScope(shield=True):
            try:
                await engine.aclose()
            finally:
                tasks.cancel_scope.cancel()
        try:
            if anyio.get_current_task().id != self._task:
                # anyio and trio would fail at this with words of their own, trio with its state in disorder.
                raise ConfkitError("everything is ended, but leave a client in the task that has entered it")
            # A task group wraps what passes through it into a group; an error of the block is the block's own.
            if isinstance(error, anyio.get_cancelled_exc_class()):
                return await tasks.__aexit__(kind, error, traceback)
            await tasks.__aexit__(None, None, None)
            return None
        finally:
            self._tasks = None

    @property
    def _opened(self) -> Engine:
        """What runs under the client.

        Raises:
            ConfkitError: it is not open, or not any more.
        """
        if self._engine is None:
            raise ConfkitError("open the client first: async with confkit.AsyncClient(...) as client")
        if self._engine.closing:
            raise ConfkitError(CLOSED)
        return self._engine

    @property
    def _running(self) -> Engine:
        """What runs under the client, to be used now.

        Raises:
            ConfkitError: it is not open, or not here.
        """
        engine = self._opened
        engine.home.check()
        return engine

    def _reachable(self) -> Engine | None:
        """What webhooks are handed to: until the last call has ended, so for as long as the client closes, too."""
        if self._engine is None or self._tasks is None:
            return None
        self._engine.home.check()
        return self._engine

    def _running_steps(self) -> Steps:
        return self._running.steps
