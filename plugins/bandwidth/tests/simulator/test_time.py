"""What takes long, in virtual time; V4 and the like number the wire vectors that adapter and simulator share."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

import anyio
import pytest
import trio.testing
from confkit_bandwidth.simulator import Switches

from .conftest import FROM, TO, virtually

pytestmark = pytest.mark.anyio
URL = "http://127.0.0.1/"


@pytest.fixture
def anyio_backend() -> Any:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


async def test_conference_without_members_stays_v12() -> None:
    async with virtually() as simulator:
        made = await simulator.created("conferences", **{"from": FROM})
        await anyio.sleep(timedelta(hours=24).total_seconds())
        assert (await simulator.http.get(f"conferences/{made}")).json()["state"] == "created"


@pytest.mark.parametrize(
    ("after", "expected"),
    [("both", ["timeout", "hangup"]), ("timeout", ["timeout"]), ("hangup", ["hangup"])],
)
async def test_nobody_answers_v51(after: Literal["both", "timeout", "hangup"], expected: list[str]) -> None:
    async with virtually(switches=Switches(after_timeout=after)) as simulator:
        simulator.account.exchange.party(TO).never_answers()
        call = await simulator.created("calls", **{"from": FROM, "to": TO, "callbackUrl": URL})
        await anyio.sleep(59.9)
        assert simulator.events == []
        await anyio.sleep(0.2)
        assert [event["eventType"] for _, event in simulator.events] == expected
        assert simulator.events[0][0] == pytest.approx(60, abs=0.01)
        for _, event in simulator.events:
            assert ("cause" in event) == (event["eventType"] == "hangup")
            assert "callState" not in event
        assert (await simulator.http.get(f"calls/{call}")).json()["state"] == "completed"


async def test_call_timeout_is_in_seconds() -> None:
    async with virtually(switches=Switches(after_timeout="timeout"), answer_after=10) as simulator:
        await simulator.created("calls", **{"from": FROM, "to": TO, "callTimeout": 5, "callbackUrl": URL})
        await anyio.sleep(20)
        assert [(round(at), event["eventType"]) for at, event in simulator.events] == [(5, "timeout")]


async def test_answer_and_hang_up_in_time() -> None:
    async with virtually(answer_after=7) as simulator:
        simulator.account.exchange.party(TO).hangs_up(after=61)
        call = await simulator.created("calls", **{"from": FROM, "to": TO, "callbackUrl": URL})
        await anyio.sleep(100)
        assert [(round(at), event["eventType"]) for at, event in simulator.events] == [(7, "answer"), (68, "hangup")]
        assert (await simulator.http.get(f"calls/{call}")).json()["chargeableDuration"] == 120


async def test_gather_without_digits_v69() -> None:
    async with virtually() as simulator:
        call = await simulator.created("calls", **{"from": FROM, "to": TO, "callbackUrl": URL})
        gather = await simulator.created(f"calls/{call}/gather", interDigitTimeout="7")
        await anyio.sleep(5)
        simulator.account.exchange.press(call, "1")
        await anyio.sleep(20)
        ((at, event),) = simulator.named("gather")
        assert (round(at), event["reason"], event["digits"]) == (12, "inter-digit-timeout", "1")
        assert (await simulator.http.get(f"calls/{call}/gather/{gather}")).json()["state"] == "completed"


@pytest.mark.parametrize(("keys", "reason", "digits"), [("123", "max-digits", "12"), ("1#", "terminating-digit", "1")])
async def test_gather_reasons(keys: str, reason: str, digits: str) -> None:
    async with virtually() as simulator:
        call = await simulator.created("calls", **{"from": FROM, "to": TO, "callbackUrl": URL})
        await simulator.created(f"calls/{call}/gather", maxDigits=2)
        simulator.account.exchange.press(call, keys)
        await anyio.sleep(60)
        ((_, event),) = simulator.named("gather")
        assert (event["reason"], event["digits"]) == (reason, digits)


async def test_gather_ends_with_the_call() -> None:
    async with virtually() as simulator:
        simulator.account.exchange.party(TO).hangs_up(after=3)
        call = await simulator.created("calls", **{"from": FROM, "to": TO, "callbackUrl": URL})
        await simulator.created(f"calls/{call}/gather", maxDigits=2)
        await anyio.sleep(60)
        ((_, event),) = simulator.named("gather")
        assert event["reason"] == "hung-up"


async def test_recording_is_cut() -> None:
    async with virtually() as simulator:
        body = {"from": FROM, "to": TO, "callbackUrl": URL, "recordingEnabled": True, "recordingMaxDuration": "30"}
        await simulator.created("calls", **body)
        await anyio.sleep(100)
        ((at, event),) = simulator.named("recording")
        assert round(at) == 30
        assert event["status"] == "complete"


async def test_speech_and_files_end_v44_v47() -> None:
    async with virtually() as simulator:
        made = await simulator.created("conferences", **{"from": FROM, "callbackUrl": URL})
        await simulator.http.post(f"conferences/{made}/audio", json={"sentence": "x" * 100})
        await simulator.http.post(f"conferences/{made}/audio", json={"fileUrl": "http://h/f", "loopEnabled": True})
        await anyio.sleep(3600)
        assert [(round(at), event["status"]) for at, event in simulator.named("conference-speak")] == [
            (0, "started"),
            (6, "done"),
        ]
        assert [event["status"] for _, event in simulator.named("conference-playback")] == ["started"]


async def test_ten_people_within_the_limits_v105() -> None:
    async with virtually(rate_limits="documented", answer_after=5) as simulator:
        began = anyio.current_time()
        made = await simulator.created("conferences", **{"from": FROM})
        calls = [
            await simulator.created("calls", **{"from": FROM, "to": f"+1919555010{n}", "conferenceId": made})
            for n in range(10)
        ]
        await anyio.sleep(5)
        for call in calls:
            await simulator.created(f"conferences/{made}/members", callId=call)
            await anyio.sleep(1)
        assert anyio.current_time() - began == pytest.approx(15)
        shown = (await simulator.http.get(f"conferences/{made}")).json()
        assert shown["activeMembers"] == 10


async def test_waiting_for_the_reset_v81() -> None:
    async with virtually(rate_limits="documented") as simulator:
        made = await simulator.created("conferences", **{"from": FROM})
        await anyio.sleep(0.1)
        assert (await simulator.http.get(f"conferences/{made}")).status_code == 429
        await anyio.sleep(0.9)
        assert (await simulator.http.get(f"conferences/{made}")).status_code == 200
