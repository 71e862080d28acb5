"""The settings of the fake provider, and the capabilities that they give it."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from attrs import field, frozen, validators
from attrs.converters import to_bool

from confkit.provider import (
    BridgeEnds,
    Bridging,
    Capabilities,
    ConferenceCreation,
    EndCause,
    EventSource,
    JoinMethod,
    Patches,
    RateClass,
)

MAX_TEXT: Final = 1000


class Shape(enum.Enum):
    """How the platform makes conferences and gets calls into them."""

    #: Create a conference, dial, add the answered call (Bandwidth v1, Asterisk).
    EXPLICIT = "explicit"
    #: The first call that is dialled into a room by its name makes it (Twilio, Plivo).
    ON_JOIN = "on_join"
    #: The first answered call that is added makes the conference (Telnyx Call Control).
    FROM_CALL = "from_call"
    #: Create a conference; calls dialled into it join by themselves (LiveKit).
    FUSED = "fused"
    #: A room is a name: who joins it first makes it, and it comes again under another id (Twilio, Bandwidth v2).
    BY_NAME = "by_name"


class Joins(enum.Enum):
    """How calls get into rooms that are names."""

    DIAL = "dial"
    ADD = "add"
    BOTH = "both"


class TellsRoom(enum.Enum):
    """What tells the id of a room that is a name: the reply that puts a call into it, or events alone."""

    REPLY = "reply"
    EVENT = "event"


class Rates(enum.Enum):
    """The limits that the provider enforces."""

    OFF = "off"
    #: Like Bandwidth v1 by default (``callRateLimits.md`` in its burst reading, ``resourceRateLimits.md``).
    BANDWIDTH = "bandwidth"


_SECOND = timedelta(seconds=1)

RATES: Final[dict[Rates, tuple[RateClass, ...]]] = {
    Rates.OFF: (),
    Rates.BANDWIDTH: (
        RateClass(name="calls", limit=10, per=10 * _SECOND, costs={"create_call": 1}),
        RateClass(
            name="conferences",
            limit=1,
            per=_SECOND,
            costs=dict.fromkeys(
                (
                    "create_conference",
                    "end_conference",
                    "add_member",
                    "update_member",
                    "remove_member",
                    "update_conference",
                    "play",
                ),
                1,
            ),
        ),
        RateClass(
            name="other calls",
            limit=1,
            per=_SECOND,
            costs=dict.fromkeys(
                (
                    "hang_up",
                    "record",
                    "send_digits",
                    "transfer",
                    "answer_call",
                    "reject_call",
                    "fetch",
                    "list_calls",
                    "find",
                ),
                1,
            ),
        ),
        RateClass(name="bridges", limit=1, per=_SECOND, costs={"create_bridge": 1, "end_bridge": 1}),
    ),
}


def _events(value: str | EventSource) -> EventSource:
    source = EventSource(value)
    if source is EventSource.WEBHOOK:
        raise ValueError("the fake has 'stream' and 'poll'")
    return source


def _bridge_ends(value: str | BridgeEnds) -> BridgeEnds:
    return value if isinstance(value, BridgeEnds) else BridgeEnds(value.replace("_", " "))


def _count(value: int | str | None) -> int | None:
    if value is None or value == "none":
        return None
    number = int(value)
    if number < 1:
        raise ValueError("at least one is needed")
    return number


@frozen(kw_only=True)
class FakeSettings:
    """The settings; each is a keyword, or an environment variable such as ``FAKE_SHAPE``.

    Args:
        shape: ``explicit``, ``on_join``, ``from_call``, ``fused`` or ``by_name``.
        joins: of the shape ``by_name``: ``dial``, ``add`` or ``both``.
        tells_room: of the shape ``by_name``: ``reply`` (of the dial that makes the room at once, or of ``add_member``),
            or ``event``, where the room is made by the answer and only events tell its id.
        bridge: ``after`` (two answered calls), ``first`` (an empty one, then dial into it) or ``none``.
        events: ``stream``, or ``poll`` for a platform that tells nothing by itself.
        max_members: how many a conference holds at a time; ``None`` (in the environment ``none``) for no limit.
        latency: seconds that each request takes on its way, there and back.
        answer_after: seconds until unscripted parties answer.
        rates: ``off``, or ``bandwidth`` for limits like those of Bandwidth v1.
        client_ids: the intent's key becomes the id of what it creates, and a repeated request gives what exists.
        end_hangs_up: ending a conference hangs up its members' calls.
        queues_for: seconds that a call is held back before it rings, as the reply to the dial says (Twilio).
        shortest_ring: seconds that a phone rings at least (Twilio, Telnyx).
        max_calls: how many calls there can be at a time; the next ends at once. ``None`` for no limit.
        tells_rejections: otherwise who rejects a call is busy (Twilio).
        tells_answers: otherwise the record of a call that was answered says that it rings (Telnyx).
        bridge_ends: ``by_request``, or ``with_its_calls`` where nothing else parts them (Telnyx).
        bridge_hangs_up: the one on a bridge is hung up when the other hangs up (Telnyx, Bandwidth v2).
        single_patches: one request changes one setting of a member or a conference (Telnyx).
        lists_ended: lists, look-ups and conferences show calls and members that are over, too; otherwise only the
            living, so that an empty look-up proves nothing (as Twilio's list of participants).
        whole_seconds: instants are written without fractions (Bandwidth v1, Twilio).
        echoes: events carry the key of the request that made what they are about (Telnyx, Bandwidth v2).
        finds: what a lost request made can be looked up by its key.
    """

    shape: Shape = field(default=Shape.EXPLICIT, converter=Shape)
    joins: Joins = field(default=Joins.DIAL, converter=Joins)
    tells_room: TellsRoom = field(default=TellsRoom.EVENT, converter=TellsRoom)
    bridge: Bridging = field(default=Bridging.AFTER, converter=Bridging)
    events: EventSource = field(default=EventSource.STREAM, converter=_events)
    max_members: int | None = field(default=20, converter=_count)
    latency: float = field(default=0.0, converter=float, validator=validators.ge(0))
    answer_after: float = field(default=0.0, converter=float, validator=validators.ge(0))
    rates: Rates = field(default=Rates.OFF, converter=Rates)
    client_ids: bool = field(default=False, converter=to_bool)
    end_hangs_up: bool = field(default=False, converter=to_bool)
    queues_for: float = field(default=0.0, converter=float, validator=validators.ge(0))
    shortest_ring: float = field(default=0.0, converter=float, validator=validators.ge(0))
    max_calls: int | None = field(default=None, converter=_count)
    tells_rejections: bool = field(default=True, converter=to_bool)
    tells_answers: bool = field(default=True, converter=to_bool)
    bridge_ends: BridgeEnds = field(default=BridgeEnds.BY_REQUEST, converter=_bridge_ends)
    bridge_hangs_up: bool = field(default=False, converter=to_bool)
    single_patches: bool = field(default=False, converter=to_bool)
    lists_ended: bool = field(default=True, converter=to_bool)
    whole_seconds: bool = field(default=False, converter=to_bool)
    echoes: bool = field(default=False, converter=to_bool)
    finds: bool = field(default=True, converter=to_bool)

    def capabilities(self) -> Capabilities:
        """What a provider with these settings can do."""
        creation = {
            Shape.ON_JOIN: ConferenceCreation.ON_JOIN,
            Shape.FROM_CALL: ConferenceCreation.FROM_CALL,
            Shape.BY_NAME: ConferenceCreation.BY_NAME,
        }.get(self.shape, ConferenceCreation.EXPLICIT)
        by_name = self.shape is Shape.BY_NAME
        dials_in = self.joins is not Joins.ADD if by_name else self.shape in (Shape.ON_JOIN, Shape.FUSED)
        adds = self.joins is not Joins.DIAL if by_name else not dials_in
        methods = {JoinMethod.FUSED: dials_in, JoinMethod.EXPLICIT: adds}
        bridged = self.bridge is not Bridging.NONE
        finds = {"create_call", "transfer", "answer_call"}
        moves = bridged and self.bridge_ends is BridgeEnds.BY_REQUEST and (adds or not by_name)
        if moves or adds:
            finds.add("add_member")
        if creation is ConferenceCreation.EXPLICIT:
            finds.add("create_conference")
        if bridged:
            finds.add("create_bridge")
        targets = {"conference", "member", "call"} | ({"bridge"} if bridged else set())
        return Capabilities(
            creation=creation,
            join_methods=frozenset(method for method, there in methods.items() if there),
            bridging=self.bridge,
            max_members=self.max_members,
            member=frozenset({"mute", "hold", "deaf", "coach"}),
            play=frozenset(targets | {"url", "text", "loop", "stop"}),
            max_text=MAX_TEXT,
            record=frozenset(targets - {"member"} | {"pause"}),
            end_hangs_up=self.end_hangs_up,
            answers_into=frozenset({"conference", "bridge"} if bridged else {"conference"}),
            bridge_to_conference=moves,
            events=frozenset({self.events, EventSource.POLL}),
            idempotent=frozenset(finds if self.client_ids else ()),
            reconcilable=frozenset(finds if self.finds else ()),
            rates=RATES[self.rates],
            bridge_ends=self.bridge_ends,
            bridge_hangs_up=self.bridge_hangs_up and bridged,
            causes=frozenset(self._causes()),
            rings=(timedelta(seconds=self.shortest_ring), None),
            max_calls=self.max_calls,
            tells_answers=self.tells_answers,
            patches=Patches.SINGLE if self.single_patches else Patches.ANY,
        )

    def _causes(self) -> Iterator[EndCause]:
        """Which ends of a call that nobody answered can be told apart."""
        yield from (EndCause.BUSY, EndCause.NO_ANSWER, EndCause.UNALLOCATED)
        if self.tells_rejections:
            yield EndCause.REJECTED
        if self.max_calls is not None:
            yield EndCause.CAPACITY
