"""``/conferences``: the sequence's first and third step, and control of everyone inside."""

from __future__ import annotations

from typing import Final

from confkit_fake.exchange import Conference, ErrorCode, ExchangeError, Fact, FactKind, Member

from confkit.provider import ConferenceState, MemberState
from confkit_bandwidth.simulator import audio, events, render
from confkit_bandwidth.simulator.account import Account, read_callbacks, refusal_for
from confkit_bandwidth.simulator.details import ConferenceDetails, MemberDetails, Reply
from confkit_bandwidth.simulator.fields import Fields
from confkit_bandwidth.simulator.refusals import Refusal

PROFILES: Final = ("interpret_digits", "passthru_digits")


def create(account: Account, fields: Fields) -> Reply:
    """``postConferences.md``."""
    fields.require("from")
    number = fields.number("from") or ""
    profile = fields.choice("profile", PROFILES) or PROFILES[0]
    callbacks = read_callbacks(fields)
    conference = account.exchange.create_conference(caller_id=number, interpret_digits=profile == PROFILES[0])
    account.conferences[conference.id] = ConferenceDetails(callbacks=callbacks, profile=profile)
    return Reply(status=201, location=account.path("conferences", conference.id))


def get(account: Account, _: Fields, conference_id: str) -> Reply:
    """``getConferencesConferenceId.md``."""
    return Reply(body=render.conference(account, account.conference(conference_id)))


def _open(account: Account, conference_id: str) -> Conference:
    conference = account.conference(conference_id)
    if conference.state is ConferenceState.ENDED:
        raise refusal_for(ExchangeError(ErrorCode.CONFERENCE_ENDED))
    return conference


def update(account: Account, fields: Fields, conference_id: str) -> Reply:
    """``postConferencesConferenceId.md``."""
    conference = _open(account, conference_id)
    ends = fields.choice("state", ("completed",)) is not None
    mute, hold = fields.flag("mute"), fields.flag("hold")
    details = account.conferences[conference.id]
    details.callbacks = read_callbacks(fields, details.callbacks)
    account.exchange.update_conference(conference.id, mute=mute, hold=hold)
    if ends:
        account.exchange.end_conference(conference.id)
    return Reply()


def play(account: Account, fields: Fields, conference_id: str) -> Reply:
    """``postConferencesConferenceIdAudio.md``."""
    conference = _open(account, conference_id)
    audio.play(account, conference.id, audio.read(fields))
    return Reply()


def add_member(account: Account, fields: Fields, conference_id: str) -> Reply:
    """``postConferencesConferenceIdMembers.md``."""
    conference = _open(account, conference_id)
    fields.require("callId")
    call_id = fields.text("callId") or ""
    mute, hold = bool(fields.flag("mute")), bool(fields.flag("hold"))
    details = MemberDetails(join_tone=bool(fields.flag("joinTone")), leaving_tone=bool(fields.flag("leavingTone")))
    ever = len(account.exchange.members_of(conference.id))
    if account.switches.completed_members_count and ever >= account.options.max_members:
        raise refusal_for(ExchangeError(ErrorCode.CONFERENCE_FULL))
    try:
        member = account.exchange.add_member(conference.id, call_id, mute=mute, hold=hold)
    except ExchangeError as error:
        place = account.exchange.place_of(call_id)
        if error.code is ErrorCode.ALREADY_MEMBER and place and account.switches.duplicate_member == "same":
            return _member_created(account, place)
        if error.code is ErrorCode.CALL_NOT_ANSWERED:
            raise Refusal(account.switches.unanswered_member, "The call is not active yet") from None
        raise
    account.members[member.id] = details
    return _member_created(account, member)


def _member_created(account: Account, member: Member) -> Reply:
    if account.switches.locations == "how-to":  # the how-to's reply lacks the conference's id
        return Reply(status=201, location=account.path("conferences", "members", member.id))
    return Reply(status=201, location=account.path("conferences", member.conference_id, "members", member.id))


def list_members(account: Account, _: Fields, conference_id: str) -> Reply:
    """``getConferencesConferenceIdMembers.md``: those who left included."""
    conference = account.conference(conference_id)
    members = account.exchange.members_of(conference.id)
    return Reply(body=[render.member(account, member) for member in members])


def get_member(account: Account, _: Fields, conference_id: str, member_id: str) -> Reply:
    """``getConferencesConferenceIdMembersMemberId.md``."""
    return Reply(body=render.member(account, account.member(conference_id, member_id)))


def update_member(account: Account, fields: Fields, conference_id: str, member_id: str) -> Reply:
    """``postConferencesConferenceIdMembersMemberId.md``."""
    member = account.member(conference_id, member_id)
    _open(account, conference_id)
    if member.state is MemberState.LEFT:
        raise refusal_for(ExchangeError(ErrorCode.MEMBER_LEFT))
    leaves = fields.choice("state", ("completed",)) is not None
    mute, hold = fields.flag("mute"), fields.flag("hold")
    join_tone, leaving_tone = fields.flag("joinTone"), fields.flag("leavingTone")
    details = account.members[member.id]
    details.join_tone = details.join_tone if join_tone is None else join_tone
    details.leaving_tone = details.leaving_tone if leaving_tone is None else leaving_tone
    told = len(account.exchange.history)
    account.exchange.update_member(member.id, mute=mute, hold=hold)
    if leaves:
        account.exchange.remove_member(member.id)
        if account.switches.ending_hangs_up:
            account.exchange.hang_up(member.call_id)
    elif told == len(account.exchange.history) and account.switches.member_events == "updates":
        events.member(account, _unchanged(account, member))
    return Reply()


def _unchanged(account: Account, member: Member) -> Fact:
    """An update that changed nothing, as a fact to tell."""
    return Fact(
        number=0,
        kind=FactKind.MEMBER_UPDATED,
        at=account.exchange.now(),
        conference_id=member.conference_id,
        call_id=member.call_id,
        member_id=member.id,
        mute=member.mute,
        hold=member.hold,
        active_members=len(account.exchange.active_members(member.conference_id)),
    )


def play_to_member(account: Account, fields: Fields, conference_id: str, member_id: str) -> Reply:
    """``postConferencesConferenceIdMembersMemberIdAudio.md``."""
    member = account.member(conference_id, member_id)
    _open(account, conference_id)
    audio.play(account, member.id, audio.read(fields))
    return Reply()
