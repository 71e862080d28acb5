"""The softphones' parts: audio, SIP messages, and the engine's clear words."""

from __future__ import annotations

from pathlib import Path

import pytest
from confkit_asterisk.server import EngineUnavailable, install
from confkit_asterisk.server.install import installed
from confkit_asterisk.softphone import audio, level, tones
from confkit_asterisk.softphone.sip import Message, offer, request


def test_a_tone_is_told_from_others() -> None:
    frames = audio.tone(700)[:15]
    assert level(frames, 700) == pytest.approx(audio.AMPLITUDE, rel=0.02)
    assert level(frames, 440) < 100
    assert level([], 700) == 0


def test_mu_law_is_its_own_inverse() -> None:
    # ITU-T G.711: what was quantised once does not change again; -0 becomes 0.
    assert all(audio.DECODED[audio.encode(audio.DECODED[code])] == audio.DECODED[code] for code in range(256))


def test_twenty_tones_are_different() -> None:
    found = tones(20)
    assert len(set(found)) == 20
    assert max(found) < 4000


def test_a_request_is_read_as_it_was_written() -> None:
    written = request(
        "INVITE",
        "sip:%2B19195550101@127.0.0.1:5060",
        port=5070,
        near="<sip:ann@127.0.0.1>;tag=1",
        far="<sip:ben@127.0.0.1>",
        call_id="c-1",
        number=1,
        contact="sip:ann@127.0.0.1:5070",
        sdp=offer("ann", 20000),
    )
    read = Message.parse(bytes(written))
    assert (read.method, read.user, read.call_id) == ("INVITE", "+19195550101", "c-1")
    assert (read.media, read.target) == (("127.0.0.1", 20000), "sip:ann@127.0.0.1:5070")
    answer = Message.parse(bytes(read.response(200, "OK", tag="2", contact="sip:ben@127.0.0.1")))
    assert (answer.status, answer.method, answer.get("to")) == (200, "INVITE", "<sip:ben@127.0.0.1>;tag=2")


def test_compact_headers_and_garbage() -> None:
    read = Message.parse(b"BYE sip:ann@127.0.0.1 SIP/2.0\r\ni: c-1\r\nm: <sip:ben@127.0.0.1>;x=1\r\n\r\n")
    assert (read.call_id, read.target, read.media) == ("c-1", "sip:ben@127.0.0.1", None)
    with pytest.raises(ValueError, match="not SIP"):
        Message.parse(b"\r\n\r\n")


def test_an_engine_that_cannot_be_had_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineUnavailable, match=r"apt-get.*not here"):
        install(folder=tmp_path)
    with pytest.raises(EngineUnavailable, match="unknown suite"):
        install("potato", folder=tmp_path)
    assert installed(folder=tmp_path) is None
