"""What the application asks for while people talk: one step for each command, and why it could not be done."""

from __future__ import annotations

from confkit.models.errors import ProviderError
from confkit.models.records import Bridge, Call, Conference, Member
from confkit.workflows.flow import Flow
from confkit.workflows.messages import (
    Command,
    Failure,
    Play,
    Record,
    SendDigits,
    Transfer,
    UpdateConference,
    UpdateMember,
)


async def control_room(flow: Flow, room: Conference | Bridge | None, command: Command) -> Failure | None:
    """Carry out a command about everyone; gives what went wrong."""
    if room is None:
        return Failure(kind="MeetingError", message="nobody is connected yet")
    try:
        match command:
            case UpdateConference(patch=patch):
                await flow.step("update_conference", room, patch)
            case Play(media=media):
                await flow.step("play", room, media)
            case Record(action=action):
                await flow.step("record", room, action)
    except ProviderError as error:
        return Failure.of(error)
    return None


async def control_party(
    flow: Flow, call: Call | None, member: Member | None, caller_id: str, command: Command
) -> Failure | None:
    """Carry out a command about one party; gives what went wrong."""
    if call is None:
        return Failure(kind="MeetingError", message="this party has not been dialled yet")
    try:
        match command:
            case UpdateMember() if member is None:
                return Failure(kind="MeetingError", message="this party is not a member of a conference (yet)")
            case UpdateMember(patch=patch):
                await flow.step("update_member", member, patch)
            case Play(media=media):
                await flow.step("play", member or call, media)
            case Record(action=action):
                await flow.step("record", call, action)
            case SendDigits(digits=digits):
                await flow.step("send_digits", call, digits)
            case Transfer(to=to):
                await flow.step("transfer", call, to, caller_id)
    except ProviderError as error:
        return Failure.of(error)
    return None
