"""``/_simulator``: what really happened, and what shall happen. Without credentials: it is for those who test.

So it is closed to the web pages that a tester's browser shows: it answers to this machine's own names only, because
any other name can be made to resolve to it, refuses what a page of another site sends, and takes JSON only, which a
form cannot send. What it shows has no secret in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from attrs import asdict
from confkit_fake.exchange import ExchangeError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from confkit.provider import EndCause, canonical
from confkit_bandwidth.simulator import calls, render
from confkit_bandwidth.simulator.account import Account, read_callbacks, refusal_for
from confkit_bandwidth.simulator.api import json_response
from confkit_bandwidth.simulator.delivery import is_loopback
from confkit_bandwidth.simulator.details import CallDetails
from confkit_bandwidth.simulator.events import CAUSES
from confkit_bandwidth.simulator.faults import Fault
from confkit_bandwidth.simulator.fields import Fields, body_of
from confkit_bandwidth.simulator.refusals import Refusal, invalid, missing


def state(account: Account) -> dict[str, Any]:
    """What really happened, as data fit for JSON.

    Resources are as the API shows them, with the facts added that it hides, and without what is secret: of a callback
    URL only the server is told, of SIP headers only the names. ``requests`` and ``callbacks`` hold the last ten
    thousand.
    """
    account.catch_up()
    exchange = account.exchange
    shown = {
        "conferences": [render.conference(account, each) for each in exchange.conferences.values()],
        "calls": [
            {
                **render.call(account, each),
                "cause": CAUSES[each.cause or EndCause.UNKNOWN] if each.ended_at else None,
                "digitsSent": list(each.digits_sent),
            }
            for each in exchange.calls.values()
        ],
        "members": [
            {**render.member(account, each), "conferenceId": each.conference_id, "callId": each.call_id}
            for each in exchange.members.values()
        ],
        "bridges": [render.bridge(account, each) for each in exchange.bridges.values()],
        "recordings": [render.recording(account, each) for each in exchange.recordings.values() if each.call_id],
        "requests": [asdict(each) for each in account.requests],
        "callbacks": list(account.delivery.log),
    }
    for record in (*shown["conferences"], *shown["calls"]):
        for name in ("callbackUrl", "fallbackUrl"):
            if record.get(name):
                record[name] = _server_of(record[name])
        if "sipHeaders" in record:
            record["sipHeaders"] = dict.fromkeys(record["sipHeaders"], "•••")
    return shown


def _server_of(url: str) -> str:
    """A URL without its credentials, path and query, where tokens stand."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/•••"


def script_party(account: Account, fields: Fields) -> None:
    """Say what a party does when it is called; what is not said stays as it is.

    ``to``; one of ``answers_after``, ``busy``, ``rejects``, ``unreachable``, ``fails``, ``never_answers``; ``after``
    goes with the middle four; ``hangs_up_after`` and ``presses`` (with ``presses_after``) count from the answer.
    Seconds.
    """
    fields.require("to")
    address = fields.address("to") or ""
    script = account.exchange.party(address)
    after = fields.seconds("after", least=0, most=1e6) or 0.0
    answers_after = fields.seconds("answers_after", least=0, most=1e6)
    hangs_up_after = fields.seconds("hangs_up_after", least=0, most=1e6)
    reactions = {
        "busy": lambda: script.busy(after),
        "rejects": lambda: script.rejects(after),
        "unreachable": lambda: script.unreachable(after),
        "fails": lambda: script.rejects(after),  # the exchange has no word for it: how it ends is told otherwise
        "never_answers": script.never_answers,
    }
    chosen = [react for name, react in reactions.items() if fields.flag(name)]
    if len(chosen) + (answers_after is not None) > 1:
        raise invalid("a party does one thing when it is called")
    if chosen or answers_after is not None:
        account.failing.discard(canonical(address))
    if fields.flag("fails"):
        account.failing.add(canonical(address))
    if answers_after is not None:
        script.answers(answers_after)
    for react in chosen:
        react()
    if hangs_up_after is not None:
        script.hangs_up(hangs_up_after)
    if keys := fields.text("presses"):
        script.presses(keys, fields.seconds("presses_after", least=0, most=1e6) or 0.0)


