"""The portable operations, typed: what a meeting is made of, for those who want to do it by hand.

Each is one step: checked against the provider's capabilities, paced, retried where that is safe, traced.

    conference = await client.direct.create_conference()
    dialled = await client.direct.create_call("+19195550101", into=conference)
    member = await client.direct.join(dialled, conference)
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from itertools import chain, repeat
from typing import Any

import anyio
from attrs import evolve

from confkit.client.arguments import (
    Target,
    caller,
    file,
    options_of,
    parts_of,
    refuse_media,
    refuse_patch,
    refuse_recording,
    refuse_reference,
    refuse_type,
    ringing,
    spoken,
    target_word,
    within,
)
from confkit.client.rooms import Rooms
from confkit.models.addresses import masked, problem_with
from confkit.models.durations import Duration
from confkit.models.errors import Conflict, NotFound, NotReady, PolicyError, ProviderError
from confkit.models.records import (
    STOP,
    Bridge,
    Call,
    CallSpec,
    CallState,
    Conference,
    ConferencePatch,
    ConferenceSpec,
    Dialled,
    JoinMethod,
    Media,
    Member,
    MemberOptions,
    MemberPatch,
    Membership,
    MemberState,
    Party,
    RecordAction,
    Snapshot,
    with_memory,
)
from confkit.steps.executor import StepRequest, Steps
from confkit.workflows.leg import JOINING
from confkit.workflows.policy import party_of

#: How the pauses between two looks at one call grow, in seconds.
LOOKS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)


class Direct:
    """A provider's operations, one step each. It is ``client.direct``.

    They give what the platform said. All raise the portable :class:`confkit.ProviderError` that fits;
    :class:`confkit.Unsupported` before anything is sent where the provider lacks the capability, and
    :class:`confkit.provider.InvalidRequest` where an argument is not what the operation takes: an id instead of an
    object, or another provider's object.

    Where a conference only comes into being with its first call, the record that ``create_conference`` gave has no id
    and stays good all the same: the id that the platform tells later is taken in its place.

    Nothing is undone by itself: end what you have created.

    Args:
        steps: gives what carries steps out, or raises :class:`confkit.ConfkitError` where the client is not open here.
        caller_id: the number that parties see, where a call names none.
    """

    def __init__(self, steps: Callable[[], Steps], caller_id: str | None) -> None:
        self._open = steps
        self._caller_id = caller_id
        self._rooms = Rooms()

    async def create_conference(
        self, *, caller_id: str | None = None, provider_options: Mapping[str, Any] | None = None
    ) -> Conference:
        """Create an empty conference.

        Args:
            caller_id: the number that hosts it; the client's by default.

        Raises:
            PolicyError: no caller ID, or a malformed one.
        """
        spec = ConferenceSpec(
            caller_id=caller(caller_id or self._caller_id),
            provider_options=options_of("create_conference", provider_options),
        )
        result: Conference = await self._do("create_conference", spec)
        return result

    async def create_call(
        self,
        to: str | Party,
        *,
        into: Conference | Bridge | None = None,
        caller_id: str | None = None,
        answer_timeout: Duration = timedelta(seconds=30),
        provider_options: Mapping[str, Any] | None = None,
    ) -> Dialled:
        """Dial a party; returns when the provider has accepted the call, before anybody answers.

        Gives the call, and how it gets into ``into``: hand both to ``join``.

        Args:
            into: the conference or bridge that the call is for.
            answer_timeout: how long the phone may ring; a number is seconds.

        Raises:
            PolicyError: an address that cannot be dialled, no caller ID, no duration.
            OutcomeUnknown: the phone may be ringing; the call was looked up and not found.
        """
        address = party_of(to, "to").address
        if problem := problem_with(address):
            raise PolicyError([problem])
        spec = CallSpec(
            to=address,
            caller_id=caller(caller_id or self._caller_id),
            answer_timeout=ringing(answer_timeout, self._steps.capabilities),
            join_method=self._steps.capabilities.join_method,
            provider_options=options_of("create_call", provider_options),
        )
        if into is not None:
            self._expect("create_call", "into", into, Conference, Bridge)
        dialled: Dialled = await self._do("create_call", spec, into, caller_id=spec.caller_id)
        return dialled

    async def until_answered(self, call: Call, *, timeout: Duration = timedelta(seconds=60)) -> Call:
        """Wait until a call is answered, looking at it from time to time.

        Args:
            timeout: how long; a number is seconds.

        Raises:
            Conflict: the call ended without an answer.
            NotReady: it still rings when the time is up.
        """
        self._expect("until_answered", "call", call, Call)
        patience = within("timeout", timeout).total_seconds()
        with anyio.move_on_after(patience):
            for pause in _pauses():
                snapshot = await self.fetch(call)
                call = _shown(call, snapshot)
                if call.state is CallState.ANSWERED:
                    return call
                if call.state is CallState.ENDED:
                    cause = call.cause.value if call.cause else "unknown cause"
                    raise _refusal(Conflict, f"the call ended before it was answered: {cause}", call, "until_answered")
                await anyio.sleep(pause)
        raise _refusal(NotReady, f"nobody answered within {patience:g} s", call, "until_answered")

    async def join(
        self, call: Dialled | Call, conference: Conference, *, answer_timeout: Duration = timedelta(seconds=60)
    ) -> Member:
        """Get a call into a conference, the way that the platform has; waits until it is answered first.

        Where a call joins by having been dialled in, nothing is sent; with settings, take ``add_member`` instead.

        Args:
            call: what ``create_call`` gave; a call alone joins as the provider's calls do.
            answer_timeout: how long to wait for the answer; a number is seconds.

        Raises:
            Conflict: the call or the conference is over.
            NotReady: nobody answered in time, or the platform does not confirm that the call is in.
            CapacityReached: the conference is full.
            ProviderError: all of them say in ``left_behind`` where the call may still be up.
        """
        if isinstance(call, Dialled):
            one, joins_itself = call.call, call.membership in (Membership.FUSED, Membership.ON_ANSWER)
        else:
            one, joins_itself = call, self._steps.capabilities.join_method is JoinMethod.FUSED
        self._expect("join", "call", one, Call)
        self._expect("join", "conference", conference, Conference)
        patience = within("answer_timeout", answer_timeout)
        if not joins_itself:
            self._steps.require("add_member")
        try:
            if joins_itself:
                return await _until_let_in(self, self._rooms, one, conference, patience)
            member = await self.add_member(conference, one, answer_timeout=patience)
            if member.state is MemberState.JOINING:  # the reply was a promise
                member = await _until_in(self, self._rooms, one, conference, JOINING)
            return member
        except ProviderError as error:
            if not (isinstance(error, Conflict) and error.operation in ("until_answered", "join")):
                error.left_behind = (f"the call to {masked(one.to) or one.id} may still be up",)
            raise

    async def add_member(
        self,
        conference: Conference,
        call: Call,
        *,
        mute: bool = False,
        hold: bool = False,
        answer_timeout: Duration = timedelta(seconds=60),
        provider_options: Mapping[str, Any] | None = None,
    ) -> Member:
        """Put a call into a conference, where calls are added (``join`` is for all); waits until it is answered first.

        Args:
            answer_timeout: how long to wait for that; a number is seconds.

        Raises:
            Conflict: the call or the conference is over.
            NotReady: nobody answered in time.
            CapacityReached: the conference is full.
        """
        self._steps.require("add_member")
        self._expect("add_member", "conference", conference, Conference)
        self._expect("add_member", "call", call, Call)
        refuse_type("add_member", bool, mute=mute, hold=hold)
        patience = within("answer_timeout", answer_timeout)
        options = MemberOptions(mute=mute, hold=hold, provider_options=options_of("add_member", provider_options))
        if not self._steps.capabilities.tells_answers:
            return await _once_ready(self, conference, call, options, patience)
        if call.state is not CallState.ANSWERED:
            call = await self.until_answered(call, timeout=patience)
        member: Member = await self._do("add_member", conference, call, options)
        return member

    async def update_member(
        self,
        member: Member,
        *,
        mute: bool | None = None,
        hold: bool | None = None,
        deaf: bool | None = None,
        coach: str | None = None,
    ) -> None:
        """Mute, hold, deafen or coach a member; ``None`` leaves a setting as it is.

        With ``Patches.SINGLE`` each is a step of its own; when one fails, those before it stand.
        """
        self._expect("update_member", "member", member, Member)
        refuse_type("update_member", bool | None, mute=mute, hold=hold, deaf=deaf)
        refuse_type("update_member", str | None, coach=coach)
        patch = MemberPatch(mute=mute, hold=hold, deaf=deaf, coach=coach)
        refuse_patch(self._steps.capabilities, patch)
        for part in parts_of(self._steps.capabilities, patch):
            await self._do("update_member", member, part)

    async def remove_member(self, member: Member) -> None:
        """Take a member out of its conference; whether its call stays up is the provider's way."""
        self._expect("remove_member", "member", member, Member)
        await self._do("remove_member", member)

    async def update_conference(
        self, conference: Conference, *, mute: bool | None = None, hold: bool | None = None
    ) -> None:
        """Mute or hold everyone in a conference; several settings are as those of ``update_member``."""
        self._expect("update_conference", "conference", conference, Conference)
        refuse_type("update_conference", bool | None, mute=mute, hold=hold)
        for part in parts_of(self._steps.capabilities, ConferencePatch(mute=mute, hold=hold)):
            await self._do("update_conference", conference, part)

    async def end_conference(self, conference: Conference) -> None:
        """End a conference; ending one that has ended succeeds."""
        self._expect("end_conference", "conference", conference, Conference)
        await self._do("end_conference", conference)
        self._rooms.forget(conference)

    async def hang_up(self, call: Call) -> None:
        """End a call; hanging up one that has ended succeeds."""
        self._expect("hang_up", "call", call, Call)
        await self._do("hang_up", call)

    async def create_bridge(self, *calls: Call) -> Bridge:
        """Connect two answered calls; or, without calls, an empty bridge to dial into, where there is such."""
        for number, call in enumerate(calls, 1):
            self._expect("create_bridge", f"call {number}", call, Call)
        bridge: Bridge = await self._do("create_bridge", calls)
        return bridge

    async def end_bridge(self, bridge: Bridge) -> None:
        """Take a bridge down; its calls stay up."""
        self._expect("end_bridge", "bridge", bridge, Bridge)
        await self._do("end_bridge", bridge)

    async def play(self, target: Target, url: str, *, loop: bool = False) -> None:
        """Play a file to a conference, a member, a call or a bridge."""
        await self._play("play", target, file(url, loop=loop))

    async def say(self, target: Target, text: str, *, voice: str | None = None, locale: str | None = None) -> None:
        """Speak a text to a conference, a member, a call or a bridge."""
        await self._play("say", target, spoken(text, voice=voice, locale=locale))

    async def stop_playing(self, target: Target) -> None:
        """Stop what is playing; succeeds when nothing is."""
        await self._play("stop_playing", target, STOP)

    async def record(self, target: Conference | Call | Bridge, action: RecordAction) -> None:
        """Start, pause, resume or stop a recording."""
        self._expect("record", "target", target, Conference, Call, Bridge)
        refuse_type("record", RecordAction, action=action)
        refuse_recording(self._steps.capabilities, target_word(target), action)
        await self._do("record", target, action)

    async def send_digits(self, call: Call, digits: str) -> None:
        """Send DTMF to a party."""
        self._expect("send_digits", "call", call, Call)
        refuse_type("send_digits", str, digits=digits)
        await self._do("send_digits", call, digits)

    async def transfer(self, call: Call, to: str, *, caller_id: str | None = None) -> Call:
        """Hand an answered call over to another address; gives the new call."""
        self._expect("transfer", "call", call, Call)
        refuse_type("transfer", str, to=to)
        if problem := problem_with(to):
            raise PolicyError([problem])
        result: Call = await self._do("transfer", call, to, caller(caller_id or self._caller_id))
        return result

    async def fetch(self, ref: Conference | Call | Bridge) -> Snapshot:
        """The provider's own account of a conference, a call or a bridge."""
        self._expect("fetch", "ref", ref, Conference, Call, Bridge)
        result: Snapshot = await self._steps.read(
            "fetch", ref=self._rooms.now(ref) if isinstance(ref, Conference) else ref
        )
        return result

    # --- inside

    @property
    def _steps(self) -> Steps:
        return self._open()

    async def _play(self, operation: str, target: Target, media: Media) -> None:
        self._expect(operation, "target", target, Conference, Member, Call, Bridge)
        refuse_media(self._steps.capabilities, target_word(target), media)
        await self._do("play", target, media)

    async def _do(self, operation: str, *arguments: Any, caller_id: str | None = None) -> Any:
        steps = self._steps
        given = next((each for each in arguments if isinstance(each, Conference)), None)
        if given is None:
            return await run_by_hand(steps, operation, *arguments, caller_id=caller_id)
        makes_rooms = "create_call" if steps.capabilities.join_method is JoinMethod.FUSED else "add_member"
        async with self._rooms.turn(given, makes_it=operation == makes_rooms) as now:
            arguments = tuple(now if each is given else each for each in arguments)
            result = await run_by_hand(steps, operation, *arguments, caller_id=caller_id)
            match result:
                case Dialled(conference=Conference() as told) | Member(conference=told):
                    self._rooms.learn(given, told)
                    result = evolve(result, conference=with_memory(told, now))
        return result

    def _expect(self, operation: str, name: str, value: object, *kinds: type[Target]) -> None:
        refuse_reference(self._steps, operation, name, value, *kinds)


