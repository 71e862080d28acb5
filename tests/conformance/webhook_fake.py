"""The fake with webhooks, signed ones, for the rules about those."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve
from confkit_fake import FakeProvider

from confkit.provider import (
    CallAnswered,
    CallEnded,
    Event,
    EventSource,
    MemberJoined,
    Received,
    RecordingReady,
    Unknown,
    WebhookRejected,
    WebhookRequest,
    hookimpl,
)
from tests.conformance.fake_harness import FakeHarness

KEY = "whsec-signing-key"
KINDS: Mapping[str, type[Event]] = {
    "answered": CallAnswered,
    "ended": CallEnded,
    "joined": MemberJoined,
    "recorded": RecordingReady,
}


def signature(body: bytes, key: str = KEY) -> str:
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


class WebhookFake(FakeProvider):
    """Reports by webhooks, and in no other way."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings | {"events": "poll"})
        self._capabilities = evolve(self._capabilities, events=frozenset({EventSource.WEBHOOK}))

    @hookimpl
    async def receive(self, request: WebhookRequest) -> Received:
        self.verify(request)
        return Received(events=(self.parse(self.payload_of(request)),))

    def verify(self, request: WebhookRequest) -> None:
        if not hmac.compare_digest(signature(request.body), request.headers.get("x-signature", "")):
            raise WebhookRejected("the signature is wrong")

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
    signs_webhooks = True
    echoes = True
    reports = frozenset(KINDS.values())
    secrets = (KEY,)

    def webhook(self, event: type[Event], ids: Mapping[str, str], url: str) -> WebhookRequest:
        names = {kind: name for name, kind in KINDS.items()} | {Unknown: "pigeon"}
        data = dict(ids)
        payload = {"type": names[event], "id": "-".join((names[event], *data.values())), "data": data}
        body = json.dumps(payload).encode()
        headers = {"content-type": "application/json", "x-signature": signature(body)}
        return WebhookRequest(method="POST", path=urlsplit(url).path, headers=headers, body=body, url=url)
