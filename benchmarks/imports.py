"""How long it takes to import confkit, to be helped by the command line, and until the first request is sent.

Each in fresh processes, in turn with what it is measured against, in processor time; all modules have been compiled
before, as at every start but the first. structlog imports rich where rich is installed, as it is here; for an
application without it, the import is measured with rich out of reach. ``import confkit`` loads what a name needs when
the name is first asked for; most of what the clients need is attrs writing the methods of some 100 classes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import Any

from attrs import frozen

from benchmarks.report import Figure, Result
from benchmarks.running import run, simulator

LIBRARIES = "import attrs, pluggy, structlog"
CONFKIT = "import confkit"
CLASSES = "import confkit; confkit.AsyncClient, confkit.Client, confkit.Meeting"
WITHOUT_RICH = "import sys; sys.modules['rich'] = None; "
#: Which must not be loaded by ``import confkit``.
HEAVY = ("httpx", "typer", "rich")

_TIMED = """
import time
began = time.process_time()
{}
print(time.process_time() - began)
"""
_LOADED = """
import sys
{}
print(*(name for name in {!r} if name in sys.modules))
"""
_HELP = "import sys; sys.argv = ['confkit', '--help']; from confkit.cli import main; main()"
_FIRST_REQUEST = """
import anyio
import confkit

async def main():
    async with confkit.AsyncClient("bandwidth", caller_id="+12018994444", limits="off", **{!r}) as client:
        await client.direct.create_conference()

anyio.run(main)
"""
_BY_HAND = """
import asyncio
import httpx, httpx_aiohttp

async def main(base_url, user_id, token, secret):
    transport = httpx_aiohttp.AiohttpTransport()
    async with httpx.AsyncClient(base_url=base_url, auth=(token, secret), transport=transport) as http:
        reply = await http.post(f"/v1/users/{{user_id}}/conferences", json={{"from": "+12018994444"}})
        reply.raise_for_status()

asyncio.run(main(**{!r}))
"""


@frozen
class Interpreter:
    """Python, with the compiled modules in a folder of its own: some machines are told not to keep any.

    Args:
        compiled: the folder.
    """

    compiled: str

    def output(self, *arguments: str) -> str:
        """What a process prints."""
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": self.compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        return done.stdout.strip()

    def imported(self, program: str, before: str = "") -> float:
        """Milliseconds of processor time for running a program, the interpreter's own start left out."""
        return float(self.output("-c", before + _TIMED.format(program))) * 1000

    def process(self, program: str) -> float:
        """Milliseconds that a whole process takes."""
        began = time.perf_counter()
        self.output("-c", program)
        return (time.perf_counter() - began) * 1000


def _once(python: Interpreter, settings: dict[str, str]) -> dict[str, float]:
    return {
        "attrs, pluggy, structlog": python.imported(LIBRARIES),
        "confkit": python.imported(CONFKIT),
        "attrs, pluggy, structlog, no rich": python.imported(LIBRARIES, WITHOUT_RICH),
        "confkit, no rich": python.imported(CONFKIT, WITHOUT_RICH),
        "classes, no rich": python.imported(CLASSES, WITHOUT_RICH),
        "confkit --help": python.process(_HELP),
        "python": python.process(""),
        "first request": python.process(_FIRST_REQUEST.format(settings)),
        "first request by hand": python.process(_BY_HAND.format(settings)),
    }


def measure(quick: bool) -> Result:
    """All in turn, several rounds."""
    found: dict[str, list[float]] = {}
    with simulator() as settings, tempfile.TemporaryDirectory() as compiled:
        python = Interpreter(compiled)
        _once(python, settings)
        for _ in range(2 if quick else 15):
            for name, value in _once(python, settings).items():
                found.setdefault(name, []).append(value)
        loaded = python.output("-c", _LOADED.format(CLASSES, HEAVY))
    return Result(
        name="imports",
        title="Starting up",
        figures=(
            _ratio("import confkit", found, "confkit", "attrs, pluggy, structlog", 1.3),
            _ratio("import confkit, without rich", found, "confkit, no rich", "attrs, pluggy, structlog, no rich", 1.3),
            _ratio(
                "the clients and Meeting taken from it, without rich",
                found,
                "classes, no rich",
                "attrs, pluggy, structlog, no rich",
                None,
            ),
            Figure(
                what="of httpx, typer and rich, loaded with them",
                against="none",
                rounds=[len(loaded.split())],
                at_most=0,
                note=loaded,
            ),
            Figure(
                what="`confkit --help`, whole process",
                against="a process that does nothing",
                rounds=found["confkit --help"],
                unit="ms",
            ),
            _ratio("process that sends one request", found, "first request", "first request by hand", None),
        ),
        data={"milliseconds": found},
    )


def _ratio(what: str, found: dict[str, list[float]], one: str, other: str, target: float | None) -> Figure:
    middle = sorted(found[other])[len(found[other]) // 2]
    ratios: list[Any] = [mine / theirs for mine, theirs in zip(found[one], found[other], strict=True)]
    return Figure(what=what, against=f"{other} ({middle:.0f} ms)", rounds=ratios, at_most=target)


if __name__ == "__main__":
    run(measure, __doc__)
