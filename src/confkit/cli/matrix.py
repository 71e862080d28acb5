"""``confkit providers``: what is installed, and what each can do; no account is needed to look."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from rich.table import Column, Table
from rich.text import Text

from confkit.models.errors import ConfkitError, SettingsError
from confkit.models.text import one_line
from confkit.provider.discovery import default_capabilities, installed, open_provider

_RATES = "rates"


@frozen(kw_only=True)
class Listed:
    """One installed provider.

    Args:
        capabilities: as ``Capabilities.rows()``; ``None`` where they cannot be known.
        problems: what stands against using it now.
    """

    name: str
    distribution: str
    capabilities: dict[str, Any] | None = None
    problems: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the JSON."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "ready": not self.problems,
            "problems": list(self.problems),
            "capabilities": self.capabilities,
        }


def providers() -> list[Listed]:
    """Every installed provider, with the capabilities that its settings give it, else those it has by default."""
    found = []
    for name, points in installed().items():
        homes = sorted({f"{point.dist.name} {point.dist.version}" if point.dist else point.value for point in points})
        found.append(_look_at(name, " and ".join(homes)))
    return found


def _look_at(name: str, distribution: str) -> Listed:
    try:
        _, manager = open_provider(name, {})
        rows = manager.hook.capabilities().rows()
    except SettingsError as error:
        capabilities = default_capabilities(name)
        rows = capabilities.rows() if capabilities else None
        return Listed(name=name, distribution=distribution, capabilities=rows, problems=error.problems)
    except ConfkitError as error:
        return Listed(name=name, distribution=distribution, problems=(str(error),))
    return Listed(name=name, distribution=distribution, capabilities=rows)


def matrix(found: list[Listed]) -> Table:
    """A column for each provider, a row for each capability but the rate limits."""
    table = Table(
        Column(max_width=18, style="dim"),
        *(Column(Text(each.name, style="bold"), max_width=40, overflow="fold") for each in found),
        box=None,
        padding=(0, 2, 0, 0),
    )
    table.add_row("distribution", *(Text(one_line(each.distribution), style="dim") for each in found))
    table.add_row("ready", *(_ready(each) for each in found))
    table.add_section()
    labels = dict.fromkeys(label for each in found for label in each.capabilities or () if label != _RATES)
    for label in labels:
        table.add_row(label, *(_cell((each.capabilities or {}).get(label)) for each in found))
    return table


def rates(found: list[Listed]) -> Table | None:
    """The rate limits, a line for each; ``None`` where there are none."""
    table = Table(
        Column(no_wrap=True, style="bold"), Column(), Column(), box=None, padding=(0, 2, 0, 0), show_header=False
    )
    for each in found:
        for number, rate in enumerate((each.capabilities or {}).get(_RATES, ())):
            name, _, limit = rate.partition(": ")
            table.add_row("" if number else each.name, name, limit.removesuffix(" (account)"))
    return table if table.row_count else None


def _ready(listed: Listed) -> Text:
    return Text("needs settings", style="yellow") if listed.problems else Text("✓", style="green")


def _cell(value: Any) -> Text:
    match value:
        case True:
            return Text("✓", style="green")
        case None | False | [] | "none":
            return Text("–", style="dim")
        case list():
            return Text(one_line(", ".join(value)))
    return Text(one_line(str(value)))
