"""Lark itself, as an ASGI application over the exchange of ``confkit-fake``: enough of it to test the provider."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from attrs import define, field
from confkit_fake.exchange import Call, Conference, ErrorCode, Exchange, ExchangeError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from confkit.provider import CallState, ConferenceState, EndCause
from confkit_lark.webhooks import signature

_REFUSALS: Final[Mapping[ErrorCode, tuple[int, int]]] = {
    ErrorCode.CONFERENCE_FULL: (400, 16020),
    ErrorCode.CONFERENCE_ENDED: (409, 16030),
    ErrorCode.CALL_OVER: (409, 16030),
    ErrorCode.MEMBER_LEFT: (409, 16030),
}
_ROOMS: Final = {
    ConferenceState.CREATED: "init",
    ConferenceState.ACTIVE: "in-progress",
    ConferenceState.ENDED: "completed",
}
_CAUSES: Final = {
    EndCause.BUSY: "busy",
    EndCause.NO_ANSWER: "no-answer",
    EndCause.REJECTED: "rejected",
    EndCause.CANCELLED: "canceled",
    EndCause.HANGUP: "completed",
}
_CALLS: Final = {CallState.QUEUED: "queued", CallState.RINGING: "ringing", CallState.ANSWERED: "in-progress"}


class Refusal(Exception):
    """An answer other than 2xx."""

    def __init__(self, status: int, code: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.reply = JSONResponse({"code": code, "message": message, "status": status}, status, headers)


@define
class Lark:
    """A simulated account.

    Attributes:
        requests: method and path of every request, in order.
        refusals: the answers to the next requests that dial or fetch a call, in place of the right ones.
    """

    account: str = "AC1"
    token: str = "lark-token"
    signing_key: str = "lark-signing-key"
    exchange: Exchange = field(factory=lambda: Exchange(max_members=10, end_hangs_up=True))
    requests: list[tuple[str, str]] = field(factory=list)
    refusals: dict[str, Refusal] = field(factory=dict)

    def app(self) -> Starlette:
        """The API."""
        start = f"/v1/accounts/{self.account}"
        one = start + "/rooms/{room}/participants/{call}"
        routes = [
            Route(start + "/rooms/{room}", self.read_room, methods=["GET"]),
            Route(start + "/rooms/{room}", self.update_room, methods=["POST"]),
            Route(start + "/rooms/{room}/participants", self.dial, methods=["POST"]),
            Route(one, self.update_participant, methods=["POST"]),
            Route(start + "/calls/{call}", self.read_call, methods=["GET"]),
            Route(start + "/calls/{call}", self.update_call, methods=["POST"]),
        ]
        handlers = {Refusal: _refuse, ExchangeError: _refuse_for_its_state}
        return Starlette(routes=routes, exception_handlers=handlers)

    def callback(self, url: str, **fields: str) -> tuple[dict[str, str], bytes]:
        """Headers and body of a signed webhook."""
        signed = signature(self.signing_key, url, fields)
        headers = {"content-type": "application/x-www-form-urlencoded", "x-lark-signature": signed}
        return headers, urlencode(fields).encode()

    async def dial(self, request: Request) -> Response:
        """Dial somebody into a room, which is made if there is none of that name."""
        form = await self._form(request, "create_call")
        name = request.path_params["room"]
        room = self._find_room(name) or self.exchange.create_conference(caller_id=form["From"], notes={"name": name})
        if len(self.exchange.active_members(room.id)) >= (self.exchange.max_members or 0):
            raise ExchangeError(ErrorCode.CONFERENCE_FULL, room.id)
        call = self.exchange.dial(
            form["To"],
            caller_id=form["From"],
            ring_for=float(form["Timeout"]),
            conference_id=room.id,
            join_on_answer=True,
            notes={"label": form["Label"], "room": room.id},
        )
        return JSONResponse(self._participant(call), 201)

    async def read_room(self, request: Request) -> Response:
        """A room with everybody who was ever dialled into it."""
        await self._form(request, "fetch_room")
        return JSONResponse(self._room_json(self._room(request)))

    async def update_room(self, request: Request) -> Response:
        """End it, or play to it."""
        form = await self._form(request, "update_room")
        room = self._room(request)
        if form.get("Status") == "completed":
            self.exchange.end_conference(room.id)
        if url := form.get("AnnounceUrl"):
            self.exchange.play(room.id, url=url)
        return JSONResponse(self._room_json(room))

    async def update_participant(self, request: Request) -> Response:
        """Mute, hold or remove somebody, or play to them."""
        form = await self._form(request, "update_participant")
        room, call = self._room(request), self._call(request)
        member = next((each for each in self.exchange.members_of(room.id) if each.call_id == call.id), None)
        if member is None:
            raise Refusal(404, 20404, "no such participant")
        if form.get("Status") == "removed":
            self.exchange.remove_member(member.id)
            self.exchange.hang_up(call.id)
            return JSONResponse(self._participant(call))
        self.exchange.update_member(member.id, mute=_flag(form.get("Muted")), hold=_flag(form.get("Hold")))
        if url := form.get("AnnounceUrl"):
            self.exchange.play(member.id, url=url)
        return JSONResponse(self._participant(call))

    async def read_call(self, request: Request) -> Response:
        """A participant, by its call."""
        await self._form(request, "fetch")
        return JSONResponse(self._participant(self._call(request)))

    async def update_call(self, request: Request) -> Response:
        """Hang up."""
        await self._form(request, "update_call")
        call = self.exchange.hang_up(self._call(request).id)
        return JSONResponse(self._participant(call))

    async def _form(self, request: Request, operation: str) -> dict[str, str]:
        self.requests.append((request.method, request.url.path))
        expected = base64.b64encode(f"{self.account}:{self.token}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {expected}":
            raise Refusal(401, 20003, "authentication failed")
        if (refusal := self.refusals.pop(operation, None)) is not None:
            raise refusal
        body = await request.body()
        if body and not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise Refusal(415, 20415, "send a form")
        return dict(parse_qsl(body.decode(), keep_blank_values=True))

    def _find_room(self, name: str) -> Conference | None:
        self.exchange.advance()
        rooms = reversed(self.exchange.conferences.values())
        return next((room for room in rooms if name in (room.id, room.notes["name"])), None)

    def _room(self, request: Request) -> Conference:
        room = self._find_room(request.path_params["room"])
        if room is None:
            raise Refusal(404, 20404, "no such room")
        return room

    def _call(self, request: Request) -> Call:
        self.exchange.advance()
        call = self.exchange.calls.get(request.path_params["call"])
        if call is None:
            raise Refusal(404, 20404, "no such call")
        return call

    def _room_json(self, room: Conference) -> dict[str, Any]:
        calls = [call for call in self.exchange.calls.values() if call.notes["room"] == room.id]
        return {
            "sid": room.id,
            "name": room.notes["name"],
            "status": _ROOMS[room.state],
            "date_created": _date(room.created_at),
            "participants": [self._participant(call) for call in calls],
        }

    def _participant(self, call: Call) -> dict[str, Any]:
        room = self.exchange.conferences[str(call.notes["room"])]
        places = [member for member in self.exchange.members_of(room.id) if member.call_id == call.id]
        place = places[-1] if places else None
        ended = call.state is CallState.ENDED
        return {
            "call_sid": call.id,
            "room_sid": room.id,
            "room_name": room.notes["name"],
            "label": call.notes["label"],
            "to": call.to,
            "from": call.caller_id,
            "status": _CAUSES.get(call.cause or EndCause.FAILED, "failed") if ended else _CALLS[call.state],
            "muted": place.mute if place else False,
            "hold": place.hold if place else False,
            "date_created": _date(call.created_at),
            "date_answered": _date(call.answered_at),
            "date_ended": _date(call.ended_at),
            "date_joined": _date(place.joined_at) if place else None,
            "date_left": _date(place.left_at) if place else None,
        }


def _flag(text: str | None) -> bool | None:
    return None if text is None else text == "true"


def _date(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return error.reply


async def _refuse_for_its_state(_: Request, error: Exception) -> Response:
    assert isinstance(error, ExchangeError)
    status, code = _REFUSALS.get(error.code, (400, 21211))
    return JSONResponse({"code": code, "message": error.code.value, "status": status}, status)
