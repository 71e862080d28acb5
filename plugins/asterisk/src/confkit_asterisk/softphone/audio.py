"""Telephone audio: G.711 mu-law, tones, and how loud a frequency is (Goertzel's algorithm)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

RATE: Final = 8000
#: Samples in one RTP packet: 20 ms (RFC 3551 section 4.5.14).
FRAME: Final = 160
#: How loud a phone talks; half of what fits, so that several can be mixed.
AMPLITUDE: Final = 8000
SILENCE: Final = b"\xff" * FRAME


def _decode(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << ((code & 0x70) >> 4)) - 0x84
    return -magnitude if code & 0x80 else magnitude


def encode(sample: int) -> int:
    """A 16-bit sample as mu-law (ITU-T G.711)."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 0x84
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | (magnitude >> exponent + 3) & 0x0F) & 0xFF


DECODED: Final = tuple(_decode(code) for code in range(256))


def tone(hz: int, amplitude: int = AMPLITUDE) -> list[bytes]:
    """One second of a tone in frames, to be repeated; silence for 0 Hz."""
    if not hz:
        return [SILENCE]
    samples = bytes(encode(int(amplitude * math.sin(2 * math.pi * hz * n / RATE))) for n in range(RATE))
    return [samples[start : start + FRAME] for start in range(0, RATE, FRAME)]


def level(frames: Sequence[bytes], hz: int) -> float:
    """The amplitude of one frequency in mu-law audio, by Goertzel's algorithm."""
    factor = 2 * math.cos(2 * math.pi * hz / RATE)
    one = two = 0.0
    count = 0
    for frame in frames:
        for code in frame:
            one, two = DECODED[code] + factor * one - two, one
        count += len(frame)
    return 2 * math.sqrt(max(0.0, one * one + two * two - factor * one * two)) / count if count else 0.0
