"""What follows an attempt that ended with an error: the rules of ``confkit.steps.executor`` as a table.

A row is a situation: the error of the last attempt, what has been tried (that attempt included), what the provider
declares, and the decision.
"""

from __future__ import annotations

import itertools
import re
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from confkit import OutcomeUnknown, ProviderError, RateLimited, Unavailable
from confkit.models.errors import Withdrawn
from confkit.provider import (
    Capabilities,
    CapacityReached,
    Conflict,
    InvalidRequest,
    NotFound,
    NotReady,
    PermissionDenied,
    RateClass,
)
from confkit.steps import executor
from confkit.steps.decide import Adopt, Decision, Look, LookUp, Raise, SendAgain, Tried, decide, decide_read

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

DOWN = Unavailable("the connection was refused")
EARLY = NotReady("not answered yet")
LIMITED = RateLimited("too many requests")
LIMITED_4 = RateLimited("too many requests", retry_after=4 * SECOND)
LIMITED_PAST = RateLimited("too many requests", retry_after=-3 * SECOND)
LIMITED_500 = RateLimited("too many requests", retry_after=500 * SECOND)
LOST = OutcomeUnknown("the connection was lost")
FAILED = OutcomeUnknown("the provider failed", answered=True)
EARLIER = OutcomeUnknown("an earlier attempt was lost")
TAKEN = Conflict("a member already")
REFUSED = PermissionDenied("not your number")

NOTHING, BLIND = Look.NOTHING, Look.FAILED
CALL = "what was found"

BLANK = Capabilities()
FINDS = Capabilities(reconcilable=frozenset({"create_call", "add_member"}))
KEY = Capabilities(idempotent=frozenset({"create_call", "play:call"}))
KEY_MINUTE = evolve(KEY, idempotency_window=MINUTE)
RATES = (
    RateClass(name="calls", limit=2, per=10 * SECOND, costs={"create_call": 1, "fetch": 1}),
    RateClass(name="all", limit=10, per=10 * SECOND, costs={"create_call": 1, "hang_up": 1}),
    RateClass(name="others", limit=1, per=MINUTE, costs={"play": 1}),
)
PACED = Capabilities(rates=RATES)


def jitter(least: float, part: float | None = None) -> Any:
    """A pause of at least so many seconds, with up to a quarter of it, or of a part of it, on top."""
    spread = (least if part is None else part) / 8
    return pytest.approx(least + spread, abs=spread + 1e-9)


def dial(**changes: Any) -> Tried:
    """A dial that was sent once; it rings somebody, so twice is not once."""
    return evolve(Tried(operation="create_call", key="k-1", attempt=1, failed=1), **changes)


def join(**changes: Any) -> Tried:
    """An ``add_member`` that was sent once; whoever is in twice is in."""
    return dial(operation="add_member", repeatable=True, **changes)


def again(least: float) -> SendAgain:
    return SendAgain(pause=jitter(least))


def turned_away(least: float, part: float | None = None) -> SendAgain:
    return SendAgain(pause=jitter(least, part), back_off=jitter(least, part))


Row = tuple[ProviderError, Tried, Capabilities, Decision]

