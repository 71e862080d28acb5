"""Playing, recording and coaching: what takes channels of our own beside a call's.

A snoop channel hears a call (``spy``) or speaks to its party (``whisper``) without taking the call out of its bridge,
as playing to the channel itself would. It ends with the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import anyio

from confkit.provider import (
    STOP,
    Bridge,
    Call,
    Conference,
    Conflict,
    InvalidRequest,
    Media,
    Member,
    NotReady,
    Op,
    ProviderError,
    RecordAction,
    Unsupported,
)
from confkit_asterisk.ari import Ari
from confkit_asterisk.state import Leg, State, remember
from confkit_asterisk.wire import COACHING, PROVIDER, SNOOPING

#: Media that Asterisk knows by a scheme of its own.
_SCHEMES: Final = frozenset({"sound", "recording", "tone", "number", "digits", "characters"})
#: How long a snoop channel or a recording may take to be there; it takes a few milliseconds.
_SNOOP: Final = 2.0
#: The volume function divides by this, so a sample of 16 bits becomes nothing. Muting would silence the coach for
#: those who spy as well; the volume is turned down behind them.
_NOTHING: Final = "-32767"


def media_uri(url: str) -> str:
    """A URL as Asterisk's media URI.

    Raises:
        InvalidRequest: Asterisk cannot play that.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path and not parts.netloc:
        # Asterisk chooses among the formats that are there, so it wants the name without its ending.
        return f"sound:{PurePosixPath(unquote(parts.path)).with_suffix('')}"
    if parts.scheme in ("http", "https"):
        return f"sound:{url}"
    if parts.scheme in _SCHEMES:
        return url
    raise InvalidRequest(
        "Asterisk plays file:///absolute/path, http(s):// and its own sound:, recording:, tone: and digits:",
        provider=PROVIDER,
        operation="play",
    )


