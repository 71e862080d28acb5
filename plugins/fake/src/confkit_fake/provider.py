"""The fake provider: every operation of the contract over an exchange."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from attrs import evolve

from confkit.provider import (
    BridgeEnds,
    Bridging,
    Capabilities,
    ConferenceCreation,
    Conflict,
    Event,
    EventSource,
    InvalidRequest,
    JoinMethod,
    OutcomeUnknown,
    ProviderSpec,
    hookimpl,
)
from confkit.provider import records as models
from confkit_fake import exchange as telephone
from confkit_fake import memory, translate
from confkit_fake.exchange import ErrorCode, Exchange, ExchangeError, Facts, PartyScript
from confkit_fake.faults import Fault, FaultKind, Request
from confkit_fake.options import MAX_TEXT, FakeSettings, Joins, Rates, Shape, TellsRoom
from confkit_fake.wire import Wire

T = TypeVar("T")
Deliver = Callable[[list[Event]], list[Event]]

_PAST = (
    models.CallState.ENDED,
    models.MemberState.LEFT,
    models.ConferenceState.ENDED,
    models.BridgeState.ENDED,
)
_OVER = frozenset(
    {
        ErrorCode.CONFERENCE_ENDED,
        ErrorCode.MEMBER_LEFT,
        ErrorCode.CALL_OVER,
        ErrorCode.BRIDGE_OVER,
        ErrorCode.BRIDGE_EMPTY,
    }
)


class Stream:
    """The provider's events from its creation on; it never ends."""

    def __init__(self, provider: FakeProvider, facts: Facts) -> None:
        self._provider = provider
        self._facts = facts
        self._ready: deque[Event] = deque()

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Event:
        while not self._ready:
            batch = [self._provider.written(self._provider.told(fact)) for fact in await self._facts.batch()]
            self._ready.extend(self._provider.deliver(batch))
        return self._ready.popleft()


