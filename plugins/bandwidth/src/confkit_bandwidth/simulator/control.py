"""``/_simulator``: what really happened, and what shall happen. Without credentials: it is for those who test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import asdict
from confkit_fake.exchange import ExchangeError
from starlette.requests import Request
from starlette.responses import Response

from confkit.models import EndCause
from confkit_bandwidth.simulator import calls, render
from confkit_bandwidth.simulator.account import Account, read_callbacks, refusal_for
from confkit_bandwidth.simulator.api import json_response
from confkit_bandwidth.simulator.details import CallDetails
from confkit_bandwidth.simulator.events import CAUSES
from confkit_bandwidth.simulator.faults import Fault
from confkit_bandwidth.simulator.fields import Fields, body_of
from confkit_bandwidth.simulator.refusals import Refusal, invalid, missing


def state(account: Account) -> dict[str, Any]:
    """What really happened, as data fit for JSON.

    Resources are as the API shows them, with the facts added that it hides. ``requests`` and ``callbacks`` hold the
    last ten thousand.
    """
    account.catch_up()
    exchange = account.exchange
    return {
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


def script_party(account: Account, fields: Fields) -> None:
    """Say what a party does when it is called; what is not said stays as it is.

    ``to``; one of ``answers_after``, ``busy``, ``rejects``, ``unreachable``, ``never_answers``; ``after`` goes with
    the middle three; ``hangs_up_after`` and ``presses`` (with ``presses_after``) count from the answer. Seconds.
    """
    fields.require("to")
    script = account.exchange.party(fields.address("to") or "")
    after = fields.seconds("after", least=0, most=1e6) or 0.0
    answers_after = fields.seconds("answers_after", least=0, most=1e6)
    hangs_up_after = fields.seconds("hangs_up_after", least=0, most=1e6)
    reactions = {
        "busy": lambda: script.busy(after),
        "rejects": lambda: script.rejects(after),
        "unreachable": lambda: script.unreachable(after),
        "never_answers": script.never_answers,
    }
    chosen = [react for name, react in reactions.items() if fields.flag(name)]
    if len(chosen) + (answers_after is not None) > 1:
        raise invalid("a party does one thing when it is called")
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
    if answers:
        account.exchange.answer(call.id)
        account.catch_up()
    return call.id


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
