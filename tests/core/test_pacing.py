"""Pacing: below the limit at every instant, fair between meetings, and never stuck."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import anyio
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from confkit.provider import Limit, RateClass
from confkit.steps.rate_limits import MARGIN, CancelToken, Priority, RateLimiter

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

SECOND = timedelta(seconds=1)
CALLS = RateClass(name="calls", limit=3, per=10 * SECOND, costs={"create_call": 1})
NUMBER = RateClass(name="calls", limit=1, per=SECOND, costs={"create_call": 1}, scope="number")
ROOMS = RateClass(name="rooms", limit=1, per=SECOND, costs={"add": 1, "end": 1, "look": 1, "both": 1, "double": 2})
CROSS = RateClass(name="cross", limit=2, per=3 * SECOND, costs={"both": 1, "look": 1})


class Sent:
    """The requests that got their place, with the moment."""

    def __init__(self, limiter: RateLimiter) -> None:
        self.limiter = limiter
        self.log: list[tuple[str, float]] = []
        self.begun = anyio.current_time()

    async def send(
        self,
        operation: str,
        label: str = "",
        *,
        priority: Priority = Priority.NORMAL,
        meeting: str | None = None,
        number: str = "",
    ) -> timedelta:
        waited = await self.limiter.wait(operation, priority=priority, meeting=meeting, number=number)
        self.log.append((label or operation, anyio.current_time() - self.begun))
        return waited

    @property
    def order(self) -> list[str]:
        return [label for label, _ in self.log]

    @property
    def moments(self) -> list[float]:
        return [moment for _, moment in self.log]


async def test_what_has_no_rate_class_does_not_wait() -> None:
    sent = Sent(RateLimiter([CALLS]))
    for _ in range(100):
        assert await sent.send("hang_up") == timedelta(0)
    assert sent.moments == [0] * 100


async def test_a_burst_up_to_the_limit_goes_at_once_and_the_rest_waits_for_the_window() -> None:
    sent = Sent(RateLimiter([CALLS]))
    for _ in range(7):
        await sent.send("create_call")
    window = 10 * MARGIN
    assert sent.moments == pytest.approx([0, 0, 0, window, window, window, 2 * window])


async def test_waiting_is_told() -> None:
    await anyio.sleep(1000)
    sent = Sent(RateLimiter([ROOMS]))
    assert await sent.send("add") == timedelta(0)
    assert (await sent.send("add")).total_seconds() == pytest.approx(MARGIN)


async def test_a_request_that_costs_more_than_the_window_holds_is_paid_for_by_those_after_it() -> None:
    sent = Sent(RateLimiter([ROOMS]))
    for operation in ("double", "add", "add"):
        await sent.send(operation)
    assert sent.moments == pytest.approx([0, 2 * MARGIN, 3 * MARGIN])


async def test_a_request_that_costs_more_than_the_window_holds_fills_it_as_often_as_it_must() -> None:
    rate = RateClass(name="many", limit=2, per=SECOND, costs={"triple": 3, "one": 1})
    sent = Sent(RateLimiter([rate]))
    for operation in ("triple", "one", "one"):
        await sent.send(operation)
    assert sent.moments == pytest.approx([0, MARGIN, 2 * MARGIN])


async def test_what_an_operation_is_about_decides_its_class_where_the_provider_says_so() -> None:
    rate = RateClass(name="media", limit=1, per=SECOND, costs={"play": 1, "play:member": 3, "fetch:call": 1})
    limiter = RateLimiter([rate])
    sent = Sent(limiter)
    for operation in ("play:bridge", "play:member", "play", "fetch", "fetch:room"):
        await sent.send(operation)
    assert sent.moments == pytest.approx([0, MARGIN, 4 * MARGIN, 4 * MARGIN, 4 * MARGIN])
    limited = [name for name in ("play", "play:bridge", "play:member", "fetch:call") if limiter.limits(name)]
    assert limited == ["play", "play:bridge", "play:member", "fetch:call"]
    assert not any(limiter.limits(name) for name in ("fetch", "fetch:room", "hang_up", "member", ":"))
    assert not RateLimiter([]).limits("play")


async def test_each_number_has_a_window_of_its_own_where_the_limit_is_the_numbers() -> None:
    sent = Sent(RateLimiter([NUMBER]))
    for number in ("+1", "+2", "+1", "+2"):
        await sent.send("create_call", number=number)
    assert sent.moments == pytest.approx([0, 0, MARGIN, MARGIN])


async def test_a_limit_of_the_account_does_not_ask_for_the_number() -> None:
    sent = Sent(RateLimiter([ROOMS]))
    for number in ("+1", "+2"):
        await sent.send("add", number=number)
    assert sent.moments == pytest.approx([0, MARGIN])


async def test_endings_go_before_the_sequence_and_reads_go_last() -> None:
    sent = Sent(RateLimiter([ROOMS]))
    await sent.send("add", "first")
    async with anyio.create_task_group() as tasks:
        for label, operation, priority in (
            ("read", "look", Priority.READ),
            ("add", "add", Priority.NORMAL),
            ("end", "end", Priority.URGENT),
        ):
            tasks.start_soon(partial(sent.send, operation, label, priority=priority))
            await anyio.wait_all_tasks_blocked()
    assert sent.order == ["first", "end", "add", "read"]


async def test_meetings_take_turns_and_keep_their_own_order() -> None:
    sent = Sent(RateLimiter([ROOMS]))
    await sent.send("add", "first", meeting="long")
    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(partial(sent.send, "add", f"long {number}", meeting="long"))
            await anyio.wait_all_tasks_blocked()
        for number in range(2):
            tasks.start_soon(partial(sent.send, "add", f"short {number}", meeting="short"))
            await anyio.wait_all_tasks_blocked()
    assert sent.order.index("short 0") <= 2
    assert sent.order.index("short 1") <= 4
    assert [label for label in sent.order if label.startswith("long")] == [f"long {n}" for n in range(5)]


async def test_every_turn_is_one_request_of_each_meeting_in_the_order_of_asking() -> None:
    sent = Sent(RateLimiter([ROOMS]))
    await sent.send("add", "first", meeting="a")
    async with anyio.create_task_group() as tasks:
        for meeting, requests in (("a", 3), ("b", 1), ("c", 2), ("d", 1), ("e", 2)):
            for number in range(requests):
                tasks.start_soon(partial(sent.send, "add", f"{meeting}{number}", meeting=meeting))
                await anyio.wait_all_tasks_blocked()
    assert sent.order == ["first", "a0", "b0", "c0", "d0", "e0", "a1", "c1", "e1", "a2"]


async def test_a_meeting_keeps_its_own_order_whenever_it_asks() -> None:
    sent = Sent(RateLimiter([ROOMS]))
    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(partial(sent.send, "add", str(number), meeting="a"))
            await anyio.sleep(0.4)
        await anyio.sleep(0.6)  # some are through, some wait
        assert 1 < len(sent.order) < 4
        tasks.start_soon(partial(sent.send, "add", "4", meeting="a"))
    assert sent.order == ["0", "1", "2", "3", "4"]


async def test_where_nobody_waits_nobody_is_owed_a_turn() -> None:
    sent = Sent(RateLimiter([ROOMS]))
    for _ in range(3):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(partial(sent.send, "add", meeting="a"))
    sent.log.clear()
    async with anyio.create_task_group() as tasks:
        for meeting in ("a", "b"):
            tasks.start_soon(partial(sent.send, "add", meeting, meeting=meeting))
            await anyio.wait_all_tasks_blocked()
    assert sent.order == ["a", "b"]


async def test_who_comes_late_does_not_make_up_for_turns_that_it_never_wanted() -> None:
    sent = Sent(RateLimiter([ROOMS]))
    async with anyio.create_task_group() as tasks:
        for number in range(6):
            tasks.start_soon(partial(sent.send, "add", f"early {number}", meeting="early"))
        await anyio.sleep(3.5)
        for number in range(3):
            tasks.start_soon(partial(sent.send, "add", f"late {number}", meeting="late"))
    remaining = sent.order[4:]
    assert [label.split()[0] for label in remaining[:4]].count("early") == 2


async def test_a_refusal_closes_the_window_for_everyone_in_it() -> None:
    sent = Sent(RateLimiter([CALLS, ROOMS]))
    sent.limiter.back_off("create_call", 4 * SECOND)
    await sent.send("add")
    await sent.send("create_call")
    assert sent.moments == pytest.approx([0, 4])
    sent.limiter.back_off("create_call", timedelta(0))
    await sent.send("create_call")
    assert sent.moments[-1] == pytest.approx(4)


async def test_windows_are_a_little_longer_than_the_providers() -> None:
    """What is sent exactly as far apart as the limit says can arrive closer together."""
    sent = Sent(RateLimiter([ROOMS]))
    for _ in range(2):
        await sent.send("add")
    assert 1.01 < sent.moments[1] < 1.05


async def test_of_two_refusals_the_longer_holds() -> None:
    sent = Sent(RateLimiter([CALLS]))
    sent.limiter.back_off("create_call", 4 * SECOND)
    sent.limiter.back_off("create_call", SECOND)
    await sent.send("create_call")
    assert sent.moments == pytest.approx([4])


async def test_a_refusal_closes_the_window_of_its_number_only() -> None:
    sent = Sent(RateLimiter([NUMBER]))
    sent.limiter.back_off("create_call", 4 * SECOND, number="+1")
    sent.limiter.back_off("create_call", 7 * SECOND)
    for number in ("+2", "+1", ""):
        await sent.send("create_call", number=number)
    assert sent.moments == pytest.approx([0, 4, 7])
    sent.limiter.back_off("create_call", 3 * SECOND)
    await sent.limiter.wait("create_call", priority=Priority.NORMAL)
    assert anyio.current_time() - sent.begun == pytest.approx(10)


async def test_a_refusal_that_comes_while_others_wait_holds_them_too() -> None:
    sent = Sent(RateLimiter([ROOMS]))
    await sent.send("add")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sent.send, "add")
        await anyio.sleep(0.5)
        sent.limiter.back_off("add", 5 * SECOND)
    assert sent.moments[-1] == pytest.approx(5.5)


def left(remaining: int, seconds: float, name: str | None = None) -> Limit:
    return Limit(remaining=remaining, resets_in=timedelta(seconds=seconds), name=name)


async def test_no_more_is_sent_than_a_reply_says_is_left_until_it_is_full_again() -> None:
    sent = Sent(limiter := RateLimiter([CALLS]))
    await sent.send("create_call")
    limiter.heed("create_call", left(1, 4))
    for _ in range(4):
        await sent.send("create_call")
    # One more, then the platform's window opens at 4, and our own at 10.
    assert sent.moments == pytest.approx([0, 0, 4, 10 * MARGIN, 10 * MARGIN])


async def test_nothing_is_sent_when_nothing_is_left() -> None:
    sent = Sent(limiter := RateLimiter([CALLS]))
    limiter.heed("create_call", left(0, 4))
    await sent.send("create_call")
    assert sent.moments == pytest.approx([4])


async def test_the_last_word_counts_and_holds_those_who_wait() -> None:
    sent = Sent(limiter := RateLimiter([CALLS]))
    limiter.heed("create_call", left(0, 4))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sent.send, "create_call")
        await anyio.sleep(2)
        limiter.heed("create_call", left(0, 5))
    assert sent.moments == pytest.approx([7])
    limiter.heed("create_call", left(0, 5))
    limiter.heed("create_call", left(1, 5))
    await sent.send("create_call")
    assert sent.moments == pytest.approx([7, 7])


async def test_what_is_left_does_not_open_a_window_that_is_closed() -> None:
    sent = Sent(limiter := RateLimiter([ROOMS]))
    await sent.send("add")
    limiter.back_off("add", 3 * SECOND)
    limiter.heed("add", left(100, 0))
    await sent.send("add")
    assert sent.moments == pytest.approx([0, 3])


async def test_a_reset_that_is_misread_closes_no_window_for_longer_than_its_span() -> None:
    sent = Sent(limiter := RateLimiter([CALLS]))
    limiter.heed("create_call", left(0, 1_800_000_000))
    await sent.send("create_call")
    assert sent.moments == pytest.approx([10 * MARGIN])


async def test_what_is_left_is_that_of_the_class_that_is_named_or_of_all_of_the_operation() -> None:
    sent = Sent(limiter := RateLimiter([ROOMS, CROSS]))
    limiter.heed("both", left(0, 0.5, "cross"))
    await sent.send("add")
    await sent.send("both")
    assert sent.moments == pytest.approx([0, MARGIN])
    limiter.heed("add", left(0, 3, "cross"))
    await sent.send("look")
    assert sent.moments[-1] == pytest.approx(MARGIN + 3)
    limiter.heed("look", left(0, 0.9 * MARGIN))
    limiter.heed("look", left(0, 2, "another"))
    limiter.heed("else", left(0, 2))
    await sent.send("add")
    assert sent.moments[-1] == pytest.approx(2 * MARGIN + 3)


async def test_what_is_left_of_a_number_is_of_that_number() -> None:
    sent = Sent(limiter := RateLimiter([NUMBER]))
    for number, name in (("+1", None), ("+2", "calls")):
        limiter.heed("create_call", left(0, 0.5, name), number=number)
    await sent.send("create_call", number="+3")
    await sent.send("create_call", number="+1")
    limiter.heed("create_call", left(0, 0.5, "calls"), number="+2")
    await sent.send("create_call", number="+2")
    assert sent.moments == pytest.approx([0, 0.5, 1])


async def test_a_request_for_more_than_is_left_waits_and_then_goes() -> None:
    sent = Sent(limiter := RateLimiter([ROOMS]))
    limiter.heed("double", left(1, 0.5))
    await sent.send("double")
    assert sent.moments == pytest.approx([0.5])


async def test_who_gives_up_frees_its_place_in_the_queue() -> None:
    sent = Sent(RateLimiter([ROOMS]))
    await sent.send("add", "first")
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            tasks.start_soon(sent.send, "add", "third")
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await sent.send("add", "never", priority=Priority.URGENT)
        assert scope.cancelled_caught
    assert sent.order == ["first", "third"]
    assert sent.moments[-1] == pytest.approx(MARGIN)


async def test_an_order_to_withdraw_stops_who_waits_and_whoever_comes_to_wait() -> None:
    CancelToken().cancel()  # where nobody waits
    cancel = CancelToken()
    over, waits, late = anyio.CancelScope(), anyio.CancelScope(), anyio.CancelScope()
    cancel.ends(over)
    cancel.ends(None)
    cancel.ends(waits)
    assert (cancel.cancelled, waits.cancel_called) == (False, False)
    cancel.cancel()
    assert (cancel.cancelled, waits.cancel_called, over.cancel_called) == (True, True, False)
    cancel.ends(None)
    cancel.ends(late)
    assert late.cancel_called


request = st.tuples(
    st.sampled_from(["create_call", "add", "end", "look", "both", "double"]),
    st.sampled_from(Priority),
    st.sampled_from(["m-1", "m-2", None]),
    st.integers(0, 12),
    st.none() | st.integers(0, 6),
)


@settings(max_examples=60)
@given(requests=st.lists(request, max_size=25))
def test_never_more_than_the_limit_in_any_window_and_everyone_gets_on(
    requests: list[tuple[str, Priority, str | None, int, int | None]],
) -> None:
    """Whatever is asked for, given up, and when: no span of a class holds more than its limit."""
    rates = [CALLS, ROOMS, CROSS]

    async def scenario() -> None:
        sent = Sent(RateLimiter(rates))
        gave_up = 0

        async def one(operation: str, priority: Priority, meeting: str | None, start: int, give_up: int | None) -> None:
            nonlocal gave_up
            await anyio.sleep(start)
            with anyio.move_on_after(give_up) as scope:
                await sent.send(operation, priority=priority, meeting=meeting)
            gave_up += scope.cancelled_caught

        async with anyio.create_task_group() as tasks:
            for each in requests:
                tasks.start_soon(one, *each)
        assert len(sent.log) + gave_up == len(requests)
        # all done within the time that the tightest class needs for all of them
        assert not sent.log or sent.moments[-1] <= 12 + 2 * MARGIN * 10 * (len(requests) + 1)
        for rate in rates:
            hits = [(moment, rate.costs[name]) for name, moment in sent.log if rate.costs.get(name)]
            for start, cost in hits:
                end = start + rate.per.total_seconds()
                assert sum(other for moment, other in hits if start <= moment < end) <= max(rate.limit, cost)

    trio.run(scenario, clock=trio.testing.MockClock(autojump_threshold=0))


# --- concurrency

LANES = RateClass(name="lanes", limit=2, costs={"add": 1, "look": 1, "wide": 9}, concurrent=True)


async def test_so_many_are_under_way_at_a_time() -> None:
    sent = Sent(RateLimiter([LANES]))

    async def request(operation: str, takes: float) -> None:
        await sent.send(operation)
        await anyio.sleep(takes)
        sent.limiter.done(operation)

    async with anyio.create_task_group() as tasks:
        for takes in (1, 3, 1, 1, 1):
            tasks.start_soon(request, "add", takes)
            await anyio.sleep(0.01)
    assert sent.moments == pytest.approx([0, 0.01, 1, 2, 3], abs=0.05)
    await request("wide", 1)  # what needs more than there is goes alone
    assert await sent.send("look") == timedelta(0)


async def test_who_stops_waiting_takes_no_lane() -> None:
    sent = Sent(RateLimiter([LANES]))
    await sent.send("add")
    await sent.send("add")
    with anyio.move_on_after(1):
        await sent.send("add")
    sent.limiter.done("add")
    assert await sent.send("look") == timedelta(0)
    with anyio.move_on_after(1) as waits:
        await sent.send("look")
    assert waits.cancelled_caught


async def test_a_lane_is_closed_while_it_is_backed_off_from() -> None:
    sent = Sent(RateLimiter([LANES]))
    sent.limiter.back_off("add", 2 * SECOND)
    assert await sent.send("add") == 2 * SECOND