RULES: dict[str, dict[str, Row]] = {
    "certainly not executed": {
        "once": (DOWN, dial(), BLANK, again(0.2)),
        "too early": (EARLY, join(), BLANK, again(0.2)),
        "twice": (DOWN, dial(failed=2), BLANK, again(0.4)),
        "four times": (DOWN, dial(failed=4), BLANK, again(1.6)),
        "five times": (DOWN, dial(failed=5), BLANK, Raise(error=DOWN)),
        "where all can be looked up": (DOWN, dial(), FINDS, again(0.2)),
    },
    "turned away for its rate": {
        "told how long": (LIMITED_4, dial(), PACED, turned_away(4.05, part=0.05)),
        "told to come at once": (LIMITED_PAST, dial(), PACED, turned_away(0.05)),
        "told to come after an age": (LIMITED_500, dial(), PACED, turned_away(30.05, part=0.05)),
        "not told": (LIMITED, dial(), BLANK, turned_away(1.0)),
        "not told, and in two classes": (LIMITED, dial(), PACED, turned_away(5.0)),
        "not told, and the class is a fast one": (LIMITED, dial(operation="hang_up"), PACED, turned_away(1.0)),
        "with every attempt failed": (LIMITED, dial(failed=5), BLANK, turned_away(1.0)),
        "for not yet two minutes": (LIMITED_4, dial(turned_away=115.9), BLANK, turned_away(4.05, part=0.05)),
        "for more than two minutes": (
            LIMITED_4,
            dial(turned_away=115.98),
            BLANK,
            Raise(error=LIMITED_4, back_off=jitter(4.05, part=0.05)),
        ),
    },
    "certainly refused": {
        "for good": (REFUSED, dial(), FINDS, Raise(error=REFUSED)),
        "though twice is once": (REFUSED, join(), KEY, Raise(error=REFUSED)),
        "as a conflict": (TAKEN, join(), FINDS, Raise(error=TAKEN)),
        "as one too many": (full := CapacityReached("full"), join(), FINDS, Raise(error=full)),
        "withdrawn": (gone := Withdrawn("withdrawn"), dial(attempt=0, failed=0), FINDS, Raise(error=gone)),
    },
    "unknown": {
        # looked up
        "not looked up": (LOST, dial(), FINDS, LookUp(pause=0.0)),
        "nothing shows": (LOST, dial(looks=(NOTHING,)), FINDS, LookUp(pause=0.5)),
        "nothing shows twice": (LOST, dial(looks=(NOTHING, NOTHING)), FINDS, LookUp(pause=2.0)),
        "nothing shows for good": (LOST, dial(looks=(NOTHING,) * 3), FINDS, Raise(error=LOST)),
        "looking up fails": (LOST, dial(looks=(BLIND,)), FINDS, LookUp(pause=0.5)),
        "it is found": (LOST, dial(looks=(NOTHING,), found=CALL), FINDS, Adopt(found=CALL)),
        "it could report itself": (LOST, dial(reports=True), BLANK, LookUp(pause=0.0)),
        "it has not reported itself": (LOST, dial(reports=True, looks=(NOTHING,) * 3), BLANK, Raise(error=LOST)),
        "the last of the attempts": (LOST, join(failed=5), FINDS, LookUp(pause=0.0)),
        "it cannot be looked up": (LOST, dial(), BLANK, Raise(error=LOST)),
        "this operation cannot be looked up": (LOST, dial(operation="play"), FINDS, Raise(error=LOST)),
        # a second execution harms nobody
        "twice is once": (LOST, join(), BLANK, again(0.2)),
        "twice is once, and nothing shows": (LOST, join(looks=(NOTHING,) * 3), FINDS, again(0.2)),
        "twice is once, for the fourth time": (LOST, join(failed=4), BLANK, again(1.6)),
        "twice is once, for the last time": (LOST, join(failed=5), BLANK, Raise(error=LOST)),
        # the provider declares it idempotent
        "under a key that is kept": (LOST, dial(elapsed=60 * MINUTE), KEY, again(0.2)),
        "within half of the key's window": (LOST, dial(elapsed=29.9 * SECOND), KEY_MINUTE, again(0.2)),
        "after half of the key's window": (LOST, dial(elapsed=30 * SECOND), KEY_MINUTE, Raise(error=LOST)),
        "under no key": (LOST, dial(operation="transfer"), KEY, Raise(error=LOST)),
        "under a key for this target": (LOST, dial(operation="play", about="play:call"), KEY, again(0.2)),
        "under a key for another": (LOST, dial(operation="play", about="play:member"), KEY, Raise(error=LOST)),
        "a window without a key": (LOST, dial(), Capabilities(idempotency_window=MINUTE), Raise(error=LOST)),
        # the provider had finished with the request and shows nothing of it
        "finished, not looked up": (FAILED, dial(), FINDS, LookUp(pause=0.0)),
        "finished, and nothing shows": (FAILED, dial(looks=(NOTHING,)), FINDS, again(0.2)),
        "finished, and looking up fails": (FAILED, dial(looks=(BLIND,)), FINDS, LookUp(pause=0.5)),
        "finished, and not always looked up": (FAILED, dial(looks=(BLIND, NOTHING)), FINDS, LookUp(pause=2.0)),
        "finished, never looked up": (FAILED, dial(looks=(BLIND,) * 3), FINDS, Raise(error=FAILED)),
        "finished, looked up in the end": (FAILED, dial(looks=(BLIND, BLIND, NOTHING)), FINDS, Raise(error=FAILED)),
        "finished, found in the end": (FAILED, dial(looks=(BLIND, BLIND), found=CALL), FINDS, Adopt(found=CALL)),
        "finished, for the last time": (FAILED, dial(looks=(NOTHING,), failed=5), FINDS, Raise(error=FAILED)),
        "finished, and cannot be looked up": (FAILED, dial(), BLANK, Raise(error=FAILED)),
        # a report may come late, so that there is none proves nothing
        "finished, without a report": (FAILED, dial(reports=True, looks=(NOTHING,)), BLANK, LookUp(pause=0.5)),
        "finished, no report comes": (FAILED, dial(reports=True, looks=(NOTHING,) * 3), BLANK, Raise(error=FAILED)),
    },
    "cut off in an earlier run": {
        "not looked up": (LOST, dial(attempt=0, failed=0), FINDS, LookUp(pause=0.0)),
        "found": (LOST, dial(attempt=0, failed=0, found=CALL), FINDS, Adopt(found=CALL)),
        "nothing shows": (LOST, dial(attempt=0, failed=0, looks=(NOTHING,) * 3), FINDS, Raise(error=LOST)),
        "twice is once": (LOST, join(attempt=0, failed=0), BLANK, SendAgain(pause=0.0)),
        "under a key that is kept": (LOST, dial(attempt=0, failed=0), KEY, SendAgain(pause=0.0)),
    },
    "refused as a ``Conflict`` after an attempt whose outcome is unknown": {
        "not looked up": (TAKEN, join(last_unknown=EARLIER), FINDS, LookUp(pause=0.0)),
        "looking up fails": (TAKEN, join(last_unknown=EARLIER, looks=(BLIND,)), FINDS, LookUp(pause=0.5)),
        "found": (TAKEN, join(last_unknown=EARLIER, found=CALL), FINDS, Adopt(found=CALL)),
        "nothing shows": (TAKEN, join(last_unknown=EARLIER, looks=(NOTHING,)), FINDS, Raise(error=EARLIER)),
        "cannot be looked up": (TAKEN, join(last_unknown=EARLIER), BLANK, Raise(error=EARLIER)),
    },
    "an attempt whose outcome is unknown is not forgotten over a later error": {
        "refused": (REFUSED, join(last_unknown=EARLIER), FINDS, Raise(error=EARLIER)),
        "not found": (NotFound("no such call"), join(last_unknown=EARLIER), FINDS, Raise(error=EARLIER)),
        "down to the end": (DOWN, join(last_unknown=EARLIER, failed=5), FINDS, Raise(error=EARLIER)),
        "down": (DOWN, join(last_unknown=EARLIER, failed=2), FINDS, again(0.4)),
        "turned away to the end": (
            LIMITED,
            join(last_unknown=EARLIER, turned_away=120.0),
            BLANK,
            Raise(error=EARLIER, back_off=jitter(1.0)),
        ),
    },
}


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=f"{rule}: {name}") for rule, rows in RULES.items() for name, row in rows.items()]
)
def test_the_rules(row: Row) -> None:
    error, tried, capabilities, decision = row
    assert decide(error, tried, capabilities) == decision


