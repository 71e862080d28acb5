"""What happened in a run of the simulation, as the application and the exchange have it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import define, field

from confkit.client.meeting import Meeting
from confkit.models.events import Event
from confkit.testing.scenario import Deed, Gathering, Scenario

#: What happened, what to, and what became so.
News = tuple[str, str, str]


class Boom(Exception):
    """The application's own error."""


@define
class Attendance:
    """What the application saw of one meeting; instants on the virtual clock.

    Args:
        raised: what came out of the block.
        ending_at: on the exchange's clock, when the application wanted the meeting over.
        told: what the application was told by the meeting's stream: kind, subject and value.
        observed: the same, as observers were told.
        defects: errors that confkit never raises on purpose.
        misfits: differences between the roster and the exchange at a quiet moment.
        quiet: whether such a moment came.
        over: whether the meeting was over when the block had been left.
        waiting: what the application has asked for and not been answered.
    """

    gathering: Gathering
    meeting: Meeting | None = None
    asked_at: float = 0.0
    established: bool = False
    raised: BaseException | None = None
    cancelled: bool = False
    leaving_at: float | None = None
    ending_at: datetime | None = None
    told: list[News] = field(factory=list)
    observed: list[News] = field(factory=list)
    left_at: float | None = None
    quiet: bool = False
    over: bool = True
    waiting: list[Deed] = field(factory=list)
    misfits: list[str] = field(factory=list)
    defects: list[str] = field(factory=list)


@define
class Story:
    """A run that is over.

    Args:
        provider: the fake, with the exchange's truth and every request.
        up: what was still up at the exchange when the client had closed, and after the aftermath.
        foreign: a conference of somebody else on the same account, its call and its member, by id.
        forged: how many events were told about that, or about nothing that is there, at our addresses.
        false: how many calls that were up were told to have ended.
        tasks: how many tasks were left over.
        ended: whether it did end.
        crashes: whether the workflows ran on something that crashes, so that steps were cut off.
    """

    scenario: Scenario
    provider: Any
    attendances: list[Attendance]
    up: tuple[str, ...] = ()
    foreign: tuple[str, str, str] = ("", "", "")
    forged: int = 0
    false: int = 0
    closed_at: float = 0.0
    tasks: int = 0
    ended: bool = False
    crashes: bool = False

    @property
    def meetings(self) -> list[Meeting]:
        """The meetings that were asked for."""
        return [each.meeting for each in self.attendances if each.meeting is not None]


def news_in(event: Event) -> News:
    """What an event tells, whatever its id: two that tell the same are the same."""
    subjects = ("call_id", "member_id", "conference_id", "bridge_id", "recording_id")
    subject = " ".join(value for name in subjects if (value := getattr(event, name, None)))
    values = ("mute", "hold", "digits", "type", "count")
    value = " ".join(f"{name}={getattr(event, name)}" for name in values if hasattr(event, name))
    return type(event).__name__, subject, value
