"""ARI's events as confkit's. The shapes are those that Asterisk 22 sends, shortened to what is looked at."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve
from confkit_asterisk import facts, wire
from confkit_asterisk.state import Leg, State

from confkit.provider import Call, CallState, EndCause, events

AT = "2026-11-23T09:09:54.652+0000"


def channel(id_: str = "call-1", state: str = "Up", **more: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "name": "PJSIP/trunk-00000000",
        "state": state,
        "caller": {"name": "", "number": "+12015550199"},
        "connected": {"name": "", "number": ""},
        "dialplan": {"context": "in", "exten": "+12015550100", "priority": 1, "app_name": "Stasis", "app_data": ""},
        "creationtime": AT,
        **more,
    }


def bridge(*calls: str, name: str = wire.CONFERENCE) -> dict[str, Any]:
    return {"id": "room-1", "name": name, "bridge_type": "mixing", "channels": list(calls), "creationtime": AT}


def event(kind: str, **payload: Any) -> dict[str, Any]:
    return {"type": kind, "timestamp": AT, "application": "confkit", **payload}


@pytest.fixture
def state() -> State:
    state = State()
    state.legs["call-1"] = Leg(call=Call(provider="asterisk", id="call-1"), rings_for=timedelta(seconds=30))
    return state


#: Every type of event of ARI (``events.json`` of versions 16 and 22), and what it means where a channel that is a
#: member, its conference, a playback and a recording are all named in it.
MEANINGS: dict[str, type[events.Event] | None] = {
    "ApplicationMoveFailed": events.Unknown,
    "ApplicationRegistered": events.Unknown,
    "ApplicationReplaced": events.Unknown,
    "ApplicationUnregistered": events.Unknown,
    "BridgeAttendedTransfer": events.Unknown,
    "BridgeBlindTransfer": events.Unknown,
    "BridgeCreated": events.ConferenceStarted,
    "BridgeDestroyed": events.ConferenceEnded,
    "BridgeMerged": None,
    "BridgeVideoSourceChanged": None,
    "CallBroadcast": events.Unknown,
    "CallClaimed": events.Unknown,
    "ChannelCallerId": None,
    "ChannelConnectedLine": None,
    "ChannelCreated": None,
    "ChannelDestroyed": events.CallEnded,
    "ChannelDialplan": None,
    "ChannelDtmfReceived": events.DigitsReceived,
    "ChannelEnteredBridge": events.MemberJoined,
    "ChannelHangupRequest": None,
    "ChannelHold": events.Unknown,
    "ChannelLeftBridge": events.MemberLeft,
    "ChannelStateChange": None,
    "ChannelTalkingFinished": events.Unknown,
    "ChannelTalkingStarted": events.Unknown,
    "ChannelToneDetected": None,
    "ChannelTransfer": events.Unknown,
    "ChannelUnhold": events.Unknown,
    "ChannelUserevent": events.Unknown,
    "ChannelVarset": None,
    "ContactStatusChange": events.Unknown,
    "DeviceStateChanged": None,
    "Dial": None,
    "EndpointStateChange": events.Unknown,
    "MissingParams": events.Unknown,
    "PeerStatusChange": events.Unknown,
    "PlaybackContinuing": None,
    "PlaybackFinished": events.PlaybackEnded,
    "PlaybackStarted": events.PlaybackStarted,
    "RESTResponse": events.Unknown,
    "RecordingFailed": events.RecordingFailed,
    "RecordingFinished": events.RecordingReady,
    "RecordingStarted": None,
    "StasisEnd": None,
    "StasisStart": None,
    "TextMessageReceived": events.Unknown,
    "of a version to come": events.Unknown,
}
#: What may change what is known; nothing else does.
TELLING = {
    "BridgeCreated",
    "BridgeDestroyed",
    "ChannelDestroyed",
    "ChannelEnteredBridge",
    "ChannelLeftBridge",
    "ChannelStateChange",
    "PlaybackFinished",
    "PlaybackStarted",
    "RecordingFailed",
    "RecordingFinished",
    "StasisStart",
}


def everything(kind: str) -> dict[str, Any]:
    """An event that names all that an event can name."""
    return event(
        kind,
        channel=channel(),
        bridge=bridge("call-1", "call-2"),
        peer=channel(),
        playback={"id": "p-1", "target_uri": "bridge:room-1", "state": "playing"},
        recording={"name": "r-1", "target_uri": "bridge:room-1", "state": "done"},
        cause=16,
        digit="5",
        args=[],
    )


@pytest.mark.parametrize(("kind", "meaning"), MEANINGS.items())
def test_the_type_alone_says_what_an_event_means(state: State, kind: str, meaning: type[events.Event] | None) -> None:
    facts.take_in(event(IN, channel=channel(), bridge=bridge("call-1")), state)
    before = deepcopy(state)
    found = facts.take_in(everything(kind), state)
    assert [type(each) for each in found] == ([meaning] if meaning else [])
    assert kind in TELLING or state == before
    leg = state.leg("call-1")
    assert leg is not None
    assert (leg.bridge == "room-1") is (kind not in ("ChannelLeftBridge", "ChannelDestroyed"))
    for each in found:
        if isinstance(each, events.Unknown):
            assert (each.type, each.call_id, each.conference_id) == (kind, "call-1", "room-1")
            assert each.raw["type"] == kind


@pytest.mark.parametrize("kind", sorted(set(MEANINGS) - {None}))
def test_what_lacks_everything_means_nothing(state: State, kind: str) -> None:
    before = deepcopy(state)
    found = facts.take_in(event(kind), state)
    assert {type(each) for each in found} <= {events.Unknown}
    assert state == before


def test_an_unknown_event_on_a_bridge_of_two_is_of_no_conference(state: State) -> None:
    (found,) = facts.take_in(event("ChannelUserevent", bridge=bridge(name=wire.BRIDGE)), state)
    assert isinstance(found, events.Unknown)
    assert (found.call_id, found.conference_id) == (None, None)


def test_nobody_calls_when_a_channel_takes_the_place_of_another(state: State) -> None:
    """As after a blind transfer: a local channel stands in for the one that has transferred."""
    before = deepcopy(state)
    new = channel("1.9", name="Local/1000@d-00000000;1")
    (found,) = facts.take_in(event("StasisStart", args=[], channel=new, replace_channel=channel()), state)
    assert isinstance(found, events.Unknown)
    assert (found.type, found.call_id) == ("StasisStart", "call-1")
    assert state == before


IN, LEFT = "ChannelEnteredBridge", "ChannelLeftBridge"
CASES: list[tuple[dict[str, Any], dict[str, Any] | None, type[events.Event] | None]] = [
    (event("ChannelStateChange", channel=channel(state="Ringing")), {"call_id": "call-1"}, events.CallRinging),
    (event("ChannelStateChange", channel=channel(state="Up")), None, None),
    (
        event("StasisStart", args=[wire.DIALLED], channel=channel()),
        {"call_id": "call-1", "op": "call-1"},
        events.CallAnswered,
    ),
    (
        event("StasisStart", args=["incoming"], channel=channel("1700000000.1", "Ring")),
        {"call_id": "1700000000.1", "caller": "+12015550199", "called": "+12015550100"},
        events.IncomingCall,
    ),
    (event("StasisStart", args=[], channel=channel("x", name="Snoop/call-1-00000000")), None, None),
    (
        event("ChannelDestroyed", cause=17, cause_txt="User busy", channel=channel(state="Ringing")),
        {"call_id": "call-1", "cause": EndCause.BUSY},
        events.CallEnded,
    ),
    (
        event(IN, channel=channel(), bridge=bridge("call-1")),
        {"member_id": "call-1", "mute": False},
        events.MemberJoined,
    ),
    (event(LEFT, channel=channel(), bridge=bridge()), {"conference_id": "room-1"}, events.MemberLeft),
    (event(IN, channel=channel(), bridge=bridge("call-1", name=wire.BRIDGE)), None, None),
    (
        event(IN, channel=channel(), bridge=bridge("call-0", "call-1", name=wire.BRIDGE)),
        {"bridge_id": "room-1"},
        events.BridgeStarted,
    ),
    (event(LEFT, channel=channel(), bridge=bridge(name=wire.BRIDGE)), None, None),
    (event(IN, channel=channel(), bridge=bridge("call-1", name="somebody else's")), None, None),
    (event("BridgeDestroyed", bridge=bridge()), {"conference_id": "room-1"}, events.ConferenceEnded),
    (event("BridgeDestroyed", bridge=bridge(name=wire.BRIDGE)), {"bridge_id": "room-1"}, events.BridgeEnded),
    (
        event("ChannelDtmfReceived", digit="5", duration_ms=90, channel=channel()),
        {"digits": "5"},
        events.DigitsReceived,
    ),
    (
        event("PlaybackFinished", playback={"id": "p-1", "target_uri": "channel:call-1-whisper", "state": "failed"}),
        {"call_id": "call-1"},
        events.PlaybackEnded,
    ),
    (
        event(
            "RecordingFinished", recording={"name": "r-1", "target_uri": "channel:call-1-listen-op-7", "duration": 1}
        ),
        {"recording_id": "r-1", "call_id": "call-1", "conference_id": None, "bridge_id": None},
        events.RecordingReady,
    ),
    (event("ChannelVarset", variable="X", value="", channel=channel()), None, None),
    (event("Dial", dialstatus="RINGING", peer=channel()), None, None),
    (event("ChannelHold", channel=channel()), {"type": "ChannelHold", "call_id": "call-1"}, events.Unknown),
    (event("FromTheFuture", something=[1]), {"type": "FromTheFuture"}, events.Unknown),
    ({}, None, None),
]


@pytest.mark.parametrize(("payload", "values", "kind"), CASES, ids=lambda case: str(case)[:40])
def test_event(
    state: State, payload: dict[str, Any], values: dict[str, Any] | None, kind: type[events.Event] | None
) -> None:
    found = facts.take_in(payload, state)
    assert [type(each) for each in found] == ([kind] if kind else [])
    for each in found:
        assert each.raw is payload
        assert {name: getattr(each, name) for name in values or {}} == values
        assert each.occurred_at == datetime(2026, 11, 23, 9, 9, 54, 652000, UTC)


def test_an_event_that_comes_twice_has_one_id(state: State) -> None:
    payload = event("ChannelDestroyed", cause=16, channel=channel())
    other = event("ChannelDestroyed", cause=16, channel=channel("call-2"))
    ids = [facts.take_in(each, state)[0].id for each in (payload, payload, other)]
    assert ids[0] == ids[1] != ids[2]


def end(state: State, cause: int, at: str) -> EndCause:
    (found,) = facts.take_in({**event("ChannelDestroyed", cause=cause, channel=channel()), "timestamp": at}, state)
    assert isinstance(found, events.CallEnded)
    return found.cause


def test_a_call_that_we_have_cancelled_was_not_hung_up_on(state: State) -> None:
    state.legs["call-1"].given_up = True
    assert end(state, 16, AT) is EndCause.CANCELLED


def test_an_answered_call_that_we_have_ended_was_hung_up(state: State) -> None:
    state.legs["call-1"].given_up = True
    state.advance("call-1", CallState.ANSWERED, None)
    assert end(state, 16, AT) is EndCause.HANGUP


@pytest.mark.parametrize(
    ("ended_at", "cause"),
    [("2026-11-23T09:10:24.700+0000", EndCause.NO_ANSWER), ("2026-11-23T09:10:10.000+0000", EndCause.UNKNOWN)],
)
def test_version_16_tells_no_cause_when_nobody_answers(state: State, ended_at: str, cause: EndCause) -> None:
    leg = state.legs["call-1"]
    leg.call = evolve(leg.call, created_at=wire.timestamp(AT))
    assert end(state, 0, ended_at) is cause


def test_when_the_engine_is_gone_everything_is_over(state: State) -> None:
    facts.take_in(event(IN, channel=channel(), bridge=bridge("call-1")), state)
    state.conferences.add("room-1")
    kinds = [type(each) for each in facts.engine_gone(state)]
    assert kinds == [events.Unknown, events.CallEnded, events.ConferenceEnded]
    assert facts.engine_gone(state) == []


NOT_ANSWERED = set(EndCause) - {EndCause.HANGUP, EndCause.FAILED, EndCause.UNKNOWN}


@pytest.mark.parametrize("cause", range(128))
def test_who_has_answered_never_ends_as_one_who_has_not(state: State, cause: int) -> None:
    state.advance("call-1", CallState.ANSWERED, None)
    told = end(state, cause, AT)
    leg = state.leg("call-1")
    assert leg is not None
    assert told is leg.call.cause
    general = wire.cause_of(cause)
    assert told is (EndCause.FAILED if general in NOT_ANSWERED else general)


@pytest.mark.parametrize("cause", range(128))
def test_who_has_not_answered_ends_as_asterisk_says(state: State, cause: int) -> None:
    assert end(state, cause, AT) is wire.cause_of(cause)


def test_members_and_calls_of_another_process_have_answered(state: State) -> None:
    state.known("call-2")
    payload = event("ChannelDestroyed", cause=18, channel=channel("call-2"))
    assert [getattr(each, "cause", None) for each in facts.take_in(payload, state)] == [EndCause.FAILED]
    facts.take_in(event(IN, channel=channel(), bridge=bridge("call-1")), state)
    assert end(state, 19, AT) is EndCause.FAILED


@pytest.mark.parametrize(("state", "cause"), [("Up", EndCause.FAILED), ("Ringing", EndCause.NO_ANSWER)])
def test_of_a_call_that_is_not_known_its_last_state_tells(state: str, cause: EndCause) -> None:
    payload = event("ChannelDestroyed", cause=18, channel=channel("call-9", state))
    assert [getattr(each, "cause", None) for each in facts.take_in(payload, State())] == [cause]


@pytest.mark.parametrize("kind", ["RecordingFinished", "RecordingFailed", "PlaybackStarted", "PlaybackFinished"])
@pytest.mark.parametrize(
    ("target", "name", "whose"),
    [
        ("bridge:room-1", wire.CONFERENCE, ("room-1", None, None)),
        ("bridge:room-1", wire.BRIDGE, (None, "room-1", None)),
        ("bridge:of another process", None, ("of another process", None, None)),
        ("channel:call-1", None, (None, None, "call-1")),
        ("channel:call-1-whisper", None, (None, None, "call-1")),
        ("channel:call-1-listen-op-7", None, (None, None, "call-1")),
    ],
)
@pytest.mark.parametrize("over", [False, True])
def test_media_name_what_they_are_about(
    state: State, kind: str, target: str, name: str | None, whose: tuple[str | None, ...], over: bool
) -> None:
    """Also after its end: a recording is ready when what was recorded is over."""
    if name is not None:
        facts.take_in(event(IN, channel=channel("call-1"), bridge=bridge("call-0", "call-1", name=name)), state)
    if over:
        facts.take_in(event("BridgeDestroyed", bridge=bridge(name=name or "")), state)
        facts.take_in(event("ChannelDestroyed", cause=16, channel=channel()), state)
    thing = {"id": "m-1", "name": "m-1", "target_uri": target}
    (found,) = facts.take_in(event(kind, playback=thing, recording=thing), state)
    assert tuple(getattr(found, each) for each in ("conference_id", "bridge_id", "call_id")) == whose


def test_a_conference_is_ours_by_what_asterisk_has_written_down(state: State) -> None:
    (started,) = facts.take_in(event("BridgeCreated", bridge=bridge()), state)
    assert isinstance(started, events.ConferenceStarted)
    assert started.key == "room-1"
    assert facts.take_in(event("BridgeCreated", bridge=bridge(name="of another application")), state) == []
    assert wire.conference(bridge()).key == "room-1"
    assert wire.conference(bridge(name="of another application")).key == ""


def test_where_the_engine_does_not_tell_its_application_what_is_up_is_answered() -> None:
    old = channel()
    del old["dialplan"]["app_name"]
    assert wire.channel_state(old) is CallState.ANSWERED
    assert not wire.tells_its_application(old)
    early = channel(dialplan={"app_name": "", "app_data": ""})
    assert wire.channel_state(early) is CallState.RINGING
    assert wire.tells_its_application(early)


@pytest.mark.parametrize("cause", wire.CAUSES)
def test_causes(cause: int) -> None:
    assert wire.cause_of(cause) is wire.CAUSES[cause]


def test_any_other_cause_is_a_fault() -> None:
    assert wire.cause_of(38) is EndCause.FAILED
    assert wire.cause_of(None) is EndCause.UNKNOWN


def test_a_cause_that_comes_late_is_learnt(state: State) -> None:
    state.end("call-1", EndCause.UNKNOWN)  # a look at the channel found nothing
    assert end(state, 17, AT) is EndCause.BUSY
    leg = state.leg("call-1")
    assert leg is not None
    assert leg.call.cause is EndCause.BUSY
    assert end(state, 16, AT) is EndCause.BUSY


def test_a_cause_that_comes_late_is_that_of_a_call_that_was_answered(state: State) -> None:
    state.advance("call-1", CallState.ANSWERED, None)
    state.end("call-1", EndCause.UNKNOWN)
    assert end(state, 18, AT) is EndCause.FAILED
