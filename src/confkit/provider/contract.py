"""The provider contract: every operation is a pluggy hook specification.

A provider is an object whose methods carry ``@confkit.provider.hookimpl``; it may subclass :class:`ProviderSpec` so
that a type checker holds it to the signatures. pluggy refuses a misspelt operation or argument when the plugin is
registered. An implementation may take fewer arguments than the specification. An operation that is not implemented is
a missing capability: the core refuses it before the wire and says so.

What the core guarantees on entry:

* addresses are E.164 numbers or SIP URIs; the policy and the provider's maximum hold;
* requests are paced by the published rate classes;
* the same ``op.key`` stands for the same intent, on every re-send; a re-send happens only where it is safe;
* ``op.callback_url`` is where somebody listens for what comes of the operation, on every operation of a meeting: the
  address of the party whose step it is, or of the meeting. A provider may add a query to it;
* the ``data`` that a provider gave with a conference, call, member or bridge comes back with it, unchanged, in every
  later operation on it, from another process too. It is empty where the core has learned of the object elsewhere.

What every implementation guarantees:

* one mutation on the wire per call, and no retry of its own;
* every failure is one of the portable errors of :mod:`confkit.models.errors`; cancellation passes through;
* it returns when the provider has accepted the request; it never waits until a party answers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pluggy

from confkit.models.capabilities import Capabilities
from confkit.models.events import Event, Received, WebhookRequest
from confkit.models.records import (
    Bridge,
    Call,
    CallSpec,
    Conference,
    ConferencePatch,
    ConferenceSpec,
    Dialled,
    FindHint,
    Media,
    Member,
    MemberOptions,
    MemberPatch,
    Op,
    RecordAction,
    Snapshot,
)

if TYPE_CHECKING:
    from confkit.models.trace import StepRecord
    from confkit.provider.settings import Settings

PROJECT = "confkit"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class ModuleSpec:
    """What the module behind a ``confkit`` entry point implements, as plain functions."""

    @hookspec(firstresult=True)
    def confkit_create_provider(self, settings: Settings) -> object:
        """Build the provider; no I/O.

        Raises:
            SettingsError: listing every unknown, missing or malformed setting; never a secret value.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def confkit_capabilities(self) -> Capabilities:
        """What the provider can do with its default settings, for those who look before they have an account.

        Optional; without it nothing is known of the provider before its settings are there.
        """
        raise NotImplementedError

    @hookspec
    def confkit_add_commands(self, app: Any) -> None:
        """Add subcommands to the command line; ``app`` is a ``typer.Typer``."""

    @hookspec(firstresult=True)
    def confkit_demo(self, parties: int, as_json: bool) -> int:
        """Run ``confkit demo --provider NAME``: a meeting that needs no account, from nothing to its end. Optional.

        Args:
            parties: how many people to connect.
            as_json: print one JSON object to stdout and nothing else.

        Returns:
            The exit status.
        """
        raise NotImplementedError


