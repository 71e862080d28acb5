"""OAuth 2 client credentials: when a token is fetched, and what it means that none can be had."""

from __future__ import annotations

import base64
import gc
from collections.abc import Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import anyio
import httpx
import pytest
import trio
import trio.testing
from attrs import define, field

from confkit.models.errors import (
    Conflict,
    OutcomeUnknown,
    ProviderError,
    SettingsError,
    Unauthenticated,
    Unavailable,
)
from confkit.provider import ClientCredentials, ErrorDetails, ErrorTable, Http, Secret
from tests.secrecy import test_tracebacks

from .conftest import Answer, Asked, Platform

pytestmark = pytest.mark.anyio
SOON = timedelta(seconds=5)
ID, SECRET, TOKEN = "id-marked:/", "s-marked secret", "token-marked-"


def assert_clean(error: BaseException) -> None:
    """Nothing shows but in the frames of this file."""
    while error.__traceback__ is not None and error.__traceback__.tb_frame.f_code.co_filename == __file__:
        error.__traceback__ = error.__traceback__.tb_next
    test_tracebacks.assert_clean(error, ID, SECRET, TOKEN, "s-marked", "id-marked")


@define
class Bank:
    """Gives out tokens, and takes the last one."""

    life: Any = 3600
    given: int = 0
    good: set[str] = field(factory=set)
    token: Callable[[], Answer] | None = None
    api: Callable[[Asked], Answer] = lambda _: Answer(payload={"ok": True})

    def __call__(self, asked: Asked) -> Answer:
        if asked.path == "/oauth/token":
            return self.token() if self.token else self.issue()
        if asked.headers["authorization"].removeprefix("Bearer ") not in self.good:
            return Answer(status=401, payload={"message": asked.headers["authorization"]})
        return self.api(asked)

    def issue(self, **changed: Any) -> Answer:
        self.given += 1
        text = f"{TOKEN}{self.given}"
        self.good = {text}
        payload = {"access_token": text, "token_type": "bearer", "expires_in": self.life}
        payload |= changed
        return Answer(payload={name: value for name, value in payload.items() if value is not None})


@pytest.fixture
def bank(platform: Platform) -> Bank:
    platform.answer = bank = Bank()
    return bank


def opened(platform: Platform, **changed: Any) -> Any:
    auth = ClientCredentials(
        token_url=f"{platform.url}/oauth/token", client_id=ID, client_secret=Secret(SECRET), **changed
    )
    return aclosing(Http("parrot", f"{platform.url}/api", auth=auth, errors=ErrorTable()))


async def dial(http: Http, timeout: timedelta = SOON, operation: str = "create_call") -> None:
    await http.update("calls", operation=operation, body={}, timeout=timeout)


@pytest.mark.usefixtures("bank")
async def test_one_token_for_all_who_ask_at_once(platform: Platform) -> None:
    async with opened(platform) as http:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(dial, http)
        await http.read("calls", operation="fetch", decode=dict)
    assert platform.paths() == ["/oauth/token", *["/api/calls"] * 6]
    asked, *rest = platform.asked
    pair = base64.b64encode(b"id-marked%3A%2F:s-marked+secret").decode()  # RFC 6749 section 2.3.1
    assert (asked.method, asked.body) == ("POST", b"grant_type=client_credentials")
    assert asked.headers["authorization"] == f"Basic {pair}"
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert {each.headers["authorization"] for each in rest} == {f"Bearer {TOKEN}1"}


@pytest.mark.usefixtures("bank")
async def test_a_scope_is_asked_for(platform: Platform) -> None:
    async with opened(platform, scope="calls rooms") as http:
        await dial(http)
    assert platform.asked[0].body == b"grant_type=client_credentials&scope=calls+rooms"


async def test_a_token_that_is_no_longer_taken_is_renewed_once_and_the_request_not_sent_again(
    platform: Platform, bank: Bank
) -> None:
    async with opened(platform) as http:
        await dial(http)
        bank.good = set()
        with pytest.raises(Unavailable, match="new one for the next attempt") as caught:
            await dial(http)
        assert caught.value.status == 401
        assert platform.paths() == ["/oauth/token", "/api/calls", "/api/calls", "/oauth/token"]
        await dial(http)
        bank.good = set()
        with pytest.raises(Unavailable):  # renewing it once more is for another end
            await dial(http)
    assert bank.given == 3


async def test_several_that_a_token_is_refused_for_renew_it_once(platform: Platform, bank: Bank) -> None:
    failures = []

    async def refused(http: Http) -> None:
        with pytest.raises(Unavailable) as caught:
            await dial(http)
        failures.append(caught.value)

    async with opened(platform) as http:
        await dial(http)
        arrived = []
        all_there = anyio.Event()

        async def hold(_: object) -> None:
            arrived.append(1)
            if len(arrived) == 4:
                all_there.set()
            await all_there.wait()

        bank.good = set()
        send = http._line.send

        async def together(*args: Any, **named: Any) -> Any:
            try:
                return await send(*args, **named)
            finally:
                await hold(None)

        http._line.send = together
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(refused, http)
    assert len(failures) == 4
    assert bank.given == 2


