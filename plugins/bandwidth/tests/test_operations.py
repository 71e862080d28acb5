"""Every operation on the wire: method, path, body; what comes back; what counts as done already."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from confkit_bandwidth.provider import VOICES

from confkit.provider import (
    STOP,
    Bridge,
    BridgeState,
    Bridging,
    Call,
    CallSpec,
    CallState,
    Conference,
    ConferenceCreation,
    ConferencePatch,
    ConferenceSpec,
    EventSource,
    JoinMethod,
    Media,
    Member,
    MemberOptions,
    MemberPatch,
    Membership,
    MemberState,
    Op,
    RecordAction,
    errors,
)
from confkit.provider.discovery import open_provider

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
    spec = ConferenceSpec(caller_id="+19195551212", provider_options=options)
    await provider.create_conference(spec=spec, op=evolve(OP, callback_url="https://u:p@a.example/t"))
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
        provider_options=options,
    )
    await provider.create_call(spec=spec, op=evolve(OP, callback_url="https://a.example/t"), into=None)
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
    assert (found.creation, found.join_method, found.bridging) == (
        ConferenceCreation.EXPLICIT,
        JoinMethod.EXPLICIT,
        Bridging.FIRST,
    )
    assert (found.max_members, found.max_text, found.idempotent) == (20, 1000, frozenset())
    assert found.events == {EventSource.WEBHOOK, EventSource.POLL}
    assert found.reconcilable == {"create_call", "add_member"}
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
