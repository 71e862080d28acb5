"""``/calls`` and ``/recordings``: dialling, hanging up, answering, digits and recordings."""

from __future__ import annotations

import re
from typing import Any, Final

from confkit_fake.exchange import Call, Direction, ErrorCode, ExchangeError, MediaKind, RecordingState

from confkit.provider import CallState, RecordAction, canonical
from confkit_bandwidth.simulator import audio, events, render
from confkit_bandwidth.simulator.account import Account, read_callbacks, refusal_for
from confkit_bandwidth.simulator.delivery import CallbackSettings
from confkit_bandwidth.simulator.details import CallDetails, Gather, LogEntry, Reply
from confkit_bandwidth.simulator.fields import Fields
from confkit_bandwidth.simulator.pages import page_of
from confkit_bandwidth.simulator.refusals import (
    Refusal,
    invalid,
    missing,
    no_such_resource,
    not_found,
)

DEFAULT_CALL_TIMEOUT: Final = 60  # s
LONGEST_CALL_TIMEOUT: Final = 300  # s
LONGEST_RECORDING: Final = 86_400  # s; there is a cap, but no page says which
FORMATS: Final = ("wav", "mp3")
_DTMF = re.compile(r"[A-D0-9#*,wW]{1,92}")
_TERMINATORS = re.compile(r"[A-D0-9#*]+")
_DIVERSIONS = ("none", "propagate", "stack")
_REASONS = (
    "unknown",
    "user-busy",
    "no-answer",
    "unavailable",
    "unconditional",
    "time-of-day",
    "do-not-disturb",
    "deflection",
    "follow-me",
    "out-of-service",
    "away",
)


def create(account: Account, fields: Fields) -> Reply:
    """``postCalls.md``."""
    for name in ("from", "to"):
        fields.require(name)
    caller_id, to = fields.number("from") or "", fields.address("to") or ""
    conference_id, bridge_id = fields.text("conferenceId") or None, fields.text("bridgeId") or None
    if conference_id and bridge_id:
        raise invalid("'conferenceId' and 'bridgeId' exclude each other")
    timeout = fields.whole("callTimeout", least=1, most=LONGEST_CALL_TIMEOUT)
    details = CallDetails(
        callbacks=read_callbacks(fields),
        call_timeout=timeout or DEFAULT_CALL_TIMEOUT,
        recording_enabled=bool(fields.flag("recordingEnabled")),
        recording_format=fields.choice("recordingFileFormat", FORMATS) or FORMATS[0],
        recording_limit=_recording_limit(fields) or 3600,
        transcription_enabled=bool(fields.flag("transcriptionEnabled")),
        sip_headers=_sip_headers(fields.get("sipHeaders")),
    )
    numbers = account.options.numbers
    if numbers and caller_id not in numbers:
        raise refusal_for(ExchangeError(ErrorCode.NUMBER_NOT_OWNED))
    if account.options.rate_limits == "documented":
        _admit(account, caller_id)
    call = account.exchange.dial(
        to,
        caller_id=caller_id,
        ring_for=float(details.call_timeout or DEFAULT_CALL_TIMEOUT),
        conference_id=conference_id,
        bridge_id=bridge_id,
    )
    return _created(account, call, details)


def _created(account: Account, call: Call, details: CallDetails) -> Reply:
    register(account, call, details)
    return Reply(status=201, location=account.path("calls", call.id))


def register(account: Account, call: Call, details: CallDetails) -> None:
    """Keep what Bandwidth knows of a new call."""
    account.calls[call.id] = details
    details.log.append(LogEntry(id=account.new_id("ce-"), name="create", at=call.created_at))


def _admit(account: Account, caller_id: str) -> None:
    """The creation limit (``callRateLimits.md``)."""
    rate = account.limits.create_call(caller_id)
    if rate is not None:
        raise Refusal(
            "call-rate-limit",
            "You can create 1 calls per 1 seconds, calculated as the average over "
            f"{account.limits.sample} seconds. Your rate is: {rate:.1f}",
        )


def _recording_limit(fields: Fields) -> int | None:
    limit = fields.whole("recordingMaxDuration", least=1)
    if limit is not None and limit > LONGEST_RECORDING:
        raise Refusal("maximum-recording-value-request", "'recordingMaxDuration' is too long")
    return limit


def _sip_headers(headers: Any) -> dict[str, str]:
    if headers is None:
        return {}
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise invalid("'sipHeaders' must be a map of strings")
    if len(headers) > 5:
        raise invalid("'sipHeaders' has at most 5 entries")
    for name, value in headers.items():
        if not name.upper().startswith("X-") or len(name) > 256 or len(value) > 256:
            raise invalid("'sipHeaders' have names that start with X-, and at most 256 characters each")
    return dict(headers)


