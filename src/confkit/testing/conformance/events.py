"""What a platform reports: over a stream, or by webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import anyio
import pytest
from attrs import evolve

from confkit.models.capabilities import EventSource
from confkit.models.errors import WebhookRejected
from confkit.models.events import (
    CallAnswered,
    CallEnded,
    CallRinging,
    ConferenceEnded,
    ConferenceStarted,
    Event,
    IncomingCall,
    MemberJoined,
    MemberLeft,
    Received,
    RecordingReady,
    Unknown,
    WebhookReply,
    WebhookRequest,
    call_of,
)
from confkit.models.records import Call, CallState, Conference, Outcome, RecordAction
from confkit.testing.conformance import rules
from confkit.testing.conformance.area import RuleGroup
from confkit.testing.conformance.fixture import PUBLIC_URL, Fixture, on_fixture
from confkit.testing.conformance.harness import Harness
from confkit.testing.conformance.media import RECORDED, target
from confkit.testing.conformance.rules import broken, check
from confkit.testing.conformance.subject import where

_streams = where(lambda on: on.tells_by(EventSource.STREAM))
_calls_back = where(lambda on: on.tells_by(EventSource.WEBHOOK))

#: Nothing listens there: the suite itself delivers.
CALLBACK = f"{PUBLIC_URL}/AAAAAAAAAAAAAAAAAAAAAA/m-1/leg-1"
_CALL = {"call_id": "call-1"}
_ROOM = {"conference_id": "conference-1"}
_MEMBER = {**_CALL, **_ROOM, "member_id": "member-1"}
KINDS: Mapping[type[Event], Mapping[str, str]] = {
    CallRinging: _CALL,
    CallAnswered: _CALL,
    CallEnded: _CALL,
    MemberJoined: _MEMBER,
    MemberLeft: _MEMBER,
    ConferenceStarted: _ROOM,
    ConferenceEnded: _ROOM,
}
_A_MOMENT = timedelta(seconds=2)
_GARBAGE = (b"", b"\xff\xfe\x00", b"{", b"[]", b"null", b"=&=&", b"<html>")


def named(kind: type[Event]) -> str:
    """The event's name, as the id of a test."""
    return kind.__name__


