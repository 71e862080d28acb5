"""What the application asks for while people talk: one step for each command, and why it could not be done."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from attrs import frozen

from confkit.models.errors import ProviderError
from confkit.models.records import Bridge, Call, Conference, Member
from confkit.workflows.flow import Flow
from confkit.workflows.messages import Failure, Perform


class Place(enum.Enum):
    """What of a party an operation is about."""

    CALL = "call"
    MEMBER = "member"
    MEMBER_ELSE_CALL = "member else call"


class Then(enum.Enum):
    """What follows an operation on a party that went well."""

    NOTHING = "nothing"
    #: The meeting is told of the party's new settings.
    SETTINGS = "settings"
    #: The party leaves the meeting; its call stays up.
    LEAVING = "leaving"


@frozen(kw_only=True)
class Performance:
    """How an operation is performed: for everyone it is about the room, for one party about ``place``."""

    place: Place = Place.CALL
    then: Then = Then.NOTHING


#: Those that are about something else than the party's call, or have consequences.
PERFORMANCES: Mapping[str, Performance] = {
    "update_member": Performance(place=Place.MEMBER, then=Then.SETTINGS),
    "play": Performance(place=Place.MEMBER_ELSE_CALL),
    "transfer": Performance(then=Then.LEAVING),
}


def performance_of(command: Perform) -> Performance:
    """How a command is performed."""
    return PERFORMANCES.get(command.operation, Performance())


async def perform_for_all(flow: Flow, room: Conference | Bridge | None, command: Perform) -> Failure | None:
    """Carry out a command about everyone; gives what went wrong."""
    if room is None:
        return Failure(kind="MeetingError", message="nobody is connected yet")
    return await _perform(flow, room, command)


async def perform_for_one(flow: Flow, call: Call | None, member: Member | None, command: Perform) -> Failure | None:
    """Carry out a command about one party; gives what went wrong."""
    if call is None:
        return Failure(kind="MeetingError", message="this party has not been dialled yet")
    match performance_of(command).place:
        case Place.CALL:
            return await _perform(flow, call, command)
        case Place.MEMBER if member is None:
            return Failure(kind="MeetingError", message="this party is not a member of a conference (yet)")
        case _:
            return await _perform(flow, member or call, command)


async def _perform(flow: Flow, target: Conference | Bridge | Call | Member, command: Perform) -> Failure | None:
    try:
        await flow.step(command.operation, target, *command.arguments)
    except ProviderError as error:
        return Failure.of(error)
    return None
