"""Every documented callback becomes its event, by POST and by GET; nothing that arrives breaks the parser."""

from __future__ import annotations

import json
from typing import Any

import pytest
from confkit_bandwidth.callbacks import parse
from hypothesis import given
from hypothesis import strategies as st

from confkit.provider import EndCause, WebhookRejected, WebhookRequest, events

pytestmark = pytest.mark.anyio
HOST = "https://any-host/v1/users/u-1"
ON_CALL = {"callId": "c-1", "callUri": f"{HOST}/calls/c-1"}
ENDS = {"from": "+19195550100", "to": "+19195550111"}
ON_CONF = {"conferenceId": "conf-1", "conferenceUri": f"{HOST}/conferences/conf-1"}
TIME = {"time": "2020-01-01T10:00:06Z"}
MEMBER = {
    "eventType": "conference-member",
    "conferenceId": "conf-1",
    "callId": "c-1",
    "memberId": "member-1",
    "memberUri": f"{HOST}/conferences/conf-1/members/member-1",
    "activeMembers": 1,
    "hold": False,
    "mute": True,
    **TIME,
}
IDS = {"call_id": "c-1", "member_id": "member-1", "conference_id": "conf-1"}

EVENTS: dict[str, tuple[dict[str, Any], type[events.Event], dict[str, Any]]] = {
    "T27 incomingcall": (
        {
            "eventType": "incomingcall",
            **ENDS,
            **ON_CALL,
            "callState": "active",
            "applicationId": "a-1",
            "diversion": {"origTo": "+1", "limit": 5, "Limit": "5"},
            **TIME,
        },
        events.IncomingCall,
        {"call_id": "c-1", "caller": "+19195550100", "called": "+19195550111"},
    ),
    "V20 answer": (
        {"eventType": "answer", **ENDS, **ON_CALL, "callState": "active", "tag": "t", **TIME},
        events.CallAnswered,
        {"call_id": "c-1"},
    ),
    "V51 T26 timeout": (
        {"eventType": "timeout", **ENDS, **ON_CALL, **TIME},
        events.CallEnded,
        {"call_id": "c-1", "cause": EndCause.NO_ANSWER},
    ),
    "V53 T25 reject": (
        {
            "eventType": "hangup",
            **ENDS,
            **ON_CALL,
            "callState": "completed",
            "cause": "CALL_REJECTED",
            "time": "2014-04-23T11:53:43-03",
        },
        events.CallEnded,
        {"call_id": "c-1", "cause": EndCause.REJECTED},
    ),
    "reject, of the SDKs for Java and C#": (
        {"eventType": "reject", **ENDS, **ON_CALL, "cause": "CALL_REJECTED", "time": "2012-01-01T10:00:00Z"},
        events.CallEnded,
        {"call_id": "c-1", "cause": EndCause.REJECTED},
    ),
    "reject without a cause": (
        {"eventType": "reject", "callId": "c-2"},
        events.CallEnded,
        {"call_id": "c-2", "cause": EndCause.REJECTED},
    ),
    "error, of the SDK for Python": (
        {"eventType": "error", **ENDS, **ON_CALL, "callState": "error"},
        events.CallEnded,
        {"call_id": "c-1", "cause": EndCause.FAILED},
    ),
    "error without a state": (
        {"eventType": "error", "callUri": f"{HOST}/calls/c-2", **TIME},
        events.CallEnded,
        {"call_id": "c-2", "cause": EndCause.FAILED},
    ),
    "error with a cause": (
        {"eventType": "error", "callId": "c-3", "callState": "error", "cause": "UNALLOCATED_NUMBER"},
        events.CallEnded,
        {"call_id": "c-3", "cause": EndCause.UNALLOCATED},
    ),
    "error of a call that is up": (
        {"eventType": "error", **ON_CALL, "callState": "active"},
        events.Unknown,
        {"type": "error", "call_id": "c-1"},
    ),
    "hangup without callId": (
        {"eventType": "hangup", "callUri": f"{HOST}/calls/c-7", "cause": "USER_BUSY"},
        events.CallEnded,
        {"call_id": "c-7", "cause": EndCause.BUSY},
    ),
    "playback": (
        {"eventType": "playback", "status": "started", **ON_CALL, **TIME},
        events.PlaybackStarted,
        {"call_id": "c-1", "conference_id": None},
    ),
    "T28 speak by state": (
        {"eventType": "speak", "state": "PLAYBACK_STOP", **ON_CALL, **TIME},
        events.PlaybackEnded,
        {"call_id": "c-1"},
    ),
    "speak by both": (
        {"eventType": "speak", "state": "PLAYBACK_START", "status": "started", **ON_CALL, **TIME},
        events.PlaybackStarted,
        {"call_id": "c-1"},
    ),
    "V43 dtmf": (
        {"eventType": "dtmf", **ON_CALL, "dtmfDigit": "5", **TIME},
        events.DigitsReceived,
        {"call_id": "c-1", "digits": "5"},
    ),
    "gather": (
        {"eventType": "gather", "state": "completed", "digits": "12", "gatherId": "g-1", "callId": "c-1"},
        events.Unknown,
        {"type": "gather", "call_id": "c-1"},
    ),
    "V71 recording": (
        {"eventType": "recording", "status": "complete", "recordingId": "r-1", "callId": "c-1"},
        events.RecordingReady,
        {"recording_id": "r-1", "call_id": "c-1"},
    ),
    "recording lost": (
        {"eventType": "recording", "state": "error", "recordingUri": f"{HOST}/recordings/r-1"},
        events.RecordingFailed,
        {"recording_id": "r-1", "call_id": None},
    ),
    "transcription": (
        {"eventType": "transcription", "transcriptionId": "t-1", "status": "completed"},
        events.Unknown,
        {"type": "transcription"},
    ),
    "V40 T29 conference created": (
        {
            "eventType": "conference",
            **ON_CONF,
            "status": "created",
            "createdTime": "2013-07-12T16:26:55.685-02:00",
        },
        events.ConferenceStarted,
        {"conference_id": "conf-1", "key": None},
    ),
    "V36 conference completed": (
        {
            "eventType": "conference",
            **ON_CONF,
            "status": "completed",
            "createdTime": "2013-07-12T16:26:55.685-02:00",
            "completedTime": "2013-07-12T16:45:10.103-02:00",
        },
        events.ConferenceEnded,
        {"conference_id": "conf-1"},
    ),
    "V27 V33 member joined": (
        MEMBER | {"state": "active"},
        events.MemberJoined,
        {**IDS, "mute": True, "hold": False},
    ),
    "V35 T30 member left": (MEMBER | {"state": "completed"}, events.MemberLeft, IDS),
    "stray full stop": (
        MEMBER | {"state": "completed", "eventType": "conference-member."},
        events.MemberLeft,
        IDS,
    ),
    "V47 conference-playback": (
        {"eventType": "conference-playback", **ON_CONF, "status": "started", **TIME},
        events.PlaybackStarted,
        {"call_id": None, "conference_id": "conf-1"},
    ),
    "V44 conference-speak": (
        {"eventType": "conference-speak", **ON_CONF, "status": "done", **TIME},
        events.PlaybackEnded,
        {"conference_id": "conf-1"},
    ),
    "unknown type": (
        {"eventType": "brand-new", **ON_CALL, **ON_CONF, "more": [1]},
        events.Unknown,
        {"type": "brand-new", "call_id": "c-1", "conference_id": "conf-1"},
    ),
    "known type without an id": ({"eventType": "answer"}, events.Unknown, {"type": "answer"}),
    "known type with an odd state": (
        MEMBER | {"state": "odd"},
        events.Unknown,
        {"type": "conference-member"},
    ),
}


