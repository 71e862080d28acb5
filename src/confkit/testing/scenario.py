"""Scenarios: everything that may happen to an application and its meetings, drawn from one integer.

A scenario is a frozen value. It can be printed, compared, made simpler, and played again.
"""

from __future__ import annotations

import random
from typing import Any

from attrs import evolve, frozen

#: Operations that faults are drawn for; those that matter most stand there more than once.
_OPERATIONS = (
    *("create_call",) * 5,
    *("add_member",) * 3,
    *("hang_up",) * 3,
    *("create_conference",) * 2,
    *("end_conference",) * 2,
    *("create_bridge",) * 2,
    *("find",) * 2,
    "end_bridge",
    "fetch",
    "list_calls",
    "update_member",
    "play",
)
_FAULTS = ("refuse", "drop-reply", "drop-reply", "lost", "late", "late", "error-500", "rate-limit", "slow")
_SIZES = (1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 8, 12, 16, 20)


@frozen(kw_only=True)
class Person:
    """A party and what it does when it is rung. Times in seconds.

    Args:
        presses: keys, as soon as it has answered.
    """

    name: str
    address: str
    reaction: str = "answers"
    after: float = 0.0
    hangs_up_after: float | None = None
    presses: str = ""


@frozen(kw_only=True)
class ScriptedFault:
    """A fault between the application and the platform; the fake's :class:`FaultKind` says what each kind is."""

    operation: str
    kind: str
    times: int = 1
    after: int = 0
    seconds: float = 1.0


@frozen(kw_only=True)
class Post:
    """How events travel.

    Args:
        late: up to so many seconds; late ones overtake each other.
        twice: the probability that one comes twice.
        breaks: the probability that the stream ends after one, and what happens until it is open again is missed.
        lost: the probability that one is lost and nobody says so.
        foreign: the probability that one is followed by another about what is not ours, sent to an address of ours.
        false: the probability that one is followed by the news that a call which is up has ended.
        addressed: events name the workflow that they were addressed to, as callback URLs make them.
    """

    late: float = 0.0
    twice: float = 0.0
    breaks: float = 0.0
    lost: float = 0.0
    foreign: float = 0.0
    false: float = 0.0
    addressed: bool = False

    @property
    def is_true(self) -> bool:
        """Whether whatever happens is told, and nothing that does not happen."""
        return not (self.lost or self.false or self.breaks)


@frozen(kw_only=True)
class Deed:
    """Something that the application does so many seconds after it asked for the meeting.

    Args:
        person: whom it is about, by position: the invited first, then the others.
    """

    at: float
    what: str
    person: int = 0


@frozen(kw_only=True)
class Cancellation:
    """The application's task is cancelled: so many seconds after it asked, and so many turns of the loop later."""

    at: float
    turns: int = 0


@frozen(kw_only=True)
class Gathering:
    """One meeting of the application.

    Args:
        others: people who may be added later.
        stays: seconds in the block.
        leaves: ``leave`` the block, ``raise`` in it, or ``end`` the meeting first.
    """

    people: tuple[Person, ...]
    others: tuple[Person, ...] = ()
    quorum: int = 2
    expandable: bool = False
    answer_timeout: float = 30.0
    starts: float = 0.0
    stays: float = 1.0
    deeds: tuple[Deed, ...] = ()
    cancellation: Cancellation | None = None
    leaves: str = "leave"

    @property
    def everybody(self) -> tuple[Person, ...]:
        """The invited and the others."""
        return (*self.people, *self.others)


