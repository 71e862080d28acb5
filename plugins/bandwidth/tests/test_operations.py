"""Every operation on the wire: method, path, body; what comes back; what counts as done already."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from confkit_bandwidth.provider import VOICES

from confkit import errors
from confkit.capabilities import Bridging, EventSource, Idempotency, Joining, Materialise
from confkit.models import (
    STOP,
    Bridge,
    BridgeState,
    Call,
    CallSpec,
    CallState,
    Conference,
    ConferencePatch,
    ConferenceSpec,
    ConferenceState,
    EndCause,
    FindHint,
    Media,
    Member,
    MemberOptions,
    MemberPatch,
    Membership,
    MemberState,
    Op,
    RecordAction,
)
from confkit.plugins import open_provider

pytestmark = pytest.mark.anyio
BASE = "/v1/users/u-1"
OP = Op(key="meeting-1-leg-3")
CONF = Conference(provider="bandwidth", key="k", id="conf-1")
CALL = Call(provider="bandwidth", id="c-1", to="+19195550101")
MEMBER = Member(provider="bandwidth", id="member-1", call_id="c-1", conference=CONF)
BRIDGE = Bridge(provider="bandwidth", id="brg-1")
SPEC = CallSpec(to="+19195550101", caller_id="+12018994444", answer_timeout=timedelta(seconds=29.2))
DIALLED = {"from": "+12018994444", "to": "+19195550101", "callTimeout": 30, "tag": OP.key}

CHANGES = {
    "V14 end_conference": (
        "end_conference",
        {"conference": CONF},
        "/conferences/conf-1",
        {"state": "completed"},
    ),
    "V16 mute everyone": (
        "update_conference",
        {"conference": CONF, "patch": ConferencePatch(mute=True)},
        "/conferences/conf-1",
        {"mute": True},
    ),
    "V41 release everyone": (
        "update_conference",
        {"conference": CONF, "patch": ConferencePatch(mute=False, hold=False)},
        "/conferences/conf-1",
        {"mute": False, "hold": False},
    ),
    "V33 mute a member": (
        "update_member",
        {"member": MEMBER, "patch": MemberPatch(mute=True)},
        "/conferences/conf-1/members/member-1",
        {"mute": True},
    ),
    "V34 hold a member": (
        "update_member",
        {"member": MEMBER, "patch": MemberPatch(hold=True)},
        "/conferences/conf-1/members/member-1",
        {"hold": True},
    ),
    "V35 remove_member": (
        "remove_member",
        {"member": MEMBER},
        "/conferences/conf-1/members/member-1",
        {"state": "completed"},
    ),
    "V55 hang_up": ("hang_up", {"call": CALL}, "/calls/c-1", {"state": "completed"}),
    "answer_call": ("answer_call", {"call": CALL, "into": CONF}, "/calls/c-1", {"state": "active"}),
    "reject_call": ("reject_call", {"call": CALL}, "/calls/c-1", {"state": "rejected"}),
    "V79 end_bridge": ("end_bridge", {"bridge": BRIDGE}, "/bridges/brg-1", {"callIds": []}),
    "V66 send_digits": (
        "send_digits",
        {"call": CALL, "digits": "1WWW,59#"},
        "/calls/c-1/dtmf",
        {"dtmfOut": "1WWW,59#"},
    ),
    "V71 record": (
        "record",
        {"target": CALL, "action": RecordAction.START},
        "/calls/c-1",
        {"recordingEnabled": True},
    ),
    "V71 stop recording": (
        "record",
        {"target": CALL, "action": RecordAction.STOP},
        "/calls/c-1",
        {"recordingEnabled": False},
    ),
    "V44 say to a conference": (
        "play",
        {"target": CONF, "media": Media(text="hi", voice="Kate", locale="en_US")},
        "/conferences/conf-1/audio",
        {"sentence": "hi", "voice": "Kate", "locale": "en_US"},
    ),
    "V47 loop a file": (
        "play",
        {"target": CONF, "media": Media(url="http://h/f.mp3", loop=True)},
        "/conferences/conf-1/audio",
        {"fileUrl": "http://h/f.mp3", "loopEnabled": True},
    ),
    "V49 say to a member": (
        "play",
        {"target": MEMBER, "media": Media(text="hi")},
        "/conferences/conf-1/members/member-1/audio",
        {"sentence": "hi"},
    ),
    "play to a call": (
        "play",
        {"target": CALL, "media": Media(url="http://h/f.wav")},
        "/calls/c-1/audio",
        {"fileUrl": "http://h/f.wav"},
    ),
    "play to a bridge": (
        "play",
        {"target": BRIDGE, "media": Media(url="http://h/f.wav")},
        "/bridges/brg-1/audio",
        {"fileUrl": "http://h/f.wav"},
    ),
    "V48 stop a file": ("play", {"target": CONF, "media": STOP}, "/conferences/conf-1/audio", {"fileUrl": ""}),
}


@pytest.mark.parametrize(("operation", "arguments", "path", "body"), CHANGES.values(), ids=CHANGES)
async def test_a_change_is_one_post(
    provider: Any, stub: Any, operation: str, arguments: dict[str, Any], path: str, body: Any
) -> None:
    await getattr(provider, operation)(**arguments, op=OP)
    (seen,) = stub.seen
    assert (seen.method, seen.target, seen.body) == ("POST", BASE + path, body)


@pytest.mark.parametrize(("operation", "arguments"), [row[:2] for row in CHANGES.values()], ids=CHANGES)
async def test_a_change_that_fails_is_not_sent_again(
    provider: Any, stub: Any, operation: str, arguments: dict[str, Any]
) -> None:
    for status in (500, 429, 409, 404):
        stub.seen.clear()
        stub.refuse(status, None)
        with pytest.raises(errors.ProviderError) as caught:
            await getattr(provider, operation)(**arguments, op=OP)
        assert (caught.value.provider, caught.value.operation) == ("bandwidth", operation)
        assert len(stub.seen) == 1


OVER = [
    ("hang_up", {"call": CALL}, 403, "call-invalid-state"),
    ("reject_call", {"call": CALL}, 403, "call-invalid-state"),
    ("end_conference", {"conference": CONF}, 403, "conference-error"),
    ("remove_member", {"member": MEMBER}, 403, "conference-error"),
    ("end_bridge", {"bridge": BRIDGE}, 400, "bridge-invalid-state"),
    ("play", {"target": CALL, "media": STOP}, 403, "call-audio-invalid-state"),
    ("play", {"target": BRIDGE, "media": STOP}, 400, "bridge-invalid-operation"),
]


@pytest.mark.parametrize(("operation", "arguments", "status", "code"), OVER, ids=[row[0] for row in OVER])
async def test_v56_what_is_over_already_is_done(
    provider: Any, stub: Any, operation: str, arguments: dict[str, Any], status: int, code: str
) -> None:
    stub.refuse(status, code)
    await getattr(provider, operation)(**arguments, op=OP)
    # The same operation, refused for another reason, is refused.
    stub.refuse(404, "resource-not-found")
    with pytest.raises(errors.NotFound):
        await getattr(provider, operation)(**arguments, op=OP)


async def test_playing_into_what_is_over_is_refused(provider: Any, stub: Any) -> None:
    stub.refuse(403, "call-audio-invalid-state")
    with pytest.raises(errors.Conflict):
        await provider.play(target=CALL, media=Media(text="hi"), op=OP)


async def test_v46_speech_is_stopped_by_an_empty_sentence(provider: Any, stub: Any) -> None:
    await provider.play(target=CONF, media=Media(text="hi"), op=OP)
    await provider.play(target=MEMBER, media=STOP, op=OP)
    await provider.play(target=CONF, media=STOP, op=OP)
    await provider.play(target=CONF, media=STOP, op=OP)
    assert [seen.body for seen in stub.seen[1:]] == [{"fileUrl": ""}, {"sentence": ""}, {"fileUrl": ""}]


async def test_nothing_to_change_sends_nothing(provider: Any, stub: Any) -> None:
    await provider.update_member(member=MEMBER, patch=MemberPatch(), op=OP)
    await provider.update_conference(conference=CONF, patch=ConferencePatch(), op=OP)
    await provider.end_conference(conference=Conference(provider="bandwidth", key="k"), op=OP)
    assert not stub.seen


async def test_v4_create_conference(provider: Any, stub: Any) -> None:
    stub.created("/v1/users/u-1/conferences/conf-9")
    made = await provider.create_conference(spec=ConferenceSpec(caller_id="+19195551212"), op=OP)
    assert made == Conference(provider="bandwidth", key=OP.key, id="conf-9")
    assert (stub.seen[0].method, stub.seen[0].target) == ("POST", BASE + "/conferences")
    assert stub.seen[0].body == {"from": "+19195551212", "profile": "interpret_digits", "tag": OP.key}


async def test_v8_v10_v40_create_conference_with_all_options(connect: Any, stub: Any) -> None:
    provider = connect(profile="passthru_digits")
    stub.created("/v1/users/u-1/conferences/conf-9")
    options = {
        "callback_timeout": timedelta(seconds=2),
        "fallback_url": "https://b.example/c",
        "tag": "mine",
    }
    spec = ConferenceSpec(caller_id="+19195551212", callback_url="https://u:p@a.example/t", provider_options=options)
    await provider.create_conference(spec=spec, op=OP)
    assert stub.seen[0].body == {
        "from": "+19195551212",
        "profile": "passthru_digits",
        "callbackUrl": "https://u:p@a.example/t",
        "callbackHttpMethod": "POST",
        "callbackTimeout": 2000,
        "fallbackUrl": "https://b.example/c",
        "tag": "mine",
    }


INTO = {
    "alone": (None, {}, Membership.NONE),
    "V18 conference": (CONF, {"conferenceId": "conf-1"}, Membership.EXPLICIT),
    "bridge": (BRIDGE, {"bridgeId": "brg-1"}, Membership.ON_ANSWER),
}


@pytest.mark.parametrize(("into", "extra", "membership"), INTO.values(), ids=INTO)
async def test_create_call(provider: Any, stub: Any, into: Any, extra: Any, membership: Membership) -> None:
    stub.created("/v1/users/u-1/calls/c-9")
    dialled = await provider.create_call(spec=SPEC, op=OP, into=into)
    assert stub.seen[0].body == DIALLED | extra
    assert dialled.membership is membership
    assert dialled.call.id == "c-9"
    assert dialled.call.state is CallState.QUEUED
    assert dialled.call.conference_id == extra.get("conferenceId")
    assert dialled.call.bridge_id == extra.get("bridgeId")


async def test_v63_create_call_with_all_options(provider: Any, stub: Any) -> None:
    stub.created("/v1/users/u-1/calls/c-9")
    options = {
        "callback_timeout": timedelta(seconds=10),
        "fallback_url": "https://b.example/c",
        "recording_enabled": True,
        "recording_file_format": "mp3",
        "recording_max_duration": timedelta(minutes=5),
        "sip_headers": {"X-Header-1": "one"},
        "tag": '{ "context": "key" }',
        "transcription_enabled": False,
    }
    spec = CallSpec(
        to="sip:ann@example.com",
        caller_id="+12018994444",
        callback_url="https://a.example/t",
        provider_options=options,
    )
    await provider.create_call(spec=spec, op=OP, into=None)
    assert stub.seen[0].body == {
        "from": "+12018994444",
        "to": "sip:ann@example.com",
        "callTimeout": 30,
        "callbackUrl": "https://a.example/t",
        "callbackHttpMethod": "POST",
        "callbackTimeout": 10000,
        "fallbackUrl": "https://b.example/c",
        "recordingEnabled": True,
        "recordingFileFormat": "mp3",
        "recordingMaxDuration": 300,
        "sipHeaders": {"X-Header-1": "one"},  # T43: names in free maps stay as they are
        "tag": '{ "context": "key" }',
        "transcriptionEnabled": False,
    }


REFUSED_SPECS = {
    "V52 rings too long": ({"answer_timeout": timedelta(seconds=301)}, "at most 300 s"),
    "rings not at all": ({"answer_timeout": timedelta(0)}, "at most 300 s"),
    "sips": ({"to": "sips:ann@example.com"}, "use sip:"),
    "V62 six headers": (
        {"provider_options": {"sip_headers": {f"X-{n}": "v" for n in range(6)}}},
        "at most 5",
    ),
    "V62 header name": ({"provider_options": {"sip_headers": {"Y-1": "v"}}}, "start with X-"),
    "V62 header value": ({"provider_options": {"sip_headers": {"X-1": "v" * 257}}}, "longer than 256"),
    "header injection": ({"provider_options": {"sip_headers": {"X-1": "v\r\nX-2: w"}}}, "no plain text"),
    "V9 callback timeout": (
        {"provider_options": {"callback_timeout": timedelta(seconds=10.001)}},
        "at most 10 s",
    ),
    "unknown": ({"provider_options": {"callbackUrl": "x", "y": 1}}, "unknown option 'callbackUrl'; unknown"),
    "malformed": (
        {"provider_options": {"tag": 7, "recording_enabled": "true", "recording_file_format": "ogg"}},
        "recording_enabled must be True or False; recording_file_format must be one of wav, mp3; tag must",
    ),
}


@pytest.mark.parametrize(("changes", "why"), REFUSED_SPECS.values(), ids=REFUSED_SPECS)
async def test_what_bandwidth_cannot_dial_is_refused_before_the_wire(
    provider: Any, stub: Any, changes: dict[str, Any], why: str
) -> None:
    given = {"to": "+19195550101", "caller_id": "+12018994444"} | changes
    with pytest.raises(errors.InvalidRequest, match=why):
        await provider.create_call(spec=CallSpec(**given), op=OP, into=None)
    assert not stub.seen


async def test_a_conference_without_an_id_is_not_dialled_into(provider: Any, stub: Any) -> None:
    with pytest.raises(errors.InvalidRequest, match="has no id"):
        await provider.create_call(spec=SPEC, op=OP, into=Conference(provider="bandwidth", key="k"))
    assert not stub.seen


@pytest.mark.parametrize("digits", ["", "1" * 93, "12x", "1\n"])
async def test_v67_digits_are_checked_before_the_wire(provider: Any, stub: Any, digits: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="1 to 92"):
        await provider.send_digits(call=CALL, digits=digits, op=OP)
    assert not stub.seen


async def test_v21_add_member(provider: Any, stub: Any) -> None:
    stub.created("/v1/users/u-1/conferences/conf-1/members/member-9")
    options = MemberOptions(mute=True, provider_options={"join_tone": True})
    member = await provider.add_member(conference=CONF, call=CALL, options=options, op=OP)
    assert member.id == "member-9"
    assert member.state is MemberState.JOINED  # the 201 is the membership
    assert (member.call_id, member.conference, member.mute, member.hold) == ("c-1", CONF, True, False)
    assert stub.seen[0].target == BASE + "/conferences/conf-1/members"
    assert stub.seen[0].body == {"callId": "c-1", "mute": True, "joinTone": True}


ADDING = {
    "V19 not answered yet": (503, "call-unavailable", errors.NotReady),
    "V29 other conference": (403, "invalid-call-conference-id", errors.InvalidRequest),
    "V30 unknown call": (403, "call-id-not-found", errors.NotFound),
    "V31 call over": (403, "call-invalid-state", errors.Conflict),
    "V32 full": (403, "conference-max-members", errors.CapacityReached),
    "V37 conference over": (403, "conference-error", errors.Conflict),
    "added already": (409, "conference-member-update-conflict", errors.Conflict),
    "V88 conference busy": (409, "conference-update-conflict", errors.NotReady),
}


@pytest.mark.parametrize(("status", "code", "expected"), ADDING.values(), ids=ADDING)
async def test_adding_a_member_is_refused(
    provider: Any, stub: Any, status: int, code: str, expected: type[Exception]
) -> None:
    stub.refuse(status, code)
    with pytest.raises(expected) as caught:
        await provider.add_member(conference=CONF, call=CALL, options=MemberOptions(), op=OP)
    assert type(caught.value) is expected
    assert len(stub.seen) == 1


async def test_v72_v73_create_bridge(provider: Any, stub: Any) -> None:
    stub.created("/v1/users/u-1/calls/brg-9")
    assert await provider.create_bridge(calls=(), op=OP) == Bridge(provider="bandwidth", id="brg-9")
    stub.created("/v1/users/u-1/bridges/brg-9")
    other = Call(provider="bandwidth", id="c-2")
    made = await provider.create_bridge(calls=(CALL, other), op=OP)
    assert (made.call_ids, made.state) == (("c-1", "c-2"), BridgeState.ACTIVE)
    assert [seen.body for seen in stub.seen] == [
        {"bridgeAudio": True},
        {"bridgeAudio": True, "callIds": ["c-1", "c-2"]},
    ]


async def test_v64_v65_transfer(provider: Any, stub: Any) -> None:
    stub.created("/v1/users/u-1/calls/c-9")
    new = await provider.transfer(call=CALL, to="+19195550109", caller_id="+12018994444", op=OP)
    assert (new.id, new.to) == ("c-9", "+19195550109")
    assert stub.seen[0].target == BASE + "/calls/c-1"
    assert stub.seen[0].body == {
        "state": "transferring",
        "transferTo": "+19195550109",
        "transferCallerId": "+12018994444",
    }
    stub.created("/v1/users/u-1/calls/c-1")  # not a new call
    with pytest.raises(errors.OutcomeUnknown):
        await provider.transfer(call=CALL, to="+19195550109", caller_id="", op=OP)


async def test_answering_into_a_bridge_does_not_claim_to_have_joined_it(provider: Any, stub: Any) -> None:
    dialled = await provider.answer_call(call=CALL, into=BRIDGE, op=OP)
    assert (dialled.membership, dialled.call.state) == (Membership.NONE, CallState.ANSWERED)
    dialled = await provider.answer_call(call=CALL, into=CONF, op=OP)
    assert (dialled.membership, dialled.conference) == (Membership.EXPLICIT, CONF)
    assert len(stub.seen) == 2


# Reads

ACTIVE = {
    "id": "c-1",
    "direction": "out",
    "from": "+12018994444",
    "to": "+19195550101",
    "state": "active",
    "startTime": "2020-01-01T10:00:01Z",
    "activeTime": "2020-01-01T10:00:06Z",
    "callTimeout": 60,
    "callbackUrl": "",
    "conferenceId": "conf-1",
}
ENDED = {
    "id": "c-2",
    "to": "+19195550102",
    "state": "completed",
    "startTime": "2020-01-01T10:00:01Z",
    "endTime": "2020-01-01T10:00:04Z",
    "callTimeout": 60,
}
JOINED = {
    "id": "member-1",
    "state": "active",
    "addedTime": "2013-07-12T15:47:04-03",
    "call": "https://localhost:8444/v1/users/u-1/calls/c-1",
    "hold": False,
    "mute": "true",
}
LEFT = {
    "id": "member-2",
    "state": "completed",
    "addedTime": "2013-07-12T15:47:04-03",
    "removedTime": "2013-07-12T15:49:11-02",
    "call": "https://.../calls/c-2",
}


async def test_v57_the_poll_is_one_request(provider: Any, stub: Any) -> None:
    stub.reply(200, [ACTIVE, ENDED])
    first, second = await provider.list_calls(into=CONF)
    assert (stub.seen[0].method, stub.seen[0].target) == ("GET", BASE + "/calls?conferenceId=conf-1")
    assert (first.state, first.answered_at) == (
        CallState.ANSWERED,
        datetime(2020, 1, 1, 10, 0, 6, tzinfo=UTC),
    )
    assert (second.state, second.cause) == (CallState.ENDED, None)
    stub.reply(200, [])
    assert await provider.list_calls(into=BRIDGE) == ()
    assert stub.seen[1].target == BASE + "/calls?bridgeId=brg-1"
    assert len(stub.seen) == 2


async def test_no_id_never_lists_everybodys_calls(provider: Any, stub: Any) -> None:
    assert await provider.list_calls(into=Conference(provider="bandwidth", key="k")) == ()
    assert not stub.seen


RECORD = {"id": "conf-1", "state": "active", "activeMembers": 1, "tag": "the key that was sent"}


async def test_v28_v38_v93_v96_fetch_a_conference(provider: Any, stub: Any) -> None:
    stub.reply(200, RECORD)
    stub.reply(200, [JOINED, LEFT])
    stub.reply(200, [ACTIVE])
    found = await provider.fetch(ref=CONF)
    assert [seen.target for seen in stub.seen] == [
        BASE + "/conferences/conf-1",
        BASE + "/conferences/conf-1/members",
        BASE + "/calls?conferenceId=conf-1",
    ]
    joined, left = found.members
    assert (joined.call_id, joined.state, joined.mute) == ("c-1", MemberState.JOINED, True)
    assert (left.call_id, left.state) == ("c-2", MemberState.LEFT)
    assert left.left_at < left.joined_at  # the vendor's own sample
    assert found.conference.state is ConferenceState.ACTIVE
    assert found.calls[0].id == "c-1"


@pytest.mark.parametrize(
    ("record", "key"),
    [
        (RECORD, "the key that was sent"),
        (RECORD | {"state": "created"}, "the key that was sent"),
        (RECORD | {"state": "completed"}, "the key that was sent"),
        ({"id": "conf-1", "state": "active"}, ""),
        ({"id": "conf-1", "state": "created", "tag": ""}, ""),
        ({"id": "conf-1", "state": "created", "tag": None}, ""),
    ],
)
async def test_the_key_of_a_conference_is_what_its_record_has_and_never_what_was_asked_with(
    provider: Any, stub: Any, record: dict[str, Any], key: str
) -> None:
    stub.reply(200, record)
    if record["state"] != "created":
        stub.reply(200, [])
    stub.reply(200, [])
    found = await provider.fetch(ref=CONF)
    assert CONF.key
    assert found.conference.key == key


async def test_v36_a_conference_whose_members_have_all_left_is_over(provider: Any, stub: Any) -> None:
    stub.reply(200, RECORD | {"state": "completed"})
    stub.reply(200, [LEFT])
    stub.reply(200, [])
    found = await provider.fetch(ref=CONF)
    assert found.conference.state is ConferenceState.ENDED
    assert [member.state for member in found.members] == [MemberState.LEFT]


async def test_v7_fetch_a_conference_that_never_had_a_member(provider: Any, stub: Any) -> None:
    stub.reply(
        200,
        {"id": "conf-1", "state": "created", "activeMembers": 0, "createdTime": "2013-07-12T15:22:47-02"},
    )
    stub.reply(200, [])
    found = await provider.fetch(ref=CONF)
    assert found.conference.state is ConferenceState.CREATED
    assert found.conference.created_at == datetime(2013, 7, 12, 17, 22, 47, tzinfo=UTC)
    assert found.members == ()
    assert [seen.target for seen in stub.seen] == [BASE + "/conferences/conf-1", BASE + "/calls?conferenceId=conf-1"]


async def test_the_second_look_at_a_conference_saves_a_request_to_its_family(provider: Any, stub: Any) -> None:
    stub.reply(200, RECORD)
    for _ in range(2):
        stub.reply(200, [JOINED, LEFT])
        stub.reply(200, [])
    await provider.fetch(ref=CONF)
    stub.seen.clear()
    found = await provider.fetch(ref=CONF)
    assert len(stub.seen) == 2
    assert (found.conference.key, found.conference.state) == (RECORD["tag"], ConferenceState.ACTIVE)
    stub.reply(200, [LEFT])
    stub.reply(200, [])
    found = await provider.fetch(ref=CONF)
    assert (found.conference.key, found.conference.state) == (RECORD["tag"], ConferenceState.ENDED)
    stub.reply(200, [])
    stub.reply(200, RECORD | {"state": "completed"})
    stub.reply(200, [])
    assert (await provider.fetch(ref=CONF)).conference.state is ConferenceState.ENDED  # told by the record alone


async def test_a_conference_whose_state_is_not_told_is_asked_for_its_members(provider: Any, stub: Any) -> None:
    stub.reply(200, {"id": "conf-1"})
    stub.reply(200, [JOINED])
    stub.reply(200, [])
    assert len((await provider.fetch(ref=CONF)).members) == 1


async def test_two_reads_of_one_family_keep_its_limit(connect: Any, stub: Any) -> None:
    provider = connect(limits="documented", requests_per_second=10)
    stub.reply(200, RECORD)
    stub.reply(200, [JOINED])
    stub.reply(200, [])
    began = anyio.current_time()
    await provider.fetch(ref=CONF)
    assert anyio.current_time() - began >= 0.105


async def test_v13_fetch_what_does_not_exist(provider: Any, stub: Any) -> None:
    stub.refuse(404, "conference-not-found")
    with pytest.raises(errors.NotFound) as caught:
        await provider.fetch(ref=CONF)
    assert (caught.value.code, caught.value.status) == ("conference-not-found", 404)


async def test_v77_v80_fetch_a_bridge(provider: Any, stub: Any) -> None:
    stub.reply(200, {"id": "brg-1", "state": "hold", "bridgeAudio": "true"})
    stub.reply(200, [ACTIVE, ENDED])
    found = await provider.fetch(ref=BRIDGE)
    assert (found.bridge.state, found.bridge.call_ids) == (BridgeState.HELD, ("c-1",))
    assert [seen.target for seen in stub.seen] == [BASE + "/bridges/brg-1", BASE + "/calls?bridgeId=brg-1"]


async def test_the_cause_of_a_call_that_was_never_answered_is_in_its_log(provider: Any, stub: Any) -> None:
    stub.reply(200, ENDED)
    stub.reply(
        200,
        [
            {"id": "ce-1", "time": "2020-01-01T10:00:01Z", "name": "create"},
            {"id": "ce-2", "time": 1419032854964, "name": "hangup", "data": "USER_BUSY"},
        ],
    )
    (call,) = (await provider.fetch(ref=CALL)).calls
    assert call.cause is EndCause.BUSY
    assert stub.seen[1].target == BASE + "/calls/c-1/events"


@pytest.mark.parametrize("log", [[], "odd", [7, {"name": "hangup"}]])
async def test_a_log_without_a_cause_leaves_the_call_as_it_is(provider: Any, stub: Any, log: Any) -> None:
    stub.reply(200, ENDED)
    stub.reply(200, log)
    assert (await provider.fetch(ref=CALL)).calls[0].cause is None
    stub.reply(200, ENDED)
    stub.refuse(429, "rate-limit-reached")
    assert (await provider.fetch(ref=CALL)).calls[0].cause is None


async def test_t10_a_lost_dial_is_found_by_its_conference_and_number(provider: Any, stub: Any) -> None:
    stub.reply(200, [ACTIVE, ENDED])
    hint = FindHint(operation="create_call", into=CONF, to="+19195550102")
    (found,) = await provider.find(op_key="k", hint=hint)
    assert found.id == "c-2"
    stub.reply(200, [ACTIVE | {"to": "ann@Example.com"}])
    hint = FindHint(operation="create_call", into=BRIDGE, to="sip:ann@example.com")
    assert len(await provider.find(op_key="k", hint=hint)) == 1
    assert all(seen.method == "GET" for seen in stub.seen)


@pytest.mark.parametrize(
    ("listed", "dialled"),
    [
        ("+19195550102", "+19195550102"),
        ("19195550102", "+19195550102"),
        (" 19195550102", "+19195550102"),
        ("ann@example.com", "sip:ann@example.com"),
        ("sip:ann@example.com:5060;transport=udp", "sip:ann@example.com"),
    ],
)
async def test_a_lost_dial_is_found_however_its_number_is_written(
    provider: Any, stub: Any, listed: str, dialled: str
) -> None:
    stub.reply(200, [ACTIVE, ENDED | {"to": listed}])
    (found,) = await provider.find(op_key="k", hint=FindHint(operation="create_call", into=CONF, to=dialled))
    assert found.id == "c-2"


async def test_a_lost_dial_is_told_from_an_earlier_one_to_the_same_party(provider: Any, stub: Any) -> None:
    hint = FindHint(operation="create_call", into=CONF, to=SPEC.to)
    stub.created("/v1/users/u-1/calls/c-1")
    await provider.create_call(spec=SPEC, op=OP, into=CONF)
    stub.reply(200, [ACTIVE, ENDED | {"to": SPEC.to}])
    assert [call.id for call in await provider.find(op_key="k-2", hint=hint)] == ["c-2", "c-1"]


async def test_the_tag_proves_a_lost_dial_where_a_record_has_it(provider: Any, stub: Any) -> None:
    stub.reply(200, [ACTIVE | {"tag": "k-1"}, ENDED | {"to": ACTIVE["to"], "tag": "k-2"}])
    hint = FindHint(operation="create_call", into=CONF, to=SPEC.to)
    assert [call.id for call in await provider.find(op_key="k-2", hint=hint)] == ["c-2"]


async def test_an_empty_look_up_is_certain_or_it_is_in_doubt(provider: Any, stub: Any) -> None:
    dial = FindHint(operation="create_call", into=CONF, to="+19195550199")
    addition = FindHint(operation="add_member", into=CONF, call=CALL)
    stub.reply(200, [ACTIVE, ENDED])
    assert await provider.find(op_key="k", hint=dial) == ()
    stub.reply(200, [LEFT])
    assert await provider.find(op_key="k", hint=addition) == ()
    # A page more than there should be; a party without a number; a member without a call.
    stub.reply(200, [ACTIVE], link=f'<{stub.base_url}/calls?page=0>; rel="first",<{stub.base_url}/calls>; rel="next"')
    with pytest.raises(errors.OutcomeUnknown, match="more pages"):
        await provider.find(op_key="k", hint=dial)
    stub.reply(200, [{"id": "c-3", "state": "completed"}])
    with pytest.raises(errors.OutcomeUnknown, match="cannot be read"):
        await provider.find(op_key="k", hint=dial)
    stub.reply(200, [{"id": "member-3", "state": "active"}])
    with pytest.raises(errors.OutcomeUnknown, match="cannot be read"):
        await provider.find(op_key="k", hint=addition)
    assert len(stub.seen) == 5


async def test_the_first_page_is_enough_where_it_shows_the_call(provider: Any, stub: Any) -> None:
    stub.reply(200, [ACTIVE, {"id": "c-3"}], link='<calls?page=1>; rel="next"')
    hint = FindHint(operation="create_call", into=CONF, to=SPEC.to)
    assert len(await provider.find(op_key="k", hint=hint)) == 1


async def test_a_member_who_is_in_counts_before_one_who_has_left(provider: Any, stub: Any) -> None:
    stub.reply(200, [LEFT | {"call": JOINED["call"]}, JOINED])
    found = await provider.find(op_key="k", hint=FindHint(operation="add_member", into=CONF, call=CALL))
    assert [member.id for member in found] == ["member-1", "member-2"]


async def test_t11_a_lost_addition_is_found_by_its_call(provider: Any, stub: Any) -> None:
    stub.reply(200, [LEFT, JOINED])
    (found,) = await provider.find(op_key="k", hint=FindHint(operation="add_member", into=CONF, call=CALL))
    assert found.id == "member-1"


@pytest.mark.parametrize(
    "hint",
    [
        FindHint(operation="create_conference"),
        FindHint(operation="create_bridge"),
        FindHint(operation="create_call", to="+19195550101"),
    ],
    ids=lambda hint: hint.operation,
)
async def test_t9_what_cannot_be_looked_up_is_not_reported_as_absent(provider: Any, stub: Any, hint: FindHint) -> None:
    with pytest.raises(errors.Unsupported, match="find"):
        await provider.find(op_key="k", hint=hint)
    assert not stub.seen


# The plugin as a whole


async def test_the_entry_point_fits_the_contract(stub: Any) -> None:
    keywords = {"user_id": "u-1", "token": "t", "secret": "s", "base_url": stub.base_url}
    name, manager = open_provider("bandwidth", keywords)
    assert name == "bandwidth"
    stub.created("/v1/users/u-1/conferences/conf-9")
    made = await manager.hook.create_conference(spec=ConferenceSpec(caller_id="+19195551212"), op=OP)
    assert made.id == "conf-9"
    await manager.hook.aclose()


async def test_capabilities(connect: Any) -> None:
    found = connect(limits="documented").capabilities()
    assert (found.materialise, found.joining, found.bridging) == (
        Materialise.EXPLICIT,
        Joining.EXPLICIT,
        Bridging.FIRST,
    )
    assert (found.max_members, found.max_text, found.idempotency) == (20, 1000, Idempotency.NONE)
    assert found.events == {EventSource.WEBHOOK, EventSource.POLL}
    assert found.finds == {"create_call", "add_member"}
    assert found.voices is VOICES
    assert found.rows()["rates"] == [
        "call creation: 10 per 10 s (account)",
        "call creation per number: 10 per 10 s (number)",
        "calls: 1 per 1 s (account)",
        "conferences: 1 per 1 s (account)",
        "bridges: 1 per 1 s (account)",
    ]
    strict = connect(limits="documented", call_pacing="strict", calls_limit="5", requests_per_second=2)
    assert strict.capabilities().rows()["rates"][0] == "call creation: 1 per 2 s (account)"
    assert strict.capabilities().rows()["rates"][2] == "calls: 2 per 1 s (account)"
    assert connect().capabilities().rates == ()


async def test_every_operation_that_sends_is_paced(connect: Any) -> None:
    rates = connect(limits="documented").capabilities().rates
    paced = {name.partition(":")[0] for rate in rates for name in rate.costs}
    operations = {row[0] for row in CHANGES.values()}
    assert operations | {"create_conference", "create_call", "add_member", "create_bridge"} <= paced
    assert {"transfer", "fetch", "list_calls", "find"} <= paced
