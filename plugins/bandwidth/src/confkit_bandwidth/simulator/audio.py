"""Files and sentences, the same for conferences, members, calls, bridges and the prompt of a gather."""

from __future__ import annotations

from typing import Final

from attrs import frozen
from confkit_fake.exchange import MediaKind

from confkit_bandwidth.simulator.account import Account
from confkit_bandwidth.simulator.fields import Fields
from confkit_bandwidth.simulator.refusals import Refusal, invalid, missing

LONGEST_SENTENCE: Final = 1000
#: ``postCallsCallIdAudio.md``; its list prints ``t`` for ``it``.
VOICES: Final = {
    "en_US": ("Kate", "Susan", "Julie", "Dave", "Paul"),
    "en_UK": ("Bridget",),
    "es": ("Esperanza", "Violeta", "Jorge"),
    "es_MX": ("Esperanza", "Violeta", "Jorge"),
    "fr": ("Jolie", "Bernard"),
    "fr_FR": ("Jolie", "Bernard"),
    "de": ("Katrin", "Stefan"),
    "de_DE": ("Katrin", "Stefan"),
    "it": ("Paola", "Luca"),
    "it_IT": ("Paola", "Luca"),
}
_ALL_VOICES: Final = tuple(dict.fromkeys(voice for voices in VOICES.values() for voice in voices))


@frozen(kw_only=True)
class Audio:
    """A request to play something; an empty ``content`` stops what plays of that kind."""

    kind: MediaKind
    content: str
    loop: bool
    tag: str | None


def read(fields: Fields, *, loops: bool = True) -> Audio:
    """Read and check an audio request.

    Args:
        loops: whether the target has ``loopEnabled``; a bridge ignores it.
    """
    url, sentence = fields.text("fileUrl"), fields.text("sentence")
    if url is None and sentence is None:
        raise missing("fileUrl")
    if url is not None and sentence is not None:
        raise invalid("'fileUrl' and 'sentence' exclude each other")
    loop = bool(fields.flag("loopEnabled")) and loops
    tag = fields.text("tag")
    fields.whole("volume", least=-4, most=4)
    if sentence is None:
        if url and not url.lower().startswith(("http://", "https://")):
            raise Refusal("media-invalid-url", "'fileUrl' must be an absolute http or https URL")
        return Audio(kind=MediaKind.FILE, content=url or "", loop=loop, tag=tag)
    if len(sentence) > LONGEST_SENTENCE:
        raise invalid(f"'sentence' must have at most {LONGEST_SENTENCE} characters")
    if sentence:  # the rest is ignored without one
        fields.choice("gender", ("female", "male"))
        fields.choice("locale", tuple(VOICES))
        fields.choice("voice", _ALL_VOICES)
    return Audio(kind=MediaKind.SPEECH, content=sentence, loop=loop, tag=tag)


def play(account: Account, target: str, audio: Audio) -> bool:
    """Carry an audio request out; ``False`` when there was nothing to stop."""
    if not audio.content:
        return account.exchange.stop_playing(target, audio.kind)
    speech = audio.kind is MediaKind.SPEECH
    account.exchange.play(
        target,
        text=audio.content if speech else None,
        url=None if speech else audio.content,
        loop=audio.loop,
    )
    account.cued[target, audio.kind] = audio.tag
    return True
