"""Times, scalars and records, in every form that the vendor's pages show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confkit_bandwidth import wire
from hypothesis import given
from hypothesis import strategies as st

from confkit.provider import BridgeState, CallState, Conference, ConferenceState, EndCause, MemberState

CONF = Conference(provider="bandwidth", key="k", id="conf-1")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


TIMES = {
    "TS1": ("2013-04-22T13:55:30.279Z", utc("2013-04-22T13:55:30.279")),
    "TS2": ("2014-12-19T19:13:20Z", utc("2014-12-19T19:13:20")),
    "TS3": ("2013-07-12T15:22:47-02", utc("2013-07-12T17:22:47")),
    "TS4": ("2013-07-12T15:47:04-03", utc("2013-07-12T18:47:04")),
    "TS5": ("2013-07-12T15:49:11-02", utc("2013-07-12T17:49:11")),
    "TS6": ("2013-07-12T16:26:55.685-02:00", utc("2013-07-12T18:26:55.685")),
    "TS7": ("2013-07-12T16:45:10.103-02:00", utc("2013-07-12T18:45:10.103")),
    "TS8": ("2014-04-23T11:53:43-03", utc("2014-04-23T14:53:43")),
    "TS9": (1419032854964, utc("2014-12-19T23:47:34.964")),
    "TS10": (1391514755496, utc("2014-02-04T11:52:35.496")),
    "TS11": ("2013-02-08T13:15:65.887Z", None),
    "TS12": (1479308598680, utc("2016-11-16T15:03:18.680")),
    "TS13": ("2013-02-21T13:38:00", utc("2013-02-21T13:38:00")),
    "TS9 as text": ("1419032854964", utc("2014-12-19T23:47:34.964")),
    "a date": ("20141219", utc("2014-12-19T00:00:00")),
    "hhmm": ("2013-07-12T15:22:47+0530", utc("2013-07-12T09:52:47")),
    "nanoseconds": ("2013-07-12T15:22:47.123456789Z", utc("2013-07-12T15:22:47.123456")),
    "lower case": ("2013-07-12t15:22:47z", utc("2013-07-12T15:22:47")),
    "offset too large": ("2013-07-12T15:22:47+99", None),
    "before the first year": ("0001-01-01T00:00:00+02", None),
    "after the last year": (10**20, None),
    "not a number": (float("nan"), None),
    "true": (True, None),
    "empty": ("", None),
    "null": (None, None),
    "list": ([], None),
}


@pytest.mark.parametrize(("written", "expected"), TIMES.values(), ids=TIMES)
def test_v92_every_form_of_a_time(written: Any, expected: datetime | None) -> None:
    found = wire.timestamp(written)
    assert found == expected
    assert found is None or found.tzinfo is UTC


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
NAMES = [
    *("state", "from", "to", "startTime", "activeTime", "endTime", "createdTime", "completedTime"),
    *("addedTime", "removedTime", "call", "callId", "conferenceId", "conference", "bridgeId", "bridge"),
    *("callIds", "callTimeout", "mute", "hold"),
]


@given(json_values)
def test_no_value_is_too_odd_for_a_time(value: Any) -> None:
    found = wire.timestamp(value)
    assert found is None or found.utcoffset() == timedelta(0)


@given(st.dictionaries(st.sampled_from(NAMES), json_values))
def test_no_property_but_the_id_can_spoil_a_record(properties: dict[str, Any]) -> None:
    record = properties | {"id": "x"}
    assert wire.call(record).id == "x"
    assert wire.member(record, of=CONF).id == "x"
    assert wire.bridge(record).id == "x"
    assert wire.conference(record).id == "x"


@given(json_values)
def test_what_is_no_record_is_refused_in_words(value: Any) -> None:
    for convert in (wire.call, wire.bridge, wire.every(wire.call)):
        if convert is not wire.call and value == []:
            continue
        if isinstance(value, dict) and isinstance(value.get("id"), str) and value["id"]:
            continue
        with pytest.raises((ValueError, TypeError, LookupError)):
            convert(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), ("true", True), ("True", True), (False, False), ("false", False), ("", None), (1, None)],
)
def test_t12_booleans_come_as_strings_too(value: Any, expected: bool | None) -> None:
    assert wire.boolean(value) is expected


CALLS = {
    "started": ({"state": "started"}, CallState.QUEUED, None),
    "active": ({"state": "active"}, CallState.ANSWERED, None),
    "transferring": ({"state": "transferring"}, CallState.ANSWERED, None),
    "rejected": ({"state": "rejected"}, CallState.ENDED, EndCause.REJECTED),
    "answered and over": (
        {"state": "completed", "activeTime": "2020-01-01T10:00:06Z"},
        CallState.ENDED,
        EndCause.HANGUP,
    ),
    "rang until the end": (
        {
            "state": "completed",
            "startTime": "2020-01-01T10:00:00Z",
            "endTime": "2020-01-01T10:00:29.9Z",
            "callTimeout": 30,
        },
        CallState.ENDED,
        EndCause.NO_ANSWER,
    ),
    "over sooner": (
        {
            "state": "completed",
            "startTime": "2020-01-01T10:00:00Z",
            "endTime": "2020-01-01T10:00:05Z",
            "callTimeout": 30,
        },
        CallState.ENDED,
        None,
    ),
    "unknown state, over": (
        {"state": "odd", "endTime": "2020-01-01T10:00:05Z"},
        CallState.ENDED,
        None,
    ),
    "unknown state, answered": (
        {"state": "odd", "activeTime": "2020-01-01T10:00:05Z"},
        CallState.ANSWERED,
        None,
    ),
    "no state": ({}, CallState.QUEUED, None),
    "error": ({"state": "error"}, CallState.ENDED, EndCause.FAILED),
    "error while they talked": (
        {"state": "error", "activeTime": "2020-01-01T10:00:05Z"},
        CallState.ENDED,
        EndCause.FAILED,
    ),
    "in capitals": ({"state": "ERROR"}, CallState.ENDED, EndCause.FAILED),
    "numbers as text": (
        {"state": "completed", "startTime": "1577872800000", "endTime": "1577872830000", "callTimeout": "30"},
        CallState.ENDED,
        EndCause.NO_ANSWER,
    ),
}


@pytest.mark.parametrize(("record", "state", "cause"), CALLS.values(), ids=CALLS)
def test_states_of_a_call(record: dict[str, Any], state: CallState, cause: EndCause | None) -> None:
    call = wire.call({"id": "c-1"} | record)
    assert (call.state, call.cause) == (state, cause)


def test_t39_states_are_open() -> None:
    assert wire.member({"id": "m", "state": "Created"}, of=CONF).state is MemberState.JOINED
    assert wire.member({"id": "m", "removedTime": "2020-01-01T10:00:05Z"}, of=CONF).state is MemberState.LEFT
    assert wire.bridge({"id": "b", "state": "error"}).state is BridgeState.ENDED
    assert wire.bridge({"id": "b", "bridgeAudio": "false"}).state is BridgeState.HELD
    assert wire.bridge({"id": "b", "bridgeAudio": "true"}).state is BridgeState.CREATED
    assert wire.bridge({"id": "b", "bridgeAudio": False, "state": "active"}).state is BridgeState.ACTIVE
    assert wire.bridge({"id": "b", "callIds": ["c-1", 7]}).call_ids == ("c-1",)
    ended = wire.conference({"id": "conf-1", "completedTime": "2020-01-01T10:00:05Z"})
    assert ended.state is ConferenceState.ENDED


def test_t36_a_plus_that_was_lost_in_a_query_is_put_back() -> None:
    assert wire.address({"from": " 19195550101"}, "from") == "+19195550101"
    assert wire.address({"from": "ann@example.com"}, "from") == "ann@example.com"


def test_the_callback_url_is_a_secret_and_not_shown() -> None:
    call = wire.call({"id": "c-1", "callbackUrl": "https://u:p@app.example/t-4711", "to": "+19195550101"})
    assert "4711" not in repr(call)
    assert "9195550101" not in repr(call)
