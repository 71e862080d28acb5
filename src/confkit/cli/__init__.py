"""The command line: ``confkit``. All but this module needs the extra ``cli``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave the process with its exit status."""
    try:
        from confkit.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("rich", "typer"):
            raise
        print("confkit: the command line needs confkit[cli]: pip install 'confkit[cli]'", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    raise SystemExit(run(sys.argv[1:]))
