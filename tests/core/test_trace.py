"""The trace: every step with its outcome, as records, as JSON, and as a diagram that Mermaid can draw."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confkit_fake import FakeProvider
from hypothesis import given
from hypothesis import strategies as st

from confkit import AsyncClient, Outcome, Party, StepOutcome, StepRecord, Trace
from confkit.models.trace import LegEnding, mermaid
from confkit.testing.sequence import Sequence

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

OURS = "+12018994444"
PARTIES = [f"+1919555010{index}" for index in range(1, 5)]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

PARTICIPANT = re.compile(r"    participant (\w+) as (.+)")
MESSAGE = re.compile(r"    (\w+)(->>|-->>|--x|-\))([+-]?)(\w+): (.+)")
NOTE = re.compile(r"    Note over (\w+): (.+)")
ACTIVATION = re.compile(r"    (activate|deactivate) (\w+)")


def shows(text: str) -> bool:
    """Whether a text is one line without a character that does anything else than to show."""
    return text.translate(dict.fromkeys(map(ord, "\u200c\u200d"))).isprintable()


def drawable(diagram: str) -> list[str]:
    """Check the grammar as Mermaid does: everyone is declared, nobody inactive is deactivated; gives the texts."""
    first, *lines = diagram.removesuffix("\n").split("\n")
    assert first == "sequenceDiagram"
    known: dict[str, str] = {}
    active: list[str] = []
    texts: list[str] = []
    for line in lines:
        if declared := PARTICIPANT.fullmatch(line):
            assert not texts
            assert declared[2] not in list(known.values())[2:]
            known[declared[1]] = declared[2]
            continue
        changes = []
        if activation := ACTIVATION.fullmatch(line):
            changes = [(activation[1] == "activate", activation[2])]
        elif note := NOTE.fullmatch(line):
            assert note[1] in known
            texts.append(f"{known[note[1]]}: {note[2]}")
        else:
            said = MESSAGE.fullmatch(line)
            assert said, line
            sender, _, sign, receiver, text = said.groups()
            assert {sender, receiver} <= set(known)
            texts.append(f"{known[sender]} to {known[receiver]}: {text}")
            # A plus begins the activity of who is spoken to, a minus ends that of who speaks.
            changes = {"+": [(True, receiver)], "-": [(False, sender)]}.get(sign, [])
        for begins, who in changes:
            assert who in known
            if begins:
                active.append(who)
            else:
                assert who in active, f"trying to inactivate an inactive participant ({who})"
                active.remove(who)
    assert active == []
    for text in [*known.values(), *texts]:
        assert shows(text)
        assert not set("<>;#%$") & set(re.sub(r"#\d+;|<br/>", "", text)), text
    return texts


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
    for index in range(1, count + 1):
        assert f"fake to +1919•••010{index}: rings" in standing
        assert f"fake to +1919•••010{index}: hung up" in over
    assert not any("hung up" in text or "hangs up" in text for text in standing)
    assert sum("hung up" in text for text in over) == count
    assert any("attempt 2" in text for text in over)


async def test_a_leg_has_a_lifeline_of_its_own_whatever_its_party_is_called() -> None:
    people: list[str | Party] = [
        Party(PARTIES[0], "Ann"),
        Party(PARTIES[1], "Ann"),
        "+19195551234",
        "+19195661234",
        Party(PARTIES[2], "Ben"),
    ]
    alike = ["Ann (leg-1)", "Ann (leg-2)", "+1919•••1234 (leg-3)", "+1919•••1234 (leg-4)", "Ben"]
    async with AsyncClient(FakeProvider(), caller_id=OURS) as client, client.connect(*people) as meeting:
        pass
    diagram = meeting.trace.mermaid()
    assert PARTICIPANT.findall(diagram)[2:] == [(f"T{number}", label) for number, label in enumerate(alike, 1)]
    texts = drawable(diagram)
    for label in alike:
        assert texts.count(f"fake to {label}: rings") == 1
        assert texts.count(f"fake to {label}: hung up") == 1
        assert f"confkit to fake: hang_up {label}" in texts


async def leave(observer: Sequence) -> Trace:
    """A meeting in which everybody ends otherwise."""
    provider = FakeProvider(latency=0.01)
    provider.party("+19195550101").answers(0.4)
    provider.party("+19195550102").answers(0.5).hangs_up(5)
    provider.party("+19195550103").busy(after=0.5)
    provider.party("+19195550104").rejects(after=0.7)
    provider.party("+19195550105").never_answers()
    provider.party("+19195550106").unreachable(after=0.2)
    people = [f"+1919555010{index}" for index in range(1, 7)]
    client = AsyncClient(provider, caller_id=OURS, plugins=[observer])
    async with client, client.connect(*people, answer_timeout=timedelta(seconds=3)) as meeting:
        while meeting.participant(people[1]).outcome is not Outcome.LEFT:
            await meeting.changed()
    return meeting.trace


async def test_who_leaves_by_themselves_shows() -> None:
    observer = Sequence()
    trace = await leave(observer)
    for diagram in (trace.mermaid(), observer.mermaid()):
        texts = drawable(diagram)
        assert "fake to +1919•••0101: hung up" in texts
        assert "+1919•••0102 to fake: hangs up" in texts
        assert "+1919•••0103 to fake: busy" in texts
        assert "+1919•••0104 to fake: rejected" in texts
        assert any("+1919•••0105" in text and text.endswith("no answer") for text in texts)
        assert any("+1919•••0106" in text and text.endswith("unreachable") for text in texts)
        assert sum("hung up" in text for text in texts) <= 2
        assert texts.index("+1919•••0102 to fake: hangs up") > texts.index("fake to +1919•••0102: rings")


def record(operation: str, step: str, after: float, **details: Any) -> StepRecord:
    """A step of one second that began so many seconds after noon."""
    given: dict[str, Any] = {"meeting": "m", "provider": "acme", "outcome": StepOutcome.DONE, **details}
    at = NOON + timedelta(seconds=after)
    return StepRecord(operation=operation, step=step, op=step, started_at=at, duration=timedelta(seconds=1), **given)


def ending(leg: str, outcome: Outcome, after: float) -> LegEnding:
    return LegEnding(leg, outcome, NOON + timedelta(seconds=after))


RINGS = record("create_call", "m/leg-1#1", 0, party="Ann", call="c-1")


@pytest.mark.parametrize(
    ("records", "endings", "last"),
    [
        ([], [], ["confkit to acme: create_call Ann", "acme to Ann: rings", "acme to confkit: c-1"]),
        ([], [ending("m/leg-1", Outcome.LEFT, 5)], ["Ann to acme: hangs up"]),
        ([], [ending("m/leg-1", Outcome.NO_ANSWER, 5)], ["Ann to acme: no answer"]),
        # The platform's clock is behind: nobody ends before they began.
        ([], [ending("m/leg-1", Outcome.LEFT, -60)], ["acme to confkit: c-1", "Ann to acme: hangs up"]),
        # By the id of the call, as an event names it.
        ([], [ending("c-1", Outcome.BUSY, 5)], ["Ann to acme: busy"]),
        ([], [ending("m/leg-9", Outcome.BUSY, 5), ending("c-9", Outcome.BUSY, 5)], ["acme to confkit: c-1"]),
        # Told twice.
        ([], 2 * [ending("c-1", Outcome.LEFT, 5)], ["acme to confkit: c-1", "Ann to acme: hangs up"]),
        # Hung up on, and what the event says of it afterwards is no news, unless it was not a leaving.
        (
            [record("hang_up", "m/leg-1#2", 5, party="Ann", call="c-1")],
            [ending("m/leg-1", Outcome.LEFT, 6)],
            ["acme to confkit: done", "acme to Ann: hung up"],
        ),
        (
            [record("hang_up", "m/leg-1#2", 5, party="Ann", call="c-1")],
            [ending("m/leg-1", Outcome.NO_ANSWER, 6)],
            ["acme to Ann: hung up", "Ann: no answer"],
        ),
        (
            [record("hang_up", "m/leg-1#2", 5, party="Ann", call="c-1", outcome=StepOutcome.REFUSED, error="no")],
            [],
            ["confkit to acme: hang_up Ann", "acme to confkit: no"],
        ),
        # The meeting's own step about somebody's call.
        ([record("play", "m#2", 5, call="c-1")], [], ["confkit to acme: play Ann", "acme to confkit: done"]),
        # Dialled once more: the phone rings again, and is still one phone.
        (
            [record("create_call", "m/leg-1#2", 5, party="Ann", call="c-2")],
            [ending("m/leg-1", Outcome.LEFT, 9)],
            ["acme to Ann: rings", "acme to confkit: c-2", "Ann to acme: hangs up"],
        ),
        # Over already, and hung up to make sure.
        (
            [record("hang_up", "m/leg-1#2", 5, party="Ann", call="c-1")],
            [ending("m/leg-1", Outcome.LEFT, 4)],
            ["Ann to acme: hangs up", "confkit to acme: hang_up Ann", "acme to confkit: done"],
        ),
        # The end of the conference hangs up everybody in it, and nobody in another.
        (
            [record("end_conference", "m#2", 5)],
            [ending("m/leg-1", Outcome.LEFT, 6)],
            ["acme to confkit: done", "acme to Ann: hung up"],
        ),
        (
            [record("end_bridge", "m#2", 5)],
            [ending("m/leg-1", Outcome.LEFT, 6)],
            ["acme to confkit: done", "acme to Ann: hung up"],
        ),
        (
            [record("end_conference", "m#2", 5, outcome=StepOutcome.REFUSED)],
            [ending("m/leg-1", Outcome.LEFT, 6)],
            ["Ann to acme: hangs up"],
        ),
        (
            [record("end_conference", "other#2", 5, meeting="other")],
            [ending("m/leg-1", Outcome.LEFT, 6)],
            ["Ann to acme: hangs up"],
        ),
        # What was never sent is no message.
        (
            [record("create_call", "m/leg-2#1", 5, party="Ben", outcome=StepOutcome.WITHDRAWN)],
            [ending("m/leg-2", Outcome.CANCELLED, 6)],
            ["confkit: create_call Ben was not sent", "Ben: cancelled"],
        ),
        (
            [record("create_call", "m/leg-2#1", 5, party="Ben", outcome=StepOutcome.UNKNOWN, error="lost")],
            [ending("m/leg-2", Outcome.FAILED, 6)],
            ["confkit to acme: create_call Ben", "acme to confkit: lost", "Ben: failed"],
        ),
        (
            [record("create_call", "m/leg-2#1", 5, party="Ben", outcome=StepOutcome.STARTED)],
            [],
            ["confkit to acme: create_call Ben"],
        ),
        (
            [record("answer_call", "m/leg-2#1", 5, party="Ben", call="c-2", outcome=StepOutcome.REFUSED)],
            [],
            ["confkit to acme: answer_call Ben", "acme to confkit: refused"],
        ),
        (
            [record("answer_call", "m/leg-2#1", 5, party="Ben", call="c-2")],
            [ending("m/leg-2", Outcome.LEFT, 9)],
            ["acme to Ben: is answered", "acme to confkit: done", "Ben to acme: hangs up"],
        ),
    ],
)
def test_how_legs_begin_and_end_is_drawn(records: list[StepRecord], endings: list[LegEnding], last: list[str]) -> None:
    texts = drawable(mermaid([*records, RINGS], endings))
    assert texts[-len(last) :] == last


def test_the_first_that_is_told_of_an_end_holds() -> None:
    trace = Trace("m")
    trace.note(RINGS)
    trace.note_end("m/leg-1", Outcome.BUSY, NOON + timedelta(seconds=5))
    trace.note_end("m/leg-1", Outcome.FAILED, NOON + timedelta(seconds=6))
    assert drawable(trace.mermaid())[-1] == "Ann to acme: busy"


def test_calls_made_by_hand_have_a_lifeline_each() -> None:
    by_hand = [
        record("create_call", "a", 0, party="Ann", call="c-1", meeting=None),
        record("create_call", "b", 1, party="Ann", call="c-2", meeting=None),
        record("create_call", "c", 2, party="Ben", meeting=None, outcome=StepOutcome.REFUSED),
        record("hang_up", "d", 3, party="Ann", call="c-2", meeting=None),
        record("send_digits", "e", 4, call="c-3", meeting=None),
    ]
    texts = drawable(mermaid(by_hand, [ending("c-1", Outcome.LEFT, 5)]))
    assert "acme to Ann (c-2): hung up" in texts
    assert "Ann (c-1) to acme: hangs up" in texts
    assert "confkit to acme: create_call Ben" in texts
    assert "confkit to acme: send_digits c-3" in texts


def test_legs_of_two_meetings_do_not_share_a_lifeline() -> None:
    one = record("create_call", "m/leg-1#1", 0, party="Ann", call="c-1")
    other = record("create_call", "n/leg-1#1", 1, party="Ann", call="c-2", meeting="n")
    texts = drawable(mermaid([one, other], [ending("n/leg-1", Outcome.LEFT, 5)]))
    assert texts[-1] == "Ann (n/leg-1) to acme: hangs up"


def test_a_long_text_is_drawn_on_several_lines() -> None:
    refused = record("create_call", "m/leg-1#1", 0, party="Ann", outcome=StepOutcome.REFUSED, error=20 * "as it is; ")
    lines = drawable(mermaid([refused]))[-1].removeprefix("acme to confkit: ").split("<br/>")
    assert len(lines) > 3
    assert max(len(line.replace("#59;", ";")) for line in lines) <= 50
    assert " ".join(lines).replace("#59;", ";") == (20 * "as it is; ").strip()


def test_the_diagram_of_nothing() -> None:
    assert drawable(Trace("m").mermaid()) == []


#: What means something to Mermaid, to a terminal, to a log or to a browser.
HOSTILE = st.text(max_size=20) | st.lists(
    st.sampled_from(
        ["\n", "\r", "\u2028", "\x1b[2J", "\x9b", "\u202e", "\u200b", ";", "#", "#59;", "%%", "%%{init}%%", "end",
         "<b>", "&lt;", "$$x$$", "wrap:", ":", "Note over C: x", "deactivate P", "->>", "style x:y#",
         "¶ß", "ﬂ°°", " "]
    ),
    max_size=6,
).map("".join)  # fmt: skip
OPERATIONS = st.sampled_from(
    ["create_conference", "create_call", "add_member", "hang_up", "answer_call", "play", "end_bridge"]
)
STEPS = st.builds(
    record,
    OPERATIONS,
    st.sampled_from(["m#1", "m/leg-1#1", "m/leg-1#2", "m/leg-2#1", "n/leg-1#1", "by-hand"]),
    st.integers(-5, 5),
    provider=HOSTILE,
    party=st.none() | HOSTILE,
    call=st.none() | HOSTILE | st.just("c-1"),
    conference=st.none() | HOSTILE,
    member=st.none() | HOSTILE,
    error=st.none() | HOSTILE,
    outcome=st.sampled_from(StepOutcome),
    attempt=st.integers(1, 3),
)
ENDINGS = st.builds(
    ending, st.sampled_from(["m/leg-1", "m/leg-2", "c-1", "by-hand"]), st.sampled_from(Outcome), st.integers(-5, 5)
)


@given(st.lists(STEPS, max_size=8), st.lists(ENDINGS, max_size=4))
def test_any_steps_with_any_texts_can_be_drawn(records: list[StepRecord], endings: list[LegEnding]) -> None:
    drawable(mermaid(records, endings))
    for each in records:
        assert all(shows(value) for value in each.line().values() if isinstance(value, str))
        assert json.loads(json.dumps(each.as_dict())) == each.as_dict()
