"""One step: what is sent again and what is not, what a plugin may do to it, and what is told about it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import anyio
import pytest
import structlog
from attrs import evolve
from confkit_fake import FakeProvider

import confkit
import confkit.provider
from confkit import (
    AsyncClient,
    OutcomeUnknown,
    PolicyError,
    RateLimited,
    StepOutcome,
    StepRecord,
    Unavailable,
    Unsupported,
)
from confkit.provider import CallSpec, Capabilities, Conflict, InvalidRequest, NotFound, NotReady, Op, hookimpl

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

OURS = "+12018994444"
ANN = "+19195550101"


def client(provider: FakeProvider, **settings: Any) -> AsyncClient:
    return AsyncClient(provider, caller_id=OURS, **settings)


def sent(provider: FakeProvider, operation: str) -> list[str]:
    return [request.outcome for request in provider.requests if request.operation == operation]


class Steps:
    """Observes every step."""

    def __init__(self) -> None:
        self.started: list[StepRecord] = []
        self.finished: list[StepRecord] = []

    @hookimpl
    def step_started(self, step: StepRecord) -> None:
        self.started.append(step)

    @hookimpl
    def step_finished(self, step: StepRecord) -> None:
        self.finished.append(step)


# --- certainly not executed


async def test_what_was_certainly_not_executed_is_sent_again() -> None:
    provider = FakeProvider()
    provider.fail("create_call", "refuse", times=4)
    async with client(provider) as calls:
        call = (await calls.direct.create_call(ANN)).call
    assert sent(provider, "create_call") == ["Unavailable"] * 4 + ["ok"]
    assert provider.exchange.rings[ANN] == [call.id]
    assert len({request.op_key for request in provider.requests}) == 1
    assert [request.attempt for request in provider.requests] == [1, 2, 3, 4, 5]


async def test_the_pauses_between_attempts_grow() -> None:
    provider = FakeProvider()
    provider.fail("hang_up", "refuse", times=4)
    async with client(provider) as calls:
        await calls.direct.hang_up((await calls.direct.create_call(ANN)).call)
    moments = [request.at for request in provider.requests if request.operation == "hang_up"]
    pauses = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(moments)]
    assert all(later > earlier for earlier, later in itertools.pairwise(pauses))
    assert 0.2 <= pauses[0] <= 0.25
    assert 1.6 <= pauses[3] <= 2.0


async def test_after_five_attempts_the_error_stands() -> None:
    provider = FakeProvider()
    provider.fail("create_conference", "refuse", times=9)
    async with client(provider) as calls:
        with pytest.raises(Unavailable) as raised:
            await calls.direct.create_conference()
    assert len(provider.requests) == 5
    assert (raised.value.provider, raised.value.operation) == ("fake", "create_conference")


async def test_too_early_is_tried_again() -> None:
    provider = FakeProvider(answer_after=1)
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        call = (await calls.direct.create_call(ANN, into=conference)).call
        answered = evolve(call, state=confkit.provider.CallState.ANSWERED)  # the application thinks so
        member = await calls.direct.add_member(conference, answered)
    assert member.state is confkit.provider.MemberState.JOINED
    assert set(sent(provider, "add_member")[:-1]) == {"NotReady"}


async def test_a_rate_limit_is_waited_for_as_long_as_the_provider_says() -> None:
    provider = FakeProvider()
    provider.fail("create_call", "rate-limit", times=7, seconds=12)
    async with client(provider) as calls:
        await calls.direct.create_call(ANN)
    assert sent(provider, "create_call") == ["RateLimited"] * 7 + ["ok"]
    first, *_, last = (request.at for request in provider.requests)
    assert 7 * 12 <= (last - first).total_seconds() < 7 * 12 + 1


async def test_patience_with_a_rate_limit_ends() -> None:
    provider = FakeProvider()
    provider.fail("create_call", "rate-limit", times=1000, seconds=12)
    async with client(provider) as calls:
        with anyio.fail_after(200), pytest.raises(RateLimited):
            await calls.direct.create_call(ANN)
    assert provider.exchange.rings == {}


async def test_a_refusal_stands() -> None:
    provider = FakeProvider()
    async with client(provider) as calls:
        conference = await calls.direct.create_conference()
        await calls.direct.end_conference(conference)
        with pytest.raises(Conflict):
            await calls.direct.create_call(ANN, into=conference)
    assert sent(provider, "create_call") == ["Conflict"]


# --- before the wire


@pytest.mark.parametrize(
    ("settings", "operation", "capability"),
    [({"bridge": "none"}, "create_bridge", "create_bridge"), ({"bridge": "none"}, "end_bridge", "end_bridge")],
)
async def test_a_missing_capability_is_refused_before_the_wire(
    settings: dict[str, Any], operation: str, capability: str
) -> None:
    provider = FakeProvider(**settings)
    async with client(provider) as calls:
        arguments = () if operation == "create_bridge" else (confkit.Bridge(provider="fake", id="b"),)
        with pytest.raises(Unsupported) as raised:
            await getattr(calls.direct, operation)(*arguments)
    assert raised.value.capability == capability
    assert provider.requests == []


async def test_bad_addresses_and_caller_ids_are_refused_before_the_wire() -> None:
    provider = FakeProvider()
    async with AsyncClient(provider) as calls:
        for attempt in (
            lambda: calls.direct.create_call("12345", caller_id=OURS),
            lambda: calls.direct.create_call(ANN),
            lambda: calls.direct.create_call(ANN, caller_id="sip:us@example.com"),
            lambda: calls.direct.create_conference(),
            lambda: calls.direct.transfer(confkit.Call(provider="fake", id="c"), "nobody", caller_id=OURS),
        ):
            with pytest.raises(PolicyError):
                await attempt()
    assert provider.requests == []


class Less:
    """Takes capabilities away, as a wrapper."""

    def __init__(self, **changes: Any) -> None:
        self._changes = changes

    @hookimpl(wrapper=True)
    def capabilities(self) -> Generator[None, Any, Any]:
        result = yield
        return evolve(result, **self._changes)


async def test_media_and_settings_that_the_provider_lacks_are_refused_before_the_wire() -> None:
    provider = FakeProvider()
    less = Less(
        play=frozenset({"conference", "text"}),
        record=frozenset({"call"}),
        member=frozenset({"mute"}),
        max_text=10,
        voices={"en_US": frozenset({"Kate"}), "de_DE": frozenset({"Hans"})},
    )
    async with client(provider, plugins=[less]) as calls:
        room = await calls.direct.create_conference()
        call = (await calls.direct.create_call(ANN, into=room)).call
        member = await calls.direct.add_member(room, call)
        before = len(provider.requests)
        unsupported: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            ("play: call", lambda: calls.direct.say(call, "Hello")),
            ("play: url", lambda: calls.direct.play(room, "https://example.com/a.wav")),
            ("play: stop", lambda: calls.direct.stop_playing(room)),
            ("record: conference", lambda: calls.direct.record(room, confkit.RecordAction.START)),
            ("record: pause", lambda: calls.direct.record(call, confkit.RecordAction.PAUSE)),
            ("member: hold", lambda: calls.direct.update_member(member, hold=True)),
        ]
        for capability, attempt in unsupported:
            with pytest.raises(Unsupported, match=capability):
                await attempt()
        invalid: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            ("11 characters", lambda: calls.direct.say(room, "a" * 11)),
            ("no text", lambda: calls.direct.say(room, "  ")),
            ("unknown locale 'fr_FR'", lambda: calls.direct.say(room, "Hi", locale="fr_FR")),
            ("unknown voice 'Hans'", lambda: calls.direct.say(room, "Hi", voice="Hans", locale="en_US")),
            ("unknown voice 'Bob'", lambda: calls.direct.say(room, "Hi", voice="Bob")),
        ]
        for words, attempt in invalid:
            with pytest.raises(InvalidRequest, match=words):
                await attempt()
        assert len(provider.requests) == before
        await calls.direct.say(room, "Hi", voice="hans")
        await calls.direct.update_member(member, mute=True)
    assert provider.exchange.members[member.id].mute


# --- what plugins do


class Raises:
    """A wrapper whose operation raises what no plugin may let out."""

    def __init__(self, operation: str, error: Exception, times: int = 99) -> None:
        self.calls = 0

        async def broken() -> Any:
            raise error

        def wrapper(self: Raises) -> Generator[None, Any, Any]:
            result = yield
            self.calls += 1
            if self.calls > times:
                return result
            result.close()
            return broken()

        wrapper.__name__ = operation
        setattr(type(self), operation, hookimpl(wrapper=True)(wrapper))


def raises(operation: str, error: Exception, times: int = 99) -> Raises:
    """One that has a class of its own, so that nobody else gets its operation."""
    kind: type[Raises] = type("Broken", (Raises,), {})
    return kind(operation, error, times)


async def test_a_native_exception_of_a_plugin_is_an_unknown_outcome_that_names_the_plugin() -> None:
    provider = FakeProvider()
    broken = raises("create_call", KeyError("secret-token"))
    async with client(provider, plugins=[broken]) as calls:
        with pytest.raises(OutcomeUnknown) as raised:
            await calls.direct.create_call(ANN)
    assert isinstance(raised.value.__cause__, KeyError)
    assert "KeyError" in str(raised.value)
    assert "secret" not in str(raised.value)
    assert (raised.value.provider, raised.value.operation) == ("fake", "create_call")
    assert broken.calls == 1


async def test_a_native_exception_while_reading_is_portable_too() -> None:
    provider = FakeProvider()
    broken = raises("fetch", KeyError("secret-token"))
    async with client(provider, plugins=[broken]) as calls:
        call = (await calls.direct.create_call(ANN)).call
        with pytest.raises(Unavailable, match="KeyError"):
            await calls.direct.fetch(call)


class Recorder:
    """Sees each dial and changes it."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @hookimpl(wrapper=True)
    def create_call(self, spec: CallSpec, op: Op) -> Generator[None, Any, Any]:
        result = yield

        async def changed() -> confkit.provider.Dialled:
            dialled: confkit.provider.Dialled = await result
            self.seen.append(f"{op.key} {spec.to} {dialled.call.id}")
            return evolve(dialled, call=evolve(dialled.call, caller_id="+12125550100"))

        return changed()


