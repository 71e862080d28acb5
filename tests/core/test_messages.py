"""All that flows take, say and return survives being written down and read again, as a durable engine does it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, get_args

import pytest
from attrs import asdict
from cattrs.preconf.json import JsonConverter, make_converter
from cattrs.strategies import configure_tagged_union

from confkit.models import events
from confkit.models import records as models
from confkit.models.capabilities import Bridging, ConferenceCreation
from confkit.models.records import JoinMethod
from confkit.workflows import messages
from confkit.workflows.policy import Mode, Plan

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RAW: dict[str, Any] = {"Sid": "c-1", "price": None, "links": {"calls": ["/c-1", 2, 0.5, True]}}
DATA = {"edge": "dublin"}
ROOM = models.Conference(provider="p", key="op-1", id="conf-1", created_at=NOON, raw=RAW, data=DATA)
BRIDGE = models.Bridge(provider="p", id="b-1", call_ids=("c-1", "c-2"), raw=RAW, data=DATA)
CALL = models.Call(
    provider="p",
    id="c-1",
    to="+19195550101",
    cause=models.EndCause.BUSY,
    state=models.CallState.ENDED,
    ended_at=NOON,
    raw=RAW,
    data=DATA,
)
MEMBER = models.Member(provider="p", id="m-1", call_id="c-1", conference=ROOM, joined_at=NOON, raw=RAW, data=DATA)
ANN = models.Party("+19195550101", name="Ann")
FAILURE = messages.Failure(kind="NotFound", message="gone", detail="gone", operation="play", code="7", status=404)
PLAN = Plan(
    mode=Mode.CONFERENCE,
    parties=(ANN, models.Party("sip:bob@example.com")),
    caller_id="+12018994444",
    quorum=2,
    limit=20,
    answer_timeout=timedelta(seconds=30.5),
)
HEAD: dict[str, Any] = {"id": "command-1", "owner": "m/owner"}
FACT: dict[str, Any] = {"provider": "p", "id": "e-1", "occurred_at": NOON, "flow": "m/leg-1", "raw": RAW}
PLACE: dict[str, Any] = {"call_id": "c-1", "member_id": "m-1", "conference_id": "conf-1"}

EVENTS: list[events.Event] = [
    events.CallRinging(**FACT, call_id="c-1"),
    events.CallAnswered(**FACT, call_id="c-1"),
    events.CallEnded(**FACT, call_id="c-1", cause=models.EndCause.REJECTED),
    events.MemberJoined(**FACT, **PLACE, mute=True),
    events.MemberLeft(**FACT, **PLACE),
    events.MemberUpdated(**FACT, **PLACE, hold=False),
    events.ConferenceStarted(**FACT, conference_id="conf-1", key="op-1"),
    events.ConferenceEnded(**FACT, conference_id="conf-1"),
    events.BridgeStarted(**FACT, bridge_id="b-1"),
    events.BridgeEnded(**FACT, bridge_id="b-1"),
    events.PlaybackStarted(**FACT, conference_id="conf-1"),
    events.PlaybackEnded(**FACT, call_id="c-1"),
    events.RecordingReady(**FACT, recording_id="r-1", url="https://example.com/r-1"),
    events.RecordingFailed(**FACT, recording_id="r-1"),
    events.DigitsReceived(**FACT, call_id="c-1", digits="1#"),
    events.IncomingCall(**FACT, call_id="c-1", caller="+19195550101", called="+12018994444"),
    events.Unknown(**FACT, type="gather"),
]
SAID: list[Any] = [
    messages.LegReport(
        leg="m/leg-1",
        stage=messages.Stage.ENDED,
        number=3,
        call=CALL,
        member=MEMBER,
        outcome=models.Outcome.BUSY,
        failure=FAILURE,
        left_behind="a call",
    ),
    messages.Proceed(into=ROOM),
    messages.Proceed(into=BRIDGE),
    messages.HangUp(),
    *[messages.Happened(event=event) for event in EVENTS],
    messages.Add(**HEAD, party=ANN, incoming=CALL),
    messages.Remove(**HEAD, target="m/leg-1"),
    messages.Perform(
        **HEAD,
        target="m/leg-1",
        operation="update_member",
        arguments=(models.MemberPatch(mute=True, coach="c-2"),),
    ),
    messages.Perform(**HEAD, operation="update_conference", arguments=(models.ConferencePatch(hold=False),)),
    messages.Perform(**HEAD, operation="play", arguments=(models.Media(text="Hi", locale="en_US"),)),
    messages.Perform(**HEAD, operation="play", arguments=(models.STOP,)),
    messages.Perform(**HEAD, operation="record", arguments=(models.RecordAction.PAUSE,)),
    messages.Perform(**HEAD, target="m/leg-1", operation="transfer", arguments=("+19195550102", "+12018994444")),
    messages.End(),
    messages.Established(conference=ROOM),
    messages.Established(bridge=BRIDGE),
    messages.Adopted(conference=ROOM),
    messages.Reply(command="command-1", failure=FAILURE, leg="m/leg-4"),
]
TAKEN_AND_RETURNED: list[Any] = [
    messages.MeetingBrief(
        plan=PLAN, owner="m/owner", provider="p", creation=ConferenceCreation.ON_JOIN, join_method=JoinMethod.FUSED,
        bridging=Bridging.FIRST, bridge_to_conference=True,
    ),
    messages.LegBrief(
        meeting="m", party=ANN, caller_id="+12018994444", answer_timeout=timedelta(seconds=30), into=BRIDGE,
        incoming=CALL,
    ),
    messages.LegBrief(meeting="m", party=ANN, caller_id="+1", answer_timeout=timedelta(seconds=30), into=ROOM),
    messages.LegEnd(outcome=models.Outcome.LEFT),
    messages.MeetingEnd(
        reason=messages.EndReason.QUORUM_MISSED, established=False, failure=FAILURE, left_behind=("a call",)
    ),
    # results of steps
    models.Dialled(call=CALL, membership=models.Membership.FUSED, conference=ROOM),
    ROOM,
    BRIDGE,
    CALL,
    MEMBER,
]  # fmt: skip


@pytest.fixture(scope="module")
def written() -> JsonConverter:
    converter = make_converter()
    converter.register_unstructure_hook(timedelta, lambda value: value / timedelta(microseconds=1))
    converter.register_structure_hook(timedelta, lambda value, _: timedelta(microseconds=value))
    kinds: Any = reduce(or_, [type(event) for event in EVENTS])
    configure_tagged_union(kinds, converter)
    converter.register_structure_hook(events.Event, lambda value, _: converter.structure(value, kinds))
    converter.register_unstructure_hook(events.Event, lambda value: converter.unstructure(value, kinds))
    told = {kind.__name__: kind for kind in get_args(messages.Argument)}
    converter.register_structure_hook_func(  # before what the converter does with a union that has a string in it
        lambda kind: kind == messages.Argument, lambda value, _: converter.structure(value[1], told[value[0]])
    )
    converter.register_unstructure_hook_func(
        lambda kind: kind == messages.Argument, lambda value: [type(value).__name__, converter.unstructure(value)]
    )
    room: Any = models.Conference | models.Bridge
    configure_tagged_union(room, converter)
    converter.register_structure_hook(room | None, lambda value, _: value and converter.structure(value, room))
    converter.register_unstructure_hook(room | None, lambda value: value and converter.unstructure(value, room))
    return converter


@pytest.mark.parametrize("value", [*SAID, *TAKEN_AND_RETURNED, *EVENTS], ids=lambda value: type(value).__name__)
def test_it_survives_being_written_down(written: JsonConverter, value: Any) -> None:
    kind = events.Event if isinstance(value, events.Event) else type(value)
    text = json.dumps(written.unstructure(value, kind))
    again = written.structure(json.loads(text), kind)
    assert again == value
    assert type(again) is type(value)
    assert asdict(again) == asdict(value)  # with what two that are equal may differ in: the platform's own payload


def test_every_record_that_has_a_payload_is_written_down_with_one() -> None:
    values = [*SAID, *TAKEN_AND_RETURNED]
    assert all(value.raw == RAW for value in (*EVENTS, *(each for each in values if hasattr(each, "raw"))))


def test_nothing_that_flows_say_is_left_out() -> None:
    assert {type(value) for value in SAID} == set(get_args(messages.Message))
    every_event = {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)}
    assert {type(event) for event in EVENTS} == every_event - {events.Event}
