"""Rate limits; V4 and the like number the wire vectors that adapter and simulator share."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from attrs import define
from confkit_bandwidth.simulator import Switches
from confkit_bandwidth.simulator.limits import RateLimits

from .conftest import FROM, TO, Line, error


@define
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def limits(clock: Clock, **switches: object) -> RateLimits:
    return RateLimits(Switches(**switches), clock)  # type: ignore[arg-type]


def test_families_slide_v81() -> None:
    clock = Clock(100.4)
    limit = limits(clock)
    assert limit.enter("conferences") is None
    clock.now = 100.5
    assert limit.enter("conferences") == pytest.approx(0.9)
    assert limit.enter("calls") is None
    clock.now = 101.4
    assert limit.enter("conferences") is None


def test_fixed_windows() -> None:
    clock = Clock(100.9)
    limit = limits(clock, family_window="fixed")
    assert limit.enter("calls") is None
    assert limit.enter("calls") == pytest.approx(0.1)
    clock.now = 101.0
    assert limit.enter("calls") is None


def test_failed_requests_may_not_count() -> None:
    limit = limits(Clock())
    limit.enter("calls")
    limit.give_back("calls")
    assert limit.enter("calls") is not None
    lenient = limits(Clock(), failed_requests_count=False)
    lenient.enter("calls")
    lenient.give_back("calls")
    assert lenient.enter("calls") is None


def test_buckets() -> None:
    assert limits(Clock()).bucket("conferences", "conferences/*") == "conferences"
    assert limits(Clock(), family_bucket="path").bucket("conferences", "conferences/*") == "conferences/*"


def test_burst_v84_v85_v86() -> None:
    clock = Clock(0.0)
    limit = limits(clock)
    assert [limit.create_call(FROM) for _ in range(10)] == [None] * 10
    clock.now = 0.5
    assert limit.create_call(FROM) == 1.1
    assert limit.create_call(FROM) == 1.1
    clock.now = 9.999
    assert limit.create_call(FROM) == 1.1
    clock.now = 10.0
    assert limit.create_call(FROM) is None


def test_call_switches() -> None:
    clock = Clock(0.0)
    inclusive = limits(clock, call_window_inclusive=True)
    counting = limits(clock, refused_calls_count=True)
    for _ in range(10):
        inclusive.create_call(FROM)
        counting.create_call(FROM)
    clock.now = 5.0
    assert counting.create_call(FROM) == 1.1
    assert counting.create_call(FROM) == 1.2
    clock.now = 10.0
    assert inclusive.create_call(FROM) == 1.1
    strict = limits(clock, call_rate="strict")
    assert strict.create_call(FROM) is None
    assert strict.create_call(TO) == 2.0  # the account has the limit, too
    clock.now = 11.0
    assert strict.create_call(FROM) is None


def test_limits_over_http(start: Callable[..., Line]) -> None:
    line = start(rate_limits="documented")
    made = line.conference()
    before = time.time()
    reply = line.get(f"conferences/{made}")
    assert error(reply) == (429, "too-many-requests", "rate-limit-reached")
    body = reply.json()
    assert "message" not in body
    reset = reply.headers["x-ratelimit-reset"]
    assert {"name": "rateLimitResetTime", "value": reset} in body["details"]
    assert before * 1000 < int(reset) <= (time.time() + 1) * 1000 + 1
    for _ in range(10):
        line.call()
    eleventh = line.post("calls", {"from": FROM, "to": TO})
    assert error(eleventh) == (403, "limit", "call-rate-limit")
    assert eleventh.json()["message"] == (
        "You can create 1 calls per 1 seconds, calculated as the average over 10 seconds. Your rate is: 1.1"
    )
    assert len(line.state()["calls"]) == 10
    time.sleep(max(0.0, int(reset) / 1000 - time.time()))
    assert line.get(f"conferences/{made}").status_code == 200


def test_creating_calls_may_take_the_family(start: Callable[..., Line]) -> None:
    line = start(rate_limits="documented", switches=Switches(calls_use_family=True))
    line.call()
    assert line.post("calls", {"from": FROM, "to": TO}).status_code == 429