class FakeProvider(ProviderSpec):
    """An in-memory provider; it belongs to one event loop at a time.

    Args:
        exchange: the one that another provider object is on; one of its own by default.

    The others are the settings; see :class:`confkit_fake.FakeSettings`.

    Attributes:
        exchange: the telephone exchange behind it: the truth.
        deliver: what the event stream makes of each batch of new events: replace it to lose, repeat, reorder or
            hold back events.
        closed: whether the client has released it.

    Raises:
        ValueError: a setting is malformed.
    """

    name = translate.NAME

    def __init__(
        self,
        *,
        shape: Shape | str = Shape.EXPLICIT,
        bridge: Bridging | str = Bridging.AFTER,
        events: EventSource | str = EventSource.STREAM,
        max_members: int | None = 20,
        latency: float = 0.0,
        answer_after: float = 0.0,
        rates: Rates | str = Rates.OFF,
        client_ids: bool = False,
        end_hangs_up: bool = False,
        queues_for: float = 0.0,
        shortest_ring: float = 0.0,
        max_calls: int | None = None,
        tells_rejections: bool = True,
        tells_answers: bool = True,
        bridge_ends: BridgeEnds | str = BridgeEnds.BY_REQUEST,
        bridge_hangs_up: bool = False,
        single_patches: bool = False,
        lists_ended: bool = True,
        whole_seconds: bool = False,
        joins: Joins | str = Joins.DIAL,
        tells_room: TellsRoom | str = TellsRoom.EVENT,
        echoes: bool = False,
        finds: bool = True,
        exchange: Exchange | None = None,
    ) -> None:
        self.settings = FakeSettings(
            shape=shape,
            joins=joins,
            tells_room=tells_room,
            bridge=bridge,
            events=events,
            max_members=max_members,
            latency=latency,
            answer_after=answer_after,
            rates=rates,
            client_ids=client_ids,
            end_hangs_up=end_hangs_up,
            queues_for=queues_for,
            shortest_ring=shortest_ring,
            max_calls=max_calls,
            tells_rejections=tells_rejections,
            tells_answers=tells_answers,
            bridge_ends=bridge_ends,
            bridge_hangs_up=bridge_hangs_up,
            single_patches=single_patches,
            lists_ended=lists_ended,
            whole_seconds=whole_seconds,
            echoes=echoes,
            finds=finds,
        )
        self.exchange = exchange or Exchange(
            max_members=self.settings.max_members,
            max_calls=self.settings.max_calls,
            end_hangs_up=self.settings.end_hangs_up,
            bridge_hangs_up=self.settings.bridge_hangs_up,
        )
        self.exchange.queues_for = self.settings.queues_for
        self.exchange.default_answer_after = self.settings.answer_after
        self.deliver: Deliver = list
        self.closed = False
        self._capabilities = self.settings.capabilities()
        self._wire = Wire(
            self.exchange, latency=self.settings.latency, rates=self._capabilities.rates, written=self.written
        )
        lacking = []
        if self.settings.bridge is Bridging.NONE:
            lacking += ["create_bridge"]
        if self.settings.bridge is Bridging.NONE or self.settings.bridge_ends is BridgeEnds.WITH_ITS_CALLS:
            lacking += ["end_bridge"]
        if self.settings.events is EventSource.POLL:
            lacking += ["events"]
        if self.settings.shape is Shape.BY_NAME and self.settings.joins is Joins.DIAL:
            lacking += ["add_member"]
        if not self.settings.finds:
            lacking += ["find"]
        for operation in lacking:
            # pluggy registers the methods that it finds on the object; what is not a method is not there.
            setattr(self, operation, None)

    def written(self, value: Any) -> Any:
        """A model or an event as this platform writes it down."""
        return translate.written(value, self.settings)

    # For tests

    @property
    def requests(self) -> list[Request]:
        """Every request in the order of sending, whatever became of it."""
        return self._wire.requests

    def party(self, address: str) -> PartyScript:
        """The script of a party, to be changed by its methods."""
        return self.exchange.party(address)

    def fail(
        self,
        operation: str,
        kind: FaultKind | str,
        *,
        times: int = 1,
        after: int = 0,
        seconds: float = 1.0,
    ) -> None:
        """Script a fault.

        Args:
            kind: ``refuse``, ``drop-reply``, ``lost``, ``late``, ``error-500``, ``error-after``, ``rate-limit``,
                ``unauthenticated``, ``forbidden``, ``no-funds`` or ``slow``.
            times: how many requests it hits.
            after: how many it lets pass before.
            seconds: how late, how slow, or when to try again.

        Raises:
            ValueError: there is no such operation or kind.
        """
        self._wire.faults.add(operation, Fault(FaultKind(kind), times=times, after=after, seconds=seconds))

    # Every provider has these

    @hookimpl
    def capabilities(self) -> Capabilities:
        """What this provider can do."""
        return self._capabilities

    @hookimpl
    async def create_conference(self, spec: models.ConferenceSpec, op: models.Op) -> models.Conference:
        """Create an empty conference; where rooms come of themselves, put what it is to be into its ``data``."""
        self._check_options("create_conference", spec.provider_options, {"interpret_digits"})
        data = memory.of(spec)
        if self._capabilities.creation is not ConferenceCreation.EXPLICIT:
            return models.Conference(provider=self.name, key=op.key, data=data)

        def execute() -> models.Conference:
            existing = self.exchange.conferences.get(op.key) if self.settings.client_ids else None
            record = existing or self._new_conference(op.key, data, spec.caller_id, id=self._id(op))
            record.notes["op"] = op.key
            return evolve(translate.conference(record), data=data)

        return await self._wire.mutate("create_conference", op, execute)

    @hookimpl
    async def create_call(
        self, spec: models.CallSpec, op: models.Op, into: models.Conference | models.Bridge | None
    ) -> models.Dialled:
        """Dial a party."""
        self._check_options("create_call", spec.provider_options, ())

        def execute() -> models.Dialled:
            existing = self.exchange.calls.get(op.key) if self.settings.client_ids else None
            dialled = self._dialled(existing or self._dial(spec, op, into), into)
            queued = self.settings.queues_for
            return evolve(dialled, queued_for=timedelta(seconds=queued)) if queued else dialled

        return await self._wire.mutate("create_call", op, execute)

    @hookimpl
    async def end_conference(self, conference: models.Conference, op: models.Op) -> None:
        """End a conference for everyone."""
        room = self._find_conference(conference)
        conference_id = room.id if room else conference.id
        if conference_id is None:
            return  # it never came to be
        await self._wire.mutate("end_conference", op, _unless_over(lambda: self.exchange.end_conference(conference_id)))

    @hookimpl
    async def hang_up(self, call: models.Call, op: models.Op) -> None:
        """End a call, ringing or answered."""
        await self._wire.mutate("hang_up", op, _unless_over(lambda: self.exchange.hang_up(call.id)))

    @hookimpl
    async def remove_member(self, member: models.Member, op: models.Op) -> None:
        """Take a member out of the conference; the call stays up."""
        await self._wire.mutate("remove_member", op, _unless_over(lambda: self.exchange.remove_member(member.id)))

    @hookimpl
    async def fetch(self, ref: models.Conference | models.Call | models.Bridge) -> models.Snapshot:
        """The exchange's account of a conference, a call or a bridge."""
        return await self._wire.read("fetch", "", lambda: self._snapshot(ref))

    # Membership

    @hookimpl
    async def add_member(
        self,
        conference: models.Conference,
        call: models.Call,
        options: models.MemberOptions,
        op: models.Op,
    ) -> models.Member:
        """Put an answered call into a conference, off its bridge if it is on one."""
        self._check_options("add_member", options.provider_options, ())

        def execute() -> models.Member:
            existing = self.exchange.members.get(op.key) if self.settings.client_ids else None
            return self._added(existing or self._add(conference, call, options, op), conference)

        return await self._wire.mutate("add_member", op, execute)

    @hookimpl
    async def update_member(self, member: models.Member, patch: models.MemberPatch, op: models.Op) -> None:
        """Mute, hold, deafen or coach one member."""
        self._check_patch("update_member", patch)
        await self._wire.mutate(
            "update_member",
            op,
            lambda: self.exchange.update_member(
                member.id, mute=patch.mute, hold=patch.hold, deaf=patch.deaf, coach=patch.coach
            ),
        )

    @hookimpl
    async def update_conference(
        self, conference: models.Conference, patch: models.ConferencePatch, op: models.Op
    ) -> None:
        """Mute or hold everyone."""
        self._check_patch("update_conference", patch)
        await self._wire.mutate(
            "update_conference",
            op,
            lambda: self.exchange.update_conference(self._conference_id(conference), mute=patch.mute, hold=patch.hold),
        )

    # Bridges

    @hookimpl
    async def create_bridge(self, calls: tuple[models.Call, ...], op: models.Op) -> models.Bridge:
        """Connect two answered calls, or make an empty bridge to dial into."""
        if self.settings.bridge is Bridging.AFTER and len(calls) != 2:
            raise InvalidRequest(
                f"a bridge takes two answered calls, not {len(calls)}",
                provider=self.name,
                operation="create_bridge",
            )

        def execute() -> models.Bridge:
            existing = self.exchange.bridges.get(op.key) if self.settings.client_ids else None
            record = existing or self.exchange.create_bridge(
                [call.id for call in calls], id=self._id(op), notes={"op": op.key}
            )
            return translate.bridge(record)

        return await self._wire.mutate("create_bridge", op, execute)

    @hookimpl
    async def end_bridge(self, bridge: models.Bridge, op: models.Op) -> None:
        """Take a bridge down; its calls stay up."""
        await self._wire.mutate("end_bridge", op, _unless_over(lambda: self.exchange.end_bridge(bridge.id)))

    # Media and calls

    @hookimpl
    async def play(
        self,
        target: models.Conference | models.Member | models.Call | models.Bridge,
        media: models.Media,
        op: models.Op,
    ) -> None:
        """Play a file or speak a text, or stop both."""
        if media.url is not None and media.text is not None:
            raise InvalidRequest("play a file or a text, not both", provider=self.name, operation="play")
        if media.text is not None and not 0 < len(media.text) <= MAX_TEXT:
            raise InvalidRequest(
                f"a text has 1 to {MAX_TEXT} characters, not {len(media.text)}",
                provider=self.name,
                operation="play",
            )

        def execute() -> None:
            self.exchange.play(self._target_id(target), url=media.url, text=media.text, loop=media.loop)

        def stop() -> None:
            self.exchange.stop_playing(self._target_id(target))

        stops = media.url is None and media.text is None
        await self._wire.mutate("play", op, _unless_over(stop) if stops else execute)

    @hookimpl
    async def record(
        self,
        target: models.Conference | models.Call | models.Bridge,
        action: models.RecordAction,
        op: models.Op,
    ) -> None:
        """Start, stop or pause a recording."""
        await self._wire.mutate("record", op, lambda: self.exchange.record(self._target_id(target), action))

    @hookimpl
    async def send_digits(self, call: models.Call, digits: str, op: models.Op) -> None:
        """Send DTMF to a party."""
        await self._wire.mutate("send_digits", op, lambda: self.exchange.send_digits(call.id, digits))

    @hookimpl
    async def transfer(self, call: models.Call, to: str, caller_id: str, op: models.Op) -> models.Call:
        """Hand an answered call over to another address."""

        def execute() -> models.Call:
            existing = self.exchange.calls.get(op.key) if self.settings.client_ids else None
            record = existing or self.exchange.transfer(
                call.id, to, caller_id=caller_id, id=self._id(op), notes={"op": op.key}
            )
            return translate.call(record)

        return await self._wire.mutate("transfer", op, execute)

    @hookimpl
    async def answer_call(
        self, call: models.Call, into: models.Conference | models.Bridge | None, op: models.Op
    ) -> models.Dialled:
        """Answer an incoming call."""

        def execute() -> models.Dialled:
            record = self.exchange.call(call.id)
            if self.settings.client_ids and record.notes.get("op") == op.key:
                return self._dialled(record, into)
            if isinstance(into, models.Bridge):
                self.exchange.answer(call.id, bridge_id=into.id)
            elif into is not None and self._capabilities.join_method is JoinMethod.FUSED:
                conference_id = self._room(into, record.to)
                self.exchange.answer(call.id, conference_id=conference_id)
            else:
                self.exchange.answer(call.id)
            record.notes |= {"op": op.key, "into": getattr(into, "key", None)}
            return self._dialled(record, into)

        return await self._wire.mutate("answer_call", op, execute)

    @hookimpl
    async def reject_call(self, call: models.Call, op: models.Op) -> None:
        """Refuse an incoming call."""
        await self._wire.mutate("reject_call", op, _unless_over(lambda: self.exchange.reject(call.id)))

    # Looking

    @hookimpl
    async def list_calls(self, into: models.Conference | models.Bridge) -> tuple[models.Call, ...]:
        """The calls dialled into a conference or bridge, ended ones included."""
        return await self._wire.read("list_calls", "", lambda: self._calls_of(into))

    @hookimpl
    async def find(
        self, op_key: str, hint: models.FindHint
    ) -> tuple[models.Call | models.Member | models.Conference | models.Bridge, ...]:
        """What a request with this key did create: the exchange keeps every key as a tag."""
        found = await self._wire.read("find", op_key, lambda: self._made_by(op_key, hint.operation))
        if not found and not self.settings.lists_ended:
            raise OutcomeUnknown(
                "only the living can be looked up, and none of them was made by this request",
                provider=self.name,
                operation="find",
            )
        return found

    @hookimpl
    def events(self) -> AsyncIterator[Event]:
        """All facts of the exchange from now on."""
        return Stream(self, self.exchange.facts())

    @hookimpl
    async def aclose(self) -> None:
        """Nothing to release; the exchange stays, to be looked at."""
        self.closed = True

    # The platform's own ways

    def told(self, fact: telephone.Fact) -> Event:
        """A fact of the exchange as the platform tells it."""
        event = translate.event(fact, self.exchange)
        return evolve(event, op=translate.key_echoed(fact, self.exchange)) if self.settings.echoes else event

    @property
    def _by_event(self) -> bool:
        """Whether rooms are made by whoever joins them, and only events tell their ids."""
        return self.settings.shape is Shape.BY_NAME and self.settings.tells_room is TellsRoom.EVENT

    def _joins_by_itself(self, spec: models.CallSpec) -> bool:
        methods = self._capabilities.join_methods
        return JoinMethod.FUSED in methods and (len(methods) == 1 or spec.join_method is JoinMethod.FUSED)

    def _id(self, op: models.Op) -> str | None:
        return op.key if self.settings.client_ids else None

    def _dial(
        self, spec: models.CallSpec, op: models.Op, into: models.Conference | models.Bridge | None
    ) -> telephone.Call:
        self.exchange.advance()  # the room may just have ended
        conference_id = bridge_id = room = None
        joins = False
        if isinstance(into, models.Bridge):
            bridge_id = into.id
        elif into is not None and self._joins_by_itself(spec):
            joins = not self._by_event
            conference_id = self._room(into, spec.caller_id) if joins else None
            room = None if joins else self._named(into, spec.caller_id)
        elif into is not None and self.settings.shape is not Shape.BY_NAME:
            conference_id = into.id
        return self.exchange.dial(
            spec.to,
            caller_id=spec.caller_id,
            ring_for=max(spec.answer_timeout.total_seconds(), self.settings.shortest_ring),
            conference_id=conference_id,
            bridge_id=bridge_id,
            join_on_answer=joins,
            room=room,
            id=self._id(op),
            notes={"op": op.key, "into": getattr(into, "key", None)},
        )

    def _dialled(self, record: telephone.Call, into: models.Conference | models.Bridge | None) -> models.Dialled:
        call = translate.call(record)
        if into is None:
            return models.Dialled(call=call)
        if isinstance(into, models.Bridge):
            return models.Dialled(call=call, membership=models.Membership.ON_ANSWER)
        if not (record.join_on_answer or record.room):
            return models.Dialled(call=call, membership=models.Membership.EXPLICIT)
        room = self.exchange.conferences.get(record.conference_id or "")
        return models.Dialled(
            call=call,
            membership=models.Membership.FUSED,
            conference=translate.conference(room) if room and room.id != into.id else None,
        )

    def _add(
        self,
        conference: models.Conference,
        call: models.Call,
        options: models.MemberOptions,
        op: models.Op,
    ) -> telephone.Member:
        if self.settings.bridge_ends is BridgeEnds.WITH_ITS_CALLS and self.exchange.is_bridged(call.id):
            raise ExchangeError(ErrorCode.CALL_IN_OTHER_BRIDGE, call.id)
        if self.settings.shape is Shape.BY_NAME:
            return self.exchange.add_to(
                self._named(conference, call.caller_id),
                call.id,
                mute=options.mute,
                hold=options.hold,
                id=self._id(op),
                notes={"op": op.key},
            )
        if conference.id is not None:
            return self.exchange.add_member(
                conference.id,
                call.id,
                mute=options.mute,
                hold=options.hold,
                id=self._id(op),
                notes={"op": op.key},
            )
        if self._live_room(conference.key):
            raise Conflict(
                "a conference of this name exists already",
                provider=self.name,
                operation="add_member",
                code="conference_exists",
            )
        return self.exchange.seed_conference(
            call.id,
            **memory.created_with(conference.data, call.caller_id),
            mute=options.mute,
            hold=options.hold,
            id=self._id(op),
            notes={"key": conference.key},
            member_notes={"op": op.key},
        )

    def _room(self, conference: models.Conference, caller_id: str) -> str:
        """The id of the room that a call is to join by itself: the one of this name, made if there is none."""
        known = self.exchange.conferences.get(conference.id or "")
        if known is not None and known.state is not models.ConferenceState.ENDED:
            return known.id
        room = self._live_room(conference.key)
        return (room or self._new_conference(conference.key, conference.data, caller_id)).id

    def _new_conference(
        self, key: str, data: Mapping[str, str], caller_id: str, id: str | None = None
    ) -> telephone.Conference:
        return self.exchange.create_conference(
            **memory.created_with(data, caller_id),
            name=key if JoinMethod.FUSED in self._capabilities.join_methods else None,
            id=id,
            notes={"key": key},
        )

    def _named(self, conference: models.Conference, caller_id: str) -> telephone.Conference:
        return self.exchange.named(
            conference.key, **memory.created_with(conference.data, caller_id), notes={"key": conference.key}
        )

    def _live_room(self, key: str) -> telephone.Conference | None:
        return next(
            (
                room
                for room in self.exchange.conferences.values()
                if room.notes.get("key") == key and room.state is not models.ConferenceState.ENDED
            ),
            None,
        )

    def _find_conference(self, conference: models.Conference) -> telephone.Conference | None:
        if conference.id is not None:
            return self.exchange.conferences.get(conference.id)
        return self._live_room(conference.key)

    def _conference_id(self, conference: models.Conference) -> str:
        record = self._find_conference(conference)
        if record is None:
            raise ExchangeError(ErrorCode.CONFERENCE_NOT_FOUND, conference.id or conference.key)
        return record.id

    def _target_id(self, target: models.Conference | models.Member | models.Call | models.Bridge) -> str:
        return self._conference_id(target) if isinstance(target, models.Conference) else target.id

    def _member(self, record: telephone.Member) -> models.Member:
        return translate.member(record, self.exchange.conferences[record.conference_id])

    def _added(self, record: telephone.Member, conference: models.Conference) -> models.Member:
        """The reply to ``add_member``: where only events tell of rooms, it is a promise."""
        member = self._member(record)
        return evolve(member, conference=conference, state=models.MemberState.JOINING) if self._by_event else member

    def _calls_of(self, into: models.Conference | models.Bridge) -> tuple[models.Call, ...]:
        calls = self.exchange.calls.values()
        if isinstance(into, models.Bridge):
            if into.id not in self.exchange.bridges:
                raise ExchangeError(ErrorCode.BRIDGE_NOT_FOUND, into.id)
            return tuple(translate.call(call) for call in calls if call.bridge_id == into.id and self._shows(call))
        if into.id is not None and into.id not in self.exchange.conferences:
            raise ExchangeError(ErrorCode.CONFERENCE_NOT_FOUND, into.id)
        if into.id is not None and self._capabilities.creation is ConferenceCreation.EXPLICIT:
            return tuple(translate.call(call) for call in self.exchange.calls_for(into.id) if self._shows(call))
        return tuple(
            translate.call(call)
            for call in calls
            if (call.notes.get("into") == into.key or (into.id and call.conference_id == into.id)) and self._shows(call)
        )

    def _shows(self, record: telephone.Call | telephone.Member | telephone.Conference | telephone.Bridge) -> bool:
        """Whether lists and look-ups show a record."""
        return self.settings.lists_ended or record.state not in _PAST

    def _snapshot(self, ref: models.Conference | models.Call | models.Bridge) -> models.Snapshot:
        if isinstance(ref, models.Call):
            record = self.exchange.call(ref.id)
            place = self.exchange.place_of(ref.id)
            members = (self._member(place),) if place else ()
            return models.Snapshot(calls=(translate.call(record),), members=members)
        if isinstance(ref, models.Bridge):
            calls = self._calls_of(ref)
            return models.Snapshot(bridge=translate.bridge(self.exchange.bridges[ref.id]), calls=calls)
        conference = self._find_conference(ref)
        if conference is None:
            if ref.id is not None:
                raise ExchangeError(ErrorCode.CONFERENCE_NOT_FOUND, ref.id)
            return models.Snapshot(calls=self._calls_of(ref))
        return models.Snapshot(
            conference=translate.conference(conference),
            members=tuple(self._member(each) for each in self.exchange.members_of(conference.id) if self._shows(each)),
            calls=self._calls_of(ref),
        )

    def _made_by(
        self, op_key: str, operation: str
    ) -> tuple[models.Call | models.Member | models.Conference | models.Bridge, ...]:
        def made(record: telephone.Call | telephone.Member | telephone.Conference | telephone.Bridge) -> bool:
            return record.notes.get("op") == op_key and self._shows(record)

        exchange = self.exchange
        if operation in ("create_call", "transfer", "answer_call"):
            return tuple(translate.call(call) for call in exchange.calls.values() if made(call))
        if operation == "add_member":
            return tuple(self._member(member) for member in exchange.members.values() if made(member))
        if operation == "create_conference":
            return tuple(translate.conference(room) for room in exchange.conferences.values() if made(room))
        return tuple(translate.bridge(bridge) for bridge in exchange.bridges.values() if made(bridge))

    def _check_patch(self, operation: str, patch: models.MemberPatch | models.ConferencePatch) -> None:
        if self.settings.single_patches and len(patch.parts) > 1:
            raise InvalidRequest("one setting at a time", provider=self.name, operation=operation)

    def _check_options(self, operation: str, given: Mapping[str, Any], known: Collection[str]) -> None:
        if unknown := sorted(set(given) - set(known)):
            raise InvalidRequest(
                f"unknown provider_options: {', '.join(unknown)} (known: {', '.join(known) or 'none'})",
                provider=self.name,
                operation=operation,
            )


def _unless_over(execute: Callable[[], object]) -> Callable[[], None]:
    """Ending what is over, or stopping what does not play, succeeds."""

    def forgiving() -> None:
        try:
            execute()
        except ExchangeError as refusal:
            if refusal.code not in _OVER:
                raise

    return forgiving