async def _once_ready(
    direct: Direct, conference: Conference, call: Call, options: MemberOptions, patience: timedelta
) -> Member:
    """Add a call of which no record tells whether it is answered: the platform says ``NotReady`` until it is."""
    refused: ProviderError = _refusal(NotReady, "nobody answered in time", call, "add_member")
    with anyio.move_on_after(patience.total_seconds()):
        for pause in _pauses():
            try:
                member: Member = await direct._do("add_member", conference, call, options)
                return member
            except NotReady as error:
                refused = error
            await anyio.sleep(pause)
    raise refused


async def _until_let_in(
    direct: Direct, rooms: Rooms, call: Call, conference: Conference, patience: timedelta
) -> Member:
    """Wait until the platform lets a call in that joins by itself: it must be answered first, where that is told."""
    if direct._steps.capabilities.tells_answers:
        call, patience = await direct.until_answered(call, timeout=patience), JOINING
    return await _until_in(direct, rooms, call, conference, patience)


async def _until_in(direct: Direct, rooms: Rooms, call: Call, conference: Conference, patience: timedelta) -> Member:
    """Wait until the platform shows an answered call as a member."""
    with anyio.move_on_after(patience.total_seconds()):
        for pause in _pauses():
            if (member := await _member(direct, rooms, call, conference)) is not None:
                rooms.learn(conference, member.conference)
                return evolve(member, conference=with_memory(member.conference, rooms.now(conference)))
            await anyio.sleep(pause)
    raise _refusal(NotReady, "it has answered, and nobody confirms that it has joined", call, "join")


