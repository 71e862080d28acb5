"""Rate limits of Bandwidth v1 (``resourceRateLimits.md``, ``callRateLimits.md``). Pure but for the clock given."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from confkit_bandwidth.simulator.options import Switches

FAMILY_PERIOD = 1.0  # one request per endpoint family in this many seconds
CALLS_PER_SECOND = 1  # per number, and for the account as a whole


class RateLimits:
    """Two mechanisms: one request per second and family, and call creations averaged per number and account.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, switches: Switches, clock: Callable[[], float]) -> None:
        self._switches = switches
        self._clock = clock
        self._families: dict[str, float] = {}
        self._creations: dict[str, deque[float]] = {}
        self.sample = 10 if switches.call_rate == "burst" else 1  # seconds over which creations are averaged

    def bucket(self, family: str, template: str) -> str:
        """Which limit a request falls under: its family's, or its path template's."""
        return family if self._switches.family_bucket == "shared" else template

    def enter(self, bucket: str) -> float | None:
        """Take the bucket's turn.

        Returns:
            ``None`` when admitted; else in how many seconds the limit is cleared. A refused request takes no turn.
        """
        now = self._clock()
        last = self._families.get(bucket)
        if last is not None:
            if self._switches.family_window == "fixed":
                clear = (math.floor(last / FAMILY_PERIOD) + 1) * FAMILY_PERIOD
            else:
                clear = last + FAMILY_PERIOD
            if now < clear:
                return clear - now
        self._families[bucket] = now
        return None

    def give_back(self, bucket: str) -> None:
        """The admitted request has failed: it takes no turn after all, where the switches say so."""
        if not self._switches.failed_requests_count:
            self._families.pop(bucket, None)

    def create_call(self, number: str) -> float | None:
        """Count a call creation.

        Returns:
            ``None`` when admitted; else the measured rate, in calls per second, with the refused one.
        """
        now = self._clock()
        allowed = CALLS_PER_SECOND * self.sample
        queues = [self._recent(name, now) for name in ("", number)]  # the account as a whole has no number
        worst = max(len(queue) for queue in queues)
        admitted = worst < allowed
        if admitted or self._switches.refused_calls_count:
            for queue in queues:
                queue.append(now)
        return None if admitted else (worst + 1) / self.sample

    def _recent(self, name: str, now: float) -> deque[float]:
        queue = self._creations.setdefault(name, deque())
        while queue and (
            now - queue[0] > self.sample or (now - queue[0] == self.sample and not self._switches.call_window_inclusive)
        ):
            queue.popleft()
        return queue
