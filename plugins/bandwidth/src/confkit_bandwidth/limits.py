"""Bandwidth's rate limits as rate classes (``callRateLimits.md``, ``resourceRateLimits.md``).

Creating calls is limited per number and, to the same figure, per account: 1 call per second, averaged over
10 s. The documented refusal says "Your rate is: 1.1", which is the eleventh call in 10 s, so ten at once are
accepted; ``call_pacing="strict"`` is for a platform that reads it as one call every second. Every other
request counts against its family, the first segment of its path, whatever the verb and whatever follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from confkit.provider import RateClass
from confkit_bandwidth.settings import BandwidthSettings

#: Over which the rate of call creations is averaged.
SAMPLE: Final = timedelta(seconds=10)
_SECOND: Final = timedelta(seconds=1)
_CREATING: Final[Mapping[str, int]] = {"create_call": 1}

_FAMILIES: Final[Mapping[str, Mapping[str, int]]] = {
    "calls": {
        "hang_up": 1,
        "record": 1,
        "send_digits": 1,
        "transfer": 1,
        "answer_call": 1,
        "reject_call": 1,
        "list_calls": 1,
        "find:create_call": 1,
        "play:call": 1,
        "fetch:call": 1,
        "fetch:conference": 1,
        "fetch:bridge": 1,
    },
    "conferences": {
        "create_conference": 1,
        "update_conference": 1,
        "end_conference": 1,
        "add_member": 1,
        "update_member": 1,
        "remove_member": 1,
        "find:add_member": 1,
        "play:conference": 1,
        "play:member": 1,
        "fetch:conference": 1,
    },
    "bridges": {"create_bridge": 1, "end_bridge": 1, "play:bridge": 1, "fetch:bridge": 1},
}


def rates(settings: BandwidthSettings) -> tuple[RateClass, ...]:
    """The rate classes in force under these settings."""
    if settings.limits == "off":
        return ()
    limit, per = settings.calls_limit, SAMPLE
    if settings.call_pacing == "strict":
        limit, per = 1, SAMPLE / settings.calls_limit
    return (
        RateClass(name="call creation", limit=limit, per=per, costs=_CREATING),
        RateClass(name="call creation per number", limit=limit, per=per, costs=_CREATING, scope="number"),
        *(
            RateClass(name=family, limit=settings.requests_per_second, per=_SECOND, costs=costs)
            for family, costs in _FAMILIES.items()
        ),
    )
