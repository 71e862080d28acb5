"""The errors of Bandwidth v1 on the wire (``errors.md``): one table from code to status and category."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: code → (HTTP status, category), for the operations of this subset.
CODES: Final[Mapping[str, tuple[int, str]]] = {
    "validation-error": (400, "bad-request"),
    "missing-property": (400, "bad-request"),
    "callback-invalid-url": (400, "bad-request"),
    "callback-url-invalid": (400, "bad-request"),
    "bridge-invalid-operation": (400, "bad-request"),
    "bridge-bridged-callId": (400, "bad-request"),
    "bridge-invalid-state": (400, "bad-request"),
    "user-access-denied": (401, "authorization"),
    "number-access-denied": (401, "authorization"),
    "no-allocated-number": (401, "authorization"),
    "insufficient-available-balance": (403, "credit"),
    "call-rate-limit": (403, "limit"),
    "conference-max-members": (403, "limit"),
    "conference-error": (403, "forbidden"),
    "invalid-call-conference-id": (403, "forbidden"),
    "call-id-not-found": (403, "forbidden"),
    "call-invalid-state": (403, "forbidden"),
    "call-audio-invalid-state": (403, "forbidden"),
    "bridge-callIds-overflow": (403, "forbidden"),
    "invalid-call-to-number": (403, "forbidden"),
    "invalid-destination-number": (403, "forbidden"),
    "maximum-recording-value-request": (403, "forbidden"),
    "media-invalid-url": (403, "forbidden"),
    "media-not-supported": (403, "forbidden"),
    "media-size-overflow": (403, "forbidden"),
    "conference-not-found": (404, "not-found"),
    "conference-member-not-found": (404, "not-found"),
    "call-not-found": (404, "not-found"),
    "bridge-not-found": (404, "not-found"),
    "recording-not-found": (404, "not-found"),
    "media-not-found": (404, "not-found"),
    "number-not-found": (404, "not-found"),
    "user-not-found": (404, "not-found"),
    "resource-not-found": (404, "not-found"),
    "conference-update-conflict": (409, "conflict"),
    "conference-member-update-conflict": (409, "conflict"),
    "call-update-conflict": (409, "conflict"),
    "bridge-update-conflict": (409, "conflict"),
    "recording-update-conflict": (409, "conflict"),
    "call-duplicate-gather-error": (409, "conflict"),
    "conflicted-recording-values-request": (409, "conflict"),
    "duplicate-conference": (409, "conflict"),
    "duplicate-bridge": (409, "conflict"),
    "call-duplicated-error": (409, "conflict"),
    "duplicate-recording": (409, "conflict"),
    "duplicate-call-event": (409, "conflict"),
    "rate-limit-reached": (429, "too-many-requests"),
    "too-many-requests": (429, "too-many-requests"),
    "backend-protocol-support-failure": (500, "backend"),
    "pre-pay-refill-missing-payment-info": (500, "payment"),
    "pre-pay-refill-amount-too-low": (500, "payment"),
    "pre-pay-transaction-type-error": (500, "payment"),
    "pre-pay-transaction-error": (500, "payment"),
    "call-unavailable": (503, "unavailable"),
    "call-creation-failure": (503, "unavailable"),
    "call-transfer-error": (503, "unavailable"),
    "audio-update-failure": (503, "unavailable"),
    "send-dtmf-failure": (503, "unavailable"),
    "bridge-create-error": (503, "unavailable"),
    "bridge-update-error": (503, "unavailable"),
    "speak-error": (503, "unavailable"),
    "media-unavailable": (503, "unavailable"),
    "gateway-unavailable": (503, "unavailable"),
    "service-provider-configuration-error": (503, "unavailable"),
    "internal-error": (503, "unavailable"),
}


class Refusal(Exception):
    """A request is answered with an error body.

    Args:
        code: of :data:`CODES`, or ``None`` for the one error without a code (bad credentials).
        message: the human text; ``None`` leaves the property out, as the 429 of ``resourceRateLimits.md`` does.
        details: further ``name: value`` pairs of ``details``.
        headers: of the reply.
    """

    def __init__(
        self,
        code: str | None,
        message: str | None,
        *,
        status: int | None = None,
        category: str | None = None,
        details: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        known = CODES.get(code or "", (400, "bad-request"))
        self.status = status or known[0]
        self.category = category or known[1]
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})
        super().__init__(f"{self.status} {code}: {message}")

    def body(self, *, method: str, path: str, remote: str) -> dict[str, Any]:
        """The JSON body.

        Args:
            path: of the request; ``details`` shows it without the leading slash and the version.
            remote: the client's address.
        """
        body: dict[str, Any] = {"category": self.category}
        if self.code is not None:
            body["code"] = self.code
        if self.message is not None:
            body["message"] = self.message
        details = {
            **self.details,
            "requestMethod": method,
            "remoteAddress": remote,
            "requestPath": path.removeprefix("/v1/").strip("/"),
        }
        body["details"] = [{"name": name, "value": value} for name, value in details.items()]
        return body


def invalid(message: str) -> Refusal:
    """400 ``validation-error``."""
    return Refusal("validation-error", message)


def missing(name: str) -> Refusal:
    """400 ``missing-property``."""
    return Refusal("missing-property", f"The '{name}' property is required but was not specified")


def not_found(kind: str, identifier: str) -> Refusal:
    """404: the id of the path is unknown.

    Args:
        kind: ``conference``, ``conference-member``, ``call``, ``bridge`` or ``recording``.
    """
    name = {"conference-member": "memberId"}.get(kind, f"{kind}Id")
    return Refusal(
        f"{kind}-not-found",
        f"The {kind.replace('-', ' ')} {identifier} could not be found",
        details={name: identifier},
    )


def no_such_resource() -> Refusal:
    """404: there is no such operation."""
    return Refusal("resource-not-found", "The requested resource could not be found")
