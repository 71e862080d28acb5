"""What replies say of the platform's limits reaches the core's rate limiter, from every hook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import aclosing, nullcontext, suppress
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from attrs import evolve
from confkit_fake import FakeProvider

from confkit import AsyncClient
from confkit.models.errors import InvalidRequest, ProviderError
from confkit.provider import Capabilities, ErrorTable, Http, Limit, RateClass, hookimpl, report_limit
from confkit.provider.telling import heard_by

pytestmark = pytest.mark.anyio
MINUTE = timedelta(minutes=1)


class Ear:
    """Hears what is told."""

    def __init__(self) -> None:
        self.limits: list[Limit] = []

    def limit(self, limit: Limit) -> None:
        self.limits.append(limit)

    def reply(self, *_: object) -> bool:
        return False


WIDE = RateClass(name="all", limit=1000, per=MINUTE, costs={"create_call": 1, "hang_up": 1, "fetch": 1})


class Telling(FakeProvider):
    """Says once, from within the operation that is named, that nothing is left for 20 seconds."""

    def __init__(self, operation: str) -> None:
        super().__init__()
        self.operation = operation

    @hookimpl
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities(), rates=(WIDE,))

    async def _tell(self, operation: str) -> None:
        if operation == self.operation:
            self.operation = ""
            await anyio.lowlevel.checkpoint()
            report_limit(Limit(remaining=0, resets_in=timedelta(seconds=20)))

    @hookimpl
    async def create_call(self, spec: Any, op: Any, into: Any) -> Any:
        await self._tell("create_call")
        return await super().create_call(spec=spec, op=op, into=into)

    @hookimpl
    async def hang_up(self) -> None:  # type: ignore[override]
        await self._tell("hang_up")
        raise InvalidRequest("not this one")

    @hookimpl
    async def fetch(self, ref: Any) -> Any:
        await self._tell("fetch")
        return await super().fetch(ref=ref)


@pytest.mark.virtual_time
@pytest.mark.parametrize("operation", ["create_call", "hang_up", "fetch", "none"])
async def test_a_report_from_within_a_hook_holds_the_next_request(operation: str) -> None:
    """A success, an error and a read."""
    async with AsyncClient(Telling(operation), caller_id="+12018994444") as client:
        began = anyio.current_time()
        dialled = await client.direct.create_call("+19195550101")
        if operation == "hang_up":
            with pytest.raises(InvalidRequest):
                await client.direct.hang_up(dialled.call)
        if operation == "fetch":
            await client.direct.fetch(dialled.call)
        assert anyio.current_time() == began
        await client.direct.create_call("+19195550102")
        assert anyio.current_time() - began == pytest.approx(0 if operation == "none" else 20)


async def test_outside_of_a_hook_a_report_does_nothing() -> None:
    ear = Ear()
    with heard_by(ear):
        report_limit(Limit(remaining=1, resets_in=MINUTE))
    report_limit(Limit(remaining=2, resets_in=MINUTE))
    assert [each.remaining for each in ear.limits] == [1]


def test_less_than_nothing_cannot_be_left() -> None:
    with pytest.raises(ValueError, match="remaining"):
        Limit(remaining=-1, resets_in=MINUTE)


def told(headers: Mapping[str, str]) -> Iterator[Limit]:
    seconds = timedelta(seconds=int(headers["x-reset"]))
    yield Limit(name="all", remaining=int(headers["x-left"]), resets_in=seconds)


@pytest.mark.parametrize("status", [200, 404, 429, 500])
@pytest.mark.parametrize(
    ("headers", "heard"),
    [
        ({"X-Left": "3", "X-Reset": "7"}, [Limit(name="all", remaining=3, resets_in=timedelta(seconds=7))]),
        ({}, []),
        ({"X-Left": "-1", "X-Reset": "7"}, []),
        ({"X-Left": "many", "X-Reset": "7"}, []),
    ],
)
async def test_every_reply_is_read_and_one_that_cannot_be_read_changes_nothing(
    status: int, headers: dict[str, str], heard: list[Limit]
) -> None:
    ear = Ear()
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json={}, headers=headers))
    http = Http("parrot", "http://127.0.0.1", auth="t", errors=ErrorTable(), limits=told, transport=transport)
    async with aclosing(http):
        with heard_by(ear), suppress(ProviderError) if status != 200 else nullcontext():
            await http.update("x", operation="play", body={}, timeout=MINUTE)
    assert ear.limits == heard
