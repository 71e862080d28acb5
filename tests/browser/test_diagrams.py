"""Every kind of diagram that tests produce is drawn by the real Mermaid, and shows what it should."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence as Rows
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio.testing
from confkit_fake import FakeProvider

from confkit import AsyncClient, ConfkitError, Outcome, Party, StepOutcome, StepRecord
from confkit.models.text import one_line
from confkit.models.trace import LegEnding, mermaid
from confkit.testing.scenario import draw as drawn_by_lot
from confkit.testing.sequence import Sequence
from confkit.testing.simulation import play
from tests.browser.conftest import Draw

pytestmark = pytest.mark.browser

OURS = "+12018994444"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEEDS = range(40)
SHAPES = ("explicit", "on_join", "from_call", "fused")
#: What means something to Mermaid, to HTML, to a formula, to a terminal or to a log.
HOSTILE = [
    "end", "End of it", "x; y", "a#b", "#59;", "#quot;", "%% gone", "%%{init: {'theme':'dark'}}%%", "---", "<br/>",
    "<b>bold</b>", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "&lt;", "&#59;", "$$x^2$$", "wrap: me",
    "nowrap:me", ":", "a: b", "sip:ann@example.com;x=1", "style x:y#z;", "classDef a:b#c;", "ﬂ°°59¶ß", "¶ß", "a as b",
    "T1->>P: forged", "Note over C: forged", "deactivate P", "autonumber", "box", "@{ \"type\": \"actor\" }", "-", "+",
    "two\nlines", "cr\rlf\n", "\u2028apart", "\x1b[31mred", "tab\tbed", "\u202egnp.exe", "zero\u200bwidth", " ", "\n",
    "'single' \"double\" `back`", "[a] {b} (c) |d|", "a\\nb", "~a~ *b* _c_ ^d^", "+1919•••0101",
    "Zoë Łukasz 李雷 محمد", "👩\u200d👧", "می\u200cخواهم",
]  # fmt: skip


def step(operation: str, *, provider: str = "acme", **details: Any) -> StepRecord:
    known: dict[str, Any] = {"meeting": "m", "step": "m/leg-1#1", "op": "o", "started_at": NOON, "call": "c-1"}
    return StepRecord(operation=operation, provider=provider, **known, **details)


def refused(drawn: Rows[dict[str, Any]], diagrams: Rows[str]) -> list[str]:
    return [f"{each['error']}\n{diagram}" for each, diagram in zip(drawn, diagrams, strict=True) if "error" in each]


def test_the_library_refuses_what_it_should(draw: Draw) -> None:
    """What confkit once wrote: a minus ends the activity of the one who speaks."""
    head = "sequenceDiagram\nparticipant P as fake\nparticipant T1 as Ann\nP-)+T1: rings\n"
    good, bad = draw([head + "P-)T1: hung up\ndeactivate T1\n", head + "P-)-T1: hangs up\n"])
    assert good["texts"].count("Ann") == 2
    assert "inactive participant" in bad["error"]


def test_meetings_drawn_by_lot(draw: Draw) -> None:
    traces = [meeting.trace for seed in SEEDS for meeting in play(drawn_by_lot(seed)).meetings]
    diagrams = [trace.mermaid() for trace in traces if trace.records]
    assert len(diagrams) > 30
    assert any("hung up" in diagram for diagram in diagrams)
    assert any("hangs up" in diagram for diagram in diagrams)
    assert not refused(draw(diagrams), diagrams)


async def met(shape: str, bridge: str, count: int) -> list[str]:
    """A meeting of awkward names in which everybody ends otherwise: as it stands, over, and as an observer saw it."""
    provider = FakeProvider(shape=shape, bridge=bridge, latency=0.01)
    people = [Party(f"+1919555010{index}", name=HOSTILE[index] if index % 2 else "Ann") for index in range(count)]
    scripts = [provider.party(person.address) for person in people]
    scripts[0].answers(0.4)
    scripts[1].answers(0.5).hangs_up(6)
    for script, reaction in zip(
        scripts[2:], itertools.cycle(["busy", "rejects", "never_answers", "unreachable", "answers"])
    ):
        getattr(script, reaction)()
    provider.fail("create_call", "refuse")
    observer = Sequence()
    diagrams: list[str] = []
    async with AsyncClient(provider, caller_id=OURS, plugins=[observer]) as client:
        try:
            async with client.connect(*people, answer_timeout=timedelta(seconds=3)) as meeting:
                diagrams.append(meeting.trace.mermaid())
                with anyio.move_on_after(10):
                    await meeting.wait_until_ended()
        except ConfkitError:
            pass
        diagrams.append(meeting.trace.mermaid())
    return [*diagrams, observer.mermaid()]


def test_meetings_of_every_shape(draw: Draw) -> None:
    diagrams: list[str] = []
    for shape, bridge, count in itertools.product(SHAPES, ("after", "first", "none"), (2, 7)):
        clock = trio.testing.MockClock(autojump_threshold=0)
        diagrams += anyio.run(met, shape, bridge, count, backend="trio", backend_options={"clock": clock})
    for outcome in ("busy", "rejected", "no answer", "unreachable", "hangs up", "hung up"):
        assert any(outcome in diagram for diagram in diagrams), outcome
    assert not refused(draw(diagrams), diagrams)


def test_the_pages_diagrams(draw: Draw) -> None:
    pages = sorted((Path(__file__).parents[2] / "docs").rglob("*.md"))
    blocks = [re.findall(r"^```mermaid\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE) for page in pages]
    diagrams = [*itertools.chain(*blocks)]
    assert diagrams
    assert not refused(draw(diagrams), diagrams)


def test_every_outcome_of_a_step_and_of_a_leg(draw: Draw) -> None:
    diagrams = []
    for operation, outcome in itertools.product(("create_call", "answer_call", "hang_up", "play"), StepOutcome):
        for ending in (None, *Outcome):
            error = "it is " + 30 * "so; " if outcome is StepOutcome.REFUSED else None
            record = step(operation, party="Ann", outcome=outcome, attempt=2, error=error)
            endings = [] if ending is None else [LegEnding("m/leg-1", ending, NOON)]
            diagrams.append(mermaid([record], endings))
    diagrams = list(dict.fromkeys([*diagrams, mermaid([])]))
    assert not refused(draw(diagrams), diagrams)


def test_texts_show_as_they_are(draw: Draw) -> None:
    """Nothing is syntax, nothing is HTML, and nothing is lost but what does not show."""
    diagrams = [
        mermaid(
            [step("create_call", provider=text, party=text, outcome=StepOutcome.REFUSED, error=text)],
            [LegEnding("m/leg-1", Outcome.FAILED, NOON)],
        )
        for text in HOSTILE
    ]
    drawn = draw(diagrams)
    assert not refused(drawn, diagrams)
    for text, picture in zip(HOSTILE, drawn, strict=True):
        shown = one_line(text) or "–"
        texts = [" ".join(each.split()) for each in picture["texts"]]
        # The provider and the party above and below, the request, the reply, and the note.
        assert sorted(texts) == sorted([*4 * [shown], *2 * ["confkit"], f"create_call {shown}", shown, "failed"]), text
        assert picture["foreign"] == 0
