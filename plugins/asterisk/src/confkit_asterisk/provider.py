"""The Asterisk provider: conferences are mixing bridges, calls are channels, and both have the ids that we choose."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import anyio
from attrs import evolve

from confkit.provider import (
    Bridge,
    BridgeState,
    Bridging,
    Call,
    CallSpec,
    CallState,
    Capabilities,
    Conference,
    ConferenceCreation,
    ConferencePatch,
    ConferenceSpec,
    ConferenceState,
    Conflict,
    Dialled,
    EndCause,
    Event,
    EventSource,
    FindHint,
    InvalidRequest,
    JoinMethod,
    Media,
    Member,
    MemberOptions,
    MemberPatch,
    Membership,
    MemberState,
    NotFound,
    Op,
    OutcomeUnknown,
    ProviderError,
    ProviderSpec,
    RecordAction,
    Snapshot,
    hookimpl,
    is_sip,
)
from confkit_asterisk import facts, wire
from confkit_asterisk.ari import Ari
from confkit_asterisk.events import Events
from confkit_asterisk.media import MediaPlayer
from confkit_asterisk.settings import AsteriskSettings
from confkit_asterisk.state import Leg, State, remember
from confkit_asterisk.wire import BRIDGE, CONFERENCE, DIALLED, PROVIDER

CAPABILITIES: Final = Capabilities(
    creation=ConferenceCreation.EXPLICIT,
    join_methods=frozenset({JoinMethod.EXPLICIT}),
    bridging=Bridging.AFTER,
    member=frozenset({"mute", "hold", "deaf", "coach"}),
    play=frozenset({"conference", "member", "call", "bridge", "url", "stop"}),
    record=frozenset({"conference", "call", "bridge", "pause"}),
    end_hangs_up=True,
    answers_into=frozenset({"conference", "bridge"}),
    bridge_to_conference=True,
    events=frozenset({EventSource.STREAM}),
    idempotent=frozenset({"create_conference", "create_call", "add_member", "create_bridge", "answer_call", "play"}),
    reconcilable=frozenset({"create_conference", "create_call", "add_member", "create_bridge"}),
    compound=frozenset(
        {
            "add_member:mute",
            "create_bridge",
            "end_conference",
            "play:call",
            "play:member",
            "record:call",
            "update_conference",
            "update_member:coach",
        }
    ),
)

#: How long an event may take after the channel that it is about has gone, in seconds.
_ON_ITS_WAY: Final = 1.0

_log: Final = logging.getLogger("confkit.asterisk")


class AsteriskProvider(ProviderSpec):
    """Conferences on an Asterisk, through ARI.

    The stream of events belongs to the provider object: nobody is dialled while nobody iterates over
    :meth:`events`, because Asterisk hangs up on those who answer then.
    """

    name = PROVIDER

    def __init__(self, settings: AsteriskSettings) -> None:
        self._settings = settings
        self._ari = Ari(settings)
        self._state = State()
        self._player = MediaPlayer(self._ari, self._state, settings.application)
        self._too_old = False

    @hookimpl
    def capabilities(self) -> Capabilities:
        """What Asterisk can do."""
        return CAPABILITIES

    # --- conferences

    @hookimpl
    async def create_conference(self, spec: ConferenceSpec, op: Op) -> Conference:
        """Create a mixing bridge whose id is the intent's key."""
        _no_options(spec.provider_options, "create_conference")
        record = await self._bridge(op, name=CONFERENCE, operation="create_conference")
        self._state.conferences.add(op.key)
        return wire.conference(record)

    @hookimpl
    async def end_conference(self, conference: Conference, op: Op) -> None:
        """Hang up every channel, then destroy the bridge: destroying it alone would leave the calls up."""
        if conference.id is None:
            return
        operation = "end_conference"
        found = await self._ari.read(
            "bridges", conference.id, operation=operation, decode=wire.identified, timeout=op.timeout
        )
        if found is not None:
            await _each(wire.members_of(found), lambda call_id: self._give_up(call_id, op, operation))
            for leg in self._state.in_conference(conference.id):  # a coach may have hung up just now
                await self._player.stop_coaching(leg.call.id, op)
            await self._ari.finish("DELETE", "bridges", conference.id, operation=operation, timeout=op.timeout)
        self._state.conference_over(conference.id)

    @hookimpl
    async def update_conference(self, conference: Conference, patch: ConferencePatch, op: Op) -> None:
        """Mute or hold everyone, those who join later included."""
        conference_id = _id(conference, "update_conference")
        for wanted, everyone in ((patch.mute, self._state.muted), (patch.hold, self._state.held)):
            if wanted is not None:
                (everyone.add if wanted else everyone.discard)(conference_id)
        found = await self._ari.read(
            "bridges", conference_id, operation="update_conference", decode=wire.identified, timeout=op.timeout
        )
        if found is None:
            raise Conflict("the conference is over", provider=PROVIDER, operation="update_conference")
        for call_id in wire.members_of(found):
            facts.place(self._state, call_id, conference_id, conference=True)
        changes = MemberPatch(mute=patch.mute, hold=patch.hold)
        await _each(wire.members_of(found), lambda call_id: self._apply(self._state.known(call_id), changes, op))

    # --- members

    @hookimpl
    async def add_member(self, conference: Conference, call: Call, options: MemberOptions, op: Op) -> Member:
        """Put a channel into the bridge; the reply is the membership, and the event has been sent before it."""
        _no_options(options.provider_options, "add_member")
        conference_id = _id(conference, "add_member")
        leg = self._state.known(call.id)
        leg.mute, leg.hold = options.mute, options.hold
        if op.attempt == 1 or not await self._is_in(call.id, conference_id, op):
            previous, leg.into = leg.into, conference_id
            try:
                # Before it is in, so that nothing of it is heard.
                await self._settle(leg, op)
                await self._ari.send(
                    "POST",
                    "bridges",
                    conference_id,
                    "addChannel",
                    operation="add_member",
                    timeout=op.timeout,
                    body={"channel": [call.id]},
                )
            except ProviderError:
                leg.into = previous
                raise
        facts.place(self._state, call.id, conference_id, conference=True)
        return Member(
            provider=PROVIDER,
            id=call.id,
            call_id=call.id,
            conference=conference,
            state=MemberState.JOINED,
            mute=leg.mute,
            hold=leg.hold,
            joined_at=datetime.now(UTC),
        )

    @hookimpl
    async def remove_member(self, member: Member, op: Op) -> None:
        """Take a channel out of the bridge; the call stays up."""
        conference_id = _id(member.conference, "remove_member")
        await self._player.stop_coaching(member.call_id, op)
        await self._ari.finish(
            "POST",
            "bridges",
            conference_id,
            "removeChannel",
            operation="remove_member",
            timeout=op.timeout,
            body={"channel": [member.call_id]},
        )

    @hookimpl
    async def update_member(self, member: Member, patch: MemberPatch, op: Op) -> None:
        """Mute, hold, deafen or coach. Asterisk cannot tell what it was told, so the state remembers."""
        leg = self._state.known(member.call_id)
        for name in ("mute", "hold", "deaf"):
            if (wanted := getattr(patch, name)) is not None:
                setattr(leg, name, wanted)
        await self._apply(leg, patch, op)
        if patch.coach is not None:
            await self._player.coach(leg, patch.coach, op)

    # --- calls

    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Conference | Bridge | None) -> Dialled:
        """Originate a channel whose id is the intent's key, into the application once it is answered."""
        operation = "create_call"
        _no_options(spec.provider_options, operation)
        endpoint = self._endpoint(spec.to)
        await self._ari.until_listening(op.timeout, operation)
        known = self._state.leg(op.key)
        if known is not None and op.attempt > 1 and (found := await self._seen(known, op)) is not None:
            return _dialled(found, into)
        leg = Leg(
            call=Call(provider=PROVIDER, id=op.key, to=spec.to, caller_id=spec.caller_id),
            into=into.id if isinstance(into, Conference) else None,
            epoch=self._ari.epoch,
            rings_for=spec.answer_timeout,
        )
        # Known before it is sent: its first events may overtake the reply.
        self._state.legs[op.key] = leg
        body = {
            "endpoint": endpoint,
            "app": self._settings.application,
            "appArgs": DIALLED,
            "callerId": spec.caller_id,
            "timeout": wire.seconds(spec.answer_timeout),
        }
        try:
            channel = await self._ari.send(
                "POST", "channels", op.key, operation=operation, timeout=op.timeout, body=body
            )
        except (Conflict, InvalidRequest) as error:
            # 409: the id is taken, so it is ours. But a malformed endpoint is answered with 409 as well.
            if (found := await self._seen(leg, op)) is not None:
                return _dialled(found, into)
            self._forget(op.key, known)
            if error.status in (400, 409, 500):
                technology = endpoint.partition("/")[0]
                raise InvalidRequest(
                    f"Asterisk makes no channel of the endpoint ({technology}/...): is it configured there?",
                    provider=PROVIDER,
                    operation=operation,
                    status=error.status,
                ) from error
            raise
        except OutcomeUnknown:
            raise
        except ProviderError:
            self._forget(op.key, known)
            raise
        self._look_at_age(channel)
        created_at = wire.timestamp(channel.get("creationtime")) if isinstance(channel, dict) else None
        leg.call = evolve(leg.call, created_at=created_at, raw=channel if isinstance(channel, dict) else {})
        return _dialled(leg.call, into)

    @hookimpl
    async def hang_up(self, call: Call, op: Op) -> None:
        """Delete the channel, ringing or answered."""
        await self._give_up(call.id, op, "hang_up")

    @hookimpl
    async def answer_call(self, call: Call, into: Conference | Bridge | None, op: Op) -> Dialled:
        """Answer an incoming call."""
        await self._ari.send("POST", "channels", call.id, "answer", operation="answer_call", timeout=op.timeout)
        leg = self._state.known(call.id)
        leg.into = into.id if isinstance(into, Conference) else None
        self._state.advance(call.id, CallState.ANSWERED, datetime.now(UTC))
        return _dialled(leg.call, into)

    @hookimpl
    async def reject_call(self, call: Call, op: Op) -> None:
        """Refuse an incoming call."""
        self._state.known(call.id).given_up = True
        await self._ari.finish(
            "DELETE",
            "channels",
            call.id,
            operation="reject_call",
            timeout=op.timeout,
            body={"reason": "busy"},
        )

    @hookimpl
    async def send_digits(self, call: Call, digits: str, op: Op) -> None:
        """Send DTMF."""
        await self._ari.send(
            "POST",
            "channels",
            call.id,
            "dtmf",
            operation="send_digits",
            timeout=op.timeout,
            body={"dtmf": digits},
        )

    # --- bridges

    @hookimpl
    async def create_bridge(self, calls: tuple[Call, ...], op: Op) -> Bridge:
        """Connect two answered calls."""
        if len(calls) != 2:
            raise InvalidRequest(
                f"a bridge takes two answered calls, not {len(calls)}", provider=PROVIDER, operation="create_bridge"
            )
        record = await self._bridge(op, name=BRIDGE, operation="create_bridge")
        ids = [call.id for call in calls]
        try:
            await self._ari.send(
                "POST",
                "bridges",
                op.key,
                "addChannel",
                operation="create_bridge",
                timeout=op.timeout,
                body={"channel": ids},
            )
        except Conflict:
            with suppress(ProviderError):
                await self._ari.finish("DELETE", "bridges", op.key, operation="end_bridge", timeout=op.timeout)
            raise
        remember(self._state.bridges, op.key, None)
        for call_id in ids:
            facts.place(self._state, call_id, op.key, conference=False)
        return evolve(wire.bridge(record), call_ids=tuple(ids), state=BridgeState.ACTIVE)

    @hookimpl
    async def end_bridge(self, bridge: Bridge, op: Op) -> None:
        """Destroy the bridge; its calls stay up."""
        await self._ari.finish("DELETE", "bridges", bridge.id, operation="end_bridge", timeout=op.timeout)

    # --- media

    @hookimpl
    async def play(self, target: Conference | Member | Call | Bridge, media: Media, op: Op) -> None:
        """Play a file, or stop what plays."""
        await self._player.play(target, media, op)

    @hookimpl
    async def record(self, target: Conference | Call | Bridge, action: RecordAction, op: Op) -> None:
        """Start, stop or pause a recording."""
        await self._player.record(target, action, op)

    # --- looking

    @hookimpl
    async def fetch(self, ref: Conference | Call | Bridge) -> Snapshot:
        """Asterisk's account, completed by what is known of those who are gone."""
        match ref:
            case Call():
                return Snapshot(calls=(await self._look_at(ref.id),))
            case Bridge():
                record = await self._ari.read("bridges", ref.id, operation="fetch", decode=wire.identified)
                if record is None and ref.id not in self._state.bridges:
                    raise NotFound("there is no such bridge", provider=PROVIDER, operation="fetch", status=404)
                there = wire.members_of(record) if record else ()
                calls = await self._look_at_all(there, set(ref.call_ids) | set(there))
                bridge = wire.bridge(record) if record else evolve(ref, state=BridgeState.ENDED)
                return Snapshot(bridge=bridge, calls=calls)
            case Conference():
                return await self._look_into(ref)

    @hookimpl
    async def find(self, op_key: str, hint: FindHint) -> tuple[Call | Member | Conference | Bridge, ...]:
        """What a lost request did create: it has the id that we chose. What has ended by now is known from the events.

        Raises:
            OutcomeUnknown: Asterisk forgets what has ended, and the events may have told of it while nobody listened.
        """
        match hint:
            case FindHint(operation="create_call"):
                return (found,) if (found := await self._find_call(op_key)) is not None else ()
            case FindHint(operation="add_member", into=Conference() as conference, call=Call(id=call_id)):
                snapshot = await self._look_into(conference)
                return tuple(member for member in snapshot.members if member.call_id == call_id)
            case FindHint(operation="create_conference"):
                record = await self._ari.read("bridges", op_key, operation="find", decode=wire.identified)
                if record is not None:
                    return (wire.conference(record),)
                if op_key in self._state.over:
                    return (Conference(provider=PROVIDER, key=op_key, id=op_key, state=ConferenceState.ENDED),)
            case FindHint(operation="create_bridge"):
                record = await self._ari.read("bridges", op_key, operation="find", decode=wire.identified)
                connected = record is not None and len(wire.members_of(record)) == 2
                # One that has connected its calls may do so no more; one that never has is only half made.
                if connected or op_key in self._state.bridges:
                    ended = Bridge(provider=PROVIDER, id=op_key, state=BridgeState.ENDED)
                    return (wire.bridge(record) if record is not None else ended,)
        return ()

    @hookimpl
    def events(self) -> AsyncIterator[Event]:
        """The stream, until it breaks and is there again."""
        return Events(self._ari, self._state, self._player)

    @hookimpl
    async def aclose(self) -> None:
        """Close all connections."""
        await self._ari.aclose()

    # --- inside

    def _endpoint(self, address: str) -> str:
        setting, template = (
            ("sip_endpoint", self._settings.sip_endpoint) if is_sip(address) else ("endpoint", self._settings.endpoint)
        )
        if template is None:
            kind = "SIP URIs" if setting == "sip_endpoint" else "numbers"
            raise InvalidRequest(
                f"there is no way to dial {kind}: set {setting}= or ASTERISK_{setting.upper()}",
                provider=PROVIDER,
                operation="create_call",
            )
        return template.replace("{uri}", address).replace("{number}", address)

    async def _bridge(self, op: Op, *, name: str, operation: str) -> Mapping[str, Any]:
        """Create a mixing bridge, or find the one that an earlier attempt has created."""
        body = {"type": "mixing", "name": name}
        try:
            record = await self._ari.send("POST", "bridges", op.key, operation=operation, timeout=op.timeout, body=body)
            return wire.identified(record)
        except (TypeError, ValueError) as error:
            raise OutcomeUnknown(
                f"the reply cannot be read: {error}", provider=PROVIDER, operation=operation, answered=True
            ) from error
        except ProviderError as error:
            # Version 22 answers 409 for an id that is taken, version 16 answers 500.
            if error.status not in (409, 500):
                raise
            found = await self._ari.read(
                "bridges", op.key, operation=operation, decode=wire.identified, timeout=op.timeout
            )
            if found is None:
                raise
            return found

    async def _give_up(self, call_id: str, op: Op, operation: str) -> None:
        leg = self._state.leg(call_id)
        if leg is not None:
            leg.given_up = True
        await self._player.stop_coaching(call_id, op)
        await self._ari.finish("DELETE", "channels", call_id, operation=operation, timeout=op.timeout)

    def _suppressed(self, leg: Leg) -> dict[str, bool]:
        """Which directions of a call's audio are to be suppressed.

        Suppressing is a property of the channel: it takes no music and no bridge for a held member to be neither
        heard nor hearing.
        """
        into = leg.into or ""
        hold = leg.hold or into in self._state.held
        return {"in": leg.mute or hold or into in self._state.muted, "out": leg.deaf or hold}

    async def _settle(self, leg: Leg, op: Op) -> None:
        """Let a call that is about to join be as it should be there, whatever it was elsewhere."""
        wanted = self._suppressed(leg)
        await self._let_through(
            leg, [name for name in wanted if wanted[name] or name in leg.suppressed], op, "add_member"
        )

    async def _apply(self, leg: Leg, patch: MemberPatch, op: Op) -> None:
        """Let through, in each direction that the patch is about, what is wanted now."""
        touched = []
        if patch.mute is not None or patch.hold is not None:
            touched.append("in")
        if patch.deaf is not None or patch.hold is not None:
            touched.append("out")
        await self._let_through(leg, touched, op, "update_member")

    async def _let_through(self, leg: Leg, touched: list[str], op: Op, operation: str) -> None:
        suppressed = self._suppressed(leg)
        for method, wanted in (("POST", True), ("DELETE", False)):
            directions = [name for name in touched if suppressed[name] is wanted]
            if not directions:
                continue
            if wanted:
                leg.suppressed.update(directions)  # also if the reply is lost
            await self._ari.send(
                method,
                "channels",
                leg.call.id,
                "mute",
                operation=operation,
                timeout=op.timeout,
                body={"direction": "both" if len(directions) == 2 else directions[0]},
            )
            if not wanted:
                leg.suppressed.difference_update(directions)

    async def _is_in(self, call_id: str, conference_id: str, op: Op) -> bool:
        found = await self._ari.read(
            "bridges", conference_id, operation="add_member", decode=wire.identified, timeout=op.timeout
        )
        return found is not None and call_id in wire.members_of(found)

    async def _seen(self, leg: Leg, op: Op) -> Call | None:
        """What became of an earlier attempt to dial; ``None`` when it certainly made no call.

        Raises:
            OutcomeUnknown: the stream has broken since, so the call may have come and gone unseen.
        """
        if leg.over:
            return leg.call
        channel = await self._ari.read(
            "channels", leg.call.id, operation="create_call", decode=wire.identified, timeout=op.timeout
        )
        if channel is not None:
            return self._seen_as(channel)
        if (ended := self._state.ended.get(leg.call.id)) is not None:  # while we asked
            return ended.call
        if leg.epoch != self._ari.epoch:
            raise OutcomeUnknown(
                "the call may have been made and have ended while the event stream was down",
                provider=PROVIDER,
                operation="create_call",
            )
        return None

    async def _find_call(self, call_id: str) -> Call | None:
        """The call that a lost request did make, ended or not; ``None`` when it certainly made none.

        Raises:
            OutcomeUnknown: it may have made one that has ended unseen.
        """
        leg = self._state.leg(call_id)
        if leg is not None and leg.over:
            return leg.call
        channel = await self._ari.read("channels", call_id, operation="find", decode=wire.identified)
        if channel is not None:
            return self._seen_as(channel)
        if leg is not None and await self._has_ended(leg):
            return leg.call
        if leg is None or leg.epoch != self._ari.epoch:
            raise OutcomeUnknown(
                "Asterisk forgets calls that have ended, and this one may have ended while nobody listened",
                provider=PROVIDER,
                operation="find",
            )
        return None

    async def _has_ended(self, leg: Leg) -> bool:
        """Whether a call that Asterisk does not show any more has ended: only the event says so, and it may be late."""
        if leg.epoch == self._ari.epoch:
            with anyio.move_on_after(_ON_ITS_WAY):
                while not leg.over:  # noqa: ASYNC110 - the state is plain data
                    await anyio.sleep(0.01)
        return leg.over

    def _seen_as(self, channel: Mapping[str, Any]) -> Call:
        """A channel as a call, with what we know of it."""
        seen = wire.call(channel)
        leg = self._state.legs.get(seen.id)
        if leg is None:
            return seen
        if seen.state in (CallState.RINGING, CallState.ANSWERED):
            self._state.advance(seen.id, seen.state, None)
        leg.call = evolve(leg.call, created_at=leg.call.created_at or seen.created_at, raw=channel)
        return leg.call

    def _forget(self, call_id: str, earlier: Leg | None) -> None:
        """This attempt to dial certainly made no call; an earlier one may have."""
        self._state.legs.pop(call_id, None)
        if earlier is not None and call_id not in self._state.ended:
            self._state.legs[call_id] = earlier

    def _look_at_age(self, channel: object) -> None:
        """Warn once of an engine that is too old."""
        if self._too_old or not isinstance(channel, dict) or wire.tells_its_application(channel):
            return
        self._too_old = True
        _log.warning(
            "the Asterisk at %s is too old: it does not tell which application a channel is in (dialplan.app_name), so "
            "a call counts as answered a moment before it can join; take version 16.28 or newer",
            self._settings.base_url,
        )

    async def _look_at(self, call_id: str) -> Call:
        channel = await self._ari.read("channels", call_id, operation="fetch", decode=wire.identified)
        if channel is not None:
            return self._seen_as(channel)
        leg = self._state.leg(call_id)
        if leg is None:
            raise NotFound("there is no such call", provider=PROVIDER, operation="fetch", status=404)
        if not await self._has_ended(leg):
            # Its end was missed, and with it the cause.
            self._state.end(call_id, EndCause.UNKNOWN)
        return leg.call

    async def _look_at_all(self, there: tuple[str, ...], wanted: set[str]) -> tuple[Call, ...]:
        """All of these calls; of those who are in the bridge it is known that they are answered."""
        found: dict[str, Call] = {}

        async def look(call_id: str) -> None:
            with suppress(NotFound):
                found[call_id] = await self._look_at(call_id)

        for call_id in there:
            leg = self._state.known(call_id)
            self._state.advance(call_id, CallState.ANSWERED, None)
            found[call_id] = leg.call
        await _each(sorted(wanted.difference(there)), look)
        return tuple(found[call_id] for call_id in sorted(found))

    async def _look_into(self, ref: Conference) -> Snapshot:
        conference_id = _id(ref, "fetch")
        record = await self._ari.read("bridges", conference_id, operation="fetch", decode=wire.identified)
        if record is None:
            ours = conference_id in self._state.conferences or conference_id in self._state.over
            if not ours:
                raise NotFound("there is no such conference", provider=PROVIDER, operation="fetch", status=404)
            self._state.conference_over(conference_id)
        there = wire.members_of(record) if record else ()
        for call_id in there:
            facts.place(self._state, call_id, conference_id, conference=True)
        legs = list(self._state.in_conference(conference_id))
        calls = await self._look_at_all(there, {leg.call.id for leg in legs})
        conference = (
            wire.conference(record)
            if record
            else evolve(ref, key="", state=ConferenceState.ENDED, ended_at=datetime.now(UTC))
        )
        conference = evolve(conference, mute=conference_id in self._state.muted, hold=conference_id in self._state.held)
        members = tuple(
            Member(
                provider=PROVIDER,
                id=leg.call.id,
                call_id=leg.call.id,
                conference=conference,
                state=MemberState.JOINED if leg.call.id in there else MemberState.LEFT,
                mute=leg.mute,
                hold=leg.hold,
                raw=record or {},
            )
            for leg in legs
            if leg.joined
        )
        return Snapshot(conference=conference, members=members, calls=calls)


async def _each(ids: Iterable[str], do: Callable[[str], Awaitable[None]]) -> None:
    """Do something to all at once; the first error is raised when all have been tried."""
    failures: list[ProviderError] = []

    async def one(id_: str) -> None:
        try:
            await do(id_)
        except ProviderError as error:
            failures.append(error)

    async with anyio.create_task_group() as tasks:
        for id_ in ids:
            tasks.start_soon(one, id_)
    if failures:
        raise failures[0]


def _dialled(call: Call, into: Conference | Bridge | None) -> Dialled:
    explicit = isinstance(into, Conference)
    return Dialled(call=call, membership=Membership.EXPLICIT if explicit else Membership.NONE)


def _id(conference: Conference, operation: str) -> str:
    if not conference.id:
        raise InvalidRequest("the conference has no id", provider=PROVIDER, operation=operation)
    return conference.id


def _no_options(given: Mapping[str, Any], operation: str) -> None:
    if given:
        raise InvalidRequest(
            f"unknown provider_options: {', '.join(sorted(given))} (there are none)",
            provider=PROVIDER,
            operation=operation,
        )
