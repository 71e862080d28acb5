"""The OpenTelemetry observer: one span a meeting, one a step, and nobody's number in any of them."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import anyio
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import confkit
import confkit.provider
from confkit import OpenTelemetry

pytestmark = pytest.mark.anyio
PARTIES = ("+19195550101", "+19195550102", "+19195550103")


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def observer(spans: InMemorySpanExporter) -> OpenTelemetry:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return OpenTelemetry(provider.get_tracer("test"))


def test_without_the_extra_it_says_which_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(vars(confkit), "OpenTelemetry")
    monkeypatch.delitem(sys.modules, "confkit.steps.otel")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ImportError, match=r"confkit\[otel\]"):
        _ = confkit.OpenTelemetry
    assert not hasattr(confkit, "OpenTelepathy")


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


async def test_a_meeting_is_one_span_with_its_steps_below(spans: InMemorySpanExporter, observer: OpenTelemetry) -> None:
    async with confkit.AsyncClient("fake", caller_id="+12018994444", plugins=[observer]) as client:
        async with client.connect(*PARTIES) as meeting:
            pass
        await anyio.lowlevel.checkpoint()
    (root,) = named(spans, "meeting")
    assert root.attributes is not None
    assert root.attributes["confkit.meeting"] == meeting.id
    assert root.attributes["confkit.reason"] == "asked"
    steps = [span for span in spans.get_finished_spans() if span is not root]
    assert sorted(span.name for span in steps) == sorted(record.operation for record in meeting.trace.records)
    assert {span.parent.span_id for span in steps if span.parent} == {root.context.span_id}
    assert {span.attributes["confkit.outcome"] for span in steps if span.attributes} == {"done"}
    assert {event.name for event in root.events} >= {"CallAnswered", "MemberJoined"}


@pytest.mark.virtual_time
async def test_a_step_that_fails_is_an_error_and_no_number_is_told(
    spans: InMemorySpanExporter, observer: OpenTelemetry
) -> None:
    async with confkit.AsyncClient("fake", caller_id="+12018994444", plugins=[observer]) as client:
        client.provider.fail("create_call", "refuse", times=100)
        with pytest.raises(confkit.QuorumNotReached):
            async with client.connect(*PARTIES):
                pass
    failed = [span for span in named(spans, "create_call") if not span.status.is_ok]
    outcomes = {span.attributes["confkit.outcome"] for span in failed if span.attributes}
    assert "unavailable" in outcomes
    assert outcomes <= {"unavailable", "withdrawn"}  # one that could not be reached makes the quorum impossible
    told = "".join(span.to_json() for span in spans.get_finished_spans())
    assert not [party for party in PARTIES if party[-4:] in told.replace("confkit", "")]


def test_an_id_that_cannot_be_written_is_sent_all_the_same(
    spans: InMemorySpanExporter, observer: OpenTelemetry
) -> None:
    step = confkit.StepRecord(
        meeting=None, step="a", op="a", provider="acme", operation="create_call", call="c-\ud800\n1",
        started_at=datetime(2026, 3, 1, tzinfo=UTC), outcome=confkit.StepOutcome.DONE,
    )  # fmt: skip
    observer.step_started(step)
    observer.step_finished(step)
    (span,) = named(spans, "create_call")
    assert span.attributes is not None
    assert span.attributes["confkit.call"] == "c- 1"
    assert span.to_json().encode()


class Broken:
    @confkit.provider.hookimpl
    def step_started(self, step: confkit.StepRecord) -> None:
        raise RuntimeError(f"cannot observe {step.operation}")


async def test_an_observer_that_fails_changes_nothing() -> None:
    async with (
        confkit.AsyncClient("fake", caller_id="+12018994444", plugins=[Broken()]) as client,
        client.connect(*PARTIES) as meeting,
    ):
        assert [person.outcome for person in meeting.participants] == [confkit.Outcome.JOINED] * 3
