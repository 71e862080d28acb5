"""The command line: ``confkit``. All but this module needs the extra ``cli``."""

from __future__ import annotations

import io
import signal
import sys
from typing import Any


def main() -> None:
    """Run the command line and leave the process with its exit status."""
    try:
        from confkit.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("rich", "typer"):
            raise
        print("confkit: the command line needs confkit[cli]: pip install 'confkit[cli]'", file=sys.stderr)
        raise SystemExit(2) from None
    sys.stdout, sys.stderr = _patient(sys.stdout), _patient(sys.stderr)
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # it was so while this was loaded
            signal.signal(signal.SIGINT, signal.default_int_handler)
        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        status = 130
    raise SystemExit(status)


class _Patient(io.FileIO):
    """A stream that takes what nobody reads any more: ``confkit providers | head`` is no failure, and a meeting goes on
    when whoever read about it has gone."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            return memoryview(data).nbytes


def _patient(stream: Any) -> Any:
    if not isinstance(stream, io.TextIOWrapper):  # closed, or replaced by somebody
        return stream
    stream.flush()
    raw = io.BufferedWriter(_Patient(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(raw, stream.encoding, errors="replace", line_buffering=stream.line_buffering)
