"""Every public operation of the client and of a meeting, with marked values."""

from __future__ import annotations

import inspect
import json
from contextlib import aclosing
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import anyio
from attrs import evolve

from confkit import AsyncClient, Meeting, Party, WebhookRequest
from confkit.models.records import Bridge, Call, CallState, Conference, Dialled, Member, RecordAction

from .marks import CALLER, DIGITS, LATER, PASSWORD, PEOPLE, SECRET, STRANGER, USER, Seen, basic


def operations_of(kind: type) -> set[str]:
    """The names of its public operations."""
    return {name for name, made in inspect.getmembers(kind, inspect.iscoroutinefunction) if not name.startswith("_")}


async def by_hand(client: AsyncClient, seen: Seen) -> None:
    """The portable operations one by one; after one that failed, the next get values that nobody made."""
    name = client.provider_name
    see = seen.attempt
    room = await see("create_conference", client.direct.create_conference()) or Conference(
        provider=name, key="k", id="none"
    )
    nobody = Call(provider=name, id="none", caller_id=CALLER, state=CallState.ANSWERED)
    dialled = [
        await see("create_call", client.direct.create_call(who, into=room)) or Dialled(call=evolve(nobody, to=who))
        for who in PEOPLE
    ]
    calls, members = [each.call for each in dialled], []
    await see("join", client.direct.join(dialled[2], room, answer_timeout=1))
    for call in calls[:2]:
        up = await see("until_answered", client.direct.until_answered(call, timeout=timedelta(seconds=2)))
        member = await see(
            "add_member", client.direct.add_member(room, up or call, answer_timeout=timedelta(seconds=1))
        )
        members.append(member or Member(provider=name, id="none", call_id=call.id, conference=room))
    await see("update_member", client.direct.update_member(members[0], mute=True))
    await see("update_conference", client.direct.update_conference(room, mute=True))
    await see("play", client.direct.play(room, f"http://{USER}:x@127.0.0.1:9/a.wav"))
    await see("say", client.direct.say(room, f"call {STRANGER}"))
    await see("stop_playing", client.direct.stop_playing(room))
    for target in (room, calls[0]):
        await see("record", client.direct.record(target, RecordAction.START))
    await see("send_digits", client.direct.send_digits(calls[0], DIGITS))
    await see("transfer", client.direct.transfer(calls[1], LATER))
    for ref in (room, calls[0], Bridge(provider=name, id="none")):
        await see("fetch", client.direct.fetch(ref))
    await see("remove_member", client.direct.remove_member(members[0]))
    await see("reject_call", client.reject_call(calls[2]))
    for call in calls:
        await see("hang_up", client.direct.hang_up(call))
    await see("end_conference", client.direct.end_conference(room))
    bridge = await see("create_bridge", client.direct.create_bridge()) or Bridge(provider=name, id="none")
    await see("create_bridge", client.direct.create_bridge(*calls[:2]))
    await see("end_bridge", client.direct.end_bridge(bridge))


async def by_mistake(client: AsyncClient, seen: Seen) -> None:
    """What is refused before it is sent, addresses that are no addresses among it."""
    for odd in (PEOPLE[0][1:], f"tel:{PEOPLE[0]}", f"+1-{PEOPLE[0][2:]}", f"{PEOPLE[0]}:x@pbx", f"sip:{PEOPLE[0]}"):
        await seen.attempt("create_call", client.direct.create_call(odd))
        await seen.attempt("create_call", client.direct.create_call(LATER, caller_id=odd))
        await seen.attempt("connect", _entered(client.connect(odd, *PEOPLE, caller_id=odd)))
    await seen.attempt("connect", _entered(client.connect(*PEOPLE, PEOPLE[0])))
    await seen.attempt("create_call", client.direct.create_call(LATER, provider_options={"tag": SECRET, "odd": SECRET}))


async def _entered(meeting: Meeting) -> None:
    async with meeting:
        pass