class ProviderSpec:
    """The operations of a provider."""

    # Every provider has these.

    @hookspec(firstresult=True)
    def capabilities(self) -> Capabilities:
        """What this provider can do, with the limits that its settings gave it. Pure and cheap."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    async def create_conference(self, spec: ConferenceSpec, op: Op) -> Conference:
        """Create an empty conference.

        Where the platform makes conferences of itself (``ConferenceCreation`` other than ``EXPLICIT``), send nothing
        and return one without ``id``. ``key`` is ``op.key``. What the spec says and the first dial or join must send
        then goes into ``data``, which comes back with ``into``: a provider object keeps nothing that another one on the
        same platform would miss, because a meeting may go on in another process.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    async def create_call(self, spec: CallSpec, op: Op, into: Conference | Bridge | None) -> Dialled:
        """Dial a party; return when the platform has accepted the call.

        ``into.id`` is ``None`` only for the one call that is let through to bring the conference into being.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    async def end_conference(self, conference: Conference, op: Op) -> None:
        """End a conference for everyone. Ending what has ended, or never came to be, succeeds."""

    @hookspec(firstresult=True)
    async def hang_up(self, call: Call, op: Op) -> None:
        """End a call, ringing or answered. Hanging up what has ended succeeds."""

    @hookspec(firstresult=True)
    async def remove_member(self, member: Member, op: Op) -> None:
        """Take a member out of the conference. Removing who has left succeeds. Whether the call stays up is
        the platform's way; the core hangs it up afterwards where it should not."""

    @hookspec(firstresult=True)
    async def fetch(self, ref: Conference | Call | Bridge) -> Snapshot:
        """The platform's account of a conference with its members and calls, of a call, or of a bridge.

        ``Snapshot.conference.key`` is what the platform itself has written down of our key (a tag, a name, an id that
        we chose), and empty where it keeps none; never a copy of ``ref.key``. By it a conference that shows itself is
        proven to be ours before it is ended.
        """
        raise NotImplementedError

    # Where the platform needs or has them.

    @hookspec(firstresult=True)
    async def add_member(self, conference: Conference, call: Call, options: MemberOptions, op: Op) -> Member:
        """Put an answered call into a conference (``JoinMethod.EXPLICIT``).

        Raises:
            NotReady: the platform does not see the answer yet.
            Conflict: the conference is over, or the call is.
            CapacityReached: the conference is full.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    async def update_member(self, member: Member, patch: MemberPatch, op: Op) -> None:
        """Mute, hold, deafen or coach one member."""

    @hookspec(firstresult=True)
    async def update_conference(self, conference: Conference, patch: ConferencePatch, op: Op) -> None:
        """Mute or hold everyone."""

    @hookspec(firstresult=True)
    async def create_bridge(self, calls: tuple[Call, ...], op: Op) -> Bridge:
        """Connect two answered calls (``Bridging.AFTER``), or make an empty bridge into which calls are then
        dialled (``Bridging.FIRST``; ``calls`` is empty)."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    async def end_bridge(self, bridge: Bridge, op: Op) -> None:
        """Take a bridge down; its calls stay up. Ending what has ended succeeds. Not there where a bridge ends with its
        calls (``BridgeEnds.WITH_ITS_CALLS``)."""

    @hookspec(firstresult=True)
    async def play(self, target: Conference | Member | Call | Bridge, media: Media, op: Op) -> None:
        """Play a file or speak a text; ``STOP`` stops what plays, and succeeds when nothing does."""

    @hookspec(firstresult=True)
    async def record(self, target: Conference | Call | Bridge, action: RecordAction, op: Op) -> None:
        """Start, pause, go on with or stop a recording; going on with one that runs succeeds."""

    @hookspec(firstresult=True)
    async def send_digits(self, call: Call, digits: str, op: Op) -> None:
        """Send DTMF to a party."""

    @hookspec(firstresult=True)
    async def transfer(self, call: Call, to: str, caller_id: str, op: Op) -> Call:
        """Hand an answered call over to another address; gives the new call."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    async def answer_call(self, call: Call, into: Conference | Bridge | None, op: Op) -> Dialled:
        """Answer an incoming call; as for ``create_call``, the result says how it gets into ``into``.

        Where the platform takes it from the reply to the webhook that told of the call, give that with
        :func:`confkit.provider.give_reply`; see ``Received.decided_within``.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    async def reject_call(self, call: Call, op: Op) -> None:
        """Refuse an incoming call. Refusing what has ended succeeds. As for ``answer_call``, it may be done in the
        reply to the webhook."""

    @hookspec(firstresult=True)
    async def list_calls(self, into: Conference | Bridge) -> tuple[Call, ...]:
        """The calls dialled into a conference or bridge, ended ones included, in one request: the poll."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    async def find(self, op_key: str, hint: FindHint) -> tuple[Call | Member | Conference | Bridge, ...]:
        """What a lost request did create. Reads only.

        An empty result means that the request was *certainly not executed*, and lets the core send it again. A list
        that forgets what has ended cannot say so of a call to somebody who was busy, or who answered and hung up. Where
        the platform keeps no key of ours, ``hint.since`` tells an earlier call to the same party from the lost one.

        Raises:
            OutcomeUnknown: nothing shows, and that proves nothing.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    async def receive(self, request: WebhookRequest) -> Received:
        """Verify a webhook request, then parse it; both without side effects.

        How old a signed request is, is measured by ``request.at``. The reply that is given reaches the platform as it
        is. Where the signature proves that a request is the platform's own, ``Capabilities.signs_webhooks`` says so.

        Raises:
            WebhookRejected: it is not the platform's, or it cannot be read.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def events(self) -> AsyncIterator[Event]:
        """A stream of facts, for platforms that push over a socket. Reconnecting is the provider's work; what
        may have been missed meanwhile is fetched by the core, which is told by ending the iteration."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    async def aclose(self) -> None:
        """Release connections. Called once, last."""

    # Observers: any plugin may have these; they are called in turn and must not block. One that raises is logged
    # and changes nothing.

    @hookspec
    def meeting_started(self, meeting: str) -> None:
        """A meeting with this id passed the policy; its first step is next."""

    @hookspec
    def meeting_ended(self, meeting: str, reason: str) -> None:
        """A meeting is over and undone; ``reason`` is the value of an ``EndReason``."""

    @hookspec
    def step_started(self, step: StepRecord) -> None:
        """A step begins; its outcome is not known yet."""

    @hookspec
    def step_finished(self, step: StepRecord) -> None:
        """A step is done, with its outcome, duration and number of attempts."""

    @hookspec
    def meeting_event(self, meeting: str, event: Event) -> None:
        """A normalised event reached the meeting with this id."""


REQUIRED = (
    "capabilities",
    "create_conference",
    "create_call",
    "end_conference",
    "hang_up",
    "remove_member",
    "fetch",
)
