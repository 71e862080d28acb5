"""Everything that confkit raises: one root, one class per decision a caller takes.

A provider's native exceptions never leave its plugin: it raises one of the :class:`ProviderError`
subclasses below, chosen by its own error table. Cancellation is never wrapped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from confkit.models.text import one_line

if TYPE_CHECKING:
    from confkit.models.records import Participant


class ConfkitError(Exception):
    """The root of every error that confkit raises on purpose.

    As a text it is one line that is safe to show, whatever a platform or a name has put into it. All can be pickled and
    copied, with what they hold.
    """

    def __str__(self) -> str:
        return one_line(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        # By default the class is called with the message alone, which is not what the classes below take.
        return _as_it_was, (type(self), self.args), self.__dict__


class PolicyError(ConfkitError):
    """The request breaks the policy; nothing was sent.

    Attributes:
        problems: every problem found, one sentence each, in the order of the parties.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class PluginError(ConfkitError):
    """A provider plugin cannot be used: it is broken, or it claims a name twice."""


class ProviderNotFound(PluginError):
    """No installed plugin has the name that was asked for."""


class SettingsError(PluginError):
    """Settings are missing, unknown or malformed; lists all of them, and never a value that is secret."""

    def __init__(self, provider: str, problems: Sequence[str]) -> None:
        self.provider = provider
        self.problems = tuple(problems)
        super().__init__(f"{provider}: " + "; ".join(self.problems))


class WebhookRejected(ConfkitError):
    """A webhook request failed verification or could not be read; it changes nothing.

    Attributes:
        status: the HTTP status to answer with, 400 to 499.
    """

    def __init__(self, reason: str, *, status: int = 403) -> None:
        self.status = status
        super().__init__(reason)


class MeetingError(ConfkitError):
    """A meeting could not be established or went wrong; everything it created was undone.

    Attributes:
        participants: what became of every party.
        left_behind: one sentence for each thing that could not be undone; empty when all was.
    """

    def __init__(
        self,
        message: str,
        *,
        participants: Sequence[Participant] = (),
        left_behind: Sequence[str] = (),
    ) -> None:
        self.participants = tuple(participants)
        self.left_behind = tuple(left_behind)
        if self.left_behind:
            message += "; NOT undone: " + "; ".join(self.left_behind)
        super().__init__(message)


class QuorumNotReached(MeetingError):
    """Fewer parties joined than the quorum asks for."""


class MeetingEnded(MeetingError):
    """The meeting is over, so the command cannot be carried out."""


class ProviderError(ConfkitError):
    """The provider could not or would not carry out an operation.

    Args:
        message: for the person who reads it; without secrets, numbers or bodies.
        provider: the provider's name.
        operation: the contract's operation, such as ``create_call``.
        code: the provider's own error code, if it gave one.
        status: the HTTP status, if there was one.
        raw: the provider's error payload, for programs; never part of the message.

    Attributes:
        left_behind: where a meeting or ``client.direct.join`` failed with this error, one sentence for each thing that
            was not undone.
    """

    #: May the core send the same request again once it has waited? Only where the provider certainly
    #: did not execute it.
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        operation: str = "",
        code: str | None = None,
        status: int | None = None,
        raw: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = one_line(message)
        self.provider = provider
        self.operation = operation
        self.code = code
        self.status = status
        self.raw: Mapping[str, Any] = raw or {}
        self.left_behind: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = f"{self.provider} {self.operation}".strip()
        facts = ", ".join(fact for fact in (f"HTTP {self.status}" if self.status else "", self.code or "") if fact)
        text = f"{place}: {self.message}" if place else self.message
        if facts:
            text += f" ({facts})"
        if self.left_behind:
            text += "; NOT undone: " + "; ".join(self.left_behind)
        return one_line(text)


class Unauthenticated(ProviderError):
    """The provider does not accept the credentials."""


class PermissionDenied(ProviderError):
    """The credentials are good, but not for this: another user's resource, a number that is not yours."""


class InvalidRequest(ProviderError):
    """The provider refuses the request as it is; change it before you send it again."""


class NotFound(ProviderError):
    """What the request names does not exist at the provider."""


class Conflict(ProviderError):
    """The state of the resource forbids the operation (it is over, or it is already so)."""


class NotReady(ProviderError):
    """Too early: the resource is not in the needed state yet. Certainly not executed; try again soon."""

    retryable = True


class CapacityReached(ProviderError):
    """The provider's limit is reached (members, concurrent calls); waiting does not help."""


class RateLimited(ProviderError):
    """Too many requests; certainly not executed.

    Attributes:
        retry_after: how long to wait before the next attempt; ``None`` where the provider does not say.
    """

    retryable = True

    def __init__(self, message: str, *, retry_after: timedelta | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class InsufficientFunds(ProviderError):
    """The account cannot pay for the request."""


class Unavailable(ProviderError):
    """The provider cannot be reached or is not serving; the request was certainly not executed."""

    retryable = True


class OutcomeUnknown(ProviderError):
    """The request may have been executed: no reply came, or one that says nothing certain.

    Attributes:
        answered: ``True`` when the provider has finished with the request (a 5xx, a reply that cannot
            be read), so that a look-up tells what became of it; ``False`` when it may still be working
            on it (time-out, connection lost), so that finding nothing proves nothing.
    """

    def __init__(self, message: str, *, answered: bool = False, **details: Any) -> None:
        super().__init__(message, **details)
        self.answered = answered


class Unsupported(ProviderError):
    """The provider lacks the capability; refused before anything was sent.

    Attributes:
        capability: what is lacking, such as ``create_bridge`` or ``play: text``.
    """

    def __init__(self, capability: str, *, provider: str = "", operation: str = "", hint: str = "") -> None:
        self.capability = capability
        message = f"the provider cannot do this: {capability}"
        super().__init__(message + (f"; {hint}" if hint else ""), provider=provider, operation=operation)


class Withdrawn(ProviderError):
    """The step was withdrawn before anything was sent, because its meeting is ending."""


def _as_it_was(kind: type[ConfkitError], args: tuple[Any, ...]) -> ConfkitError:
    """An error out of its pickle; its attributes follow."""
    error = kind.__new__(kind)
    error.args = args
    return error
