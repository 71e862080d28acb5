"""The Bandwidth provider: each operation is one request of the v1 REST API."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

import anyio
from attrs import evolve

from confkit.provider import (
    READ_TIMEOUT,
    STOP,
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
    EventSource,
    FindHint,
    Http,
    InvalidRequest,
    JoinMethod,
    Media,
    Member,
    MemberOptions,
    MemberPatch,
    Membership,
    MemberState,
    NotReady,
    Op,
    OutcomeUnknown,
    ProviderError,
    ProviderSpec,
    Received,
    RecordAction,
    Secret,
    Snapshot,
    Unsupported,
    WebhookRequest,
    hookimpl,
)
from confkit_bandwidth import callbacks, options, wire
from confkit_bandwidth.errors import TABLE
from confkit_bandwidth.limits import rates
from confkit_bandwidth.settings import BandwidthSettings
from confkit_bandwidth.wire import PROVIDER

if TYPE_CHECKING:
    import httpx

K = TypeVar("K")
V = TypeVar("V")
LONGEST_RINGING: Final = timedelta(seconds=300)
_DIGITS: Final = re.compile(r"[A-D0-9#*,wW]{1,92}")  # postCallsCallIdDTMF.md
_COMPLETED: Final = {"state": "completed"}
#: Reads of one family are sent this much further apart than its limit says; they may arrive closer together.
_MARGIN: Final = 1.05
_REMEMBERED: Final = 1000
#: By how much an instant that is told in whole seconds, by a clock that is read in whole seconds, may be too early.
_WHOLE_SECONDS: Final = timedelta(seconds=2)
_NEVER: Final = datetime.min.replace(tzinfo=UTC)

#: ``postConferencesConferenceIdAudio.md``; its table of locales prints ``t`` for ``it``.
VOICES: Final = {
    "en_US": frozenset({"Kate", "Susan", "Julie", "Dave", "Paul"}),
    "en_UK": frozenset({"Bridget"}),
    "es": frozenset({"Esperanza", "Violeta", "Jorge"}),
    "es_MX": frozenset({"Esperanza", "Violeta", "Jorge"}),
    "fr": frozenset({"Jolie", "Bernard"}),
    "fr_FR": frozenset({"Jolie", "Bernard"}),
    "de": frozenset({"Katrin", "Stefan"}),
    "de_DE": frozenset({"Katrin", "Stefan"}),
    "it": frozenset({"Paola", "Luca"}),
    "it_IT": frozenset({"Paola", "Luca"}),
}


def capabilities(settings: BandwidthSettings) -> Capabilities:
    """What the provider can do, with the limits that its settings give it."""
    return Capabilities(
        creation=ConferenceCreation.EXPLICIT,
        join_methods=frozenset({JoinMethod.EXPLICIT}),
        bridging=Bridging.FIRST,
        max_members=20,
        member=frozenset({"mute", "hold"}),
        play=frozenset({"conference", "member", "call", "bridge", "url", "text", "loop", "stop"}),
        max_text=1000,
        voices=VOICES,
        record=frozenset({"call"}),
        end_hangs_up=False,
        bridge_to_conference=False,
        events=frozenset({EventSource.WEBHOOK, EventSource.POLL}),
        reconcilable=frozenset({"create_call", "add_member"}),
        rates=rates(settings),
        rings=(timedelta(seconds=1), LONGEST_RINGING),
    )


class BandwidthProvider(ProviderSpec):
    """Bandwidth Voice v1.

    Args:
        transport: in place of the network, for tests.
    """

    name = PROVIDER

    def __init__(self, settings: BandwidthSettings, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        self._http = Http(
            PROVIDER,
            f"{settings.base_url}/v1/users/{quote(settings.user_id, safe='')}",
            auth=(settings.token, settings.secret),
            errors=TABLE,
            settings=settings,
            transport=transport,
        )
        self._capabilities = capabilities(settings)
        #: What was last told to speak, by its path: speech and files are stopped by different requests.
        self._spoke: OrderedDict[tuple[str, ...], None] = OrderedDict()
        #: The keys in the records of conferences that were looked at.
        self._keys: OrderedDict[str, str] = OrderedDict()

    def __repr__(self) -> str:
        return f"BandwidthProvider({self._settings.base_url!r})"

    @hookimpl
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @hookimpl
    async def aclose(self) -> None:
        await self._http.aclose()

    # Conferences

    @hookimpl
    async def create_conference(self, spec: ConferenceSpec, op: Op) -> Conference:
        body = {
            "from": spec.caller_id,
            "profile": self._settings.profile,
            "tag": op.key,
            **_callback(op.callback_url),
            **options.on_the_wire(spec.provider_options, options.CONFERENCE, operation="create_conference"),
        }
        found = await self._http.create("conferences", operation="create_conference", body=body, timeout=op.timeout)
        return Conference(provider=PROVIDER, key=op.key, id=found)

    @hookimpl
    async def update_conference(self, conference: Conference, patch: ConferencePatch, op: Op) -> None:
        if body := _flags(patch):
            await self._update(*_path(conference), op=op, operation="update_conference", body=body)

    @hookimpl
    async def end_conference(self, conference: Conference, op: Op) -> None:
        if conference.id is None:
            return
        await self._update(
            *_path(conference),
            op=op,
            operation="end_conference",
            body=_COMPLETED,
            over=("conference-error",),
        )

    @hookimpl
    async def add_member(self, conference: Conference, call: Call, options: MemberOptions, op: Op) -> Member:
        # The flags go with the request: an update afterwards would cost another second of the family's limit.
        body: dict[str, Any] = {"callId": call.id, **_member_options(options)}
        try:
            found = await self._http.create(
                "conferences",
                conference.id or "",
                "members",
                operation="add_member",
                body=body,
                timeout=op.timeout,
            )
        except NotReady as error:
            if error.code != "conference-member-update-conflict":
                raise
            # Of an addition it says that the call is a member already, which find() can confirm.
            raise Conflict(
                "the call is a member already, or is being added",
                provider=PROVIDER,
                operation="add_member",
                code=error.code,
                status=error.status,
                raw=error.raw,
            ) from error
        return Member(
            provider=PROVIDER,
            id=found,
            call_id=call.id,
            conference=conference,
            state=MemberState.JOINED,
            mute=options.mute,
            hold=options.hold,
        )

    @hookimpl
    async def update_member(self, member: Member, patch: MemberPatch, op: Op) -> None:
        if body := _flags(patch):
            await self._update(*_path(member), op=op, operation="update_member", body=body)

    @hookimpl
    async def remove_member(self, member: Member, op: Op) -> None:
        await self._update(
            *_path(member),
            op=op,
            operation="remove_member",
            body=_COMPLETED,
            # The conference is over, or the member has left: no page tells which code that is.
            over=("conference-error", "call-invalid-state"),
        )

    # Calls

    @hookimpl
    async def create_call(self, spec: CallSpec, op: Op, into: Conference | Bridge | None) -> Dialled:
        if spec.to.lower().startswith("sips:"):
            raise _invalid("create_call", "Bandwidth does not dial sips: URIs; use sip:")
        if not timedelta(0) < spec.answer_timeout <= LONGEST_RINGING:
            raise _invalid("create_call", "a phone rings for at most 300 s here; lower the answer timeout")
        body: dict[str, Any] = {
            "from": spec.caller_id,
            "to": spec.to,
            "callTimeout": math.ceil(spec.answer_timeout.total_seconds()),
            "tag": op.key,
            **_callback(op.callback_url),
            **options.on_the_wire(spec.provider_options, options.CALL, operation="create_call"),
        }
        conference_id: str | None = None
        bridge_id: str | None = None
        membership = Membership.NONE
        match into:
            case Conference(id=None):
                raise _invalid("create_call", "the conference has no id")
            case Conference(id=found):
                # Without it the call could not become a member later (postConferencesConferenceIdMembers.md).
                body["conferenceId"] = found
                conference_id, membership = found, Membership.EXPLICIT
            case Bridge(id=found):
                body["bridgeId"] = found
                bridge_id, membership = found, Membership.ON_ANSWER
        created = await self._http.create("calls", operation="create_call", body=body, timeout=op.timeout)
        return Dialled(
            call=Call(
                provider=PROVIDER,
                id=created,
                to=spec.to,
                caller_id=spec.caller_id,
                conference_id=conference_id,
                bridge_id=bridge_id,
            ),
            membership=membership,
            conference=into if isinstance(into, Conference) else None,
        )

    @hookimpl
    async def hang_up(self, call: Call, op: Op) -> None:
        await self._update("calls", call.id, op=op, operation="hang_up", body=_COMPLETED, over=("call-invalid-state",))

    @hookimpl
    async def answer_call(self, call: Call, into: Conference | Bridge | None, op: Op) -> Dialled:
        await self._update("calls", call.id, op=op, operation="answer_call", body={"state": "active"})
        answered = evolve(call, state=CallState.ANSWERED)
        if isinstance(into, Conference):
            return Dialled(call=answered, membership=Membership.EXPLICIT, conference=into)
        # A bridge takes a call that exists already only with its list of calls, which is another request.
        return Dialled(call=answered)

    @hookimpl
    async def reject_call(self, call: Call, op: Op) -> None:
        await self._update(
            "calls",
            call.id,
            op=op,
            operation="reject_call",
            body={"state": "rejected"},
            over=("call-invalid-state",),
        )

    @hookimpl
    async def transfer(self, call: Call, to: str, caller_id: str, op: Op) -> Call:
        body = {"state": "transferring", "transferTo": to}
        if caller_id:
            body["transferCallerId"] = caller_id
        found = await self._http.create("calls", call.id, operation="transfer", body=body, timeout=op.timeout)
        return Call(provider=PROVIDER, id=found, to=to, caller_id=caller_id)

    @hookimpl
    async def send_digits(self, call: Call, digits: str, op: Op) -> None:
        if not _DIGITS.fullmatch(digits):
            raise _invalid("send_digits", "Bandwidth sends 1 to 92 of 0-9 A-D # * and the pauses , w W")
        await self._update("calls", call.id, "dtmf", op=op, operation="send_digits", body={"dtmfOut": digits})

    @hookimpl
    async def record(self, target: Conference | Call | Bridge, action: RecordAction, op: Op) -> None:
        if action in (RecordAction.PAUSE, RecordAction.RESUME):
            # recordingEnabled is on or off (postCallsCallId.md); off would end the recording.
            raise Unsupported("record: pause", provider=PROVIDER, operation="record")
        body = {"recordingEnabled": action is RecordAction.START}
        await self._update("calls", target.id or "", op=op, operation="record", body=body)

    # Bridges

    @hookimpl
    async def create_bridge(self, calls: tuple[Call, ...], op: Op) -> Bridge:
        ids = tuple(call.id for call in calls)
        body: dict[str, Any] = {"bridgeAudio": True}
        if ids:
            body["callIds"] = list(ids)
        found = await self._http.create("bridges", operation="create_bridge", body=body, timeout=op.timeout)
        state = BridgeState.ACTIVE if len(ids) == 2 else BridgeState.CREATED
        return Bridge(provider=PROVIDER, id=found, call_ids=ids, state=state)

    @hookimpl
    async def end_bridge(self, bridge: Bridge, op: Op) -> None:
        await self._update(
            "bridges",
            bridge.id,
            op=op,
            operation="end_bridge",
            body={"callIds": []},
            over=("bridge-invalid-state",),
        )

    # Audio

    @hookimpl
    async def play(self, target: Conference | Member | Call | Bridge, media: Media, op: Op) -> None:
        path = (*_path(target), "audio")
        if media == STOP:
            await self._stop(path, op)
            return
        body: dict[str, Any] = {"loopEnabled": True} if media.loop else {}
        if media.text is not None:
            body["sentence"] = media.text
            if media.voice:
                body["voice"] = media.voice
            if media.locale:
                body["locale"] = media.locale
        else:
            body["fileUrl"] = media.url
        await self._update(*path, op=op, operation="play", body=body)
        self._spoke.pop(path, None)
        if media.text is not None:
            _remember(self._spoke, path, None)

    async def _stop(self, path: tuple[str, ...], op: Op) -> None:
        """An empty sentence stops speech, an empty file URL stops a file; no page says what both at once do,
        and one operation is one request. So what was last played here is stopped, and a file where that is
        not known: it is what may loop, while speech ends by itself."""
        kind = "sentence" if path in self._spoke else "fileUrl"
        await self._update(
            *path,
            op=op,
            operation="play",
            body={kind: ""},
            over=("call-audio-invalid-state", "bridge-invalid-operation"),
        )
        self._spoke.pop(path, None)

    # Reads

    @hookimpl
    async def fetch(self, ref: Conference | Call | Bridge) -> Snapshot:
        match ref:
            case Conference(id=None):
                return Snapshot(conference=ref)
            case Conference():
                return await self._fetch_conference(ref)
            case Bridge():
                bridge = await self._http.read("bridges", ref.id, operation="fetch", decode=wire.bridge)
                calls = await self._calls(ref, "fetch")
                up = tuple(call.id for call in calls if call.state is not CallState.ENDED)
                return Snapshot(bridge=evolve(bridge, call_ids=bridge.call_ids or up), calls=calls)
            case Call():
                return Snapshot(calls=(await self._fetch_call(ref),))

    async def _fetch_conference(self, ref: Conference) -> Snapshot:
        members: tuple[Member, ...] = ()
        if (key := self._keys.get(ref.id or "")) is None:
            # The record alone has the key. One that never had a member needs no second request to the family, which
            # allows one per second.
            conference = await self._record(ref)
            if (wire.text(conference.raw, "state") or "").lower() != "created":
                await self._pause()
                members = await self._members(ref, "fetch")
        elif members := await self._members(ref, "fetch"):
            # It completes when its last member leaves (conferences.md), so its state shows in theirs.
            there = any(member.state is MemberState.JOINED for member in members)
            conference = evolve(ref, key=key, state=ConferenceState.ACTIVE if there else ConferenceState.ENDED)
        else:
            await self._pause()
            conference = await self._record(ref)
        return Snapshot(conference=conference, members=members, calls=await self._calls(ref, "fetch"))

    async def _record(self, ref: Conference) -> Conference:
        conference = await self._http.read("conferences", ref.id or "", operation="fetch", decode=wire.conference)
        _remember(self._keys, ref.id or "", conference.key)
        return conference

    async def _fetch_call(self, ref: Call) -> Call:
        call = await self._http.read("calls", ref.id, operation="fetch", decode=wire.call)
        if call.state is not CallState.ENDED or call.answered_at is not None:
            return call
        # Only the event log tells busy from refused. It is a comfort, so its failure is none of the call's.
        await self._pause()
        try:
            cause = await self._http.read("calls", ref.id, "events", operation="fetch", decode=wire.hangup_cause)
        except ProviderError:
            return call
        return evolve(call, cause=cause or call.cause)

    @hookimpl
    async def list_calls(self, into: Conference | Bridge) -> tuple[Call, ...]:
        return await self._calls(into, "list_calls")

    @hookimpl
    async def find(self, op_key: str, hint: FindHint) -> tuple[Call | Member | Conference | Bridge, ...]:
        match hint:
            case FindHint(operation="create_call", into=(Conference() | Bridge()) as into, to=str() as to):
                return await self._find_call(op_key, into, to, hint.since)
            case FindHint(operation="add_member", into=Conference() as conference, call=Call(id=call_id)):
                members = await self._members(conference, "find")
                found = [member for member in members if member.call_id == call_id]
                if not found and not all(member.call_id for member in members):
                    raise _in_doubt("a member's call cannot be read")
                return tuple(sorted(found, key=lambda member: member.state is not MemberState.JOINED))
        raise Unsupported(
            f"find: {hint.operation}",
            provider=PROVIDER,
            operation="find",
            hint="Bandwidth lists only what was put into a conference or bridge",
        )

    async def _find_call(
        self, op_key: str, into: Conference | Bridge, to: str, since: datetime | None
    ) -> tuple[Call, ...]:
        """What a lost dial made. The list is the history of a conference or bridge: who was busy, and who has hung
        up, stands in it, and it has no pages (``getCalls.md``). So who does not stand in it was not dialled.

        Raises:
            OutcomeUnknown: it was told on several pages all the same, or somebody in it has no number, or nobody tells
                whether a call is older than the lost one.
        """
        if not into.id:
            return ()  # nothing can be dialled into it
        query = {_filter(into): into.id}
        reply = await self._http.request("GET", "calls", operation="find", timeout=READ_TIMEOUT, query=query)
        calls = reply.decode(wire.every(wire.call))
        # No page promises the tag in a record; where it is there, it is the proof.
        if tagged := [call for call in calls if call.raw.get("tag") == op_key]:
            return tuple(tagged)
        # Else the number is mark enough: a party stands once in a conference or bridge. Who comes again stands there
        # twice, and the earlier call is older than the request.
        theirs = [call for call in calls if _same(call.to, to)]
        ahead = _ahead(reply.headers)
        if since is not None:
            since += (ahead or timedelta(0)) - _WHOLE_SECONDS
        if found := [call for call in theirs if not since or not call.created_at or call.created_at >= since]:
            return tuple(sorted(found, key=lambda call: call.created_at or _NEVER, reverse=True))
        if theirs and ahead is None:
            raise _in_doubt("a call to the party may be an earlier one")
        if 'rel="next"' in reply.headers.get("link", ""):
            raise _in_doubt("the list of calls has more pages")
        if not all(call.to for call in calls):
            raise _in_doubt("whom a call was for cannot be read")
        return ()

    @hookimpl
    async def receive(self, request: WebhookRequest) -> Received:
        return Received(events=callbacks.parse(callbacks.payload_of(request)))

    async def _calls(self, into: Conference | Bridge, operation: str) -> tuple[Call, ...]:
        """All calls of a conference or bridge; with these filters the list has no pages (``getCalls.md``)."""
        if not into.id:
            return ()  # an empty filter would list everybody's calls
        query = {_filter(into): into.id}
        return await self._http.read("calls", operation=operation, query=query, decode=wire.every(wire.call))

    async def _members(self, conference: Conference, operation: str) -> tuple[Member, ...]:
        return await self._http.read(
            "conferences",
            conference.id or "",
            "members",
            operation=operation,
            decode=wire.every(lambda record: wire.member(record, of=conference)),
        )

    async def _pause(self) -> None:
        """Before a second request to a family within one operation."""
        if self._settings.limits == "documented":
            await anyio.sleep(_MARGIN / self._settings.requests_per_second)

    async def _update(
        self, *path: str, op: Op, operation: str, body: dict[str, Any], over: tuple[str, ...] = ()
    ) -> None:
        """Change a resource.

        Args:
            over: codes that say that it is so already.
        """
        try:
            await self._http.update(*path, operation=operation, body=body, timeout=op.timeout)
        except Conflict as error:
            if error.code not in over:
                raise


def _path(target: Conference | Member | Call | Bridge) -> tuple[str, ...]:
    match target:
        case Conference(id=found):
            return "conferences", found or ""
        case Member(id=found, conference=conference):
            return "conferences", conference.id or "", "members", found
        case Call(id=found):
            return "calls", found
        case Bridge(id=found):
            return "bridges", found


def _callback(url: str | None) -> dict[str, Any]:
    # POST always: for a call, GET selects BXML, which executes the answer to a callback (bxmlOverview.md).
    return {"callbackUrl": Secret(url), "callbackHttpMethod": "POST"} if url else {}


def _flags(patch: ConferencePatch | MemberPatch) -> dict[str, bool]:
    flags = {"mute": patch.mute, "hold": patch.hold}
    return {name: value for name, value in flags.items() if value is not None}


def _member_options(given: MemberOptions) -> dict[str, bool]:
    flags = {"mute": given.mute, "hold": given.hold}
    return {
        **{name: True for name, value in flags.items() if value},
        **options.on_the_wire(given.provider_options, options.MEMBER, operation="add_member"),
    }


def _remember(known: OrderedDict[K, V], one: K, value: V) -> None:
    known[one] = value
    if len(known) > _REMEMBERED:
        known.popitem(last=False)


def _filter(into: Conference | Bridge) -> str:
    return "conferenceId" if isinstance(into, Conference) else "bridgeId"


def _same(listed: str, dialled: str) -> bool:
    """A number may be listed without its plus, a SIP address without its scheme, or with a port and parameters."""
    return _bare(listed) == _bare(dialled)


def _bare(address: str) -> str:
    bare = address.strip().lower().removeprefix("sip:").removeprefix("+")
    user, at, host = bare.partition(";")[0].partition("@")
    return f"{user}{at}{host.partition(':')[0]}"


def _ahead(headers: Mapping[str, str]) -> timedelta | None:
    """By how much Bandwidth's clock is ahead of ours, as a reply shows it (RFC 9110 section 6.6.1), or less."""
    try:
        return parsedate_to_datetime(headers["date"]) - datetime.now(UTC)
    except (KeyError, ValueError, TypeError):
        return None


def _in_doubt(why: str) -> OutcomeUnknown:
    return OutcomeUnknown(f"{why}, so it proves nothing", provider=PROVIDER, operation="find")


def _invalid(operation: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, provider=PROVIDER, operation=operation)
