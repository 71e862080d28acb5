"""Lark's harness: the provider over the simulator, with the wire between them in reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import confkit_lark
import httpx
from attrs import evolve
from confkit_lark.provider import LarkProvider
from confkit_lark.settings import LarkSettings
from confkit_lark.simulator import Lark, Refusal

from confkit.provider import (
    CallAnswered,
    CallEnded,
    CallRinging,
    CallState,
    ConferenceEnded,
    ConferenceStarted,
    Event,
    MemberJoined,
    MemberLeft,
    Unknown,
    WebhookRequest,
)
from confkit.testing.conformance import Fault, Harness, Reaction

_EVENTS: Mapping[type[Event], str] = {
    CallRinging: "ringing",
    CallAnswered: "answered",
    CallEnded: "ended",
    MemberJoined: "participant-join",
    MemberLeft: "participant-leave",
    ConferenceStarted: "room-start",
    ConferenceEnded: "room-end",
    Unknown: "room-repainted",
}
_REFUSALS: Mapping[Fault, Refusal] = {
    Fault.SERVER_ERROR: Refusal(500, 20500, "internal error"),
    Fault.RATE_LIMITED: Refusal(429, 20429, "too many requests", **{"Retry-After": "1"}),
    Fault.FORBIDDEN: Refusal(403, 21210, "not your number"),
    Fault.NO_FUNDS: Refusal(403, 20005, "the account is suspended until it pays"),
}


class Wire(httpx.AsyncBaseTransport):
    """Carries requests to the simulator, and loses the next reply to a path if it is told to."""

    def __init__(self, lark: Lark) -> None:
        self._simulator = httpx.ASGITransport(app=lark.app())
        self.down = False
        self.fault: tuple[Fault, str] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("connection refused")
        response = await self._simulator.handle_async_request(request)
        fault, part = self.fault or (None, "")
        if fault is None or part not in request.url.path:
            return response
        self.fault = None
        if fault is Fault.LOST_REPLY:
            raise httpx.ReadError("connection reset")
        return httpx.Response(response.status_code, content=b"<html>")


class LarkHarness(Harness):
    """An account of its own for every test."""

    name = "lark"
    module = confkit_lark

    def __init__(self) -> None:
        self.lark = Lark()
        self.wire = Wire(self.lark)
        self.secrets = (self.lark.token, self.lark.signing_key)
        self.settings: dict[str, Any] = {
            "account": self.lark.account,
            "token": self.lark.token,
            "signing_key": self.lark.signing_key,
        }

    def provider(self) -> LarkProvider:
        return LarkProvider(LarkSettings(**self.settings), transport=self.wire)

    def script(self, address: str, reaction: Reaction) -> None:
        getattr(self.lark.exchange.party(address), reaction.value)()

    def hang_up(self, address: str) -> None:
        self.lark.exchange.advance()
        for call_id in self.lark.exchange.rings[address]:
            if self.lark.exchange.calls[call_id].state is CallState.ANSWERED:
                self.lark.exchange.hang_up(call_id)

    def rings(self, address: str) -> int:
        return len(self.lark.exchange.rings.get(address, []))

    def calls_up(self) -> int:
        self.lark.exchange.advance()
        return sum(call.state is not CallState.ENDED for call in self.lark.exchange.calls.values())

    def mutations(self) -> int:
        return sum(method != "GET" for method, _ in self.lark.requests)

    def provoke(self, fault: Fault, operation: str) -> None:
        if fault is Fault.UNREACHABLE:
            self.wire.down = True
        elif fault is Fault.BAD_CREDENTIALS:
            self.settings["token"] = "wrong"
        elif fault in _REFUSALS:
            self.lark.refusals[operation] = _REFUSALS[fault]
        else:
            self.wire.fault = fault, "/participants" if operation == "create_call" else "/calls/"

    def webhook(self, event: type[Event], ids: Mapping[str, str], url: str) -> WebhookRequest:
        names = {"call_id": "CallSid", "conference_id": "RoomSid"}
        fields: dict[str, Any] = {names[name]: value for name, value in ids.items() if name in names}
        fields["Event"] = _EVENTS[event]
        fields["EventSid"] = "-".join(("EV", _EVENTS[event], *ids.values()))
        fields["Timestamp"] = "2026-11-23T12:00:00+00:00"
        if event is CallEnded:
            fields["CallStatus"] = "completed"
        headers, body = self.lark.callback(url, **fields)
        request = WebhookRequest(method="POST", path="", headers=headers, body=body, url=url)
        return evolve(request, path=urlsplit(url).path)
