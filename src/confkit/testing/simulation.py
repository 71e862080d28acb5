"""Plays a scenario on the fake provider, in virtual time, and writes down what the application saw.

Everything is decided by the scenario: trio's scheduler is seeded, ids come from the seed, and time passes on trio's
mock clock. The same scenario gives the same run, request by request.
"""

from __future__ import annotations

import logging
import random
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import structlog
import trio
import trio.testing

from confkit.client.client import AsyncClient
from confkit.client.engine import EngineOptions
from confkit.client.meeting import Meeting
from confkit.ingest.meeting_view import MeetingState
from confkit.models.errors import ConfkitError
from confkit.models.records import Party
from confkit.models.trace import StepOutcome
from confkit.runtime.host import RuntimeFactory
from confkit.runtime.in_process import InProcessRuntime
from confkit.steps.clock import Clock
from confkit.testing.courier import Boaster, Courier, Witness
from confkit.testing.scenario import Cancellation, Deed, Person, Post, Scenario
from confkit.testing.story import Attendance, Boom, News, Story, news_in
from confkit.workflows.policy import Policy

CALLER_ID = "+12025550999"
#: Somebody whom another application on the same account has in a conference.
STRANGER = "+12025550998"
#: A run that has not ended after so many virtual seconds never will.
LIFETIME = 1800.0
#: And one that makes no progress at all is stopped after so many real ones.
ALARM = 60.0
#: Requests that were held up arrive within this time after everything is over, in seconds.
AFTERMATH = 45.0
#: How long what was asked for may go unanswered once its meeting is over, in seconds.
PATIENCE = 60.0


class Stuck(Exception):
    """The run does not end."""


class SeededClient(AsyncClient):
    """A client without chance in it."""

    def __init__(self, provider: str, options: EngineOptions, **arguments: Any) -> None:
        super().__init__(provider, **arguments)
        self._options = options


def play(scenario: Scenario, *, runtime: RuntimeFactory = InProcessRuntime) -> Story:
    """Play a scenario from beginning to end.

    Args:
        runtime: what the workflows run on.

    Raises:
        Stuck: it does not end, not even by cancelling it.
    """
    clock = trio.testing.MockClock(autojump_threshold=0)
    with _seeded_scheduler(scenario.seed), _alarm(), structlog_off():
        return anyio.run(
            _play,
            scenario,
            runtime,
            backend="trio",
            backend_options={"clock": clock, "strict_exception_groups": True},
        )


async def _play(scenario: Scenario, runtime: RuntimeFactory) -> Story:
    chance = random.Random(f"ids {scenario.seed}")
    story = Story(scenario, None, [Attendance(each) for each in scenario.gatherings])
    plugins: list[object] = [Witness(story), *([Boaster()] if scenario.strict else [])]
    if scenario.post != Post():
        plugins.append(Courier(scenario.post, scenario.seed, story))

    def clock() -> Clock:
        now = client.provider.exchange.now()
        return Clock(started=now - timedelta(seconds=scenario.skew))

    client = SeededClient(
        "fake",
        EngineOptions(new_id=lambda: chance.randbytes(8).hex(), clock=clock, runtime=runtime),
        caller_id=CALLER_ID,
        policy=Policy(minimum=min(3, scenario.maximum), maximum=scenario.maximum),
        plugins=plugins,
        **scenario.settings,
    )
    story.provider = client.provider
    _set_up(client.provider, scenario)
    story.foreign = _somebody_elses(client.provider.exchange)
    story.crashes = runtime is not InProcessRuntime
    before = trio.lowlevel.current_statistics().tasks_living
    with anyio.move_on_after(LIFETIME) as lifetime:
        with anyio.CancelScope() as everything:
            async with anyio.create_task_group() as world:
                if scenario.client_cancelled is not None:
                    world.start_soon(_cancel, everything, scenario.client_cancelled)
                async with client, anyio.create_task_group() as application:
                    for attendance in story.attendances:
                        application.start_soon(_attend, client, attendance, scenario)
                story.closed_at = anyio.current_time()
                story.up = _still_up(story)
                world.cancel_scope.cancel()
        if not story.closed_at:
            story.closed_at = anyio.current_time()
            story.up = _still_up(story)
        await anyio.sleep(AFTERMATH)
        story.up = tuple(dict.fromkeys((*story.up, *_still_up(story))))
    story.ended = not lifetime.cancelled_caught
    story.tasks = trio.lowlevel.current_statistics().tasks_living - before
    return story


