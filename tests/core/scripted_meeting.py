"""The flow of a meeting against a script: what its tests share."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from attrs import evolve

from confkit import Bridge, Call, Conference, Mode, Outcome, OutcomeUnknown, Party, Plan, Unavailable
from confkit.models.events import ConferenceEnded, ConferenceStarted, Event
from confkit.provider import Bridging, ConferenceCreation, JoinMethod, Snapshot
from confkit.workflows.meeting import meeting
from confkit.workflows.messages import (
    HangUp,
    Happened,
    LegReport,
    MeetingBrief,
    MeetingEnd,
    Message,
    Proceed,
    Stage,
)
from tests.core.scripted_flow import ScriptedFlow

MEETING = "m-1"
OURS = "+12018994444"
ROOM = Conference(provider="p", key="k-room", id="conf-1")
SECOND = evolve(ROOM, id="conf-2")
NAME = Conference(provider="p", key="k-room")
BRIDGE = Bridge(provider="p", id="bridge-1")
RINGING = timedelta(seconds=20)
ONE, TWO, THREE, FOUR = (f"m-1/leg-{number}" for number in (1, 2, 3, 4))
ALL = (THREE, TWO, ONE)


def person(number: int) -> Party:
    return Party(f"+1919555010{number}", name=f"P{number}")


def call(number: int) -> Call:
    return Call(provider="p", id=f"call-{number}", to=person(number).address)


def told(leg: str, stage: Stage, **changes: Any) -> LegReport:
    """What a leg reports; its call is the one of its number."""
    usual: dict[str, Any] = {"call": call(int(leg[-1]))} if stage is not Stage.ENDED else {}
    return LegReport(leg=leg, stage=stage, **(usual | changes))


def dialled(leg: str, conference_id: str) -> LegReport:
    return told(leg, Stage.DIALLED, conference_id=conference_id)


def answered(*legs: str) -> list[Message | None]:
    return [told(leg, Stage.ANSWERED) for leg in legs]


def is_in(*legs: str, conference_id: str | None = "conf-1") -> list[Message | None]:
    return [told(leg, Stage.JOINED, conference_id=conference_id) for leg in legs]


def over(*legs: str, **changes: Any) -> list[Message | None]:
    usual: dict[str, Any] = {"outcome": Outcome.LEFT}
    return [told(leg, Stage.ENDED, **(usual | changes)) for leg in legs]


def happened(kind: type[Event], **about: Any) -> Happened:
    return Happened(event=kind(provider="p", id="e-1", **about))


def has_ended(conference_id: str = "conf-1") -> Happened:
    return happened(ConferenceEnded, conference_id=conference_id)


def shows_itself(conference_id: str) -> Happened:
    return happened(ConferenceStarted, conference_id=conference_id)


def brief(count: int = 3, mode: Mode = Mode.CONFERENCE, **changes: Any) -> MeetingBrief:
    plan = Plan(
        mode=mode,
        parties=tuple(person(number) for number in range(1, count + 1)),
        caller_id=OURS,
        quorum=changes.pop("quorum", min(count, 2)),
        limit=changes.pop("limit", 5),
        answer_timeout=RINGING,
    )
    usual: dict[str, Any] = {
        "owner": "us",
        "provider": "p",
        "creation": ConferenceCreation.EXPLICIT,
        "join_method": JoinMethod.EXPLICIT,
        "bridging": Bridging.AFTER,
    }
    return MeetingBrief(plan=plan, **(usual | changes))


TWO_BRIDGED = brief(2, Mode.BRIDGE)
ON_JOIN = brief(creation=ConferenceCreation.ON_JOIN)
FUSED = brief(4, join_method=JoinMethod.FUSED, creation=ConferenceCreation.ON_JOIN)


def run(what: MeetingBrief, *mail: Message | None, **replies: Any) -> ScriptedFlow:
    script: dict[str, Any] = {
        "create_conference": [ROOM],
        "create_bridge": [BRIDGE],
        "list_calls": [()],
        "find": [()],
        "fetch": [Snapshot()],
    }
    return ScriptedFlow.of(meeting, MEETING, what, list(mail), **(script | replies))


def standing(*mail: Message | None, **replies: Any) -> ScriptedFlow:
    """A conference of three that stands, and gets this mail."""
    return run(brief(), *answered(ONE, TWO, THREE), *is_in(ONE, TWO, THREE), *mail, **replies)


def released(flow: ScriptedFlow) -> list[tuple[str, str | None]]:
    """Whom it has let on, and into what."""
    return [(to, message.into.id) for to, message in flow.sent if isinstance(message, Proceed)]


def hung_up(flow: ScriptedFlow) -> list[str]:
    return [to for to, message in flow.sent if isinstance(message, HangUp)]


def end(flow: ScriptedFlow) -> MeetingEnd:
    assert isinstance(flow.result, MeetingEnd)
    return flow.result


def lost(**details: Any) -> OutcomeUnknown:
    return OutcomeUnknown("the connection was lost", **details)


def down() -> Unavailable:
    return Unavailable("down")
