"""What the fake keeps in the ``data`` of a conference: what it is to be, until a call brings it into being."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from confkit.provider import ConferenceSpec


class Created(TypedDict):
    caller_id: str
    interpret_digits: bool


def of(spec: ConferenceSpec) -> dict[str, str]:
    """What a conference is to be, as its memory."""
    keys = "on" if spec.provider_options.get("interpret_digits", True) else "off"
    return {"caller_id": spec.caller_id, "interpret_digits": keys}


def created_with(data: Mapping[str, str], caller_id: str) -> Created:
    """What the exchange is to create, from a conference's memory; it may be known by its id alone, and have none."""
    return {
        "caller_id": data.get("caller_id", caller_id),
        "interpret_digits": data.get("interpret_digits", "on") == "on",
    }
