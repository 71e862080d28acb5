"""What must hold after every run, whatever happened: checked against the exchange's own truth.

The checks trust the exchange's records and the list of requests that reached it, and nothing that confkit says of
itself; except where what is checked is what confkit says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from attrs import frozen

from confkit.client.meeting import Meeting
from confkit.ingest.meeting_view import MeetingState
from confkit.models.errors import PolicyError
from confkit.models.records import CallState, ConferenceState, MemberState, Outcome
from confkit.models.trace import StepOutcome
from confkit.testing.scenario import Gathering, Person, Scenario
from confkit.testing.simulation import STRANGER
from confkit.testing.story import Attendance, Boom, Story

#: How long leaving a meeting may take: the undoing is given up after 90 s.
LEAVING = 95.0
#: What happens once to one subject. Who joins is told by its member.
_ONCE = frozenset(
    {
        *("CallRinging", "CallAnswered", "CallEnded", "MemberJoined", "MemberLeft"),
        *("ConferenceStarted", "ConferenceEnded", "BridgeStarted", "BridgeEnded", "RecordingReady", "RecordingFailed"),
    }
)
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
        Violation(invariant, detail)
        for invariant, checks in _INVARIANTS.items()
        for check in checks
        for detail in check(story)
    ]


# --- nobody is dialled twice


def _dialled_twice(story: Story) -> Iterator[str]:
    """No party is rung twice for one intent."""
    dialled = Counter(str(call.notes["op"]) for call in story.provider.exchange.calls.values())
    for key, times in dialled.items():
        if times > 1:
            yield f"the intent {key} was dialled {times} times"


def _rung_more_often_than_meant(story: Story) -> Iterator[str]:
    intents = Counter(person.party.identity for meeting in story.meetings for person in meeting.participants)
    for address, calls in story.provider.exchange.rings.items():
        if address != STRANGER and len(calls) > intents[address]:
            yield f"{address} was rung {len(calls)} times for {intents[address]} intents"


# --- nothing is left behind


def _up_and_not_named(story: Story) -> Iterator[str]:
    """No call, conference or bridge is up after the client has closed, unless the report names it."""
    exchange = story.provider.exchange
    told = _left_behind(story)
    names = {person.address: person.name for gathering in story.scenario.gatherings for person in gathering.everybody}
    if story.crashes and any(sentence.startswith("whatever") for sentence in told):
        return  # it crashed so often that the undoing was not done in time, and all of it is named
    rooms = [sentence for sentence in told if "conference" in sentence or "bridge" in sentence]
    for id_ in story.up:
        if (call := exchange.calls.get(id_)) is not None:
            name = names[call.to]
            if not any(name in sentence.replace("(", " ").split() for sentence in told):
                yield f"the call {id_} to {name} is up, and nobody says so"
        elif any(id_ in (call.conference_id, call.bridge_id) for call in map(exchange.calls.get, story.up) if call):
            continue  # the room of a call that is named, or complained of
        elif not any(id_ in sentence or "may have been created" in sentence for sentence in rooms):
            kind = "conference" if id_ in exchange.conferences else "bridge"
            yield f"the {kind} {id_} is open, and nobody says so"


def _named_for_nothing(story: Story) -> Iterator[str]:
    told = _left_behind(story)
    if told and not story.crashes and not story.scenario.faults and not story.scenario.strict:
        yield f"nothing went wrong, and still: {told}"


def _left_behind(story: Story) -> list[str]:
    return [sentence for meeting in story.meetings for sentence in meeting.left_behind]


# --- the policy is kept


def _too_many_members(story: Story) -> Iterator[str]:
    """No meeting ever holds more than the policy allows."""
    limit = _limit(story)
    for fact in story.provider.exchange.history:
        if fact.active_members is not None and fact.active_members > limit:
            yield f"{fact.active_members} members, the limit is {limit}"


def _too_many_calls(story: Story) -> Iterator[str]:
    limit = _limit(story)
    owners = {record.op: meeting.id for meeting in story.meetings for record in meeting.trace.records}
    turns: list[tuple[Any, int, str]] = []
    for call in story.provider.exchange.calls.values():
        owner = owners.get(str(call.notes["op"]), "")
        turns.append((call.created_at, 1, owner))
        if call.ended_at is not None:
            turns.append((call.ended_at, -1, owner))
    up: Counter[str] = Counter()
    # A call that ends at the instant at which another is made goes first: the two are not up at once.
    for _, change, owner in sorted(turns, key=lambda turn: turn[:2]):
        up[owner] += change
        if up[owner] > limit:
            yield f"{up[owner]} calls at once, the limit is {limit}"
            return


def _not_refused(story: Story) -> Iterator[str]:
    """What the policy refuses sends nothing."""
    limit = _limit(story)
    for attendance in story.attendances:
        size = len(attendance.gathering.people)
        if attendance.meeting is None or 0 < size <= limit:
            continue
        refused = isinstance(attendance.raised, PolicyError)
        if not refused and not attendance.cancelled and attendance.left_at is not None:
            yield f"{size} parties were not refused; the limit is {limit}"
        if attendance.meeting.trace.records:
            yield "it was refused after something had been sent"


def _limit(story: Story) -> int:
    return min(story.scenario.maximum, story.scenario.max_members or story.scenario.maximum)


# --- the pace is kept


def _refused_for_the_rate(story: Story) -> Iterator[str]:
    """The platform never has to refuse a request for its rate."""
    if story.scenario.strict:
        return
    refused = [request.operation for request in story.provider.requests if request.outcome == "RateLimited"]
    scripted = sum(fault.times for fault in story.scenario.faults if fault.kind == "rate-limit")
    if len(refused) > scripted:
        yield f"refused for its rate: {', '.join(refused)}"


# --- nobody is rung too late


def _rung_after_the_end(story: Story) -> Iterator[str]:
    """Nobody is rung any more when the application wants the meeting over."""
    troubled = {fault.operation for fault in story.scenario.faults}
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
                yield f"{request.operation} {after:g} s after the meeting was to end"


# --- the trace is complete


def _steps_without_end(story: Story) -> Iterator[str]:
    for meeting in story.meetings:
        for record in meeting.trace.records:
            if record.outcome is StepOutcome.STARTED:
                yield f"{record.step} {record.operation} has no end"


def _executed_and_not_traced(story: Story) -> Iterator[str]:
    traced = {record.op for meeting in story.meetings for record in meeting.trace.records}
    for request in story.provider.requests:
        if request.executed and request.operation not in _READS and request.op_key not in traced:
            yield f"{request.operation} was executed and is not in it"


# --- everything that was asked for has an answer, in bounded time, and no task is left


def _tasks_left(story: Story) -> Iterator[str]:
    if story.tasks:
        yield f"{story.tasks} tasks outlive the client"


def _defects(story: Story) -> Iterator[str]:
    for attendance in story.attendances:
        yield from attendance.defects


def _errors_replaced(story: Story) -> Iterator[str]:
    for attendance in story.attendances:
        raises = attendance.gathering.leaves == "raise" and attendance.leaving_at is not None
        out = attendance.left_at is not None and not attendance.cancelled
        if raises and out and not isinstance(attendance.raised, Boom):
            yield f"the block's own error became {attendance.raised!r}"


def _never_answered(story: Story) -> Iterator[str]:
    for attendance in story.attendances:
        if attendance.waiting and story.scenario.client_cancelled is None:
            yield f"never answered: {attendance.waiting}"


def _not_ended(story: Story) -> Iterator[str]:
    for attendance in story.attendances:
        meeting = attendance.meeting
        if meeting is not None and meeting.state not in (MeetingState.ENDED, MeetingState.PLANNED):
            yield f"{meeting!r} after its client has closed"


def _left_slowly(story: Story) -> Iterator[str]:
    for attendance in story.attendances:
        if attendance.leaving_at is None or attendance.left_at is None:
            continue
        took = attendance.left_at - attendance.leaving_at
        if took > LEAVING:
            yield f"leaving took {took:g} s"


def _left_too_soon(story: Story) -> Iterator[str]:
    for attendance in story.attendances:
        if not attendance.over:
            yield "the block was left while the meeting went on"


# --- a fact is told once, however often it comes: it is known by its kind, its subject and its value, not by an id


def _news_told_twice(story: Story) -> Iterator[str]:
    for listener, told in _heard(story):
        for news, times in Counter(news for news in told if news[0] in _ONCE).items():
            if times > 1:
                yield f"{listener} heard {times} times of {' '.join(news)}"


def _keys_told_twice(story: Story) -> Iterator[str]:
    pressed = Counter(fact.call_id for fact in story.provider.exchange.history if fact.digit is not None)
    for listener, told in _heard(story):
        heard = Counter(subject for kind, subject, _ in told if kind == "DigitsReceived")
        for call, times in heard.items():
            if times > pressed[call]:
                yield f"{listener} heard {times} keys of {call}"


def _settings_told_twice(story: Story) -> Iterator[str]:
    for listener, told in _heard(story):
        settings: dict[str, str] = {}
        for kind, subject, value in told:
            if kind == "MemberUpdated" and settings.get(subject) == value:
                yield f"{listener} heard again that {subject} is {value}"
            if kind in ("MemberJoined", "MemberUpdated"):
                settings[subject] = value


def _heard(story: Story) -> Iterator[tuple[str, Sequence[tuple[str, str, str]]]]:
    """What each listener to a meeting was told."""
    for attendance in story.attendances:
        yield "the stream", attendance.told
        yield "observers", attendance.observed


# --- others are left alone


def _others_touched(story: Story) -> Iterator[str]:
    """What is not ours is left alone."""
    exchange = story.provider.exchange
    conference_id, call_id, member_id = story.foreign
    conference, member = exchange.conferences[conference_id], exchange.members[member_id]
    if conference.state is not ConferenceState.ACTIVE or conference.mute:
        yield "somebody else's conference was ended or muted"
    if exchange.calls[call_id].state is CallState.ENDED:
        yield "somebody else's call was hung up"
    if member.state is MemberState.LEFT or member.mute or member.hold:
        yield "somebody else's member was changed"


# --- the roster is true


def _misfits(story: Story) -> Iterator[str]:
    """The roster says what the exchange says."""
    for attendance in story.attendances:
        yield from attendance.misfits


def _outcomes_untrue(story: Story) -> Iterator[str]:
    for attendance in story.attendances:
        meeting = attendance.meeting
        if meeting is None or meeting.state is not MeetingState.ENDED:
            continue
        people = {person.address: person for person in attendance.gathering.everybody}
        for participant in meeting.participants:
            yield from _outcome_untrue(story, meeting, participant.outcome, people[participant.party.address])


def _outcome_untrue(story: Story, meeting: Meeting, outcome: Outcome | None, person: Person) -> Iterator[str]:
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
            yield f"after the end {person.name} is {outcome}"
    elif not lost and person.reaction not in possible.get(outcome, {person.reaction}):
        yield f"{person.name} {person.reaction}, and is told to be {outcome}"


# --- it comes about


def _came_about_wrongly(story: Story) -> Iterator[str]:
    """Where nothing goes wrong, the meeting is established; where too few can come, it is not."""
    scenario = story.scenario
    clean = not story.crashes and not scenario.faults and not scenario.strict and scenario.post.is_true
    for attendance in story.attendances:
        gathering = attendance.gathering
        if attendance.meeting is None or scenario.client_cancelled or gathering.cancellation:
            continue
        if isinstance(attendance.raised, PolicyError) or attendance.left_at is None:
            continue
        quorum = min(gathering.quorum, len(gathering.people))
        enough = clean and _untroubled(gathering, scenario) and _steady(gathering) >= quorum
        if enough and not attendance.established:
            yield f"nothing went wrong, and still: {attendance.raised!r}"
        for person in _missing(attendance) if enough and not _alone(gathering) else ():
            yield f"nothing went wrong, and still {person.name} did not join"
        added = sum(deed.what in ("add", "again") for deed in gathering.deeds)
        if attendance.established and _able(gathering) + added < quorum and not scenario.post.foreign:
            yield f"established, though only {_able(gathering)} could come"


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


Check = Callable[[Story], Iterator[str]]

#: What must hold, by its name, with the checks that tell what is wrong.
_INVARIANTS: Mapping[str, tuple[Check, ...]] = {
    "nobody is dialled twice": (_dialled_twice, _rung_more_often_than_meant),
    "nothing is left behind": (_up_and_not_named, _named_for_nothing),
    "the policy is kept": (_too_many_members, _too_many_calls, _not_refused),
    "the pace is kept": (_refused_for_the_rate,),
    "nobody is rung too late": (_rung_after_the_end,),
    "the trace is complete": (_steps_without_end, _executed_and_not_traced),
    "no task is left": (_tasks_left,),
    "errors are portable": (_defects, _errors_replaced),
    "commands are answered": (_never_answered,),
    "it ends": (_not_ended, _left_slowly, _left_too_soon),
    "the roster is true": (_misfits, _outcomes_untrue),
    "it comes about": (_came_about_wrongly,),
    "facts are told once": (_news_told_twice, _keys_told_twice, _settings_told_twice),
    "others are left alone": (_others_touched,),
}


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
