"""The trace: every step with its outcome, as records, as JSON, and as a diagram that Mermaid can draw."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from confkit_fake import FakeProvider

from confkit import AsyncClient, StepOutcome, StepRecord, Trace
from confkit.trace import mermaid

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

OURS = "+12018994444"
PARTIES = [f"+1919555010{index}" for index in range(1, 5)]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

PARTICIPANT = re.compile(r"    participant (\w+) as (.+)")
MESSAGE = re.compile(r"    (\w+)(->>|-->>|--x|-\))([+-]?)(\w+): (.+)")


def drawable(diagram: str) -> list[str]:
    """Check the grammar: everyone is declared, activations are balanced; gives the messages."""
    first, *lines = diagram.splitlines()
    assert first == "sequenceDiagram"
    known: set[str] = set()
    active: list[str] = []
    messages: list[str] = []
    for line in lines:
        if declared := PARTICIPANT.fullmatch(line):
            assert not messages
            known.add(declared[1])
            continue
        said = MESSAGE.fullmatch(line)
        assert said, line
        sender, _, activation, receiver, text = said.groups()
        assert {sender, receiver} <= known
        assert not set(";#<>") & set(text)
        if activation == "+":
            active.append(receiver)
        elif activation == "-":
            # A minus ends the activation of the one who sends.
            active.remove(receiver)
        messages.append(text)
    assert active == []
    return messages


async def test_a_trace_holds_every_step_with_its_ids_and_no_reads() -> None:
    provider = FakeProvider(events="poll", latency=0.1)
    provider.party(PARTIES[3]).rejects(after=1)
    async with AsyncClient(provider, caller_id=OURS) as client, client.connect(*PARTIES) as meeting:
        pass
    records = meeting.trace.records
    assert [record.operation for record in records if record.operation in ("fetch", "list_calls", "find")] == []
    assert sum(meeting.trace.reads.values()) == sum(
        request.operation in ("fetch", "list_calls", "find") for request in provider.requests
    )
    assert sum(request.operation == "create_call" for request in provider.requests) == 4
    assert {record.outcome for record in records} == {StepOutcome.DONE}
    assert len({record.step for record in records}) == len(records) == 1 + 4 + 3 + 3 + 1
    assert len({record.op for record in records}) == len(records)
    for record in records:
        assert record.meeting == meeting.id
        assert record.duration >= timedelta(seconds=0.1)
        assert meeting.conference is not None
        if record.operation != "hang_up":
            assert record.conference == meeting.conference.id
        if record.operation != "create_conference" and record.operation != "end_conference":
            assert record.call
            assert record.party
            assert record.step.startswith(f"{meeting.id}/leg-")


async def test_json_says_the_same() -> None:
    provider = FakeProvider()
    async with AsyncClient(provider, caller_id=OURS) as client, client.connect(*PARTIES) as meeting:
        steps = json.loads(meeting.trace.json())
    assert [step["operation"] for step in steps] == [record.operation for record in meeting.trace.records[: len(steps)]]
    assert {step["outcome"] for step in steps} == {"done"}
    assert all(isinstance(step["duration_ms"], float) for step in steps)
    assert not any(party in meeting.trace.json() for party in PARTIES)


@pytest.mark.parametrize("count", [1, 2, 4])
async def test_the_diagram_can_be_drawn_while_it_stands_and_when_it_is_over(count: int) -> None:
    provider = FakeProvider()
    provider.fail("create_call", "refuse")
    async with AsyncClient(provider, caller_id=OURS) as client, client.connect(*PARTIES[:count]) as meeting:
        standing = drawable(meeting.trace.mermaid())
    over = drawable(meeting.trace.mermaid())
    assert "rings" in standing
    assert "hangs up" not in standing
    assert over.count("hangs up") == count
    assert any("attempt 2" in text for text in over)


def test_the_diagram_of_nothing_and_of_odd_names() -> None:
    assert drawable(Trace("m").mermaid()) == []
    odd = [
        StepRecord(
            meeting="m", step=f"s{number}", provider="p; q", operation=operation, op="o", started_at=NOON,
            party=party, call="c-1", outcome=outcome, error=error,
        )
        for number, (operation, party, outcome, error) in enumerate(
            [
                ("create_call", "Ann; <b>#1</b>\nLee", StepOutcome.DONE, None),
                ("create_call", "Ann; <b>#1</b>\nLee", StepOutcome.DONE, None),
                ("hang_up", "Ann; <b>#1</b>\nLee", StepOutcome.DONE, None),
                ("hang_up", "end", StepOutcome.DONE, None),
                ("play", "a + b: c", StepOutcome.REFUSED, "no; <html>\n#4"),
                ("create_call", "d -> e+: rings", StepOutcome.DONE, None),
                ("add_member", "f", StepOutcome.STARTED, None),
            ]
        )
    ]  # fmt: skip
    drawable(mermaid(odd))