def by_post(payload: dict[str, Any]) -> WebhookRequest:
    return WebhookRequest(method="POST", path="/", body=json.dumps(payload).encode())


def by_get(payload: dict[str, Any]) -> WebhookRequest:
    query = {name: value if isinstance(value, str) else json.dumps(value) for name, value in payload.items()}
    return WebhookRequest(method="GET", path="/", query=query)


@pytest.mark.parametrize("request_of", [by_post, by_get])
@pytest.mark.parametrize(("payload", "kind", "expected"), EVENTS.values(), ids=EVENTS)
async def test_every_documented_callback(
    provider: Any, request_of: Any, payload: dict[str, Any], kind: type[events.Event], expected: dict[str, Any]
) -> None:
    received = await provider.receive(request=request_of(payload))
    (event,) = received.events
    assert isinstance(event, kind)
    assert {name: getattr(event, name) for name in expected} == expected
    assert event.provider == "bandwidth"
    assert received.reply.status == 200
    if request_of is by_post:
        assert event.raw == payload


def test_times_are_the_platforms() -> None:
    created, completed = parse(EVENTS["V40 T29 conference created"][0]), parse(EVENTS["V36 conference completed"][0])
    assert str(created[0].occurred_at) == "2013-07-12 18:26:55.685000+00:00"
    assert str(completed[0].occurred_at) == "2013-07-12 18:45:10.103000+00:00"
    assert str(parse(EVENTS["V53 T25 reject"][0])[0].occurred_at) == "2014-04-23 14:53:43+00:00"


