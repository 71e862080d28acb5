"""Providers that are broken in what they answer: look-ups, errors, secrets and webhooks."""

from __future__ import annotations

import uuid
from typing import Any

import anyio
from attrs import evolve
from confkit_fake import FakeProvider

from confkit.provider import (
    Bridge,
    Call,
    CallSpec,
    CallState,
    Capabilities,
    Conference,
    Conflict,
    Dialled,
    Event,
    FindHint,
    Member,
    MemberOptions,
    NotFound,
    Op,
    OutcomeUnknown,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Snapshot,
    Unavailable,
    Unknown,
    WebhookRejected,
    WebhookReply,
    WebhookRequest,
    hookimpl,
)
from tests.conformance.broken import TOKEN, Into, caught_by
from tests.conformance.webhook_fake import WebhookFake


@caught_by("test_find", "test_find_what_is_over", "test_a_lost_dial", whole=True)
class FindsNothing(FakeProvider):
    @hookimpl
    async def find(self) -> tuple[Call | Member | Conference | Bridge, ...]:  # type: ignore[override]
        return ()


@caught_by("test_find_what_was_never_asked_for")
class FindsAnybody(FakeProvider):
    @hookimpl
    async def find(self, op_key: str, hint: FindHint) -> tuple[Call | Member | Conference | Bridge, ...]:
        found = await super().find(op_key=op_key, hint=hint)
        return found or (await super().list_calls(into=hint.into) if hint.into is not None else ())


@caught_by("test_find_what_is_over", whole=True)
class FindsOnlyWhatIsUp(FakeProvider):
    @hookimpl
    async def find(self, op_key: str, hint: FindHint) -> tuple[Call | Member | Conference | Bridge, ...]:
        found = await super().find(op_key=op_key, hint=hint)
        return tuple(each for each in found if each.state.value not in ("ended", "left"))


@caught_by("test_find_what_is_not_declared")
class HidesThatItFinds(FakeProvider):
    @hookimpl
    def capabilities(self) -> Capabilities:
        can = super().capabilities()
        return evolve(can, reconcilable=can.reconcilable - {"transfer", "create_conference"})


# Errors


@caught_by("test_error", whole=True)
class TakesForbiddenForTooFast(FakeProvider):
    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Into) -> Dialled:
        try:
            return await super().create_call(spec=spec, op=op, into=into)
        except PermissionDenied as error:
            raise RateLimited("slow down", provider=self.name, operation="create_call", status=403) from error


@caught_by("test_error", "test_a_lost_dial", whole=True)
class TakesLostForNotExecuted(FakeProvider):
    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Into) -> Dialled:
        try:
            return await super().create_call(spec=spec, op=op, into=into)
        except OutcomeUnknown as error:
            if error.answered:
                raise
            raise Unavailable("no reply", provider=self.name, operation="create_call") from error


@caught_by("test_an_error_keeps_its_context")
class LosesTheCode(FakeProvider):
    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Into) -> Dialled:
        try:
            return await super().create_call(spec=spec, op=op, into=into)
        except ProviderError as error:
            error.status = error.code = None
            raise


@caught_by("test_a_call_that_does_not_exist")
class RaisesItsOwn(FakeProvider):
    @hookimpl
    async def fetch(self, ref: Conference | Call | Bridge) -> Snapshot:
        try:
            return await super().fetch(ref=ref)
        except NotFound as error:
            if isinstance(ref, Call):
                raise KeyError(ref.id) from error
            raise


@caught_by("test_a_read_leaves_nothing_unknown")
class DoubtsItsReads(FakeProvider):
    @hookimpl
    async def fetch(self, ref: Conference | Call | Bridge) -> Snapshot:
        try:
            return await super().fetch(ref=ref)
        except Unavailable as error:
            raise OutcomeUnknown("no reply", provider=self.name, operation="fetch") from error


@caught_by("test_a_ringing_call_cannot_join_yet")
class TakesRingingForOver(FakeProvider):
    @hookimpl
    async def add_member(self, conference: Conference, call: Call, options: MemberOptions, op: Op) -> Member:
        if call.id in self.exchange.calls and self.exchange.call(call.id).state is CallState.RINGING:
            raise Conflict("the call is not active", provider=self.name, operation="add_member", code="state")
        return await super().add_member(conference=conference, call=call, options=options, op=op)


# Cancellation and concurrency


@caught_by("test_cancellation_passes_through", whole=True)
class SwallowsCancellation(FakeProvider):
    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Into) -> Dialled:
        try:
            return await super().create_call(spec=spec, op=op, into=into)
        except anyio.get_cancelled_exc_class():
            pass
        with anyio.CancelScope(shield=True):
            return await super().create_call(spec=spec, op=op, into=into)
        raise AssertionError


