"""One clock for a client: anyio's monotonic time, shown as aware UTC instants.

Under trio's ``MockClock`` these instants pass as fast as the virtual time does, so durations in a trace are those
of the simulated world.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
from attrs import field, frozen


@frozen
class Clock:
    """Wall time at one moment, advanced by anyio's clock; made inside the event loop."""

    started: datetime = field(factory=lambda: datetime.now(UTC))
    offset: float = field(factory=lambda: anyio.current_time())

    def now(self) -> datetime:
        """The current instant, UTC."""
        return self.started + timedelta(seconds=anyio.current_time() - self.offset)


#: An instant further away than this tells of no clock that is a little wrong, but of one that is not set.
UNSET = timedelta(days=1)


class PlatformClock:
    """Brings instants of a platform's clock onto ours, whatever the difference.

    What has come in cannot have happened later, so the smallest delay that was ever seen bounds how far their clock is
    ahead (or behind: a negative difference). The longer one listens, the nearer that is.
    """

    def __init__(self) -> None:
        self._ahead: timedelta | None = None

    def ours(self, theirs: datetime | None, received: datetime) -> datetime:
        """When it happened, on our clock; never later than it was received.

        Args:
            theirs: as the platform tells it; ``None`` where it does not.
        """
        if theirs is None or abs(theirs - received) > UNSET:
            return received
        ahead = theirs - received
        if self._ahead is None or ahead > self._ahead:
            self._ahead = ahead
        return theirs - self._ahead