async def test_a_wrapper_sees_an_operation_and_can_change_it() -> None:
    provider, recorder = FakeProvider(), Recorder()
    async with client(provider, plugins=[recorder]) as calls:
        call = (await calls.direct.create_call(ANN)).call
    assert recorder.seen == [f"{provider.requests[0].op_key} {ANN} {call.id}"]
    assert call.caller_id == "+12125550100"


class Clumsy:
    """An observer with a defect."""

    @hookimpl
    def step_started(self) -> None:
        raise RuntimeError("the disk is full")

    @hookimpl
    def step_finished(self) -> None:
        raise RuntimeError("the disk is full")

    @hookimpl
    def meeting_event(self) -> None:
        raise RuntimeError("the disk is full")


async def test_an_observer_that_fails_does_no_harm() -> None:
    provider = FakeProvider()
    with structlog.testing.capture_logs() as log:
        async with client(provider, plugins=[Clumsy()]) as calls, calls.connect(ANN, "+19195550102", "+19195550103"):
            pass
    assert provider.exchange.still_up() == ()
    assert any(line["event"] == "observer_failed" for line in log)


async def test_cancellation_passes_through_as_it_is() -> None:
    provider, steps = FakeProvider(latency=2), Steps()
    async with client(provider, plugins=[steps]) as calls:
        with anyio.move_on_after(1) as scope:
            await calls.direct.create_call(ANN)
        assert scope.cancelled_caught
    assert [record.outcome for record in steps.finished] == [StepOutcome.CANCELLED]