class StreamRules(RuleGroup):
    """See ``docs/contract.md#events``."""

    @_streams
    @pytest.mark.parametrize("kind", [CallAnswered, CallEnded, MemberJoined, MemberLeft], ids=named)
    async def test_the_stream_tells(self, harness: Harness, kind: type[Event]) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room(2)
            if kind in (CallEnded, MemberLeft):
                harness.hang_up(room.addresses[0])
            expected: dict[str, Any] = {"call_id": room.calls[0].id}
            if kind in (MemberJoined, MemberLeft):
                expected |= {"member_id": room.members[0].id, "conference_id": room.conference.id}

            async def told() -> Any:
                return next((event for event in fixture.events if _is(event, kind, expected)), None)

            event = await fixture.until(told, rules.TELLS, f"no {kind.__name__} of a call came")
            _sound(fixture, event)

    @where(lambda on, place: on.tells_by(EventSource.STREAM) and place in on.can.record)
    @pytest.mark.parametrize("place", RECORDED)
    async def test_the_stream_tells_of_a_recording(self, harness: Harness, place: str) -> None:
        async with on_fixture(harness) as fixture:
            recorded = await target(fixture, place)
            for action in (RecordAction.START, RecordAction.STOP):
                await fixture.ask("record", target=recorded, action=action)

            async def told() -> Any:
                return next((event for event in fixture.events if isinstance(event, RecordingReady)), None)

            _names(await fixture.until(told, rules.TELLS, "no RecordingReady came"), place, recorded.id)

    @_streams
    async def test_events_of_a_stream_have_ids_of_their_own(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room(2)
            harness.hang_up(room.addresses[0])

            async def told() -> bool:
                return any(isinstance(event, CallEnded) for event in fixture.events)

            await fixture.until(told, rules.TELLS, "no CallEnded came")
            ids = [event.id for event in fixture.events]
            check(
                all(ids) and len(set(ids)) == len(ids), rules.EVENT_IDS, f"{len(ids)} events have {len(set(ids))} ids"
            )

    @_streams
    async def test_the_stream_echoes_no_other_key(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room(2)
            harness.hang_up(room.addresses[0])

            async def told() -> bool:
                return any(isinstance(event, CallEnded) for event in fixture.events)

            await fixture.until(told, rules.TELLS, "no CallEnded came")
            others = [
                event
                for event in fixture.events
                if event.op is not None and (call := call_of(event)) is not None and event.op != fixture.keys.get(call)
            ]
            check(not others, rules.ECHOES, f"{len(others)} events about calls have another")


class WebhookRules(RuleGroup):
    """See ``docs/contract.md#receive``."""

    def _request(self, fixture: Fixture, kind: type[Event], ids: Mapping[str, str]) -> WebhookRequest:
        return fixture.harness.webhook(kind, ids, CALLBACK)

    async def _read(self, fixture: Fixture, request: WebhookRequest) -> Received:
        try:
            received: Received = await fixture.attempt("receive", request=request)
        except WebhookRejected as error:
            raise broken(rules.TELLS, f"a genuine request was rejected: {error}") from error
        return received

    @where(lambda on, kind: on.tells_by(EventSource.WEBHOOK) and kind in on.harness.reports)
    @pytest.mark.parametrize("kind", KINDS, ids=named)
    async def test_webhook(self, harness: Harness, kind: type[Event]) -> None:
        async with on_fixture(harness) as fixture:
            ids = KINDS[kind]
            received = await self._read(fixture, self._request(fixture, kind, ids))
            # Some platforms have no ids for members: there the call's, or one that is made of it, stands for it.
            ids = {name: value for name, value in ids.items() if name != "member_id"}
            event = next((event for event in received.events if _is(event, kind, ids)), None)
            found = ", ".join(named(type(event)) for event in received.events) or "nothing"
            if event is None:
                raise broken(rules.TELLS, f"{kind.__name__} arrives as {found}, or with other ids")
            check(getattr(event, "member_id", True), rules.TELLS, f"a {kind.__name__} has no member_id")
            _sound(fixture, event)
            check(200 <= received.reply.status < 300, rules.TELLS, f"the reply is {received.reply.status}")

    @where(
        lambda on, place: (
            on.tells_by(EventSource.WEBHOOK) and RecordingReady in on.harness.reports and place in on.can.record
        )
    )
    @pytest.mark.parametrize("place", RECORDED)
    async def test_a_webhook_of_a_recording(self, harness: Harness, place: str) -> None:
        async with on_fixture(harness) as fixture:
            ids = {f"{place}_id": f"{place}-1", "recording_id": "recording-1"}
            received = await self._read(fixture, self._request(fixture, RecordingReady, ids))
            event = next((event for event in received.events if isinstance(event, RecordingReady)), None)
            if event is None:
                raise broken(rules.TELLS, f"a recording of a {place} arrives as something else")
            _names(event, place, f"{place}-1")

    @where(lambda on: on.tells_by(EventSource.WEBHOOK) and on.harness.echoes)
    async def test_a_webhook_echoes_our_key(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            key = fixture.op().key
            received = await self._read(fixture, self._request(fixture, CallAnswered, {**_CALL, "op": key}))
            check([event.op for event in received.events] == [key], rules.ECHOES, "it is another, or none")

    @_calls_back
    async def test_a_webhook_that_comes_twice(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            request = self._request(fixture, CallAnswered, _CALL)
            first = [event.id for event in (await self._read(fixture, request)).events]
            second = [event.id for event in (await self._read(fixture, request)).events]
            check(first == second, rules.EVENT_IDS, "the second delivery has another id")

    @_calls_back
    async def test_two_webhooks_have_two_ids(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            ids: list[str] = []
            for kind, call in ((CallAnswered, "call-1"), (CallAnswered, "call-2"), (CallEnded, "call-1")):
                request = self._request(fixture, kind, {"call_id": call})
                ids += [event.id for event in (await self._read(fixture, request)).events]
            check(len(set(ids)) == len(ids), rules.EVENT_IDS, "two events have one")

    @_calls_back
    async def test_webhooks_in_disorder(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            requests = [self._request(fixture, kind, _CALL) for kind in (CallAnswered, CallEnded)]
            forth = [(await self._read(fixture, request)).events for request in requests]
            back = [(await self._read(fixture, request)).events for request in reversed(requests)]
            check(forth == back[::-1], rules.READS_ONLY, "the order made a difference")

    @_calls_back
    async def test_an_unknown_type(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            request = self._request(fixture, Unknown, _CALL)
            try:
                received = await fixture.attempt("receive", request=request)
            except WebhookRejected as error:
                raise broken(rules.UNKNOWN_TYPES, f"it was rejected: {error}") from error
            check(
                any(isinstance(event, Unknown) for event in received.events) and received.reply.status < 300,
                rules.UNKNOWN_TYPES,
                f"it gave {len(received.events)} events and {received.reply.status}",
            )

    @_calls_back
    @pytest.mark.parametrize("body", _GARBAGE, ids=repr)
    async def test_what_cannot_be_read(self, harness: Harness, body: bytes) -> None:
        async with on_fixture(harness) as fixture:
            request = evolve(self._request(fixture, CallAnswered, _CALL), method="POST", body=body, query={})
            await self._rejected(fixture, request, rules.GARBAGE, "it was taken")

    @where(lambda on: on.tells_by(EventSource.WEBHOOK) and on.can.signs_webhooks)
    @pytest.mark.parametrize("forgery", ["another body", "no signature", "another signature"])
    async def test_a_forged_webhook(self, harness: Harness, forgery: str) -> None:
        async with on_fixture(harness) as fixture:
            genuine = self._request(fixture, CallAnswered, _CALL)
            bodily = {"content-type", "content-length", "host"}
            kept = {name: value for name, value in genuine.headers.items() if name in bodily}
            turned = {name: value if name in bodily else value[::-1] for name, value in genuine.headers.items()}
            forged = {
                "another body": evolve(genuine, body=genuine.body.replace(b"call-1", b"call-2")),
                "no signature": evolve(genuine, headers=kept),
                "another signature": evolve(genuine, headers=turned),
            }[forgery]
            await self._rejected(fixture, forged, rules.VERIFIES, f"one with {forgery} was taken")

    @where(lambda on: on.tells_by(EventSource.WEBHOOK) and on.harness.stale_after is not None)
    async def test_a_stale_webhook(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            assert harness.stale_after is not None
            signed = self._request(fixture, CallAnswered, _CALL)
            young = evolve(signed, at=signed.at + harness.stale_after - _A_MOMENT)
            try:
                await fixture.attempt("receive", request=young)
            except WebhookRejected as error:
                raise broken(rules.STALE, f"one that is younger was rejected: {error}") from error
            old = evolve(signed, at=signed.at + harness.stale_after + _A_MOMENT)
            await self._rejected(fixture, old, rules.STALE, "one that is older was taken")

    @where(lambda on, kind: on.tells_by(EventSource.WEBHOOK) and kind in on.harness.reports)
    @pytest.mark.parametrize("kind", KINDS, ids=named)
    async def test_the_reply_reaches_the_platform(self, harness: Harness, kind: type[Event]) -> None:
        async with on_fixture(harness, public_url=PUBLIC_URL) as fixture:
            request, seen = self._delivered(fixture, kind, KINDS[kind])
            given = (await self._read(fixture, seen)).reply
            answered = await fixture.client.receive(request)
            check(answered == given, rules.ANSWERS_AS_IT_IS, f"{given.status} {given.body!r} came out as {answered}")

    @where(lambda on: on.tells_by(EventSource.WEBHOOK) and IncomingCall in on.harness.reports and on.has("reject_call"))
    async def test_a_reply_that_is_decided_later(self, harness: Harness) -> None:
        async with on_fixture(harness, public_url=PUBLIC_URL) as fixture:
            caller, call = await fixture.incoming()
            ids = {"call_id": call.id, "caller": caller, "called": harness.caller_id}
            request, seen = self._delivered(fixture, IncomingCall, ids)
            received = await self._read(fixture, seen)
            if received.decided_within is None:
                return
            replies: list[WebhookReply] = []

            async def deliver() -> None:
                replies.append(await fixture.client.receive(request))

            with anyio.move_on_after(min(received.decided_within.total_seconds() / 2, harness.patience)):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(deliver)
                    async with aclosing(fixture.client.incoming()) as waiting:
                        await fixture.client.reject_call(await anext(waiting))
            check(replies, rules.DECIDED_LATER, "the request was kept waiting after it")
            check(replies[0] != received.reply, rules.DECIDED_LATER, "the reply is the one for an undecided call")

    def _delivered(
        self, fixture: Fixture, kind: type[Event], ids: Mapping[str, str]
    ) -> tuple[WebhookRequest, WebhookRequest]:
        """A request to a URL of the client's own: as it is delivered, and as the provider sees it."""
        url = fixture.client.incoming_url
        request = fixture.harness.webhook(kind, ids, url)
        return request, evolve(request, path=url.removeprefix(PUBLIC_URL), url=url)

    async def _rejected(self, fixture: Fixture, request: WebhookRequest, rule: rules.Rule, found: str) -> None:
        try:
            await fixture.hook.receive(request=request)
        except WebhookRejected as error:
            check(400 <= error.status < 500, rule, f"the status is {error.status}")
            return
        except Exception as error:
            raise broken(rule, f"it raised {type(error).__name__}") from error
        raise broken(rule, found)

    @_calls_back
    async def test_webhooks_carry_a_meeting(self, harness: Harness) -> None:
        """Through the portable API: the meeting's own polls are too far apart to be of help here."""
        async with on_fixture(harness, public_url=PUBLIC_URL) as fixture:
            people = [fixture.party() for _ in range(3)]
            told: set[tuple[str, type[Event]]] = set()
            left: list[bool] = []
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._postman, fixture, told)
                with anyio.move_on_after(harness.patience):
                    async with fixture.client.connect(*people, quorum=3) as meeting:
                        harness.hang_up(people[0])
                        while (outcome := meeting.participant(people[0]).outcome) is not Outcome.LEFT:
                            await meeting.changed()
                        left.append(outcome is Outcome.LEFT)
                tasks.cancel_scope.cancel()
            check(left, rules.DRIVES, "it was not established within the time, or a hang-up was not noticed")

    async def _postman(self, fixture: Fixture, told: set[tuple[str, type[Event]]]) -> None:
        """Deliver what the platform would, as it happens."""
        while True:
            await anyio.sleep(0.01)
            for dialled, url in list(fixture.dialled):
                for kind, ids in await self._happened(fixture, dialled.call.id, dialled.conference):
                    if (dialled.call.id, kind) in told or url is None or kind not in fixture.harness.reports:
                        continue
                    told.add((dialled.call.id, kind))
                    await fixture.client.receive(fixture.harness.webhook(kind, ids, url))

    async def _happened(
        self, fixture: Fixture, call_id: str, conference: Conference | None
    ) -> list[tuple[type[Event], dict[str, str]]]:
        call = next(
            call for call in (await fixture.hook.fetch(ref=_call(fixture, call_id))).calls if call.id == call_id
        )
        facts: list[tuple[type[Event], dict[str, str]]] = []
        if call.answered_at is not None or call.state is CallState.ANSWERED:
            facts.append((CallAnswered, {"call_id": call_id}))
        if conference is not None and conference.id is not None:
            for member in (await fixture.hook.fetch(ref=conference)).members:
                if member.call_id == call_id:
                    ids = {"call_id": call_id, "member_id": member.id, "conference_id": conference.id}
                    facts.append((MemberJoined, ids))
        if call.state is CallState.ENDED:
            facts.append((CallEnded, {"call_id": call_id}))
        return facts


def _call(fixture: Fixture, call_id: str) -> Call:
    return Call(provider=fixture.client.provider_name, id=call_id)


def _is(event: Event, kind: type[Event], ids: Mapping[str, str]) -> bool:
    return isinstance(event, kind) and all(getattr(event, name) == value for name, value in ids.items())


def _names(event: RecordingReady, place: str, id_: str | None) -> None:
    names = ("conference_id", "bridge_id", "call_id")
    told = {name: value for name in names if (value := getattr(event, name)) is not None}
    rule, right = rules.TELLS_WHAT_WAS_RECORDED, {f"{place}_id": id_}
    check(told == right, rule, f"of a {place} it has {' and '.join(told) or 'none'}, or with another id")
    check(event.recording_id, rule, "it has no recording_id")


def _sound(fixture: Fixture, event: Event) -> None:
    check(event.provider == fixture.client.provider_name, rules.TELLS, f"the event is of {event.provider!r}")
    aware = event.occurred_at is None or event.occurred_at.tzinfo is not None
    check(aware, rules.INSTANTS, "occurred_at of an event is not")