@caught_by("test_cancellation_passes_through")
class WrapsCancellation(FakeProvider):
    @hookimpl
    async def fetch(self, ref: Conference | Call | Bridge) -> Snapshot:
        try:
            return await super().fetch(ref=ref)
        except anyio.get_cancelled_exc_class() as error:
            raise Unavailable("interrupted", provider=self.name, operation="fetch") from error


@caught_by("test_dialling_at_the_same_time", latency=0.01, whole=True)
class MixesUpCalls(FakeProvider):
    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Into) -> Dialled:
        self._last = await super().create_call(spec=spec, op=op, into=into)
        if isinstance(into, Conference) and into.id is not None and op.key.startswith("c-"):
            await anyio.lowlevel.checkpoint()
        return self._last


# Escapes and secrecy


@caught_by("test_unknown_options", whole=True)
class TakesAnyOption(FakeProvider):
    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Into) -> Dialled:
        return await super().create_call(spec=evolve(spec, provider_options={}), op=op, into=into)


@caught_by("test_repr")
class ShowsItsToken(FakeProvider):
    def __repr__(self) -> str:
        return f"Provider(token={TOKEN!r})"


@caught_by("test_messages_in_trouble", whole=True)
class LeaksItsToken(FakeProvider):
    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Into) -> Dialled:
        try:
            return await super().create_call(spec=spec, op=op, into=into)
        except OutcomeUnknown as error:
            raise OutcomeUnknown(
                f"no reply from https://user:{TOKEN}@host/", answered=error.answered, status=error.status
            ) from None


@caught_by("test_messages")
class LeaksTheNumber(FakeProvider):
    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Into) -> Dialled:
        try:
            return await super().create_call(spec=spec, op=op, into=into)
        except ProviderError as error:
            if spec.provider_options:
                error.message = f"cannot dial {spec.to}"
                error.args = (error.message,)
            raise


@caught_by("test_log")
class LogsTheNumber(FakeProvider):
    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Into) -> Dialled:
        import logging

        logging.getLogger("confkit_leaky").debug("dialling %s", spec.to)
        return await super().create_call(spec=spec, op=op, into=into)


# Webhooks


@caught_by("test_a_forged_webhook", whole=True)
class VerifiesNothing(WebhookFake):
    def verify(self, request: WebhookRequest) -> None:
        del request


@caught_by("test_a_stale_webhook", whole=True)
class TakesWhatIsOld(WebhookFake):
    def check_age(self, request: WebhookRequest) -> None:
        """By its own clock, which is right, but not the client's."""
        super().check_age(evolve(request, at=self.exchange.now()))


@caught_by("test_the_reply_reaches_the_platform", whole=True)
class AnswersOnce(WebhookFake):
    def reply_to(self, event: Event) -> WebhookReply:
        told: set[str] = self.__dict__.setdefault("_told", set())
        if event.id in told:
            return WebhookReply(status=204)
        told.add(event.id)
        return super().reply_to(event)


@caught_by("test_a_reply_that_is_decided_later", whole=True)
class LetsTheCallerWait(WebhookFake):
    @hookimpl
    async def reject_call(self, call: Call, op: Op) -> None:
        await FakeProvider.reject_call(self, call=call, op=op)


@caught_by("test_an_unknown_type")
class RejectsUnknownTypes(WebhookFake):
    def parse(self, payload: dict[str, Any]) -> Event:
        event = super().parse(payload)
        if isinstance(event, Unknown):
            raise WebhookRejected("what is a pigeon?", status=400)
        return event


@caught_by("test_a_webhook_that_comes_twice", "test_webhooks_in_disorder")
class GivesNewIds(WebhookFake):
    def parse(self, payload: dict[str, Any]) -> Event:
        return evolve(super().parse(payload), id=uuid.uuid4().hex)


@caught_by("test_what_cannot_be_read")
class ChokesOnGarbage(WebhookFake):
    def verify(self, request: WebhookRequest) -> None:
        self.payload_of(request)["type"]
        super().verify(request)

    def payload_of(self, request: WebhookRequest) -> dict[str, Any]:
        import json

        payload: dict[str, Any] = json.loads(request.body)
        return payload


@caught_by("test_webhooks_in_disorder")
class MindsTheOrder(WebhookFake):
    def parse(self, payload: dict[str, Any]) -> Event:
        event = super().parse(payload)
        seen: list[Any] = self.__dict__.setdefault("_over", [])
        call = getattr(event, "call_id", None)
        if type(event).__name__ == "CallEnded":
            seen.append(call)
        elif call in seen:
            return Unknown(provider=event.provider, id=event.id, type="late", raw=event.raw)
        return event