def list_calls(account: Account, query: Fields) -> Reply:
    """``getCalls.md``."""
    bridge_id, conference_id = query.text("bridgeId"), query.text("conferenceId")
    caller_id, to = query.text("from"), query.text("to")
    order = query.choice("sortOrder", ("asc", "desc")) or "desc"
    found = [
        call
        for call in account.exchange.calls.values()
        if (not bridge_id or call.bridge_id == bridge_id)
        and (not conference_id or call.conference_id == conference_id)
        and (not caller_id or canonical(call.caller_id) == canonical(caller_id))
        and (not to or canonical(call.to) == canonical(to))
    ]
    if order == "desc":
        found.reverse()
    if bridge_id or conference_id:  # then pagination is not applied
        return Reply(body=[render.call(account, call) for call in found])
    page = page_of(account, query, found, account.path("calls"))
    return Reply(body=[render.call(account, call) for call in page.items], links=page.links)


def get(account: Account, _: Fields, call_id: str) -> Reply:
    """``getCallsCallId.md``."""
    return Reply(body=render.call(account, account.call(call_id)))


def _live(account: Account, call_id: str) -> Call:
    call = account.call(call_id)
    if call.state is CallState.ENDED:
        raise refusal_for(ExchangeError(ErrorCode.CALL_OVER))
    return call


def update(account: Account, fields: Fields, call_id: str) -> Reply:
    """``postCallsCallId.md``, and ``postTransferCall.md`` for ``state=transferring``."""
    call = _live(account, call_id)
    state = fields.choice("state", ("active", "rejected", "completed", "transferring"))
    enabled, suffix = fields.flag("recordingEnabled"), fields.choice("recordingFileFormat", FORMATS)
    limit = _recording_limit(fields)
    if state == "transferring":
        return _transfer(account, fields, call)
    details = account.calls[call.id]
    if limit is not None and details.recording_enabled and call.state is CallState.ANSWERED:
        raise Refusal("conflicted-recording-values-request", "The call is being recorded already")
    if state == "active":
        account.exchange.answer(call.id)
    elif state == "rejected":
        account.exchange.reject(call.id)
        details.rejected = True
    details.recording_limit = limit or details.recording_limit
    details.recording_format = suffix or details.recording_format
    if enabled is not None and enabled != details.recording_enabled:
        details.recording_enabled = enabled
        account.catch_up()  # a call answered by this very request starts its recording by itself
        _switch_recording(account, call, enabled)
    if state == "completed":
        account.exchange.hang_up(call.id)
    return Reply()


def _switch_recording(account: Account, call: Call, enabled: bool) -> None:
    if call.state is not CallState.ANSWERED:
        return
    if enabled:
        events.start_recording(account, call.id)
    elif any(
        each.call_id == call.id and each.state is not RecordingState.COMPLETE
        for each in account.exchange.recordings.values()
    ):
        account.exchange.record(call.id, RecordAction.STOP)


def _transfer(account: Account, fields: Fields, call: Call) -> Reply:
    fields.require("transferTo")
    to = fields.address("transferTo") or ""
    own = call.caller_id if call.direction is Direction.OUT else call.to
    shown = _transfer_caller_id(account, fields, call, own)
    treatment = fields.choice("diversionTreatment", _DIVERSIONS)
    if fields.choice("diversionReason", _REASONS) and treatment != "stack":
        raise invalid("'diversionReason' goes only with the treatment 'stack'")
    if (whisper := fields.get("whisperAudio")) is not None:
        audio.read(_object(whisper, "whisperAudio"))
    callback_url = fields.url("callbackUrl")
    if render.call_state(account, call) == "transferring":
        raise refusal_for(ExchangeError(ErrorCode.CALL_OVER))
    old = account.calls[call.id].callbacks
    new = account.exchange.transfer(call.id, to, caller_id=own, ring_for=float(DEFAULT_CALL_TIMEOUT))
    new.caller_id = shown  # what the exchange would not accept as a number of its own
    callbacks = CallbackSettings(url=callback_url, method=old.method, timeout_ms=old.timeout_ms)
    return _created(account, new, CallDetails(callbacks=callbacks, call_timeout=DEFAULT_CALL_TIMEOUT))


def _transfer_caller_id(account: Account, fields: Fields, call: Call, own: str) -> str:
    """``private``, a number of the account, or the original caller of an incoming call."""
    wanted = fields.text("transferCallerId")
    if not wanted or wanted in (own, call.caller_id) or wanted.lower() == "private":
        return wanted or own
    fields.number("transferCallerId")
    if account.options.numbers and wanted not in account.options.numbers:
        raise invalid("'transferCallerId' is neither your number nor the original caller's")
    return wanted


def _object(value: Any, name: str) -> Fields:
    if not isinstance(value, dict):
        raise invalid(f"'{name}' must be an object")
    return Fields(value)


