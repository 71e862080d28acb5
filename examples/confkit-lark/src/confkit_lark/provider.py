"""The Lark provider: dialling is joining, and a room is a name until somebody is in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from confkit.provider import (
    Bridge,
    Bridging,
    Call,
    CallSpec,
    Capabilities,
    Conference,
    ConferenceCreation,
    ConferenceSpec,
    Conflict,
    Dialled,
    EventSource,
    FindHint,
    Http,
    InvalidRequest,
    JoinMethod,
    Media,
    Member,
    MemberPatch,
    Membership,
    NotFound,
    Op,
    ProviderSpec,
    RateClass,
    Received,
    Secret,
    Snapshot,
    Unsupported,
    WebhookRequest,
    hookimpl,
)
from confkit_lark import webhooks, wire
from confkit_lark.errors import OVER, TABLE
from confkit_lark.settings import LarkSettings
from confkit_lark.wire import PROVIDER

if TYPE_CHECKING:
    import httpx

CAPABILITIES: Final = Capabilities(
    creation=ConferenceCreation.ON_JOIN,
    join_methods=frozenset({JoinMethod.FUSED}),
    bridging=Bridging.NONE,
    max_members=10,
    member=frozenset({"mute", "hold"}),
    play=frozenset({"conference", "member", "url"}),
    end_hangs_up=True,
    events=frozenset({EventSource.WEBHOOK, EventSource.POLL}),
    reconcilable=frozenset({"create_call"}),
    signs_webhooks=True,
    rates=(RateClass(name="calls", limit=20, per=timedelta(seconds=1), costs={"create_call": 1}),),
)
_COMPLETED: Final = {"Status": "completed"}


class LarkProvider(ProviderSpec):
    """Lark.

    Args:
        transport: in place of the network, for tests.
    """

    name = PROVIDER

    def __init__(self, settings: LarkSettings, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        self._http = Http(
            PROVIDER,
            f"{settings.base_url}/v1/accounts/{settings.account}",
            auth=(settings.account, settings.token),
            secrets=(settings.signing_key,),
            errors=TABLE,
            settings=settings,
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"LarkProvider({self._settings!r})"

    @hookimpl
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    @hookimpl
    async def aclose(self) -> None:
        await self._http.aclose()

    @hookimpl
    async def create_conference(self, spec: ConferenceSpec, op: Op) -> Conference:
        _options(spec.provider_options, (), "create_conference")
        # The key becomes the room's name: nobody can guess it, and no other room has it.
        return Conference(provider=PROVIDER, key=op.key)

    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Conference | Bridge | None) -> Dialled:
        options = _options(spec.provider_options, ("beep",), "create_call")
        if not isinstance(into, Conference):
            raise Unsupported(
                "create_call outside of a conference",
                provider=PROVIDER,
                operation="create_call",
                hint="Lark dials into rooms only: create a conference first",
            )
        form = {
            "From": spec.caller_id,
            "To": spec.to,
            "Label": op.key,
            "Timeout": str(math.ceil(spec.answer_timeout.total_seconds())),
            **({"StatusCallback": Secret(op.callback_url)} if op.callback_url else {}),
            **({"Beep": "true" if options["beep"] else "false"} if "beep" in options else {}),
        }
        path = ("rooms", _room(into), "participants")
        reply = await self._http.request("POST", *path, operation="create_call", form=form, timeout=op.timeout)
        call = reply.decode(wire.call)
        conference = Conference(provider=PROVIDER, key=into.key, id=call.conference_id)
        return Dialled(call=call, membership=Membership.FUSED, conference=conference)

    @hookimpl
    async def end_conference(self, conference: Conference, op: Op) -> None:
        try:
            await self._post("rooms", _room(conference), op=op, operation="end_conference", form=_COMPLETED)
        except NotFound:
            if conference.id is not None:
                raise
            # Nobody ever came, so it is still only a name.

    @hookimpl
    async def hang_up(self, call: Call, op: Op) -> None:
        await self._post("calls", call.id, op=op, operation="hang_up", form=_COMPLETED)

    @hookimpl
    async def remove_member(self, member: Member, op: Op) -> None:
        await self._post(*_participant(member), op=op, operation="remove_member", form={"Status": "removed"})

    @hookimpl
    async def update_member(self, member: Member, patch: MemberPatch, op: Op) -> None:
        flags = {"Muted": patch.mute, "Hold": patch.hold}
        form = {name: "true" if value else "false" for name, value in flags.items() if value is not None}
        if form:
            await self._post(*_participant(member), op=op, operation="update_member", form=form)

    @hookimpl
    async def play(self, target: Conference | Member | Call | Bridge, media: Media, op: Op) -> None:
        if media.url is None or media.loop or not isinstance(target, Conference | Member):
            raise Unsupported("play: anything but a file to a room or a member", provider=PROVIDER, operation="play")
        path = _participant(target) if isinstance(target, Member) else ("rooms", _room(target))
        await self._post(*path, op=op, operation="play", form={"AnnounceUrl": media.url})

    @hookimpl
    async def fetch(self, ref: Conference | Call | Bridge) -> Snapshot:
        match ref:
            case Call():
                record = await self._read("calls", ref.id)
                conference = Conference(provider=PROVIDER, key=record["room_name"], id=record["room_sid"])
                return Snapshot(calls=(wire.call(record),), members=wire.members(record, conference))
            case Conference():
                try:
                    record = await self._read("rooms", _room(ref))
                except NotFound:
                    if ref.id is not None:
                        raise
                    return Snapshot(conference=ref)
                conference = wire.room(record)
                participants = record["participants"]
                return Snapshot(
                    conference=conference,
                    members=tuple(member for each in participants for member in wire.members(each, conference)),
                    calls=tuple(wire.call(each) for each in participants),
                )
        raise Unsupported("fetch: bridge", provider=PROVIDER, operation="fetch")

    @hookimpl
    async def find(self, op_key: str, hint: FindHint) -> tuple[Call, ...]:
        if hint.operation != "create_call" or not isinstance(hint.into, Conference):
            raise Unsupported(f"find: {hint.operation}", provider=PROVIDER, operation="find")
        calls = (await self.fetch(ref=hint.into)).calls
        return tuple(call for call in calls if call.raw["label"] == op_key)

    @hookimpl
    async def receive(self, request: WebhookRequest) -> Received:
        return Received(events=(webhooks.event(webhooks.verified(request, self._settings.signing_key)),))

    async def _read(self, *path: str) -> Mapping[str, Any]:
        return await self._http.read(*path, operation="fetch", decode=_an_object)

    async def _post(self, *path: str, op: Op, operation: str, form: Mapping[str, str]) -> None:
        """Change something; that it is over already is as good."""
        try:
            reply = await self._http.request("POST", *path, operation=operation, form=form, timeout=op.timeout)
        except Conflict as error:
            if error.code != OVER or operation in ("update_member", "play"):
                raise
        else:
            reply.confirm()


def _an_object(payload: Any) -> Mapping[str, Any]:
    if not isinstance(payload, dict):
        raise TypeError("it is not an object")
    return payload


def _room(conference: Conference) -> str:
    return conference.id or conference.key


def _participant(member: Member) -> tuple[str, ...]:
    return "rooms", _room(member.conference), "participants", member.id


def _options(given: Mapping[str, Any], known: tuple[str, ...], operation: str) -> Mapping[str, Any]:
    if unknown := sorted(set(given) - set(known)):
        raise InvalidRequest(
            f"unknown provider_options: {', '.join(unknown)} (known: {', '.join(known) or 'none'})",
            provider=PROVIDER,
            operation=operation,
        )
    return given
