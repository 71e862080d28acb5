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