def play(account: Account, fields: Fields, call_id: str) -> Reply:
    """``postCallsCallIdAudio.md``."""
    call = _live(account, call_id)
    if not audio.play(account, call.id, audio.read(fields)):
        raise Refusal("call-audio-invalid-state", "Nothing is being played to the call")
    return Reply()


def send_digits(account: Account, fields: Fields, call_id: str) -> Reply:
    """``postCallsCallIdDTMF.md``."""
    call = _live(account, call_id)
    fields.require("dtmfOut")
    digits = fields.text("dtmfOut") or ""
    if not _DTMF.fullmatch(digits):
        raise invalid("'dtmfOut' must be 1 to 92 characters of A-D, 0-9, #, *, ',', w and W")
    account.exchange.send_digits(call.id, digits)
    return Reply()


def list_events(account: Account, _: Fields, call_id: str) -> Reply:
    """``getCallsCallIdEvents.md``."""
    log = account.calls[account.call(call_id).id].log
    return Reply(body=[render.log_entry(account, entry, alone=False) for entry in log])


def get_event(account: Account, _: Fields, call_id: str, event_id: str) -> Reply:
    """``getCallsCallIdEventsEventId.md``."""
    for entry in account.calls[account.call(call_id).id].log:
        if entry.id == event_id:
            return Reply(body=render.log_entry(account, entry, alone=True))
    raise no_such_resource()


def list_call_recordings(account: Account, _: Fields, call_id: str) -> Reply:
    """``getCallsCallIdRecordings.md``."""
    call = account.call(call_id)
    recordings = [each for each in account.exchange.recordings.values() if each.call_id == call.id]
    return Reply(body=[render.recording(account, each) for each in recordings])


def list_no_transcriptions(account: Account, _: Fields, call_id: str) -> Reply:
    """``getCallsCallIdTranscriptions.md``: nothing is transcribed here."""
    account.call(call_id)
    return Reply(body=[])


def list_recordings(account: Account, query: Fields) -> Reply:
    """``getRecordings.md``."""
    recordings = [each for each in account.exchange.recordings.values() if each.call_id]
    page = page_of(account, query, recordings, account.path("recordings"))
    return Reply(body=[render.recording(account, each) for each in page.items], links=page.links)


def get_recording(account: Account, _: Fields, recording_id: str) -> Reply:
    """``getRecordingsRecordingId.md``."""
    recording = account.exchange.recordings.get(recording_id)
    if recording is None or not recording.call_id:
        raise not_found("recording", recording_id)
    return Reply(body=render.recording(account, recording))


def create_gather(account: Account, fields: Fields, call_id: str) -> Reply:
    """``postCallsCallIdGather.md``."""
    call = _live(account, call_id)
    terminators = fields.text("terminatingDigits")
    if terminators is not None and not _TERMINATORS.fullmatch(terminators):
        raise invalid("'terminatingDigits' must be one or more of A-D, 0-9, # and *")
    prompt = None
    if (asked := fields.get("prompt")) is not None:
        prompt = audio.read(_object(asked, "prompt"))
    gather = Gather(
        id=account.new_id("gtr-"),
        most=fields.whole("maxDigits", least=1, most=30),
        pause=fields.seconds("interDigitTimeout", least=0.1, most=30) or 5.0,
        terminators=terminators or "#",
        tag=fields.text("tag"),
        prompted=prompt is not None,
        created_at=account.exchange.now(),
    )
    if call.state is not CallState.ANSWERED:
        raise refusal_for(ExchangeError(ErrorCode.CALL_NOT_ANSWERED))
    details = account.calls[call.id]
    if details.gather is not None:
        raise Refusal("call-duplicate-gather-error", "The call has a gather already")
    if prompt is not None:
        audio.play(account, call.id, prompt)
    details.gathers[gather.id] = gather
    events.await_digit(account, call.id, gather)
    return Reply(status=201, location=account.path("calls", call.id, "gather", gather.id))


def _gather(account: Account, call_id: str, gather_id: str) -> Gather:
    gather = account.calls[account.call(call_id).id].gathers.get(gather_id)
    if gather is None:  # no code for an unknown gather is documented
        raise no_such_resource()
    return gather


def get_gather(account: Account, _: Fields, call_id: str, gather_id: str) -> Reply:
    """``getCallsCallIdGatherGatherId.md``."""
    return Reply(body=render.gather(account, call_id, _gather(account, call_id, gather_id)))


def stop_gather(account: Account, fields: Fields, call_id: str, gather_id: str) -> Reply:
    """``postCallsCallIdGatherGatherId.md``: only the state ``completed`` can be set."""
    gather = _gather(account, call_id, gather_id)
    if "state" not in fields:
        raise missing("state")
    fields.choice("state", ("completed",))
    if gather.completed_at is None:
        if gather.prompted and account.exchange.calls[call_id].state is CallState.ANSWERED:
            for kind in MediaKind:
                account.exchange.stop_playing(call_id, kind)
        events.end_gather(account, call_id, gather, None, None)
    return Reply()
