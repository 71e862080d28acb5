"""The fake with webhooks, signed ones, for the rules about those."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve
from confkit_fake import FakeProvider

from confkit.provider import (
    Call,
    CallAnswered,
    CallEnded,
    Event,
    EventSource,
    IncomingCall,
    MemberJoined,
    Op,
    Received,
    RecordingReady,
    Unknown,
    WebhookRejected,
    WebhookReply,
    WebhookRequest,
    give_reply,
    hookimpl,
)
from tests.conformance.fake_harness import FakeHarness

KEY = "whsec-signing-key"
KINDS: Mapping[str, type[Event]] = {
    "answered": CallAnswered,
    "ended": CallEnded,
    "joined": MemberJoined,
    "recorded": RecordingReady,
    "incoming": IncomingCall,
}
#: What the platform carries out when it has asked what to do.
ON_ANSWER, HOLD_ON, REJECT = (
    WebhookReply(headers={"content-type": "application/xml"}, body=body)
    for body in (b"<Join/>", b"<Busy/>", b"<Reject/>")
)
TOLERANCE = timedelta(minutes=5)


def signature(body: bytes, at: str, key: str = KEY) -> str:
    return hmac.new(key.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()


class WebhookFake(FakeProvider):
    """Reports by webhooks, and in no other way."""

    within = timedelta(seconds=10)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings | {"events": "poll"})
        events = frozenset({EventSource.WEBHOOK})
        self._capabilities = evolve(self._capabilities, events=events, signs_webhooks=True)

    @hookimpl
    async def receive(self, request: WebhookRequest) -> Received:
        self.verify(request)
        self.check_age(request)
        event = self.parse(self.payload_of(request))
        later = self.within if isinstance(event, IncomingCall) else None
        return Received(events=(event,), reply=self.reply_to(event), decided_within=later)

    def reply_to(self, event: Event) -> WebhookReply:
        return {CallAnswered: ON_ANSWER, IncomingCall: HOLD_ON}.get(type(event), WebhookReply(status=204))

    @hookimpl
    async def reject_call(self, call: Call, op: Op) -> None:
        if give_reply(call.id, REJECT):
            self.exchange.reject(call.id)  # the platform has read it
        else:
            await super().reject_call(call=call, op=op)

    def verify(self, request: WebhookRequest) -> None:
        expected = signature(request.body, request.headers.get("x-timestamp", ""))
        if not hmac.compare_digest(expected, request.headers.get("x-signature", "")):
            raise WebhookRejected("the signature is wrong")

    def check_age(self, request: WebhookRequest) -> None:
        signed = datetime.fromtimestamp(float(request.headers.get("x-timestamp", "0")), UTC)
        if abs(request.at - signed) > TOLERANCE:
            raise WebhookRejected("it is too old")

    def payload_of(self, request: WebhookRequest) -> dict[str, Any]:
        try:
            payload = json.loads(request.body)
        except ValueError:
            raise WebhookRejected("the body is not JSON", status=400) from None
        if not isinstance(payload, dict):
            raise WebhookRejected("the body is not an object", status=400)
        return payload

    def parse(self, payload: dict[str, Any]) -> Event:
        common = {"provider": self.name, "id": payload["id"], "raw": payload}
        kind = KINDS.get(payload["type"])
        if kind is None:
            return Unknown(type=payload["type"], **common)
        return kind(**common, **payload["data"])


class WebhookHarness(FakeHarness):
    """It signs what it reports."""

    kind = WebhookFake
    stale_after = TOLERANCE
    echoes = True
    reports = frozenset(KINDS.values())
    secrets = (KEY,)

    def webhook(self, event: type[Event], ids: Mapping[str, str], url: str) -> WebhookRequest:
        names = {kind: name for name, kind in KINDS.items()} | {Unknown: "pigeon"}
        data = dict(ids)
        payload = {"type": names[event], "id": "-".join((names[event], *data.values())), "data": data}
        body = json.dumps(payload).encode()
        now = self.fake.exchange.now()
        signed = {"x-timestamp": str(now.timestamp()), "x-signature": signature(body, str(now.timestamp()))}
        headers = {"content-type": "application/json", **signed}
        return WebhookRequest(method="POST", path=urlsplit(url).path, headers=headers, body=body, url=url, at=now)
