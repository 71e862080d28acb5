"""What plays and what is being recorded, on any target of an exchange."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, frozen

from confkit.provider import RecordAction
from confkit_fake.records import (
    ErrorCode,
    ExchangeError,
    FactKind,
    MediaKind,
    Recording,
    RecordingState,
)
from confkit_fake.timeline import Timeline, Timer

FILE_SECONDS = 5.0
SECONDS_PER_CHARACTER = 0.06


@frozen(kw_only=True)
class Target:
    """Where to play or record, checked by the exchange; the ids say to whom the facts belong."""

    id: str
    conference_id: str | None = None
    call_id: str | None = None
    member_id: str | None = None
    bridge_id: str | None = None


@define(kw_only=True, eq=False)
class Playback:
    """A file or a text that is playing."""

    target: Target
    kind: MediaKind
    url: str | None
    text: str | None
    loop: bool
    timer: Timer | None = None


class MediaDesk:
    """Plays and records. A new file replaces the file that plays, a new text the text."""

    def __init__(self, timeline: Timeline) -> None:
        self.playing: dict[tuple[str, MediaKind], Playback] = {}
        self.recordings: dict[str, Recording] = {}
        self._running: dict[str, Recording] = {}
        self._ordinals: dict[str, int] = {}
        self._timeline = timeline

    def play(
        self, target: Target, *, url: str | None, text: str | None, loop: bool, duration: float | None
    ) -> Playback:
        """Begin to play; it ends by itself unless it loops."""
        kind = MediaKind.SPEECH if url is None else MediaKind.FILE
        self.stop(target.id, kind)
        playback = Playback(target=target, kind=kind, url=url, text=text, loop=loop)
        self.playing[target.id, kind] = playback
        self._tell_playback(FactKind.PLAYBACK_STARTED, playback)
        if not loop:
            seconds = duration
            if seconds is None:
                seconds = FILE_SECONDS if text is None else SECONDS_PER_CHARACTER * len(text)
            playback.timer = self._timeline.after(seconds, self._ender(playback))
        return playback

    def stop(self, target_id: str, kind: MediaKind | None = None) -> bool:
        """Stop what plays; says whether anything did."""
        kinds = (kind,) if kind else tuple(MediaKind)
        playbacks = [self.playing[target_id, each] for each in kinds if (target_id, each) in self.playing]
        for playback in playbacks:
            self._end(playback)
        return bool(playbacks)

    def record(self, target: Target, action: RecordAction) -> Recording:
        """Start, pause, go on after a pause, or stop."""
        recording = self._running.get(target.id)
        if action is RecordAction.START:
            if recording is None:
                return self._start(target)
            raise ExchangeError(ErrorCode.ALREADY_RECORDING, target.id)
        if recording is None:
            raise ExchangeError(ErrorCode.NOT_RECORDING, target.id)
        if action is RecordAction.PAUSE:
            recording.state = RecordingState.PAUSED
        elif action is RecordAction.RESUME:
            recording.state = RecordingState.RECORDING
        else:
            self._finish(target.id, recording)
        return recording

    def silence(self, target_id: str) -> None:
        """The target is over: so is what plays and records there."""
        self.stop(target_id)
        recording = self._running.get(target_id)
        if recording is not None:
            self._finish(target_id, recording)

    def _start(self, target: Target) -> Recording:
        ordinal = self._ordinals[target.id] = self._ordinals.get(target.id, 0) + 1
        recording = Recording(
            id=self._timeline.new_id("rec-"),
            ordinal=ordinal,
            conference_id=target.conference_id,
            call_id=target.call_id,
            bridge_id=target.bridge_id,
            started_at=self._timeline.now(),
        )
        self.recordings[recording.id] = self._running[target.id] = recording
        return recording

    def _finish(self, target_id: str, recording: Recording) -> None:
        del self._running[target_id]
        recording.state = RecordingState.COMPLETE
        recording.ended_at = self._timeline.now()
        self._timeline.tell(
            FactKind.RECORDING_READY,
            recording_id=recording.id,
            conference_id=recording.conference_id,
            call_id=recording.call_id,
            bridge_id=recording.bridge_id,
        )

    def _ender(self, playback: Playback) -> Callable[[], None]:
        return lambda: self._end(playback)

    def _end(self, playback: Playback) -> None:
        del self.playing[playback.target.id, playback.kind]
        if playback.timer:
            playback.timer.cancel()
        self._tell_playback(FactKind.PLAYBACK_ENDED, playback)

    def _tell_playback(self, kind: FactKind, playback: Playback) -> None:
        target = playback.target
        self._timeline.tell(
            kind,
            conference_id=target.conference_id,
            call_id=target.call_id,
            member_id=target.member_id,
            bridge_id=target.bridge_id,
            media=playback.kind,
        )