def test_every_rule_has_its_rows() -> None:
    assert re.findall(r"^\* (.*?)(?: \(|:)", executor.__doc__ or "", re.MULTILINE) == list(RULES)


def test_on_a_guess_nothing_is_sent_again() -> None:
    """Of all situations: what may have been executed, and rings somebody each time, where nothing makes it the same."""
    looks = [each for number in range(4) for each in itertools.product(Look, repeat=number)]
    sent = set()
    for error, capabilities, seen, failed, reports in itertools.product(
        (LOST, FAILED), (BLANK, FINDS), looks, range(6), (False, True)
    ):
        decision = decide(error, dial(looks=seen, failed=failed, reports=reports), capabilities)
        if isinstance(decision, SendAgain):
            sent.add((error, capabilities.reconcilable, set(seen) == {NOTHING}))
    assert sent == {(FAILED, FINDS.reconcilable, True)}


# --- what counts as tried


@pytest.mark.parametrize(
    ("error", "before", "attempt", "after"),
    [
        (DOWN, dial(attempt=0, failed=0), 1, dial()),
        (DOWN, dial(), 2, dial(attempt=2, failed=2)),
        (REFUSED, dial(), 2, dial(attempt=2, failed=2)),
        (LIMITED, dial(), 2, dial(attempt=2, failed=1)),
        (LOST, dial(), 2, dial(attempt=2, failed=2, last_unknown=LOST)),
        (LOST, dial(last_unknown=EARLIER), 2, dial(attempt=2, failed=2, last_unknown=LOST)),
        (LOST, dial(attempt=0, failed=0), 0, dial(attempt=0, failed=0, last_unknown=LOST)),
        (DOWN, dial(last_unknown=LOST, looks=(NOTHING,)), 2, dial(attempt=2, failed=2, last_unknown=LOST)),
        (LIMITED, dial(turned_away=3.0), 2, dial(attempt=2, failed=1, turned_away=3.0)),
    ],
)
def test_an_attempt_is_counted(error: ProviderError, before: Tried, attempt: int, after: Tried) -> None:
    assert before.after(error, attempt=attempt) == after