@frozen(kw_only=True)
class Scenario:
    """A whole run.

    Args:
        seed: also decides the order of the scheduler, the ids, and what becomes of each event.
        strict: the platform's limits are half of what it publishes.
        maximum: the policy's.
        lists_ended: the platform's lists and look-ups show what is over, too.
        whole_seconds: the platform tells instants without fractions of a second.
        echoes: its events carry the key of the request that made what they are about.
        finds: what a lost request made can be looked up.
        skew: seconds that the platform's clock is ahead.
        client_cancelled: seconds after which everything is cancelled, as by Ctrl-C.
    """

    seed: int
    gatherings: tuple[Gathering, ...]
    shape: str = "explicit"
    joins: str = "dial"
    tells_room: str = "event"
    bridge: str = "after"
    events: str = "stream"
    client_ids: bool = False
    rates: str = "off"
    strict: bool = False
    latency: float = 0.0
    end_hangs_up: bool = False
    lists_ended: bool = True
    whole_seconds: bool = False
    echoes: bool = False
    finds: bool = True
    max_members: int | None = 20
    maximum: int = 20
    skew: float = 0.0
    faults: tuple[ScriptedFault, ...] = ()
    post: Post = Post()
    client_cancelled: Cancellation | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The fake's settings."""
        return {
            "shape": self.shape,
            "joins": self.joins,
            "tells_room": self.tells_room,
            "bridge": self.bridge,
            "events": self.events,
            "client_ids": self.client_ids,
            "rates": self.rates,
            "latency": self.latency,
            "end_hangs_up": self.end_hangs_up,
            "lists_ended": self.lists_ended,
            "whole_seconds": self.whole_seconds,
            "echoes": self.echoes,
            "finds": self.finds,
            "max_members": self.max_members,
        }

    def __str__(self) -> str:
        platform = ", ".join(
            f"{name}={value}"
            for name, value in {**self.settings, "strict": self.strict, "maximum": self.maximum}.items()
        )
        lines = [f"seed {self.seed}: {platform}", f"  post: {self.post}  skew: {self.skew:g} s"]
        lines += [f"  {fault}" for fault in self.faults]
        if self.client_cancelled:
            lines.append(f"  everything cancelled: {self.client_cancelled}")
        for number, meeting in enumerate(self.gatherings, 1):
            lines.append(
                f"  meeting {number}: quorum={meeting.quorum} expandable={meeting.expandable} "
                f"answer_timeout={meeting.answer_timeout:g} starts={meeting.starts:g} stays={meeting.stays:g} "
                f"leaves={meeting.leaves} cancellation={meeting.cancellation}"
            )
            lines += [f"    {person}" for person in meeting.people]
            lines += [f"    later: {person}" for person in meeting.others]
            lines += [f"    {deed}" for deed in meeting.deeds]
        return "\n".join(lines)


def draw(seed: int) -> Scenario:
    """The scenario of a seed."""
    chance = random.Random(f"scenario {seed}")
    crowd = _Crowd(chance)
    rates = chance.choices(("off", "bandwidth"), (6, 4))[0]
    count = chance.choices((1, 2, 3), (70, 20, 10))[0]
    events = chance.choices(("stream", "poll"), (2, 1))[0]
    scenario = _named(
        seed,
        Scenario(
            seed=seed,
            gatherings=tuple(_gathering(chance, crowd, small=count > 1, slow=rates != "off") for _ in range(count)),
            shape=chance.choice(("explicit", "on_join", "from_call", "fused")),
            bridge=chance.choice(("after", "first", "none")),
            events=events,
            client_ids=chance.choice((False, True)),
            rates=rates,
            strict=rates != "off" and chance.random() < 0.2,
            latency=chance.choice((0.0, 0.0, 0.05, 0.3)),
            end_hangs_up=chance.random() < 0.3,
            max_members=chance.choice((20, 20, None, 4)),
            maximum=chance.choice((20, 20, 20, 5, 3)),
            skew=chance.choice((0.0, 0.0, 0.0, 2.0, -2.0)),
            faults=_mishaps(chance),
            post=_post(chance) if events == "stream" else Post(),
            client_cancelled=_cancellation(chance) if chance.random() < 0.08 else None,
        ),
    )
    chance = random.Random(f"keys {seed}")  # of its own, too
    echoes = chance.random() < 0.25
    return evolve(scenario, echoes=echoes, finds=chance.random() < (0.3 if echoes else 0.9))


