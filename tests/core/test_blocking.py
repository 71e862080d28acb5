"""The blocking client: the same surface for code that does not await."""

from __future__ import annotations

import inspect
import threading

import pytest
from confkit_fake import FakeProvider

import confkit
from confkit import Client, MeetingState, Mode, Outcome, ParticipantState, PolicyError
from confkit.client.blocking import BlockingMeeting
from confkit.client.meeting import Meeting

OURS = "+12018994444"
ANN, BOB, CY, DI = (f"+1919555010{index}" for index in range(1, 5))


def test_a_meeting_from_beginning_to_end() -> None:
    provider = FakeProvider()
    with Client(provider, caller_id=OURS) as client:
        assert client.provider is provider
        assert client.provider_name == "fake"
        assert client.capabilities.max_members == 20
        with client.connect(ANN, confkit.Party(BOB, name="Bob"), CY) as meeting:
            assert (meeting.state, meeting.mode) == (MeetingState.ESTABLISHED, Mode.CONFERENCE)
            assert [person.outcome for person in meeting.participants] == [Outcome.JOINED] * 3
            meeting.mute(BOB)
            assert meeting.participant(BOB).mute
            meeting.unmute(BOB)
            meeting.hold(BOB)
            meeting.resume(BOB)
            meeting.mute_all()
            meeting.say("Welcome", to=ANN)
            meeting.play("https://example.com/a.wav")
            meeting.stop_playing()
            meeting.record()
            meeting.send_digits(CY, "1")
            assert meeting.add(DI).id == "leg-4"
            meeting.remove(ANN)
            assert meeting.participant(ANN).state is ParticipantState.ENDED
            meeting.end()
            meeting.wait_until_ended()
            assert meeting.id in repr(meeting)
            assert meeting.trace.records
            assert meeting.left_behind == ()
            assert meeting.conference is not None
            assert meeting.bridge is None
    assert provider.exchange.still_up() == ()
    assert provider.closed


def test_the_operations_by_hand() -> None:
    provider = FakeProvider()
    with Client(provider, caller_id=OURS) as client:
        conference = client.direct.create_conference()
        call = client.direct.create_call(ANN, into=conference)
        member = client.direct.join(call, conference)
        client.direct.update_member(member, mute=True)
        assert len(client.direct.fetch(conference).members) == 1
        client.direct.remove_member(member)
        client.direct.hang_up(call.call)
        client.direct.end_conference(conference)
    assert provider.exchange.still_up() == ()


def test_events_from_the_moment_of_asking_until_the_end() -> None:
    with Client(FakeProvider(), caller_id=OURS) as client, client.connect(ANN, BOB, CY) as meeting:
        events, left_early = meeting.events(), meeting.events()
        meeting.remove(ANN)
        next(left_early)
        left_early.close()
        meeting.end()
        kinds = [type(event).__name__ for event in events]
    assert kinds.count("CallEnded") == 3
    assert kinds.count("MemberLeft") == 3


def test_a_policy_error_comes_on_entering() -> None:
    provider = FakeProvider()
    with Client(provider, caller_id=OURS) as client:
        meeting = client.connect(*[f"+1919555{index:04d}" for index in range(21)])
        with pytest.raises(PolicyError, match="maximum of 20"):
            meeting.__enter__()
    assert provider.requests == []


def test_an_error_in_the_block_is_the_error_that_comes_out_and_everything_is_undone() -> None:
    provider = FakeProvider()
    error = ZeroDivisionError("mine")

    def fail() -> None:
        with Client(provider, caller_id=OURS) as client, client.connect(ANN, BOB, CY):
            raise error

    with pytest.raises(ZeroDivisionError) as raised:
        fail()
    assert raised.value is error
    assert provider.exchange.still_up() == ()


def test_a_quorum_that_is_missed() -> None:
    provider = FakeProvider()
    provider.party(ANN).busy()
    provider.party(BOB).busy()
    with Client(provider, caller_id=OURS) as client, pytest.raises(confkit.QuorumNotReached) as raised:
        client.connect(ANN, BOB, CY).__enter__()
    assert [person.outcome for person in raised.value.participants][:2] == [Outcome.BUSY] * 2
    assert provider.exchange.still_up() == ()


def test_a_client_that_is_not_open_says_so_and_no_thread_stays() -> None:
    before = threading.active_count()
    client = Client(FakeProvider(), caller_id=OURS)
    with pytest.raises(confkit.ConfkitError, match="open the client first"):
        client.connect(ANN)
    with client:
        with pytest.raises(confkit.ConfkitError, match="open already"):
            client.__enter__()
        with client.connect(ANN, BOB) as meeting:
            assert meeting.mode is Mode.BRIDGE
    assert threading.active_count() == before


@pytest.mark.parametrize(("blocking", "asynchronous"), [(BlockingMeeting, Meeting), (Client, confkit.AsyncClient)])
def test_nothing_that_can_be_awaited_is_left_out(blocking: type, asynchronous: type) -> None:
    awaited = {
        name
        for name, value in inspect.getmembers(asynchronous, inspect.iscoroutinefunction)
        if not name.startswith("_") and name not in ("finish", "changed", "aclose")
    }
    assert awaited - set(dir(blocking)) == set()
