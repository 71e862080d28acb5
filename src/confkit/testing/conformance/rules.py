"""The rules that the suite checks, each with the section of ``docs/contract.md`` in which it stands.

That page is generated from the hook specifications and from here, so a failure always names a rule that is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from attrs import frozen

PAGE: Final = "docs/contract.md"


@frozen
class Rule:
    """One rule.

    Args:
        section: a hook, or a chapter of :data:`CHAPTERS`.
        text: one sentence without its full stop.
    """

    section: str
    text: str

    @property
    def place(self) -> str:
        """Where it is written."""
        return f"{PAGE}#{self.section}"


#: The chapters beside the hooks, by their anchors.
CHAPTERS: Final = {
    "one-request": "One request",
    "errors": "Errors",
    "cancellation": "Cancellation",
    "concurrency": "Concurrency",
    "events-of-a-platform": "Events of a platform",
    "memory": "Memory",
    "escapes": "Escapes",
    "secrecy": "Secrecy",
    "settings": "Settings",
    "meetings": "Meetings",
}


def broken(rule: Rule, found: str) -> BaseException:
    """The failure of a test: the rule, what was found instead, where it is written."""
    return pytest.fail.Exception(f"{rule.text}, but {found} ({rule.place})", pytrace=False)


def check(holds: object, rule: Rule, found: str) -> None:
    """Fail the test unless the rule holds."""
    if not holds:
        raise broken(rule, found)


def all_rules() -> Iterator[Rule]:
    """Every rule, in the order of this file."""
    yield from (value for value in globals().values() if isinstance(value, Rule))


# One request

WORKS = Rule("one-request", "An operation on what exists and is in the right state succeeds")
PROMPT = Rule("one-request", "An operation returns as soon as the platform has accepted the request")
ONE_REQUEST = Rule(
    "one-request",
    "One call of a hook sends one request that changes something; only what is declared as compound takes several, and"
    " create_call never does",
)
NO_RETRY = Rule("one-request", "A provider never sends a request again by itself, whatever became of it")
RAW_READS = Rule("one-request", "fetch, list_calls and find only look")

# Conferences

CREATES = Rule("create_conference", "create_conference gives a conference with an id and with op.key as its key")
CREATES_NOTHING = Rule(
    "create_conference",
    "Where a conference comes to exist with its first member, create_conference sends nothing and gives no id",
)
GETS_ITS_ID = Rule("create_call", "The reference that comes back once a call has joined has the conference's id")
ENDS_AGAIN = Rule("end_conference", "Ending a conference that has ended, or never came to be, succeeds")
ENDS = Rule("end_conference", "A conference that was ended is over for everyone")
END_HANGS_UP = Rule("capabilities", "end_hangs_up says whether ending a conference hangs up its calls")
MAX_MEMBERS = Rule("capabilities", "max_members is how many members a conference holds, no more and no fewer")
WHOSE = Rule(
    "fetch",
    "Conference.key is what the platform itself has written down of our key, or empty; never the key that it was asked"
    " with",
)
SEPARATE = Rule("fetch", "A snapshot of a conference shows its own members and calls, and nobody else's")
SNAPSHOT = Rule("fetch", "A snapshot shows what is so: every member and call of a conference, with their states")
UPDATES_ALL = Rule("update_conference", "update_conference changes mute or hold for everyone")

# Calls

DIALS_ONCE = Rule("create_call", "create_call makes the party's phone ring once")
DIALS_WHOM = Rule("create_call", "create_call gives the call to the party that was asked for")
NOT_WAITING = Rule(
    "create_call", "create_call returns when the platform has accepted the call, and never waits for the answer"
)
MEMBERSHIP = Rule(
    "create_call",
    "Dialled.membership says how the call gets in: by add_member, by itself, upon its answer, or not at all",
)
ANSWERED = Rule("fetch", "A call that the party has answered is shown as answered")
RINGING = Rule("fetch", "A call that rings is not shown as answered")
CAUSES = Rule("fetch", "A call that ended shows why, as far as capabilities.causes says that the platform can tell")
RINGS_SO_LONG = Rule("create_call", "A phone rings no longer than answer_timeout")
RINGS_AT_MOST = Rule("capabilities", "rings is how long a phone can be asked to ring, at least and at most")
MAX_CALLS = Rule("capabilities", "max_calls is how many calls the account carries at a time, no more and no fewer")
HANGS_UP = Rule("hang_up", "hang_up ends a call, ringing or answered")
HANGS_UP_AGAIN = Rule("hang_up", "Hanging up what has ended succeeds")
LISTS = Rule("list_calls", "list_calls shows the calls dialled into a conference or bridge, ended ones included")
TRANSFERS = Rule(
    "transfer", "transfer hands an answered call over and gives the new call, which rings the other party once"
)
ANSWERS_CALLS = Rule("answer_call", "answer_call answers a call that came in")
REJECTS_CALLS = Rule("reject_call", "reject_call refuses a call that came in, and succeeds when it has ended")
INSTANTS = Rule("fetch", "Instants are aware datetimes")

# Members

JOINS = Rule("add_member", "add_member puts an answered call into the conference")
JOINS_ITSELF = Rule(
    "create_call", "Where joining is fused, a call that was dialled into a conference is a member once it is answered"
)
STARTS_MUTED = Rule("add_member", "A member enters with the mute and hold of its options")
REMOVES = Rule("remove_member", "A member that was removed is out of the conference")
REMOVES_AGAIN = Rule("remove_member", "Removing who has left succeeds")
LEAVES = Rule("fetch", "A member whose call has ended has left")
PATCHES = Rule("update_member", "update_member changes what capabilities.member declares")
PATCHES_ANY = Rule(
    "update_member",
    "Where patches is ANY, update_member changes several settings with one request; where it is SINGLE, it is never"
    " given more than one",
)

# Bridges

BRIDGES = Rule(
    "create_bridge",
    "create_bridge connects two answered calls, or makes an empty bridge to dial into, as capabilities.bridging says",
)
UNBRIDGES = Rule("end_bridge", "end_bridge takes a bridge down and leaves its calls up; ending what has ended succeeds")
BRIDGE_ENDS = Rule("capabilities", "Where bridge_ends says that a bridge ends with its calls, it is over once they are")
BRIDGE_HANGS_UP = Rule(
    "capabilities", "bridge_hangs_up says whether the one on a bridge is hung up when the other hangs up"
)
MOVES = Rule(
    "capabilities",
    "bridge_to_conference says whether the answered calls of a bridge can be moved into a conference one by one",
)

# Media

PLAYS = Rule("play", "play plays what capabilities.play declares, where it declares it")
STOPS = Rule("play", "STOP stops what plays, and succeeds when nothing does")
SAYS = Rule("capabilities", "max_text is how many characters of speech one request takes")
RECORDS = Rule("record", "record starts, pauses, goes on and stops as capabilities.record declares")
SENDS_DIGITS = Rule("send_digits", "send_digits sends DTMF to a party")

# Capabilities

DECLARED = Rule("capabilities", "What a provider declares it implements, and what it implements it declares")
UNDECLARED = Rule("capabilities", "What is not declared is refused, or at least not sent to the platform")
CHOSEN = Rule(
    "capabilities",
    "The provider that is tested declares what the tests were chosen by, and its harness excepts nothing that happens"
    " everywhere",
)
PURE = Rule("capabilities", "capabilities is pure: it gives an equal record every time")
NEEDS_URL = Rule(
    "capabilities",
    "needs_webhooks is for a platform that has webhooks, and needs_public_url_for names operations that are there",
)
RATES = Rule(
    "capabilities",
    "A rate class has a name of its own, a limit above zero, a span above zero or concurrency, and costs of operations"
    " that exist",
)

# Errors

PORTABLE = Rule("errors", "Every failure leaves a provider as one of the portable errors")
MEANING = Rule("errors", "A failure is the portable error that says what its caller can do about it")
CONTEXT = Rule("errors", "A portable error keeps the provider's own account of it: a code, a status, or a payload")

# Idempotency

SAME_INTENT = Rule(
    "capabilities",
    "An operation that is declared idempotent has no second effect when it is sent again with its op.key",
)
SAME_RESULT = Rule(
    "capabilities",
    "The second reply to an idempotent operation gives the result of the first; or it is a Conflict or OutcomeUnknown,"
    " and the operation is reconcilable too",
)
UNDECLARED_KEY = Rule("capabilities", "Idempotency that is there is declared")
FINDS = Rule("find", "find shows what a request that was lost did create")
FINDS_WHAT_IS_OVER = Rule(
    "find",
    "find gives nothing only where the request was certainly not executed: what it made and what has ended since, as a"
    " call to somebody who was busy or who has hung up, is shown, or OutcomeUnknown is raised",
)
FINDS_NOTHING = Rule("find", "find shows nothing of what was never asked for")
FINDS_NOTHING_OLDER = Rule(
    "find", "An earlier call to the same party, from before hint.since, is not what a later request made"
)
ADOPTS = Rule("find", "A dial whose reply was lost rings the phone once, and is adopted where it can be found")

# Cancellation and concurrency

CANCELS = Rule(
    "cancellation",
    "Cancellation passes through a provider at every await: not swallowed, delayed or turned into another error",
)
USABLE = Rule("cancellation", "After a cancelled operation the provider is as usable as before")
NO_CROSSTALK = Rule("concurrency", "Operations that run at the same time do not mix up their calls")
INDEPENDENT = Rule("concurrency", "Two clients of one platform do not disturb each other")
CLOSES = Rule("aclose", "aclose releases the connections and leaves the calls alone")

# Events

TELLS = Rule(
    "events-of-a-platform",
    "What happens on the platform arrives as the normalised event, with the ids that the operations gave",
)
TELLS_WHAT_WAS_RECORDED = Rule(
    "events-of-a-platform",
    "RecordingReady names what was recorded by exactly one of conference_id, bridge_id and call_id",
)
EVENT_IDS = Rule("events-of-a-platform", "Two deliveries of one event have one id, and two events have two")
ECHOES = Rule(
    "events-of-a-platform",
    "Event.op is the key of the request that made what the event is about, where the platform echoes it, or None",
)
VERIFIES = Rule("receive", "A request that the platform did not sign is rejected")
STALE = Rule(
    "receive",
    "Where a signature covers the time, a request that is older than the tolerance is rejected, and none that is"
    " younger; its age is measured by request.at",
)
ANSWERS_AS_IT_IS = Rule(
    "receive", "The reply of receive is the same for the same request, and reaches the platform as it is"
)
DECIDED_LATER = Rule(
    "receive",
    "Where receive leaves its reply about a call that comes in to be decided later, reject_call decides it",
)
READS_ONLY = Rule(
    "receive", "receive has no side effects: the same request gives the same events, in whatever order requests come"
)
UNKNOWN_TYPES = Rule("receive", "A type of event that has no word here becomes Unknown and is answered with success")
GARBAGE = Rule("receive", "What cannot be read is rejected with WebhookRejected")
DRIVES = Rule("receive", "Webhooks alone carry a meeting: answers, joins and hang-ups")

# Memory

ANOTHER_GOES_ON = Rule(
    "memory",
    "Another provider object on the same platform goes on with the records that the first one gave, as they were"
    " written down: what a later operation needs, and the platform does not tell, is in data",
)
IS_TEXT = Rule("memory", "data is a mapping of text to text")

# Escapes

HAS_RAW = Rule("escapes", "Every record that was read has the platform's own payload as raw, out of its repr")
EVENTS_HAVE_RAW = Rule("escapes", "Every event has the platform's own payload as raw, out of its repr")
KNOWN_OPTIONS = Rule(
    "escapes",
    "provider_options that the provider does not know are refused with InvalidRequest before anything is sent",
)

# Secrecy and settings

NO_SECRETS = Rule("secrecy", "Secrets stand in no message, repr or log line")
NO_NUMBERS = Rule("secrecy", "Whole telephone numbers stand in no message, repr or log line")
ALL_MISTAKES = Rule("settings", "One SettingsError lists every unknown and missing setting, and shows no secret")

# Meetings

CONNECTS = Rule("meetings", "A meeting on this provider connects everyone, and leaves nothing up when it ends")
BY_HAND = Rule(
    "meetings",
    "By hand, a conference is created, calls are dialled into it, each joins, and ending both leaves nothing up",
)
OUTCOMES = Rule("meetings", "Everyone has an outcome: joined, busy, no answer, rejected, left")
UNDOES = Rule("meetings", "A meeting that fails or is cancelled leaves no call up")
