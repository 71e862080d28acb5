"""A real engine, softphones, and a proxy between the provider and the engine."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import pytest
from confkit_asterisk.server import Engine, Installation
from confkit_asterisk.softphone import Phone, Phones, hearing

import confkit
from plugins.asterisk.tests.media.loopback import Proxy, before, clear

CALLER_ID = "+12015550199"
Connect = Callable[..., AbstractAsyncContextManager[confkit.AsyncClient]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.media)


@pytest.fixture(autouse=True)
async def in_time(anyio_backend: object) -> AsyncIterator[None]:
    """What waits for something that never comes fails, and does not hang."""
    del anyio_backend  # named, so that the tests run on both event loops
    with anyio.fail_after(60):
        yield


@pytest.fixture(scope="session")
def engine(installation: Installation) -> Iterator[Engine]:
    with Engine(installation) as running:
        yield running


@pytest.fixture
async def phones() -> AsyncIterator[Phones]:
    async with Phones() as connected:
        yield connected


@pytest.fixture
def connect(engine: Engine, phones: Phones) -> Connect:
    """Opens clients of the engine; afterwards nothing may be up there."""

    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[confkit.AsyncClient]:
        given = engine.settings(numbers_at=phones.port) | settings
        try:
            async with confkit.AsyncClient("asterisk", caller_id=CALLER_ID, **given) as client:
                yield client
            await phones.until(lambda: not up(engine), describe=lambda: up(engine))
        finally:
            clear(engine)  # one test that fails must not fail the next

    return opened


def up(engine: Engine) -> list[str]:
    """What is up at the engine."""
    return [f"{kind} {each['id']}" for kind in ("channels", "bridges") for each in engine.get(kind)]


@pytest.fixture
def hear(phones: Phones) -> Callable[..., Awaitable[None]]:
    """Waits until each phone hears exactly whom it should."""

    async def expect(group: Iterable[Phone], *, muted: Iterable[Phone] = (), deaf: Iterable[Phone] = ()) -> None:
        group, silent, closed = list(group), {each.user for each in muted}, {each.user for each in deaf}
        names = {each.user for each in group}
        want = {each.user: set() if each.user in closed else names - silent - {each.user} for each in group}
        await phones.until(lambda: hearing(group) == want, describe=lambda: {"heard": hearing(group), "not": want})

    return expect


@pytest.fixture
async def proxy(engine: Engine) -> AsyncIterator[Proxy]:
    async with before(engine) as made:
        yield made
