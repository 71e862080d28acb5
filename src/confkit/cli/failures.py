"""Errors at the command line: one line on stderr, one object in the JSON, one exit status."""

from __future__ import annotations

import re
import sys
import traceback
from typing import Any

from confkit.models.addresses import masked
from confkit.models.errors import ConfkitError, PluginError, PolicyError
from confkit.models.text import one_line

REFUSED = 2  # nothing was sent: the policy, a plugin or a setting stood against it
FAILED = 1
_NUMBER = re.compile(r"\+?[0-9]{8,15}")


def status_of(error: BaseException) -> int:
    """The exit status for an error."""
    return REFUSED if isinstance(error, PolicyError | PluginError) else FAILED


def the_one(error: BaseException) -> BaseException:
    """The error itself, out of the groups that task groups have wrapped around it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def sentence(error: BaseException) -> str:
    """What to tell about an error, in one line."""
    text = one_line(str(error))
    if isinstance(error, ConfkitError):
        return one_line(" ".join([text, *getattr(error, "__notes__", ())]))
    text = _NUMBER.sub(lambda found: masked(found[0]), text)
    return f"internal error: {type(error).__name__}: {text}".rstrip(": ")


def as_dict(error: BaseException) -> dict[str, Any]:
    """An error as an object of the JSON."""
    return {"type": type(error).__name__, "message": sentence(error)}


def complain(message: str) -> None:
    """Write one line to stderr."""
    print(f"confkit: {one_line(message)}", file=sys.stderr)


def explain(error: BaseException, *, debug: bool) -> int:
    """Say what went wrong, and give the exit status."""
    error = the_one(error)
    if debug:
        traceback.print_exception(error)
    hint = "" if debug or isinstance(error, ConfkitError) else ", run again with --debug"
    complain(sentence(error) + hint)
    return status_of(error)
