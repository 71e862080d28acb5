"""A provider on the fixture: its hooks, called through pluggy as the core calls them, and what the tests share."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

import anyio
import pytest
from attrs import define, evolve, field

from confkit.client.client import AsyncClient
from confkit.models.addresses import masked
from confkit.models.capabilities import Bridging, Capabilities, ConferenceCreation
from confkit.models.errors import ProviderError, WebhookRejected
from confkit.models.events import Event
from confkit.models.records import (
    Bridge,
    Call,
    CallSpec,
    CallState,
    Conference,
    ConferenceSpec,
    Dialled,
    JoinMethod,
    Member,
    MemberOptions,
    MemberPatch,
    MemberState,
    Op,
    Snapshot,
    with_memory,
)
from confkit.provider.contract import hookimpl
from confkit.provider.discovery import implements
from confkit.testing.conformance import rules
from confkit.testing.conformance.harness import Fault, Harness, Reaction
from confkit.testing.conformance.rules import Rule, broken, check
from confkit.testing.conformance.subject import subject_of

T = TypeVar("T")

#: Where the platform is told to report; nothing is there.
PUBLIC_URL = "http://127.0.0.1:9/confkit"
#: The pauses between two looks at the platform, in seconds.
_LOOK = 0.01
#: Between two attempts to call in, in seconds.
_CALLS = 0.05


@define
class Room:
    """A conference with its members, each on a call to a party."""

    conference: Conference
    addresses: list[str] = field(factory=list)
    calls: list[Call] = field(factory=list)
    members: list[Member] = field(factory=list)


class Overheard:
    """A plugin beside the provider that keeps what passes."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.dialled: list[tuple[Dialled, str | None]] = []
        self.keys: dict[str, str] = {}

    @hookimpl(wrapper=True, specname="events")
    def stream(self) -> Generator[None, AsyncIterator[Event], AsyncIterator[Event]]:
        """Listen to the provider's stream."""
        events = yield
        return self._listening(events)

    async def _listening(self, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
        async for event in events:
            self.events.append(event)
            yield event

    @hookimpl(wrapper=True)
    def create_call(self, op: Op) -> Generator[None, Awaitable[Dialled], Awaitable[Dialled]]:
        """Keep what was dialled."""
        awaitable = yield
        return self._keeping(awaitable, op)

    async def _keeping(self, awaitable: Awaitable[Dialled], op: Op) -> Dialled:
        dialled = await awaitable
        self.dialled.append((dialled, op.callback_url))
        self.keys[dialled.call.id] = op.key
        return dialled


class Fixture:
    """One provider under test.

    Attributes:
        client: an open client on it, for the portable API.
        hook: its hooks, as the core calls them.
        capabilities: what it declares.
        events: what its stream has told so far.
        dialled: what ``create_call`` has given so far, each with the callback URL it was given.
        keys: those with which ``create_call`` made its calls, by the calls' ids.
    """

    def __init__(self, harness: Harness, client: AsyncClient, overheard: Overheard) -> None:
        self.harness = harness
        self.events = overheard.events
        self.dialled = overheard.dialled
        self.keys = overheard.keys
        self.client = client
        self.provider = client.provider
        self.hook = client.plugin_manager.hook
        self.capabilities: Capabilities = client.capabilities
        self._parties = 0

    # Capabilities

    @property
    def explicit(self) -> bool:
        """Whether conferences exist before they have members."""
        return self.capabilities.creation is ConferenceCreation.EXPLICIT

    @property
    def fused(self) -> bool:
        """Whether calls join by themselves."""
        return self.capabilities.join_method is JoinMethod.FUSED

    def implements(self, operation: str) -> bool:
        """Whether the provider has the hook."""
        return implements(self.client.plugin_manager, operation)

    # Calling hooks

    def op(self) -> Op:
        """A new intent."""
        return Op(key=f"c-{uuid.uuid4().hex[:30]}", timeout=timedelta(seconds=self.harness.patience))

    async def ask(self, operation: str, **arguments: Any) -> Any:
        """Call a hook that must succeed."""
        try:
            return await self.attempt(operation, **arguments)
        except ProviderError as error:
            raise broken(rules.WORKS, f"{operation} raised {type(error).__name__}: {error}") from error

    async def refused(self, kind: type[ProviderError], operation: str, /, **arguments: Any) -> ProviderError:
        """Call a hook that must fail; gives the error."""
        return await self.any_of((kind,), operation, **arguments)

    async def any_of(
        self, kinds: tuple[type[ProviderError], ...], operation: str, /, **arguments: Any
    ) -> ProviderError:
        """Call a hook that must fail with one of these errors; gives the error."""
        names = " or ".join(kind.__name__ for kind in kinds)
        try:
            result = await self.attempt(operation, **arguments)
        except kinds as error:
            return error
        except ProviderError as error:
            raise broken(
                rules.MEANING, f"{operation} raised {type(error).__name__} instead of {names}: {error}"
            ) from error
        raise broken(rules.MEANING, f"{operation} gave {type(result).__name__} instead of raising {names}")

    async def attempt(self, operation: str, **arguments: Any) -> Any:
        """Call a hook that may fail with a portable error."""
        if "op" not in arguments and operation not in ("fetch", "list_calls", "find", "receive"):
            arguments["op"] = self.op()
        with anyio.move_on_after(2 * self.harness.patience):
            try:
                return await getattr(self.hook, operation)(**arguments)
            except (ProviderError, WebhookRejected):
                raise
            except Exception as error:
                raise broken(rules.PORTABLE, f"{operation} raised {type(error).__name__}: {error}") from error
        raise broken(rules.PROMPT, f"{operation} had not returned after {2 * self.harness.patience:g} s")

    # Parties, conferences, calls

    def after(self, other: Fixture) -> None:
        """Call other parties than another fixture on the same platform."""
        self._parties = other._parties + 100

    def party(self, reaction: Reaction = Reaction.ANSWERS) -> str:
        """The address of one more party."""
        self._parties += 1
        address = self.harness.address(self._parties)
        if reaction is not Reaction.ANSWERS:
            self.harness.script(address, reaction)
        return address

    async def conference(self) -> Conference:
        """A conference, or a reference to one that its first member will bring about."""
        spec = ConferenceSpec(caller_id=self.harness.caller_id)
        conference: Conference = await self.ask("create_conference", spec=spec)
        return conference

    def spec(self, to: str, *, rings: timedelta = timedelta(seconds=30)) -> CallSpec:
        """A call to a party."""
        return CallSpec(to=to, caller_id=self.harness.caller_id, answer_timeout=rings)

    async def dial(
        self,
        to: str,
        into: Conference | Bridge | None = None,
        *,
        op: Op | None = None,
        rings: timedelta = timedelta(seconds=30),
    ) -> Dialled:
        """Dial a party."""
        arguments: dict[str, Any] = {"op": op} if op else {}
        dialled: Dialled = await self.ask("create_call", spec=self.spec(to, rings=rings), into=into, **arguments)
        return dialled

    async def ring(self, reaction: Reaction = Reaction.NEVER_ANSWERS) -> tuple[str, Call]:
        """A call that rings, in a conference of its own; gives the party's address too."""
        address = self.party(reaction)
        return address, (await self.dial(address, await self.conference())).call

    async def incoming(self) -> tuple[str, Call]:
        """A call that has come in and rings; gives the caller's address too."""
        caller, call_id = self.party(), None
        with anyio.move_on_after(self.harness.patience):
            while (call_id := self.harness.call_in(caller)) is None:  # noqa: ASYNC110 - a platform tells nobody
                await anyio.sleep(_CALLS)
        if call_id is None:
            pytest.fail(f"the harness's call_in had made no call after {self.harness.patience:g} s")
        to, name = self.harness.caller_id, self.client.provider_name
        return caller, Call(provider=name, id=call_id, to=to, caller_id=caller, state=CallState.RINGING)

    async def room(self, size: int = 1) -> Room:
        """A conference with so many members."""
        room = Room(await self.conference())
        for _ in range(size):
            await self.admit(room)
        return room

    async def admit(self, room: Room) -> Member:
        """One more member."""
        address = self.party()
        return await self.let_in(room, address, await self.dial(address, room.conference))

    async def let_in(self, room: Room, address: str, dialled: Dialled) -> Member:
        """A member, of one who has been dialled."""
        room.conference = with_memory(dialled.conference or room.conference, room.conference)
        call = await self.answered(dialled.call)
        if self.fused:
            room.conference = await self.materialised(room.conference)
            member = await self.inside(room.conference, call)
        else:
            member = await self.ask("add_member", conference=room.conference, call=call, options=MemberOptions())
            told = evolve(room.conference, id=member.conference.id)
            room.conference = await self.materialised(evolve(told, data=member.conference.data or told.data))
            member = await self.inside(room.conference, call)
        room.addresses.append(address)
        room.calls.append(call)
        room.members.append(member)
        return member

    async def materialised(self, conference: Conference) -> Conference:
        """The conference with its id, which the platform shows once it exists."""

        async def look() -> Conference | None:
            shown = (await self.fetch(conference)).conference
            return with_memory(shown, conference) if shown is not None and shown.id is not None else None

        return conference if conference.id is not None else await self.until(look, rules.GETS_ITS_ID, "it has none")

    async def fetch(self, ref: Conference | Call | Bridge) -> Snapshot:
        """The platform's account."""
        snapshot: Snapshot = await self.ask("fetch", ref=ref)
        return snapshot

    async def look_at(self, call: Call) -> Call:
        """The platform's account of a call."""
        snapshot = await self.fetch(call)
        shown = next((each for each in snapshot.calls if each.id == call.id), None)
        if shown is None:
            raise broken(rules.SNAPSHOT, "the snapshot of a call does not show it")
        return shown

    async def reached(self, call: Call, state: CallState, rule: Rule) -> Call:
        """The call, once the platform shows it in a state."""
        seen: list[Call] = []

        async def look() -> Call | None:
            seen[:] = [await self.look_at(call)]
            return seen[0] if seen[0].state is state else None

        return await self.until(look, rule, lambda: f"it is shown as {seen[0].state.value}, not {state.value}")

    def is_answered(self, call: Call) -> bool:
        """Whether a call is shown as one that was answered is."""
        untold = not self.capabilities.tells_answers and call.state is CallState.RINGING
        return untold or call.state is CallState.ANSWERED

    async def answered(self, call: Call, rule: Rule = rules.ANSWERED) -> Call:
        """The call, once it is answered."""
        if self.capabilities.tells_answers:
            shown = await self.reached(call, CallState.ANSWERED, rule)
        else:

            async def look() -> bool:
                came_in = call.to == self.harness.caller_id
                return self.harness.answered(call.caller_id if came_in else call.to)

            await self.until(look, rule, "the harness says that it is not")
            shown = evolve(await self.look_at(call), state=CallState.ANSWERED)
        return with_memory(evolve(shown, conference_id=shown.conference_id or call.conference_id), call)

    async def ended(self, call: Call, rule: Rule = rules.HANGS_UP) -> Call:
        """The call, once it is over."""
        return await self.reached(call, CallState.ENDED, rule)

    async def members(self, conference: Conference) -> dict[str, Member]:
        """Who is in the conference now, by call."""
        members = (await self.fetch(conference)).members
        return {member.call_id: member for member in members if member.state is MemberState.JOINED}

    async def inside(self, conference: Conference, call: Call) -> Member:
        """The call's place in the conference, once it has one."""

        async def look() -> Member | None:
            return (await self.members(conference)).get(call.id)

        rule = rules.JOINS_ITSELF if self.fused else rules.JOINS
        return await self.until(look, rule, f"{masked(call.to)} is not shown as a member")

    async def outside(self, conference: Conference, call: Call, rule: Rule) -> None:
        """Wait until the call has no place in the conference."""

        async def look() -> bool:
            return call.id not in await self.members(conference)

        await self.until(look, rule, "it is still shown as a member")

    async def until(self, look: Callable[[], Awaitable[T | None]], rule: Rule, found: str | Callable[[], str]) -> T:
        """Look until there is something to see, or the harness's patience is at its end."""
        with anyio.move_on_after(self.harness.patience):
            while True:
                if seen := await look():
                    return seen
                await anyio.sleep(_LOOK)
        raise broken(rule, found if isinstance(found, str) else found())

    async def pair(self) -> tuple[Bridge, list[Call]]:
        """A bridge with two answered calls on it."""
        if self.capabilities.bridging is Bridging.FIRST:
            bridge: Bridge = await self.ask("create_bridge", calls=())
            calls = [(await self.dial(self.party(), bridge)).call for _ in range(2)]
            return bridge, [await self.answered(call) for call in calls]
        calls = [await self.answered((await self.dial(self.party())).call) for _ in range(2)]
        bridge = await self.ask("create_bridge", calls=tuple(calls))
        return bridge, calls

    async def one_request(self, operation: str, rule: Rule = rules.ONE_REQUEST, /, **arguments: Any) -> Any:
        """Call a hook that must succeed and send one request that changes something, where the platform can."""
        before = self.harness.mutations()
        result = await self.ask(operation, **arguments)
        sent = self.harness.mutations() - before
        compound = not self.capabilities.compound.isdisjoint(_names(operation, arguments))
        check(sent == 1 or (sent > 1 and compound), rule, f"{operation} sent {sent}")
        return result


def _names(operation: str, arguments: Mapping[str, Any]) -> Iterator[str]:
    """An operation as ``compound`` may name it: alone, with the kind of its target, or with what is switched on."""
    yield operation
    flags = ("mute", "hold", "deaf", "coach")
    for value in arguments.values():
        if isinstance(value, Conference | Member | Call | Bridge):
            yield f"{operation}:{type(value).__name__.lower()}"
        elif isinstance(value, MemberOptions | MemberPatch):
            yield from (f"{operation}:{flag}" for flag in flags if getattr(value, flag, None))


@asynccontextmanager
async def on_fixture(
    harness: Harness, fault: Fault | None = None, operation: str = "", **client: Any
) -> AsyncIterator[Fixture]:
    """Open a provider for a test.

    Args:
        fault: what its next request of ``operation`` runs into.
        client: for the client; where the provider needs one, it has a ``public_url``.
    """
    can = subject_of(type(harness)).can
    if can.needs_webhooks or can.needs_public_url_for:
        client.setdefault("public_url", PUBLIC_URL)
    if fault is not None:
        harness.provoke(fault, operation)
    overheard = Overheard()
    plugins = [overheard]
    async with AsyncClient(harness.provider(), caller_id=harness.caller_id, plugins=plugins, **client) as opened:
        yield Fixture(harness, opened, overheard)