class MediaPlayer:
    """Media of one provider object."""

    def __init__(self, ari: Ari, state: State, application: str) -> None:
        self._ari = ari
        self._state = state
        self._application = application
        self._snoops: dict[str, anyio.Event] = {}
        self._recordings: dict[str, anyio.Event] = {}
        self._listeners: dict[str, str] = {}  # by call, the channel through which it is recorded
        self._coaches_gone: list[str] = []

    def heard(self, message: Mapping[str, Any]) -> None:
        """Learn from an event which snoop channels are there, and which recordings run."""
        if message.get("type") == "RecordingStarted" and isinstance(recording := message.get("recording"), dict):
            if (waiting := self._recordings.get(str(recording.get("name")))) is not None:
                waiting.set()
            return
        channel = message.get("channel")
        if not isinstance(channel, dict) or not isinstance(call_id := channel.get("id"), str):
            return
        if message.get("type") == "StasisStart" and (waiting := self._snoops.get(call_id)) is not None:
            waiting.set()
        elif message.get("type") == "ChannelDestroyed":
            self._snoops.pop(call_id, None)
            self._listeners.pop(call_id, None)
            leg = self._state.leg(call_id)
            if leg is not None and leg.coaching is not None:
                self._coaches_gone.append(call_id)

    async def clean_up(self) -> None:
        """Remove what coaches who have hung up have left."""
        while self._coaches_gone:
            call_id = self._coaches_gone.pop()
            with suppress(ProviderError):
                await self.stop_coaching(call_id, Op(key=call_id, timeout=timedelta(seconds=2)))

    # --- playing

    async def play(self, target: Conference | Member | Call | Bridge, media: Media, op: Op) -> None:
        """Play a file, or stop what plays."""
        if media == STOP:
            await self._stop_playing(target, op)
            return
        for capability, wanted in (("text", media.text is not None), ("loop", media.loop)):
            if wanted:
                raise Unsupported(f"play: {capability}", provider=PROVIDER, operation="play")
        uri = media_uri(media.url or "")
        if op.attempt > 1 and op.key in self._state.played:
            return  # an earlier attempt did it; Asterisk would play it once more under the same id
        path = await self._path(target, op)
        body = {"media": uri}
        await self._ari.send("POST", *path, "play", op.key, operation="play", timeout=op.timeout, body=body)
        self._state.playing.setdefault(_target_uri(path), set()).add(op.key)

    async def _stop_playing(self, target: Conference | Member | Call | Bridge, op: Op) -> None:
        for path in self._paths(target):
            for playback in sorted(self._state.playing.pop(_target_uri(path), ())):
                await self._ari.finish("DELETE", "playbacks", playback, operation="play", timeout=op.timeout)

    async def _path(self, target: Conference | Member | Call | Bridge, op: Op) -> tuple[str, str]:
        """Where to play so that those hear it who should, and stay in their conversation."""
        match target:
            case Bridge(id=found):
                remember(self._state.bridges, found, None)  # the events about it do not say what it is
                return "bridges", found
            case Conference(id=found):
                return "bridges", found or ""
            case Member(call_id=call_id) | Call(id=call_id):
                leg = self._state.leg(call_id)
                alone = isinstance(target, Call) and (leg is None or leg.bridge is None)
                if alone:
                    return "channels", call_id  # nothing is said to it into which could be whispered
                return "channels", await self._snoop(call_id, f"{call_id}-whisper", op, "play", whisper="out")

    def _paths(self, target: Conference | Member | Call | Bridge) -> list[tuple[str, str]]:
        match target:
            case Conference(id=found) | Bridge(id=found):
                return [("bridges", found or "")]
            case Member(call_id=call_id) | Call(id=call_id):
                return [("channels", f"{call_id}-whisper"), ("channels", call_id)]

    # --- recording

    async def record(self, target: Conference | Call | Bridge, action: RecordAction, op: Op) -> None:
        """Start, stop, pause, or go on with a recording."""
        match target:
            case Call(id=call_id):
                path = ("channels", self._listeners.get(call_id) or f"{call_id}-listen-{op.key}")
            case Bridge(id=found):
                remember(self._state.bridges, found, None)  # the events about it do not say what it is
                path = ("bridges", found)
            case Conference(id=found):
                path = ("bridges", found or "")
        where = _target_uri(path)
        name = self._state.recording.get(where)
        match action:
            case RecordAction.START if name is None:
                await self._start_recording(target, path, op)
            case RecordAction.START:
                pass  # it runs
            case _ if name is None:
                if action is not RecordAction.STOP:
                    raise Conflict("nothing is being recorded", provider=PROVIDER, operation="record")
            case RecordAction.PAUSE:
                await self._control("POST", name, "pause", op)
            case RecordAction.RESUME:
                await self._control("DELETE", name, "pause", op)
            case RecordAction.STOP:
                await self._control("POST", name, "stop", op)
                self._state.forget_target(where)
                if isinstance(target, Call):
                    self._listeners.pop(target.id, None)
                    self._snoops.pop(path[1], None)
                    await self._ari.finish("DELETE", "channels", path[1], operation="record", timeout=op.timeout)

    async def _start_recording(self, target: Conference | Call | Bridge, path: tuple[str, str], op: Op) -> None:
        if isinstance(target, Call):
            await self._snoop(target.id, path[1], op, "record", spy="both")
            self._listeners[target.id] = path[1]
        body = {"name": op.key, "format": "wav"}
        started = self._recordings[op.key] = anyio.Event()
        try:
            await self._ari.send("POST", *path, "record", operation="record", timeout=op.timeout, body=body)
            # It is queued at first, and what is queued cannot be paused.
            with anyio.move_on_after(_SNOOP):
                await started.wait()
        except Conflict:
            if op.attempt == 1:
                raise
            # The name is the intent's key: an earlier attempt did it.
        finally:
            del self._recordings[op.key]
        self._state.recording[_target_uri(path)] = op.key

    async def _control(self, method: str, name: str, what: str, op: Op) -> None:
        await self._ari.finish(method, "recordings", "live", name, what, operation="record", timeout=op.timeout)

    # --- coaching

    async def coach(self, leg: Leg, whom: str, op: Op) -> None:
        """Let only one other hear a member; an empty ``whom`` ends it.

        The member stays where it is and hears everyone. Its volume is turned down behind a snoop channel that
        hears it at full strength and is connected to another that whispers to the one who is coached.
        """
        call_id = leg.call.id
        if leg.coaching not in (None, op.key):
            await self.stop_coaching(call_id, op)
        if not whom:
            await self._volume(call_id, "0", op)
            return
        await self._volume(call_id, _NOTHING, op)
        leg.coach = whom
        leg.coaching = op.key
        source = await self._snoop(call_id, f"{op.key}-coach", op, "update_member", spy="in")
        sink = await self._snoop(whom, f"{op.key}-coached", op, "update_member", whisper="out")
        room = f"{op.key}-coaching"
        try:
            await self._ari.send(
                "POST",
                "bridges",
                room,
                operation="update_member",
                timeout=op.timeout,
                body={"type": "mixing", "name": COACHING},
            )
        except ProviderError as error:
            # The id is the intent's: an earlier attempt did it. Version 16 answers 500 then.
            if op.attempt == 1 or error.status not in (409, 500):
                raise
        await self._ari.send(
            "POST",
            "bridges",
            room,
            "addChannel",
            operation="update_member",
            timeout=op.timeout,
            body={"channel": [source, sink]},
        )

    async def stop_coaching(self, call_id: str, op: Op) -> None:
        """Take down what coaching took, if the call coaches anybody."""
        leg = self._state.leg(call_id)
        if leg is None or leg.coaching is None:
            return
        for path in (
            ("channels", f"{leg.coaching}-coach"),
            ("channels", f"{leg.coaching}-coached"),
            ("bridges", f"{leg.coaching}-coaching"),
        ):
            self._snoops.pop(path[1], None)
            await self._ari.finish("DELETE", *path, operation="update_member", timeout=op.timeout)
        leg.coach = leg.coaching = None

    async def _volume(self, call_id: str, value: str, op: Op) -> None:
        await self._ari.send(
            "POST",
            "channels",
            call_id,
            "variable",
            operation="update_member",
            timeout=op.timeout,
            body={"variable": "VOLUME(RX)", "value": value},
        )

    async def _snoop(self, call_id: str, id_: str, op: Op, operation: str, **how: str) -> str:
        """A snoop channel of a call; made, if it is not there.

        Args:
            id_: its own. An id is not used again once its channel has been ended: Asterisk confirms that before the
                channel is gone, so the new one would meet the old one.
        """
        if id_ in self._snoops:
            return id_
        there = self._snoops[id_] = anyio.Event()
        body = {"app": self._application, "appArgs": SNOOPING, **how}
        try:
            await self._ari.send(
                "POST", "channels", call_id, "snoop", id_, operation=operation, timeout=op.timeout, body=body
            )
        except Conflict:
            there.set()  # made by an earlier attempt, or by an earlier process
        except ProviderError:
            del self._snoops[id_]
            raise
        with anyio.move_on_after(_SNOOP):
            await there.wait()
            return id_
        self._snoops.pop(id_, None)
        raise NotReady("the channel for it is not there yet", provider=PROVIDER, operation=operation)


def _target_uri(path: tuple[str, str]) -> str:
    kind = "bridge" if path[0] == "bridges" else "channel"
    return f"{kind}:{path[1]}"
