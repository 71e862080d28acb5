"""What is sent, and what becomes of refusals, against a scripted server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import anyio
import pytest
from attrs import evolve
from confkit_asterisk import errors
from confkit_asterisk.media import media_uri
from confkit_asterisk.provider import AsteriskProvider
from confkit_asterisk.settings import AsteriskSettings

from confkit import OutcomeUnknown, ProviderError, Unavailable
from confkit.provider import Call, Conference, ConferenceSpec, Conflict, InvalidRequest, MemberOptions, Op
from plugins.asterisk.tests.stub import Stub

pytestmark = pytest.mark.anyio
OP = Op(key="op-1", timeout=timedelta(seconds=2))
ROOM = Conference(provider="asterisk", key="room-1", id="room-1")
CALL = Call(provider="asterisk", id="call-1")
BRIDGE = {"id": "op-1", "name": "confkit conference", "channels": []}


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    made = Stub()
    async with anyio.create_task_group() as tasks:
        await tasks.start(made.run)
        yield made
        tasks.cancel_scope.cancel()


@pytest.fixture
async def provider(stub: Stub) -> AsyncIterator[AsteriskProvider]:
    made = AsteriskProvider(AsteriskSettings(user="u", password="p", base_url=stub.base_url))
    yield made
    await made.aclose()


async def test_a_conference_has_the_id_of_its_intent(stub: Stub, provider: AsteriskProvider) -> None:
    stub.script = [(200, BRIDGE)]
    made = await provider.create_conference(ConferenceSpec(caller_id="+12015550199"), OP)
    assert made.id == made.key == "op-1"
    assert stub.seen == [("POST", "/ari/bridges/op-1", {"type": "mixing", "name": "confkit conference"})]


@pytest.mark.parametrize("status", [409, 500])  # of version 22, and of version 16
async def test_an_id_that_is_taken_is_ours(stub: Stub, provider: AsteriskProvider, status: int) -> None:
    stub.script = [(status, {"message": "Bridge with id 'op-1' already exists"}), (200, BRIDGE)]
    made = await provider.create_conference(ConferenceSpec(caller_id="+12015550199"), OP)
    assert made.id == "op-1"
    assert [method for method, *_ in stub.seen] == ["POST", "GET"]


async def test_a_failure_that_made_nothing_is_no_success(stub: Stub, provider: AsteriskProvider) -> None:
    stub.script = [(500, {"message": "Internal Server Error"}), (404, {"message": "Bridge not found"})]
    with pytest.raises(OutcomeUnknown):
        await provider.create_conference(ConferenceSpec(caller_id="+12015550199"), OP)


async def test_a_member_that_is_in_is_not_added_again(stub: Stub, provider: AsteriskProvider) -> None:
    stub.script = [(200, {**BRIDGE, "id": "room-1", "channels": ["call-1"]})]
    member = await provider.add_member(ROOM, CALL, MemberOptions(), evolve(OP, attempt=2))
    assert member.id == "call-1"
    assert [method for method, *_ in stub.seen] == ["GET"]


async def test_a_muted_member_is_silent_before_it_is_in(stub: Stub, provider: AsteriskProvider) -> None:
    await provider.add_member(ROOM, CALL, MemberOptions(mute=True), OP)
    assert next((method, target) for method, target, _ in stub.seen) == ("POST", "/ari/channels/call-1/mute")
    assert stub.seen[-1][1] == "/ari/bridges/room-1/addChannel"


async def test_ending_hangs_up_everybody_first(stub: Stub, provider: AsteriskProvider) -> None:
    stub.script = [(200, {**BRIDGE, "id": "room-1", "channels": ["call-1", "call-2"]})]
    await provider.end_conference(ROOM, OP)
    assert {target for _, target, _ in stub.seen[1:3]} == {"/ari/channels/call-1", "/ari/channels/call-2"}
    assert stub.seen[3][:2] == ("DELETE", "/ari/bridges/room-1")


async def test_nobody_is_dialled_while_nobody_listens(stub: Stub, provider: AsteriskProvider) -> None:
    from confkit.provider import CallSpec

    provider._settings = evolve(provider._settings, endpoint="PJSIP/{number}@trunk")
    spec = CallSpec(to="+19195550101", caller_id="+12015550199")
    with pytest.raises(Unavailable, match="no stream of events"):
        await provider.create_call(spec, evolve(OP, timeout=timedelta(seconds=0.1)), None)
    assert stub.seen == []


async def test_digits_are_not_sent_again_on_a_guess(stub: Stub, provider: AsteriskProvider) -> None:
    stub.script = [(500, {"message": "Internal Server Error"})]
    with pytest.raises(OutcomeUnknown):
        await provider.send_digits(CALL, "12#", OP)
    assert len(stub.seen) == 1
    assert "send_digits" not in provider.capabilities().idempotent


@pytest.mark.parametrize("status", errors.STATUSES)
async def test_every_status(stub: Stub, provider: AsteriskProvider, status: int) -> None:
    stub.script = [(status, {"message": "why"})]
    with pytest.raises(errors.STATUSES[status], match="why") as caught:
        await provider.answer_call(CALL, None, OP)
    assert (caught.value.status, caught.value.operation) == (status, "answer_call")


@pytest.mark.parametrize(("operation", "status"), errors.EXCEPTIONS)
def test_every_exception(operation: str, status: int) -> None:
    general = errors.STATUSES[status]("why", provider="asterisk", operation=operation, status=status)
    meant = errors.for_operation(general)
    assert type(meant) is errors.EXCEPTIONS[operation, status]
    assert (meant.message, meant.status, meant.operation) == ("why", status, operation)


@pytest.mark.parametrize("code", errors.CODES)
def test_every_code(code: str) -> None:
    details = errors.TABLE.read(500, {}, {"error": code})
    assert errors.TABLE.classify(details.code, 500) is errors.CODES[code]


async def test_what_says_that_it_is_so_already(stub: Stub, provider: AsteriskProvider) -> None:
    for status in errors.DONE["hang_up"]:
        stub.script = [(status, {"message": "Channel not found"})]
        await provider.hang_up(CALL, OP)
    stub.script = [(403, {"message": "no"})]
    with pytest.raises(ProviderError):
        await provider.hang_up(CALL, OP)


def test_conflict_for_a_call_that_is_over() -> None:
    assert errors.EXCEPTIONS["add_member", 400] is Conflict


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("file:///srv/sounds/wel%20come.wav", "sound:/srv/sounds/wel come"),
        ("https://example.com/a.wav", "sound:https://example.com/a.wav"),
        ("sound:tt-monkeys", "sound:tt-monkeys"),
        ("tone:ring;tonezone=us", "tone:ring;tonezone=us"),
    ],
)
def test_media(url: str, uri: str) -> None:
    assert media_uri(url) == uri


@pytest.mark.parametrize("url", ["", "welcome.wav", "ftp://example.com/a.wav", "file://host/a.wav"])
def test_media_that_cannot_be_played(url: str) -> None:
    with pytest.raises(InvalidRequest):
        media_uri(url)
