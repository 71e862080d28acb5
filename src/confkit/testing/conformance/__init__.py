"""The conformance suite: does a provider behave like the others?

Write a :class:`Harness` for your platform, name it in a test module, run pytest:

    from confkit.testing.conformance import Conformance, Harness

    class AcmeHarness(Harness): ...

    class TestAcme(Conformance):
        harness_class = AcmeHarness

What the provider declares chooses the tests while they are collected: what it does not declare is not asked of it, and
is looked for where it could be there all the same. Each failure names the rule and where it is written. Needs the extra
``testing``.
"""

from __future__ import annotations

from confkit.testing.conformance.area import RuleGroup
from confkit.testing.conformance.bridges import BridgeRules
from confkit.testing.conformance.calls import CallRules
from confkit.testing.conformance.cancellation import CancellationRules, ConcurrencyRules
from confkit.testing.conformance.conferences import ConferenceRules
from confkit.testing.conformance.declarations import DeclarationRules
from confkit.testing.conformance.errors import ErrorRules
from confkit.testing.conformance.events import StreamRules, WebhookRules
from confkit.testing.conformance.harness import Fault, Harness, Reaction
from confkit.testing.conformance.idempotency import IdempotencyRules
from confkit.testing.conformance.media import MediaRules
from confkit.testing.conformance.meetings import MeetingRules
from confkit.testing.conformance.members import MemberRules
from confkit.testing.conformance.memory import MemoryRules
from confkit.testing.conformance.passthrough import EscapeRules, SecrecyRules

__all__ = ["VERSION", "Conformance", "Fault", "Harness", "Reaction", "RuleGroup"]

#: Of the rules: the first number grows when a provider that passed may fail, the second when rules are added.
VERSION = "2.0"


class Conformance(
    DeclarationRules,
    ConferenceRules,
    CallRules,
    MemberRules,
    BridgeRules,
    MediaRules,
    ErrorRules,
    IdempotencyRules,
    CancellationRules,
    ConcurrencyRules,
    MemoryRules,
    StreamRules,
    WebhookRules,
    EscapeRules,
    SecrecyRules,
    MeetingRules,
):
    """All rules of the provider contract; set ``harness_class``."""