def _named(seed: int, scenario: Scenario) -> Scenario:
    """A fifth of the platforms know rooms by their names, in every way in which that is known."""
    chance = random.Random(f"rooms by name {seed}")
    if chance.random() < 0.2:
        joins, tells_room = chance.choice(("dial", "add", "both")), chance.choice(("reply", "event"))
        scenario = evolve(scenario, shape="by_name", joins=joins, tells_room=tells_room)
    return _meaner(seed, scenario)


def _meaner(seed: int, scenario: Scenario) -> Scenario:
    """What was learned later of how mean platforms are, by a chance of its own: what a seed was before, it still is."""
    chance = random.Random(f"meaner {seed}")
    post = scenario.post
    if scenario.events == "stream":
        post = evolve(
            post,
            foreign=chance.choice((0.0, 0.0, 0.0, 0.2)),
            false=chance.choice((0.0, 0.0, 0.0, 0.0, 0.0, 0.1)),
            addressed=chance.random() < 0.4,
        )
    faults = tuple(
        evolve(fault, kind="error-after") if fault.kind == "error-500" and chance.random() < 0.5 else fault
        for fault in scenario.faults
    )
    gatherings = tuple(
        evolve(gathering, people=tuple(_pressing(chance, person) for person in gathering.people))
        for gathering in scenario.gatherings
    )
    if chance.random() < 0.1:
        # Nothing goes wrong but that who is in first leaves before the others answer, which alone is rare.
        alone = _left_early(chance, gatherings[0])
        told = Post(foreign=0.5 if post.foreign else 0.0)
        return evolve(scenario, gatherings=(alone,), post=told, faults=(), strict=False)
    return evolve(
        scenario,
        gatherings=gatherings,
        post=post,
        faults=faults,
        lists_ended=chance.random() < 0.75,
        whole_seconds=chance.random() < 0.3,
        skew=chance.choice((5.0, -5.0, 3600.0, -3600.0)) if chance.random() < 0.3 else scenario.skew,
    )


def _left_early(chance: random.Random, gathering: Gathering) -> Gathering:
    """Three or more, of whom the first answer at once and leave, and the others answer after that, and stay."""
    leavers = chance.choice((1, 1, 2))
    numbers = range(1, leavers + chance.choice((2, 3, 5)) + 1)
    after = round(chance.uniform(1.5, 2.9), 3)
    people = tuple(
        Person(
            name=f"P{number}",
            address=f"+1202555{number:04d}",
            after=0.0 if number <= leavers else after,
            hangs_up_after=0.4 if number <= leavers else None,
        )
        for number in numbers
    )
    return evolve(gathering, people=people, others=(), deeds=(), quorum=2, cancellation=None, answer_timeout=30.0)


def _pressing(chance: random.Random, person: Person) -> Person:
    return evolve(person, presses=chance.choice(("5", "55"))) if chance.random() < 0.1 else person


