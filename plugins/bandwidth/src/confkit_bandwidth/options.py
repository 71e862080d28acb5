"""``provider_options``: what Bandwidth takes beyond the portable operations. Unknown keys are refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from confkit.provider import InvalidRequest, Secret
from confkit_bandwidth.wire import PROVIDER

_LONGEST_CALLBACK: Final = timedelta(seconds=10)
_SIP_HEADERS: Final = 5
_SIP_HEADER_LENGTH: Final = 256


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be text")
    return value


def _url(value: Any) -> Secret[str]:
    return Secret(_text(value))  # a fallback is let in by what stands in its URL


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be True or False")
    return value


def _one_of(*choices: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return str(value)

    return check


def _callback_timeout_ms(value: Any) -> int:
    if not isinstance(value, timedelta) or not timedelta(0) < value <= _LONGEST_CALLBACK:
        raise ValueError("must be a timedelta of at most 10 s")
    return math.ceil(value / timedelta(milliseconds=1))


def _seconds(value: Any) -> int:
    if not isinstance(value, timedelta) or value <= timedelta(0):
        raise ValueError("must be a timedelta")
    return math.ceil(value.total_seconds())


def _sip_headers(value: Any) -> dict[str, str]:
    """At most five, named ``X-...``, names and values of at most 256 characters (``getCallsCallId.md``)."""
    if not isinstance(value, Mapping) or len(value) > _SIP_HEADERS:
        raise ValueError(f"must be a mapping with at most {_SIP_HEADERS} headers")
    for name, content in value.items():
        if not isinstance(name, str) or not re.fullmatch(r"[Xx]-[!-9;-~]+", name):
            raise ValueError("has a header whose name does not start with X-")
        if not isinstance(content, str) or not content.isprintable():
            raise ValueError(f"has no plain text for {name}")
        if max(len(name), len(content)) > _SIP_HEADER_LENGTH:
            raise ValueError(f"is longer than {_SIP_HEADER_LENGTH} characters in {name[:40]}")
    return dict(value)


#: Option to its name on the wire and its check.
Options = Mapping[str, tuple[str, Callable[[Any], Any]]]

CONFERENCE: Final[Options] = {
    "callback_timeout": ("callbackTimeout", _callback_timeout_ms),
    "fallback_url": ("fallbackUrl", _url),
    "profile": ("profile", _one_of("interpret_digits", "passthru_digits")),
    "tag": ("tag", _text),
}
CALL: Final[Options] = {
    "callback_timeout": ("callbackTimeout", _callback_timeout_ms),
    "fallback_url": ("fallbackUrl", _url),
    "recording_enabled": ("recordingEnabled", _flag),
    "recording_file_format": ("recordingFileFormat", _one_of("wav", "mp3")),
    "recording_max_duration": ("recordingMaxDuration", _seconds),
    "sip_headers": ("sipHeaders", _sip_headers),
    "tag": ("tag", _text),
    "transcription_enabled": ("transcriptionEnabled", _flag),
}
MEMBER: Final[Options] = {
    "join_tone": ("joinTone", _flag),
    "leaving_tone": ("leavingTone", _flag),
}


def on_the_wire(given: Mapping[str, Any], known: Options, *, operation: str) -> dict[str, Any]:
    """The options as JSON properties.

    Raises:
        InvalidRequest: names every unknown and malformed option.
    """
    problems = [f"unknown option {name!r}" for name in sorted(set(given) - set(known))]
    if problems:
        problems.append(f"known are {', '.join(known)}")
    body: dict[str, Any] = {}
    for name in sorted(set(given) & set(known)):
        wire_name, check = known[name]
        try:
            body[wire_name] = check(given[name])
        except ValueError as error:
            problems.append(f"{name} {error}")
    if problems:
        raise InvalidRequest(f"provider_options: {'; '.join(problems)}", provider=PROVIDER, operation=operation)
    return body
