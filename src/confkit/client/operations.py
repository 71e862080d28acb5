"""The portable operations, typed: what a meeting is made of, for those who want to do it by hand.

Each is one step: checked against the provider's capabilities, paced, retried where that is safe, traced.

    conference = await client.create_conference()
    call = await client.create_call("+19195550101", into=conference)
    member = await client.add_member(conference, call)
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import anyio
from attrs import evolve

from confkit.models.addresses import problem_with
from confkit.models.capabilities import Capabilities, Materialise
from confkit.models.durations import Duration, duration
from confkit.models.errors import Conflict, InvalidRequest, NotReady, PolicyError, Unsupported
from confkit.models.events import IncomingCall
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
    Media,
    Member,
    MemberOptions,
    MemberPatch,
    Party,
    RecordAction,
    Snapshot,
)
from confkit.steps.executor import StepRequest, Steps
from confkit.workflows.policy import kind_of, party_of, problem_with_caller_id

#: How the pauses between two looks at one call grow, in seconds.
LOOKS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)

Target = Conference | Member | Call | Bridge


class Operations:
    """The provider's operations through the step stack.

    All raise the portable :class:`confkit.ProviderError` that fits; :class:`confkit.Unsupported` before anything
    is sent where the provider lacks the capability, and :class:`confkit.provider.InvalidRequest` where an argument
    is not what the operation takes: an id instead of an object, or another provider's object.
    """

    _caller_id: str | None

    @property
    def _steps(self) -> Steps:
        raise NotImplementedError

    @property
    def capabilities(self) -> Capabilities:
        """What the provider can do."""
        return self._steps.capabilities

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
            caller_id=self._caller(caller_id), provider_options=_options("create_conference", provider_options)
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
    ) -> Call:
        """Dial a party; returns when the provider has accepted the call, before anybody answers.

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
            caller_id=self._caller(caller_id),
            answer_timeout=_within("answer_timeout", answer_timeout),
            provider_options=_options("create_call", provider_options),
        )
        if into is not None:
            self._expect("create_call", "into", into, Conference, Bridge)
        dialled: Dialled = await self._do("create_call", spec, into, limit=spec.caller_id)
        if dialled.conference is None or dialled.call.conference_id is not None:
            return dialled.call
        return evolve(dialled.call, conference_id=dialled.conference.id)

    async def until_answered(self, call: Call, *, timeout: Duration = timedelta(seconds=60)) -> Call:
        """Wait until a call is answered, looking at it from time to time.

        Args:
            timeout: how long; a number is seconds.

        Raises:
            Conflict: the call ended without an answer.
            NotReady: it still rings when the time is up.
        """
        self._expect("until_answered", "call", call, Call)
        patience = _within("timeout", timeout).total_seconds()
        with anyio.move_on_after(patience):
            for look in range(1_000_000):
                call = await self._look_at(call)
                if call.state is CallState.ANSWERED:
                    return call
                if call.state is CallState.ENDED:
                    cause = call.cause.value if call.cause else "unknown cause"
                    raise Conflict(
                        f"the call ended before it was answered: {cause}",
                        provider=call.provider,
                        operation="until_answered",
                    )
                await anyio.sleep(LOOKS[min(look, len(LOOKS) - 1)])
        raise NotReady(
            f"nobody answered within {patience:g} s",
            provider=call.provider,
            operation="until_answered",
        )

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
        """Put a call into a conference; waits until it is answered first, because only then it can join.

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
        patience = _within("answer_timeout", answer_timeout)
        options = MemberOptions(mute=mute, hold=hold, provider_options=_options("add_member", provider_options))
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
        """Mute, hold, deafen or coach a member; ``None`` leaves a setting as it is."""
        self._expect("update_member", "member", member, Member)
        refuse_type("update_member", bool | None, mute=mute, hold=hold, deaf=deaf)
        refuse_type("update_member", str | None, coach=coach)
        patch = MemberPatch(mute=mute, hold=hold, deaf=deaf, coach=coach)
        refuse_patch(self.capabilities, patch)
        await self._do("update_member", member, patch)

    async def remove_member(self, member: Member) -> None:
        """Take a member out of its conference; whether its call stays up is the provider's way."""
        self._expect("remove_member", "member", member, Member)
        await self._do("remove_member", member)

    async def update_conference(
        self, conference: Conference, *, mute: bool | None = None, hold: bool | None = None
    ) -> None:
        """Mute or hold everyone in a conference."""
        self._expect("update_conference", "conference", conference, Conference)
        refuse_type("update_conference", bool | None, mute=mute, hold=hold)
        await self._do("update_conference", conference, ConferencePatch(mute=mute, hold=hold))

    async def end_conference(self, conference: Conference) -> None:
        """End a conference; ending one that has ended succeeds."""
        self._expect("end_conference", "conference", conference, Conference)
        await self._do("end_conference", conference)

    async def hang_up(self, call: Call) -> None:
        """End a call; hanging up one that has ended succeeds."""
        self._expect("hang_up", "call", call, Call)
        await self._do("hang_up", call)

    async def reject_call(self, call: IncomingCall | Call) -> None:
        """Refuse a call that has come in; refusing one that has ended succeeds."""
        self._expect("reject_call", "call", call, Call, IncomingCall)
        await self._do("reject_call", incoming_call(call) if isinstance(call, IncomingCall) else call)

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
        """Start, stop or pause a recording."""
        self._expect("record", "target", target, Conference, Call, Bridge)
        refuse_type("record", RecordAction, action=action)
        refuse_recording(self.capabilities, target_word(target), action)
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
        result: Call = await self._do("transfer", call, to, self._caller(caller_id))
        return result

    async def fetch(self, ref: Conference | Call | Bridge) -> Snapshot:
        """The provider's own account of a conference, a call or a bridge."""
        self._expect("fetch", "ref", ref, Conference, Call, Bridge)
        result: Snapshot = await self._steps.read("fetch", ref=ref)
        return result

    async def _look_at(self, call: Call) -> Call:
        snapshot = await self.fetch(call)
        return next((found for found in snapshot.calls if found.id == call.id), call)

    async def _play(self, operation: str, target: Target, media: Media) -> None:
        self._expect(operation, "target", target, Conference, Member, Call, Bridge)
        refuse_media(self.capabilities, target_word(target), media)
        await self._do("play", target, media)

    async def _do(self, operation: str, *arguments: Any, limit: str | None = None) -> Any:
        key = f"op-{secrets.token_hex(16)}"
        return await self._steps.run(
            StepRequest(operation=operation, arguments=arguments, op_key=key, step=key, limit=limit)
        )

    def _caller(self, caller_id: str | None) -> str:
        number = caller_id or self._caller_id
        if problem := problem_with_caller_id(number, "this"):
            raise PolicyError([problem])
        return number or ""

    def _expect(self, operation: str, name: str, value: object, *kinds: type[Target | IncomingCall]) -> None:
        """Refuse what names nothing at this provider, before anything is sent.

        Raises:
            InvalidRequest: an id where an object is expected, an object of another provider, or one without its id.
        """
        steps = self._steps
        # Where rooms come of themselves, one has no id until somebody is in it, and is known by its key.
        by_key = steps.capabilities.materialise is not Materialise.EXPLICIT
        if problem := _problem_with_reference(value, kinds, steps.provider, by_key=by_key):
            raise InvalidRequest(f"{name} {problem}", provider=steps.provider, operation=operation)


