"""Establishing under Bandwidth's documented limits: as soon as they allow, and no request refused.

The simulator enforces the limits, in virtual time; the floor is computed from them, see ``benchmarks.limits``.
"""

from __future__ import annotations

import anyio
import pytest
from confkit_bandwidth.simulator import SimulatorOptions

import confkit
from benchmarks.limits import floor, virtually
from benchmarks.running import numbers

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]


@pytest.mark.parametrize("delay", [0.0, 5.0, 15.0])
@pytest.mark.parametrize("parties", [3, 10, 20])
async def test_everyone_is_in_as_soon_as_the_limits_allow(parties: int, delay: float) -> None:
    options = SimulatorOptions(rate_limits="documented", answer_after=delay)
    async with virtually(options, webhooks=True) as (client, account):
        began = anyio.current_time()
        async with client.connect(*numbers(parties)) as meeting:
            took = anyio.current_time() - began
            refused = [entry.path for entry in account.requests if (entry.status or 0) >= 400]
            outcomes = {person.outcome for person in meeting.participants}
    assert outcomes == {confkit.Outcome.JOINED}
    assert refused == []
    assert took <= 1.05 * floor(parties, delay)