CAUSES = {
    "NORMAL_CLEARING": EndCause.HANGUP,
    "ORIGINATOR_CANCEL": EndCause.CANCELLED,
    "USER_BUSY": EndCause.BUSY,
    "NO_ANSWER": EndCause.NO_ANSWER,
    "CALL_REJECTED": EndCause.REJECTED,
    "UNALLOCATED_NUMBER": EndCause.UNALLOCATED,
    "NORMAL_TEMPORARY_FAILURE": EndCause.NOT_PERMITTED,
    "user_busy": EndCause.BUSY,
    "SOMETHING_ELSE": EndCause.FAILED,
    None: EndCause.UNKNOWN,
}


@pytest.mark.parametrize(("written", "expected"), CAUSES.items())
def test_v54_v89_every_hangup_cause(written: str | None, expected: EndCause) -> None:
    (event,) = parse({"eventType": "hangup", "callId": "c-1", "cause": written})
    assert isinstance(event, events.CallEnded)
    assert event.cause is expected


def test_v101_two_deliveries_of_one_event_have_one_id() -> None:
    for payload, _, _ in EVENTS.values():
        again = dict(reversed(payload.items())) | {"activeMembers": 2}
        assert parse(payload)[0].id == parse(again)[0].id


def test_different_events_have_different_ids() -> None:
    member = MEMBER | {"state": "active"}
    variants = [
        member,
        member | {"mute": False},
        member | {"hold": True},
        member | {"state": "completed"},
        member | {"memberId": "member-2"},
        member | {"time": "2020-01-01T10:00:07Z"},
        *(payload for payload, _, _ in EVENTS.values() if payload.get("eventType") != "conference-member"),
    ]
    assert len({parse(payload)[0].id for payload in variants}) == len(variants)


#: What may happen twice in a second, whose times are whole seconds.
AGAIN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "digit": (
        {"eventType": "dtmf", **ON_CALL, "dtmfDigit": "5", "dtmfDuration": "1400", **TIME},
        {"dtmfDuration": "1600"},
    ),
    "speech": (
        {"eventType": "speak", **ON_CALL, "status": "done", "state": "PLAYBACK_STOP", "tag": "first", **TIME},
        {"tag": "second"},
    ),
    "file": ({"eventType": "playback", **ON_CALL, "status": "started", "tag": "first", **TIME}, {"tag": "second"}),
    "speech in a conference": ({"eventType": "conference-speak", **ON_CONF, "status": "done", **TIME}, {"tag": "2"}),
    "file in a conference": ({"eventType": "conference-playback", **ON_CONF, "status": "done", **TIME}, {"tag": "2"}),
    "mute": (MEMBER | {"state": "active"}, {"mute": False}),
    "hold": (MEMBER | {"state": "active"}, {"hold": True}),
    "gather": ({"eventType": "gather", "gatherId": "g-1", "digits": "1", "callId": "c-1", **TIME}, {"digits": "11"}),
    "recording": ({"eventType": "recording", "status": "complete", "recordingId": "r-1"}, {"recordingId": "r-2"}),
    "something new": ({"eventType": "brand-new", **ON_CALL, "more": {"b": [2], "a": 1}}, {"more": {"b": [3], "a": 1}}),
}


@pytest.mark.parametrize("request_of", [by_post, by_get])
@pytest.mark.parametrize(("first", "change"), AGAIN.values(), ids=AGAIN)
async def test_what_happens_twice_in_a_second_is_two_events_and_each_comes_once(
    provider: Any, request_of: Any, first: dict[str, Any], change: dict[str, Any]
) -> None:
    async def told(payload: dict[str, Any]) -> list[str]:
        return [event.id for event in (await provider.receive(request=request_of(payload))).events]

    assert await told(first) != await told(first | change)
    for payload in (first, first | change):
        again = dict(reversed(payload.items()))
        assert await told(payload) == await told(again)
        assert parse(payload)[0].id == (await told(payload))[0]  # a POST and a GET are one


#: What happens once, however its second delivery differs.
ONCE: dict[str, tuple[dict[str, Any], type[events.Event]]] = {
    "incomingcall": ({"eventType": "incomingcall", **ENDS, **ON_CALL, **TIME}, events.IncomingCall),
    "answer": ({"eventType": "answer", **ON_CALL, **TIME}, events.CallAnswered),
    "hangup": ({"eventType": "hangup", **ON_CALL, "cause": "USER_BUSY", **TIME}, events.CallEnded),
    "timeout": ({"eventType": "timeout", **ON_CALL, **TIME}, events.CallEnded),
    "reject": ({"eventType": "reject", **ON_CALL, **TIME}, events.CallEnded),
    "error": ({"eventType": "error", **ON_CALL, **TIME}, events.CallEnded),
    "created": ({"eventType": "conference", **ON_CONF, "status": "created"}, events.ConferenceStarted),
    "completed": ({"eventType": "conference", **ON_CONF, "status": "completed"}, events.ConferenceEnded),
    "left": (MEMBER | {"state": "completed"}, events.MemberLeft),
    "recording": (
        {"eventType": "recording", "status": "complete", "recordingId": "r-1", **TIME},
        events.RecordingReady,
    ),
    "lost recording": (
        {"eventType": "recording", "status": "error", "recordingId": "r-1", **TIME},
        events.RecordingFailed,
    ),
}


