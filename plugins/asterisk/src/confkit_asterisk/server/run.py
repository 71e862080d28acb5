"""Running the development engine: a child process with everything of its own, stopped by its process id."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from confkit_asterisk.server import confine
from confkit_asterisk.server.config import APPLICATION, USER, Configuration
from confkit_asterisk.server.install import EngineUnavailable, Installation, install

#: How long the engine may take to answer its first request, in seconds; it takes about one.
_START: Final = 15.0
#: How long it may take to stop by itself. With calls up it often does not.
_STOP: Final = 3.0


class Engine:
    """An Asterisk of its own, on free loopback ports; a context manager.

    Args:
        installation: what :func:`~confkit_asterisk.server.install` gave; fetched if need be.
        say: gets a line for each thing that takes its time.

    Attributes:
        sounds: a folder for sound files; it is gone when the engine has stopped.
    """

    def __init__(
        self, installation: Installation | None = None, *, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self._installation = installation
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._configuration: Configuration | None = None
        self._folder: Path | None = None

    @property
    def installation(self) -> Installation:
        """What runs."""
        assert self._installation is not None
        return self._installation

    @property
    def pid(self) -> int:
        """The engine's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def base_url(self) -> str:
        """Where its REST interface is."""
        return f"http://127.0.0.1:{self._running.http_port}"

    @property
    def sip_port(self) -> int:
        """Where it listens for SIP, on UDP."""
        return self._running.sip_port

    @property
    def sounds(self) -> Path:
        """A folder that is gone when the engine has stopped."""
        return self._running.run / "moh"

    @property
    def log(self) -> str:
        """What it has logged: warnings and errors."""
        file = self._running.run / "log/messages.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def settings(self, *, numbers_at: int | None = None) -> dict[str, Any]:
        """The provider's settings for this engine.

        Args:
            numbers_at: the loopback port at which a telephone answers for every number; without it only SIP URIs
                can be dialled.
        """
        settings = {
            "base_url": self.base_url,
            "user": USER,
            "password": self._running.password,
            "application": APPLICATION,
            "sip_endpoint": "PJSIP/loop/{uri}",
        }
        if numbers_at is not None:
            settings["endpoint"] = f"PJSIP/loop/sip:{{number}}@127.0.0.1:{numbers_at}"
        return settings

    def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            EngineUnavailable: it cannot be had, or does not start.
        """
        self._installation = self._installation or install(say=self._say)
        if self._configuration is None:
            self._folder = Path(tempfile.mkdtemp(prefix="confkit-asterisk-"))
            self._configuration = Configuration(
                root=self._installation.root,
                modules=self._installation.modules,
                run=self._folder,
                http_port=_free_port(socket.SOCK_STREAM),
                sip_port=_free_port(socket.SOCK_DGRAM),
                password=secrets.token_urlsafe(16),
            )
            self._configuration.write()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-IS",
                confine.__file__,
                *self._installation.command,
                "-f",
                "-n",
                "-C",
                str(self._configuration.main),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C at the terminal is for us: the engine is stopped last.
            start_new_session=True,
        )
        try:
            self._await_answer()
        except BaseException:
            self.stop()
            raise
        if open_to_others := exposed(self.pid):
            self._say(
                f"other machines may reach this engine at {', '.join(open_to_others)}: the system allows no filter"
            )

    def stop(self) -> None:
        """Stop it and remove what it wrote; stopping what has stopped does nothing."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = self._configuration = None

    def kill(self) -> None:
        """End it at once, as a crash would; :meth:`start` starts it again on the same ports."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _running(self) -> Configuration:
        assert self._configuration is not None, "the engine has not been started"
        return self._configuration

    def _await_answer(self) -> None:
        """Wait for the first answer to *our* password: another process may hold the port."""
        assert self._process is not None
        until = time.monotonic() + _START
        reason = "no answer"
        while time.monotonic() < until:
            if (status := self._process.poll()) is not None:
                raise EngineUnavailable(f"Asterisk stopped with status {status} at once: {self._last_words()}")
            try:
                self.get("asterisk/info")
                return
            except urllib.error.HTTPError as error:
                reason = f"HTTP {error.code}"
            except OSError:
                pass
            time.sleep(0.05)
        raise EngineUnavailable(f"Asterisk did not answer within {_START:g} s ({reason}): {self._last_words()}")

    def get(self, path: str) -> Any:
        """Ask it for something, for those who look whether anything was left."""
        return self._request("GET", path)

    def post(self, path: str) -> None:
        """Do something to it, for those who look what becomes of it."""
        self._request("POST", path)

    def delete(self, path: str) -> None:
        """End something, for those who clear up."""
        self._request("DELETE", path)

    def _request(self, method: str, path: str) -> Any:
        credentials = base64.b64encode(f"{USER}:{self._running.password}".encode()).decode()
        request = urllib.request.Request(
            f"{self.base_url}/ari/{path}", method=method, headers={"Authorization": f"Basic {credentials}"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=5) as reply:
            return json.loads(reply.read() or b"null")

    def _last_words(self) -> str:
        lines = self.log.splitlines()
        return lines[-1] if lines else "it logged nothing"


def exposed(pid: int) -> list[str]:
    """The sockets of a process that other machines could reach: protocol and local address, as Linux shows them."""
    inodes = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            inodes.add(os.readlink(file).removeprefix("socket:[").removesuffix("]"))
    found = []
    for protocol in ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6"):
        table = Path(f"/proc/{pid}/net/{protocol}")
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[9] in inodes and not _is_loopback(address):
                found.append(f"{protocol} {address}:{int(port, 16)}")
    return found


def _is_loopback(address: str) -> bool:
    """Whether an address is, in the kernel's notation: words of 32 bits in the machine's byte order."""
    words = struct.pack(f"={len(address) // 8}I", *(int(address[n : n + 8], 16) for n in range(0, len(address), 8)))
    found = ip_address(words)
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