async def meet(client: AsyncClient, seen: Seen, **wishes: Any) -> None:
    """A meeting with every command, and with all that shows what happened."""
    meeting = client.connect(*(Party(who) for who in PEOPLE), **wishes)
    events = meeting.events()
    await seen.attempt("connect", _commanded(meeting, client, seen))
    async for event in events:
        seen.value("events", event)
    await seen.attempt("mute", meeting.mute(PEOPLE[0]))
    show(meeting, seen)


async def _commanded(meeting: Meeting, client: AsyncClient, seen: Seen) -> None:
    see = seen.attempt
    async with meeting:
        for command in ("mute", "unmute", "hold", "resume"):
            await see(command, getattr(meeting, command)(PEOPLE[0]))
        await see("mute", meeting.mute(STRANGER))
        await see("mute_all", meeting.mute_all())
        await see("play", meeting.play("http://127.0.0.1:9/a.wav"))
        await see("say", meeting.say(f"call {STRANGER}"))
        await see("stop_playing", meeting.stop_playing())
        await see("record", meeting.record(of=PEOPLE[0]))
        await see("send_digits", meeting.send_digits(PEOPLE[0], DIGITS))
        await see("add", meeting.add(LATER))
        await see("add", meeting.add(PEOPLE[1]))
        await see("add", meeting.add(STRANGER[1:]))
        if (call := await _called(client, seen)) is not None:
            seen.value("incoming", call)
            await see("admit", meeting.admit(call))
            await see("reject_call", client.reject_call(call))
        await see("transfer", meeting.transfer(PEOPLE[1], STRANGER))
        await see("remove", meeting.remove(PEOPLE[2]))
        show(meeting, seen)
        await see("end", meeting.end())
        await see("wait_until_ended", meeting.wait_until_ended())


async def _called(client: AsyncClient, seen: Seen) -> Any:
    """A call that comes in, as the provider tells of it."""
    if hasattr(client.provider, "exchange"):
        client.provider.exchange.incoming(STRANGER, CALLER)
    else:
        try:
            await deliver(client, seen, client.incoming_url)
        except Exception as error:
            seen.error("incoming_url", error)
            return None
    with anyio.move_on_after(1):
        async with aclosing(client.incoming()) as callers:
            return await anext(callers)
    return None


async def deliver(client: AsyncClient, seen: Seen, url: str) -> None:
    """A webhook with marked values, let in and not."""
    path = urlsplit(url).path
    seen.secrets += [part for part in path.split("/") if len(part) == 22]
    told = {"eventType": "incomingcall", "callId": "c-in", "from": STRANGER, "to": CALLER, "tag": STRANGER}
    right = {"authorization": f"Basic {basic(USER, PASSWORD)}"}
    for headers, body in (
        ({}, told),
        ({"authorization": f"Basic {basic(USER, SECRET)}"}, told),
        (right, [STRANGER]),
        (right, {"eventType": "odd", "from": STRANGER}),
        (right, told),
    ):
        request = WebhookRequest(method="POST", path=path, headers=headers, body=json.dumps(body).encode())
        seen.value("receive", request)
        await seen.attempt("receive", client.receive(request))


def show(meeting: Meeting, seen: Seen) -> None:
    """What a meeting shows of itself."""
    for value in (meeting, meeting.participants, meeting.conference, meeting.bridge, meeting.trace.records):
        seen.value("meeting", value)
    seen.text("trace", meeting.trace.json())
    seen.text("mermaid", meeting.trace.mermaid())
    seen.text("left behind", repr(meeting.left_behind))


def show_client(client: AsyncClient, seen: Seen) -> None:
    """What a client shows of itself."""
    for value in (client, client.provider, client.webhooks, client.capabilities, client.plugin_manager):
        seen.text("client", repr(value))
    seen.text("settings", repr(getattr(client.provider, "_settings", "")))
