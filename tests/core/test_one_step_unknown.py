"""One step whose outcome is not known, or that only looks, against a provider whose replies are scripted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from attrs import evolve

from confkit import Bridge, Call, Conference, OutcomeUnknown, StepOutcome, Unavailable
from confkit.models.trace import Trace
from confkit.provider import (
    Capabilities,
    Conflict,
    Dialled,
    FindHint,
    InvalidRequest,
    JoinMethod,
    Membership,
    NotFound,
    PermissionDenied,
    RateClass,
    Snapshot,
)
from confkit.steps.executor import StepRequest
from tests.core.scripted_steps import (
    ANN,
    BRIDGE,
    CALL,
    DIALLED,
    MEMBER,
    OURS,
    ROOM,
    SECOND,
    Reply,
    Scripted,
    Watcher,
    dial,
    down,
    failed,
    finds,
    hang_up,
    join,
    limited,
    lost,
    request,
    steps,
)

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]


# --- unknown outcomes


async def test_an_attempt_that_may_have_been_executed_is_not_forgotten_over_a_later_refusal() -> None:
    """The second request was refused; the first may have put somebody in all the same."""
    for later in (PermissionDenied("not allowed any more"), NotFound("no such call"), Conflict("in already")):
        first = lost()
        provider = Scripted(add_member=[first, later])
        with pytest.raises(OutcomeUnknown) as raised:
            await steps(provider).run(join())
        assert raised.value is first
        assert raised.value.__cause__ is later
        assert len(provider.sent) == 2


async def test_the_last_doubt_is_the_one_that_stands() -> None:
    first, second = lost(), lost()
    provider = Scripted(add_member=[first, second, InvalidRequest("no")])
    with pytest.raises(OutcomeUnknown) as raised:
        await steps(provider).run(join())
    assert raised.value is second


async def test_a_doubt_is_forgotten_when_the_step_succeeds() -> None:
    watcher = Watcher()
    provider = Scripted(add_member=[lost(), down(), MEMBER])
    assert await steps(provider, watcher).run(join()) is MEMBER
    assert watcher.finished[0].outcome is StepOutcome.DONE


async def test_a_plugin_that_breaks_or_keeps_silent_leaves_the_outcome_unknown() -> None:
    for reply, words in (
        (KeyError("x"), "KeyError"),
        (anyio.sleep_forever, "no reply in time"),
        ("nonsense", "str instead of Dialled"),
    ):
        provider = Scripted(create_call=[reply])
        begun = anyio.current_time()
        with pytest.raises(OutcomeUnknown, match=words) as raised:
            await steps(provider, request_timeout=3 * SECOND).run(dial())
        assert anyio.current_time() - begun == (6 if reply is anyio.sleep_forever else 0)
        assert len(provider.sent) == 1
        assert (raised.value.provider, raised.value.operation) == ("scripted", "create_call")
        assert not raised.value.answered


async def test_a_dial_is_looked_up_at_once_and_twice_again() -> None:
    provider = Scripted(create_call=[lost()], find=[()], capabilities=finds("create_call"))
    begun = anyio.current_time()
    with pytest.raises(OutcomeUnknown):
        await steps(provider).run(dial(ROOM))
    assert [each.operation for each in provider.sent] == ["create_call", "find", "find", "find"]
    assert [each.at - begun for each in provider.of("find")] == pytest.approx([0, 0.5, 2.5])
    looked_up = [each.arguments for each in provider.of("find")]
    assert {each["op_key"] for each in looked_up} == {"k-1"}
    (since,) = {each["hint"].since for each in looked_up}
    assert timedelta(0) <= datetime.now(UTC) - since < timedelta(minutes=1)
    hint = FindHint(operation="create_call", into=ROOM, to=ANN, since=since, caller_id=OURS)
    assert [each["hint"] for each in looked_up] == [hint] * 3


async def test_what_the_provider_has_finished_with_is_looked_up_once() -> None:
    provider = Scripted(create_call=[failed(), DIALLED], find=[()], capabilities=finds("create_call"))
    assert await steps(provider).run(dial()) is DIALLED
    assert [each.operation for each in provider.sent] == ["create_call", "find", "create_call"]


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        (dial(), FindHint(operation="create_call", to=ANN, caller_id=OURS)),
        (join(), FindHint(operation="add_member", into=ROOM, call=CALL)),
        (hang_up(), FindHint(operation="hang_up")),
        (
            request("transfer", CALL, ANN, OURS),
            FindHint(operation="transfer", call=CALL, to=ANN, caller_id=OURS),
        ),
    ],
)
async def test_a_look_up_says_what_is_looked_for(asked: StepRequest, hint: FindHint) -> None:
    script: dict[str, Any] = {asked.operation: [lost()]}
    provider = Scripted(**script, find=[(CALL,)], capabilities=finds(asked.operation))
    await steps(provider).run(asked)
    (looked_up,) = [each.arguments["hint"] for each in provider.of("find")]
    assert looked_up.since is not None
    assert evolve(looked_up, since=None) == hint


async def test_a_look_up_belongs_to_the_meeting() -> None:
    provider = Scripted(create_call=[lost()], find=[(), (CALL,)], capabilities=finds("create_call"))
    one = steps(provider)
    trace = one.traces["m-1"] = Trace("m-1")
    await one.run(dial(meeting="m-1"))
    assert trace.reads == {"find": 2}
    assert [record.outcome for record in trace.records] == [StepOutcome.ADOPTED]


async def test_nothing_is_looked_up_that_the_provider_cannot_look_up() -> None:
    looks: dict[str, Any] = {"find": [(CALL,)]}
    replies: dict[str, Any]
    for capabilities, replies in ((finds("add_member"), looks), (finds("create_call"), {})):
        provider = Scripted(create_call=[failed()], **replies, capabilities=capabilities)
        begun = anyio.current_time()
        with pytest.raises(OutcomeUnknown):
            await steps(provider).run(dial())
        assert anyio.current_time() == begun
        assert [each.operation for each in provider.sent] == ["create_call"]


async def test_a_look_up_that_fails_proves_nothing() -> None:
    doubt = failed()
    provider = Scripted(
        create_call=[doubt, DIALLED], find=[InvalidRequest("not like this")], capabilities=finds("create_call")
    )
    with pytest.raises(OutcomeUnknown) as raised:
        await steps(provider).run(dial())
    assert raised.value is doubt
    assert len(provider.of("create_call")) == 1


async def test_after_a_look_up_that_fails_there_is_another() -> None:
    provider = Scripted(
        create_call=[lost()], find=[InvalidRequest("not now"), (CALL,)], capabilities=finds("create_call")
    )
    dialled = await steps(provider).run(dial())
    assert dialled.call is CALL
    assert len(provider.of("find")) == 2


@pytest.mark.parametrize(
    ("into", "join_method", "expected"),
    [
        (None, JoinMethod.EXPLICIT, Dialled(call=CALL)),
        (ROOM, JoinMethod.EXPLICIT, Dialled(call=CALL, membership=Membership.EXPLICIT, conference=ROOM)),
        (ROOM, JoinMethod.FUSED, Dialled(call=CALL, membership=Membership.FUSED, conference=ROOM)),
        (BRIDGE, JoinMethod.FUSED, Dialled(call=CALL, membership=Membership.ON_ANSWER)),
    ],
)
async def test_a_call_that_is_found_is_dialled_as_its_reply_would_have_said(
    into: Conference | Bridge | None, join_method: JoinMethod, expected: Dialled
) -> None:
    provider = Scripted(
        create_call=[lost()], find=[(CALL,)], capabilities=finds("create_call", join_methods=frozenset({join_method}))
    )
    assert await steps(provider).run(dial(into)) == expected


@pytest.mark.parametrize(
    ("join_method", "id_", "expected"),
    [
        (JoinMethod.FUSED, None, "conf-7"),
        (JoinMethod.FUSED, "conf-1", "conf-7"),  # the room is a name, and may have another id by now
        (JoinMethod.EXPLICIT, None, "conf-7"),
        (JoinMethod.EXPLICIT, "conf-1", "conf-1"),
    ],
)
async def test_a_call_that_is_found_brings_the_id_of_the_room_that_it_made(
    join_method: JoinMethod, id_: str | None, expected: str | None
) -> None:
    found = Call(provider="scripted", id="call-7", to=ANN, conference_id="conf-7")
    capabilities = finds("create_call", join_methods=frozenset({join_method}))
    provider = Scripted(create_call=[lost()], find=[(found,)], capabilities=capabilities)
    dialled = await steps(provider).run(dial(Conference(provider="scripted", key="k-room", id=id_)))
    assert (dialled.conference.id, dialled.conference.key) == (expected, "k-room")


async def test_a_call_that_has_reported_itself_is_the_one_whose_reply_was_lost() -> None:
    """It has an address of its own, so whether the provider can look it up does not matter."""
    asked: list[float] = []

    async def reported() -> Call | None:
        asked.append(anyio.current_time() - begun)
        return CALL if len(asked) == 3 else None

    for capabilities, looks in ((Capabilities(), 0), (finds("create_call"), 2)):
        asked.clear()
        provider = Scripted(create_call=[lost()], find=[()], capabilities=capabilities)
        begun = anyio.current_time()
        dialled = await steps(provider).run(dial(ROOM, reported=reported))
        assert dialled == Dialled(call=CALL, membership=Membership.EXPLICIT, conference=ROOM)
        assert asked == pytest.approx([0, 0.5, 2.5])
        assert len(provider.of("find")) == looks


async def test_a_call_that_has_not_reported_itself_is_not_made_up() -> None:
    async def nothing() -> None:
        return None

    provider = Scripted(create_call=[lost()])
    with pytest.raises(OutcomeUnknown):
        await steps(provider).run(dial(reported=nothing))
    assert len(provider.sent) == 1


async def test_what_is_found_of_any_other_operation_is_its_result() -> None:
    provider = Scripted(add_member=[lost()], find=[(MEMBER,)], capabilities=finds("add_member"))
    assert await steps(provider).run(join()) is MEMBER


async def test_a_refusal_after_a_doubt_is_looked_into() -> None:
    """The second join was refused because the first had worked."""
    watcher = Watcher()
    provider = Scripted(
        add_member=[lost(), Conflict("a member already")],
        find=[(), (), (), (MEMBER,)],
        capabilities=finds("add_member"),
    )
    assert await steps(provider, watcher).run(join()) is MEMBER
    assert watcher.finished[0].outcome is StepOutcome.ADOPTED
    assert len(provider.of("add_member")) == 2


async def test_a_refusal_without_a_doubt_is_not_looked_into() -> None:
    provider = Scripted(add_member=[Conflict("over")], find=[(MEMBER,)], capabilities=finds("add_member"))
    with pytest.raises(Conflict):
        await steps(provider).run(join())
    assert provider.of("find") == []


async def test_a_refusal_after_a_doubt_is_looked_into_once() -> None:
    doubt = lost()
    provider = Scripted(add_member=[doubt, Conflict("a member already")], find=[()], capabilities=finds("add_member"))
    with pytest.raises(OutcomeUnknown) as raised:
        await steps(provider).run(join())
    assert raised.value is doubt
    assert len(provider.of("find")) == 3 + 1


async def test_two_calls_are_connected_again_where_an_empty_bridge_is_not() -> None:
    for calls, sent in (((CALL, CALL), 2), ((), 1)):
        provider = Scripted(create_bridge=[lost(), BRIDGE])
        if sent == 1:
            with pytest.raises(OutcomeUnknown):
                await steps(provider).run(request("create_bridge", calls))
        else:
            assert await steps(provider).run(request("create_bridge", calls)) is BRIDGE
        assert len(provider.sent) == sent


@pytest.mark.parametrize(
    ("idempotent", "window", "wait", "sent"),
    [
        ((), None, 0, 1),
        (("transfer",), None, 0, 1),
        (("create_call",), None, 9, 2),
        (("create_call",), 10, 4.9, 2),
        (("create_call",), 10, 5, 1),
        (("create_call",), 10, 8, 1),
    ],
)
async def test_a_dial_is_sent_again_where_it_would_be_the_same_one(
    idempotent: tuple[str, ...], window: float | None, wait: float, sent: int
) -> None:
    async def after_a_while() -> None:
        await anyio.sleep(wait)
        raise lost()

    capabilities = Capabilities(
        idempotent=frozenset(idempotent), idempotency_window=None if window is None else timedelta(seconds=window)
    )
    provider = Scripted(create_call=[after_a_while, DIALLED], capabilities=capabilities)
    if sent == 2:
        assert await steps(provider).run(dial()) is DIALLED
    else:
        with pytest.raises(OutcomeUnknown):
            await steps(provider).run(dial())
    assert len(provider.sent) == sent


# --- steps that an earlier run has begun


async def test_a_step_that_was_cut_off_is_looked_up_before_anything_is_sent() -> None:
    watcher = Watcher()
    provider = Scripted(create_call=[DIALLED], find=[(), (CALL,)], capabilities=finds("create_call"))
    dialled = await steps(provider, watcher).run(dial(resumed=True))
    assert dialled.call is CALL
    assert [each.operation for each in provider.sent] == ["find", "find"]
    assert {each.arguments["hint"].since for each in provider.sent} == {None}  # the earlier run knew
    assert (watcher.finished[0].outcome, watcher.finished[0].attempt) == (StepOutcome.ADOPTED, 1)


async def test_a_dial_that_was_cut_off_and_does_not_show_is_not_sent_again() -> None:
    provider = Scripted(create_call=[DIALLED], find=[()], capabilities=finds("create_call"))
    with pytest.raises(OutcomeUnknown, match="cut off") as raised:
        await steps(provider).run(dial(resumed=True))
    assert provider.of("create_call") == []
    assert (raised.value.provider, raised.value.operation) == ("scripted", "create_call")
    assert len(provider.of("find")) == 3


async def test_a_dial_that_was_cut_off_is_sent_again_where_it_would_be_the_same_one() -> None:
    capabilities = Capabilities(idempotent=frozenset({"create_call"}), idempotency_window=10 * SECOND)
    provider = Scripted(create_call=[DIALLED], capabilities=capabilities)
    assert await steps(provider).run(dial(resumed=True)) is DIALLED


async def test_what_was_cut_off_and_harms_nobody_is_sent_again() -> None:
    provider = Scripted(hang_up=[None])
    await steps(provider).run(hang_up(resumed=True))
    assert [each.op.attempt for each in provider.sent if each.op] == [1]
    provider = Scripted(hang_up=[PermissionDenied("not allowed any more")])
    with pytest.raises(OutcomeUnknown, match="cut off"):  # the one that was cut off may have worked
        await steps(provider).run(hang_up(resumed=True))


# --- reads


async def test_a_read_is_sent_again_until_it_is_answered() -> None:
    snapshot = Snapshot(calls=(CALL,))
    provider = Scripted(fetch=[down(), limited(1), down(), anyio.sleep_forever, snapshot])
    begun = anyio.current_time()
    assert await steps(provider, request_timeout=3 * SECOND).read("fetch", ref=CALL) is snapshot
    assert [each.arguments for each in provider.sent] == [{"ref": CALL}] * 5
    assert provider.sent[-1].at - provider.sent[-2].at >= 6
    assert anyio.current_time() == provider.sent[-1].at
    assert provider.sent[0].at == begun


async def test_a_read_has_five_attempts_with_pauses_that_double() -> None:
    pauses = {}
    for operation, argument in (("fetch", "ref"), ("list_calls", "into")):
        script: dict[str, Any] = {operation: [down()]}
        provider = Scripted(**script)
        begun = anyio.current_time()
        with pytest.raises(Unavailable):
            await steps(provider).read(operation, **dict[str, Any]({argument: ROOM}))
        pauses[operation] = provider.pauses(operation)
        assert anyio.current_time() - begun == pytest.approx(sum(pauses[operation]))  # no pause after the last
        assert len(pauses[operation]) == 4
        for number, pause in enumerate(pauses[operation]):
            assert 0.2 * 2**number <= pause <= 0.25 * 2**number
    assert pauses["fetch"] != pytest.approx(pauses["list_calls"])


async def test_a_read_that_is_turned_away_comes_again_at_the_pace_of_its_class() -> None:
    rates = (RateClass(name="reads", limit=2, per=10 * SECOND, costs={"fetch": 1}),)
    provider = Scripted(fetch=[limited(None), Snapshot()], capabilities=Capabilities(rates=rates))
    await steps(provider).read("fetch", ref=CALL)
    assert 5 <= provider.pauses("fetch")[0] <= 6.25


async def test_a_read_that_is_refused_is_not_sent_again() -> None:
    provider = Scripted(fetch=[NotFound("no such call"), Snapshot()])
    with pytest.raises(NotFound):
        await steps(provider).read("fetch", ref=CALL)
    assert len(provider.sent) == 1


async def test_a_read_whose_outcome_is_unknown_is_sent_again_but_for_a_look_up_which_has_answered() -> None:
    provider = Scripted(fetch=[lost(), Snapshot()], find=[lost(), (CALL,)])
    await steps(provider).read("fetch", ref=CALL)
    with pytest.raises(OutcomeUnknown):
        await steps(provider).read("find", op_key="k-1", hint=FindHint(operation="create_call"))
    assert [each.operation for each in provider.sent] == ["fetch", "fetch", "find"]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (anyio.sleep_forever, "no reply in time"),
        ("nonsense", "the plugin returned str instead of Snapshot"),
        (KeyError("secret"), "the plugin raised KeyError, which is not a portable error"),
    ],
)
async def test_a_read_whose_plugin_fails_is_unavailable(reply: Reply, words: str) -> None:
    provider = Scripted(fetch=[reply])
    with pytest.raises(Unavailable, match=words) as raised:
        await steps(provider).read("fetch", ref=CALL)
    assert len(provider.sent) == 5
    if reply != "nonsense":
        assert (raised.value.provider, raised.value.operation) == ("scripted", "fetch")


async def test_reads_are_counted_in_the_trace_of_their_meeting() -> None:
    provider = Scripted(fetch=[down(), Snapshot()])
    one = steps(provider)
    trace = one.traces["m-1"] = Trace("m-1")
    await one.read("fetch", ref=CALL, meeting="m-1")
    await one.read("fetch", ref=CALL, meeting="m-2")
    await one.read("fetch", ref=CALL)
    assert trace.reads == {"fetch": 2}
