"""What a party does when its phone rings."""

from __future__ import annotations

import enum

from attrs import define, field

from confkit.provider import masked


class Reaction(enum.Enum):
    """How a party meets a call."""

    ANSWERS = "answers"
    BUSY = "busy"
    REJECTS = "rejects"
    UNREACHABLE = "unreachable"
    NEVER_ANSWERS = "never_answers"


@define
class PartyScript:
    """The script of one party; each method changes it and gives it back, so that they chain.

    It is read when the party is dialled (the reaction) and when the call is answered (the rest). Times are in
    seconds.
    """

    address: str = field(repr=masked)
    reaction: Reaction = Reaction.ANSWERS
    #: ``None``: as soon as any unscripted party would.
    after: float | None = None
    hangs_up_after: float | None = None
    keys: list[tuple[str, float]] = field(factory=list)

    def answers(self, after: float = 0.0) -> PartyScript:
        """Pick up so long after having been dialled."""
        return self._reacts(Reaction.ANSWERS, after)

    def busy(self, after: float = 0.0) -> PartyScript:
        """Be on another call: the phone does not ring."""
        return self._reacts(Reaction.BUSY, after)

    def rejects(self, after: float = 0.0) -> PartyScript:
        """Let it ring for so long, then refuse."""
        return self._reacts(Reaction.REJECTS, after)

    def unreachable(self, after: float = 0.0) -> PartyScript:
        """Be an address that nobody has: the phone does not ring."""
        return self._reacts(Reaction.UNREACHABLE, after)

    def never_answers(self) -> PartyScript:
        """Let it ring until the exchange gives up."""
        return self._reacts(Reaction.NEVER_ANSWERS, 0.0)

    def hangs_up(self, after: float) -> PartyScript:
        """Hang up so long after having answered."""
        self.hangs_up_after = after
        return self

    def presses(self, keys: str, after: float = 0.0) -> PartyScript:
        """Press these keys so long after having answered; ``#`` leaves a conference that interprets keys."""
        self.keys.append((keys, after))
        return self

    def _reacts(self, reaction: Reaction, after: float) -> PartyScript:
        self.reaction = reaction
        self.after = after
        return self
