"""What follows an attempt that ended with an error: a pure function of the error, of what has been tried, and of what
the provider declares. Nothing here waits, sends or looks; :mod:`confkit.steps.executor` has the rules in words.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from attrs import evolve, frozen

from confkit.models.capabilities import Capabilities, RateClass
from confkit.models.errors import Conflict, OutcomeUnknown, ProviderError, RateLimited

#: How often a request is sent that was certainly not executed.
ATTEMPTS = 5
#: Seconds in which one step may be turned away for its rate before the error stands.
PATIENCE = 120.0
#: The pauses before the look-ups of a request whose outcome is unknown, in seconds.
LOOKUPS = (0.0, 0.5, 2.0)


class Look(enum.Enum):
    """What came of a look-up that found nothing to adopt."""

    NOTHING = "nothing"
    FAILED = "failed"  # it could not be made, so it says nothing


@frozen(kw_only=True)
class Tried:
    """What has been tried for one step.

    Args:
        about: the operation with what it is about, such as ``play:conference``.
        key: the intent's key, from which the jitter of the pauses comes.
        repeatable: executing it twice is the same as once.
        reports: what it makes reports itself to an address that only this step was given.
        attempt: the number of the last attempt; 0 for one of an earlier run.
        failed: attempts of this run that failed, without those that were turned away for the rate.
        turned_away: seconds of pauses after being turned away for the rate.
        elapsed: since the step began.
        last_unknown: the error of the last attempt that may have been executed, if there is one.
        looks: the look-ups since the last attempt, none of which found anything.
        found: what the last look-up found.
    """

    operation: str
    about: str = ""
    key: str = ""
    repeatable: bool = False
    reports: bool = False
    attempt: int = 0
    failed: int = 0
    turned_away: float = 0.0
    elapsed: timedelta = timedelta(0)
    last_unknown: OutcomeUnknown | None = None
    looks: tuple[Look, ...] = ()
    found: Any = None

    def after(self, error: ProviderError, *, attempt: int) -> Tried:
        """With an attempt that ended with this error. One of an earlier run (0) takes none of this run's attempts."""
        counts = attempt > 0 and not isinstance(error, RateLimited)
        return evolve(
            self,
            attempt=attempt,
            failed=self.failed + counts,
            last_unknown=error if isinstance(error, OutcomeUnknown) else self.last_unknown,
            looks=(),
        )


@frozen(kw_only=True)
class Raise:
    """This error stands.

    Args:
        back_off: seconds in which nothing else of the request's rate classes is to be sent either.
    """

    error: ProviderError
    back_off: float = 0.0


@frozen(kw_only=True)
class SendAgain:
    """Send the request again.

    Args:
        pause: seconds before it.
        back_off: seconds in which nothing else of the request's rate classes is to be sent either.
    """

    pause: float
    back_off: float = 0.0


@frozen(kw_only=True)
class LookUp:
    """Look up what the request did.

    Args:
        pause: seconds before it.
    """

    pause: float


@frozen(kw_only=True)
class Adopt:
    """The request was executed: what was found is its result."""

    found: Any


Decision = Raise | SendAgain | LookUp | Adopt


def decide(error: ProviderError, tried: Tried, capabilities: Capabilities) -> Decision:
    """What to do after an attempt.

    Args:
        error: what the attempt ended with.
        tried: what has been tried, this attempt included.
        capabilities: what the provider declares.
    """
    if tried.found is not None:
        return Adopt(found=tried.found)
    if (pause := _next_look(error, tried, capabilities)) is not None:
        return LookUp(pause=pause)
    match error:
        case RateLimited():
            pause = _told_pause(error, tried.operation, capabilities.rates, _spread(tried.key, tried.attempt))
            if tried.turned_away + pause > PATIENCE:
                return Raise(error=_standing(error, tried), back_off=pause)
            return SendAgain(pause=pause, back_off=pause)
        case OutcomeUnknown():
            again = _is_safe(error, tried, capabilities)
        case _:
            again = error.retryable
    if again and tried.failed < ATTEMPTS:
        return SendAgain(pause=_doubling(tried.failed, tried.key))
    return Raise(error=_standing(error, tried))


def decide_read(operation: str, error: ProviderError, attempt: int, rates: Iterable[RateClass]) -> SendAgain | Raise:
    """What to do after an attempt to read: it harms nobody, so it has its attempts whatever became of them.

    That nothing of a lost request shows, which proves nothing, is an answer; any other read is sent again.
    """
    again = error.retryable or (isinstance(error, OutcomeUnknown) and operation != "find")
    if not again or attempt >= ATTEMPTS:
        return Raise(error=error)
    if isinstance(error, RateLimited):
        pause = _told_pause(error, operation, rates, _spread(operation, attempt))
        return SendAgain(pause=pause, back_off=pause)
    return SendAgain(pause=_doubling(attempt, operation))


def _next_look(error: ProviderError, tried: Tried, capabilities: Capabilities) -> float | None:
    """The pause before the next look-up, or ``None`` when there is none to be made."""
    finds = tried.operation in capabilities.reconcilable
    refused = isinstance(error, Conflict) and tried.last_unknown is not None
    if not (finds or tried.reports) or not (refused or isinstance(error, OutcomeUnknown)):
        return None
    # Who had finished with the request, and shows that it has not executed it, is not asked again.
    finished = refused or (isinstance(error, OutcomeUnknown) and error.answered)
    if (finds and finished and set(tried.looks) == {Look.NOTHING}) or len(tried.looks) == len(LOOKUPS):
        return None
    return LOOKUPS[len(tried.looks)]


def _is_safe(error: OutcomeUnknown, tried: Tried, capabilities: Capabilities) -> bool:
    """Whether a second execution harms nobody, is the same one, or certainly is the first."""
    if tried.repeatable:
        return True
    window = capabilities.idempotency_window
    same = not capabilities.idempotent.isdisjoint((tried.operation, tried.about))
    if same and (window is None or tried.elapsed < window / 2):
        return True
    # Not having been able to look is not having found nothing.
    return error.answered and tried.operation in capabilities.reconcilable and Look.FAILED not in tried.looks


def _standing(error: ProviderError, tried: Tried) -> ProviderError:
    """The error that is told: an attempt that may have been executed is not forgotten over one that was not."""
    return tried.last_unknown or error


def _told_pause(error: RateLimited, operation: str, rates: Iterable[RateClass], spread: float) -> float:
    """Seconds that the provider asks for, half a minute at most; else the longest average distance in a class."""
    if error.retry_after is not None:
        return min(max(error.retry_after.total_seconds(), 0.0), 30.0) + 0.05 * spread
    spacings = [(rate.per / rate.limit).total_seconds() for rate in rates if operation in rate.costs]
    return max([1.0, *spacings]) * spread


def _doubling(failed: int, key: str) -> float:
    """Seconds after so many failures; none where an earlier run's is the only one."""
    return float(0.2 * 2 ** (failed - 1)) * _spread(key, failed) if failed else 0.0


def _spread(key: str, number: int) -> float:
    """The jitter. It comes from the intent's key, so that a run can be repeated exactly."""
    return random.Random(f"{key} {number}").uniform(1.0, 1.25)
