"""Errors: one test for each portable error that a platform can be brought to."""

from __future__ import annotations

import pytest

from confkit.models.errors import OutcomeUnknown, ProviderError, Unavailable
from confkit.models.records import Call, Conference
from confkit.testing.conformance import rules
from confkit.testing.conformance.area import Area
from confkit.testing.conformance.bench import Bench, on_bench
from confkit.testing.conformance.harness import Harness, Trouble
from confkit.testing.conformance.rules import check
from confkit.testing.conformance.subject import where

_happens = where(lambda on, trouble: trouble not in on.harness.lacks)

#: The whole platform is out of reach, so there is no conference to dial into either.
_NOTHING_WORKS = (Trouble.UNREACHABLE, Trouble.BAD_CREDENTIALS)
_NO_ANSWER = (Trouble.UNREACHABLE, Trouble.LOST_REPLY, Trouble.GARBLED)
_EXECUTED = (Trouble.LOST_REPLY, Trouble.GARBLED)
_NOT_EXECUTED = (
    Trouble.UNREACHABLE,
    Trouble.RATE_LIMITED,
    Trouble.FORBIDDEN,
    Trouble.BAD_CREDENTIALS,
    Trouble.NO_FUNDS,
)


async def place_for_a_call(bench: Bench, trouble: Trouble) -> Conference:
    """A conference to dial into."""
    if trouble not in _NOTHING_WORKS:
        return await bench.conference()
    name = bench.client.provider_name
    return Conference(provider=name, key=bench.op().key, id=bench.harness.missing("conference"))


async def troubled(bench: Bench, trouble: Trouble, to: str) -> ProviderError:
    """The error of a dial that runs into trouble."""
    into = await place_for_a_call(bench, trouble)
    return await bench.refused(trouble.error, "create_call", spec=bench.spec(to), into=into)


class ErrorRules(Area):
    """See ``docs/contract.md#errors``."""

    @_happens
    @pytest.mark.parametrize("trouble", Trouble, ids=lambda trouble: trouble.value)
    async def test_error(self, harness: Harness, trouble: Trouble) -> None:
        async with on_bench(harness, trouble, "create_call") as bench:
            to = bench.party()
            error = await troubled(bench, trouble, to)
            if trouble in _EXECUTED:
                check(harness.rings(to) == 1, rules.MEANING, f"the phone rang {harness.rings(to)} times")
            elif trouble in _NOT_EXECUTED:
                check(harness.rings(to) == 0, rules.MEANING, f"{type(error).__name__} was raised and the phone rang")
            if trouble is Trouble.LOST_REPLY and isinstance(error, OutcomeUnknown):
                check(not error.answered, rules.MEANING, "OutcomeUnknown.answered is set, and nobody answered")

    @_happens
    @pytest.mark.parametrize(
        "trouble", [each for each in Trouble if each not in _NO_ANSWER], ids=lambda trouble: trouble.value
    )
    async def test_an_error_keeps_its_context(self, harness: Harness, trouble: Trouble) -> None:
        async with on_bench(harness, trouble, "create_call") as bench:
            try:
                into = await place_for_a_call(bench, trouble)
                await bench.attempt("create_call", spec=bench.spec(bench.party()), into=into)
            except ProviderError as error:
                check(error.code or error.status or error.raw, rules.CONTEXT, "it has none of them")

    @_happens
    @pytest.mark.parametrize(
        "trouble", [Trouble.UNREACHABLE, Trouble.LOST_REPLY, Trouble.SERVER_ERROR], ids=lambda trouble: trouble.value
    )
    async def test_a_read_leaves_nothing_unknown(self, harness: Harness, trouble: Trouble) -> None:
        async with on_bench(harness, trouble, "fetch") as bench:
            call = Call(provider=bench.client.provider_name, id=harness.missing("call"))
            if trouble not in _NOTHING_WORKS:
                _, call = await bench.ring()
            await bench.refused(Unavailable, "fetch", ref=call)
