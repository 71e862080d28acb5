"""Asterisk from Debian's packages, into a cache folder, by an ordinary user.

The system is not touched: apt works on a state of its own and has no ``dpkg`` to call, and ``dpkg-deb -x`` only
unpacks. The engine brings the libraries of its own suite along, the C library included.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from attrs import frozen

from confkit.provider import ConfkitError

#: ``sid`` has the current long-term release; ``bullseye`` an old one, for when ``sid`` is in motion.
SUITES: Final = ("sid", "bullseye")
_KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_TRIPLET: Final = "x86_64-linux-gnu"
#: apt would fetch three times as much: these are the libraries that the loaded modules need.
_COMMON: Final = [
    "asterisk",
    "asterisk-modules",
    "asterisk-core-sounds-en-gsm",
    "libbsd0",
    "libc6",
    "libcap2",
    "libcrypt1",
    "libedit2",
    "libgcc-s1",
    "libgsm1",
    "libjansson4",
    "libmd0",
    "libsqlite3-0",
    "libstdc++6",
    "libsystemd0",
    "libtinfo6",
    "liburiparser1",
    "libuuid1",
    "libxslt1.1",
    "libzstd1",
    "zlib1g",
]
_PACKAGES: Final = {
    "sid": [*_COMMON, "libssl3t64", "libxml2-16"],
    "bullseye": [
        *_COMMON,
        *["libssl1.1", "libxml2", "libicu67", "libgcrypt20", "libgpg-error0", "liblz4-1", "liblzma5"],
    ],
}
_APT_CONFIG: Final = """\
Dir::Etc::main "/dev/null";
Dir::Etc::parts "{apt}/empty";
Dir::Etc::sourcelist "{apt}/sources.list";
Dir::Etc::sourceparts "{apt}/empty";
Dir::Etc::preferencesparts "{apt}/empty";
Dir::Etc::trustedparts "{apt}/empty";
Dir::State "{apt}/state";
Dir::State::lists "{apt}/lists";
Dir::State::status "{apt}/status";
Dir::Cache "{apt}/cache";
Dir::Log "{apt}/log";
Dir::Bin::dpkg "/bin/false";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Get::Download-Only "true";
APT::Install-Recommends "false";
APT::Sandbox::User "{user}";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";  // how old the index is, is looked at here, with more patience
Acquire::Retries "3";
"""
#: An index that is older, and has an end of its validity that has passed, is not taken: who withholds corrections
#: can do so for so long.
_OLDEST: Final = timedelta(days=180)
#: How long one run of a package tool may take, in seconds.
_PATIENCE: Final = 300.0


class EngineUnavailable(ConfkitError):
    """The development engine cannot be had on this machine; the message says why."""


@frozen(kw_only=True)
class Installation:
    """An unpacked Asterisk.

    Args:
        root: what ``/`` is in the packages.
        version: of the package.
    """

    root: Path
    suite: str
    version: str

    @property
    def release(self) -> str:
        """Asterisk's own version, without Debian's additions."""
        return re.split(r"[+~\-]", self.version.rpartition(":")[2])[0]

    @property
    def command(self) -> list[str]:
        """The start of the command line: the suite's own loader and libraries, then the program."""
        loaders = [
            self.root / "usr/lib64/ld-linux-x86-64.so.2",
            *sorted((self.root / f"lib/{_TRIPLET}").glob("ld-*.so")),
            self.root / "lib64/ld-linux-x86-64.so.2",
        ]
        loader = next((path for path in loaders if path.exists()), None)
        if loader is None:
            raise EngineUnavailable(f"{self.root} has no loader; delete that folder and start again")
        libraries = ":".join(str(self.root / part) for part in (f"usr/lib/{_TRIPLET}", f"lib/{_TRIPLET}", "usr/lib"))
        return [str(loader), "--library-path", libraries, str(self.root / "usr/sbin/asterisk")]

    @property
    def modules(self) -> Path:
        """The folder of Asterisk's modules."""
        return next(iter(self.root.glob("usr/lib/**/chan_pjsip.so"))).parent


