"""The ways past the portable API, and what must not get out by any way."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from confkit.models.capabilities import Bridging, EventSource
from confkit.models.errors import InvalidRequest, ProviderError, SettingsError
from confkit.models.events import CallAnswered
from confkit.models.records import CallSpec, ConferenceSpec, MemberOptions
from confkit.provider.settings import Settings
from confkit.testing.conformance import rules
from confkit.testing.conformance.area import RuleGroup
from confkit.testing.conformance.errors import place_for_a_call
from confkit.testing.conformance.events import CALLBACK
from confkit.testing.conformance.fixture import on_fixture
from confkit.testing.conformance.harness import Fault, Harness
from confkit.testing.conformance.rules import broken, check
from confkit.testing.conformance.subject import where

_STRANGE = "colour_of_the_sky"


class EscapeRules(RuleGroup):
    """See ``docs/contract.md#escapes``."""

    @where(lambda on, operation: operation != "add_member" or not on.fused)
    @pytest.mark.parametrize("operation", ["create_conference", "create_call", "add_member"])
    async def test_unknown_options(self, harness: Harness, operation: str) -> None:
        async with on_fixture(harness) as fixture:
            options = {_STRANGE: "blue"}
            arguments: dict[str, Any]
            if operation == "create_conference":
                spec = ConferenceSpec(caller_id=harness.caller_id, provider_options=options)
                arguments = {"spec": spec}
            elif operation == "create_call":
                call = CallSpec(to=fixture.party(), caller_id=harness.caller_id, provider_options=options)
                arguments = {"spec": call, "into": await fixture.conference()}
            else:
                room = await fixture.room()
                dialled = await fixture.dial(fixture.party(), room.conference)
                arguments = {
                    "conference": room.conference,
                    "call": await fixture.answered(dialled.call),
                    "options": MemberOptions(provider_options=options),
                }
            before = harness.mutations()
            try:
                await fixture.attempt(operation, **arguments)
            except InvalidRequest:
                sent = harness.mutations() - before
                check(sent == 0, rules.KNOWN_OPTIONS, f"{operation} sent {sent} requests first")
            except ProviderError as error:
                raise broken(rules.KNOWN_OPTIONS, f"{operation} raised {type(error).__name__}") from error
            else:
                raise broken(rules.KNOWN_OPTIONS, f"{operation} took one that nobody knows")

    async def test_records_have_raw(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room()
            snapshot = await fixture.fetch(room.conference)
            records: list[Any] = [*snapshot.calls, *snapshot.members]
            if snapshot.conference is not None and snapshot.conference.created_at is not None:
                records.append(snapshot.conference)
            records += (await fixture.fetch(room.calls[0])).calls
            if fixture.capabilities.bridging is not Bridging.NONE:
                bridge, _ = await fixture.pair()
                records.append((await fixture.fetch(bridge)).bridge)
            for record in records:
                there = isinstance(record.raw, Mapping) and bool(record.raw)
                check(there, rules.HAS_RAW, f"a {type(record).__name__} has none")

    @where(lambda on: on.can.events & {EventSource.STREAM, EventSource.WEBHOOK})
    async def test_events_have_raw(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            sources = fixture.capabilities.events
            events: list[Any] = []
            if EventSource.STREAM in sources:
                await fixture.room()

                async def told() -> bool:
                    return bool(fixture.events)

                await fixture.until(told, rules.TELLS, "no event came")
                events += fixture.events
            if EventSource.WEBHOOK in sources:
                request = harness.webhook(CallAnswered, {"call_id": "call-1"}, CALLBACK)
                events += (await fixture.ask("receive", request=request)).events
            for event in events:
                check(event.raw, rules.EVENTS_HAVE_RAW, f"a {type(event).__name__} has none")


class SecrecyRules(RuleGroup):
    """See ``docs/contract.md#secrecy``."""

    async def test_repr(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            for text in (repr(fixture.provider), str(fixture.provider)):
                _silent(harness, text, [], "the repr of the provider")

    async def test_messages(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            unknown = CallSpec(to=fixture.party(), caller_id=harness.caller_id, provider_options={_STRANGE: "blue"})
            try:
                await fixture.attempt("create_call", spec=unknown, into=await fixture.conference())
            except ProviderError as error:
                _silent(harness, _all_of(error), [unknown.to], "an error of create_call")

    @where(lambda on, fault: fault not in on.harness.lacks)
    @pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.value)
    async def test_messages_in_trouble(self, harness: Harness, fault: Fault) -> None:
        async with on_fixture(harness, fault, "create_call") as fixture:
            to = fixture.party()
            into = await place_for_a_call(fixture, fault)
            try:
                await fixture.attempt("create_call", spec=fixture.spec(to), into=into)
            except ProviderError as error:
                _silent(harness, _all_of(error), [to], f"an error ({fault.value})")

    async def test_records(self, harness: Harness) -> None:
        async with on_fixture(harness) as fixture:
            room = await fixture.room()
            snapshot = await fixture.fetch(room.conference)
            _silent(harness, repr(snapshot), room.addresses, "the repr of a snapshot")

    async def test_log(self, harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
        async with on_fixture(harness) as fixture:
            with caplog.at_level(logging.DEBUG):
                room = await fixture.room()
                await fixture.ask("hang_up", call=room.calls[0])
                await fixture.ask("end_conference", conference=room.conference)
            _silent(harness, caplog.text, room.addresses, "the log")

    @where(lambda on: on.harness.module is not None)
    async def test_settings(self, harness: Harness) -> None:
        required = self._refused(harness, {_STRANGE: "blue"})
        check(_STRANGE in str(required), rules.ALL_MISTAKES, "the unknown one is not named")
        error = self._refused(harness, {**harness.settings, _STRANGE: "blue"})
        _silent(harness, str(error), [], "a SettingsError")

    def _refused(self, harness: Harness, keywords: Mapping[str, Any]) -> SettingsError:
        settings = Settings(provider=harness.name, keywords=keywords, environ={})
        try:
            harness.module.confkit_create_provider(settings)
        except SettingsError as error:
            return error
        raise broken(rules.ALL_MISTAKES, "a setting that nobody knows was taken")


def _all_of(error: BaseException) -> str:
    """The texts of an error and of everything behind it, as one."""
    texts: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        texts += [str(seen), repr(seen)]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "\n".join(texts)


def _silent(harness: Harness, text: str, addresses: list[str], place: str) -> None:
    check(not any(secret in text for secret in harness.secrets), rules.NO_SECRETS, f"{place} shows one")
    numbers = [*addresses, harness.caller_id]
    shown = any(number in text or number.lstrip("+") in text for number in numbers)
    check(not shown, rules.NO_NUMBERS, f"{place} shows one")
