"""The conformance suite: does a provider behave like the others?

Subclass :class:`Conformance` in a test module, give out a :class:`Harness` for your platform, run pytest:

    from confkit.testing.conformance import Conformance, Harness

    class TestAcme(Conformance):
        @pytest.fixture
        def harness(self):
            with AcmeSimulator() as platform:
                yield AcmeHarness(platform)

The provider's declared capabilities choose the tests; those of what is not declared are skipped and say so. Each
failure names the rule and where it is written. Needs the extra ``testing``.
"""

from __future__ import annotations

from confkit.testing.conformance.area import Area
from confkit.testing.conformance.bridges import BridgeRules
from confkit.testing.conformance.calls import CallRules
from confkit.testing.conformance.cancellation import CancellationRules, ConcurrencyRules
from confkit.testing.conformance.conferences import ConferenceRules
from confkit.testing.conformance.declarations import DeclarationRules
from confkit.testing.conformance.escapes import EscapeRules, SecrecyRules
from confkit.testing.conformance.harness import Harness, Reaction, Trouble
from confkit.testing.conformance.idempotency import IdempotencyRules
from confkit.testing.conformance.media import MediaRules
from confkit.testing.conformance.meetings import MeetingRules
from confkit.testing.conformance.members import MemberRules
from confkit.testing.conformance.reports import StreamRules, WebhookRules
from confkit.testing.conformance.troubles import ErrorRules

__all__ = ["VERSION", "Area", "Conformance", "Harness", "Reaction", "Trouble"]

#: Of the rules: the first number grows when a provider that passed may fail, the second when rules are added.
VERSION = "1.0"


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
    StreamRules,
    WebhookRules,
    EscapeRules,
    SecrecyRules,
    MeetingRules,
):
    """All rules of the provider contract; override the fixture ``harness``."""
