"""Whatever the provider does: the meeting is there or it is undone, and nobody's phone rings twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anyio
import pytest
from confkit_fake import FakeProvider

from confkit import (
    AsyncClient,
    MeetingError,
    Outcome,
    ParticipantState,
    ProviderError,
    QuorumNotReached,
    StepOutcome,
    StepRecord,
    Unavailable,
)
from confkit.provider import hookimpl

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

OURS = "+12018994444"
PARTIES = [f"+1919555010{index}" for index in range(1, 5)]
FAULTS = ["refuse", "drop-reply", "lost", "late", "error-500", "rate-limit", "slow"]
SHAPES = ["explicit", "on_join", "from_call", "fused"]


class Steps:
    """Every step that was finished."""

    def __init__(self) -> None:
        self.records: list[StepRecord] = []

    @hookimpl
    def step_finished(self, step: StepRecord) -> None:
        self.records.append(step)


def rung_once(provider: FakeProvider) -> bool:
    return all(len(calls) == 1 for calls in provider.exchange.rings.values())


async def meet(
    provider: FakeProvider, parties: list[str]
) -> tuple[list[Outcome | None], MeetingError | ProviderError | None, tuple[str, ...]]:
    """Connect and end; gives the outcomes while it stood, the error if there was one, and what was left behind."""
    outcomes: list[Outcome | None] = []
    async with AsyncClient(provider, caller_id=OURS) as client:
        with anyio.fail_after(600):
            try:
                async with client.connect(*parties) as meeting:
                    outcomes = [person.outcome for person in meeting.participants]
            except (MeetingError, ProviderError) as error:
                return outcomes, error, error.left_behind
    return outcomes, None, meeting.left_behind


@pytest.mark.parametrize("source", ["stream", "poll"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("operation", ["create_conference", "create_call", "add_member"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_one_fault_on_the_way_up(fault: str, operation: str, shape: str, source: str) -> None:
    """It costs nothing, but where nobody can vouch for what became of it: a dial costs its party."""
    provider = FakeProvider(shape=shape, events=source, latency=0.1)
    provider.fail(operation, fault, after=0 if operation == "create_conference" else 1)
    outcomes, error, named = await meet(provider, PARTIES)
    lost_dial = operation == "create_call" and fault == "lost"
    # An empty conference rings nobody, so another one is made, and the first, if there is one, is named.
    lost_room = operation == "create_conference" and fault == "lost" and shape in ("explicit", "fused")
    assert outcomes.count(Outcome.JOINED) == (3 if lost_dial else 4)
    assert (error is not None) is lost_dial
    assert len(named) == (lost_dial or lost_room)
    assert rung_once(provider)
    assert provider.exchange.still_up() == ()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("operation", ["create_conference", "create_call", "add_member"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_that_stays(fault: str, operation: str, shape: str) -> None:
    """The meeting stands or is undone; what nobody can vouch for is named."""
    provider = FakeProvider(shape=shape, latency=0.1)
    provider.fail(operation, fault, times=50)
    outcomes, error, _ = await meet(provider, PARTIES)
    assert rung_once(provider)
    assert provider.exchange.still_up() == () or (error is not None and error.left_behind)
    if fault in ("refuse", "drop-reply", "slow", "rate-limit"):
        assert error is None or error.left_behind == ()
    if error is None:
        assert outcomes == [Outcome.JOINED] * 4


@pytest.mark.parametrize("bridge", ["first", "after"])
@pytest.mark.parametrize("operation", ["create_bridge", "create_call"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("times", [1, 20])
async def test_a_fault_while_two_are_bridged(fault: str, operation: str, bridge: str, times: int) -> None:
    provider = FakeProvider(bridge=bridge, latency=0.1)
    provider.fail(operation, fault, times=times)
    _, error, _ = await meet(provider, PARTIES[:2])
    assert rung_once(provider)
    if times == 1 and fault != "lost":
        assert error is None
    if error is None or not error.left_behind:
        assert provider.exchange.still_up() == ()


@pytest.mark.parametrize("operation", ["hang_up", "end_conference", "end_bridge"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("count", [2, 4])
async def test_a_fault_on_the_way_down(fault: str, operation: str, count: int) -> None:
    provider = FakeProvider(latency=0.1)
    provider.fail(operation, fault, times=3)
    _, error, _ = await meet(provider, PARTIES[:count])
    assert error is None
    assert provider.exchange.still_up() == ()


@pytest.mark.parametrize(
    ("operation", "count", "words"),
    [
        ("hang_up", 3, "the call to +1919•••0103"),
        ("end_conference", 3, "conference conf-"),
        ("end_bridge", 2, "bridge brg-"),
    ],
)
async def test_what_could_not_be_undone_is_told(operation: str, count: int, words: str) -> None:
    provider = FakeProvider()
    async with AsyncClient(provider, caller_id=OURS) as client:
        meeting = client.connect(*PARTIES[:count])
        with pytest.raises(MeetingError) as raised:
            async with meeting:
                provider.fail(operation, "refuse", times=500)
        assert any(sentence.startswith(words) for sentence in raised.value.left_behind)
        assert "NOT undone" in str(raised.value)
        assert PARTIES[0] not in str(raised.value)
        assert meeting.left_behind == raised.value.left_behind
        expected_up = {"hang_up": count, "end_conference": 0, "end_bridge": 0}[operation]
        assert len([each for each in provider.exchange.still_up() if each.startswith("c-")]) == expected_up


async def test_an_error_of_the_block_stands_and_carries_what_could_not_be_undone() -> None:
    provider = FakeProvider()
    async with AsyncClient(provider, caller_id=OURS) as client:
        meeting = await client.connect(*PARTIES).__aenter__()
        provider.fail("hang_up", "refuse", times=500)
        error = ZeroDivisionError()
        await meeting.__aexit__(ZeroDivisionError, error, None)
    assert any("could not undo: the call to" in note for note in error.__notes__)


async def test_a_dial_that_nobody_can_vouch_for_fails_its_party_and_is_reported() -> None:
    provider = FakeProvider()
    provider.fail("create_call", "lost")
    async with AsyncClient(provider, caller_id=OURS) as client:
        meeting = await client.connect(*PARTIES).__aenter__()
        (failed,) = (person for person in meeting.participants if person.outcome is Outcome.FAILED)
        assert failed.state is ParticipantState.ENDED
        assert "connection was lost" in (failed.error or "")
        with pytest.raises(MeetingError) as raised:
            await meeting.end()
        assert raised.value.left_behind == (
            f"the call to {failed.party.label} may have been made: fake create_call: the connection was lost",
        )
    assert sum(request.operation == "create_call" for request in provider.requests) == 4


async def test_a_provider_that_is_down_is_one_clear_error() -> None:
    provider = FakeProvider()
    provider.fail("create_conference", "refuse", times=99)
    with pytest.raises(Unavailable) as raised:
        async with AsyncClient(provider, caller_id=OURS) as client, client.connect(*PARTIES):
            pass
    assert str(raised.value) == "fake create_conference: the connection was refused"
    assert provider.exchange.rings == {}


async def test_when_nobody_can_be_dialled_the_error_says_why_for_everyone() -> None:
    provider = FakeProvider()
    provider.fail("create_call", "refuse", times=99)
    with pytest.raises(QuorumNotReached) as raised:
        async with AsyncClient(provider, caller_id=OURS) as client, client.connect(*PARTIES):
            pass
    assert str(raised.value).count("failed (fake create_call: the connection was refused)") >= 3
    assert provider.exchange.still_up() == ()


async def test_a_plugin_that_raises_its_own_exceptions_costs_its_party_and_nothing_else() -> None:
    class Broken:
        @hookimpl(wrapper=True)
        def add_member(self) -> Any:
            result = yield
            result.close()
            raise KeyError("native")

    provider, steps = FakeProvider(), Steps()
    async with AsyncClient(provider, caller_id=OURS, plugins=[Broken(), steps]) as client:
        with pytest.raises(QuorumNotReached):
            async with client.connect(*PARTIES):
                pass
    assert provider.exchange.still_up() == ()
    joins = [record for record in steps.records if record.operation == "add_member"]
    assert {record.outcome for record in joins} == {StepOutcome.UNKNOWN}


async def test_a_poll_and_a_stream_that_break_do_not_end_the_meeting() -> None:
    class Poor:
        """A stream that breaks after each event, and reads that fail now and then, as no plugin should."""

        def __init__(self) -> None:
            self.reads = 0

        @hookimpl(wrapper=True)
        def fetch(self) -> Any:
            result = yield
            self.reads += 1
            if self.reads % 2:
                result.close()
                raise KeyError("native")
            return result

        @hookimpl(wrapper=True)
        def events(self) -> Any:
            stream = yield

            async def one() -> Any:
                yield await stream.__anext__()
                raise KeyError("native")

            return one()

    provider = FakeProvider()
    for index, party in enumerate(PARTIES):
        provider.party(party).answers(after=1 + index)
    async with AsyncClient(provider, caller_id=OURS, plugins=[Poor()]) as client:
        with anyio.fail_after(120):
            async with client.connect(*PARTIES) as meeting:
                assert [person.outcome for person in meeting.participants] == [Outcome.JOINED] * 4
    assert provider.exchange.still_up() == ()


async def test_who_has_answered_is_not_hung_up_on_because_the_event_was_lost() -> None:
    provider = FakeProvider()
    provider.deliver = lambda _: []
    provider.party(PARTIES[2]).never_answers()
    provider.party(PARTIES[3]).busy()
    async with (
        AsyncClient(provider, caller_id=OURS) as client,
        # The safety poll comes after 10 s; a leg gives up before.
        client.connect(*PARTIES, answer_timeout=timedelta(seconds=2)) as meeting,
    ):
        outcomes = [person.outcome for person in meeting.participants]
        assert meeting.trace.reads == {"fetch": 4}
    assert outcomes == [Outcome.JOINED, Outcome.JOINED, Outcome.NO_ANSWER, Outcome.BUSY]
    assert provider.exchange.still_up() == ()