def cache_folder() -> Path:
    """Where the engine is kept (XDG Base Directory Specification)."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(given) if os.path.isabs(given) else Path.home() / ".cache"
    return base / "confkit" / "asterisk"


def install(
    suite: str | None = None, *, folder: Path | None = None, say: Callable[[str], None] = lambda _: None
) -> Installation:
    """Fetch and unpack Asterisk, unless that was done before.

    Args:
        suite: one of :data:`SUITES`; by default the first of them that can be had.
        folder: in place of the user's cache.
        say: gets a line for each thing that takes its time.

    Raises:
        EngineUnavailable: not on this machine, or not now.
    """
    if suite is not None and suite not in SUITES:
        raise EngineUnavailable(f"unknown suite {suite!r}; there are {', '.join(SUITES)}")
    home = folder or cache_folder()
    wanted = SUITES if suite is None else (suite,)
    if (ready := installed(suite, folder=home)) is not None:
        return ready
    _must_be_possible()
    home.mkdir(parents=True, exist_ok=True)
    with _only_one(home):
        problems = []
        for name in wanted:
            if (found := _installed(home / name)) is not None:  # by the one that we waited for
                return found
            say(f"fetching Asterisk from Debian {name}, about 30 MB, into {home}")
            try:
                return _fetch(name, home, say)
            except EngineUnavailable as error:
                problems.append(f"{name}: {error}")
    raise EngineUnavailable("Asterisk cannot be fetched; " + "; ".join(problems))


def installed(suite: str | None = None, *, folder: Path | None = None) -> Installation | None:
    """What has been fetched before; ``None`` when that is nothing."""
    wanted = SUITES if suite is None else (suite,)
    return next((found for name in wanted if (found := _installed((folder or cache_folder()) / name))), None)


def _installed(place: Path) -> Installation | None:
    try:
        known = json.loads((place / "installed.json").read_text())
        return Installation(root=place / "root", suite=known["suite"], version=known["version"])
    except (OSError, ValueError, KeyError):
        return None


def _must_be_possible() -> None:
    missing = [tool for tool in ("apt-get", "apt-config", "dpkg", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise EngineUnavailable(
            f"the development engine is unpacked from Debian packages, and {', '.join(missing)} is not here: "
            "use Debian, or point the provider at an Asterisk of your own (base_url, user, password)"
        )
    machine = _run(["dpkg", "--print-architecture"], what="dpkg").strip()
    if machine != "amd64":
        raise EngineUnavailable(f"the development engine runs on amd64, and this machine is {machine}")
    if not _KEYRING.exists():
        raise EngineUnavailable(
            f"{_KEYRING} is missing, and without it packages cannot be verified: "
            "on Debian the package debian-archive-keyring has it"
        )


def _fetch(suite: str, home: Path, say: Callable[[str], None]) -> Installation:
    with tempfile.TemporaryDirectory(prefix=f".{suite}-", dir=home) as scratch:
        place = Path(scratch)
        apt, debs, root = place / "apt", place / "debs", place / "root"
        environment = _private_apt(apt, suite)
        debs.mkdir()
        _run(["apt-get", "-qq", "update"], what="apt-get update", env=environment)
        for release in sorted((apt / "lists").glob("*Release")):
            if (remark := remark_on_age(release.read_text(), datetime.now(UTC))) is not None:
                say(f"Debian {suite}: {remark}")
        download = ["apt-get", "-qq", "download"]
        try:
            _run([*download, *_PACKAGES[suite]], what="apt-get download", env=environment, cwd=debs)
        except EngineUnavailable:
            # A library was renamed in the suite: the whole dependency closure has it, whatever its name.
            plan = _run(["apt-get", "-s", "install", "asterisk"], what="apt-get", env=environment)
            names = sorted({line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")})
            if not names:
                raise
            _run([*download, *names], what="apt-get download", env=environment, cwd=debs)
        for package in sorted(debs.glob("*.deb")):
            _run(["dpkg-deb", "-x", str(package), str(root)], what="dpkg-deb")
        version = next(iter(debs.glob("asterisk_*.deb"))).name.split("_")[1].replace("%3a", ":")
        sounds = root / "usr/share/asterisk/sounds"
        if not (sounds / "en").exists():
            # The package's own script would make this link; nothing runs here.
            (sounds / "en").symlink_to("en_US_f_Allison")
        target = home / suite
        if target.exists():
            shutil.rmtree(target)
        target.mkdir()
        root.rename(target / "root")
        (target / "installed.json").write_text(json.dumps({"suite": suite, "version": version}))
        return Installation(root=target / "root", suite=suite, version=version)


def remark_on_age(release: str, now: datetime) -> str | None:
    """What there is to say about the age of a package index, which apt has verified; ``None`` where it is current.

    Args:
        release: its Release file (https://wiki.debian.org/DebianRepository/Format).

    Raises:
        EngineUnavailable: it is too old, or does not tell its age.
    """
    dates = dict(re.findall(r"^(Date|Valid-Until): (.+)$", release, re.MULTILINE))
    try:
        made = parsedate_to_datetime(dates["Date"])
        until = parsedate_to_datetime(dates["Valid-Until"]) if "Valid-Until" in dates else None
    except (KeyError, ValueError):
        raise EngineUnavailable("the package index does not tell how old it is") from None
    stale = now - made > _OLDEST
    if until is None:
        return f"its package index is of {made:%d %B %Y}, so the engine gets no corrections any more" if stale else None
    if now <= until:
        return None
    if stale:
        raise EngineUnavailable(
            f"the package index of the mirror is of {made:%d %B %Y} and was valid until {until:%d %B %Y}, which is too "
            "long ago: configure apt for a mirror that is kept up to date"
        )
    return (
        f"its package index is of {made:%d %B %Y} and was valid until {until:%d %B %Y}: the mirror stands still, so "
        "the engine may lack corrections"
    )


def _private_apt(apt: Path, suite: str) -> dict[str, str]:
    """The environment in which apt knows one suite and nothing of this system."""
    for folder in ("empty", "state", "lists/partial", "cache/archives/partial", "log"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").touch()
    targets = _run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], what="apt-get indextargets")
    mirror = next((line.strip() for line in targets.splitlines() if line.strip() and "security" not in line), None)
    if mirror is None:
        raise EngineUnavailable("apt has no package source configured, so there is no mirror to fetch from")
    (apt / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {mirror} {suite} main\n")
    config = apt / "apt.conf"
    config.write_text(_APT_CONFIG.format(apt=apt, user=_user()))
    environment = {**os.environ, "APT_CONFIG": str(config), "LC_ALL": "C"}
    guard = _run(["apt-config", "shell", "DPKG", "Dir::Bin::dpkg/f"], what="apt-config", env=environment)
    if guard.strip() != "DPKG='/bin/false'":
        raise EngineUnavailable("apt does not keep to its private configuration, so nothing is fetched")
    return environment


def _user() -> str:
    """Who downloads: root's apt would change to a user who cannot write here."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without a name; apt changes nothing then
        return ""


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Two starts at the same time fetch once."""
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: Sequence[str], *, what: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(
            command,
            env=env,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise EngineUnavailable(f"{what} cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise EngineUnavailable(f"{what} did not finish within {_PATIENCE:g} s") from error
    if done.returncode != 0:
        reason = next((line for line in done.stderr.splitlines() if line.startswith("E:")), "") or "no reason given"
        raise EngineUnavailable(f"{what} failed: {reason.removeprefix('E:').strip()}")
    return done.stdout
