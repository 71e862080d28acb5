"""Pages of lists: ``page`` from 0, ``size`` 25 and at most 1000, a ``Link`` header for those who follow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, TypeVar
from urllib.parse import urlencode

from attrs import frozen

from confkit_bandwidth.simulator.account import Account
from confkit_bandwidth.simulator.fields import Fields

DEFAULT_SIZE: Final = 25
LARGEST_SIZE: Final = 1000
_T = TypeVar("_T")


@frozen(kw_only=True)
class Page(Generic[_T]):
    """A part of a list, and the URLs of the first and the next one by their ``rel``."""

    items: Sequence[_T]
    links: tuple[tuple[str, str], ...]


def page_of(account: Account, query: Fields, items: Sequence[_T], path: str) -> Page[_T]:
    """The page that a query asks for.

    Args:
        path: of the list; the links repeat the query, so that filters stay in force.
    """
    most = LARGEST_SIZE if account.switches.big_page == "refuse" else None
    size = min(query.whole("size", least=1, most=most) or DEFAULT_SIZE, LARGEST_SIZE)
    number = query.whole("page", least=0) or 0

    def link(page: int) -> str:
        return f"{account.base_url}{path}?{urlencode({**query.as_map(), 'page': page, 'size': size})}"

    links = [("first", link(0))]
    if (number + 1) * size < len(items):
        links.append(("next", link(number + 1)))
    return Page(items=items[number * size : (number + 1) * size], links=tuple(links))
