"""``confkit demo``: a real conference over HTTP, with a simulator of the provider in the same process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from confkit.cli.session import Wanted
from confkit.models.errors import ConfkitError, PluginError
from confkit.models.records import Party

if TYPE_CHECKING:
    from confkit_bandwidth.simulator import Running, Simulator

_NAMES: Final = (
    *("Ann", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo", "Ida", "Jon"),
    *("Kim", "Lea", "Max", "Nora", "Otis", "Pia", "Quinn", "Rosa", "Sam", "Tess"),
)
_KINDS: Final = ("conferences", "bridges", "calls")
_OVER: Final = ("completed", "rejected", "error")  # conferences.md, calls.md
#: Of the numbers that North America keeps for fiction (555-0100 to 555-0199).
_CALLER_ID: Final = "+12015550199"


def simulator() -> Simulator:
    """The simulator that the demo runs against, not started yet.

    Raises:
        PluginError: it is not installed.
    """
    try:
        from confkit_bandwidth.simulator import Simulator
    except ImportError as error:
        raise PluginError(
            f"the demo needs confkit-bandwidth[simulator] ({error.name} is missing): "
            "pip install 'confkit-bandwidth[simulator]'"
        ) from error
    return Simulator()


def wanted(running: Running, number: int) -> Wanted:
    """Script so many parties, who answer at different moments, and say how to reach them."""
    parties = [Party(f"+1919555{100 + index:04}", _name(index)) for index in range(number)]
    for index, party in enumerate(parties):
        running.party(party.address).answers(after=0.3 + 0.3 * (index * 3 % 5))
    return Wanted(
        provider="bandwidth",
        parties=tuple(parties),
        caller_id=_CALLER_ID,
        settings={
            "base_url": running.base_url,
            "user_id": running.user_id,
            "token": running.token,
            "secret": running.secret,
            # The documented limits, one request per second, would make five people wait for half a minute.
            "limits": "off",
        },
    )


def check_nothing_is_up(running: Running) -> str:
    """Look at the simulator after the meeting.

    Returns:
        What it holds, in a few words.

    Raises:
        ConfkitError: something is still up.
    """
    held: dict[str, list[dict[str, Any]]] = running.state()
    up = [each["id"] for kind in _KINDS for each in held[kind] if each["state"] not in _OVER]
    if up:
        raise ConfkitError(f"the simulator still has up: {', '.join(up)}")
    counts = [f"{len(held[kind])} {kind[: -1 if len(held[kind]) == 1 else None]}" for kind in _KINDS if held[kind]]
    return f"{', '.join(counts)}, all ended"


def _name(index: int) -> str | None:
    return _NAMES[index] if index < len(_NAMES) else None
