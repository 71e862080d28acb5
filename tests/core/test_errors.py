"""Errors go from process to process: a pool, a task queue, a crash report."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from confkit import Outcome, Participant, ParticipantState, Party
from confkit.models import errors
from confkit.models.errors import ConfkitError

ANN = Participant(
    id="leg-1", party=Party("+19195550101", name="Ann"), state=ParticipantState.ENDED, outcome=Outcome.BUSY
)
#: What each argument of an error's constructor may be.
VALUES: dict[str, Any] = {
    "message": "it went wrong",
    "reason": "no signature",
    "problems": ["this is missing", "that is unknown"],
    "provider": "bandwidth",
    "participants": [ANN],
    "left_behind": ["call c-1 may still be up"],
    "operation": "create_call",
    "code": "no-such-call",
    "status": 418,
    "raw": {"category": "not_found", "details": [{"name": "id"}]},
    "retry_after": timedelta(seconds=3),
    "answered": True,
    "capability": "play: text",
    "hint": "use another",
}
KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ConfkitError)]


def made(kind: type[ConfkitError]) -> ConfkitError:
    """An error with everything that it can hold."""
    if not inspect.isfunction(kind.__init__):  # it is Exception's own
        return kind("it went wrong")
    parameters = inspect.signature(kind).parameters.values()
    names = {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        names |= {"provider", "operation", "code", "status", "raw"}
    return kind(**{name: VALUES[name] for name in names})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "again",
    [
        *(lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol)) for protocol in range(2, 6)),
        copy.copy,
        copy.deepcopy,
    ],
    ids=[*(f"pickle-{protocol}" for protocol in range(2, 6)), "copy", "deepcopy"],
)
def test_an_error_survives(kind: type[ConfkitError], again: Callable[[ConfkitError], ConfkitError]) -> None:
    error = made(kind)
    if isinstance(error, errors.ProviderError):
        error.left_behind = ("call c-2 may still be up",)
    error.add_note("confkit could not undo something")
    other = again(error)
    assert other is not error
    assert type(other) is kind
    assert (str(other), repr(other), other.args) == (str(error), repr(error), error.args)
    assert vars(other) == vars(error)


def test_an_error_of_a_plugins_own_kind_survives_too() -> None:
    other = pickle.loads(pickle.dumps(OfAPlugin(7, extension="12")))
    assert (str(other), other.line, other.extension) == ("acme: line 7 is busy", 7, "12")


class OfAPlugin(errors.Conflict):
    def __init__(self, line: int, *, extension: str) -> None:
        super().__init__(f"line {line} is busy", provider="acme")
        self.line, self.extension = line, extension