def _set_up(provider: Any, scenario: Scenario) -> None:
    for gathering in scenario.gatherings:
        for person in gathering.everybody:
            script = provider.party(person.address)
            if person.reaction == "never_answers":
                script.never_answers()
            else:
                getattr(script, person.reaction)(person.after)
            if person.presses:
                script.presses(person.presses)
            if person.hangs_up_after is not None:
                script.hangs_up(person.hangs_up_after)
    for fault in scenario.faults:
        provider.fail(fault.operation, fault.kind, times=fault.times, after=fault.after, seconds=fault.seconds)


def _still_up(story: Story) -> tuple[str, ...]:
    """What is up at the exchange, but for what was never ours."""
    up: tuple[str, ...] = story.provider.exchange.still_up()
    return tuple(id_ for id_ in up if id_ not in story.foreign)


def _somebody_elses(exchange: Any) -> tuple[str, str, str]:
    """A conference on the same account with which confkit has nothing to do: its id, its call and its member."""
    conference = exchange.create_conference(caller_id=CALLER_ID, notes={"key": "somebody else's"})
    call = exchange.dial(STRANGER, caller_id=CALLER_ID, conference_id=conference.id, notes={"op": "somebody else's"})
    exchange.advance()
    member = exchange.add_member(conference.id, call.id)
    return conference.id, call.id, member.id


async def _cancel(
    scope: anyio.CancelScope, cancellation: Cancellation, before: Callable[[], None] = lambda: None
) -> None:
    await anyio.sleep(cancellation.at)
    for _ in range(cancellation.turns):
        await anyio.lowlevel.checkpoint()
    before()
    scope.cancel()


async def _listen(meeting: Meeting, told: list[News]) -> None:
    async with aclosing(meeting.events()) as events:
        async for event in events:
            told.append(news_in(event))


async def _attend(client: AsyncClient, attendance: Attendance, scenario: Scenario) -> None:
    """The application's way with one meeting."""
    gathering = attendance.gathering
    attendance.waiting += gathering.deeds
    await anyio.sleep(gathering.starts)
    meeting = attendance.meeting = client.connect(
        *(_party(person) for person in gathering.people),
        quorum=gathering.quorum,
        expandable=gathering.expandable,
        answer_timeout=timedelta(seconds=gathering.answer_timeout),
    )
    attendance.asked_at = anyio.current_time()

    def ending() -> None:
        attendance.ending_at = attendance.ending_at or client.provider.exchange.now()

    async with anyio.create_task_group() as others:
        others.start_soon(_listen, meeting, attendance.told)
        with anyio.CancelScope() as scope:
            if gathering.cancellation is not None:
                others.start_soon(_cancel, scope, gathering.cancellation, ending)
            for deed in gathering.deeds:
                others.start_soon(_do, meeting, attendance, deed, ending)
            await _sit_through(client, attendance, scenario, ending)
        attendance.cancelled = scope.cancelled_caught
        attendance.left_at = anyio.current_time()
        for _ in range(int(PATIENCE)):
            if attendance.waiting:
                await anyio.sleep(1)
        others.cancel_scope.cancel()


async def _sit_through(
    client: AsyncClient, attendance: Attendance, scenario: Scenario, ending: Callable[[], None]
) -> None:
    """Enter the meeting, stay, and leave it in the application's way."""
    gathering, meeting = attendance.gathering, attendance.meeting
    assert meeting is not None
    try:
        async with meeting:
            attendance.established = True
            await anyio.sleep(gathering.stays)
            await _look_when_quiet(client.provider, attendance, scenario)
            attendance.leaving_at = anyio.current_time()
            ending()
            if gathering.leaves == "raise":
                raise Boom
            if gathering.leaves == "end":
                await meeting.end()
    except Exception as error:
        attendance.raised = error
        if not isinstance(error, ConfkitError | Boom):
            attendance.defects.append(f"the block raised {error!r}")
    finally:
        attendance.over = meeting.state in (MeetingState.ENDED, MeetingState.PLANNED)


