"""The development engine, as far as it needs none: what is fetched, and what is open to whom."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
from confkit_asterisk.server import EngineUnavailable, confine, install
from confkit_asterisk.server.install import remark_on_age
from confkit_asterisk.server.run import exposed

LINUX = pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="needs Linux's /proc")
NOW = datetime(2026, 11, 27, tzinfo=UTC)


def release(**dates: str) -> str:
    lines = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in dates.items())
    return f"Origin: Debian\n{lines}Architectures: amd64\n"


@pytest.mark.parametrize(
    ("dates", "remark"),
    [
        ({"Date": "Thu, 26 Nov 2026 08:00:00 UTC", "Valid_Until": "Thu, 03 Dec 2026 08:00:00 UTC"}, None),
        ({"Date": "Fri, 01 May 2026 08:00:00 UTC", "Valid_Until": "Thu, 03 Dec 2026 08:00:00 UTC"}, None),
        ({"Date": "Thu, 26 Nov 2026 08:00:00 UTC"}, None),
        (
            {"Date": "Fri, 30 Oct 2026 08:08:01 UTC", "Valid_Until": "Fri, 06 Nov 2026 08:08:01 UTC"},
            "of 30 October 2026 and was valid until 06 November 2026",
        ),
        ({"Date": "Sat, 09 Aug 2025 09:16:30 UTC"}, "of 09 August 2025, so the engine gets no corrections any more"),
    ],
)
def test_an_index_that_is_old_is_remarked_on(dates: dict[str, str], remark: str | None) -> None:
    found = remark_on_age(release(**dates), NOW)
    assert (found is None) is (remark is None)
    assert (remark or "") in (found or "")


@pytest.mark.parametrize(
    ("dates", "problem"),
    [
        (
            {"Date": "Sat, 30 May 2026 08:08:01 UTC", "Valid_Until": "Sat, 06 Jun 2026 08:08:01 UTC"},
            "of 30 May 2026 and was valid until 06 June 2026",
        ),
        ({}, "does not tell"),
        ({"Date": "once upon a time"}, "does not tell"),
        ({"Date": "Fri, 30 Oct 2026 08:08:01 UTC", "Valid_Until": "for ever"}, "does not tell"),
    ],
)
def test_an_index_that_is_too_old_is_refused(dates: dict[str, str], problem: str) -> None:
    with pytest.raises(EngineUnavailable, match=problem):
        remark_on_age(release(**dates), NOW)


#: Tools that do as Debian's do, as far as they are asked here: the update leaves an index of a given age.
TOOLS = {
    "apt-get": """#!/bin/sh
case "$*" in
  *indextargets*) echo "http://mirror.example.com/debian/" ;;
  *update*) cp {index} "$(sed -n 's/^Dir::State::lists "\\(.*\\)";/\\1/p' "$APT_CONFIG")/mirror_InRelease" ;;
  *) echo "E: nothing to download" >&2; exit 100 ;;
esac
""",
    "apt-config": "#!/bin/sh\necho \"DPKG='/bin/false'\"\n",
    "dpkg": "#!/bin/sh\necho amd64\n",
    "dpkg-deb": "#!/bin/sh\n",
}


@pytest.mark.skipif(
    not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists(), reason="needs Debian's archive keyring"
)
@pytest.mark.parametrize(("made", "wanted"), [(2000, "too long ago"), (datetime.now(UTC).year, "nothing to download")])
def test_the_age_of_the_index_is_looked_at_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: int, wanted: str
) -> None:
    index = tmp_path / "InRelease"
    date = datetime(made, 1, 1, tzinfo=UTC) if made == 2000 else datetime.now(UTC)
    expired = format_datetime(date.replace(year=2000))
    index.write_text(release(Date=format_datetime(date), Valid_Until=expired))
    for name, text in TOOLS.items():
        tool = tmp_path / name
        tool.write_text(text.replace("{index}", str(index)))
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    said: list[str] = []
    with pytest.raises(EngineUnavailable, match=wanted):
        install("sid", folder=tmp_path / "cache", say=said.append)
    assert any("the mirror stands still" in line for line in said) is (made != 2000)


@contextmanager
def bound(family: socket.AddressFamily, kind: socket.SocketKind, address: str) -> Iterator[int]:
    with socket.socket(family, kind) as made:
        made.bind((address, 0))
        if kind is socket.SOCK_STREAM:
            made.listen()
        yield made.getsockname()[1]


@LINUX
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize(
    ("family", "address", "seen"),
    [
        (socket.AF_INET, "127.0.0.1", False),
        (socket.AF_INET, "0.0.0.0", True),
        (socket.AF_INET6, "::1", False),
        (socket.AF_INET6, "::ffff:127.0.0.1", False),
        (socket.AF_INET6, "::", True),
    ],
)
def test_what_other_machines_could_reach(
    family: socket.AddressFamily, kind: socket.SocketKind, address: str, seen: bool
) -> None:
    try:
        with bound(family, kind, address) as port:
            open_to_others = exposed(os.getpid())
            assert any(each.endswith(f":{port}") for each in open_to_others) is seen
            assert len(open_to_others) == seen
    except OSError:
        pytest.skip("this machine has no IPv6")


#: What the confined process says of itself: whether it may have a socket of each family.
ASK = """
import socket
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
    try:
        socket.socket(family).close()
        print(family.name, "yes")
    except OSError as error:
        print(family.name, type(error).__name__)
"""


@LINUX
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the engine runs on amd64 only")
def test_a_confined_process_has_no_socket_of_ipv6() -> None:
    command = [sys.executable, "-IS", confine.__file__, sys.executable, "-c", ASK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["AF_INET", "yes", "AF_INET6", "PermissionError", "AF_UNIX", "yes"]


#: Starts a confined process that sleeps, and ends once it does.
START = """
import subprocess, sys, time
sleeper = subprocess.Popen([sys.executable, "-IS", *sys.argv[1:]])
while open(f"/proc/{sleeper.pid}/comm").read() != "sleep\\n":
    time.sleep(0.01)
print(sleeper.pid)
"""


@LINUX
def test_a_confined_process_ends_with_the_one_that_has_started_it() -> None:
    sleep = shutil.which("sleep")
    assert sleep is not None
    command = [sys.executable, "-c", START, confine.__file__, sleep, "60"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    status = Path(f"/proc/{int(done.stdout)}/status")
    for _ in range(500):
        if not status.exists() or "State:\tZ" in status.read_text():
            return
        time.sleep(0.01)
    pytest.fail("it is still there")