async def test_an_operation_for_which_the_new_token_is_refused_too_is_refused(platform: Platform, bank: Bank) -> None:
    async with opened(platform) as http:
        bank.api = lambda asked: Answer(status=401) if asked.path == "/api/calls" else Answer()
        with pytest.raises(Unavailable):
            await dial(http)
        with pytest.raises(Unauthenticated) as caught:
            await dial(http)
        assert caught.value.status == 401
        assert bank.given == 2
        with pytest.raises(Unavailable):  # for the next intent it is tried anew
            await dial(http)


async def test_a_refusal_that_is_no_401_has_taken_the_token(platform: Platform, bank: Bank) -> None:
    async with opened(platform) as http:
        bank.api = lambda _: Answer(status=409)
        await dial_refused(http, Conflict)
        for given in (2, 3):
            bank.good = set()
            await dial_refused(http, Unavailable)
            assert bank.given == given
            await dial_refused(http, Conflict)


async def dial_refused(http: Http, kind: type[ProviderError]) -> None:
    with pytest.raises(ProviderError) as caught:
        await dial(http)
    assert type(caught.value) is kind


def no_json() -> Answer:
    return Answer(payload=b"<html>")


@pytest.mark.parametrize(
    ("token", "kind", "says"),
    [
        (lambda: Answer(status=401, payload={"error": "invalid_client"}), Unauthenticated, "no token: invalid_client"),
        (
            lambda: Answer(status=400, payload={"error": "invalid_scope", "error_description": f"not {ID} {SECRET}"}),
            Unauthenticated,
            "no token: not ••• •••",
        ),
        (lambda: Answer(status=403), Unauthenticated, "no token: refused without a reason"),
        (lambda: Answer(status=301, headers={"location": "/x"}), Unauthenticated, "redirects to another path"),
        (lambda: Answer(status=429), Unavailable, "no token: refused without a reason"),
        (lambda: Answer(status=500), Unavailable, "no token: the provider failed"),
        (no_json, Unavailable, "it is HTML"),
        (lambda: Answer(payload=[]), Unavailable, "it lacks what it must have"),
        (lambda: Answer(payload={"access_token": "x"}), Unavailable, "'token_type'"),
        (lambda: Bank().issue(token_type="mac"), Unavailable, "token_type is not Bearer"),
        (lambda: Bank().issue(access_token=f"{TOKEN}\n"), Unavailable, "none that a header can carry"),
        (lambda: Bank().issue(access_token=f"{TOKEN}é"), Unavailable, "none that a header can carry"),
        (lambda: Bank().issue(access_token=[TOKEN]), Unavailable, "none that a header can carry"),
        (lambda: Bank().issue(access_token=""), Unavailable, "none that a header can carry"),
        (lambda: Bank().issue(expires_in="soon"), Unavailable, "expires_in is no number"),
        (lambda: Bank().issue(expires_in="nan"), Unavailable, "expires_in is no number"),
    ],
)
async def test_without_a_token_nothing_is_sent_and_nothing_shown(
    platform: Platform, bank: Bank, token: Callable[[], Answer], kind: type[ProviderError], says: str
) -> None:
    bank.token = token
    async with opened(platform) as http:
        for _ in range(2):
            with pytest.raises(ProviderError) as caught:
                await dial(http)
            assert type(caught.value) is kind
            assert says in str(caught.value)
            assert str(caught.value).startswith("parrot create_call: ")
            assert not caught.value.raw
            assert_clean(caught.value)
    assert platform.paths() == ["/oauth/token"] * 2


async def test_those_who_wait_for_a_token_that_is_refused_do_not_ask_again(platform: Platform, bank: Bank) -> None:
    bank.token = lambda: Answer(status=401)
    async with opened(platform) as http, anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(dial_refused, http, Unauthenticated)
    assert platform.paths() == ["/oauth/token"]


@pytest.mark.usefixtures("bank")
async def test_no_connection_to_the_token_endpoint(platform: Platform) -> None:
    auth = ClientCredentials(token_url="http://127.0.0.1:9/t", client_id=ID, client_secret=SECRET)
    async with aclosing(Http("parrot", platform.url, auth=auth, errors=ErrorTable())) as http:
        with pytest.raises(Unavailable, match=r"no token: cannot connect to 127\.0\.0\.1:9: connection refused"):
            await dial(http)
    assert not platform.asked


async def test_a_refusal_that_repeats_the_token_does_not_show_it(platform: Platform, bank: Bank) -> None:
    table = ErrorTable(read=lambda _status, _headers, payload: _details(payload))
    auth = ClientCredentials(token_url=f"{platform.url}/oauth/token", client_id=ID, client_secret=SECRET)
    async with aclosing(Http("parrot", platform.url, auth=auth, errors=table)) as http:
        bank.api = lambda asked: Answer(status=409, payload={"message": asked.headers["authorization"]})
        with pytest.raises(Conflict, match="Bearer •••") as caught:
            await dial(http)
        caught.value.raw = {}
        assert_clean(caught.value)
        assert not any(mark in text for text in (repr(auth), repr(http)) for mark in (ID, SECRET, TOKEN))


