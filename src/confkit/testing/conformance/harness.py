"""What the suite must be told about a platform, and what it needs from it: the only thing that an author writes."""

from __future__ import annotations

import abc
import enum
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final

from confkit.models.errors import (
    InsufficientFunds,
    OutcomeUnknown,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Unauthenticated,
    Unavailable,
)
from confkit.models.events import (
    CallAnswered,
    CallEnded,
    CallRinging,
    ConferenceEnded,
    ConferenceStarted,
    Event,
    MemberJoined,
    MemberLeft,
    RecordingReady,
    WebhookRequest,
)
from confkit.provider.settings import Settings


class Reaction(enum.Enum):
    """What a party does when it is called."""

    #: Picks up at once.
    ANSWERS = "answers"
    BUSY = "busy"
    REJECTS = "rejects"
    #: Lets it ring until the platform gives up.
    NEVER_ANSWERS = "never_answers"


class Fault(enum.Enum):
    """What can become of one request; each asks for one portable error."""

    #: No connection comes about, so it was certainly not executed.
    UNREACHABLE = "unreachable"
    #: It is executed, but the reply never comes.
    LOST_REPLY = "lost_reply"
    #: It is executed, but the reply cannot be read.
    GARBLED = "garbled"
    #: The platform fails without saying whether it was executed.
    SERVER_ERROR = "server_error"
    #: Too many requests.
    RATE_LIMITED = "rate_limited"
    #: The credentials are good, but not for this.
    FORBIDDEN = "forbidden"
    #: The credentials are wrong.
    BAD_CREDENTIALS = "bad_credentials"
    #: The account cannot pay.
    NO_FUNDS = "no_funds"

    @property
    def error(self) -> type[ProviderError]:
        """The portable error that a request which changes something must end in."""
        return {
            Fault.UNREACHABLE: Unavailable,
            Fault.LOST_REPLY: OutcomeUnknown,
            Fault.GARBLED: OutcomeUnknown,
            Fault.SERVER_ERROR: OutcomeUnknown,
            Fault.RATE_LIMITED: RateLimited,
            Fault.FORBIDDEN: PermissionDenied,
            Fault.BAD_CREDENTIALS: Unauthenticated,
            Fault.NO_FUNDS: InsufficientFunds,
        }[self]


#: Every network loses connections and replies, so no platform may say that it cannot get into these.
ALWAYS: Final = frozenset({Fault.UNREACHABLE, Fault.LOST_REPLY})
#: Of what a platform may report, what the suite asks for.
REPORTED: Final[frozenset[type[Event]]] = frozenset(
    {
        CallRinging,
        CallAnswered,
        CallEnded,
        MemberJoined,
        MemberLeft,
        ConferenceStarted,
        ConferenceEnded,
        RecordingReady,
    }
)


class Harness(abc.ABC):
    """A platform under test, new and empty for every test, with its scripted parties.

    Subclass it, and name it as the ``harness_class`` of the suite. What is abstract every platform can do; what has a
    default is for those that have it. Nothing here waits: a platform in another thread or process is asked and
    answers.

    The tests are chosen while they are collected: from the provider's declarations, and from the attributes of this
    class that say what the platform cannot do. Whatever is not excepted there is tested, and fails where the harness
    does not do it.

    Attributes:
        name: the provider's.
        module: the plugin's module, which implements ``confkit_create_provider``; ``None`` where ``provider`` makes
            the provider in another way.
        settings: keywords with which the module builds a provider that reaches the platform.
        secrets: what must never be shown: tokens, passwords, signing keys.
        caller_id: a number that the account may show.
        lacks: the troubles that the platform cannot get into; a lost reply and no connection happen everywhere.
        reports: what the platform's webhooks tell of.
        stale_after: how old a request of the platform may be, where its signature covers the time.
        echoes: whether its webhook about a call that was answered has the key of the request that made the call.
        patience: seconds within which everything that the platform does at once has been done.
    """

    name: str = ""
    module: Any = None
    settings: Mapping[str, Any] = {}
    secrets: tuple[str, ...] = ()
    caller_id: str = "+12018994444"
    lacks: ClassVar[frozenset[Fault]] = frozenset()
    reports: ClassVar[frozenset[type[Event]]] = REPORTED
    stale_after: ClassVar[timedelta | None] = None
    echoes: ClassVar[bool] = False
    patience: float = 5.0

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        if "signs_webhooks" in vars(cls):
            raise TypeError(f"{cls.__name__}.signs_webhooks: the provider says so now, in Capabilities.signs_webhooks")

    @classmethod
    def declared(cls) -> object:
        """A provider that declares what those of :meth:`provider` do; it is asked for nothing else.

        For the choice of the tests, which comes before any platform runs. Override it where the harness cannot be
        made without one.
        """
        return cls().provider()

    def provider(self) -> object:
        """A new provider, connected to the platform."""
        settings = Settings(provider=self.name, keywords=self.settings, environ={})
        return self.module.confkit_create_provider(settings)

    @abc.abstractmethod
    def script(self, address: str, reaction: Reaction) -> None:
        """Say what a party does when it is called; whoever has no script answers at once."""

    @abc.abstractmethod
    def hang_up(self, address: str) -> None:
        """The party, which has answered, hangs up now."""

    @abc.abstractmethod
    def rings(self, address: str) -> int:
        """How often the platform has dialled the party."""

    @abc.abstractmethod
    def calls_up(self) -> int:
        """How many calls are ringing or answered now."""

    @abc.abstractmethod
    def mutations(self) -> int:
        """How many requests that change something have reached the platform, whatever became of them."""

    def address(self, number: int) -> str:
        """The address of a party that the platform can dial, for numbers from 1 on."""
        return f"+1919555{number:04d}"

    def missing(self, kind: str) -> str:
        """An id that nothing has.

        Args:
            kind: ``conference``, ``call``, ``member`` or ``bridge``.
        """
        return f"missing-{kind}"

    @abc.abstractmethod
    def provoke(self, fault: Fault, operation: str) -> None:
        """Let the next request of an operation run into a fault.

        Args:
            fault: none that the harness :attr:`lacks`. ``LOST_REPLY`` is asked for at any time, the others before the
                provider is made.
            operation: ``create_call`` or ``fetch``; for a lost reply also what ``find`` is declared for. Where it takes
                several requests, the last one that changes something.
        """

    def answered(self, address: str) -> bool:
        """Whether the party has answered and has not hung up since; for providers without ``tells_answers``."""
        raise NotImplementedError("no record tells of answers, so the harness must")

    def call_in(self, caller: str) -> str | None:
        """Let a party call a number of the account; gives the call's id.

        For providers that answer or reject calls. ``None`` says "not yet", where the provider must be listening first:
        it is asked again until the harness's patience is at its end.
        """
        raise NotImplementedError("the provider takes calls that come in, so the harness must let somebody call")

    def webhook(self, event: type[Event], ids: Mapping[str, str], url: str) -> WebhookRequest:
        """A genuine request of the platform, as the provider's ``receive`` sees it; for providers that have webhooks.

        Its ``at`` is the instant at which the platform signs it: now, unless the platform has a clock of its own.

        Args:
            event: what it reports, of :attr:`reports`; or ``Unknown`` for a type that nobody has heard of.
            ids: ``call_id``, ``conference_id``, ``bridge_id``, ``member_id``, ``recording_id`` of what it is about; of
                an ``IncomingCall`` also ``caller`` and ``called``; and ``op``, our key of the request that
                made it, where the harness :attr:`echoes`.
            url: the callback URL to which the platform sends it; the request has its path.
        """
        raise NotImplementedError("the provider declares webhooks, so the harness must make them")