def _problem_with_reference(
    value: object, kinds: tuple[type[Target | IncomingCall], ...], provider: str, *, by_key: bool
) -> str | None:
    if not isinstance(value, kinds):
        wanted = " or ".join(f"confkit.{kind.__name__}" for kind in kinds)
        return f"must be a {wanted}, not {kind_of(value)}; {_HINTS[kinds[0]].format(provider=repr(provider))}"
    if value.provider != provider:
        return f"is a {type(value).__name__} of the provider {value.provider!r}, and this client's is {provider!r}"
    id_: object = value.call_id if isinstance(value, IncomingCall) else value.id
    if isinstance(value, Conference) and id_ is None and by_key:
        id_ = value.key
    if not isinstance(id_, str) or not id_:
        return f"has no id, so it names no {target_word(value)}"
    if isinstance(value, Member) and (
        problem := _problem_with_reference(value.conference, (Conference,), provider, by_key=by_key)
    ):
        return f"is of a conference that {problem}"
    return None


#: How to come by an object.
_HINTS: Mapping[type[Target | IncomingCall], str] = {
    Conference: "of its id, make confkit.Conference(provider={provider}, key='', id=...)",
    Call: "of its id, make confkit.Call(provider={provider}, id=...)",
    Bridge: "of its id, make confkit.Bridge(provider={provider}, id=...)",
    Member: "fetch(conference) gives the members of a conference",
}


