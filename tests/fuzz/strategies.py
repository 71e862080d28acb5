"""What comes from outside, as it must not be expected: JSON, text, headers, addresses."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

#: Text of every kind: line ends, lone surrogates, signs of other scripts, and what means something in a URL.
ODD = st.text(max_size=20) | st.text(alphabet="+0123456789@:;/?#%[]. sip\ud800٣", max_size=30)
TIMES = st.sampled_from(
    ["2016-05-01T10:00:00Z", "2016-05-01T13:15:65-02", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-2359", "now"]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**30, -(10**400), 1 << 63])
    | st.floats()
    | ODD
    | TIMES
    | st.sampled_from(["+19195550101", "active", "completed", "started", "done", "true", "NO_ANSWER", "..", "/", ""])
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD, inner, max_size=3), max_leaves=6
)
NAMES = (
    "id",
    "state",
    "status",
    "eventType",
    "from",
    "to",
    "callId",
    "callUri",
    "call",
    "conferenceId",
    "conferenceUri",
    "memberId",
    "memberUri",
    "bridgeId",
    "callIds",
    "recordingId",
    "recordingUri",
    "time",
    "startTime",
    "activeTime",
    "endTime",
    "createdTime",
    "completedTime",
    "addedTime",
    "removedTime",
    "callTimeout",
    "cause",
    "tag",
    "mute",
    "hold",
    "dtmfDigit",
    "name",
    "data",
    "code",
    "message",
    "details",
)


def records(**known: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with the platform's names and any values.

    Args:
        known: what is there, and mostly makes sense.
    """
    odd = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6)
    return st.builds(lambda first, second: {**first, **second}, odd, st.fixed_dictionaries({}, optional=known)) | odd
