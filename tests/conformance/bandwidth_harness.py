"""Bandwidth's harness: the provider as it is, against the simulator over HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import confkit_bandwidth
import httpx
from confkit_bandwidth.simulator import Fault as SimulatedFault
from confkit_bandwidth.simulator import Running
from confkit_fake.exchange import Call, Exchange

from confkit.provider import (
    CallAnswered,
    CallEnded,
    CallState,
    ConferenceEnded,
    ConferenceStarted,
    Event,
    MemberJoined,
    MemberLeft,
    RecordingReady,
    Settings,
    Unknown,
    WebhookRequest,
)
from confkit.testing.conformance import Fault, Harness, Reaction

_FAULTS = {
    Fault.LOST_REPLY: "drop-reply",
    Fault.GARBLED: "garbled",
    Fault.SERVER_ERROR: "500",
    Fault.RATE_LIMITED: "call-rate-limit",
    Fault.FORBIDDEN: "number-access-denied",
    Fault.NO_FUNDS: "insufficient-available-balance",
}
_PAYLOADS: Mapping[type[Event], Mapping[str, str]] = {
    CallAnswered: {"eventType": "answer", "callState": "active"},
    CallEnded: {"eventType": "hangup", "cause": "NORMAL_CLEARING"},
    MemberJoined: {"eventType": "conference-member", "state": "active"},
    MemberLeft: {"eventType": "conference-member", "state": "completed"},
    ConferenceStarted: {"eventType": "conference", "status": "created"},
    ConferenceEnded: {"eventType": "conference", "status": "completed"},
    RecordingReady: {"eventType": "recording", "state": "complete", "status": "complete"},
    Unknown: {"eventType": "carrier-pigeon"},
}
_NAMES = {
    "call_id": "callId",
    "conference_id": "conferenceId",
    "member_id": "memberId",
    "recording_id": "recordingId",
    "op": "tag",
}


class BandwidthHarness(Harness):
    """One simulated account, for all tests of a module: each calls people of its own, and hangs up on all."""

    _first = count(0, 200)

    name = "bandwidth"
    module = confkit_bandwidth
    reports = frozenset(_PAYLOADS) - {Unknown}
    echoes = True

    def __init__(self, simulator: Running) -> None:
        self.simulator = simulator
        self._offset = next(self._first)
        self.secrets = (simulator.token, simulator.secret)
        self.settings: dict[str, Any] = {
            "user_id": simulator.user_id,
            "token": simulator.token,
            "secret": simulator.secret,
            "base_url": simulator.base_url,
            "limits": "off",
        }

    @classmethod
    def declared(cls) -> object:
        keywords = {"user_id": "u-1", "token": "t-1", "secret": "s-1", "limits": "off"}
        return confkit_bandwidth.confkit_create_provider(Settings(provider=cls.name, keywords=keywords, environ={}))

    def address(self, number: int) -> str:
        return f"+1919{5000000 + self._offset + number}"

    def clear(self) -> None:
        """Leave nothing behind for the next test."""
        self.simulator.account.faults.clear()
        self.simulator.run(_hang_up_all)

    def script(self, address: str, reaction: Reaction) -> None:
        self.simulator.run(lambda exchange: getattr(exchange.party(address), reaction.value)())

    def hang_up(self, address: str) -> None:
        self.simulator.run(
            lambda exchange: [
                exchange.hang_up(call_id)
                for call_id in exchange.rings[address]
                if exchange.calls[call_id].state is CallState.ANSWERED
            ]
        )

    def rings(self, address: str) -> int:
        return self.simulator.run(lambda exchange: len(exchange.rings.get(address, [])))

    def calls_up(self) -> int:
        return self.simulator.run(lambda exchange: len(_up(exchange)))

    def mutations(self) -> int:
        requests = self.simulator.account.requests
        return self.simulator.run(lambda _: sum(request.method != "GET" for request in requests))

    def provoke(self, fault: Fault, operation: str) -> None:
        if fault is Fault.UNREACHABLE:
            self.settings["base_url"] = "http://127.0.0.1:9"
        elif fault is Fault.BAD_CREDENTIALS:
            self.settings["secret"] = "wrong"
        else:
            simulated = SimulatedFault(operation=operation, kind=_FAULTS[fault], times=1)
            self.simulator.run(lambda _: self.simulator.account.faults.add(simulated))

    def call_in(self, caller: str) -> str | None:
        body = {"from": caller, "to": self.caller_id}
        call_id: str = httpx.post(f"{self.simulator.base_url}/_simulator/incoming", json=body).json()["id"]
        return call_id

    def webhook(self, event: type[Event], ids: Mapping[str, str], url: str) -> WebhookRequest:
        payload = {**_PAYLOADS[event], **{_NAMES[name]: value for name, value in ids.items()}}
        payload["time"] = "2026-11-23T12:00:00.000Z"
        return WebhookRequest(
            method="POST",
            path=urlsplit(url).path,
            headers={"content-type": "application/json"},
            body=json.dumps(payload).encode(),
            url=url,
        )


def _hang_up_all(exchange: Exchange) -> None:
    while up := _up(exchange):
        exchange.hang_up(up[0].id)  # which may be the end of others


def _up(exchange: Exchange) -> list[Call]:
    return [call for call in exchange.calls.values() if call.state is not CallState.ENDED]