async def test_a_provider_that_never_replies_is_given_up_on() -> None:
    provider = FakeProvider()

    class Deaf:
        @hookimpl(wrapper=True)
        def create_call(self) -> Generator[None, Any, Any]:
            result = yield
            result.close()
            return anyio.sleep_forever()

    async with client(provider, plugins=[Deaf()], request_timeout=timedelta(seconds=5)) as calls:
        with anyio.fail_after(30), pytest.raises(OutcomeUnknown, match="in time"):
            await calls.direct.create_call(ANN)


# --- what is told


@contextmanager
def log_of_steps() -> Iterator[list[dict[str, Any]]]:
    steps: list[dict[str, Any]] = []
    with structlog.testing.capture_logs() as log:
        yield steps
    steps += [dict(line) for line in log if line["event"] == "step"]


async def test_the_log_has_one_line_for_the_start_and_one_for_the_end_of_a_step() -> None:
    provider = FakeProvider(latency=0.5)
    provider.fail("create_call", "refuse")
    provider.fail("add_member", "error-500", times=9)
    with log_of_steps() as log:
        async with client(provider) as calls:
            room = await calls.direct.create_conference()
            call = (await calls.direct.create_call(ANN, into=room)).call
            with pytest.raises(OutcomeUnknown):
                await calls.direct.add_member(room, call)
    assert [(line["operation"], line["phase"]) for line in log] == [
        (operation, phase)
        for operation in ("create_conference", "create_call", "add_member")
        for phase in ("start", "end")
    ]
    dial = log[3]
    assert dial["log_level"] == "info"
    assert dial["provider"] == "fake"
    assert dial["party"] == "+1919•••0101"
    assert (dial["attempt"], dial["outcome"]) == (2, "done")
    assert (dial["conference"], dial["call"]) == (room.id, call.id)
    assert 700 <= dial["duration_ms"] <= 800
    assert re.fullmatch(r"[A-Za-z0-9-]{1,36}", dial["op"])
    assert dial["op"] == log[2]["op"]
    assert log[2]["log_level"] == "debug"
    join = log[5]
    assert (join["log_level"], join["outcome"], join["attempt"]) == ("warning", "unknown", 5)
    assert "HTTP 500" in join["error"]


