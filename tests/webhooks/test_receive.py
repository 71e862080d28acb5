"""The receiver, request by request: what is let in, what is answered, and that a refusal changes nothing."""

from __future__ import annotations

import base64
import gc
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import pytest
from attrs import evolve
from confkit_bandwidth.simulator import CallbackFaults
from confkit_bandwidth.simulator.control import call_in
from confkit_bandwidth.simulator.fields import body_of
from structlog.testing import capture_logs

from confkit import (
    AsyncClient,
    CallAnswered,
    ConfkitError,
    DigitsReceived,
    Event,
    IncomingCall,
    Meeting,
    ParticipantState,
    SettingsError,
    Unsupported,
    WebhookRequest,
)
from confkit.ingest.webhooks import LARGEST_QUERY
from confkit.models.errors import WebhookRejected
from confkit.models.events import Received, RecordingFailed, RecordingReady
from confkit.provider import Unknown, hookimpl

from .conftest import CALLER, HOST, PEOPLE, PUBLIC, Stage, staged

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]


class Observer:
    """Sees what reaches meetings; fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.seen: list[Event] = []

    @hookimpl
    def meeting_event(self, event: Event) -> None:
        if isinstance(event, DigitsReceived | Unknown):
            if self.failures:
                self.failures -= 1
                raise ConnectionError("the application's database is away")
            self.seen.append(event)


@asynccontextmanager
async def meeting(*plugins: object, **options: Any) -> AsyncIterator[tuple[Stage, Meeting]]:
    """A meeting of three whom the platform will tell nothing more about than the test does."""
    async with staged(plugins=plugins, **options) as stage, stage.client.connect(*PEOPLE[:3]) as meeting:
        yield stage, meeting


def pressed(meeting: Meeting, digit: str = "5", leg: str = "leg-1") -> dict[str, str]:
    call_id = meeting.participant(leg).call_id or ""
    return {"eventType": "dtmf", "callId": call_id, "dtmfDigit": digit, "time": "2020-01-01T10:00:06Z"}


async def test_a_genuine_delivery_is_taken_in() -> None:
    observer = Observer()
    async with meeting(observer) as (stage, met):
        reply = await stage.post(stage.url_of(met, "leg-1"), pressed(met))
        assert (reply.status, reply.body) == (200, b"")
        [event] = observer.seen
        assert isinstance(event, DigitsReceived)
        assert (event.digits, event.flow) == ("5", f"{met.id}/leg-1")
        assert event.raw["eventType"] == "dtmf"


async def test_the_url_given_to_the_platform_is_below_public_url_and_nobody_can_guess_it() -> None:
    async with meeting() as (stage, met):
        conference, leg = stage.url_of(met), stage.url_of(met, "leg-2")
        assert conference.startswith(f"{PUBLIC}/")
        assert conference.endswith(f"/{met.id}")
        token = conference.removeprefix(f"{PUBLIC}/").partition("/")[0]
        assert leg == f"{PUBLIC}/{token}/{met.id}/leg-2"
        assert len(base64.urlsafe_b64decode(token + "==")) == 16
        async with stage.client.connect(*PEOPLE[3:]) as other:
            assert token not in stage.url_of(other, "leg-1")


async def test_a_get_delivery_is_the_same_event() -> None:
    observer = Observer()
    async with meeting(observer) as (stage, met):
        url = stage.url_of(met, "leg-1")
        assert (await stage.get(url, pressed(met))).status == 200
        assert (await stage.post(url, pressed(met))).status == 200
        assert len(observer.seen) == 1


async def test_an_event_delivered_twice_is_processed_once() -> None:
    observer = Observer()
    async with meeting(observer) as (stage, met):
        for _ in range(3):
            assert (await stage.post(stage.url_of(met, "leg-1"), pressed(met))).status == 200
        assert (await stage.post(stage.url_of(met, "leg-1"), pressed(met, "6"))).status == 200
        assert [event.digits for event in observer.seen if isinstance(event, DigitsReceived)] == ["5", "6"]


async def test_an_unknown_type_is_delivered_with_everything_in_it() -> None:
    observer = Observer()
    payload = {"eventType": "earthquake", "magnitude": 7}
    async with meeting(observer) as (stage, met):
        assert (await stage.post(stage.url_of(met), payload)).status == 200
        [event] = observer.seen
        assert isinstance(event, Unknown)
        assert event.type == "earthquake"
        assert event.raw == payload


def wrong_addresses(right: str, other: str) -> dict[str, str]:
    """Paths that are none of ours; ``other`` is that of another meeting."""
    token, _, rest = right.removeprefix(f"{PUBLIC}/").partition("/")
    others = other.removeprefix(f"{PUBLIC}/").partition("/")[0]
    flipped = ("A" if token[0] != "A" else "B") + token[1:]
    return {
        "forged": f"{PUBLIC}/{flipped}/{rest}",
        "another meeting's": f"{PUBLIC}/{others}/{rest}",
        "a number's": f"{PUBLIC}/{token}/incoming",
        "shorter": f"{PUBLIC}/{token[:-1]}/{rest}",
        "none": f"{PUBLIC}/{rest}",
        "empty": f"{PUBLIC}/",
        "more": f"{PUBLIC}/{token}/{rest}/more",
        "not ASCII": f"{PUBLIC}/{'é' * 22}/{rest}",
        "line end": f"{PUBLIC}/{token}/{rest}\n",
        "climbing": f"{PUBLIC}/{token}/../{rest}",
    }


async def test_every_wrong_address_gets_the_same_answer_and_changes_nothing() -> None:
    observer = Observer()
    async with meeting(observer) as (stage, met), stage.client.connect(*PEOPLE[3:]) as other:
        before = met.participants
        addresses = wrong_addresses(stage.url_of(met, "leg-1"), stage.url_of(other, "leg-1"))
        body = json.dumps(pressed(met)).encode()
        replies = set()
        with capture_logs() as logs:
            for url in addresses.values():
                request = WebhookRequest(method="POST", path=url.removeprefix(HOST), body=body)
                reply = await stage.client.receive(request)
                replies.add((reply.status, reply.body, tuple(reply.headers)))
        assert replies == {(404, b"", ())}
        assert observer.seen == []
        assert met.participants == before
        assert [log["event"] for log in logs] == ["webhook_rejected"] * len(addresses)
        assert "/" not in "".join(str(log) for log in logs)  # no path: it may hold a token


async def test_an_event_about_another_meetings_call_is_dropped() -> None:
    observer = Observer()
    async with meeting(observer) as (stage, met), stage.client.connect(*PEOPLE[3:]) as other:
        with capture_logs() as logs:
            assert (await stage.post(stage.url_of(other, "leg-1"), pressed(met))).status == 200
        assert observer.seen == []
        assert logs[-1]["event"] == "event_misdirected"


async def test_an_event_about_a_call_that_nobody_here_made_reaches_nobody() -> None:
    # Such as the second call of a creation that was lost and sent again: it must not end the leg's own.
    async with meeting() as (stage, met):
        ghost = {"eventType": "hangup", "callId": "c-ghost", "cause": "NORMAL_CLEARING"}
        assert (await stage.post(stage.url_of(met, "leg-1"), ghost)).status == 200
        await anyio.sleep(1)
        assert met.participant("leg-1").state is ParticipantState.JOINED


def login(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def test_basic_authentication_is_asked_for_where_it_is_set() -> None:
    observer = Observer()
    async with meeting(observer, webhook_user="band", webhook_password="p/w:@ü") as (stage, met):
        given = stage.url_of(met, "leg-1")
        assert given.startswith("http://band:p%2Fw%3A%40%C3%BC@127.0.0.1/confkit/")
        for authorization in ("", "Basic", "Basic ???", login("band", "wrong"), login("x", "p/w:@ü"), "Bearer abc"):
            reply = await stage.post(given, pressed(met), authorization=authorization)
            assert reply.status == 401
            assert reply.headers["www-authenticate"].startswith("Basic ")
        assert observer.seen == []
        assert (await stage.post(given, pressed(met), authorization=login("band", "p/w:@ü"))).status == 200
        assert len(observer.seen) == 1
        assert met.trace.reads == {}  # the platform itself was let in, too


@pytest.mark.parametrize("scheme", ["Bearer", "Digest", "Basic2", "", "Basic Basic"])
async def test_right_credentials_under_another_scheme_are_none(scheme: str) -> None:
    async with meeting(webhook_user="band", webhook_password="secret") as (stage, met):
        credentials = login("band", "secret").removeprefix("Basic ")
        for authorization in (f"{scheme} {credentials}", f"{scheme}{credentials}"):
            assert (await stage.post(stage.url_of(met), pressed(met), authorization=authorization)).status == 401
        for authorization in (f"Basic {credentials}", f"bASIC   {credentials} "):
            assert (await stage.post(stage.url_of(met), pressed(met), authorization=authorization)).status == 200


async def test_each_client_has_urls_of_its_own_and_an_earlier_ones_open_nothing() -> None:
    async with staged() as earlier:
        old = earlier.client.incoming_url
        token = old.removeprefix(f"{PUBLIC}/").partition("/")[0]
    event = {"eventType": "incomingcall", "callId": "c-1", "from": "+19195550199", "to": CALLER}
    async with staged() as stage:
        assert stage.client.incoming_url != old
        assert (await stage.post(old, event)).status == 404
        async with stage.client.connect(*PEOPLE[:3]) as met:
            assert token not in stage.url_of(met)
        assert (await stage.post(stage.client.incoming_url, event)).status == 200


async def test_who_has_one_meetings_url_cannot_use_up_what_another_is_told() -> None:
    observer = Observer()
    async with meeting(observer) as (stage, met), stage.client.connect(*PEOPLE[3:]) as other:
        hangup = {"eventType": "hangup", "callId": met.participant("leg-1").call_id, "cause": "NORMAL_CLEARING"}
        for payload in (hangup, pressed(met)):
            assert (await stage.post(stage.url_of(other, "leg-1"), payload)).status == 200
        assert met.participant("leg-1").state is ParticipantState.JOINED
        for payload in (pressed(met), hangup):
            assert (await stage.post(stage.url_of(met, "leg-1"), payload)).status == 200
        assert len(observer.seen) == 1
        await anyio.sleep(1)
        assert met.participant("leg-1").state is ParticipantState.ENDED


async def test_one_event_over_two_urls_of_its_meeting_is_one() -> None:
    observer = Observer()
    async with meeting(observer) as (stage, met):
        for url in (stage.url_of(met), stage.url_of(met, "leg-1"), stage.url_of(met, "leg-2")):
            assert (await stage.post(url, pressed(met))).status == 200
        assert len(observer.seen) == 1


async def test_what_comes_over_a_numbers_url_belongs_to_the_call_that_it_names() -> None:
    observer = Observer()
    async with meeting(observer) as (stage, met):
        assert (await stage.post(stage.client.incoming_url, pressed(met))).status == 200
        [event] = observer.seen
        assert event.flow is None


async def test_the_hook_sees_the_public_url_and_the_path_below_it_whatever_the_application_says() -> None:
    seen: list[WebhookRequest] = []

    class Look:
        @hookimpl(wrapper=True)
        def receive(self, request: WebhookRequest) -> Any:
            seen.append(request)
            return (yield)

    async with meeting(Look()) as (stage, met):
        seen.clear()
        tail = stage.url_of(met).removeprefix(PUBLIC)
        given = WebhookRequest(method="GET", path=f"/x{tail}/", query={"eventType": "x"}, url="http://evil/?a=b&c")
        assert (await stage.client.receive(given)).status == 200
        assert (seen[0].path, seen[0].url) == (tail, f"{PUBLIC}{tail}?a=b&c")


async def test_a_query_has_a_limit_wherever_it_comes_from() -> None:
    async with meeting() as (stage, met):
        url = stage.url_of(met)
        fits = {"eventType": "x", "filler": "." * (LARGEST_QUERY - len("eventTypexfiller"))}
        assert (await stage.get(url, fits)).status == 200
        assert (await stage.get(url, {**fits, "": "."})).status == 414
        path = url.removeprefix(HOST)
        request = WebhookRequest(method="GET", path=path, query={"eventType": "x"}, url="?" + "." * (LARGEST_QUERY + 1))
        assert (await stage.client.receive(request)).status == 414


@pytest.mark.parametrize(("raised", "answered"), [(403, 403), (200, 400), (302, 400), (500, 400), (600, 400)])
async def test_a_plugin_refuses_with_a_4xx_or_it_is_a_400(raised: int, answered: int) -> None:
    class Strict:
        @hookimpl(tryfirst=True)
        async def receive(self) -> None:
            raise WebhookRejected("no", status=raised)

    async with meeting(Strict()) as (stage, met):
        assert (await stage.post(stage.url_of(met), pressed(met))).status == answered


async def test_one_event_of_a_request_that_fails_does_not_hold_up_the_others() -> None:
    observer = Observer(failures=1)

    class Several:
        @hookimpl(wrapper=True)
        def receive(self) -> Any:
            received = yield

            async def both() -> Any:
                [event] = (await received).events
                return Received(events=(event, evolve(event, id=f"{event.id} again")))

            return both()

    async with meeting(observer, Several()) as (stage, met):
        assert (await stage.post(stage.url_of(met), pressed(met))).status == 500
        assert len(observer.seen) == 1


async def test_a_body_of_the_limit_is_read_and_a_longer_one_refused() -> None:
    async with meeting() as (stage, met):
        url = stage.url_of(met)
        filler = WebhookRequest.LARGEST_BODY - len(json.dumps({"eventType": "x", "filler": ""}))
        fits = json.dumps({"eventType": "x", "filler": "." * filler}).encode()
        assert len(fits) == WebhookRequest.LARGEST_BODY
        assert (await stage.post(url, fits)).status == 200
        assert (await stage.post(url, fits + b" ")).status == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b"\xff\xfe",
        b"{}",
        b'{"eventType": 3}',
        b'{"eventType": ""}',
        b"[" * 50_000,
        b'{"eventType": NaN}',
    ],
)
async def test_a_malformed_body_is_the_senders_mistake(body: bytes) -> None:
    async with meeting() as (stage, met):
        assert (await stage.post(stage.url_of(met, "leg-1"), body)).status == 400


async def test_a_plugin_that_stumbles_over_a_request_is_no_reason_to_send_it_again() -> None:
    class Clumsy:
        @hookimpl(tryfirst=True)
        async def receive(self) -> None:
            raise KeyError("c-1")

    async with meeting(Clumsy()) as (stage, met):
        with capture_logs() as logs:
            assert (await stage.post(stage.url_of(met, "leg-1"), pressed(met))).status == 400
        assert [log["event"] for log in logs] == ["webhook_unreadable", "webhook_rejected"]


async def test_other_methods_are_refused() -> None:
    async with meeting() as (stage, met):
        path = stage.url_of(met).removeprefix(HOST)
        for method in ("PUT", "DELETE", "HEAD", "OPTIONS"):
            reply = await stage.client.receive(WebhookRequest(method=method, path=path))
            assert reply.status == 405
            assert reply.headers["allow"] == "GET, POST"


async def test_an_observer_that_fails_is_told_again_and_the_meeting_is_not() -> None:
    observer = Observer(failures=2)
    told: list[Event] = []
    async with meeting(observer) as (stage, met), anyio.create_task_group() as tasks:

        async def listen() -> None:
            async for event in met.events():
                told.append(event)

        tasks.start_soon(listen)
        await anyio.sleep(0.1)
        url = stage.url_of(met, "leg-1")
        with capture_logs() as logs:
            assert (await stage.post(url, pressed(met))).status == 500
            assert (await stage.post(url, pressed(met))).status == 500
            assert (await stage.post(url, pressed(met))).status == 200
            assert (await stage.post(url, pressed(met))).status == 200
        assert [log["event"] for log in logs] == ["webhook_observer_failed"] * 2
        assert len(observer.seen) == 1
        await anyio.sleep(0.1)
        # Members may be told to have joined after the replies to their joining have established the meeting.
        assert len([event for event in told if isinstance(event, DigitsReceived)]) == 1
        await met.end()


async def test_what_comes_after_the_meeting_is_answered_and_forgotten() -> None:
    async with staged() as stage:
        async with stage.client.connect(*PEOPLE[:3]) as met:
            url, late = stage.url_of(met, "leg-1"), pressed(met)
        assert (await stage.post(url, late)).status == 200
        assert stage.log()[-1][1] == "delivered"


async def test_what_comes_after_the_meeting_reaches_nobody_and_is_not_kept() -> None:
    seen: list[tuple[str, Event]] = []

    class Watch:
        @hookimpl
        def meeting_event(self, meeting: str, event: Event) -> None:
            seen.append((meeting, event))

    async with staged(plugins=(Watch(),)) as stage:
        async with stage.client.connect(*PEOPLE[:3]) as met:
            room, leg, call_id = stage.url_of(met), stage.url_of(met, "leg-1"), met.participant("leg-1").call_id
        gc.collect()
        before = [each for each in gc.get_objects() if isinstance(each, Event)]
        seen.clear()
        for url, payload in (
            (room, {"eventType": "earthquake"}),
            (room, {"eventType": "conference", "status": "created", "conferenceId": "conf-new"}),
            (leg, {"eventType": "answer", "callId": "c-new"}),
            (leg, {"eventType": "answer", "callId": call_id, "time": "2020-01-01T10:00:06Z"}),
        ):
            assert (await stage.post(url, payload)).status == 200
        gc.collect()
        kept = [each for each in gc.get_objects() if isinstance(each, Event)]
        assert len(kept) <= len(before)
        assert seen == []


@pytest.mark.parametrize("kind", [RecordingReady, RecordingFailed])
async def test_what_was_recorded_is_told_of_after_the_meeting_and_once(kind: type[Event]) -> None:
    seen: list[tuple[str, Event]] = []

    class Watch:
        @hookimpl
        def meeting_event(self, meeting: str, event: Event) -> None:
            seen.append((meeting, event))

    async with staged(plugins=(Watch(),)) as stage:
        async with stage.client.connect(*PEOPLE[:3]) as met:
            leg, call_id = stage.url_of(met, "leg-1"), met.participant("leg-1").call_id
        seen.clear()
        status = "complete" if kind is RecordingReady else "error"
        payload = {"eventType": "recording", "status": status, "recordingId": "rec-1", "callId": call_id}
        for _ in range(2):
            assert (await stage.post(leg, payload)).status == 200
        assert (await stage.post(leg, {**payload, "recordingId": "rec-2", "callId": "c-of-nobody"})).status == 200
        [(meeting_id, event)] = seen
        assert meeting_id == met.id
        assert isinstance(event, kind)


async def test_a_client_that_is_not_open_says_so() -> None:
    client = AsyncClient("fake", caller_id=CALLER, public_url=PUBLIC)
    path = client.incoming_url.removeprefix(HOST)
    assert (await client.receive(WebhookRequest(method="POST", path=path))).status == 503
    assert (await client.receive(WebhookRequest(method="POST", path="/x"))).status == 404
    async with client:  # the fake has no webhooks
        assert (await client.receive(WebhookRequest(method="POST", path=path))).status == 404


async def test_a_client_without_public_url_lets_nothing_in() -> None:
    async with AsyncClient("fake", caller_id=CALLER) as client:
        assert (await client.receive(WebhookRequest(method="POST", path="/x"))).status == 404
        with pytest.raises(ConfkitError, match="public_url"):
            assert client.incoming_url


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"public_url": "app.example.com/confkit"}, "https://host/path"),
        ({"public_url": "ftp://app.example.com"}, "https://host/path"),
        ({"public_url": "https://"}, "https://host/path"),
        ({"public_url": "https://host:99999/"}, "https://host/path"),
        ({"public_url": "https://u:marked@host/"}, "webhook_user"),
        ({"public_url": "https://host/?a=b"}, "no query"),
        ({"public_url": "https://host", "webhook_user": "u"}, "together"),
        ({"public_url": "https://host", "webhook_password": "marked"}, "together"),
        ({"public_url": "https://host", "webhook_user": "u:v", "webhook_password": "marked"}, "colon"),
        ({"webhook_user": "u", "webhook_password": "marked"}, "public_url"),
    ],
)
async def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as raised:
        AsyncClient("fake", **settings)
    assert "marked" not in str(raised.value)


# --- calls that come in


def ring(stage: Stage, caller: str = "+19195550199") -> str:
    """Somebody calls a number of the account, whose application has the client's URL; gives the call's id."""
    asked = {"from": caller, "to": CALLER, "callbackUrl": stage.client.incoming_url}
    return call_in(stage.account, body_of(json.dumps(asked).encode()))


async def test_a_call_that_comes_in_is_given_to_the_application_which_may_refuse_it() -> None:
    async with staged(callbacks=CallbackFaults(duplicate=1.0)) as stage:
        call_id = ring(stage)
        async with aclosing(stage.client.incoming()) as calls:
            call = await anext(calls)
            assert isinstance(call, IncomingCall)
            assert (call.call_id, call.caller, call.called) == (call_id, "+19195550199", CALLER)
            assert "+19195550199" not in repr(call)
            await stage.client.reject_call(call)
            assert stage.exchange.calls[call_id].ended_at is not None
            ring(stage, "+19195550198")
            assert (await anext(calls)).caller == "+19195550198"  # the first was told twice


async def test_bandwidth_cannot_bring_a_caller_into_a_conference_and_says_so_before_it_answers() -> None:
    async with meeting() as (stage, met), aclosing(stage.client.incoming()) as calls:
        ring(stage)
        with pytest.raises(Unsupported, match="admit: conference"):
            await met.admit(await anext(calls))


async def test_callers_wait_for_the_application_up_to_a_point() -> None:
    # A client looks for the log when it is opened.
    with capture_logs() as logs:
        async with staged() as stage:
            for number in range(105):
                ring(stage, f"+1919555{number:04}")
            await anyio.sleep(1)
    missed = [log for log in logs if log["event"] == "incoming_call_missed"]
    assert len(missed) == 5


async def test_a_caller_is_admitted_where_the_provider_can() -> None:
    async with AsyncClient("fake", caller_id=CALLER) as client, client.connect(*PEOPLE[:3]) as met:
        client.provider.exchange.incoming("+19195550199", CALLER)
        async with aclosing(client.incoming()) as calls:
            admitted = await met.admit(await anext(calls))
        with anyio.fail_after(5):
            while met.participant(admitted).state is not ParticipantState.JOINED:
                await met.changed()
        assert len(met.participants) == 4


async def test_a_late_answer_event_of_the_conference_url_goes_to_its_leg() -> None:
    observer: list[Event] = []

    class Watch:
        @hookimpl
        def meeting_event(self, event: Event) -> None:
            observer.append(event)

    async with meeting(Watch()) as (stage, met):
        stage.exchange.party("+19195550199").never_answers()
        ringing = await met.add("+19195550199")
        while met.participant(ringing.id).call_id is None:
            await met.changed()
        answered = {
            "eventType": "answer",
            "callId": met.participant(ringing.id).call_id,
            "time": "2020-01-01T10:00:06Z",
        }
        assert (await stage.post(stage.url_of(met), answered)).status == 200
        assert isinstance(observer[-1], CallAnswered)
        assert met.participant(ringing.id).answered_at is not None
