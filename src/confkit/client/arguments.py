"""What operations and commands are given: what does not fit is refused in words, before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar

from confkit.models.capabilities import Capabilities, ConferenceCreation, Patches
from confkit.models.durations import Duration, duration
from confkit.models.errors import InvalidRequest, PolicyError, Unsupported
from confkit.models.events import IncomingCall
from confkit.models.records import (
    STOP,
    Bridge,
    Call,
    CallState,
    Conference,
    ConferencePatch,
    Dialled,
    Media,
    Member,
    MemberPatch,
    RecordAction,
)
from confkit.steps.executor import Steps
from confkit.workflows.policy import kind_of, problem_with_caller_id, problems_with_ringing

Target = Conference | Member | Call | Bridge
P = TypeVar("P", MemberPatch, ConferencePatch)


def refuse_reference(
    steps: Steps, operation: str, name: str, value: object, *kinds: type[Target | IncomingCall]
) -> None:
    """Refuse what names nothing at this provider.

    Raises:
        InvalidRequest: an id where an object is expected, an object of another provider, or one without its id.
    """
    # Where rooms come of themselves, one has no id until somebody is in it, and is known by its key.
    by_key = steps.capabilities.creation is not ConferenceCreation.EXPLICIT
    if problem := _problem_with_reference(value, kinds, steps.provider, by_key=by_key):
        raise InvalidRequest(f"{name} {problem}", provider=steps.provider, operation=operation)


def _problem_with_reference(
    value: object, kinds: tuple[type[Target | IncomingCall], ...], provider: str, *, by_key: bool
) -> str | None:
    if not isinstance(value, kinds):
        wanted = " or ".join(f"confkit.{kind.__name__}" for kind in kinds)
        hint = "take its .call" if isinstance(value, Dialled) else _HINTS[kinds[0]].format(provider=repr(provider))
        return f"must be a {wanted}, not {kind_of(value)}; {hint}"
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


def within(name: str, given: Duration) -> timedelta:
    """A span of time, from seconds or as it is.

    Raises:
        PolicyError: it is none.
    """
    try:
        return duration(given)
    except ValueError as error:
        raise PolicyError([f"{name} {error}"]) from None


def ringing(given: Duration, capabilities: Capabilities) -> timedelta:
    """How long a phone is to ring. Nobody hangs up on it when the time is over but the platform.

    Raises:
        PolicyError: it is no duration, or the platform does not let a phone ring for so long, or so short.
    """
    wanted = within("answer_timeout", given)
    problems = problems_with_ringing(wanted, capabilities)
    if wanted < (least := capabilities.rings[0]):
        problems.append(
            f"a phone rings for at least {least.total_seconds():g} s here, not {wanted.total_seconds():g} s"
        )
    if problems:
        raise PolicyError(problems)
    return wanted


def options_of(operation: str, given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """A provider's own options.

    Raises:
        InvalidRequest: they are no mapping.
    """
    if not isinstance(given, Mapping | None):
        raise InvalidRequest(f"provider_options must be a mapping, not {kind_of(given)}", operation=operation)
    return given or {}


def caller(caller_id: str | None) -> str:
    """The number that parties see.

    Raises:
        PolicyError: there is none, or it is malformed.
    """
    if problem := problem_with_caller_id(caller_id, "this"):
        raise PolicyError([problem])
    return caller_id or ""


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
    wanted = [target] + (["pause"] if action in (RecordAction.PAUSE, RecordAction.RESUME) else [])
    for capability in wanted:
        if capability not in capabilities.record:
            raise Unsupported(f"record: {capability}", operation="record")


def parts_of(capabilities: Capabilities, patch: P) -> tuple[P, ...]:
    """What of a patch is sent with one request each."""
    return patch.parts if capabilities.patches is Patches.SINGLE else (patch,)


def refuse_patch(capabilities: Capabilities, patch: MemberPatch) -> None:
    """Refuse a change to a member that the provider cannot make.

    Raises:
        Unsupported: names what is lacking.
    """
    for name in ("mute", "hold", "deaf", "coach"):
        if getattr(patch, name) is not None and name not in capabilities.member:
            raise Unsupported(f"member: {name}", operation="update_member")