def _details(payload: Any) -> Any:
    return ErrorDetails(message=payload.get("message"))


async def test_who_is_cancelled_while_fetching_leaves_it_to_the_next(platform: Platform, bank: Bank) -> None:
    async with opened(platform) as http:
        began = anyio.Event()
        fetch = http._tokens._fetch

        async def slow(_: timedelta) -> None:
            began.set()
            await anyio.sleep_forever()

        http._tokens._fetch = slow
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dial, http)
            await began.wait()
            tasks.cancel_scope.cancel()
        http._tokens._fetch = fetch
        await dial(http)
    assert bank.given == 1


@pytest.mark.usefixtures("bank")
async def test_after_closing_nothing_is_sent(platform: Platform) -> None:
    async with opened(platform) as http:
        pass
    with pytest.raises(Unavailable, match="the client is closed"):
        await dial(http)
    assert not platform.asked
    gc.collect()  # both lines are closed, or a warning says so


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"token_url": "ftp://x"}, "token_url is malformed (ftp://x"),
        ({"token_url": f"http://user:{SECRET}@{'host'}"}, "token_url is malformed (http://host"),
        ({"client_id": 7}, "the credentials have characters"),
        ({"client_secret": None}, "the credentials have characters"),
    ],
)
def test_credentials_that_cannot_be_used(given: dict[str, Any], says: str) -> None:
    fine = {"token_url": "http://127.0.0.1:9/t", "client_id": ID, "client_secret": SECRET}
    with pytest.raises(SettingsError) as caught:
        Http("parrot", "http://127.0.0.1:9", auth=ClientCredentials(**fine | given), errors=ErrorTable())
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


# --- the end of a token, in virtual time


@define
class Timed:
    """The same without a network."""

    bank: Bank = field(factory=Bank)
    #: Seconds that a reply takes, by path.
    takes: dict[str, float] = field(factory=dict)
    paths: list[str] = field(factory=list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.paths.append(path)
        asked = Asked(method=request.method, path=path, headers=dict(request.headers), body=b"")
        await anyio.sleep(self.takes.get(path, 0))
        answer = self.bank(asked)
        return httpx.Response(answer.status, json=answer.payload, headers=dict(answer.headers))


@pytest.fixture
def timed() -> Timed:
    return Timed()


def timed_http(timed: Timed) -> Any:
    auth = ClientCredentials(token_url="http://127.0.0.1/oauth/token", client_id=ID, client_secret=SECRET)
    transport = httpx.MockTransport(timed)
    return aclosing(Http("parrot", "http://127.0.0.1/api", auth=auth, errors=ErrorTable(), transport=transport))


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("life", "kept", "over"),
    [(3600, 3539, 3541), (100, 89, 91), ("100", 89, 91), (None, 10**9, None), (0, None, 0.0)],
)
async def test_a_token_is_renewed_before_its_end(
    timed: Timed, life: Any, kept: float | None, over: float | None
) -> None:
    timed.bank.life = life
    async with timed_http(timed) as http:
        await dial(http)
        began = trio.current_time()
        if kept is not None:
            await anyio.sleep(kept)
            await dial(http)
            assert timed.bank.given == 1
        if over is not None:
            await anyio.sleep(began + over - trio.current_time())
            await dial(http)
            assert timed.bank.given == 2


@pytest.mark.virtual_time
async def test_the_time_of_a_token_begins_when_it_is_asked_for(timed: Timed) -> None:
    timed.bank.life = 10
    timed.takes["/oauth/token"] = 3
    async with timed_http(timed) as http:
        await dial(http)
        await anyio.sleep(6.5)  # 9.5 s after it was asked for, 6.5 s after it came
        await dial(http)
    assert timed.bank.given == 2


@pytest.mark.virtual_time
async def test_the_time_of_a_request_has_its_token_in_it(timed: Timed) -> None:
    timed.takes = {"/oauth/token": 3, "/api/calls": 3}
    async with timed_http(timed) as http:
        began = trio.current_time()
        with pytest.raises(OutcomeUnknown, match="no reply within 2 s"):
            await dial(http)
        assert trio.current_time() - began == pytest.approx(5, abs=0.1)
        timed.bank.good = set()
        await dial_refused(http, Unavailable)
        assert trio.current_time() - began == pytest.approx(10, abs=0.2)


@pytest.mark.virtual_time
async def test_a_token_that_does_not_come_in_time_is_certainly_not_executed(timed: Timed) -> None:
    timed.takes["/oauth/token"] = 60
    failures: list[ProviderError] = []

    async def late(http: Http, timeout: float) -> None:
        with pytest.raises(Unavailable, match="no token") as caught:
            await dial(http, timedelta(seconds=timeout))
        failures.append(caught.value)

    async with timed_http(timed) as http:
        began = trio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(late, http, 5.0)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(late, http, 2.0)
        assert trio.current_time() - began == pytest.approx(5, abs=0.1)
    assert len(failures) == 2
    assert timed.paths == ["/oauth/token"]