@pytest.mark.parametrize(
    ("show", "shown"),
    [
        (False, {"+1919•••0101", "sip:b•••@example.com", "Cy"}),
        (True, {ANN, "sip:bob@example.com", "Cy"}),
    ],
)
async def test_numbers_are_masked_unless_the_application_wants_them_whole(show: bool, shown: set[str]) -> None:
    parties = (ANN, "sip:bob@example.com", confkit.Party("+19195550103", name="Cy"))
    with structlog.testing.capture_logs() as log:
        async with client(FakeProvider(), show_numbers=show) as calls, calls.connect(*parties) as meeting:
            records = [record for record in meeting.trace.records if record.operation == "create_call"]
    assert (ANN in str(log)) is show
    assert "+19195550103" not in str(log)
    assert {record.party for record in records} == shown


async def test_observers_see_every_step_at_its_beginning_and_its_end() -> None:
    provider, steps = FakeProvider(), Steps()
    async with client(provider, plugins=[steps]) as calls:
        call = (await calls.direct.create_call(ANN)).call
        with pytest.raises(NotFound):
            await calls.direct.hang_up(evolve(call, id="c-nobody"))
    assert [record.outcome for record in steps.started] == [StepOutcome.STARTED] * 2
    assert [(record.operation, record.outcome) for record in steps.finished] == [
        ("create_call", StepOutcome.DONE),
        ("hang_up", StepOutcome.REFUSED),
    ]
    assert steps.finished[0].call == call.id


async def test_capabilities_are_known_before_the_client_is_open() -> None:
    calls = client(FakeProvider(max_members=7))
    assert calls.capabilities.max_members == 7
    assert isinstance(calls.capabilities, Capabilities)
    with pytest.raises(confkit.ConfkitError, match="async with"):
        await calls.direct.create_conference()


async def test_nobody_answers_by_hand() -> None:
    provider = FakeProvider()
    provider.party(ANN).never_answers()
    provider.party("+19195550102").busy(after=1)
    async with client(provider) as calls:
        ringing = (await calls.direct.create_call(ANN)).call
        with pytest.raises(NotReady, match="within 5 s"):
            await calls.direct.until_answered(ringing, timeout=timedelta(seconds=5))
        busy = (await calls.direct.create_call("+19195550102")).call
        with pytest.raises(Conflict, match="busy"):
            await calls.direct.until_answered(busy)
        await calls.direct.hang_up(ringing)
    assert provider.exchange.still_up() == ()
