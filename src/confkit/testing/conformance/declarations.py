"""What a provider declares against what it implements."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from attrs import asdict

from confkit.models.capabilities import BridgeEnds, Bridging, Capabilities, EventSource
from confkit.models.errors import ProviderError, Unsupported
from confkit.models.records import Conference, JoinMethod, Member, RecordAction
from confkit.provider.contract import ProviderSpec
from confkit.testing.conformance import rules
from confkit.testing.conformance.area import RuleGroup
from confkit.testing.conformance.fixture import on_fixture
from confkit.testing.conformance.harness import ALWAYS, Harness
from confkit.testing.conformance.intents import INTENTS, MADE
from confkit.testing.conformance.rules import broken, check
from confkit.testing.conformance.subject import OPERATIONS, subject_of

#: Hook, whether the declaration asks for it, and whether having it asks for the declaration.
_PAIRS: Mapping[str, tuple[Callable[[Capabilities], bool], bool]] = {
    "add_member": (lambda can: can.join_method is JoinMethod.EXPLICIT, False),
    "update_member": (lambda can: bool(can.member), True),
    "create_bridge": (lambda can: can.bridging is not Bridging.NONE, True),
    "end_bridge": (lambda can: can.bridging is not Bridging.NONE and can.bridge_ends is BridgeEnds.BY_REQUEST, True),
    "play": (lambda can: bool(can.play), True),
    "record": (lambda can: bool(can.record), True),
    "find": (lambda can: bool(can.reconcilable), True),
    "receive": (lambda can: EventSource.WEBHOOK in can.events, True),
    "events": (lambda can: EventSource.STREAM in can.events, True),
    "answer_call": (lambda can: bool(can.answers_into), False),
}
_WORDS = {
    "member": {"mute", "hold", "deaf", "coach"},
    "play": {"conference", "member", "call", "bridge", "url", "text", "loop", "stop"},
    "record": {"conference", "call", "bridge", "pause"},
    "answers_into": {"conference", "bridge"},
}


class DeclarationRules(RuleGroup):
    """See ``docs/contract.md#capabilities``."""

    @pytest.mark.parametrize("operation", _PAIRS)
    async def test_declared_and_implemented(self, harness: Harness, operation: str) -> None:
        async with on_fixture(harness) as fixture:
            asked, both_ways = _PAIRS[operation]
            declared, implemented = asked(fixture.capabilities), fixture.implements(operation)
            check(implemented or not declared, rules.DECLARED, f"{operation} is declared and not implemented")
            if both_ways:
                check(declared or not implemented, rules.DECLARED, f"{operation} is implemented and not declared")

    async def test_capabilities_are_pure(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            first, second = fixture.hook.capabilities(), fixture.hook.capabilities()
            check(first == second, rules.PURE, "two in a row differ")

    async def test_the_tests_were_chosen_for_this_provider(self, harness: Harness) -> None:
        """What the tests were chosen by is what is tested: no harness can declare its provider's duties away."""
        async with on_fixture(harness) as fixture:
            subject = subject_of(self.harness_class)
            declared = f"{self.harness_class.__name__}.declared"
            check(
                isinstance(harness, self.harness_class), rules.CHOSEN, f"the fixture gives a {type(harness).__name__}"
            )
            differing = [
                name for name, value in asdict(subject.can).items() if value != asdict(fixture.capabilities)[name]
            ]
            differing += sorted(name for name in OPERATIONS if subject.has(name) is not fixture.implements(name))
            check(not differing, rules.CHOSEN, f"{declared} gives one that differs in {', '.join(differing)}")
            wrong = [fault.value for fault in ALWAYS & harness.lacks]
            check(not wrong, rules.CHOSEN, f"its harness excepts {' and '.join(sorted(wrong))}")

    async def test_capabilities_make_sense(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            for name, known in _WORDS.items():
                unknown = sorted(getattr(fixture.capabilities, name) - known)
                check(not unknown, rules.DECLARED, f"{name} has no {', '.join(unknown)}")
            impossible = sorted(each for each in fixture.capabilities.reconcilable if not self._makes_something(each))
            check(not impossible, rules.DECLARED, f"finds has {', '.join(impossible)}, which makes nothing here")
            self._rates(fixture.capabilities)
            self._bridges(fixture.capabilities)
            self._urls(fixture.capabilities)
            compound = {name.partition(":")[0] for name in fixture.capabilities.compound}
            strange = sorted(compound - {each.partition(":")[0] for each in INTENTS})
            check(not strange, rules.DECLARED, f"compound has {', '.join(strange)}, which changes nothing")
            check("create_call" not in compound, rules.ONE_REQUEST, "it declares create_call as compound")
            window = fixture.capabilities.idempotency_window
            stray = window is not None and not fixture.capabilities.idempotent
            check(not stray, rules.DECLARED, "idempotency_window is there, and no operation is idempotent")
            for name in sorted(fixture.capabilities.idempotent):
                there = any(name in (each, each.partition(":")[0]) and self._can(each) for each in INTENTS)
                check(there, rules.DECLARED, f"idempotent has {name}, which is not there")

    def _can(self, operation: str) -> bool:
        return subject_of(self.harness_class).can_ask_for(operation)

    def _makes_something(self, operation: str) -> bool:
        return operation in MADE and subject_of(self.harness_class).can_do(operation)

    def _urls(self, can: Capabilities) -> None:
        has = EventSource.WEBHOOK in can.events
        check(has or not can.needs_webhooks, rules.NEEDS_URL, "webhooks are needed, and there are none")
        operations = {name.partition(":")[0] for name in can.needs_public_url_for}
        strange = sorted(name for name in operations if not subject_of(self.harness_class).has(name))
        check(not strange, rules.NEEDS_URL, f"there is no {', '.join(strange)}")

    def _bridges(self, can: Capabilities) -> None:
        if can.bridge_ends is BridgeEnds.WITH_ITS_CALLS:
            check(can.bridging is not Bridging.FIRST, rules.DECLARED, "an empty bridge could not be ended")
            check(not can.bridge_to_conference, rules.DECLARED, "calls that cannot be parted could be moved one by one")

    def _rates(self, capabilities: Capabilities) -> None:
        names = [rate.name for rate in capabilities.rates]
        check(len(set(names)) == len(names), rules.RATES, "two have one name")
        for rate in capabilities.rates:
            strange = sorted(each for each in rate.costs if not hasattr(ProviderSpec, each.partition(":")[0]))
            check(not strange, rules.RATES, f"{rate.name} has costs of {', '.join(strange)}")
            spans = rate.concurrent or rate.per.total_seconds() > 0
            check(rate.limit > 0 and spans, rules.RATES, f"{rate.name} has none")

    async def test_what_is_not_declared_is_refused(self, harness: Harness) -> None:
        """The core refuses by the declarations alone, before anything is sent."""
        async with on_fixture(harness) as fixture:
            name, can = fixture.client.provider_name, fixture.capabilities
            conference = Conference(provider=name, key="c-1", id=harness.missing("conference"))
            member = Member(provider=name, id=harness.missing("member"), call_id="c", conference=conference)
            before = harness.mutations()
            attempts: list[Awaitable[object]] = []
            if can.bridging is Bridging.NONE:
                attempts.append(fixture.client.direct.create_bridge())
            for flag in sorted(_WORDS["member"] - can.member):
                change: dict[str, Any] = {flag: "c" if flag == "coach" else True}
                attempts.append(fixture.client.direct.update_member(member, **change))
            if "conference" not in can.play:
                attempts.append(fixture.client.direct.say(conference, "Welcome"))
            if "conference" not in can.record:
                attempts.append(fixture.client.direct.record(conference, RecordAction.START))
            for attempt in attempts:
                try:
                    await attempt
                except Unsupported:
                    continue
                except ProviderError as error:
                    raise broken(rules.UNDECLARED, f"it got as far as {type(error).__name__}") from error
                raise broken(rules.UNDECLARED, "the operation was carried out")
            check(harness.mutations() == before, rules.UNDECLARED, "something was sent")
