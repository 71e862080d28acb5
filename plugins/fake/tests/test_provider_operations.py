"""Members, media, incoming calls, events and errors of the fake provider."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest
from confkit_fake import ErrorCode, ExchangeError, FakeProvider
from confkit_fake.translate import ERRORS, error

from confkit.provider import (
    STOP,
    Call,
    CallSpec,
    CallState,
    Conference,
    ConferencePatch,
    ConferenceSpec,
    Conflict,
    EndCause,
    FindHint,
    InvalidRequest,
    Media,
    Member,
    MemberOptions,
    MemberPatch,
    NotReady,
    Op,
    ProviderError,
    RecordAction,
    events,
)

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

OURS = "+12018994444"
ANN = "+19195550101"
BOB = "+19195550102"


async def meeting(fake: FakeProvider, *numbers: str) -> tuple[Conference, list[Call], list[Member]]:
    conference = await fake.create_conference(spec=ConferenceSpec(caller_id=OURS), op=Op(key="room"))
    calls, members = [], []
    for to in numbers:
        spec = CallSpec(to=to, caller_id=OURS)
        call = (await fake.create_call(spec=spec, op=Op(key=f"dial{to[1:]}"), into=conference)).call
        calls.append(call)
        members.append(
            await fake.add_member(conference=conference, call=call, options=MemberOptions(), op=Op(key=f"add{to[1:]}"))
        )
    return conference, calls, members


async def take(stream: AsyncIterator[events.Event], count: int) -> list[events.Event]:
    return [await anext(stream) for _ in range(count)]


async def test_members_and_conferences_are_muted_and_held() -> None:
    fake = FakeProvider()
    conference, (ann, bob), (member, _) = await meeting(fake, ANN, BOB)
    await fake.update_member(member=member, patch=MemberPatch(mute=True), op=Op(key="mute"))
    assert not fake.exchange.hears(bob.id, ann.id)
    await fake.update_member(member=member, patch=MemberPatch(mute=False), op=Op(key="unmute"))
    await fake.update_conference(conference=conference, patch=ConferencePatch(hold=True), op=Op(key="hold"))
    snapshot = await fake.fetch(ref=conference)
    assert snapshot.conference is not None
    assert snapshot.conference.hold
    assert not fake.exchange.hears(bob.id, ann.id)


async def test_media_go_to_conference_member_and_call() -> None:
    fake = FakeProvider()
    conference, (ann, _), (_, member) = await meeting(fake, ANN, BOB)
    await fake.play(target=conference, media=Media(text="Welcome"), op=Op(key="p1"))
    await fake.play(target=member, media=Media(url="http://files.example/a.wav", loop=True), op=Op(key="p2"))
    await fake.play(target=ann, media=Media(text="x" * 1000), op=Op(key="p3"))
    assert {playback.target.id for playback in fake.exchange.playing} == {conference.id, member.id, ann.id}
    for target in (conference, member, ann):
        await fake.play(target=target, media=STOP, op=Op(key="stop"))
    assert not fake.exchange.playing
    await fake.hang_up(call=ann, op=Op(key="hang-up"))
    await fake.play(target=ann, media=STOP, op=Op(key="stop"))  # nothing plays, so it succeeds
    with pytest.raises(Conflict):
        await fake.play(target=ann, media=Media(text="hello"), op=Op(key="p4"))


@pytest.mark.parametrize("media", [Media(text="x" * 1001), Media(text=""), Media(url="http://a.example", text="b")])
async def test_media_that_no_platform_takes(media: Media) -> None:
    fake = FakeProvider()
    conference, _, _ = await meeting(fake, ANN)
    with pytest.raises(InvalidRequest):
        await fake.play(target=conference, media=media, op=Op(key="play"))


async def test_recordings_digits_and_transfers() -> None:
    fake = FakeProvider()
    _, (ann,), _ = await meeting(fake, ANN)
    await fake.record(target=ann, action=RecordAction.START, op=Op(key="r1"))
    with pytest.raises(Conflict):
        await fake.record(target=ann, action=RecordAction.START, op=Op(key="r2"))
    await fake.send_digits(call=ann, digits="1#", op=Op(key="d"))
    assert fake.exchange.calls[ann.id].digits_sent == ["1#"]
    new = await fake.transfer(call=ann, to=BOB, caller_id=OURS, op=Op(key="t"))
    assert (new.to, new.state) == (BOB, CallState.RINGING)
    assert await fake.find(op_key="t", hint=FindHint(operation="transfer")) != ()


async def test_an_incoming_call_is_rejected() -> None:
    fake = FakeProvider()
    stream = fake.events()
    fake.exchange.incoming(ANN, OURS)
    (event,) = await take(stream, 1)
    assert isinstance(event, events.IncomingCall)
    assert (event.caller, event.called) == (ANN, OURS)
    call = Call(provider="fake", id=event.call_id)
    for key in ("one", "two"):
        await fake.reject_call(call=call, op=Op(key=key))
    assert fake.exchange.calls[event.call_id].cause is EndCause.REJECTED


async def test_the_stream_tells_a_meeting_from_end_to_end() -> None:
    fake = FakeProvider()
    fake.party(ANN).answers(after=1).presses("5", after=1).hangs_up(after=5)
    stream = fake.events()
    conference = await fake.create_conference(
        spec=ConferenceSpec(caller_id=OURS, provider_options={"interpret_digits": False}), op=Op(key="room")
    )
    spec = CallSpec(to=ANN, caller_id=OURS)
    call = (await fake.create_call(spec=spec, op=Op(key="dial"), into=conference)).call
    await anyio.sleep(1)
    member = await fake.add_member(conference=conference, call=call, options=MemberOptions(), op=Op(key="add"))
    await fake.update_member(member=member, patch=MemberPatch(mute=True), op=Op(key="mute"))
    await fake.play(target=conference, media=Media(text="hi"), op=Op(key="play"))
    await fake.record(target=call, action=RecordAction.START, op=Op(key="record"))
    told = await take(stream, 12)
    assert [type(event).__name__ for event in told] == [
        "ConferenceStarted",
        "CallRinging",
        "CallAnswered",
        "MemberJoined",
        "MemberUpdated",
        "PlaybackStarted",
        "PlaybackEnded",
        "DigitsReceived",
        "CallEnded",
        "RecordingReady",
        "MemberLeft",
        "ConferenceEnded",
    ]
    started, joined, updated, ended = told[0], told[3], told[4], told[8]
    assert isinstance(started, events.ConferenceStarted)
    assert (started.conference_id, started.key) == (conference.id, "room")
    assert isinstance(joined, events.MemberJoined)
    assert (joined.call_id, joined.member_id) == (call.id, member.id)
    assert isinstance(updated, events.MemberUpdated)
    assert updated.mute is True
    assert isinstance(ended, events.CallEnded)
    assert ended.cause is EndCause.HANGUP
    assert len({event.id for event in told}) == len(told)
    assert all(event.raw["kind"] for event in told)


async def test_bridge_events_and_unknown_ones() -> None:
    fake = FakeProvider()
    calls = []
    for to in (ANN, BOB):
        spec = CallSpec(to=to, caller_id=OURS)
        calls.append((await fake.create_call(spec=spec, op=Op(key=to[1:]), into=None)).call)
    fake.exchange.advance()
    stream = fake.events()
    bridge = await fake.create_bridge(calls=tuple(calls), op=Op(key="bridge"))
    await fake.end_bridge(bridge=bridge, op=Op(key="end"))
    created, started, ended = await take(stream, 3)
    assert isinstance(created, events.Unknown)
    assert created.type == "bridge_created"
    assert isinstance(started, events.BridgeStarted)
    assert isinstance(ended, events.BridgeEnded)


async def test_events_can_be_lost_repeated_and_reordered() -> None:
    fake = FakeProvider()
    stream = fake.events()
    fake.deliver = lambda batch: [event for event in reversed(batch) for _ in range(2)]
    conference, _, _ = await meeting(fake, ANN)
    await fake.end_conference(conference=conference, op=Op(key="end"))
    told = [type(event).__name__ for event in await take(stream, 4)]
    assert told == ["ConferenceEnded", "ConferenceEnded", "MemberLeft", "MemberLeft"]


async def test_unknown_provider_options_are_refused() -> None:
    fake = FakeProvider()
    conference, (call,), _ = await meeting(fake, ANN)
    options = {"colour": "red"}
    requests = len(fake.requests)
    for attempt in (
        fake.create_conference(spec=ConferenceSpec(caller_id=OURS, provider_options=options), op=Op(key="room-2")),
        fake.create_call(spec=CallSpec(to=BOB, caller_id=OURS, provider_options=options), op=Op(key="dial"), into=None),
        fake.add_member(
            conference=conference, call=call, options=MemberOptions(provider_options=options), op=Op(key="a")
        ),
    ):
        with pytest.raises(InvalidRequest, match="colour"):
            await attempt
    assert len(fake.requests) == requests


@pytest.mark.parametrize("code", ErrorCode)
def test_every_refusal_is_one_portable_error(code: ErrorCode) -> None:
    assert set(ERRORS) == set(ErrorCode)
    translated = error(ExchangeError(code, "thing"), "create_call")
    assert type(translated) is ERRORS[code]
    assert isinstance(translated, ProviderError)
    assert (translated.code, translated.provider, translated.operation) == (code.value, "fake", "create_call")
    assert isinstance(translated, NotReady) is (code is ErrorCode.CALL_NOT_ANSWERED)


async def test_a_released_provider_keeps_its_truth() -> None:
    fake = FakeProvider()
    await meeting(fake, ANN)
    await fake.aclose()
    assert fake.closed
    assert len(fake.exchange.still_up()) == 2
