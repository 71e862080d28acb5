"""Where the command ``confkit`` begins. Until the command line has been loaded nobody has been dialled, so Ctrl-C ends
the process at once, by the signal itself: without it, the imports would end in a traceback."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command line and leave the process with its exit status."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else somebody wants it ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from confkit.cli import main as run

    run()