def _within(name: str, given: Duration) -> timedelta:
    try:
        return duration(given)
    except ValueError as error:
        raise PolicyError([f"{name} {error}"]) from None


def _options(operation: str, given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if not isinstance(given, Mapping | None):
        raise InvalidRequest(f"provider_options must be a mapping, not {kind_of(given)}", operation=operation)
    return given or {}


def refuse_type(operation: str, expected: Any, /, **given: object) -> None:
    """Refuse arguments of another type, before anything is sent.

    Raises:
        InvalidRequest: names the argument.
    """
    for name, value in given.items():
        if not isinstance(value, expected):
            word = getattr(expected, "__name__", str(expected))
            raise InvalidRequest(f"{name} must be {word}, not {kind_of(value)}", operation=operation)


def file(url: str, *, loop: bool) -> Media:
    """A file to play.

    Raises:
        InvalidRequest: what was given is no URL.
    """
    refuse_type("play", str, url=url)
    refuse_type("play", bool, loop=loop)
    return Media(url=url, loop=loop)


def spoken(text: str, *, voice: str | None, locale: str | None) -> Media:
    """A text to speak.

    Raises:
        InvalidRequest: what was given is no text.
    """
    refuse_type("say", str, text=text)
    refuse_type("say", str | None, voice=voice, locale=locale)
    return Media(text=text, voice=voice, locale=locale)


def target_word(target: Target | IncomingCall) -> str:
    """The word for a target in capabilities: ``conference``, ``member``, ``call`` or ``bridge``."""
    return "call" if isinstance(target, IncomingCall) else type(target).__name__.lower()


def incoming_call(event: IncomingCall) -> Call:
    """The call that has come in, as far as its event tells."""
    return Call(
        provider=event.provider,
        id=event.call_id,
        to=event.called,
        caller_id=event.caller,
        state=CallState.RINGING,
        created_at=event.occurred_at,
    )


def refuse_media(capabilities: Capabilities, target: str, media: Media) -> None:
    """Refuse what the provider cannot play, before anything is sent.

    Raises:
        Unsupported: names what is lacking.
        InvalidRequest: the text is too long, or a voice or locale does not exist.
    """
    wanted = [target]
    if media.url is not None:
        wanted += ["url"]
    if media.text is not None:
        wanted += ["text"]
    if media == STOP:
        wanted += ["stop"]
    if media.loop:
        wanted += ["loop"]
    for capability in wanted:
        if capability not in capabilities.play:
            raise Unsupported(f"play: {capability}", operation="play")
    if media.text is not None:
        _refuse_text(capabilities, media)


def _refuse_text(capabilities: Capabilities, media: Media) -> None:
    limit, text = capabilities.max_text, media.text or ""
    if not text.strip():
        raise InvalidRequest("there is no text to say", operation="play")
    if limit is not None and len(text) > limit:
        raise InvalidRequest(
            f"the text has {len(text)} characters; the provider takes {limit} at a time", operation="play"
        )
    voices = {locale: {voice.lower() for voice in names} for locale, names in capabilities.voices.items()}
    if not voices:
        return
    if media.locale is not None and media.locale not in voices:
        known = ", ".join(sorted(voices))
        raise InvalidRequest(f"unknown locale {media.locale!r}; the provider has {known}", operation="play")
    choice = voices[media.locale] if media.locale else set().union(*voices.values())
    if media.voice is not None and media.voice.lower() not in choice:
        known = ", ".join(sorted(choice))
        raise InvalidRequest(f"unknown voice {media.voice!r}; the provider has {known}", operation="play")


def refuse_recording(capabilities: Capabilities, target: str, action: RecordAction) -> None:
    """Refuse a recording that the provider cannot make.

    Raises:
        Unsupported: names what is lacking.
    """
    wanted = [target] + (["pause"] if action is RecordAction.PAUSE else [])
    for capability in wanted:
        if capability not in capabilities.record:
            raise Unsupported(f"record: {capability}", operation="record")


def refuse_patch(capabilities: Capabilities, patch: MemberPatch) -> None:
    """Refuse a change to a member that the provider cannot make.

    Raises:
        Unsupported: names what is lacking.
    """
    for name in ("mute", "hold", "deaf", "coach"):
        if getattr(patch, name) is not None and name not in capabilities.member:
            raise Unsupported(f"member: {name}", operation="update_member")
