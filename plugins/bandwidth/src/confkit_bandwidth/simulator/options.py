"""How a simulated account behaves: its settings, and a switch for everything that Bandwidth's pages leave open."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self, get_args, get_type_hints

from attrs import field, fields, frozen

from confkit.provider import is_e164
from confkit_bandwidth.simulator.faults import Fault


@frozen(kw_only=True)
class Switches:
    """What the documentation of Bandwidth v1 does not settle; each default is the reading that seems likeliest.

    Args:
        ending_hangs_up: ending a conference, or removing a member, also hangs up the calls.
        unanswered_member: the error for adding a call that has not been answered.
        any_call_may_join: a call that was not created with the conference's id may be added, an incoming one too.
        completed_members_count: members that have left still count against the maximum of 20.
        duplicate_member: adding a call that is a member already is a conflict, or succeeds with the same member.
        after_timeout: what follows a call that nobody answered: a ``timeout`` and a ``hangup`` event, or one of them.
        member_events: a ``conference-member`` event for changes only, or for every update.
        active_members: does ``activeMembers`` of a leave event count the one who leaves?
        tags_everywhere: events carry the tag also where their tables omit it.
        family_bucket: do all paths of ``/conferences`` share one rate limit, or has each path template its own?
        family_window: one request per window: at least 1000 ms apart, or in fixed windows of one second.
        call_rate: ``burst`` allows 10 creations in any 10 s; ``strict`` one in any second.
        refused_calls_count: refused creations count in the average.
        call_window_inclusive: a creation exactly one period old still counts.
        calls_use_family: creating a call also takes the ``/calls`` family's turn.
        failed_requests_count: requests that fail with 4xx take the family's turn.
        bad_credentials_code: the error code in a 401 for bad credentials; none is documented.
        json_only: a body that is not declared as JSON is refused with 415.
        big_page: a page size over 1000 is refused, or cut to 1000.
        refusals: a party's refusal is a ``hangup``, as the pages say, or a ``reject``, as SDKs have it.
        failures: a call's failure is a ``hangup``, or an ``error``, as the older SDK for Python has it.
        locations: the ``Location`` headers absolute, as the vendor's SDK for Java needs them; as on the reference pages
            (bridges under ``/calls``); or as in the how-to for conference calls (members without the conference's id).
        timestamps: UTC (``Z``) in whole seconds, as in all records since 2014 and as the SDK for Java needs it; UTC
            with milliseconds; seconds with a bare offset (``-02``); milliseconds with ``-02:00``.
    """

    ending_hangs_up: bool = False
    unanswered_member: Literal["call-unavailable", "call-invalid-state"] = "call-unavailable"
    any_call_may_join: bool = False
    completed_members_count: bool = False
    duplicate_member: Literal["conflict", "same"] = "conflict"
    after_timeout: Literal["both", "timeout", "hangup"] = "both"
    member_events: Literal["changes", "updates"] = "changes"
    active_members: Literal["after", "before"] = "after"
    tags_everywhere: bool = False
    family_bucket: Literal["shared", "path"] = "shared"
    family_window: Literal["sliding", "fixed"] = "sliding"
    call_rate: Literal["burst", "strict"] = "burst"
    refused_calls_count: bool = False
    call_window_inclusive: bool = False
    calls_use_family: bool = False
    failed_requests_count: bool = True
    bad_credentials_code: str | None = None
    json_only: bool = False
    big_page: Literal["refuse", "cut"] = "refuse"
    refusals: Literal["hangup", "reject"] = "hangup"
    failures: Literal["hangup", "error"] = "hangup"
    locations: Literal["absolute", "reference", "how-to"] = "absolute"
    timestamps: Literal["seconds", "utc", "short-offset", "offset"] = "seconds"

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """Read switches such as ``locations=reference`` and ``json_only=true``.

        Raises:
            ValueError: saying what is wrong with the first that cannot be read.
        """
        kinds = get_type_hints(cls)
        values: dict[str, Any] = {}
        for text in texts:
            name, _, value = (part.strip() for part in text.partition("="))
            if name not in kinds:
                raise ValueError(f"no switch is called {name!r}; there are {', '.join(kinds)}")
            choices = {"true": True, "false": False} if kinds[name] is bool else {c: c for c in get_args(kinds[name])}
            if kinds[name] == str | None:
                choices = {value: value or None}
            if value not in choices:
                raise ValueError(f"{name} is one of {', '.join(choices)}, not {value!r}")
            values[name] = choices[value]
        return cls(**values)


def _probability(_: object, attribute: object, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{getattr(attribute, 'name', 'value')} is a probability, from 0 to 1")


def _not_negative(_: object, attribute: object, value: float) -> None:
    if not 0 <= value < float("inf"):
        raise ValueError(f"{getattr(attribute, 'name', 'value')} is a number of seconds, 0 or more")


@frozen(kw_only=True)
class CallbackFaults:
    """What becomes of callbacks on their way; each is a probability from 0 to 1, drawn per callback.

    Args:
        lose: it is never sent.
        duplicate: it is sent twice.
        delay: it is sent up to ``delay_seconds`` late.
        reorder: it is sent after the one that follows it, or after ``delay_seconds`` when none does.
        delay_seconds: in seconds.
    """

    lose: float = field(default=0.0, validator=_probability)
    duplicate: float = field(default=0.0, validator=_probability)
    delay: float = field(default=0.0, validator=_probability)
    reorder: float = field(default=0.0, validator=_probability)
    delay_seconds: float = field(default=0.5, validator=_not_negative)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``lose=0.1,duplicate=0.2``.

        Raises:
            ValueError: saying what is wrong with it.
        """
        names = tuple(attribute.name for attribute in fields(cls))
        values: dict[str, float] = {}
        for item in text.split(","):
            name, _, value = (part.strip() for part in item.partition("="))
            if name not in names:
                raise ValueError(f"no mishap of callbacks is called {name!r}; there are {', '.join(names)}")
            try:
                values[name] = float(value)
            except ValueError:
                raise ValueError(f"{name} takes a number, such as {name}=0.1") from None
        return cls(**values)


def _off_or_documented(_: object, __: object, value: str) -> None:
    if value not in ("off", "documented"):
        raise ValueError(f"rate limits are off or documented, not {value!r}")


def _numbers(numbers: object) -> frozenset[str]:
    return frozenset(numbers)  # type: ignore[call-overload, no-any-return]


def _all_e164(_: object, __: object, value: frozenset[str]) -> None:
    if bad := sorted(number for number in value if not is_e164(number)):
        raise ValueError(f"numbers on the account are E.164, + and digits: {bad[0]!r} is not")


@frozen(kw_only=True)
class SimulatorOptions:
    """One simulated account.

    Args:
        numbers: the numbers on the account; empty: any number is on it.
        answer_after: how long parties without a script ring before they answer, in seconds.
        latency: how long every reply takes at least, in seconds.
        rate_limits: ``documented`` enforces the default limits of Bandwidth's pages.
        faults: what goes wrong with requests.
        slow_seconds: how late the faults ``slow`` and ``late`` are, in seconds.
        callbacks: what goes wrong with callbacks.
        max_members: how many a conference holds.
        seed: of everything that is drawn by chance, ids and credentials included.
        switches: what the documentation leaves open.
    """

    numbers: frozenset[str] = field(factory=frozenset, converter=_numbers, validator=_all_e164)
    answer_after: float = field(default=0.0, validator=_not_negative)
    latency: float = field(default=0.0, validator=_not_negative)
    rate_limits: Literal["off", "documented"] = field(default="off", validator=_off_or_documented)
    faults: tuple[Fault, ...] = ()
    slow_seconds: float = field(default=1.0, validator=_not_negative)
    callbacks: CallbackFaults = CallbackFaults()
    max_members: int = 20
    seed: int = 0
    switches: Switches = Switches()
