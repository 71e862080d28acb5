"""Whatever the platform answers, an operation gives what the contract says, or raises one of the portable errors."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from confkit_bandwidth.provider import BandwidthProvider
from confkit_bandwidth.settings import BandwidthSettings
from hypothesis import example, given, settings
from hypothesis import strategies as st

from confkit.models.errors import ProviderError
from confkit.models.records import (
    STOP,
    Bridge,
    Call,
    CallSpec,
    Conference,
    ConferencePatch,
    ConferenceSpec,
    Dialled,
    FindHint,
    Media,
    Member,
    MemberOptions,
    MemberPatch,
    Op,
    RecordAction,
    Snapshot,
)

from .strategies import JSON, ODD, records

pytestmark = pytest.mark.anyio
SECRET = "s-marked-secret"


class Stub(httpx.AsyncBaseTransport):
    """Answers with the next of the answers, and then from the first again."""

    def __init__(self, *answers: Callable[[], httpx.Response]) -> None:
        self._answers = answers
        self._asked = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        del request
        self._asked += 1
        return self._answers[(self._asked - 1) % len(self._answers)]()


class Pieces(httpx.AsyncByteStream):
    """A body that may break off."""

    def __init__(self, content: bytes, error: Exception | None) -> None:
        self._left: list[bytes | Exception] = [content] + ([error] if error else [])

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        if isinstance(piece := self._left.pop(0), Exception):
            raise piece
        return piece


def provider(*answers: Callable[[], httpx.Response]) -> Any:
    given = BandwidthSettings(user_id="u-1", token="t-1", secret=SECRET, base_url="http://127.0.0.1:9", limits="off")
    return BandwidthProvider(given, transport=Stub(*answers))


ID = st.sampled_from(["c-1", "conf-1", "m-1", "brg-1"]) | ODD
HEADERS = st.dictionaries(
    st.sampled_from(["location", "content-type", "date", "x-ratelimit-reset", "retry-after", "content-encoding"]),
    ODD | st.builds("https://api.example.com/v1/users/u-1/things/{}".format, ID) | st.just("gzip"),
    max_size=4,
)
RECORD = records(id=ID, callId=ID, state=st.sampled_from(["active", "completed", "started", "odd"]))
BODIES = (
    st.binary(max_size=40)
    | st.builds(lambda value: json.dumps(value).encode(), RECORD | st.lists(RECORD, max_size=3) | JSON)
    | st.just(b"<html>an odd page</html>")
    | st.just(b"[" * 20_000)
    | st.just(b"1" * 5_000)
)
ERRORS = st.sampled_from(
    [None, None, None, httpx.ReadError("gone"), httpx.RemoteProtocolError("odd"), ValueError("odd"), OSError("odd")]
)
STATUSES = st.sampled_from([200, 201, 202, 204, 302, 400, 401, 403, 404, 409, 429, 500, 503]) | st.integers(100, 999)


@st.composite
def answers(draw: st.DrawFn) -> Callable[[], httpx.Response]:
    """An answer, made anew each time that it is given; or no answer."""
    status, headers, body, error = draw(STATUSES), draw(HEADERS), draw(BODIES), draw(ERRORS)
    silent = draw(st.integers(0, 9)) == 0
    raw = [(name.encode(), value.encode("utf-8", "replace")) for name, value in headers.items()]

    def answer() -> httpx.Response:
        if silent and error is not None:
            raise error
        return httpx.Response(status, headers=raw, stream=Pieces(body, error))

    return answer


CONFERENCE = Conference(provider="bandwidth", key="k-1", id="conf-1")
CALL = Call(provider="bandwidth", id="c-1", to="+19195550101")
BRIDGE = Bridge(provider="bandwidth", id="brg-1")
MEMBER = Member(provider="bandwidth", id="m-1", call_id="c-1", conference=CONFERENCE)
SPEC = CallSpec(to="+19195550101", caller_id="+12018994444")
NONE = type(None)
MUTATIONS: dict[str, tuple[type, dict[str, Any]]] = {
    "create_conference": (Conference, {"spec": ConferenceSpec(caller_id="+12018994444")}),
    "create_call": (Dialled, {"spec": SPEC, "into": CONFERENCE}),
    "add_member": (Member, {"conference": CONFERENCE, "call": CALL, "options": MemberOptions()}),
    "update_member": (NONE, {"member": MEMBER, "patch": MemberPatch(mute=True)}),
    "remove_member": (NONE, {"member": MEMBER}),
    "update_conference": (NONE, {"conference": CONFERENCE, "patch": ConferencePatch(hold=True)}),
    "end_conference": (NONE, {"conference": CONFERENCE}),
    "hang_up": (NONE, {"call": CALL}),
    "create_bridge": (Bridge, {"calls": ()}),
    "end_bridge": (NONE, {"bridge": BRIDGE}),
    "play": (NONE, {"target": CONFERENCE, "media": Media(text="hello")}),
    "record": (NONE, {"target": CALL, "action": RecordAction.START}),
    "send_digits": (NONE, {"call": CALL, "digits": "1"}),
    "transfer": (Call, {"call": CALL, "to": "+19195550102", "caller_id": ""}),
    "answer_call": (Dialled, {"call": CALL, "into": None}),
    "reject_call": (NONE, {"call": CALL}),
}
READS: list[tuple[str, type, dict[str, Any]]] = [
    ("fetch", Snapshot, {"ref": CONFERENCE}),
    ("fetch", Snapshot, {"ref": CALL}),
    ("fetch", Snapshot, {"ref": BRIDGE}),
    ("list_calls", tuple, {"into": CONFERENCE}),
    (
        "find",
        tuple,
        {"op_key": "k-1", "hint": FindHint(operation="create_call", into=CONFERENCE, to="+19195550101")},
    ),
    ("find", tuple, {"op_key": "k-1", "hint": FindHint(operation="add_member", into=CONFERENCE, call=CALL)}),
]


async def outcome(made: Any, operation: str, arguments: dict[str, Any]) -> Any:
    """What the operation gives, or ``None`` after a portable error."""
    try:
        return await getattr(made, operation)(**arguments)
    except ProviderError as error:
        refusal = error
    assert refusal.provider == "bandwidth"
    assert refusal.operation
    assert SECRET not in str(refusal)
    return refusal


@given(operation=st.sampled_from(sorted(MUTATIONS)), answer=answers())
@settings(max_examples=50)
async def test_a_mutation_gives_its_value_or_a_portable_error(
    operation: str, answer: Callable[[], httpx.Response]
) -> None:
    gives, arguments = MUTATIONS[operation]
    made = provider(answer)
    found = await outcome(made, operation, {**arguments, "op": Op(key="k-1")})
    assert isinstance(found, gives | ProviderError)
    if isinstance(found, Conference | Member | Bridge | Call):
        assert found.id
        assert found.id.isprintable()
    await made.aclose()


@given(read=st.sampled_from(READS), replies=st.lists(answers(), min_size=1, max_size=3))
@settings(max_examples=30)
async def test_a_read_gives_its_value_or_a_portable_error(
    read: tuple[str, type, dict[str, Any]], replies: list[Callable[[], httpx.Response]]
) -> None:
    operation, gives, arguments = read
    made = provider(*replies)
    found = await outcome(made, operation, arguments)
    assert isinstance(found, gives | ProviderError)
    if isinstance(found, Snapshot):
        for call in found.calls:
            # What a reply brought in must be fit to go out again.
            assert isinstance(await outcome(made, "hang_up", {"call": call, "op": Op(key="k-2")}), NONE | ProviderError)
        if found.conference is not None:
            await outcome(made, "list_calls", {"into": found.conference})
    await made.aclose()


RECORDS = st.lists(RECORD, max_size=4).map(lambda found: json.dumps(found).encode())


@given(body=RECORDS, read=st.sampled_from(READS))
@example(body=b'[{"id": "\\ud800", "callId": "\\ud800", "state": "active", "to": "+19195550101"}]', read=READS[3])
@example(body=b'[{"id": "c", "callTimeout": 1e999, "startTime": -1e15, "endTime": 1e999}]', read=READS[3])
@settings(max_examples=30)
async def test_odd_records_are_read_as_far_as_they_go(body: bytes, read: tuple[str, type, dict[str, Any]]) -> None:
    operation, gives, arguments = read
    made = provider(lambda: httpx.Response(200, stream=Pieces(body, None)))
    found = await outcome(made, operation, arguments)
    assert isinstance(found, gives | ProviderError)
    calls = found if isinstance(found, tuple) else ()
    for call in calls:
        if isinstance(call, Call):
            times = (call.created_at, call.answered_at, call.ended_at)
            assert all(moment is None or moment.tzinfo for moment in times)
            await outcome(made, "hang_up", {"call": call, "op": Op(key="k-2")})
    await made.aclose()


@given(
    target=st.sampled_from([CONFERENCE, MEMBER, CALL, BRIDGE]),
    text=ODD,
    loop=st.booleans(),
    seconds=st.floats(allow_nan=False, allow_infinity=False),
)
@settings(max_examples=30)
async def test_what_the_application_gives_is_sent_or_refused(
    target: Any, text: str, loop: bool, seconds: float
) -> None:
    made = provider(lambda: httpx.Response(200))
    wanted = Media(text=text, voice=text, locale=text) if math.copysign(1, seconds) > 0 else Media(url=text, loop=loop)
    for operation, arguments in (
        ("play", {"target": target, "media": wanted}),
        ("play", {"target": target, "media": STOP}),
        ("send_digits", {"call": CALL, "digits": text}),
        ("transfer", {"call": CALL, "to": text, "caller_id": text}),
        ("hang_up", {"call": Call(provider="bandwidth", id=text)}),
    ):
        found = await outcome(made, operation, {**arguments, "op": Op(key="k-1")})
        assert isinstance(found, NONE | Call | ProviderError)
    await made.aclose()


async def test_a_reply_without_end_is_not_kept() -> None:
    class Endless(httpx.AsyncByteStream):
        def __init__(self) -> None:
            self.left = 64

        def __aiter__(self) -> Endless:
            return self

        async def __anext__(self) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise StopAsyncIteration
            return b" " * 1_000_000

    made = provider(lambda: httpx.Response(200, stream=Endless()))
    found = await outcome(made, "list_calls", {"into": CONFERENCE})
    assert isinstance(found, ProviderError)
    assert "cut off" in str(found)
    await made.aclose()
