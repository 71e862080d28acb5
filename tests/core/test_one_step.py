"""One step against a provider whose every reply is scripted: how often it is sent, when, and what stands in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import anyio
import pytest
import structlog

from confkit import (
    Call,
    OutcomeUnknown,
    Party,
    ProviderError,
    RateLimited,
    StepOutcome,
    StepRecord,
    Unavailable,
    Unsupported,
)
from confkit.models.errors import Withdrawn
from confkit.models.records import STOP
from confkit.models.trace import Trace
from confkit.provider import (
    Capabilities,
    Conflict,
    Dialled,
    FindHint,
    NotFound,
    Op,
    PermissionDenied,
    RateClass,
    Snapshot,
    hookimpl,
)
from confkit.steps.clock import Clock
from confkit.steps.executor import Steps
from confkit.steps.rate_limits import CancelToken, Priority
from tests.core.scripted_steps import (
    ANN,
    BRIDGE,
    CALL,
    DIALLED,
    EVERY,
    FREES,
    MEMBER,
    ONCE,
    OURS,
    ROOM,
    SECOND,
    SPEC,
    Scripted,
    Watcher,
    dial,
    down,
    finds,
    hang_up,
    join,
    limited,
    lost,
    request,
    steps,
)

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]


# --- what is sent


@pytest.mark.parametrize("operation", EVERY)
async def test_an_operation_is_sent_again_on_a_guess_only_where_twice_is_once(operation: str) -> None:
    arguments, reply = EVERY[operation]
    script: dict[str, Any] = {operation: [lost(), reply]}
    provider = Scripted(**script)
    if operation in ONCE:
        with pytest.raises(OutcomeUnknown):
            await steps(provider).run(request(operation, *arguments))
        assert len(provider.sent) == 1
    else:
        assert await steps(provider).run(request(operation, *arguments)) is reply
        assert len(provider.sent) == 2


@pytest.mark.parametrize("operation", EVERY)
async def test_what_frees_something_is_all_that_is_sent_of_a_meeting_that_ends(operation: str) -> None:
    arguments, reply = EVERY[operation]
    script: dict[str, Any] = {operation: [reply]}
    provider, order = Scripted(**script), CancelToken()
    order.cancel()
    if operation in FREES:
        await steps(provider).run(request(operation, *arguments, cancel=order))
    else:
        with pytest.raises(Withdrawn):
            await steps(provider).run(request(operation, *arguments, cancel=order))
    assert len(provider.sent) == (operation in FREES)


@pytest.mark.parametrize("operation", [name for name, (_, reply) in EVERY.items() if reply is not None])
async def test_what_a_plugin_returns_is_what_the_operation_gives(operation: str) -> None:
    arguments, reply = EVERY[operation]
    script: dict[str, Any] = {operation: ["nonsense"]}
    with pytest.raises(OutcomeUnknown, match=f"str instead of {type(reply).__name__}"):
        await steps(Scripted(**script)).run(request(operation, *arguments))


async def test_a_request_is_sent_as_it_was_asked_for() -> None:
    provider = Scripted(create_call=[down(), DIALLED])
    assert await steps(provider, request_timeout=7 * SECOND).run(dial(ROOM)) is DIALLED
    first, second = provider.sent
    assert first.arguments == second.arguments == {"spec": SPEC, "into": ROOM}
    assert first.op == Op(key="k-1", timeout=7 * SECOND, attempt=1)
    assert second.op == Op(key="k-1", timeout=7 * SECOND, attempt=2)


async def test_a_request_that_lacks_an_argument_is_not_sent() -> None:
    provider = Scripted(add_member=[MEMBER])
    with pytest.raises(ValueError, match="shorter"):
        await steps(provider).run(request("add_member", ROOM, CALL))
    assert provider.sent == []


async def test_what_is_not_implemented_is_refused_by_its_name() -> None:
    class Bare(Scripted):
        create_bridge = None  # type: ignore[assignment]

    provider, watcher = Bare(), Watcher()
    one = steps(provider, watcher)
    attempts: dict[str, Callable[[], Awaitable[object]]] = {
        "create_bridge": lambda: one.run(request("create_bridge", ())),
        "find": lambda: one.read("find", op_key="k-1", hint=FindHint(operation="create_call")),
    }
    for operation, attempt in attempts.items():
        with pytest.raises(Unsupported) as raised:
            await attempt()
        error = raised.value
        assert (error.capability, error.provider, error.operation) == (operation, "scripted", operation)
    assert provider.sent == []
    assert [record.outcome for record in watcher.finished] == [StepOutcome.REFUSED]


async def test_pauses_double_and_are_the_same_for_the_same_intent_only() -> None:
    pauses = {}
    for run, key in enumerate(["k-1", "k-1", "k-2"]):
        provider = Scripted(hang_up=[down()])
        with pytest.raises(Unavailable):
            await steps(provider).run(hang_up(key=key))
        pauses[run] = provider.pauses("hang_up")
        assert len(pauses[run]) == 4
        for number, pause in enumerate(pauses[run]):
            assert 0.2 * 2**number <= pause <= 0.25 * 2**number
    assert pauses[0] == pytest.approx(pauses[1])
    assert pauses[0] != pytest.approx(pauses[2])
    spread = [pause / 2**number for number, pause in enumerate(pauses[0])]
    assert len({round(each, 6) for each in spread}) == 4  # each pause has jitter of its own


async def test_pauses_after_an_unknown_outcome_double_and_are_the_same_for_the_same_intent_only() -> None:
    pauses = []
    for key in ("k-1", "k-1", "k-2"):
        provider = Scripted(hang_up=[lost()])
        with pytest.raises(OutcomeUnknown):
            await steps(provider).run(hang_up(key=key))
        pauses.append(provider.pauses("hang_up"))
        assert len(provider.sent) == 5
        for number, pause in enumerate(pauses[-1]):
            assert 0.2 * 2**number <= pause <= 0.25 * 2**number
    assert pauses[0] == pytest.approx(pauses[1])
    assert pauses[0] != pytest.approx(pauses[2])


async def test_the_attempts_of_all_kinds_that_may_not_have_failed_for_the_rate_count_together() -> None:
    provider = Scripted(hang_up=[down(), lost(), down(), lost(), down(), None])
    with pytest.raises(OutcomeUnknown):
        await steps(provider).run(hang_up())
    assert len(provider.sent) == 5


async def test_a_refusal_is_not_sent_again() -> None:
    provider = Scripted(create_call=[PermissionDenied("the number is not yours"), DIALLED])
    with pytest.raises(PermissionDenied) as raised:
        await steps(provider).run(dial())
    assert len(provider.sent) == 1
    assert (raised.value.provider, raised.value.operation) == ("scripted", "create_call")


async def test_an_error_that_names_its_provider_and_operation_keeps_them() -> None:
    attempts: list[Callable[[Steps], Awaitable[object]]] = [
        lambda one: one.run(dial()),
        lambda one: one.read("fetch", ref=CALL),
    ]
    for attempt in attempts:
        error = NotFound("no such thing", provider="behind it", operation="another")
        with pytest.raises(NotFound) as raised:
            await attempt(steps(Scripted(create_call=[error], fetch=[error])))
        assert (raised.value.provider, raised.value.operation) == ("behind it", "another")


async def test_an_error_of_a_read_names_its_provider_and_operation() -> None:
    with pytest.raises(NotFound) as raised:
        await steps(Scripted(fetch=[NotFound("no such call")])).read("fetch", ref=CALL)
    assert (raised.value.provider, raised.value.operation) == ("scripted", "fetch")


# --- the provider's rate


@pytest.mark.parametrize(
    ("told", "least", "most"),
    [(4.0, 4.05, 4.0625), (0.0, 0.05, 0.0625), (-3.0, 0.05, 0.0625), (30.0, 30.05, 30.0625), (500.0, 30.05, 30.0625)],
)
async def test_who_is_turned_away_comes_again_when_told_and_within_half_a_minute(
    told: float, least: float, most: float
) -> None:
    provider = Scripted(hang_up=[limited(told), None])
    await steps(provider).run(hang_up())
    (pause,) = provider.pauses("hang_up")
    assert least - 1e-6 <= pause <= most + 1e-6


@pytest.mark.parametrize(("limit", "least"), [(None, 1.0), (100, 1.0), (2, 5.0)])
async def test_who_is_not_told_when_comes_again_at_the_pace_of_the_class(limit: int | None, least: float) -> None:
    rates = [RateClass(name="calls", limit=limit, per=10 * SECOND, costs={"hang_up": 1})] if limit else []
    provider = Scripted(hang_up=[limited(None), None], capabilities=Capabilities(rates=tuple(rates)))
    await steps(provider).run(hang_up())
    (pause,) = provider.pauses("hang_up")
    assert least <= pause <= least * 1.25


async def test_who_is_turned_away_comes_again_with_the_jitter_of_the_intent() -> None:
    pauses = []
    for key in ("k-1", "k-1", "k-2"):
        provider = Scripted(hang_up=[limited(None), limited(None), None])
        await steps(provider).run(hang_up(key=key))
        pauses.append(provider.pauses("hang_up"))
    assert pauses[0] == pytest.approx(pauses[1])
    assert pauses[0] != pytest.approx(pauses[2])
    assert pauses[0][0] != pytest.approx(pauses[0][1])


CALLS = RateClass(name="calls", limit=100, per=SECOND, costs={"create_call": 1}, scope="number")


async def test_a_refusal_for_the_rate_holds_back_all_requests_of_its_class_and_number() -> None:
    """Whoever comes in the meantime would be refused as well."""
    provider = Scripted(create_call=[limited(12), DIALLED], hang_up=[None], capabilities=Capabilities(rates=(CALLS,)))
    one = steps(provider)
    begun = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.run, dial(key="k-refused", caller_id=OURS))
        await anyio.sleep(1)
        tasks.start_soon(one.run, dial(key="k-held", caller_id=OURS))
        tasks.start_soon(one.run, dial(key="k-other", caller_id="+12125550100"))
        tasks.start_soon(one.run, hang_up(key="k-free"))
    moments = {each.op.key: each.at - begun for each in provider.sent if each.op}
    assert moments["k-held"] >= 12
    assert moments["k-refused"] >= 12
    assert moments["k-other"] == moments["k-free"] == 1


async def test_steps_without_a_number_are_held_back_together() -> None:
    provider = Scripted(create_call=[limited(12), DIALLED], capabilities=Capabilities(rates=(CALLS,)))
    one = steps(provider)
    begun = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.run, dial(key="k-refused"))
        await anyio.sleep(1)
        tasks.start_soon(one.run, dial(key="k-held"))
        tasks.start_soon(one.run, dial(key="k-other", caller_id=OURS))
    moments = {each.op.key: each.at - begun for each in provider.sent if each.op}
    assert moments["k-held"] >= 12
    assert moments["k-other"] == 1


async def test_being_turned_away_is_no_failure_until_patience_is_over() -> None:
    provider = Scripted(hang_up=[limited(20)])
    with pytest.raises(RateLimited):
        await steps(provider).run(hang_up())
    assert len(provider.sent) == 6  # five pauses of 20 seconds are not yet two minutes
    provider = Scripted(hang_up=[*[limited(1)] * 10, None])
    await steps(provider).run(hang_up())
    assert len(provider.sent) == 11


async def test_what_was_turned_away_has_all_its_attempts_left() -> None:
    provider = Scripted(hang_up=[limited(1), limited(1), down()])
    with pytest.raises(Unavailable):
        await steps(provider).run(hang_up())
    assert len(provider.sent) == 2 + 5


async def test_a_step_waits_for_its_place_and_says_how_long() -> None:
    one_a_second = RateClass(name="calls", limit=1, per=SECOND, costs={"create_call": 1, "hang_up": 1})
    provider, watcher = (
        Scripted(create_call=[DIALLED], hang_up=[down(), None], capabilities=Capabilities(rates=(one_a_second,))),
        Watcher(),
    )
    one = steps(provider, watcher)
    await one.run(dial())
    await one.run(hang_up())
    dialled, hung_up = watcher.finished
    assert dialled.waited == timedelta(0)
    assert 1.7 <= hung_up.waited.total_seconds() <= 2.05  # both attempts, without the pause between them
    assert hung_up.duration.total_seconds() == pytest.approx(2.05)


async def test_what_frees_something_goes_before_what_was_asked_earlier() -> None:
    one_a_second = RateClass(name="all", limit=1, per=SECOND, costs={"create_call": 1, "hang_up": 1, "fetch": 1})
    provider = Scripted(
        create_call=[DIALLED], hang_up=[None], fetch=[Snapshot()], capabilities=Capabilities(rates=(one_a_second,))
    )
    one = steps(provider)
    await one.run(dial())
    async with anyio.create_task_group() as tasks:

        async def read(**how: Any) -> None:
            await one.read("fetch", ref=CALL, **how)

        for task in (read, lambda: one.run(dial()), lambda: one.run(hang_up()), lambda: read(priority=Priority.URGENT)):
            tasks.start_soon(task)
            await anyio.wait_all_tasks_blocked()
    assert [each.operation for each in provider.sent[1:]] == ["hang_up", "fetch", "create_call", "fetch"]


async def test_of_two_meetings_that_are_turned_away_none_starves() -> None:
    """The platform grants half of what it publishes, so that one of two reads at a time is turned away."""
    told = RateClass(name="all", limit=2, per=SECOND, costs={"fetch": 1})
    granted: list[tuple[float, str]] = []

    class Stingy(Scripted):
        @hookimpl
        async def fetch(self, ref: Any) -> Snapshot:
            if granted and anyio.current_time() - granted[-1][0] < 1:
                raise RateLimited("too many requests", retry_after=SECOND)
            granted.append((anyio.current_time(), ref))
            return Snapshot()

    one = steps(Stingy(capabilities=Capabilities(rates=(told,))))

    async def look(meeting: str, pause: float) -> None:
        while anyio.current_time() < 60:
            with suppress(RateLimited):
                await one.read("fetch", meeting=meeting, ref=meeting)
            await anyio.sleep(pause)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look, "m-1", 1.0)
        tasks.start_soon(look, "m-2", 1.0)
    assert min(Counter(meeting for _, meeting in granted)[meeting] for meeting in ("m-1", "m-2")) >= 10


async def test_meetings_take_turns() -> None:
    one_a_second = RateClass(name="all", limit=1, per=SECOND, costs={"create_call": 1, "fetch": 1})
    provider = Scripted(create_call=[DIALLED], fetch=[Snapshot()], capabilities=Capabilities(rates=(one_a_second,)))
    one = steps(provider)
    for kind in ("run", "read"):
        begun = len(provider.sent)

        async def ask(meeting: str, kind: str = kind) -> None:
            if kind == "run":
                await one.run(dial(key=meeting, meeting=meeting))
            else:
                await one.read("fetch", meeting=meeting, ref=meeting)

        async with anyio.create_task_group() as tasks:
            for meeting in ("m-1", "m-1", "m-1", "m-2"):
                tasks.start_soon(ask, meeting)
                await anyio.wait_all_tasks_blocked()
        order = [each.op.key if each.op else each.arguments["ref"] for each in provider.sent[begun:]]
        assert order.index("m-2") <= 2


async def test_a_look_up_counts_against_the_class_of_what_it_looks_for() -> None:
    rates = (RateClass(name="calls", limit=1, per=10 * SECOND, costs={"find:create_call": 1}),)
    provider = Scripted(find=[()], capabilities=Capabilities(rates=rates))
    one = steps(provider)
    begun = anyio.current_time()
    for operation in ("create_call", "transfer", "create_call"):
        await one.read("find", op_key="k-1", hint=FindHint(operation=operation))
    assert [each.at - begun for each in provider.sent] == pytest.approx([0, 0, 10.25])


@pytest.mark.parametrize(
    ("ref", "kind"), [(ROOM, "conference"), (CALL, "call"), (BRIDGE, "bridge"), (MEMBER, "member")]
)
async def test_a_read_counts_against_the_class_of_what_it_reads(ref: Any, kind: str) -> None:
    rates = (RateClass(name="reads", limit=1, per=10 * SECOND, costs={f"fetch:{kind}": 1}),)
    provider = Scripted(fetch=[Snapshot()], capabilities=Capabilities(rates=rates))
    one = steps(provider)
    begun = anyio.current_time()
    for _ in range(2):
        await one.read("fetch", ref=ref)
    assert [each.at - begun for each in provider.sent] == pytest.approx([0, 10.25])


async def test_a_request_counts_against_the_class_of_what_it_is_about() -> None:
    rates = (RateClass(name="media", limit=1, per=10 * SECOND, costs={"play:conference": 1}),)
    provider = Scripted(play=[limited(5), None], capabilities=Capabilities(rates=rates))
    one = steps(provider)
    begun = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.run, request("play", ROOM, STOP, key="k-refused"))
        await anyio.sleep(1)
        tasks.start_soon(one.run, request("play", ROOM, STOP, key="k-held"))
        tasks.start_soon(one.run, request("play", CALL, STOP, key="k-other"))
    moments = {each.op.key: each.at - begun for each in provider.sent if each.op}
    assert moments["k-other"] == 1
    assert min(moments["k-refused"], moments["k-held"]) >= 5
    assert abs(moments["k-refused"] - moments["k-held"]) >= 10


# --- withdrawal


async def test_who_waits_for_its_place_is_withdrawn_and_what_frees_something_is_not() -> None:
    slow = RateClass(name="all", limit=1, per=100 * SECOND, costs={"create_call": 1, "hang_up": 1})
    provider, watcher = (
        Scripted(create_call=[DIALLED], hang_up=[None], capabilities=Capabilities(rates=(slow,))),
        Watcher(),
    )
    one = steps(provider, watcher)
    await one.run(dial())
    order = CancelToken()
    begun = anyio.current_time()
    told: list[Withdrawn] = []

    async def waits() -> None:
        try:
            await one.run(dial(cancel=order))
        except Withdrawn as error:
            assert anyio.current_time() == begun + 1
            told.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waits)
        tasks.start_soon(one.run, hang_up(cancel=order))
        await anyio.sleep(1)
        order.cancel()
    assert [(error.provider, error.operation) for error in told] == [("scripted", "create_call")]
    assert [each.operation for each in provider.sent] == ["create_call", "hang_up"]
    assert [record.outcome for record in watcher.finished] == [
        StepOutcome.DONE,
        StepOutcome.WITHDRAWN,
        StepOutcome.DONE,
    ]


async def test_nothing_is_sent_after_the_order_whether_it_has_to_wait_or_not() -> None:
    order = CancelToken()
    order.cancel()
    rates = RateClass(name="calls", limit=9, per=SECOND, costs={"create_call": 1})
    for capabilities in (Capabilities(), Capabilities(rates=(rates,))):
        provider = Scripted(create_call=[DIALLED], hang_up=[None], capabilities=capabilities)
        one = steps(provider)
        with pytest.raises(Withdrawn) as raised:
            await one.run(dial(cancel=order))
        assert str(raised.value) == "scripted create_call: withdrawn before it was sent"
        await one.run(hang_up(cancel=order))
        assert [each.operation for each in provider.sent] == ["hang_up"]


async def test_who_pauses_before_another_attempt_is_withdrawn_but_not_what_frees_something() -> None:
    provider = Scripted(create_call=[limited(20), DIALLED], hang_up=[limited(20), None])
    one, order = steps(provider), CancelToken()
    begun = anyio.current_time()
    async with anyio.create_task_group() as tasks:

        async def waits() -> None:
            with pytest.raises(Withdrawn):
                await one.run(dial(cancel=order))
            assert anyio.current_time() == begun + 1

        tasks.start_soon(waits)
        tasks.start_soon(one.run, hang_up(cancel=order))
        await anyio.sleep(1)
        order.cancel()
    assert sorted(each.operation for each in provider.sent) == ["create_call", "hang_up", "hang_up"]


async def test_a_doubt_outlives_a_withdrawal() -> None:
    provider = Scripted(add_member=[lost(), MEMBER])
    one, order = steps(provider), CancelToken()
    async with anyio.create_task_group() as tasks:

        async def waits() -> None:
            with pytest.raises(OutcomeUnknown):
                await one.run(join(cancel=order))

        tasks.start_soon(waits)
        await anyio.sleep(0.1)
        order.cancel()
    assert len(provider.sent) == 1


async def test_a_request_that_is_on_its_way_is_not_withdrawn() -> None:
    async def slow() -> Dialled:
        await anyio.sleep(5)
        return DIALLED

    for rates in ((), (RateClass(name="calls", limit=9, per=SECOND, costs={"create_call": 1}),)):
        provider = Scripted(create_call=[slow], capabilities=Capabilities(rates=rates))
        one, order = steps(provider), CancelToken()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.run, dial(cancel=order))
            await anyio.sleep(1)
            order.cancel()
        assert len(provider.sent) == 1


# --- what is told


async def test_a_record_says_what_was_done_for_whom_and_with_what_outcome() -> None:
    watcher = Watcher()
    provider = Scripted(
        create_call=[down(), Dialled(call=CALL, conference=ROOM)],
        add_member=[MEMBER],
        hang_up=[PermissionDenied("not yours")],
    )
    clock = Clock()
    one = steps(provider, watcher, clock=clock)
    trace = one.traces["m-1"] = Trace("m-1")
    begun = clock.now()
    await one.run(dial(BRIDGE, meeting="m-1"))
    await one.run(join(party="Ann"))
    with pytest.raises(PermissionDenied):
        await one.run(hang_up(meeting="m-2"))
    started, *_ = watcher.started
    assert (started.outcome, started.bridge, started.call) == (StepOutcome.STARTED, "bridge-1", None)
    dialled, joined, hung_up = watcher.finished
    assert trace.records == (dialled,)
    assert (dialled.meeting, dialled.step, dialled.op) == ("m-1", "m-1#1", "k-1")
    assert (dialled.provider, dialled.operation, dialled.party) == ("scripted", "create_call", "+1919•••0101")
    assert (dialled.call, dialled.conference, dialled.bridge) == ("call-1", "conf-1", "bridge-1")
    assert (dialled.attempt, dialled.outcome, dialled.error) == (2, StepOutcome.DONE, None)
    assert dialled.waited == timedelta(0)
    assert dialled.started_at == started.started_at == begun
    assert 0.2 <= dialled.duration.total_seconds() <= 0.25
    assert (joined.party, joined.member, joined.attempt) == ("Ann", "member-1", 1)
    assert (hung_up.outcome, hung_up.error) == (StepOutcome.REFUSED, "scripted hang_up: not yours")
    assert (hung_up.party, hung_up.call) == ("+1919•••0101", "call-1")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (lost(), StepOutcome.UNKNOWN),
        (down(), StepOutcome.UNAVAILABLE),
        (limited(30), StepOutcome.UNAVAILABLE),
        (PermissionDenied("no"), StepOutcome.REFUSED),
        (Conflict("no"), StepOutcome.REFUSED),
    ],
)
async def test_the_outcome_of_a_step_says_what_is_known_of_it(error: ProviderError, outcome: StepOutcome) -> None:
    watcher = Watcher()
    with pytest.raises(type(error)):
        await steps(Scripted(create_call=[error]), watcher).run(dial())
    assert [record.outcome for record in watcher.finished] == [outcome]


async def test_nobody_to_name_is_no_party() -> None:
    watcher = Watcher()
    provider = Scripted(end_conference=[None], hang_up=[None])
    one = steps(provider, watcher)
    await one.run(request("end_conference", ROOM))
    await one.run(request("hang_up", Call(provider="scripted", id="call-2")))
    assert [record.party for record in watcher.finished] == [None, None]
    assert [record.conference for record in watcher.finished] == ["conf-1", None]


def test_a_party_is_called_by_its_name_or_by_its_number_masked() -> None:
    async def labels(**settings: Any) -> list[str]:
        one = steps(Scripted(), **settings)
        return [one.label(Party(ANN, name="Ann")), one.label(Party(ANN))]

    assert anyio.run(labels) == ["Ann", "+1919•••0101"]

    async def shown() -> list[str]:
        return await labels(show_numbers=True)

    assert anyio.run(shown) == ["Ann", ANN]


@contextmanager
def at_level(level: int) -> Iterator[list[str]]:
    """The levels of the lines that a log which begins at this level shows."""
    lines: list[str] = []

    def keep(_: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        lines.append(f"{method} {event['event']} {event.get('phase')} {event.get('operation')}")
        raise structlog.DropEvent

    structlog.configure(processors=[keep], wrapper_class=structlog.make_filtering_bound_logger(level))
    yield lines


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (10, ["debug step start hang_up", "info step end hang_up", "debug step start create_call"]),
        (20, ["info step end hang_up"]),
        (30, []),
    ],
)
@pytest.mark.parametrize("traced", [False, True])
async def test_the_log_tells_failures_as_warnings_whatever_else_it_leaves_out(
    level: int, shown: list[str], traced: bool
) -> None:
    provider = Scripted(hang_up=[None], create_call=[PermissionDenied("no")])
    with at_level(level) as lines:
        one = steps(provider)
        if traced:
            one.traces["m-1"] = Trace("m-1")
        await one.run(hang_up(meeting="m-1"))
        with pytest.raises(PermissionDenied):
            await one.run(dial(meeting="m-1"))
    assert lines == [*shown, "warning step end create_call"]


async def test_an_observer_of_ends_alone_hears_of_them_where_nobody_logs() -> None:
    class Ends:
        def __init__(self) -> None:
            self.records: list[StepRecord] = []

        @hookimpl
        def step_finished(self, step: StepRecord) -> None:
            self.records.append(step)

    class Starts:
        def __init__(self) -> None:
            self.records: list[StepRecord] = []

        @hookimpl
        def step_started(self, step: StepRecord) -> None:
            self.records.append(step)

    for observer in (Ends(), Starts()):
        with at_level(30):
            await steps(Scripted(hang_up=[None]), observer).run(hang_up())
        assert len(observer.records) == 1


async def test_an_adopted_step_is_no_warning() -> None:
    provider = Scripted(create_call=[lost()], find=[(CALL,)], capabilities=finds("create_call"))
    with at_level(20) as lines:
        await steps(provider).run(dial())
    assert lines == ["info step end create_call"]


async def test_a_look_up_that_fails_is_told() -> None:
    provider = Scripted(create_call=[lost()], find=[NotFound("gone"), (CALL,)], capabilities=finds("create_call"))
    with at_level(30) as lines:
        await steps(provider).run(dial())
    assert lines == ["warning lookup_failed None create_call"]
