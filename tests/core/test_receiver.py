"""The webhook receiver alone: whom it lets in, what it hands to the provider and on, and what it answers."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
import structlog
from attrs import evolve

from confkit import CallAnswered, Event, IncomingCall, RecordingFailed, RecordingReady, WebhookReply, WebhookRequest
from confkit.ingest.webhooks import BODY_TIME, LARGEST_QUERY, MOST_PARAMETERS, Addresses, Receiver
from confkit.models.errors import SettingsError
from confkit.models.events import Received
from confkit.provider import WebhookRejected
from confkit.steps.clock import Clock
from confkit.steps.replies import KEPT, Replies

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

PUBLIC = "https://us.example/hooks"
BASIC = "Basic " + base64.b64encode(b"ann:se cret:x").decode()
ANSWERED = CallAnswered(provider="p", id="e-1", call_id="call-1")
READY = RecordingReady(provider="p", id="e-2", recording_id="r-1", call_id="call-1")
BROKEN = RecordingFailed(provider="p", id="e-3", recording_id="r-1", call_id="call-1")


class Desk:
    """A receiver with a provider and meetings behind it.

    Attributes:
        seen: what the provider was given to read.
        taken: the events that were handed on.
    """

    def __init__(self, *events: Event, meetings: tuple[str, ...] = ("m-1",), fails: Any = None, **login: Any) -> None:
        self.seen: list[WebhookRequest] = []
        self.taken: list[Event] = []
        self.addresses = Addresses(PUBLIC, **login)
        self.reply = WebhookReply(status=202, headers={"X-Said": "thanks"}, body=b"ok")
        self.fails = fails
        self.stumbles: set[str] = set()
        self.open = True
        self.within: timedelta | None = None
        self._events = events
        hook = SimpleNamespace(receive=self._read)
        self.replies = Replies()
        self.clock = Clock()
        steps = SimpleNamespace(
            implemented={"receive"}, hook=hook, provider="p", replies=self.replies, clock=self.clock
        )
        self.engine: Any = SimpleNamespace(steps=steps, accept=self._accept, has=meetings.__contains__)
        self.receiver = Receiver(self.addresses, lambda: self.engine if self.open else None)

    async def _read(self, request: WebhookRequest) -> Received:
        self.seen.append(request)
        if self.fails is not None:
            raise self.fails
        return Received(events=self._events, reply=self.reply, decided_within=self.within)

    def _accept(self, event: Event) -> None:
        if event.id.rpartition(" ")[2] in self.stumbles:
            raise RuntimeError("the disk is full")
        self.taken.append(event)

    def path(self, root: str = "m-1", leg: str = "") -> str:
        """The path of a callback URL."""
        return self.addresses.below(root).removeprefix("https://us.example") + root + leg

    async def receive(self, path: str | None = None, method: str = "POST", **about: Any) -> WebhookReply:
        """Give it a request as an application does."""
        return await self.receiver.receive(WebhookRequest(method=method, path=path or self.path(), **about))

    async def serve(self, *messages: dict[str, Any], **scope: Any) -> list[dict[str, Any]]:
        """Give it a request as a server does; gives what it sends."""
        waiting = list(messages) or [{"type": "http.request", "body": b"{}"}]
        sent: list[dict[str, Any]] = []

        async def receive() -> Any:
            if not waiting:
                await anyio.sleep_forever()
            return waiting.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        given = {"type": "http", "method": "POST", "path": self.path(), "headers": [], "query_string": b""}
        # None: a server may leave out what is empty (ASGI HTTP, "query_string")
        asked = {name: value for name, value in {**given, **scope}.items() if value is not None}
        await self.receiver(asked, receive, send)
        return sent


# --- addresses


def test_a_callback_url_holds_an_unguessable_token_for_its_meeting() -> None:
    one, other = Addresses(PUBLIC + "/"), Addresses(PUBLIC)
    assert re.fullmatch(rf"{PUBLIC}/[\w-]{{22}}/", one.below("m-1"))
    assert one.below("m-1") == one.below("m-1")
    assert len({one.below("m-1"), one.below("m-2"), other.below("m-1")}) == 3  # nor one of an earlier client
    assert one.public_url == PUBLIC
    assert repr(one) == f"Addresses({PUBLIC!r})"
    assert Addresses("https://us.example/X/").public_url == "https://us.example/X"


def test_the_login_stands_in_the_url_that_the_platform_is_given_and_nowhere_else() -> None:
    addresses = Addresses(PUBLIC, user="an/n", password="se@cret")
    assert addresses.below("m-1").startswith("https://an%2Fn:se%40cret@us.example/hooks/")
    assert "cret" not in repr(addresses) + addresses.public_url


@pytest.mark.parametrize("mount", ["", "/hooks", "/deep/er"])
@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize(("root", "leg"), [("m-1", ""), ("m-1", "/leg-1"), ("incoming", "")])
def test_the_end_of_a_path_says_whose_it_is(mount: str, end: str, root: str, leg: str) -> None:
    addresses = Addresses(PUBLIC)
    token = addresses.below(root).split("/")[-2]
    assert addresses.tail_of(f"{mount}/{token}/{root}{leg}{end}") == (f"/{token}/{root}{leg}", root + leg)


def test_a_path_that_we_did_not_make_is_nobodys() -> None:
    addresses = Addresses(PUBLIC)
    token = addresses.below("m-1").split("/")[-2]
    empty = addresses.below("").split("/")[-2]
    wrong = ("A" if token[0] != "A" else "B") + token[1:]
    for path in (
        "",
        "/",
        f"/{wrong}/m-1",
        f"/{token}/m-2",
        f"/{token}/incoming",
        f"/{token}",
        f"/{token}/m-1/leg-x",
        f"/{token}/m-1/leg-1/more",
        f"/{token}/x-1",
        f"/{empty}/",
        f"/{token[:-1]}/m-1",
        f"{token}/m-1",
    ):
        assert addresses.tail_of(path) is None, path


@pytest.mark.parametrize(
    ("header", "right"),
    [
        (BASIC, True),
        (f"  {BASIC} ", True),
        (BASIC.replace("Basic", "BASIC"), True),
        (BASIC.replace("Basic ", "basic   "), True),
        (BASIC.replace("Basic", "Bearer"), False),
        (BASIC.replace("Basic ", ""), False),
        (BASIC[:-4], False),
        (BASIC + "x", False),
        ("Basic \udcff", False),
        ("", False),
    ],
)
def test_credentials_are_those_that_were_set_under_the_scheme_basic(header: str, right: bool) -> None:
    assert Addresses(PUBLIC, user="ann", password="se cret:x").lets_in(header) is right
    assert Addresses(PUBLIC).lets_in(header) is True


def test_an_empty_password_is_asked_for_too() -> None:
    addresses = Addresses(PUBLIC, user="ann", password="")
    assert not addresses.lets_in("")
    assert addresses.lets_in("Basic " + base64.b64encode(b"ann:").decode())


@pytest.mark.parametrize(
    ("url", "login", "words"),
    [
        ("ftp://us.example", {}, "public_url is where"),
        ("https://", {}, "public_url is where"),
        ("https://us.example:0/x", {}, "public_url is where"),
        ("https://us.example:x/", {}, "public_url is where"),
        ("https://us.example/a b", {}, "public_url is where"),
        ("https://us.example/a\n", {}, "public_url is where"),
        (None, {}, "public_url is where"),
        ("https://us.example/?a=1", {}, "no query or fragment"),
        ("https://us.example/#a", {}, "no query or fragment"),
        ("https://a:b@us.example/", {}, "no '@'"),
        (PUBLIC, {"user": "ann"}, "go together"),
        (PUBLIC, {"password": "x"}, "go together"),
        (PUBLIC, {"user": "", "password": "x"}, "not empty and has no colon"),
        (PUBLIC, {"user": "a:b", "password": "x"}, "not empty and has no colon"),
        (PUBLIC, {"user": "a\n", "password": "x"}, "control characters"),
        (PUBLIC, {"user": "a", "password": "x\n"}, "control characters"),
    ],
)
def test_settings_that_cannot_work_are_refused_each_for_its_reason(url: Any, login: Any, words: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Addresses(url, **login)
    assert len(raised.value.problems) == 1
    assert words in raised.value.problems[0]
    assert str(raised.value).startswith("confkit")


@pytest.mark.parametrize("url", ["http://us.example", "https://us.example:8443/a/b"])
def test_settings_that_work_are_taken(url: str) -> None:
    assert Addresses(url, user="a", password="").below("m-1").startswith(f"{url.partition('://')[0]}://a:@us.example")


# --- what is let in


async def test_a_request_is_read_by_the_provider_and_its_events_are_handed_on() -> None:
    desk = Desk(ANSWERED, READY)
    path = desk.path(leg="/leg-1")
    url = f"https://proxy.example/other{path}?a=1&b=2"
    reply = await desk.receive(path, headers={"x": "y"}, query={"a": "1", "b": "2"}, body=b"{}", url=url)
    assert reply == desk.reply
    (seen,) = desk.seen
    tail = path.removeprefix("/hooks")
    assert (seen.method, seen.path, seen.url) == ("POST", tail, f"{PUBLIC}{tail}?a=1&b=2")
    assert (seen.headers, seen.query, seen.body) == ({"x": "y"}, {"a": "1", "b": "2"}, b"{}")
    assert [(type(event), event.flow, event.id) for event in desk.taken] == [
        (CallAnswered, "m-1/leg-1", "m-1 e-1"),
        (RecordingReady, "m-1/leg-1", "m-1 e-2"),
    ]
    await desk.receive(path, method="GET")
    await desk.receive(path, url="https://proxy.example/other")
    assert [each.url for each in desk.seen[1:]] == [f"{PUBLIC}{tail}"] * 2


async def test_what_comes_for_a_number_belongs_to_no_meeting_by_its_address() -> None:
    desk = Desk(evolve(ANSWERED, flow="m-1/leg-1"))
    await desk.receive(desk.path("incoming"))
    assert [(event.flow, event.id) for event in desk.taken] == [(None, "e-1")]


async def test_the_provider_is_told_when_it_came_on_the_clients_clock() -> None:
    desk = Desk()
    await anyio.sleep(80_000)
    await desk.receive(at=datetime(2001, 1, 1, tzinfo=UTC))
    await desk.serve()
    assert [each.at for each in desk.seen] == [desk.clock.now()] * 2
    assert desk.seen[0].at - desk.clock.started == timedelta(seconds=80_000)


def test_a_request_that_nobody_has_received_yet_is_of_now() -> None:
    one, two = (WebhookRequest(method="GET", path="/", at=at) for at in (datetime.now(UTC), datetime.min))
    assert one == two
    assert abs(WebhookRequest(method="GET", path="/").at - datetime.now(UTC)) < timedelta(minutes=1)


# --- calls to a platform that signs


@pytest.mark.parametrize("path", ["/hooks/incoming", "/incoming", "/deep/er/incoming/"])
async def test_who_signs_has_one_address_for_calls_that_come_in(path: str) -> None:
    desk = Desk(ANSWERED)
    desk.receiver = Receiver(addresses := Addresses(PUBLIC, signed=True), lambda: desk.engine)
    assert addresses.incoming() == Addresses(PUBLIC, signed=True).incoming() == f"{PUBLIC}/incoming"
    assert (await desk.receive(path)).status == 202
    assert [each["status"] for each in (await desk.serve(path=path))[:1]] == [202]
    assert [(each.path, each.url) for each in desk.seen] == [("/incoming", f"{PUBLIC}/incoming")] * 2
    assert [event.flow for event in desk.taken] == [None, None]


async def test_who_signs_is_asked_for_the_login_and_for_the_tokens_of_meetings_all_the_same() -> None:
    desk = Desk(ANSWERED)
    addresses = Addresses(PUBLIC, user="ann", password="se cret:x", signed=True)
    desk.receiver = Receiver(addresses, lambda: desk.engine)
    assert addresses.incoming() == "https://ann:se%20cret%3Ax@us.example/hooks/incoming"
    assert (await desk.receive("/hooks/incoming")).status == 401
    assert (await desk.receive("/hooks/incoming", headers={"authorization": BASIC})).status == 202
    for path in ("/hooks/m-1", "/hooks/A" * 3 + "/m-1", "/hooks/incoming/more", "/hooks/xincoming"):
        assert (await desk.receive(path, headers={"authorization": BASIC})).status == 404


async def test_who_does_not_sign_has_a_secret_address_for_calls_that_come_in() -> None:
    desk = Desk(ANSWERED)
    assert desk.addresses.incoming() == desk.addresses.below("incoming") + "incoming"
    assert desk.addresses.incoming() != Addresses(PUBLIC).incoming()
    assert (await desk.receive("/hooks/incoming")).status == 404
    assert (await desk.receive(desk.path("incoming"))).status == 202


# --- replies that are decided later

CALLING = IncomingCall(provider="p", id="e-4", call_id="call-9", caller="+1", called="+2")
REJECT, JOIN = WebhookReply(body=b"<Reject/>"), WebhookReply(body=b"<Join/>")


class Asked(Desk):
    """A desk with a call that comes in, whose provider wants to hear within 8 seconds what becomes of it."""

    def __init__(self, *events: Event) -> None:
        super().__init__(*(events or (CALLING,)))
        self.within = timedelta(seconds=8)
        self.begun = anyio.current_time()
        self.told: list[tuple[WebhookReply, float]] = []

    async def call(self) -> None:
        """Deliver it; keeps the reply and when it came."""
        reply = await self.receive(self.path("incoming"))
        self.told.append((reply, anyio.current_time() - self.begun))


async def test_a_reply_is_the_one_that_was_decided_in_time() -> None:
    desk = Asked()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.call)
        await anyio.sleep(7)
        assert desk.replies.give("call-9", REJECT)
    assert desk.told == [(REJECT, 7)]


async def test_a_decision_that_is_there_at_once_is_not_lost() -> None:
    desk = Asked()
    given = []
    desk.engine.accept = lambda event: given.append(desk.replies.give(event.call_id, JOIN))
    await desk.call()
    assert (given, desk.told) == ([True], [(JOIN, 0)])


async def test_without_a_decision_the_providers_reply_is_sent_when_the_time_is_over() -> None:
    desk = Asked()
    await desk.call()
    assert desk.told == [(desk.reply, 8)]
    assert not desk.replies.give("call-9", REJECT)  # nobody waits any more
    assert not desk.replies.give("call-8", REJECT)


async def test_a_request_that_is_sent_again_is_answered_alike() -> None:
    desk = Asked()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.call)
        await anyio.sleep(1)
        tasks.start_soon(desk.call)
        await anyio.sleep(1)
        assert desk.replies.give("call-9", JOIN)
        assert desk.replies.give("call-9", JOIN)  # the same step, again
        assert not desk.replies.give("call-9", REJECT)
    await anyio.sleep(100)
    await desk.call()
    assert desk.told == [(JOIN, 2), (JOIN, 2), (JOIN, 102)]


async def test_so_many_decisions_are_kept_for_that() -> None:
    desk = Asked()
    for number in range(KEPT + 1):
        with desk.replies.expecting(f"call-{number}"):
            desk.replies.give(f"call-{number}", JOIN)
    for number, reply in ((0, None), (1, JOIN), (KEPT, JOIN)):
        with desk.replies.expecting(f"call-{number}") as pending:
            assert await pending.wait(timedelta(0)) == reply


@pytest.mark.parametrize("events", [(ANSWERED,), (READY, ANSWERED)])
async def test_only_about_a_call_that_comes_in_a_reply_waits(events: tuple[Event, ...]) -> None:
    desk = Asked(*events)
    await desk.call()
    assert desk.told == [(desk.reply, 0)]


async def test_a_call_whose_reply_is_not_left_open_does_not_wait() -> None:
    desk = Asked()
    desk.within = None
    await desk.call()
    assert desk.told == [(desk.reply, 0)]


async def test_where_an_observer_fails_nothing_is_waited_for() -> None:
    desk = Asked()
    desk.stumbles = {"e-4"}
    await desk.call()
    assert desk.told == [(WebhookReply(status=500), 0)]


async def test_of_a_meeting_that_is_over_only_its_recordings_are_told() -> None:
    desk = Desk(ANSWERED, READY, BROKEN, meetings=("m-2",))
    assert await desk.receive() == desk.reply
    assert [type(event) for event in desk.taken] == [RecordingReady, RecordingFailed]
    desk = Desk(ANSWERED, meetings=())
    await desk.receive(desk.path("incoming"))
    assert len(desk.taken) == 1


@pytest.mark.parametrize(
    ("about", "status", "headers"),
    [
        ({"path": "/nowhere"}, 404, {}),
        ({"method": "PUT"}, 405, {"allow": "GET, POST"}),
        ({"method": "HEAD"}, 405, {"allow": "GET, POST"}),
        ({"body": b"x" * (WebhookRequest.LARGEST_BODY + 1)}, 413, {}),
        ({"url": "https://us.example/?" + "x" * (LARGEST_QUERY + 1)}, 414, {}),
        ({"query": {"a": "x" * LARGEST_QUERY}}, 414, {}),
        ({"query": {"x" * LARGEST_QUERY: "a"}}, 414, {}),
    ],
)
async def test_what_is_refused_changes_nothing(about: Any, status: int, headers: Mapping[str, str]) -> None:
    desk = Desk(ANSWERED)
    assert await desk.receive(**about) == WebhookReply(status=status, headers=headers)
    assert (desk.seen, desk.taken) == ([], [])


async def test_the_log_says_why_a_request_was_refused() -> None:
    desk = Desk(ANSWERED, user="ann", password="se cret:x", fails=KeyError("callId"))
    path, login = desk.path().partition("us.example")[2], {"authorization": BASIC}
    with structlog.testing.capture_logs() as log:
        await desk.receive("/nowhere")
        await desk.receive(path)
        await desk.receive(path, method="PUT", headers=login)
        await desk.receive(path, headers=login, body=b"x" * (WebhookRequest.LARGEST_BODY + 1))
        await desk.receive(path, headers=login, query={"a": "x" * LARGEST_QUERY})
        await desk.receive(path, headers=login)
        desk.engine.steps.implemented = set()
        await desk.receive(path, headers=login)
        many = b"&".join([b"a=1"] * (MOST_PARAMETERS + 1))
        waits = {"type": "http.request", "more_body": True}
        headers = [(b"authorization", BASIC.encode())]
        await desk.serve(path=path, headers=headers, query_string=many)
        await desk.serve(waits, path=path, headers=headers)
    told = [(line["status"], line["reason"]) for line in log if line["event"] == "webhook_rejected"]
    for (status, reason), (expected, words) in zip(
        told,
        [
            (404, "path and token"),
            (401, "authentication"),
            (405, "GET or a POST"),
            (413, f"longer than {WebhookRequest.LARGEST_BODY} bytes"),
            (414, f"longer than {LARGEST_QUERY} bytes"),
            (400, "the plugin could not read it"),
            (404, "p has no webhooks"),
            (400, "too many query parameters"),
            (408, "not there after 5 s"),
        ],
        strict=True,
    ):
        assert status == expected
        assert words in reason


async def test_what_is_as_long_as_it_may_be_is_taken() -> None:
    desk = Desk(ANSWERED)
    await desk.receive(body=b"x" * WebhookRequest.LARGEST_BODY)
    await desk.receive(url="https://us.example/?" + "x" * LARGEST_QUERY, query={"a": "x" * (LARGEST_QUERY - 1)})
    assert len(desk.seen) == 2


async def test_without_the_credentials_nobody_is_let_in() -> None:
    desk = Desk(ANSWERED, user="ann", password="se cret:x")
    path = desk.path().partition("us.example")[2]
    refused = WebhookReply(status=401, headers={"www-authenticate": 'Basic realm="confkit"'})
    assert await desk.receive(path) == refused
    assert await desk.receive(path, headers={"authorization": BASIC + "x"}) == refused
    assert await desk.receive(path, headers={"authorization": BASIC}) == desk.reply
    # whoever has no path that is ours is not even asked for them
    assert (await desk.receive("/nowhere")).status == 404
    assert (await desk.receive(path, method="PUT")).status == 401


async def test_where_no_url_was_given_out_nothing_is_let_in() -> None:
    desk = Desk(ANSWERED)
    desk.receiver = Receiver(None, lambda: desk.engine)
    assert (await desk.receive()).status == 404
    assert desk.seen == []


async def test_a_client_that_is_not_open_says_so() -> None:
    desk = Desk(ANSWERED)
    desk.open = False
    assert await desk.receive() == WebhookReply(status=503)


async def test_a_provider_without_webhooks_has_none() -> None:
    desk = Desk(ANSWERED)
    desk.engine.steps.implemented = set()
    assert (await desk.receive()).status == 404
    assert desk.seen == []


@pytest.mark.parametrize(
    ("fails", "status"),
    [
        (WebhookRejected("a forgery"), 403),
        (WebhookRejected("a forgery", status=400), 400),
        (WebhookRejected("a forgery", status=499), 499),
        (WebhookRejected("a forgery", status=399), 400),
        (WebhookRejected("a forgery", status=500), 400),
        (KeyError("callId"), 400),
    ],
)
async def test_what_the_provider_cannot_read_is_the_senders_mistake(fails: Exception, status: int) -> None:
    desk = Desk(ANSWERED, fails=fails)
    assert (await desk.receive()).status == status
    assert desk.taken == []


async def test_an_event_that_cannot_be_handed_on_is_asked_for_again_and_holds_up_no_other() -> None:
    desk = Desk(ANSWERED, READY)
    desk.stumbles = {"e-1"}
    assert await desk.receive() == WebhookReply(status=500)
    assert [event.id for event in desk.taken] == ["m-1 e-2"]


# --- as an ASGI application


async def test_a_request_is_served() -> None:
    desk = Desk(ANSWERED)
    path = desk.path()
    tail = path.removeprefix("/hooks")
    sent = await desk.serve(
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.request", "more_body": True},
        {"type": "http.request", "body": b"}"},
        method="post",
        path=path,
        query_string="a=1&b=&c=%20\xe9".encode("latin-1"),
        headers=[(b"X-One", b"1"), (b"x-one", b"2"), (b"Y", "\xe9".encode("latin-1"))],
    )
    assert sent == [
        {
            "type": "http.response.start",
            "status": 202,
            "headers": [(b"content-length", b"2"), (b"x-said", b"thanks")],
        },
        {"type": "http.response.body", "body": b"ok"},
    ]
    (seen,) = desk.seen
    assert (seen.method, seen.path, seen.body) == ("POST", tail, b"{}")
    assert seen.headers == {"x-one": "1, 2", "y": "\xe9"}
    assert (seen.query["a"], seen.query["b"], len(seen.query)) == ("1", "", 3)
    assert seen.url == f"{PUBLIC}{tail}?a=1&b=&c=%20\xe9"
    assert [event.flow for event in desk.taken] == ["m-1"]


async def test_a_request_without_a_query_is_served_without() -> None:
    desk = Desk(ANSWERED)
    assert (await desk.serve(method="GET", query_string=None))[0]["status"] == 202
    assert (desk.seen[0].query, desk.seen[0].url) == ({}, PUBLIC + desk.path().removeprefix("/hooks"))


def header(sent: list[dict[str, Any]], name: bytes) -> bytes | None:
    return dict(sent[0]["headers"]).get(name)


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        ({"path": "/nowhere"}, 404),
        ({"method": "PUT"}, 405),
        ({"query_string": b"x" * (LARGEST_QUERY + 1)}, 414),
        ({"query_string": b"&".join([b"a=1"] * (MOST_PARAMETERS + 1))}, 400),
        ({"headers": [(b"content-length", str(WebhookRequest.LARGEST_BODY + 1).encode())]}, 413),
        ({"headers": [(b"content-length", b"9" * 5000)]}, 413),
        ({"headers": [(b"content-length", b"0000000010")]}, 413),  # no server writes so, and none needs it
    ],
)
async def test_the_body_of_what_is_refused_is_not_read(scope: dict[str, Any], status: int) -> None:
    desk = Desk(ANSWERED)
    unread = {"type": "a message that nobody may ask for"}
    sent = await desk.serve(unread, **scope)
    assert [sent[0]["status"], sent[1]["body"]] == [status, b""]
    assert header(sent, b"content-length") == b"0"
    assert (header(sent, b"allow") is not None) is (status == 405)
    assert header(sent, b"connection") is None
    assert (desk.seen, desk.taken) == ([], [])


@pytest.mark.parametrize(
    "scope",
    [
        {"query_string": b"x" * LARGEST_QUERY},
        {"query_string": b"&".join([b"a=1"] * MOST_PARAMETERS)},
        {"headers": [(b"content-length", str(WebhookRequest.LARGEST_BODY).encode())]},
        {"headers": [(b"content-length", b"000000010")]},
        {"headers": [(b"content-length", b"some")]},
        {"headers": [(b"content-length", "\xb2".encode("latin-1"))]},
    ],
)
async def test_what_is_within_the_limits_is_read(scope: dict[str, Any]) -> None:
    assert (await Desk(ANSWERED).serve(**scope))[0]["status"] == 202


@pytest.mark.parametrize(("more", "status"), [(0, 202), (1, 413)])
async def test_a_body_is_read_up_to_its_limit(more: int, status: int) -> None:
    desk = Desk(ANSWERED)
    half = WebhookRequest.LARGEST_BODY // 2
    sent = await desk.serve(
        {"type": "http.request", "body": b"x" * half, "more_body": True},
        {"type": "http.request", "body": b"x" * (half + more)},
    )
    assert sent[0]["status"] == status


@pytest.mark.parametrize(
    ("version", "closes"), [({}, True), ({"http_version": "1.0"}, True), ({"http_version": "2"}, False)]
)
async def test_a_body_that_does_not_come_is_waited_for_so_long(version: dict[str, str], closes: bool) -> None:
    desk = Desk(ANSWERED)
    begun = anyio.current_time()
    sent = await desk.serve({"type": "http.request", "body": b"x", "more_body": True}, **version)
    assert anyio.current_time() - begun == pytest.approx(BODY_TIME)
    assert sent[0]["status"] == 408
    assert (header(sent, b"connection") == b"close") is closes
    assert desk.seen == []


async def test_without_the_credentials_nobody_is_served() -> None:
    desk = Desk(ANSWERED, user="ann", password="se cret:x")
    path = desk.path().partition("us.example")[2]
    assert (await desk.serve(path=path))[0]["status"] == 401
    assert (await desk.serve(path=path, headers=[(b"Authorization", BASIC.encode())]))[0]["status"] == 202


async def test_who_has_hung_up_is_not_answered() -> None:
    desk = Desk(ANSWERED)
    assert await desk.serve({"type": "http.disconnect"}) == []
    assert desk.seen == []


async def test_a_websocket_is_closed_and_anything_else_is_the_applications_business() -> None:
    desk = Desk(ANSWERED)
    assert await desk.serve(type="websocket") == [{"type": "websocket.close"}]
    with pytest.raises(RuntimeError, match="HTTP"):
        await desk.serve(type="lifespan")
