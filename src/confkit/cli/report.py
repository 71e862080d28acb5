"""A meeting as the one JSON object of ``--json``."""

from __future__ import annotations

from typing import Any

from confkit.client.meeting import Meeting
from confkit.models.records import Participant
from confkit.workflows.policy import Mode


def describe(provider: str, meeting: Meeting | None, *, callbacks: int | None = None) -> dict[str, Any]:
    """The meeting as it stands; plain values, stable names.

    Args:
        meeting: ``None`` where there could not be one.
        callbacks: how many have come; ``None`` where none were asked for.
    """
    mode = meeting.mode if meeting else None
    report: dict[str, Any] = {
        "provider": provider,
        "mode": mode.value if mode else None,
        "meeting": meeting.id if meeting else None,
    }
    if meeting is not None and mode is not None:
        room = meeting.conference if mode is Mode.CONFERENCE else meeting.bridge
        report[mode.value] = room.id if room else None
    report["participants"] = [_person(person) for person in meeting.participants] if meeting else []
    report["steps"] = [record.as_dict() for record in meeting.trace.records] if meeting else []
    report["reads"] = dict(meeting.trace.reads) if meeting else {}
    if callbacks is not None:
        report["callbacks"] = callbacks
    return report


def _person(person: Participant) -> dict[str, Any]:
    # The address is what the user has typed; it goes back whole.
    values: dict[str, Any] = {"party": person.party.address}
    if person.party.name is not None:
        values["name"] = person.party.name
    values |= {
        "state": person.state.value,
        "outcome": person.outcome.value if person.outcome else None,
        "call": person.call_id,
        "member": person.member_id,
    }
    if person.error is not None:
        values["error"] = person.error
    return values
