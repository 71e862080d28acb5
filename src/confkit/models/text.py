"""Text from outside, made safe for the place where it is shown.

A name, a caller, digits, an address, a platform's words: whoever writes them must not be able to begin a line of the
log, to move the cursor of a terminal, or to turn text around. ``one_line`` is for whatever people read (errors, logs,
the terminal); ``mermaid`` is for the text of a diagram. Data keeps what was sent: events, ``raw``, and JSON, which
escapes it.

Sources: Unicode Standard Annexes 44 (general categories) and 9 (directional characters); ECMA-48 (what terminals
obey); Mermaid's entity codes.
"""

from __future__ import annotations

import re
import unicodedata

#: They spell words of Persian and of Indic scripts, and hold emoji together. Beside ASCII they only hide.
_JOINERS = "\u200c\u200d"
_STRAY_JOINERS = re.compile(rf"(?<![^\x00-\x7f])[{_JOINERS}]+|[{_JOINERS}]+(?![^\x00-\x7f])")
#: What means something to Mermaid, to HTML or to a formula, all of it ASCII: a colon does within a word, and after
#: "wrap". The two letters at the end are the library's own marks around the number of a character.
_SYNTAX = re.compile(r"[#;%<>&$\"'`\\|\[\]{}=~^*]|:(?!\s)|(?<=wrap):|[ﬂ¶]", re.IGNORECASE)


def is_unsafe(character: str) -> bool:
    """Whether a character does something else than to show or to part words.

    Controls, formats (the directional characters among them), ends of lines and paragraphs, half surrogate pairs, and
    what Unicode has given no meaning.
    """
    return not character.isprintable() and unicodedata.category(character) != "Zs"


def one_line(text: str) -> str:
    """The text as one line that shows: what does not show becomes a space, and spaces in a row become one."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    shown = _spaced("".join(" " if is_unsafe(sign) and sign not in _JOINERS else sign for sign in text))
    return _spaced(_STRAY_JOINERS.sub(" ", shown))


def mermaid(text: str) -> str:
    """The text as a message, a note or a name of a Mermaid sequence diagram; it shows as ``one_line`` has it.

    Whatever could be syntax is written as a character's number, ``#59;``: a semicolon or a number sign ends a message,
    ``%%`` begins a comment, angle brackets and ampersands are HTML, and dollar signs are a formula's.
    """
    return _SYNTAX.sub(lambda found: f"#{ord(found[0])};", one_line(text)) or "–"


def _spaced(text: str) -> str:
    return " ".join(text.split())
