"""The policy: how many parties make a conference, and what happens with fewer. Pure: parties in, plan out.

Nothing here does I/O, so everything that can be refused is refused before the first request.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from attrs import field, frozen

from confkit.models.addresses import is_e164, problem_with
from confkit.models.capabilities import Bridging, Capabilities
from confkit.models.durations import Duration, duration
from confkit.models.errors import PolicyError
from confkit.models.records import Party


class Mode(enum.Enum):
    """How a meeting is realised."""

    CONFERENCE = "conference"
    BRIDGE = "bridge"


@frozen(kw_only=True)
class Policy:
    """The rules for the size of a meeting.

    Args:
        minimum: from how many parties on a meeting is a conference.
        maximum: with more than this many parties a meeting is refused.
        below_minimum: what fewer than ``minimum`` parties get: a bridge, a small conference, or a refusal.

    Raises:
        PolicyError: the numbers contradict each other.
    """

    minimum: int = 3
    maximum: int = 20
    below_minimum: Literal["bridge", "conference", "refuse"] = "bridge"

    def __attrs_post_init__(self) -> None:
        problems = [
            f"{name} must be a whole number"
            for name, value in (("minimum", self.minimum), ("maximum", self.maximum))
            if not _is_whole(value)
        ]
        if problems:
            raise PolicyError(problems)
        if self.minimum < 1:
            problems.append("minimum must be at least 1")
        if self.maximum < self.minimum:
            problems.append(f"maximum ({self.maximum}) must be at least minimum ({self.minimum})")
        if self.below_minimum not in ("bridge", "conference", "refuse"):
            problems.append('below_minimum is "bridge", "conference" or "refuse"')
        if problems:
            raise PolicyError(problems)


@frozen(kw_only=True)
class Plan:
    """What a meeting is going to do; the input of its workflow.

    Args:
        quorum: how many must join.
        limit: how many the meeting may ever hold.
        answer_timeout: how long each phone may ring.
    """

    mode: Mode
    parties: tuple[Party, ...]
    caller_id: str = field(repr=False)
    quorum: int
    limit: int
    answer_timeout: timedelta


def effective_maximum(policy: Policy, capabilities: Capabilities) -> int:
    """How many parties a meeting may hold: the policy's maximum, or one of the provider's if that is smaller."""
    ours = policy.maximum
    return min(ours, capabilities.max_members or ours, capabilities.max_calls or ours)


def plan(
    parties: Sequence[str | Party],
    *,
    policy: Policy,
    capabilities: Capabilities,
    caller_id: str | None,
    quorum: int = 2,
    answer_timeout: Duration = timedelta(seconds=30),
    expandable: bool = False,
) -> Plan:
    """Decide how these parties are to meet.

    Args:
        quorum: how many must join; of fewer parties, all of them.
        expandable: start as a conference whatever the number, so that others can be added later.

    Raises:
        PolicyError: with every problem found, not only the first.
    """
    limit = effective_maximum(policy, capabilities)
    problems = _problems_with_number(len(parties), policy, limit, capabilities)
    people: list[Party] = []
    for number, party in enumerate(parties, 1):
        try:
            people.append(party_of(party, f"party {number}"))
        except PolicyError as error:
            problems += error.problems
    problems += _problems_with(people)
    if problem := problem_with_caller_id(caller_id, "connect()"):
        problems.append(problem)
    if not _is_whole(quorum):
        problems.append(f"the quorum must be a whole number, not {kind_of(quorum)}")
    elif quorum < 1:
        problems.append("the quorum must be at least 1")
    elif quorum > max(len(parties), 2):
        problems.append(f"a quorum of {quorum} cannot be reached by {len(parties)} parties")
    ringing = timedelta(0)
    try:
        ringing = duration(answer_timeout)
    except ValueError as error:
        problems.append(f"the answer timeout {error}")
    problems += problems_with_ringing(ringing, capabilities)
    if problems:
        raise PolicyError(problems)
    small = len(parties) < policy.minimum
    bridged = (
        small
        and not expandable
        and policy.below_minimum == "bridge"
        and len(parties) <= 2
        and capabilities.bridging is not Bridging.NONE
    )
    return Plan(
        mode=Mode.BRIDGE if bridged else Mode.CONFERENCE,
        parties=tuple(people),
        caller_id=caller_id or "",
        quorum=min(quorum, len(parties)),
        limit=limit,
        answer_timeout=ringing,
    )


def problems_with_ringing(ringing: timedelta, capabilities: Capabilities) -> list[str]:
    """Why no phone can ring for so long; empty when it can. For less than the platform's least, it is hung up."""
    _, most = capabilities.rings
    if most is None or ringing <= most:
        return []
    return [f"a phone rings for at most {most.total_seconds():g} s here, not {ringing.total_seconds():g} s"]


