"""Every operation is told where to report: to the workflow whose step it is."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from confkit_fake import FakeProvider

from confkit import AsyncClient
from confkit.provider import Bridging, EventSource, Op, Received, WebhookRequest, hookimpl
from confkit.steps.operations import OPERATIONS

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

CALLER_ID = "+12018994444"
ANN, BOB, CARA, DORA = (f"+1919555010{number}" for number in (1, 2, 3, 4))
PUBLIC_URL = "https://us.example/hooks"


class Reporting(FakeProvider):
    """A fake that reports by webhooks too."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        sources = self._capabilities.events | {EventSource.WEBHOOK}
        self._capabilities = evolve(self._capabilities, events=sources)

    @hookimpl
    async def receive(self, request: WebhookRequest) -> Received:  # noqa: ARG002 - nobody posts here
        return Received()


class Overheard:
    """A plugin beside the provider that keeps the operations, and where each was told to report."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str | None]] = []
        for operation in OPERATIONS:
            setattr(self, operation, hookimpl(tryfirst=True)(self._listening(operation)))

    def _listening(self, operation: str) -> Any:
        def hook(op: Op) -> None:
            self.told.append((operation, op.callback_url))
            assert "us.example" not in repr(op)

        return hook


def client(fake: FakeProvider, plugin: Overheard, public_url: str | None = PUBLIC_URL) -> AsyncClient:
    return AsyncClient(fake, caller_id=CALLER_ID, plugins=[plugin], public_url=public_url)


def ends(told: list[tuple[str, str | None]], meeting: str) -> set[tuple[str, str]]:
    """The operations, with what follows the meeting's id in their URLs."""
    found = set()
    for operation, url in told:
        assert url is not None, operation
        assert url.startswith(f"{PUBLIC_URL}/"), operation
        start, _, end = url.partition(f"/{meeting}")
        assert len(start) == len(f"{PUBLIC_URL}/") + 22, operation  # the token
        found.add((operation, end))
    return found


async def test_the_steps_of_a_conference_and_of_its_legs() -> None:
    plugin = Overheard()
    async with client(Reporting(), plugin) as opened, opened.connect(ANN, BOB, CARA) as meeting:
        await meeting.add(DORA)
        await meeting.mute(ANN)
        await meeting.say("hello")
        await meeting.say("hello", to=BOB)
        await meeting.remove(DORA)
    legs = [f"/leg-{number}" for number in (1, 2, 3, 4)]
    assert ends(plugin.told, meeting.id) == {
        ("create_conference", ""),
        *(("create_call", leg) for leg in legs),
        *(("add_member", leg) for leg in legs),
        *(("hang_up", leg) for leg in legs),
        ("update_member", "/leg-1"),
        ("play", ""),
        ("play", "/leg-2"),
        ("end_conference", ""),
    }


async def test_the_steps_of_a_bridge() -> None:
    plugin = Overheard()
    async with (
        client(Reporting(bridge=Bridging.FIRST), plugin) as opened,
        opened.connect(ANN, BOB) as meeting,
    ):
        pass
    assert ends(plugin.told, meeting.id) == {
        ("create_bridge", ""),
        *((operation, f"/leg-{number}") for operation in ("create_call", "hang_up") for number in (1, 2)),
        ("end_bridge", ""),
    }


async def test_by_hand_nobody_listens() -> None:
    plugin = Overheard()
    async with client(Reporting(), plugin) as opened:
        conference = await opened.direct.create_conference()
        dialled = await opened.direct.create_call(ANN, into=conference)
        await opened.direct.join(dialled, conference)
        await opened.direct.end_conference(conference)
    assert {url for _, url in plugin.told} == {None}


@pytest.mark.parametrize("listens", [False, True])
async def test_where_nobody_listens_or_the_platform_reports_in_another_way(listens: bool) -> None:
    plugin = Overheard()
    fake = FakeProvider() if listens else Reporting()
    async with (
        client(fake, plugin, PUBLIC_URL if listens else None) as opened,
        opened.connect(ANN, BOB, CARA),
    ):
        pass
    assert {url for _, url in plugin.told} == {None}
