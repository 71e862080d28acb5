"""Providers that are broken on purpose, each in one way, with the tests that must find it out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import anyio
from attrs import evolve, frozen
from confkit_fake import FakeProvider

from confkit.provider import (
    Bridge,
    Bridging,
    Call,
    CallSpec,
    CallState,
    Capabilities,
    Conference,
    ConferencePatch,
    ConferenceSpec,
    Conflict,
    Dialled,
    EndCause,
    Event,
    Member,
    MemberOptions,
    MemberPatch,
    NotFound,
    Op,
    OutcomeUnknown,
    RateLimited,
    RecordingReady,
    Snapshot,
    hookimpl,
)
from confkit.testing.conformance import Harness
from tests.conformance.fake_harness import FakeHarness
from tests.conformance.webhook_fake import WebhookFake, WebhookHarness

TOKEN = "t-very-secret"
Into = Conference | Bridge | None


@frozen
class Broken:
    """A broken provider.

    Args:
        caught_by: the tests that must fail; no others may.
        settings: of the provider.
        whole: run the whole suite on it, to see that no other test fails; on the others, to save time, the tests
            that must fail are run alone.
    """

    kind: type[FakeProvider]
    caught_by: frozenset[str]
    settings: dict[str, Any]
    whole: bool

    @property
    def harness(self) -> type[Harness]:
        """A platform with this provider."""
        base: type[FakeHarness] = WebhookHarness if issubclass(self.kind, WebhookFake) else FakeHarness

        class BrokenHarness(base):  # type: ignore[misc, valid-type]
            kind = self.kind
            given = self.settings
            secrets = (*base.secrets, TOKEN)

        return BrokenHarness


BROKEN: dict[str, Broken] = {}


def caught_by(*tests: str, whole: bool = False, **settings: Any) -> Any:
    """Register a broken provider."""

    def register(kind: type[FakeProvider]) -> type[FakeProvider]:
        assert kind.__name__ not in BROKEN, f"{kind.__name__} is there twice"  # one would hide the other
        BROKEN[kind.__name__] = Broken(kind, frozenset(tests), settings, whole)
        return kind

    return register


# What is sent


@caught_by("test_a_dial_is_not_sent_again", whole=True)
class RetriesADial(FakeProvider):
    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Into) -> Dialled:
        try:
            return await super().create_call(spec=spec, op=op, into=into)
        except (OutcomeUnknown, RateLimited) as error:
            # Its result is dropped, so that nobody notices but the person who is called twice.
            if error.status == 500:
                await super().create_call(spec=spec, op=op, into=into)
            raise


@caught_by("test_create_call_does_not_wait", whole=True)
class WaitsForTheAnswer(FakeProvider):
    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Into) -> Dialled:
        dialled = await super().create_call(spec=spec, op=op, into=into)
        if spec.answer_timeout > timedelta(seconds=10):
            for _ in range(30):
                if self.exchange.calls[dialled.call.id].state is CallState.RINGING:
                    await anyio.sleep(0.1)
        return dialled


@caught_by("test_remove_member")
class AsksTwice(FakeProvider):
    @hookimpl
    async def remove_member(self, member: Member, op: Op) -> None:
        await super().remove_member(member=member, op=op)
        await super().remove_member(member=member, op=op)


@caught_by("test_looking_changes_nothing")
class TouchesWhatItLooksAt(FakeProvider):
    @hookimpl
    async def list_calls(self, into: Conference | Bridge) -> tuple[Call, ...]:
        if isinstance(into, Conference) and into.id is not None:
            await super().update_conference(conference=into, patch=ConferencePatch(mute=False), op=Op(key="touch"))
        return await super().list_calls(into=into)


# What comes back


@caught_by("test_records_have_raw", whole=True)
class LosesRaw(FakeProvider):
    @hookimpl
    async def fetch(self, ref: Conference | Call | Bridge) -> Snapshot:
        snapshot = await super().fetch(ref=ref)
        return evolve(snapshot, calls=tuple(evolve(call, raw={}) for call in snapshot.calls))


@caught_by("test_events_have_raw")
class LosesRawOfEvents(FakeProvider):
    @hookimpl
    def events(self) -> AsyncIterator[Event]:
        return self._without(super().events())

    async def _without(self, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
        async for event in events:
            yield evolve(event, raw={})


@caught_by("test_events_of_a_stream_have_ids_of_their_own")
class GivesOneIdToAllEvents(FakeProvider):
    @hookimpl
    def events(self) -> AsyncIterator[Event]:
        return self._same(super().events())

    async def _same(self, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
        async for event in events:
            yield evolve(event, id="event")


@caught_by("test_instants_are_aware")
class GivesNaiveInstants(FakeProvider):
    @hookimpl
    async def fetch(self, ref: Conference | Call | Bridge) -> Snapshot:
        snapshot = await super().fetch(ref=ref)
        if snapshot.conference is None or snapshot.conference.created_at is None:
            return snapshot
        naive = snapshot.conference.created_at.replace(tzinfo=None)
        return evolve(snapshot, conference=evolve(snapshot.conference, created_at=naive))


@caught_by("test_why_nobody_answered", "test_outcomes", events="poll")
class MistakesBusyForHangup(FakeProvider):
    @hookimpl
    async def fetch(self, ref: Conference | Call | Bridge) -> Snapshot:
        snapshot = await super().fetch(ref=ref)
        return evolve(snapshot, calls=tuple(self._mistaken(call) for call in snapshot.calls))

    @hookimpl
    async def list_calls(self, into: Conference | Bridge) -> tuple[Call, ...]:
        return tuple(self._mistaken(call) for call in await super().list_calls(into=into))

    def _mistaken(self, call: Call) -> Call:
        return evolve(call, cause=EndCause.HANGUP if call.cause is EndCause.BUSY else call.cause)


@caught_by("test_a_snapshot_shows_everyone")
class HidesAnsweredCalls(FakeProvider):
    @hookimpl
    async def fetch(self, ref: Conference | Call | Bridge) -> Snapshot:
        snapshot = await super().fetch(ref=ref)
        alone = len(snapshot.members) < 2
        return snapshot if alone or not isinstance(ref, Conference) else evolve(snapshot, calls=())


@caught_by("test_a_conference_gets_its_id", shape="on_join", bridge="none")
class ForgetsTheId(FakeProvider):
    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Into) -> Dialled:
        dialled = await super().create_call(spec=spec, op=op, into=into)
        return evolve(dialled, conference=None)


@caught_by("test_whose_a_conference_is", whole=True)
class RepeatsTheKeyThatItWasAskedWith(FakeProvider):
    @hookimpl
    async def fetch(self, ref: Conference | Call | Bridge) -> Snapshot:
        snapshot = await super().fetch(ref=ref)
        if not isinstance(ref, Conference) or snapshot.conference is None:
            return snapshot
        return evolve(snapshot, conference=evolve(snapshot.conference, key=ref.key))


@caught_by("test_the_stream_tells_of_a_recording")
class SaysTwiceWhatWasRecorded(FakeProvider):
    @hookimpl
    def events(self) -> AsyncIterator[Event]:
        return self._with_names(super().events())

    async def _with_names(self, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
        async for event in events:
            if isinstance(event, RecordingReady) and event.call_id is not None:
                yield evolve(event, conference_id="conference-1")
            else:
                yield event


@caught_by("test_a_webhook_of_a_recording")
class SaysNotWhatWasRecorded(WebhookFake):
    def parse(self, payload: dict[str, Any]) -> Event:
        event = super().parse(payload)
        nothing: Any = {"conference_id": None, "bridge_id": None, "call_id": None}
        return evolve(event, **nothing) if isinstance(event, RecordingReady) else event


@caught_by("test_list_calls")
class ListsOnlyWhatIsUp(FakeProvider):
    @hookimpl
    async def list_calls(self, into: Conference | Bridge) -> tuple[Call, ...]:
        calls = await super().list_calls(into=into)
        return tuple(call for call in calls if call.state is not CallState.ENDED)


# Endings that must succeed


@caught_by("test_end_conference_again")
class CannotEndTwice(FakeProvider):
    @hookimpl
    async def end_conference(self, conference: Conference, op: Op) -> None:
        shown = (await super().fetch(ref=conference)).conference
        if shown is not None and shown.ended_at is not None and shown.id in self._ended:
            raise Conflict("it has ended", provider=self.name, operation="end_conference", code="over")
        self._ended.add(conference.id)
        await super().end_conference(conference=conference, op=op)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._ended: set[str | None] = set()


@caught_by("test_hang_up_again")
class CannotHangUpTwice(FakeProvider):
    @hookimpl
    async def hang_up(self, call: Call, op: Op) -> None:
        if (await super().fetch(ref=call)).calls[0].cause is EndCause.HANGUP and op.key.startswith("c-"):
            raise NotFound("there is no such call", provider=self.name, operation="hang_up", code="gone")
        await super().hang_up(call=call, op=op)


@caught_by("test_remove_member_again")
class CannotRemoveTwice(FakeProvider):
    @hookimpl
    async def remove_member(self, member: Member, op: Op) -> None:
        if self.exchange.members[member.id].left_at is not None:
            raise Conflict("it has left", provider=self.name, operation="remove_member", code="left")
        await super().remove_member(member=member, op=op)


# Capabilities


@caught_by("test_change_a_member", "test_change_several_settings_of_a_member", whole=True)
class LiesAboutHold(FakeProvider):
    @hookimpl
    async def update_member(self, member: Member, patch: MemberPatch, op: Op) -> None:
        await super().update_member(member=member, patch=evolve(patch, hold=None), op=op)


@caught_by("test_change_several_settings_of_a_member", whole=True)
class MutesOnlyOrHolds(FakeProvider):
    @hookimpl
    async def update_member(self, member: Member, patch: MemberPatch, op: Op) -> None:
        await super().update_member(member=member, patch=patch.parts[0], op=op)


@caught_by("test_capabilities_make_sense", whole=True)
class DeclaresThatADialIsSeveralRequests(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities(), compound=frozenset({"create_call:conference"}))


@caught_by("test_a_change_that_is_not_declared")
class HidesThatItMutes(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        can = super().capabilities()
        return evolve(can, member=can.member - {"mute"})


@caught_by("test_max_members", whole=True)
class HoldsFewerThanItSays(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities(), max_members=24)


@caught_by("test_what_ends_with_a_conference")
class LiesAboutHangingUp(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities(), end_hangs_up=True)


@caught_by("test_declared_and_implemented")
class HidesItsBridge(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        can = super().capabilities()
        finds = can.reconcilable - {"create_bridge", "add_member"}
        return evolve(can, bridging=Bridging.NONE, bridge_to_conference=False, reconcilable=finds)


@caught_by("test_the_same_op_twice", whole=True)
class ClaimsIdempotency(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities(), idempotent=frozenset({"transfer"}))


@caught_by("test_the_same_op_twice", client_ids=True)
class AnswersADuplicateWithNothing(FakeProvider):
    """As it may be where the platform knows the key: it says that it has done it, and not what."""

    @hookimpl
    def capabilities(self) -> Capabilities:
        can = super().capabilities()
        return evolve(can, reconcilable=can.reconcilable - {"create_conference"})

    @hookimpl
    async def create_conference(self, spec: ConferenceSpec, op: Op) -> Conference:
        created = await super().create_conference(spec=spec, op=op)
        if op.attempt > 1:
            raise OutcomeUnknown("a duplicate", provider=self.name, operation="create_conference", answered=True)
        return created


@caught_by("test_moving_calls_from_a_bridge")
class HidesThatItMovesCalls(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities(), bridge_to_conference=False)


@caught_by("test_a_sound_that_is_not_declared")
class HidesThatItLoops(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        can = super().capabilities()
        return evolve(can, play=can.play - {"loop"})


@caught_by("test_capabilities_are_pure")
class ChangesItsMind(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        self._asked = not getattr(self, "_asked", False)
        return evolve(super().capabilities(), poll_interval=timedelta(seconds=1 if self._asked else 2))


@caught_by("test_declared_and_implemented", "test_admit_a_caller")
class DeclaresWhatItLacks(FakeProvider):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        setattr(self, "answer_call", None)  # noqa: B010 - a hook that is no method is not there

    @hookimpl
    def capabilities(self) -> Capabilities:
        can = super().capabilities()
        return evolve(can, reconcilable=can.reconcilable - {"answer_call"})


@caught_by("test_capabilities_make_sense", shape="on_join", bridge="none")
class ClaimsToFindWhatItNeverMakes(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        can = super().capabilities()
        return evolve(can, reconcilable=can.reconcilable | {"create_bridge"})


@caught_by("test_a_caller_that_cannot_be_admitted")
class HidesThatItAdmits(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities(), answers_into=frozenset({"bridge"}))


@caught_by("test_moving_calls_from_a_bridge")
class HangsUpWhoIsLeftOnABridge(FakeProvider):
    @hookimpl
    async def add_member(self, conference: Conference, call: Call, options: MemberOptions, op: Op) -> Member:
        pairs = [list(each.call_ids) for each in self.exchange.bridges.values() if call.id in each.call_ids]
        member = await super().add_member(conference=conference, call=call, options=options, op=op)
        for left in (each for pair in pairs for each in pair if each != call.id):
            self.exchange.hang_up(left)
        return member