# --- jitter


def test_the_jitter_comes_from_the_intent_and_the_attempt() -> None:
    def pause(error: ProviderError, **changes: Any) -> float:
        decision = decide(error, evolve(dial(), **changes), BLANK)
        assert isinstance(decision, SendAgain)
        return decision.pause

    assert pause(DOWN) == pause(DOWN)
    assert pause(DOWN) != pause(DOWN, key="k-2")
    assert pause(DOWN, failed=2) != 2 * pause(DOWN)
    assert pause(LIMITED) == pause(LIMITED)
    assert pause(LIMITED) != pause(LIMITED, key="k-2")
    assert pause(LIMITED) != pause(LIMITED, attempt=2)


# --- reads

READS: dict[str, tuple[str, ProviderError, int, Decision]] = {
    "down": ("fetch", DOWN, 1, again(0.2)),
    "down for the fourth time": ("fetch", DOWN, 4, again(1.6)),
    "down for the fifth time": ("fetch", DOWN, 5, Raise(error=DOWN)),
    "refused": ("fetch", REFUSED, 1, Raise(error=REFUSED)),
    "malformed": ("list_calls", bad := InvalidRequest("what?"), 1, Raise(error=bad)),
    "lost": ("fetch", LOST, 2, again(0.4)),
    "nothing shows of a lost request": ("find", LOST, 1, Raise(error=LOST)),
    "a look-up is down": ("find", DOWN, 1, again(0.2)),
    "turned away": ("fetch", LIMITED, 1, turned_away(5.0)),
    "turned away, and told how long": ("fetch", LIMITED_4, 2, turned_away(4.05, part=0.05)),
    "turned away for the fifth time": ("fetch", LIMITED, 5, Raise(error=LIMITED)),
}


@pytest.mark.parametrize("name", READS)
def test_reads(name: str) -> None:
    operation, error, attempt, decision = READS[name]
    assert decide_read(operation, error, attempt, RATES) == decision


def test_the_jitter_of_a_read_comes_from_the_operation_and_the_attempt() -> None:
    def spread(error: ProviderError, operation: str, attempt: int, least: float) -> float:
        decision = decide_read(operation, error, attempt, ())
        assert isinstance(decision, SendAgain)
        return round(decision.pause / least, 6)

    for error, leasts in ((DOWN, (0.2, 0.4)), (LIMITED, (1.0, 1.0))):
        assert len({spread(error, name, n + 1, leasts[n]) for name in ("fetch", "list_calls") for n in (0, 1)}) == 4