def _party(person: Person) -> Party:
    return Party(person.address, name=person.name)


async def _do(meeting: Meeting, attendance: Attendance, deed: Deed, ending: Callable[[], None]) -> None:
    everybody = attendance.gathering.everybody
    party = _party(everybody[deed.person]) if everybody else Party("")
    await anyio.sleep(deed.at)
    deeds: dict[str, Callable[[], Awaitable[object]]] = {
        "add": lambda: meeting.add(party),
        "again": lambda: meeting.add(party),
        "remove": lambda: meeting.remove(party),
        "mute": lambda: meeting.mute(party),
        "unmute": lambda: meeting.unmute(party),
        "mute_all": meeting.mute_all,
        "say": lambda: meeting.say("hello"),
        "end": meeting.end,
    }
    if deed.what == "end" and meeting.state is not MeetingState.PLANNED:
        ending()
    try:
        await deeds[deed.what]()
    except ConfkitError:
        pass  # it may well be too late or too much
    except Exception as error:
        attendance.defects.append(f"{deed.what} raised {error!r}")
    attendance.waiting.remove(deed)


async def _look_when_quiet(provider: Any, attendance: Attendance, scenario: Scenario) -> None:
    """Compare the roster with the exchange at a moment when nothing is on the way; do without if none comes."""
    if scenario.post.lost or scenario.post.false:
        return
    calm = 2.0 + 4 * scenario.latency + scenario.post.late
    if scenario.events == "poll" or scenario.post.breaks:
        calm += 12.0 + 2 * scenario.latency
    if scenario.rates != "off":
        calm += 20.0
    began = anyio.current_time()
    meeting = attendance.meeting
    assert meeting is not None
    while anyio.current_time() - began < 4 * calm:
        await anyio.sleep(calm / 4)
        exchange = provider.exchange
        now = exchange.now()
        busy = any(request.outcome == "pending" for request in provider.requests)
        last = exchange.history[-1].at if exchange.history else None
        if not busy and (last is None or (now - last).total_seconds() > calm):
            attendance.quiet = True
            attendance.misfits += _misfits(exchange, meeting)
            return


def _misfits(exchange: Any, meeting: Meeting) -> Iterator[str]:
    stubborn = {
        record.call
        for record in meeting.trace.records
        if record.operation == "hang_up" and record.outcome is not StepOutcome.DONE
    }
    for person in meeting.participants:
        if person.call_id in stubborn:
            continue  # it could not be hung up, and is named for it
        call = exchange.calls.get(person.call_id) if person.call_id else None
        place = exchange.place_of(person.call_id) if person.call_id else None
        bridges = [bridge for bridge in exchange.bridges.values() if person.call_id in bridge.call_ids]
        answered = call is not None and call.state.value == "answered"
        truth = "ended" if call is None or call.state.value == "ended" else call.state.value
        if answered and (place is not None or any(len(bridge.call_ids) > 1 for bridge in bridges)):
            truth = "joined"
        told = person.state.value
        if told == "joined" and answered and bridges:
            continue  # alone on a bridge that the other has left
        if told in ("waiting", "dialling", "queued") and truth in ("queued", "ended"):
            continue  # it has not been dialled
        if told != truth:
            yield f"{person.id} ({person.party.label}) is told to be {told}, and is {truth}"


@contextmanager
def _seeded_scheduler(seed: int) -> Iterator[None]:
    """Make trio run its tasks in an order that the seed decides, as its own hypothesis plugin does."""
    core: Any = trio._core._run
    before = (core._ALLOW_DETERMINISTIC_SCHEDULING, core._r.getstate())
    core._ALLOW_DETERMINISTIC_SCHEDULING = True
    core._r.seed(seed)
    try:
        yield
    finally:
        core._ALLOW_DETERMINISTIC_SCHEDULING = before[0]
        core._r.setstate(before[1])


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(_signal: int, _frame: object) -> None:
        raise Stuck(f"no end after {ALARM:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, ALARM)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def structlog_off() -> Iterator[None]:
    """Nothing is logged: thousands of runs would say too much."""
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), cache_logger_on_first_use=False
    )
    try:
        yield
    finally:
        structlog.configure(**before)
