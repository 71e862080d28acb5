"""What a meeting knows of its room and its legs, and who may go on. State and rules; no I/O."""

from __future__ import annotations

from attrs import define, evolve, field

from confkit.capabilities import Joining, Materialise
from confkit.messages import Failure, LegReport, MeetingBrief, Stage
from confkit.models import Bridge, Call, Conference, Party
from confkit.policy import Mode


@define(kw_only=True)
class Seat:
    """One leg as its meeting sees it.

    Args:
        asks: it waits to be let on before it dials.
        let_on: it has been let on to dial or to join, and has not joined yet.
        left_behind: what the leg could not undo, one sentence.
        watches: it is over, and still looks out for a call that may have been made.
    """

    id: str
    party: Party
    stage: Stage = Stage.WAITING
    call: Call | None = None
    asks: bool = False
    let_on: bool = False
    joined_once: bool = False
    left_behind: str | None = None
    watches: bool = False


@define(kw_only=True)
class Table:
    """The legs of a meeting around its room.

    Args:
        conference_ended: the platform has ended the conference, as some do when the last member leaves.
        old_bridge: a bridge that has become a conference and is still to be ended.
        orphans: rooms that may have been created besides, one sentence each.
    """

    brief: MeetingBrief
    room: Conference | Bridge | None = None
    seats: dict[str, Seat] = field(factory=dict)
    established: bool = False
    failure: Failure | None = None
    conference_ended: bool = False
    old_bridge: Bridge | None = None
    orphans: list[str] = field(factory=list)

    @property
    def present(self) -> list[Seat]:
        """The legs that are not over."""
        return [seat for seat in self.seats.values() if seat.stage is not Stage.ENDED]

    @property
    def taken(self) -> list[Seat]:
        """The legs that take up a place: a call that may still be up does."""
        return [seat for seat in self.seats.values() if seat.stage is not Stage.ENDED or seat.left_behind]

    @property
    def unfinished(self) -> list[Seat]:
        """The legs that have something to do when the meeting is undone."""
        return [seat for seat in self.seats.values() if seat.stage is not Stage.ENDED or seat.watches]

    @property
    def bridging(self) -> bool:
        """Whether two answered calls are to be connected, and are not yet."""
        return self.brief.plan.mode is Mode.BRIDGE and self.room is None

    @property
    def complete(self) -> bool:
        """Whether everyone who is not over is in; or one is held ready for a second to come."""
        if self.bridging:
            return [seat.stage for seat in self.present] == [Stage.ANSWERED]
        return all(seat.stage is Stage.JOINED for seat in self.present)

    @property
    def dialling_makes_the_room(self) -> bool:
        """Whether the platform makes the conference when the first call is dialled into it."""
        return isinstance(self.room, Conference) and self.room.id is None and self.brief.joining is Joining.FUSED

    def note(self, report: LegReport) -> None:
        """Take in what a leg reports."""
        seat = self.seats[report.leg]
        seat.call = report.call or seat.call
        if report.stage is not Stage.UPDATED:
            seat.stage = report.stage
        if report.stage is Stage.ENDED:
            seat.left_behind, seat.watches = report.left_behind, report.watches
        if report.stage is Stage.JOINED:
            seat.joined_once = True
            if isinstance(self.room, Conference) and report.conference_id is None:
                # It was dialled into a bridge that has become a conference meanwhile: it is still to be moved.
                seat.stage = Stage.ANSWERED
            else:
                seat.let_on = False
        if report.conference_id is not None:
            self.adopt(report.conference_id)

    def adopt(self, conference_id: str) -> None:
        """The platform has told the id of the conference."""
        if isinstance(self.room, Conference) and self.room.id is None:
            self.room = evolve(self.room, id=conference_id)

    def pair(self) -> list[Seat]:
        """Two who have both answered and are to be connected; else nobody."""
        present = self.present
        ready = self.bridging and [seat.stage for seat in present] == [Stage.ANSWERED, Stage.ANSWERED]
        return present if ready else []

    def may_go_on(self) -> list[Seat]:
        """Those who wait to dial or to join, and may."""
        waiting = [seat for seat in self.present if not seat.let_on and self._may(seat)]
        if isinstance(self.room, Conference) and self.room.id is None:
            # Until the conference has its id, exactly one join is under way: two would make two rooms.
            return [] if any(seat.let_on for seat in self.present) else waiting[:1]
        return waiting

    def _may(self, seat: Seat) -> bool:
        if not isinstance(self.room, Conference):
            return False
        if seat.stage is Stage.ANSWERED:
            # Nobody joins alone while others may still come: a platform that ends a conference with its last
            # member would end it for good if the first to join hung up before the second is in.
            company = sum(other.stage in (Stage.ANSWERED, Stage.JOINED) for other in self.present)
            pending = any(other.stage in (Stage.WAITING, Stage.DIALLED) for other in self.present)
            return company >= 2 or not pending
        lazy = self.brief.materialise is not Materialise.EXPLICIT and self.brief.joining is Joining.FUSED
        return seat.stage is Stage.WAITING and seat.asks and lazy
