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
from confkit.testing.conformance.area import Area
from confkit.testing.conformance.bench import on_bench
from confkit.testing.conformance.harness import Harness, Trouble
from confkit.testing.conformance.reports import CALLBACK
from confkit.testing.conformance.rules import broken, check
from confkit.testing.conformance.subject import where
from confkit.testing.conformance.troubles import place_for_a_call

_STRANGE = "colour_of_the_sky"


class EscapeRules(Area):
    """See ``docs/contract.md#escapes``."""

    @where(lambda on, operation: operation != "add_member" or not on.fused)
    @pytest.mark.parametrize("operation", ["create_conference", "create_call", "add_member"])
    async def test_unknown_options(self, harness: Harness, operation: str) -> None:
        async with on_bench(harness) as bench:
            options = {_STRANGE: "blue"}
            arguments: dict[str, Any]
            if operation == "create_conference":
                spec = ConferenceSpec(caller_id=harness.caller_id, provider_options=options)
                arguments = {"spec": spec}
            elif operation == "create_call":
                call = CallSpec(to=bench.party(), caller_id=harness.caller_id, provider_options=options)
                arguments = {"spec": call, "into": await bench.conference()}
            else:
                room = await bench.room()
                dialled = await bench.dial(bench.party(), room.conference)
                arguments = {
                    "conference": room.conference,
                    "call": await bench.answered(dialled.call),
                    "options": MemberOptions(provider_options=options),
                }
            before = harness.mutations()
            try:
                await bench.attempt(operation, **arguments)
            except InvalidRequest:
                sent = harness.mutations() - before
                check(sent == 0, rules.KNOWN_OPTIONS, f"{operation} sent {sent} requests first")
            except ProviderError as error:
                raise broken(rules.KNOWN_OPTIONS, f"{operation} raised {type(error).__name__}") from error
            else:
                raise broken(rules.KNOWN_OPTIONS, f"{operation} took one that nobody knows")

    async def test_records_have_raw(self, harness: Harness) -> None:
        async with on_bench(harness) as bench:
            room = await bench.room()
            snapshot = await bench.fetch(room.conference)
            records: list[Any] = [*snapshot.calls, *snapshot.members]
            if snapshot.conference is not None and snapshot.conference.created_at is not None:
                records.append(snapshot.conference)
            records += (await bench.fetch(room.calls[0])).calls
            if bench.capabilities.bridging is not Bridging.NONE:
                bridge, _ = await bench.pair()
                records.append((await bench.fetch(bridge)).bridge)
            for record in records:
                there = isinstance(record.raw, Mapping) and bool(record.raw)
                check(there, rules.HAS_RAW, f"a {type(record).__name__} has none")

    @where(lambda on: on.can.events & {EventSource.STREAM, EventSource.WEBHOOK})
    async def test_events_have_raw(self, harness: Harness) -> None:
        async with on_bench(harness) as bench:
            sources = bench.capabilities.events
            events: list[Any] = []
            if EventSource.STREAM in sources:
                await bench.room()

                async def told() -> bool:
                    return bool(bench.events)

                await bench.until(told, rules.TELLS, "no event came")
                events += bench.events
            if EventSource.WEBHOOK in sources:
                request = harness.webhook(CallAnswered, {"call_id": "call-1"}, CALLBACK)
                events += (await bench.ask("receive", request=request)).events
            for event in events:
                check(event.raw, rules.EVENTS_HAVE_RAW, f"a {type(event).__name__} has none")


class SecrecyRules(Area):
    """See ``docs/contract.md#secrecy``."""

    async def test_repr(self, harness: Harness) -> None:
        async with on_bench(harness) as bench:
            for text in (repr(bench.provider), str(bench.provider)):
                _silent(harness, text, [], "the repr of the provider")

    async def test_messages(self, harness: Harness) -> None:
        async with on_bench(harness) as bench:
            unknown = CallSpec(to=bench.party(), caller_id=harness.caller_id, provider_options={_STRANGE: "blue"})
            try:
                await bench.attempt("create_call", spec=unknown, into=await bench.conference())
            except ProviderError as error:
                _silent(harness, _all_of(error), [unknown.to], "an error of create_call")

    @where(lambda on, trouble: trouble not in on.harness.lacks)
    @pytest.mark.parametrize("trouble", Trouble, ids=lambda trouble: trouble.value)
    async def test_messages_in_trouble(self, harness: Harness, trouble: Trouble) -> None:
        async with on_bench(harness, trouble, "create_call") as bench:
            to = bench.party()
            into = await place_for_a_call(bench, trouble)
            try:
                await bench.attempt("create_call", spec=bench.spec(to), into=into)
            except ProviderError as error:
                _silent(harness, _all_of(error), [to], f"an error ({trouble.value})")

    async def test_records(self, harness: Harness) -> None:
        async with on_bench(harness) as bench:
            room = await bench.room()
            snapshot = await bench.fetch(room.conference)
            _silent(harness, repr(snapshot), room.addresses, "the repr of a snapshot")

    async def test_log(self, harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
        async with on_bench(harness) as bench:
            with caplog.at_level(logging.DEBUG):
                room = await bench.room()
                await bench.ask("hang_up", call=room.calls[0])
                await bench.ask("end_conference", conference=room.conference)
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
