"""What must hold after every run, whatever happened: checked against the exchange's own truth.

The checks trust the exchange's records and the list of requests that reached it, and nothing that confkit says of
itself; except where what is checked is what confkit says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from attrs import frozen

from confkit.client.meeting import Meeting
from confkit.ingest.meeting_view import MeetingState
from confkit.models.errors import PolicyError
from confkit.models.records import CallState, ConferenceState, MemberState, Outcome
from confkit.models.trace import StepOutcome
from confkit.testing.scenario import Gathering, Person, Scenario
from confkit.testing.simulation import STRANGER, Attendance, Boom, Story

#: How long leaving a meeting may take: the undoing is given up after 90 s.
LEAVING = 95.0
#: What happens once to one subject. Who joins is told by its member.
_ONCE = frozenset(
    {
        *("CallRinging", "CallAnswered", "CallEnded", "MemberJoined", "MemberLeft"),
        *("ConferenceStarted", "ConferenceEnded", "BridgeStarted", "BridgeEnded", "RecordingReady", "RecordingFailed"),
    }
)
#: A call that was both made and ended while the platform was told to hang up another is no third call.
_READS = frozenset({"fetch", "find", "list_calls"})


@frozen
class Violation:
    """Something that must never happen has happened.

    Args:
        invariant: which; the same name for the same kind of failure.
        detail: what was found.
    """

    invariant: str
    detail: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.detail}"


def violations(story: Story) -> list[Violation]:
    """All that is wrong with a run."""
    if not story.ended:
        return [Violation("it ends", "the run did not end within its lifetime")]
    return [
        *_nobody_twice(story),
        *_nothing_left(story),
        *_policy_kept(story),
        *_pace_kept(story),
        *_nobody_late(story),
        *_trace_complete(story),
        *_all_over(story),
        *_roster_true(story),
        *_came_about(story),
        *_told_once(story),
        *_others_untouched(story),
    ]


def _nobody_twice(story: Story) -> Iterator[Violation]:
    """No party is rung twice for one intent."""
    exchange = story.provider.exchange
    dialled = Counter(str(call.notes["op"]) for call in exchange.calls.values())
    for key, times in dialled.items():
        if times > 1:
            yield Violation("nobody is dialled twice", f"the intent {key} was dialled {times} times")
    intents = Counter(person.party.identity for meeting in story.meetings for person in meeting.participants)
    for address, calls in exchange.rings.items():
        if address != STRANGER and len(calls) > intents[address]:
            yield Violation(
                "nobody is dialled twice", f"{address} was rung {len(calls)} times for {intents[address]} intents"
            )


def _nothing_left(story: Story) -> Iterator[Violation]:
    """No call, conference or bridge is up after the client has closed, unless the report names it."""
    exchange = story.provider.exchange
    told = [sentence for meeting in story.meetings for sentence in meeting.left_behind]
    names = {person.address: person.name for gathering in story.scenario.gatherings for person in gathering.everybody}
    if story.crashes and any(sentence.startswith("whatever") for sentence in told):
        return  # it crashed so often that the undoing was not done in time, and all of it is named
    rooms = [sentence for sentence in told if "conference" in sentence or "bridge" in sentence]
    for id_ in story.up:
        if (call := exchange.calls.get(id_)) is not None:
            name = names[call.to]
            if not any(name in sentence.replace("(", " ").split() for sentence in told):
                yield Violation("nothing is left behind", f"the call {id_} to {name} is up, and nobody says so")
        elif any(id_ in (call.conference_id, call.bridge_id) for call in map(exchange.calls.get, story.up) if call):
            continue  # the room of a call that is named, or complained of
        elif not any(id_ in sentence or "may have been created" in sentence for sentence in rooms):
            kind = "conference" if id_ in exchange.conferences else "bridge"
            yield Violation("nothing is left behind", f"the {kind} {id_} is open, and nobody says so")
    if told and not story.crashes and not story.scenario.mishaps and not story.scenario.strict:
        yield Violation("nothing is left behind", f"nothing went wrong, and still: {told}")


def _policy_kept(story: Story) -> Iterator[Violation]:
    """No meeting ever holds more than the policy allows, and what it refuses sends nothing."""
    scenario, exchange = story.scenario, story.provider.exchange
    limit = min(scenario.maximum, scenario.max_members or scenario.maximum)
    for fact in exchange.history:
        if fact.active_members is not None and fact.active_members > limit:
            yield Violation("the policy is kept", f"{fact.active_members} members, the limit is {limit}")
    owners = {record.op: meeting.id for meeting in story.meetings for record in meeting.trace.records}
    turns: list[tuple[Any, int, str]] = []
    for call in exchange.calls.values():
        owner = owners.get(str(call.notes["op"]), "")
        turns.append((call.created_at, 1, owner))
        if call.ended_at is not None:
            turns.append((call.ended_at, -1, owner))
    up: Counter[str] = Counter()
    for _, change, owner in sorted(turns, key=lambda turn: turn[:2]):
        up[owner] += change
        if up[owner] > limit:
            yield Violation("the policy is kept", f"{up[owner]} calls at once, the limit is {limit}")
            break
    for attendance in story.attendances:
        size = len(attendance.gathering.people)
        refused = isinstance(attendance.raised, PolicyError)
        if attendance.meeting is not None and (size == 0 or size > limit):
            if not refused and not attendance.cancelled and attendance.left_at is not None:
                yield Violation("the policy is kept", f"{size} parties were not refused; the limit is {limit}")
            if attendance.meeting.trace.records:
                yield Violation("the policy is kept", "it was refused after something had been sent")


def _pace_kept(story: Story) -> Iterator[Violation]:
    """The platform never has to refuse a request for its rate."""
    if story.scenario.strict:
        return
    refused = [request.operation for request in story.provider.requests if request.outcome == "RateLimited"]
    scripted = sum(mishap.times for mishap in story.scenario.mishaps if mishap.kind == "rate-limit")
    if len(refused) > scripted:
        yield Violation("the pace is kept", f"refused for its rate: {', '.join(refused)}")


def _nobody_late(story: Story) -> Iterator[Violation]:
    """Nobody is rung any more when the application wants the meeting over."""
    troubled = {mishap.operation for mishap in story.scenario.mishaps}
    if story.crashes or story.scenario.strict or troubled - {"hang_up", "play", "update_member", "fetch", "list_calls"}:
        return  # what is being found out about a lost request goes on
    slack = timedelta(seconds=0.5 + 2 * story.scenario.latency)
    for attendance in story.attendances:
        if attendance.meeting is None or attendance.ending_at is None:
            continue
        keys = {record.op for record in attendance.meeting.trace.records}
        for request in story.provider.requests:
            late = request.operation in ("create_call", "add_member") and request.at > attendance.ending_at + slack
            if late and request.op_key in keys:
                after = (request.at - attendance.ending_at).total_seconds()
                yield Violation(
                    "nobody is rung too late", f"{request.operation} {after:g} s after the meeting was to end"
                )


def _trace_complete(story: Story) -> Iterator[Violation]:
    """Every step has an end, and nothing was executed that is not in the trace."""
    traced = set()
    for meeting in story.meetings:
        for record in meeting.trace.records:
            traced.add(record.op)
            if record.outcome is StepOutcome.STARTED:
                yield Violation("the trace is complete", f"{record.step} {record.operation} has no end")
    for request in story.provider.requests:
        if request.executed and request.operation not in _READS and request.op_key not in traced:
            yield Violation("the trace is complete", f"{request.operation} was executed and is not in it")


def _all_over(story: Story) -> Iterator[Violation]:
    """Everything that was asked for has an answer, in bounded time, and no task is left."""
    if story.tasks:
        yield Violation("no task is left", f"{story.tasks} tasks outlive the client")
    for attendance in story.attendances:
        for defect in attendance.defects:
            yield Violation("errors are portable", defect)
        if attendance.waiting and story.scenario.client_cancelled is None:
            yield Violation("commands are answered", f"never answered: {attendance.waiting}")
        meeting = attendance.meeting
        if meeting is not None and meeting.state not in (MeetingState.ENDED, MeetingState.PLANNED):
            yield Violation("it ends", f"{meeting!r} after its client has closed")
        if attendance.leaving_at is not None and attendance.left_at is not None:
            took = attendance.left_at - attendance.leaving_at
            if took > LEAVING:
                yield Violation("it ends", f"leaving took {took:g} s")
        raises = attendance.gathering.leaves == "raise" and attendance.leaving_at is not None
        out = attendance.left_at is not None and not attendance.cancelled
        if raises and out and not isinstance(attendance.raised, Boom):
            yield Violation("errors are portable", f"the block's own error became {attendance.raised!r}")
        if not attendance.over:
            yield Violation("it ends", "the block was left while the meeting went on")


def _told_once(story: Story) -> Iterator[Violation]:
    """A fact is told once, however often it comes: it is known by its kind, its subject and its value, not by an id."""
    for attendance in story.attendances:
        for listener, told in (("the stream", attendance.told), ("observers", attendance.observed)):
            for news, times in Counter(news for news in told if news[0] in _ONCE).items():
                if times > 1:
                    yield Violation("facts are told once", f"{listener} heard {times} times of {' '.join(news)}")
            pressed = Counter(fact.call_id for fact in story.provider.exchange.history if fact.digit is not None)
            heard = Counter(subject for kind, subject, _ in told if kind == "DigitsReceived")
            for call, times in heard.items():
                if times > pressed[call]:
                    yield Violation("facts are told once", f"{listener} heard {times} keys of {call}")
            settings: dict[str, str] = {}
            for kind, subject, value in told:
                if kind in ("MemberJoined", "MemberUpdated"):
                    if kind == "MemberUpdated" and settings.get(subject) == value:
                        yield Violation("facts are told once", f"{listener} heard again that {subject} is {value}")
                    settings[subject] = value


def _others_untouched(story: Story) -> Iterator[Violation]:
    """What is not ours is left alone."""
    exchange = story.provider.exchange
    conference_id, call_id, member_id = story.foreign
    conference, member = exchange.conferences[conference_id], exchange.members[member_id]
    if conference.state is not ConferenceState.ACTIVE or conference.mute:
        yield Violation("others are left alone", "somebody else's conference was ended or muted")
    if exchange.calls[call_id].state is CallState.ENDED:
        yield Violation("others are left alone", "somebody else's call was hung up")
    if member.state is MemberState.LEFT or member.mute or member.hold:
        yield Violation("others are left alone", "somebody else's member was changed")


def _roster_true(story: Story) -> Iterator[Violation]:
    """The roster says what the exchange says."""
    for attendance in story.attendances:
        for misfit in attendance.misfits:
            yield Violation("the roster is true", misfit)
        meeting = attendance.meeting
        if meeting is None or meeting.state is not MeetingState.ENDED:
            continue
        people = {person.address: person for person in attendance.gathering.everybody}
        for participant in meeting.participants:
            yield from _outcome_true(story, meeting, participant.outcome, people[participant.party.address])


def _outcome_true(story: Story, meeting: Meeting, outcome: Outcome | None, person: Person) -> Iterator[Violation]:
    possible = {
        Outcome.BUSY: {"busy"},
        Outcome.REJECTED: {"rejects"},
        Outcome.UNREACHABLE: {"unreachable"},
        Outcome.NO_ANSWER: {"never_answers", "answers", "rejects", "busy", "unreachable"},  # where it takes too long
        Outcome.LEFT: {"answers"},
    }
    lost = story.scenario.post.lost > 0 or story.scenario.post.false > 0
    named = any(person.name in sentence for sentence in meeting.left_behind)
    if outcome is None or outcome is Outcome.JOINED:
        late = any("did not finish" in sentence for sentence in meeting.left_behind)
        if not (named or late or meeting.left_behind):
            yield Violation("the roster is true", f"after the end {person.name} is {outcome}")
    elif not lost and person.reaction not in possible.get(outcome, {person.reaction}):
        yield Violation("the roster is true", f"{person.name} {person.reaction}, and is told to be {outcome}")


def _came_about(story: Story) -> Iterator[Violation]:
    """Where nothing goes wrong, the meeting is established; where too few can come, it is not."""
    scenario = story.scenario
    clean = not story.crashes and not scenario.mishaps and not scenario.strict and scenario.post.is_true
    for attendance in story.attendances:
        gathering = attendance.gathering
        if attendance.meeting is None or scenario.client_cancelled or gathering.cancellation:
            continue
        if isinstance(attendance.raised, PolicyError) or attendance.left_at is None:
            continue
        quorum = min(gathering.quorum, len(gathering.people))
        enough = clean and _untroubled(gathering, scenario) and _steady(gathering) >= quorum
        if enough and not attendance.established:
            yield Violation("it comes about", f"nothing went wrong, and still: {attendance.raised!r}")
        for person in _missing(attendance) if enough and not _alone(gathering) else ():
            yield Violation("it comes about", f"nothing went wrong, and still {person.name} did not join")
        added = sum(deed.what in ("add", "again") for deed in gathering.deeds)
        if attendance.established and _able(gathering) + added < quorum and not scenario.post.foreign:
            yield Violation("it comes about", f"established, though only {_able(gathering)} could come")


def _untroubled(gathering: Gathering, scenario: Scenario) -> bool:
    """The application lets it be, and what happens is told when it happens."""
    return not gathering.deeds and scenario.post.late == 0.0


def _steady(gathering: Gathering) -> int:
    """How many come and stay, whoever else leaves early."""
    return sum(_comes(person, gathering) and person.hangs_up_after is None for person in gathering.people)


def _comes(person: Person, gathering: Gathering) -> bool:
    margin = 1.0
    return person.reaction == "answers" and person.after < gathering.answer_timeout - margin


def _alone(gathering: Gathering) -> bool:
    """On a bridge that only one comes to, that one is held ready for a second, and joins nobody."""
    return len(gathering.people) <= 2 and _steady(gathering) < 2


def _missing(attendance: Attendance) -> Iterator[Person]:
    meeting = attendance.meeting
    joined = {each.party.address for each in meeting.participants if each.joined_at} if meeting else set()
    for person in attendance.gathering.people:
        steady = _comes(person, attendance.gathering) and person.hangs_up_after is None
        if steady and person.address not in joined:
            yield person


def _able(gathering: Gathering) -> int:
    return sum(
        person.reaction == "answers" and person.after <= gathering.answer_timeout + 1 for person in gathering.people
    )


def summary(attendance: Attendance) -> str:
    """One line on what became of a meeting."""
    meeting = attendance.meeting
    if meeting is None:
        return "never asked for"
    people = ", ".join(
        f"{person.party.label} {person.outcome.value if person.outcome else person.state.value}"
        for person in meeting.participants
    )
    fate = "established" if attendance.established else "not established"
    ups = sum(record.outcome is StepOutcome.DONE for record in meeting.trace.records)
    raised = f", raised {attendance.raised!r}" if attendance.raised else ""
    left = f", left behind {list(meeting.left_behind)}" if meeting.left_behind else ""
    cancelled = ", cancelled" if attendance.cancelled else ""
    return f"{meeting.id} {fate}{cancelled}{raised}{left}: {people}; {ups} steps done"


def calls_up(story: Story) -> int:
    """How many calls were left up, named or not."""
    return sum(
        id_ in story.provider.exchange.calls and story.provider.exchange.calls[id_].state is not CallState.ENDED
        for id_ in story.up
    )
