"""What happens in the exchange, as Bandwidth tells it: callbacks (``callbacks.md``, the event pages) and logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from confkit_fake.exchange import Direction, ExchangeError, Fact, FactKind, MediaKind, RecordingState

from confkit.provider import CallState, EndCause, RecordAction, canonical
from confkit_bandwidth.simulator.account import Account
from confkit_bandwidth.simulator.details import Gather, LogEntry
from confkit_bandwidth.simulator.fields import present, stamp

#: ``hangup.md``; any other cause is an internal error of the platform.
CAUSES: Final[Mapping[EndCause, str]] = {
    EndCause.HANGUP: "NORMAL_CLEARING",
    EndCause.BUSY: "USER_BUSY",
    EndCause.NO_ANSWER: "NO_ANSWER",
    EndCause.REJECTED: "CALL_REJECTED",
    EndCause.UNALLOCATED: "UNALLOCATED_NUMBER",
    EndCause.CANCELLED: "ORIGINATOR_CANCEL",
    EndCause.NOT_PERMITTED: "NORMAL_TEMPORARY_FAILURE",
    EndCause.FAILED: "SYSTEM_FAILURE",
    EndCause.UNKNOWN: "SYSTEM_FAILURE",
}


def tell(account: Account, fact: Fact) -> None:
    """Turn a fact into the callbacks, log lines and consequences that it has."""
    if (teller := _TELLERS.get(fact.kind)) is not None:
        teller(account, fact)


def _tag(account: Account, tag: str | None) -> str | None:
    """A tag for an event whose table omits it."""
    return tag if account.switches.tags_everywhere else None


def _conference_event(account: Account, fact: Fact, name: str, values: Mapping[str, Any]) -> None:
    conference_id = fact.conference_id or ""
    settings = account.conferences[conference_id].callbacks
    event = {"eventType": name, "conferenceId": conference_id, **values, "tag": _tag(account, settings.tag)}
    account.call_back(conference_id, present(event), settings)


def _conference(account: Account, fact: Fact) -> None:
    record = account.exchange.conferences[fact.conference_id or ""]
    form = account.switches.timestamps
    created = fact.kind is FactKind.CONFERENCE_CREATED
    values = {
        "conferenceUri": account.url("conferences", record.id),
        "status": "created" if created else "completed",
        "createdTime": stamp(record.created_at, form),
        "completedTime": None if created else stamp(record.ended_at, form),
    }
    _conference_event(account, fact, "conference", values)


def member(account: Account, fact: Fact) -> None:
    """``confMember.md``: joined, left, muted, held."""
    left = fact.kind is FactKind.MEMBER_LEFT
    active = fact.active_members or 0
    if left and account.switches.active_members == "before":
        active += 1
    conference_id, member_id = fact.conference_id or "", fact.member_id or ""
    values = {
        "callId": fact.call_id,
        "memberId": member_id,
        "memberUri": account.url("conferences", conference_id, "members", member_id),
        "state": "completed" if left else "active",
        "activeMembers": active,
        "hold": bool(fact.hold),
        "mute": bool(fact.mute),
        "joinTone": account.members[member_id].join_tone,
        "leavingTone": account.members[member_id].leaving_tone,
        "time": stamp(fact.at, account.switches.timestamps),
    }
    _conference_event(account, fact, "conference-member", values)


def _call_event(account: Account, call_id: str, fact: Fact, name: str, values: Mapping[str, Any]) -> None:
    event = {
        "eventType": name,
        "callId": call_id,
        "callUri": account.url("calls", call_id),
        "time": stamp(fact.at, account.switches.timestamps),
        **values,
    }
    account.call_back(call_id, present(event), account.calls[call_id].callbacks)


def _log(account: Account, fact: Fact, name: str, data: str | None = None) -> None:
    entry = LogEntry(id=account.new_id("ce-"), name=name, at=fact.at, data=data)
    account.calls[fact.call_id or ""].log.append(entry)


def _call_incoming(account: Account, fact: Fact) -> None:
    record = account.exchange.calls[fact.call_id or ""]
    values = {
        "from": record.caller_id,
        "to": record.to,
        "callState": "active",  # even before it is answered: incomingCall.md
        "applicationId": account.calls[record.id].application,
    }
    _call_event(account, record.id, fact, "incomingcall", values)


def _call_answered(account: Account, fact: Fact) -> None:
    record = account.exchange.calls[fact.call_id or ""]
    details = account.calls[record.id]
    _log(account, fact, "answer")
    values = {
        "from": record.caller_id,
        "to": record.to,
        "callState": "active",
        "applicationId": details.application,
        "tag": details.callbacks.tag if record.direction is Direction.OUT else None,
    }
    _call_event(account, record.id, fact, "answer", values)
    if details.recording_enabled:
        start_recording(account, record.id)


def _call_ended(account: Account, fact: Fact) -> None:
    record = account.exchange.calls[fact.call_id or ""]
    details = account.calls[record.id]
    if fact.cause is EndCause.REJECTED and canonical(record.to) in account.failing:
        record.cause = EndCause.FAILED
    cause = CAUSES[record.cause or EndCause.UNKNOWN]
    details.failed = record.cause is EndCause.FAILED and account.switches.failures == "error"
    _log(account, fact, "hangup", cause)
    if (gather := details.gather) is not None:
        end_gather(account, record.id, gather, fact, "hung-up")
    ends = {"from": record.caller_id, "to": record.to, "tag": _tag(account, details.callbacks.tag)}
    unanswered = fact.cause is EndCause.NO_ANSWER
    if unanswered and account.switches.after_timeout != "hangup":
        _call_event(account, record.id, fact, "timeout", ends)
    if unanswered and account.switches.after_timeout == "timeout":
        return
    if details.failed:  # it tells no cause and no time
        _call_event(account, record.id, fact, "error", {**ends, "callState": "error", "time": None})
        return
    rejected = record.cause is EndCause.REJECTED
    name = account.switches.refusals if rejected else "hangup"
    # Only reject.md shows a state.
    values = {**ends, "cause": cause, "callState": "completed" if rejected and name == "hangup" else None}
    _call_event(account, record.id, fact, name, values)


def _playback(account: Account, fact: Fact) -> None:
    target = fact.member_id or fact.call_id or fact.conference_id
    if target is None or fact.media is None:
        return  # a bridge: there is no bridge event of any kind
    key = (target, fact.media)
    started = fact.kind is FactKind.PLAYBACK_STARTED
    if started:
        account.playing[key] = account.cued.pop(key, None)
        tag = account.playing[key]
    else:
        tag = account.playing.pop(key, None)
    speech = fact.media is MediaKind.SPEECH
    status = "started" if started else "done"
    if fact.call_id is None:
        values = {
            "conferenceUri": account.url("conferences", target),
            "status": status,
            "time": stamp(fact.at, account.switches.timestamps),
        }
        if account.switches.tags_everywhere and tag is not None:
            values["tag"] = tag
        _conference_event(account, fact, "conference-speak" if speech else "conference-playback", values)
        return
    _log(account, fact, "speak" if speech else "playback", "start" if started else "done")
    state = ("PLAYBACK_START" if started else "PLAYBACK_STOP") if speech else None
    values = {"status": status, "state": state, "type": "speak" if speech else None, "tag": tag}
    _call_event(account, fact.call_id, fact, "speak" if speech else "playback", values)


def _digit(account: Account, fact: Fact) -> None:
    call_id, digit = fact.call_id or "", fact.digit or ""
    _call_event(account, call_id, fact, "dtmf", {"dtmfDigit": digit, "dtmfDuration": account.next_duration()})
    gather = account.calls[call_id].gather
    if gather is None:
        return
    if gather.prompted and account.exchange.calls[call_id].state is CallState.ANSWERED:
        account.exchange.stop_playing(call_id)  # any key interrupts the prompt
    if digit in gather.terminators:
        end_gather(account, call_id, gather, fact, "terminating-digit")
        return
    gather.digits += digit
    if gather.most is not None and len(gather.digits) >= gather.most:
        end_gather(account, call_id, gather, fact, "max-digits")
    else:
        await_digit(account, call_id, gather)


def await_digit(account: Account, call_id: str, gather: Gather) -> None:
    """Complete the gather when no digit comes in time."""
    gather.round += 1
    expected = gather.round

    def give_up() -> None:
        if gather.completed_at is None and gather.round == expected:
            end_gather(account, call_id, gather, None, "inter-digit-timeout")

    account.later(gather.pause, give_up)


def end_gather(account: Account, call_id: str, gather: Gather, fact: Fact | None, reason: str | None) -> None:
    """Complete a gather and tell its digits; the event has no ``callUri`` (``gather.md``)."""
    gather.completed_at = fact.at if fact else account.exchange.now()
    gather.reason = reason
    event = {
        "eventType": "gather",
        "state": "completed",
        "callId": call_id,
        "gatherId": gather.id,
        "digits": gather.digits,
        "reason": reason,
        "time": stamp(gather.completed_at, account.switches.timestamps),
        "tag": gather.tag,
    }
    account.call_back(call_id, present(event), account.calls[call_id].callbacks)


def start_recording(account: Account, call_id: str) -> None:
    """Record a call until it is switched off, over, or the recording is as long as it may be."""
    details = account.calls[call_id]
    try:
        recording = account.exchange.record(call_id, RecordAction.START)
    except ExchangeError:
        return  # the call is over by now, or is being recorded already
    details.recording_formats[recording.id] = details.recording_format

    def cut() -> None:
        if recording.state is RecordingState.RECORDING:
            account.exchange.record(call_id, RecordAction.STOP)

    account.later(details.recording_limit, cut)


def _recording(account: Account, fact: Fact) -> None:
    if fact.call_id is None:
        return
    record = account.exchange.recordings[fact.recording_id or ""]
    form = account.switches.timestamps
    event = {
        "eventType": "recording",
        "callId": fact.call_id,
        "recordingId": record.id,
        "recordingUri": account.url("recordings", record.id),
        "state": "complete",
        "status": "complete",
        "startTime": stamp(record.started_at, form),
        "endTime": stamp(record.ended_at, form),
    }
    account.call_back(fact.call_id, present(event), account.calls[fact.call_id].callbacks)


_TELLERS: Final = {
    FactKind.CONFERENCE_CREATED: _conference,
    FactKind.CONFERENCE_ENDED: _conference,
    FactKind.MEMBER_JOINED: member,
    FactKind.MEMBER_UPDATED: member,
    FactKind.MEMBER_LEFT: member,
    FactKind.CALL_INCOMING: _call_incoming,
    FactKind.CALL_ANSWERED: _call_answered,
    FactKind.CALL_ENDED: _call_ended,
    FactKind.PLAYBACK_STARTED: _playback,
    FactKind.PLAYBACK_ENDED: _playback,
    FactKind.DIGITS: _digit,
    FactKind.RECORDING_READY: _recording,
}