def add_faults(account: Account, fields: Fields) -> None:
    """More faults: ``{"faults": ["create_call=drop-reply:2"]}``; ``{"clear": true}`` removes those there are."""
    texts = fields.identifiers("faults") or ()
    if not texts and not fields.flag("clear"):
        raise missing("faults")
    try:
        faults = [Fault.parse(text) for text in texts]
    except ValueError as error:
        raise invalid(str(error)) from None
    if fields.flag("clear"):
        account.faults.clear()
    for fault in faults:
        account.faults.add(fault)


def call_in(account: Account, fields: Fields) -> str:
    """Somebody calls a number of the account; gives the call's id.

    ``from``, ``to``; ``callbackUrl``, ``callbackHttpMethod``, ``callbackTimeout`` and ``fallbackUrl`` of the
    application that the number is bound to; ``autoAnswer`` answers at once.
    """
    for name in ("from", "to"):
        fields.require(name)
    caller, called = fields.address("from") or "", fields.number("to") or ""
    answers = fields.flag("autoAnswer")
    details = CallDetails(callbacks=read_callbacks(fields), application=account.new_id("a-"))
    call = account.exchange.incoming(caller, called)
    calls.register(account, call, details)
    account.catch_up()
    if not details.callbacks.url:
        message = f"Application {details.application} for number {called} does not specify a URL for call events"
        named = {"applicationId": details.application or "", "number": called, "callId": call.id}
        told = [{"name": name, "value": value} for name, value in named.items()]
        account.note_error("unavailable", "no-callback-for-call", message, told)
    if answers:
        account.exchange.answer(call.id)
        account.catch_up()
    return call.id


def refusal_of(headers: Headers, method: str) -> Refusal | None:
    """Why a request may not come in; ``None`` where it may.

    A page of another site can send it, or one whose name is made to resolve to this machine.
    """
    host = headers.get("host", "")
    if not is_loopback(f"http://{host}/"):
        return Refusal(None, "the simulator answers to localhost and loopback addresses only", status=421)
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    if (origin is not None and origin.partition("://")[2] != host) or site not in ("none", "same-origin"):
        return Refusal(None, "pages of other sites may not control the simulator", status=403)
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if method == "POST" and kind != "application/json":
        return Refusal(None, "the body must be JSON: send Content-Type: application/json", status=415)
    return None


class Guard:
    """Lets in who may control the simulator; see :func:`refusal_of`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = refusal_of(Headers(scope=scope), scope["method"])
        await (_refused(refusal) if refusal else self._app)(scope, receive, send)


class Control:
    """The endpoints over an account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    async def state(self, _: Request) -> Response:
        """``GET /_simulator/state``."""
        return json_response(200, state(self._account))

    async def parties(self, request: Request) -> Response:
        """``POST /_simulator/parties``."""
        return await self._apply(request, script_party)

    async def faults(self, request: Request) -> Response:
        """``POST /_simulator/faults``."""
        return await self._apply(request, add_faults)

    async def incoming(self, request: Request) -> Response:
        """``POST /_simulator/incoming``: answers with the call's id."""
        return await self._apply(request, call_in)

    async def _apply(self, request: Request, action: Callable[[Account, Fields], str | None]) -> Response:
        try:
            made = action(self._account, body_of(await request.body()))
        except ExchangeError as error:
            return _refused(refusal_for(error))
        except Refusal as refusal:
            return _refused(refusal)
        return json_response(200, {"id": made} if made else {})


def _refused(refusal: Refusal) -> Response:
    return json_response(refusal.status, {"code": refusal.code, "message": refusal.message})
