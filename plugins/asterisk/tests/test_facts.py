"""ARI's events as confkit's. The shapes are those that Asterisk 22 sends, shortened to what is looked at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve
from confkit_asterisk import facts, wire
from confkit_asterisk.ledger import Ledger, Leg

from confkit import events
from confkit.models import Call, CallState, EndCause

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
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.legs["call-1"] = Leg(call=Call(provider="asterisk", id="call-1"), rings_for=timedelta(seconds=30))
    return ledger


IN, LEFT = "ChannelEnteredBridge", "ChannelLeftBridge"
CASES: list[tuple[dict[str, Any], dict[str, Any] | None, type[events.Event] | None]] = [
    (event("ChannelStateChange", channel=channel(state="Ringing")), {"call_id": "call-1"}, events.CallRinging),
    (event("ChannelStateChange", channel=channel(state="Up")), None, None),
    (event("StasisStart", args=[wire.DIALLED], channel=channel()), {"call_id": "call-1"}, events.CallAnswered),
    (
        event("StasisStart", args=["incoming"], channel=channel("1700000000.1", "Ring")),
        {"call_id": "1700000000.1", "caller": "+12015550199", "called": "+12015550100"},
        events.IncomingCall,
    ),
    (event("StasisStart", args=[], channel=channel("x", name="Snoop/call-1-00000000")), None, None),
    (
        event("ChannelDestroyed", cause=17, cause_txt="User busy", channel=channel()),
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
        {"recording_id": "r-1", "call_id": "call-1"},
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
    ledger: Ledger, payload: dict[str, Any], values: dict[str, Any] | None, kind: type[events.Event] | None
) -> None:
    found = facts.take_in(payload, ledger)
    assert [type(each) for each in found] == ([kind] if kind else [])
    for each in found:
        assert each.raw is payload
        assert {name: getattr(each, name) for name in values or {}} == values
        assert each.occurred_at == datetime(2026, 11, 23, 9, 9, 54, 652000, UTC)


def test_an_event_that_comes_twice_has_one_id(ledger: Ledger) -> None:
    payload = event("ChannelDestroyed", cause=16, channel=channel())
    other = event("ChannelDestroyed", cause=16, channel=channel("call-2"))
    ids = [facts.take_in(each, ledger)[0].id for each in (payload, payload, other)]
    assert ids[0] == ids[1] != ids[2]


def end(ledger: Ledger, cause: int, at: str) -> EndCause:
    (found,) = facts.take_in({**event("ChannelDestroyed", cause=cause, channel=channel()), "timestamp": at}, ledger)
    assert isinstance(found, events.CallEnded)
    return found.cause


def test_a_call_that_we_have_cancelled_was_not_hung_up_on(ledger: Ledger) -> None:
    ledger.legs["call-1"].given_up = True
    assert end(ledger, 16, AT) is EndCause.CANCELLED


def test_an_answered_call_that_we_have_ended_was_hung_up(ledger: Ledger) -> None:
    ledger.legs["call-1"].given_up = True
    ledger.advance("call-1", CallState.ANSWERED, None)
    assert end(ledger, 16, AT) is EndCause.HANGUP


@pytest.mark.parametrize(
    ("ended_at", "cause"),
    [("2026-11-23T09:10:24.700+0000", EndCause.NO_ANSWER), ("2026-11-23T09:10:10.000+0000", EndCause.UNKNOWN)],
)
def test_version_16_tells_no_cause_when_nobody_answers(ledger: Ledger, ended_at: str, cause: EndCause) -> None:
    leg = ledger.legs["call-1"]
    leg.call = evolve(leg.call, created_at=wire.timestamp(AT))
    assert end(ledger, 0, ended_at) is cause


def test_when_the_engine_is_gone_everything_is_over(ledger: Ledger) -> None:
    facts.take_in(event(IN, channel=channel(), bridge=bridge("call-1")), ledger)
    ledger.conferences.add("room-1")
    kinds = [type(each) for each in facts.engine_gone(ledger)]
    assert kinds == [events.Unknown, events.CallEnded, events.ConferenceEnded]
    assert facts.engine_gone(ledger) == []


@pytest.mark.parametrize("cause", wire.CAUSES)
def test_causes(cause: int) -> None:
    assert wire.cause_of(cause) is wire.CAUSES[cause]


def test_any_other_cause_is_a_fault() -> None:
    assert wire.cause_of(38) is EndCause.FAILED
    assert wire.cause_of(None) is EndCause.UNKNOWN


def test_a_cause_that_comes_late_is_learnt(ledger: Ledger) -> None:
    ledger.end("call-1", EndCause.UNKNOWN)  # a look at the channel found nothing
    assert end(ledger, 17, AT) is EndCause.BUSY
    leg = ledger.leg("call-1")
    assert leg is not None
    assert leg.call.cause is EndCause.BUSY
    assert end(ledger, 16, AT) is EndCause.BUSY