class _Crowd:
    """People with names and numbers that nobody else has."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._count = 0

    def person(self, *, answer_timeout: float, calm: bool) -> Person:
        chance = self._chance
        self._count += 1
        number = self._count
        reaction = chance.choices(("answers", "busy", "rejects", "unreachable", "never_answers"), (78, 6, 6, 4, 6))[0]
        after = chance.choice((0.0, 0.0, 0.1, chance.uniform(0, 5), chance.uniform(0, answer_timeout * 1.2)))
        hangs_up: float | None = None
        if calm:
            reaction, after = "answers", after % answer_timeout
        elif chance.random() < 0.25:
            hangs_up = chance.choice((0.0, 0.05, 0.5, chance.uniform(0, 10), chance.uniform(0, 40)))
        return Person(
            name=f"P{number}",
            address=f"sip:p{number}@example.com" if chance.random() < 0.1 else f"+1202555{number:04d}",
            reaction=reaction,
            after=round(after, 3),
            hangs_up_after=None if hangs_up is None else round(hangs_up, 3),
        )


def _gathering(chance: random.Random, crowd: _Crowd, *, small: bool, slow: bool) -> Gathering:
    size = chance.choice(_SIZES)
    if small:
        size = min(size, 6)
    elif chance.random() < 0.01:
        size = chance.choice((0, 21))
    answer_timeout = chance.choice((30.0, 30.0, 10.0, 3.0))
    calm = chance.random() < 0.3
    people = tuple(crowd.person(answer_timeout=answer_timeout, calm=calm) for _ in range(size))
    others = tuple(
        crowd.person(answer_timeout=answer_timeout, calm=False)
        for _ in range(0 if calm else chance.choice((0, 0, 1, 2, 4)))
    )
    cancellation = _cancellation(chance) if chance.random() < 0.2 else None
    if slow and size > 3 and chance.random() < 0.4:
        cancellation = Cancellation(at=round(chance.uniform(0, 1.2 * size), 3))  # while it is being established
    stays = chance.choice((0.0, 1.0, chance.uniform(0, 10), chance.uniform(0, 40)))
    return Gathering(
        people=people,
        others=others,
        quorum=chance.choice((1, 2, 2, 2, 3, max(size, 1))),
        expandable=chance.random() < 0.3,
        answer_timeout=answer_timeout,
        starts=chance.choice((0.0, 0.0, round(chance.uniform(0, 5), 3))) if small else 0.0,
        stays=round(stays, 3),
        deeds=() if calm else _deeds(chance, len(people), len(others)),
        cancellation=cancellation,
        leaves=chance.choices(("leave", "raise", "end"), (6, 2, 2))[0],
    )


def _deeds(chance: random.Random, invited: int, others: int) -> tuple[Deed, ...]:
    span = chance.choice((0.1, 3.0, 20.0))
    deeds = [Deed(at=round(chance.uniform(0, span), 3), what="add", person=invited + n) for n in range(others)]
    if invited:
        for _ in range(chance.choice((0, 0, 0, 1, 2, 5))):
            what = chance.choice(("remove", "remove", "mute", "unmute", "mute_all", "say", "again", "end"))
            deeds.append(
                Deed(
                    at=round(chance.uniform(0, span), 3),
                    what=what,
                    person=chance.randrange(invited + others),
                )
            )
    return tuple(sorted(deeds, key=lambda deed: deed.at))


def _cancellation(chance: random.Random) -> Cancellation:
    at = chance.choice((0.0, 0.0, chance.uniform(0, 1), chance.uniform(0, 12), chance.uniform(0, 45)))
    return Cancellation(at=round(at, 3), turns=chance.choice((0, chance.randrange(12), chance.randrange(80))))


def _mishaps(chance: random.Random) -> tuple[ScriptedFault, ...]:
    number = chance.choices((0, chance.randrange(1, 4), chance.randrange(4, 14)), (35, 45, 20))[0]
    return tuple(
        ScriptedFault(
            operation=chance.choice(_OPERATIONS),
            kind=chance.choice(_FAULTS),
            times=chance.choice((1, 1, 1, 2, 4, 6)),
            after=chance.choice((0, 0, 1, 2, chance.randrange(8))),
            seconds=round(chance.choice((0.2, 1.0, 3.0, 12.0, chance.uniform(0, 30))), 3),
        )
        for _ in range(number)
    )


def _post(chance: random.Random) -> Post:
    if chance.random() < 0.5:
        return Post()
    return Post(
        late=chance.choice((0.0, 0.2, 2.0, 8.0)),
        twice=chance.choice((0.0, 0.2)),
        breaks=chance.choice((0.0, 0.0, 0.05)),
        lost=chance.choice((0.0, 0.0, 0.0, 0.1)),
    )
