"""What a meeting knows of its room and its legs, and who may go on. State and rules; no I/O."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, evolve, field

from confkit.models.capabilities import ConferenceCreation
from confkit.models.records import Bridge, Call, Conference, JoinMethod, Party
from confkit.workflows.messages import Failure, LegReport, MeetingBrief, Stage
from confkit.workflows.policy import Mode

#: How often a conference is created anew, because those who were in first have all left before the others came.
REOPENINGS = 3


@define(kw_only=True)
class LegStatus:
    """One leg as its meeting sees it.

    Args:
        waits_for_release: it waits to be released before it dials.
        released: it may dial or join, and has not joined yet.
        left_behind: what the leg could not undo, one sentence.
        watches: it is over, and still looks out for a call that may have been made.
        told: its call is said to have ended, and nobody has asked.
        conference_id: under which id it has joined the conference.
        out: its conference has ended before the meeting was there, and it has not reported that it is over.
    """

    id: str
    party: Party
    stage: Stage = Stage.WAITING
    call: Call | None = None
    waits_for_release: bool = False
    released: bool = False
    joined_once: bool = False
    left_behind: str | None = None
    watches: bool = False
    told: bool = False
    conference_id: str | None = None
    out: bool = False


@define(kw_only=True)
class LegBoard:
    """The legs of a meeting around its room, as its own workflow sees them; played again from a history.

    What applications are shown is the :class:`~confkit.ingest.meeting_view.MeetingView`, which no workflow asks.

    Args:
        conference_ended: the platform has ended the conference, as some do when the last member leaves.
        over: the ids of the conferences of this meeting that have ended.
        earlier: the ids that the conference had before it came again, as far as is known: replies come in any order.
        emptied: the conference has ended with its last member before the meeting was there; another is to be created.
        reopened: how often one was.
        old_bridge: a bridge that has become a conference and is still to be ended.
        orphans: rooms that may have been created besides, one sentence each, by the key of the lost request.
        unexplained: why two who have answered could not be connected, as long as one of them may have hung up.
    """

    brief: MeetingBrief
    room: Conference | Bridge | None = None
    legs: dict[str, LegStatus] = field(factory=dict)
    established: bool = False
    failure: Failure | None = None
    conference_ended: bool = False
    over: set[str] = field(factory=set)
    earlier: set[str] = field(factory=set)
    emptied: bool = False
    reopened: int = 0
    old_bridge: Bridge | None = None
    orphans: dict[str, str] = field(factory=dict)
    unexplained: Failure | None = None

    @property
    def present(self) -> list[LegStatus]:
        """The legs that are not over."""
        return [status for status in self.legs.values() if status.stage is not Stage.ENDED and not status.out]

    @property
    def taken(self) -> list[LegStatus]:
        """The legs that take up a place: a call that may still be up does."""
        return [status for status in self.legs.values() if status.stage is not Stage.ENDED or status.left_behind]

    @property
    def unfinished(self) -> list[LegStatus]:
        """The legs that have something to do when the meeting is undone."""
        return [status for status in self.legs.values() if status.stage is not Stage.ENDED or status.watches]

    @property
    def told(self) -> list[LegStatus]:
        """The legs whose call is said to have ended, and may not have."""
        return [status for status in self.legs.values() if status.told and status.call is not None]

    @property
    def bridging(self) -> bool:
        """Whether two answered calls are to be connected, and are not yet."""
        return self.brief.plan.mode is Mode.BRIDGE and self.room is None

    @property
    def complete(self) -> bool:
        """Whether everyone who is not over is in; or one is held ready for a second to come."""
        if self.bridging:
            return [status.stage for status in self.present] == [Stage.ANSWERED]
        return all(status.stage is Stage.JOINED for status in self.present)

    @property
    def dialling_makes_the_room(self) -> bool:
        """Whether the first call that is dialled into the conference makes it, and the others need its id."""
        return self.needs_id and self.brief.join_method is JoinMethod.FUSED

    @property
    def needs_id(self) -> bool:
        """Whether the conference has no id yet, and is not known by a name that does as well."""
        room = self.room
        by_name = self.brief.creation is ConferenceCreation.BY_NAME
        return isinstance(room, Conference) and room.id is None and not by_name

    def note(self, report: LegReport) -> None:
        """Take in what a leg reports."""
        status = self.legs[report.leg]
        status.call = report.call or status.call
        if report.stage is not Stage.UPDATED:
            status.stage = report.stage
        if report.stage is Stage.ENDED:
            status.left_behind, status.watches = report.left_behind, report.watches
            status.told = status.told or report.told
            self.unexplained = None
        if report.stage is Stage.JOINED:
            status.joined_once = True
            if isinstance(self.room, Conference) and report.conference_id is None:
                # It was dialled into a bridge that has become a conference meanwhile: it is still to be moved.
                status.stage = Stage.ANSWERED
            else:
                status.released = False
        if report.conference_id is not None:
            status.conference_id = report.conference_id
            self.adopt(report.conference_id, report.data)

    @property
    def comes_again(self) -> bool:
        """Whether the room is a name, under which it comes again with another id after it has ended."""
        return self.brief.creation is not ConferenceCreation.EXPLICIT or self.brief.join_method is JoinMethod.FUSED

    def adopt(self, conference_id: str, data: Mapping[str, str]) -> None:
        """The platform has told the id of the conference."""
        room = self.room
        if not isinstance(room, Conference) or conference_id in self.over:
            return
        if room.id is None or (self.comes_again and room.id != conference_id):
            if room.id is not None:
                self.earlier.add(room.id)
            self.room = room = evolve(room, id=conference_id)
        if room.id == conference_id and data and data != room.data:
            self.room = evolve(room, data=data)

    @property
    def earlier_rooms(self) -> list[Conference]:
        """The conferences that ours has been before, under the same name, and that nobody has told to have ended."""
        room = self.room
        if not isinstance(room, Conference):
            return []
        return [evolve(room, id=each) for each in sorted(self.earlier - self.over - {room.id})]

    def note_end(self, conference_id: str) -> list[LegStatus]:
        """A conference has ended; gives those who are out by it.

        One that its last member has left before the meeting was there is a name again, or is to be created again: who
        left first cuts nobody off who is still to come.
        """
        room = self.room
        if not isinstance(room, Conference) or not (self.comes_again or room.id == conference_id):
            return []
        self.over.add(conference_id)
        out = [status for status in self.present if status.stage is Stage.JOINED and status.conference_id in self.over]
        if room.id == conference_id:
            again = not self.established and (self.comes_again or self.reopened < REOPENINGS)
            if not again or len(self.present) - len(out) < self.brief.plan.quorum:
                self.conference_ended = True
                return self.present
            inside = [
                status.conference_id for status in self.present if status.stage is Stage.JOINED and status not in out
            ]
            if self.comes_again:
                self.room = evolve(room, id=next(iter(inside), None))
            else:
                self.emptied = True
            for status in self.present:
                if status.stage is Stage.ANSWERED:
                    status.released = False  # whoever was on the way in is released again
        for status in out:
            status.out = True
        return out

    def pair(self) -> list[LegStatus]:
        """Two who have both answered and are to be connected; else nobody."""
        if self.unexplained is not None:
            return []
        present = self.present
        ready = self.bridging and [status.stage for status in present] == [Stage.ANSWERED, Stage.ANSWERED]
        return present if ready else []

    def ready(self) -> list[LegStatus]:
        """Those who wait to dial or to join, and may."""
        waiting = [status for status in self.present if not status.released and self._may(status)]
        if self.needs_id:
            # Until the conference has its id, exactly one join is under way: two would make two rooms.
            return [] if any(status.released for status in self.present) else waiting[:1]
        return waiting

    def _may(self, status: LegStatus) -> bool:
        if not isinstance(self.room, Conference) or self.emptied:
            return False
        if status.stage is Stage.ANSWERED:
            # Nobody joins alone while others may still come: a platform that ends a conference with its last
            # member would end it for good if the first to join hung up before the second is in.
            company = sum(other.stage in (Stage.ANSWERED, Stage.JOINED) for other in self.present)
            pending = any(other.stage in (Stage.WAITING, Stage.DIALLED) for other in self.present)
            return company >= 2 or not pending
        return status.stage is Stage.WAITING and status.waits_for_release