def party_of(given: object, name: str) -> Party:
    """An address or a party, as a party; whether it can be dialled is another question.

    Args:
        name: what the error calls it.

    Raises:
        PolicyError: it is neither.
    """
    match given:
        case str():
            return Party(given)
        case Party(address=str(), name=None | str()):
            return given
        case Party(address=str(), name=wrong):
            raise PolicyError([f"{name}: a name must be a str, not {kind_of(wrong)}"])
        case Party(address=wrong):
            raise PolicyError([f"{name}: an address must be a str, not {kind_of(wrong)}"])
    hint = "; unpack it: give each party as an argument of its own" if isinstance(given, list | tuple | set) else ""
    raise PolicyError([f"{name} must be an address or a confkit.Party, not {kind_of(given)}{hint}"])


def problem_with_caller_id(caller_id: object, place: str) -> str | None:
    """Why nobody can be called in the name of this number; ``None`` where that is possible.

    Args:
        place: what takes ``caller_id=`` besides the client.
    """
    if not caller_id:
        return f"the caller ID is missing: pass caller_id= to {place} or to the client"
    if not isinstance(caller_id, str):
        return f"the caller ID must be a str, not {kind_of(caller_id)}"
    if not is_e164(caller_id):
        return f"the caller ID must be an E.164 number: {problem_with(caller_id) or 'not a SIP URI'}"
    return None


def kind_of(value: object) -> str:
    """The type of a value, for a sentence that must not show it: it may be a number or a secret."""
    return "None" if value is None else type(value).__name__


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def problems_with_addition(party: Party, present: Sequence[Party], limit: int) -> list[str]:
    """Why one more party cannot be added to those present; empty when it can.

    Args:
        present: the parties that take up a place: being rung, or in.
    """
    problems = []
    if len(present) >= limit:
        problems.append(f"the meeting is full: it holds {limit} parties")
    if problem := problem_with(party.address):
        problems.append(problem)
    if any(party.identity == other.identity for other in present):
        problems.append(f"{party.label} is in the meeting already")
    return problems


def _problems_with_number(number: int, policy: Policy, limit: int, capabilities: Capabilities) -> list[str]:
    if number == 0:
        return ["nobody to connect: name at least one party"]
    if number > limit == capabilities.max_calls:
        return [f"{number} parties need {number} calls, and the provider carries {limit} at a time"]
    if number > limit:
        whose = "the policy's" if limit == policy.maximum else "the provider's"
        return [f"{number} parties are more than {whose} maximum of {limit}"]
    if number < policy.minimum and policy.below_minimum == "refuse":
        return [f"{number} parties are fewer than the policy's minimum of {policy.minimum}"]
    return []


def _problems_with(parties: Sequence[Party]) -> list[str]:
    problems = [problem for party in parties if (problem := problem_with(party.address))]
    seen: set[str] = set()
    for party in parties:
        if party.identity in seen and not problem_with(party.address):
            problems.append(f"{party.label} is named twice")
        seen.add(party.identity)
    return problems