async def _member(direct: Direct, rooms: Rooms, call: Call, conference: Conference) -> Member | None:
    """The call's place in the conference, where the platform shows one.

    The call is asked too: it may be in the room that has the conference's name now, and it may be over.
    """
    try:
        found = _place(call, (await direct.fetch(conference)).members)
    except NotFound:
        found = None
    if found is not None:
        return found
    told = await direct.fetch(call)
    if _shown(call, told).state is CallState.ENDED:
        raise _refusal(Conflict, "the call ended before it was in the conference", call, "join")
    found = _place(call, told.members)
    return found if found is not None and rooms.is_one(conference, found.conference) else None


async def run_by_hand(steps: Steps, operation: str, *arguments: Any, caller_id: str | None = None) -> Any:
    """Carry out one step that belongs to no meeting.

    Raises:
        ProviderError: the portable error that fits.
    """
    key = f"op-{secrets.token_hex(16)}"
    return await steps.run(
        StepRequest(operation=operation, arguments=arguments, op_key=key, step=key, caller_id=caller_id)
    )


def _pauses() -> Iterator[float]:
    return chain(LOOKS, repeat(LOOKS[-1]))


def _shown(call: Call, snapshot: Snapshot) -> Call:
    """A call as the provider shows it now."""
    return next((with_memory(found, call) for found in snapshot.calls if found.id == call.id), call)


def _place(call: Call, members: tuple[Member, ...]) -> Member | None:
    return next((each for each in members if each.call_id == call.id and each.state is MemberState.JOINED), None)


def _refusal(kind: type[ProviderError], message: str, call: Call, operation: str) -> ProviderError:
    return kind(message, provider=call.provider, operation=operation)