@pytest.mark.parametrize(("payload", "kind"), ONCE.values(), ids=ONCE)
def test_what_happens_once_is_known_by_what_it_is_about(payload: dict[str, Any], kind: type[events.Event]) -> None:
    later = payload | {"time": "2020-01-01T10:00:07Z", "tag": "other", "completedTime": "2020-01-01T10:00:07Z"}
    (first,), (second,) = parse(payload), parse(later)
    assert type(first) is type(second) is kind
    assert first.id == second.id
    for name in ("callId", "conferenceId", "memberId", "recordingId"):
        if name in payload and not (kind in (events.MemberLeft,) and name == "callId"):
            assert parse(payload | {name: "another"})[0].id != first.id


def test_what_happens_once_has_as_many_ids_as_there_are_facts() -> None:
    assert len({parse(payload)[0].id for payload, _ in ONCE.values()}) == len(ONCE)


def test_every_type_that_an_sdk_names_is_read() -> None:
    # EventType of java-bandwidth, the events of python-bandwidth 2, and the pages.
    of_calls = ("incomingcall", "answer", "speak", "playback", "hangup", "dtmf", "reject", "timeout", "error")
    values: dict[str, Any] = {"status": "started", "dtmfDigit": "1"}
    for name in of_calls:
        assert not isinstance(parse({"eventType": name, "callId": "c-1", **values})[0], events.Unknown), name
    for name in ("gather", "transcription", "sms", "mms", "transferComplete", "redirect", "unknown"):
        assert isinstance(parse({"eventType": name, "callId": "c-1", **values})[0], events.Unknown), name


@pytest.mark.parametrize("written", ["1420070400000", 1420070400000, "2015-01-01T00:00:00Z"])
def test_a_number_of_milliseconds_may_come_as_text(written: Any) -> None:
    (event,) = parse({"eventType": "answer", "callId": "c-1", "time": written})
    assert str(event.occurred_at) == "2015-01-01 00:00:00+00:00"


def test_values_that_nest_too_deeply_are_no_reason_to_fail() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert parse({"eventType": "dtmf", "callId": "c-1", "dtmfDigit": "1", "odd": deep})[0].id
    assert parse({"eventType": "dtmf", "callId": "c-1", "dtmfDigit": "1", "odd": "[" * 100_000})[0].id
    while deep:  # or the interpreter itself goes too deep when it lets go of it
        deep = deep.pop()


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"{}", b'{"eventType": 7}', b"[" * 100_000, b'{"eventType": ""}'],
)
async def test_a_malformed_body_is_the_senders_mistake(provider: Any, body: bytes) -> None:
    with pytest.raises(WebhookRejected) as caught:
        await provider.receive(request=WebhookRequest(method="POST", path="/", body=body))
    assert caught.value.status == 400


async def test_other_methods_are_refused(provider: Any) -> None:
    with pytest.raises(WebhookRejected) as caught:
        await provider.receive(request=WebhookRequest(method="PUT", path="/", body=b"{}"))
    assert caught.value.status == 405


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)
FIELDS = sorted({name for payload, _, _ in EVENTS.values() for name in payload})


@given(
    st.sampled_from(sorted({payload["eventType"] for payload, _, _ in EVENTS.values()})),
    st.dictionaries(st.sampled_from(FIELDS), json_values),
)
def test_no_payload_breaks_the_parser(kind: str, fields: dict[str, Any]) -> None:
    (event,) = parse(fields | {"eventType": kind})
    assert event.id


def test_nothing_secret_is_shown() -> None:
    payload = EVENTS["T27 incomingcall"][0] | {"callbackUrl": "https://u:p@h/4711"}
    assert "4711" not in repr(parse(payload))
    assert "9195550100" not in repr(parse(payload))


def test_the_tag_of_an_answer_is_our_key() -> None:
    answer = {"eventType": "answer", **ENDS, **ON_CALL, "callState": "active", **TIME}
    assert [event.op for event in parse(answer | {"tag": "op-1"})] == ["op-1"]
    assert [event.op for event in parse(answer)] == [None]
    # Of other events the tag is that of the playback or the gathering, or not documented.
    played = {"eventType": "speak", **ON_CALL, "status": "done", "state": "PLAYBACK_STOP", "tag": "first", **TIME}
    assert [event.op for event in parse(played)] == [None]
