"""Errors: one test for each portable error that a platform can be brought to."""

from __future__ import annotations

import pytest

from confkit.models.errors import OutcomeUnknown, ProviderError, Unavailable
from confkit.models.records import Call, Conference
from confkit.testing.conformance import rules
from confkit.testing.conformance.area import RuleGroup
from confkit.testing.conformance.fixture import Fixture, on_fixture
from confkit.testing.conformance.harness import Fault, Harness
from confkit.testing.conformance.rules import check
from confkit.testing.conformance.subject import where

_happens = where(lambda on, fault: fault not in on.harness.lacks)

#: The whole platform is out of reach, so there is no conference to dial into either.
_NOTHING_WORKS = (Fault.UNREACHABLE, Fault.BAD_CREDENTIALS)
_NO_ANSWER = (Fault.UNREACHABLE, Fault.LOST_REPLY, Fault.GARBLED)
_EXECUTED = (Fault.LOST_REPLY, Fault.GARBLED)
_NOT_EXECUTED = (
    Fault.UNREACHABLE,
    Fault.RATE_LIMITED,
    Fault.FORBIDDEN,
    Fault.BAD_CREDENTIALS,
    Fault.NO_FUNDS,
)


async def place_for_a_call(fixture: Fixture, fault: Fault) -> Conference:
    """A conference to dial into."""
    if fault not in _NOTHING_WORKS:
        return await fixture.conference()
    name = fixture.client.provider_name
    return Conference(provider=name, key=fixture.op().key, id=fixture.harness.missing("conference"))


async def failed_dial(fixture: Fixture, fault: Fault, to: str) -> ProviderError:
    """The error of a dial that runs into a fault."""
    into = await place_for_a_call(fixture, fault)
    return await fixture.refused(fault.error, "create_call", spec=fixture.spec(to), into=into)


class ErrorRules(RuleGroup):
    """See ``docs/contract.md#errors``."""

    @_happens
    @pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.value)
    async def test_error(self, harness: Harness, fault: Fault) -> None:
        async with on_fixture(harness, fault, "create_call") as fixture:
            to = fixture.party()
            error = await failed_dial(fixture, fault, to)
            if fault in _EXECUTED:
                check(harness.rings(to) == 1, rules.MEANING, f"the phone rang {harness.rings(to)} times")
            elif fault in _NOT_EXECUTED:
                check(harness.rings(to) == 0, rules.MEANING, f"{type(error).__name__} was raised and the phone rang")
            if fault is Fault.LOST_REPLY and isinstance(error, OutcomeUnknown):
                check(not error.answered, rules.MEANING, "OutcomeUnknown.answered is set, and nobody answered")

    @_happens
    @pytest.mark.parametrize("fault", [each for each in Fault if each not in _NO_ANSWER], ids=lambda fault: fault.value)
    async def test_an_error_keeps_its_context(self, harness: Harness, fault: Fault) -> None:
        async with on_fixture(harness, fault, "create_call") as fixture:
            try:
                into = await place_for_a_call(fixture, fault)
                await fixture.attempt("create_call", spec=fixture.spec(fixture.party()), into=into)
            except ProviderError as error:
                check(error.code or error.status or error.raw, rules.CONTEXT, "it has none of them")

    @_happens
    @pytest.mark.parametrize(
        "fault", [Fault.UNREACHABLE, Fault.LOST_REPLY, Fault.SERVER_ERROR], ids=lambda fault: fault.value
    )
    async def test_a_read_leaves_nothing_unknown(self, harness: Harness, fault: Fault) -> None:
        async with on_fixture(harness, fault, "fetch") as fixture:
            call = Call(provider=fixture.client.provider_name, id=harness.missing("call"))
            if fault not in _NOTHING_WORKS:
                _, call = await fixture.ring()
            await fixture.refused(Unavailable, "fetch", ref=call)
