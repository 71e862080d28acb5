"""``confkit demo --provider asterisk``: an engine, telephones that talk, and who hears whom, measured."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping
from typing import Any, Final

import anyio
from attrs import define, field
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

import confkit
from confkit.provider import ConfkitError, PolicyError
from confkit_asterisk.server import Engine
from confkit_asterisk.softphone import Phone, Phones, hearing, tones

_NAMES: Final = (
    *("Ann", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo", "Ida", "Jon"),
    *("Kim", "Lea", "Max", "Nora", "Otis", "Pia", "Quinn", "Rosa", "Sam", "Tess"),
)
#: Of the numbers that North America keeps for fiction (555-0100 to 555-0199).
_CALLER_ID: Final = "+12015550199"
#: How long it may take until everybody hears whom they should, in seconds.
_PATIENCE: Final = 10.0

#: How long what was ended may still be listed, in seconds; 6 ms is the longest that was measured.
_TEARDOWN: Final = 2.0

Heard = Mapping[str, set[str]]


def run(*, parties: int, as_json: bool) -> int:
    """Run the demo.

    Returns:
        The exit status.

    Raises:
        EngineUnavailable: there is no Asterisk to be had.
        PolicyError: more than 20 parties.
    """
    if not 2 <= parties <= len(_NAMES):
        raise PolicyError([f"the demo connects 2 to {len(_NAMES)} telephones"])
    console = Console(highlight=False, quiet=as_json)
    messages = Console(stderr=True, highlight=False)
    demo = _Demo(console=console, names=_NAMES[:parties])
    with Engine(say=lambda line: messages.print(Text(line, style="dim"))) as engine:
        demo.show(f"Asterisk {engine.installation.release} runs as process {engine.pid}, on loopback only")
        anyio.run(demo.run, engine)
        left = _left(engine)
    if demo.interrupted is not None:
        return 128 + demo.interrupted
    if left:
        raise ConfkitError(f"the engine still has up: {', '.join(left)}")
    demo.tick("nothing is left up, and the engine has stopped")
    if as_json:
        print(json.dumps(demo.report), flush=True)
    return 0


def _left(engine: Engine) -> list[str]:
    """What stays up: Asterisk confirms the end of a bridge some milliseconds before it is gone."""
    until = time.monotonic() + _TEARDOWN
    while True:
        left = [each["id"] for kind in ("channels", "bridges") for each in engine.get(kind)]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.02)


@define
class _Demo:
    console: Console
    names: tuple[str, ...]
    report: dict[str, Any] = field(factory=dict)
    interrupted: signal.Signals | None = None

    def show(self, line: str) -> None:
        self.console.print(Text(line))

    def tick(self, line: str) -> None:
        self.console.print(Text.assemble(("✓ ", "green"), line))

    async def run(self, engine: Engine) -> None:
        """The meeting, until its end or a signal."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with anyio.create_task_group() as tasks:

                async def heed() -> None:
                    async for received in signals:
                        self.interrupted = received
                        tasks.cancel_scope.cancel()

                tasks.start_soon(heed)
                await self._meet(engine)
                tasks.cancel_scope.cancel()

    async def _meet(self, engine: Engine) -> None:
        async with Phones(talking=len(self.names)) as phones:
            people = {
                phones.add(f"+1919555{100 + index:04}", hz=hz, after=0.2 * (index % 3)): name
                for index, (name, hz) in enumerate(zip(self.names, tones(len(self.names)), strict=True))
            }
            settings = engine.settings(numbers_at=phones.port)
            async with confkit.AsyncClient("asterisk", caller_id=_CALLER_ID, **settings) as client:
                began = time.monotonic()
                invited = [confkit.Party(phone.user, name) for phone, name in people.items()]
                async with client.connect(*invited) as meeting:
                    took = time.monotonic() - began
                    mode = meeting.mode.value if meeting.mode else ""
                    self.tick(f"{len(people)} telephones are in a {mode} after {took:.2f} s")
                    self.report = {
                        "provider": "asterisk",
                        "engine": engine.installation.release,
                        "mode": mode,
                        "seconds": round(took, 3),
                        "participants": [
                            {"party": person.party.address, "name": person.party.name, "state": person.state.value}
                            for person in meeting.participants
                        ],
                    }
                    await self._measure("everybody", phones, people)
                    quiet = next(iter(people))
                    if meeting.mode is confkit.Mode.CONFERENCE:
                        await meeting.mute(quiet.user)
                        await self._measure(f"{people[quiet]} is muted", phones, people, muted=quiet)
                self.tick("the meeting has ended, and every telephone has been hung up")

    async def _measure(
        self, title: str, phones: Phones, people: Mapping[Phone, str], *, muted: Phone | None = None
    ) -> None:
        """Wait until it sounds as it should, and show it."""
        silent = {muted.user} if muted else set()
        everyone = {phone.user for phone in people}
        want = {phone.user: everyone - {phone.user} - silent for phone in people}
        began = time.monotonic()
        heard: Heard = {}

        def as_it_should_be() -> bool:
            nonlocal heard
            heard = hearing(people)
            return heard == want

        try:
            await phones.until(as_it_should_be, seconds=_PATIENCE)
        except AssertionError:
            self.console.print(_matrix(f"Who hears whom: {title}", people, heard))
            raise ConfkitError("the telephones do not hear whom they should") from None
        took = time.monotonic() - began
        names = {phone.user: name for phone, name in people.items()}
        self.report.setdefault("heard", {})[title] = {
            names[user]: sorted(names[other] for other in others) for user, others in heard.items()
        }
        self.console.print()
        self.console.print(_matrix(f"Who hears whom: {title}", people, heard))
        self.tick(f"measured from the audio that arrived at each telephone, {took:.1f} s")
        self.console.print()


def _matrix(title: str, people: Mapping[Phone, str], heard: Heard) -> Table:
    table = Table(
        Column("", no_wrap=True),
        *(Column(name, justify="center") for name in people.values()),
        title=title,
        title_justify="left",
        box=None,
        padding=(0, 1),
    )
    for phone, name in people.items():
        cells = []
        for other in people:
            if other is phone:
                cells.append(Text("·", style="dim"))
            elif other.user in heard[phone.user]:
                cells.append(Text("●", style="green"))
            else:
                cells.append(Text("–", style="red"))
        table.add_row(Text(f"{name} ({phone.hz} Hz) hears"), *cells)
    return table
