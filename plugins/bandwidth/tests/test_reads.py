"""Every read on the wire: polls, looks at a conference, a call or a bridge, and look-ups of what was lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import pytest

from confkit.provider import (
    Bridge,
    BridgeState,
    Call,
    CallSpec,
    CallState,
    Conference,
    ConferenceState,
    EndCause,
    FindHint,
    MemberState,
    Op,
    errors,
)

pytestmark = pytest.mark.anyio
BASE = "/v1/users/u-1"
OP = Op(key="meeting-1-leg-3")
CONF = Conference(provider="bandwidth", key="k", id="conf-1")
CALL = Call(provider="bandwidth", id="c-1", to="+19195550101")
BRIDGE = Bridge(provider="bandwidth", id="brg-1")
SPEC = CallSpec(to="+19195550101", caller_id="+12018994444", answer_timeout=timedelta(seconds=29.2))

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


def their_clock(ahead: timedelta) -> dict[str, str]:
    return {"date": format_datetime(datetime.now(UTC) + ahead, usegmt=True)}


def called_at(call_id: str, instant: datetime) -> dict[str, Any]:
    return ENDED | {"id": call_id, "to": SPEC.to, "startTime": f"{instant:%Y-%m-%dT%H:%M:%SZ}"}


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(hours=1), timedelta(hours=-1)])
async def test_a_lost_dial_is_told_from_an_earlier_one_to_the_same_party(
    provider: Any, stub: Any, ahead: timedelta
) -> None:
    since = datetime.now(UTC)
    hint = FindHint(operation="create_call", into=CONF, to=SPEC.to, since=since)
    earlier = called_at("c-1", since + ahead - timedelta(seconds=10))
    lost = called_at("c-2", since + ahead)
    stub.reply(200, [earlier, lost, ACTIVE | {"to": "+19195550177"}], **their_clock(ahead))
    assert [call.id for call in await provider.find(op_key="k", hint=hint)] == ["c-2"]
    stub.reply(200, [earlier], **their_clock(ahead))
    assert await provider.find(op_key="k", hint=hint) == ()


async def test_without_a_clock_an_earlier_call_leaves_it_in_doubt(provider: Any, stub: Any) -> None:
    since = datetime.now(UTC)
    hint = FindHint(operation="create_call", into=CONF, to=SPEC.to, since=since)
    earlier = called_at("c-1", since - timedelta(seconds=10))
    for told in ({}, {"date": "yesterday"}, {"date": "Fri, 27 Nov 2026 10:00:00 -0000"}):
        stub.reply(200, [earlier], **told)
        with pytest.raises(errors.OutcomeUnknown, match="earlier one"):
            await provider.find(op_key="k", hint=hint)
    stub.reply(200, [earlier, called_at("c-2", since)])
    assert [call.id for call in await provider.find(op_key="k", hint=hint)] == ["c-2"]


async def test_of_several_calls_to_a_party_the_newest_is_found_first(provider: Any, stub: Any) -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    calls = [called_at(f"c-{minute}", noon + timedelta(minutes=minute)) for minute in (1, 3, 2)]
    stub.reply(200, [ENDED | {"id": "c-0", "to": SPEC.to, "startTime": None}, *calls])
    hint = FindHint(operation="create_call", into=CONF, to=SPEC.to)
    assert [call.id for call in await provider.find(op_key="k", hint=hint)] == ["c-3", "c-2", "c-1", "c-0"]


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
