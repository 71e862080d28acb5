"""A simulated account: the exchange, what Bandwidth keeps beyond it, and where everything that happens is told."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup
from attrs import define, frozen
from confkit_fake.exchange import (
    Bridge,
    Call,
    Conference,
    ErrorCode,
    Exchange,
    ExchangeError,
    Fact,
    MediaKind,
    Member,
)

from confkit_bandwidth.simulator import refusals
from confkit_bandwidth.simulator.delivery import Callback, CallbackSettings, Delivery
from confkit_bandwidth.simulator.details import CallDetails, ConferenceDetails, MemberDetails
from confkit_bandwidth.simulator.faults import Faults
from confkit_bandwidth.simulator.fields import Fields
from confkit_bandwidth.simulator.limits import RateLimits
from confkit_bandwidth.simulator.options import SimulatorOptions, Switches
from confkit_bandwidth.simulator.refusals import Refusal

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"
LOGGED_REQUESTS: Final = 10_000
LOGGED_ERRORS: Final = 1_000

#: What the exchange refuses, in Bandwidth's words. Ids of the path were looked up before, so an unknown call is one
#: that the body names.
_CODES: Final[Mapping[ErrorCode, tuple[str, str]]] = {
    ErrorCode.CONFERENCE_NOT_FOUND: ("conference-not-found", "The conference could not be found"),
    ErrorCode.CONFERENCE_ENDED: ("conference-error", "The conference is completed and cannot be updated"),
    ErrorCode.CONFERENCE_FULL: ("conference-max-members", "The conference has reached its maximum of members"),
    ErrorCode.CALL_NOT_FOUND: ("call-id-not-found", "The call could not be found"),
    ErrorCode.CALL_NOT_ANSWERED: ("call-unavailable", "The call is not available yet, try again"),
    ErrorCode.CALL_ANSWERED_ALREADY: ("call-invalid-state", "The call was answered already"),
    ErrorCode.CALL_OVER: ("call-invalid-state", "The call is over and cannot be updated"),
    ErrorCode.CALL_NOT_INCOMING: ("call-invalid-state", "The call is not an incoming call"),
    ErrorCode.CALL_OF_OTHER_CONFERENCE: (
        "invalid-call-conference-id",
        "The call was not created with this conference's id",
    ),
    ErrorCode.CALL_IN_CONFERENCE: ("call-invalid-state", "The call is in a conference"),
    ErrorCode.CALL_IN_OTHER_BRIDGE: ("bridge-bridged-callId", "The call is already in another bridge"),
    ErrorCode.ALREADY_MEMBER: (
        "conference-member-update-conflict",
        "The call is a member of the conference already",
    ),
    ErrorCode.MEMBER_NOT_FOUND: ("conference-member-not-found", "The member could not be found"),
    ErrorCode.MEMBER_LEFT: ("conference-error", "The member is completed and cannot be updated"),
    ErrorCode.BRIDGE_NOT_FOUND: ("bridge-not-found", "The bridge could not be found"),
    ErrorCode.BRIDGE_OVER: ("bridge-invalid-state", "The bridge is completed and cannot be updated"),
    ErrorCode.BRIDGE_FULL: ("bridge-callIds-overflow", "A bridge holds at most two calls"),
    ErrorCode.BRIDGE_EMPTY: ("bridge-invalid-operation", "There are no active calls in the bridge"),
    ErrorCode.NUMBER_NOT_OWNED: ("number-access-denied", "The number does not belong to your account"),
}


def refusal_for(error: ExchangeError) -> Refusal:
    """A refusal of the exchange as an answer of the API."""
    code, message = _CODES[error.code]
    return Refusal(code, message)


@define
class LoggedRequest:
    """A request as it came; ``status`` is ``None`` while there is no reply, for ever if none was sent."""

    method: str
    path: str
    operation: str | None
    at: str | None
    status: int | None = None


@frozen
class LoggedError:
    """A line of ``/errors``; a detail has an id, a name and a value."""

    id: str
    at: datetime
    category: str
    code: str | None
    message: str | None
    details: tuple[tuple[str, str, str], ...]


@frozen
class Transcription:
    """A transcription that was asked for; nothing is transcribed here, so it fails."""

    id: str
    at: datetime


class Account:
    """One account of the API.

    Args:
        base_url: of the server, for the URLs in replies and events.
        delivery: sends callbacks.
        tasks: where things that happen later wait.
        observe: told every fact of the exchange, in order.
    """

    def __init__(
        self,
        options: SimulatorOptions,
        *,
        base_url: str,
        delivery: Delivery,
        tasks: TaskGroup,
        observe: Callable[[Account, Fact], None],
    ) -> None:
        self.options = options
        self.base_url = base_url
        self.exchange = Exchange(
            max_members=options.max_members,
            numbers=options.numbers or None,
            seed=options.seed,
            end_hangs_up=options.switches.ending_hangs_up,
            only_own_calls=not options.switches.any_call_may_join,
        )
        self.exchange.default_answer_after = options.answer_after
        self.limits = RateLimits(options.switches, anyio.current_time)
        self.faults = Faults(options.faults, seed=options.seed)
        self.requests: deque[LoggedRequest] = deque(maxlen=LOGGED_REQUESTS)
        self.delivery = delivery
        self.conferences: dict[str, ConferenceDetails] = {}
        self.members: dict[str, MemberDetails] = {}
        self.calls: dict[str, CallDetails] = {}
        #: The tags of what is about to play, and of what plays, by target and kind.
        self.cued: dict[tuple[str, MediaKind], str | None] = {}
        self.playing: dict[tuple[str, MediaKind], str | None] = {}
        #: Parties whose calls fail, in the form under which spellings of one address are equal.
        self.failing: set[str] = set()
        #: What was refused, the last first.
        self.errors: deque[LoggedError] = deque(maxlen=LOGGED_ERRORS)
        self.domains: dict[str, dict[str, str]] = {}
        #: By the recording that they are of.
        self.transcriptions: dict[str, list[Transcription]] = {}
        self._presses = 0
        self._tasks = tasks
        self._observe = observe
        self._seen = 0
        self._random = random.Random(f"account {options.seed}")
        self.user_id, self.token, self.secret = (self.new_id(prefix) for prefix in ("u-", "t-", "s-"))

    @property
    def switches(self) -> Switches:
        """What the documentation leaves open."""
        return self.options.switches

    def new_id(self, prefix: str) -> str:
        """An id as the vendor's look: a prefix and 23 characters."""
        return prefix + "".join(self._random.choices(_LETTERS, k=23))

    def url(self, *path: str) -> str:
        """The absolute URL of a resource of this account."""
        return f"{self.base_url}{self.path(*path)}"

    def path(self, *path: str) -> str:
        """The path of a resource of this account."""
        return f"/v1/users/{self.user_id}/{'/'.join(path)}"

    def next_duration(self) -> str:
        """How long the next key is pressed, in the platform's units: two presses in a row differ."""
        self._presses += 1
        return str(800 + 160 * (self._presses % 20))

    def note_error(
        self, category: str, code: str | None, message: str | None, details: Iterable[Mapping[str, str]]
    ) -> None:
        """Keep an error for ``/errors``."""
        noted = tuple((self.new_id("ued-"), each["name"], each["value"]) for each in details)
        error = LoggedError(self.new_id("ue-"), self.exchange.now(), category, code, message, noted)
        self.errors.appendleft(error)

    # Time

    def catch_up(self) -> None:
        """Let happen what is due, and tell it: whoever looks at the account afterwards sees the present."""
        self.exchange.advance()
        while self._seen < len(self.exchange.history):
            fact = self.exchange.history[self._seen]
            self._seen += 1
            self._observe(self, fact)

    async def keep_up(self) -> None:
        """Catch up whenever something happens, for ever."""
        async for _ in self.exchange.facts():
            self.catch_up()

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something in a while."""

        async def wait() -> None:
            await anyio.sleep(seconds)
            self.catch_up()
            action()
            self.catch_up()

        self._tasks.start_soon(wait)

    def call_back(self, resource: str, event: Mapping[str, Any], settings: CallbackSettings) -> None:
        """Tell the client, where it wants to be told."""
        if callback := Callback.of(resource, event, settings):
            self.delivery.send(callback)

    # Resources named by a path

    def conference(self, conference_id: str) -> Conference:
        """The conference, or 404."""
        if conference := self.exchange.conferences.get(conference_id):
            return conference
        raise refusals.not_found("conference", conference_id)

    def member(self, conference_id: str, member_id: str) -> Member:
        """The member of that conference, or 404."""
        member = self.exchange.members.get(member_id)
        if member is None or member.conference_id != self.conference(conference_id).id:
            self.conference(conference_id)
            raise refusals.not_found("conference-member", member_id)
        return member

    def call(self, call_id: str) -> Call:
        """The call, or 404."""
        if call := self.exchange.calls.get(call_id):
            return call
        raise refusals.not_found("call", call_id)

    def bridge(self, bridge_id: str) -> Bridge:
        """The bridge, or 404."""
        if bridge := self.exchange.bridges.get(bridge_id):
            return bridge
        raise refusals.not_found("bridge", bridge_id)


def read_callbacks(fields: Fields, settings: CallbackSettings | None = None) -> CallbackSettings:
    """The callback properties of a body, over those that a resource has already.

    ``callbackTimeout`` has a maximum of 10 s (``postConferences.md``); the bodies of creation and update are alike.
    """
    old = settings or CallbackSettings()
    url, fallback = fields.url("callbackUrl"), fields.url("fallbackUrl")
    method, tag = fields.choice("callbackHttpMethod", ("get", "post")), fields.text("tag")
    timeout = fields.whole("callbackTimeout", least=1, most=10_000)
    return CallbackSettings(
        url=old.url if url is None else url,
        method=old.method if method is None else method,
        timeout_ms=old.timeout_ms if timeout is None else timeout,
        fallback_url=old.fallback_url if fallback is None else fallback,
        tag=old.tag if tag is None else tag,
    )
