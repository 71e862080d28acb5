"""The driver: inputs in, effects out, the same for the same history; and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from confkit.models.events import CallAnswered
from confkit.workflows.driver import (
    MEMORY,
    Begun,
    CancelStep,
    CancelTimer,
    Driver,
    Effect,
    Finished,
    Input,
    Mail,
    RunStep,
    SetTimer,
    StepDone,
    TimerFired,
    Told,
)
from confkit.workflows.flow import Flow, FlowId, op_key
from confkit.workflows.messages import End, HangUp, Happened, Message

M, CHILD = FlowId("m"), FlowId("m/leg-1")


def happened(name: str) -> Happened:
    return Happened(event=CallAnswered(provider="p", id=name, call_id=name))


def name_of(message: Any) -> str:
    return message.event.id if isinstance(message, Happened) else type(message).__name__


async def collect(flow: Flow, brief: int) -> list[str]:
    """Take so many messages."""
    return [name_of(await flow.receive(None)) for _ in range(brief)]


async def break_down(_flow: Flow, _brief: Any) -> None:
    raise ZeroDivisionError


async def patient(flow: Flow, brief: float) -> list[str]:
    """Wait so long, twice."""
    return [name_of(await flow.receive(timedelta(seconds=brief))) for _ in range(2)]


async def parent(flow: Flow, brief: int) -> list[str]:
    children = [await flow.spawn("child", f"leg-{number}", flow.id) for number in range(brief)]
    for each in children:
        await flow.send(each, happened(each))
    return [name_of(await flow.receive(None)) for _ in children]


async def child(flow: Flow, brief: str) -> None:
    await flow.send(brief, happened("from " + name_of(await flow.receive(None))))


async def stepper(flow: Flow, brief: str) -> list[Any]:
    return [await flow.step("create_call", brief), await flow.step("add_member", brief, caller_id="+1")]


async def undoing(flow: Flow, brief: None) -> None:
    """A step, the mail that came meanwhile, and two more steps."""
    del brief
    await flow.step("create_call")
    await flow.receive(timedelta(0))
    await flow.step("hang_up")
    await flow.step("end_conference")


async def sleeper(_flow: Flow, brief: Awaitable[None]) -> None:
    await brief


PROGRAMS: dict[str, Any] = {
    each.__name__: each for each in (collect, break_down, patient, parent, child, stepper, undoing, sleeper)
}


def driver(program: str, brief: Any) -> tuple[Driver, list[Effect]]:
    one = Driver("m", PROGRAMS)
    return one, one.feed(Begun(program, brief), 0.0)


def mail(message: Message, key: str, flow: FlowId = M) -> Mail:
    return Mail(flow, message, key)


def finished(effects: list[Effect]) -> list[Any]:
    return [effect.value for effect in effects if isinstance(effect, Finished)]


def test_messages_come_in_order_and_a_key_that_came_before_is_dropped() -> None:
    one, _ = driver("collect", 3)
    assert one.feed(mail(happened("a"), "a"), 1.0) == []
    one.feed(mail(happened("b"), "b"), 1.0)
    assert not one.wants(mail(happened("a"), "a"))
    assert one.feed(mail(happened("a"), "a"), 2.0) == []
    assert finished(one.feed(mail(happened("c"), "c"), 2.0)) == [["a", "b", "c"]]
    assert one.done


def test_no_more_keys_are_remembered_than_there_is_room_for() -> None:
    one, _ = driver("collect", 2 * MEMORY)
    for number in range(MEMORY + 1):
        one.feed(mail(happened("x"), str(number)), 0.0)
    assert one.wants(mail(happened("x"), "0"))
    assert not one.wants(mail(happened("x"), "1"))


def test_the_same_key_for_another_workflow_is_another() -> None:
    one, _ = driver("parent", 0)
    assert one.done
    one, _ = driver("collect", 2)
    one.feed(mail(happened("a"), "a"), 0.0)
    assert not one.wants(mail(happened("a"), "a", CHILD))  # there is no such workflow
    assert one.wants(mail(happened("a"), "b"))


def test_a_meeting_begins_once() -> None:
    one, begun = driver("collect", 1)
    assert begun == [Told(M, 1)]
    assert not one.wants(Begun("collect", 1))
    assert one.feed(Begun("collect", 2), 0.0) == []


def test_waiting_ends_in_time_or_with_the_message() -> None:
    one, begun = driver("patient", 5.0)
    assert begun == [Told(M, 5.0), SetTimer(M, 1, 5.0)]
    assert not one.wants(TimerFired(M, 2))
    assert one.feed(TimerFired(M, 1), 5.5) == [SetTimer(M, 2, 10.5)]
    assert not one.wants(TimerFired(M, 1))
    assert one.feed(mail(End(), "end"), 6.0) == [
        CancelTimer(M, 2),
        Finished(M, ["NoneType", "End"]),
    ]


def test_waiting_for_no_time_is_answered_at_once() -> None:
    _, begun = driver("patient", 0.0)
    assert begun == [Told(M, 0.0), Finished(M, ["NoneType", "NoneType"])]


def test_a_defect_ends_the_workflow_that_has_it() -> None:
    one, begun = driver("break_down", None)
    assert isinstance(begun[1], Finished)
    assert isinstance(begun[1].error, ZeroDivisionError)
    assert one.done


def test_children_are_named_after_their_parent_and_talk_to_it_within_one_input() -> None:
    one, begun = driver("parent", 3)
    assert finished(begun) == [*[None] * 3, [f"from m/leg-{number}" for number in range(3)]]
    assert one.flows == ("m", "m/leg-0", "m/leg-1", "m/leg-2")
    assert one.done


def test_steps_are_numbered_in_their_workflow() -> None:
    one, begun = driver("stepper", "x")
    assert begun[1:] == [RunStep(M, 1, "create_call", ("x",))]
    assert one.pending == begun[1:]
    assert not one.wants(StepDone(M, 2, "too early"))
    after = one.feed(StepDone(M, 1, "one"), 1.0)
    assert after == [RunStep(M, 2, "add_member", ("x",), "+1")]
    assert not one.wants(StepDone(M, 1, "twice"))
    assert finished(one.feed(StepDone(M, 2, "two"), 1.0)) == [["one", "two"]]
    assert not one.wants(StepDone(M, 2, "late"))


def test_the_error_of_a_step_is_raised_in_its_workflow() -> None:
    one, _ = driver("stepper", "x")
    error = ValueError("no")
    assert one.feed(StepDone(M, 1, error=error), 0.0) == [Finished(M, error=error)]


@pytest.mark.parametrize("order", [End(), HangUp()])
def test_an_order_to_stop_cancels_what_is_under_way_and_not_the_undoing(order: Message) -> None:
    one, begun = driver("undoing", None)
    assert begun[1:] == [RunStep(M, 1, "create_call", ())]
    assert one.feed(mail(order, "stop"), 1.0) == [CancelStep(M, 1)]
    assert one.pending == [RunStep(M, 1, "create_call", ()), CancelStep(M, 1)]
    assert one.feed(StepDone(M, 1), 2.0) == [RunStep(M, 2, "hang_up", ())]
    assert one.pending == [RunStep(M, 2, "hang_up", ())]


def test_a_step_that_is_begun_after_the_order_is_cancelled_from_the_beginning() -> None:
    one, _ = driver("undoing", None)
    one.feed(StepDone(M, 1), 1.0)
    one.feed(mail(End(), "stop"), 1.0)
    assert one.feed(StepDone(M, 2), 2.0) == [RunStep(M, 3, "end_conference", (), None, True)]


def test_other_mail_cancels_nothing() -> None:
    one, _ = driver("undoing", None)
    assert one.feed(mail(happened("a"), "a"), 1.0) == []


def test_whoever_awaits_something_else_is_refused_by_name() -> None:
    for other in (anyio.sleep(1), anyio.Event().wait()):
        _, begun = driver("sleeper", other)
        assert isinstance(begun[1], Finished)
        assert isinstance(begun[1].error, Exception)
    _, begun = driver("sleeper", _Foreign())
    assert isinstance(begun[1], Finished)
    assert isinstance(begun[1].error, TypeError)
    assert str(begun[1].error).startswith("m awaits 'something', which is no operation of a workflow")


class _Foreign:
    def __await__(self) -> Any:
        yield "something"


def test_one_that_is_closed_wants_nothing() -> None:
    one, _ = driver("stepper", "x")
    assert one.close() == ["m"]
    assert one.done
    assert not one.wants(StepDone(M, 1))
    assert one.feed(StepDone(M, 1), 1.0) == []
    assert one.pending == []
    assert one.close() == []


def test_mail_for_nobody_of_the_meeting_is_told_to_those_outside() -> None:
    async def telling(flow: Flow, brief: str) -> None:
        await flow.send(brief, End())

    one = Driver("m", {"telling": telling})
    assert one.feed(Begun("telling", "m/owner"), 0.0) == [
        Told(M, "m/owner"),
        Told(FlowId("m/owner"), End()),
        Finished(M),
    ]


def test_an_id_tells_its_meeting_and_its_name() -> None:
    assert (M.meeting, M.name) == ("m", "")
    assert (CHILD.meeting, CHILD.name) == ("m", "leg-1")
    assert M.child("leg-1") == CHILD


@given(st.text(max_size=60), st.sampled_from(["create_call", "add_member", "end_conference"]), st.integers(1, 10**6))
def test_the_key_of_an_intent_fits_every_platform_and_is_always_the_same(flow: str, name: str, ordinal: int) -> None:
    key = op_key(flow, name, ordinal)
    assert re.fullmatch(r"[A-Za-z0-9-]{1,36}", key)
    assert key == op_key(flow, name, ordinal)
    assert key != op_key(flow, name, ordinal + 1)
    assert key != op_key(flow, "hang_up", ordinal)
    assert key != op_key(flow + "x", name, ordinal)


_GIVEN: st.SearchStrategy[Input] = st.one_of(
    st.builds(Mail, st.just(M), st.sampled_from([End(), HangUp(), happened("a"), happened("b")]), st.text(max_size=1)),
    st.builds(StepDone, st.just(M), st.integers(1, 4)),
    st.builds(TimerFired, st.just(M), st.integers(1, 3)),
)


@given(st.sampled_from(sorted(set(PROGRAMS) - {"sleeper", "parent", "child"})), st.lists(_GIVEN, max_size=12))
def test_whatever_comes_what_is_fed_twice_gives_the_same(program: str, history: list[Input]) -> None:
    brief = 2
    one, other = (Driver("m", PROGRAMS) for _ in range(2))
    for at, each in enumerate([Begun(program, brief), *history]):
        effects = one.feed(each, float(at))
        assert _plain(effects) == _plain(other.feed(each, float(at)))
        assert one.pending == other.pending
        assert not one.wants(each) or isinstance(each, Begun) or each in history[at:]


def _plain(effects: list[Effect]) -> list[Any]:
    """Two errors of a kind are the same."""
    return [(each.flow, repr(each.error)) if isinstance(each, Finished) and each.error else each for each in effects]
