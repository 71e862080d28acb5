"""Start the engine so that it ends with us and opens nothing to other machines.

Run as a program of its own, which becomes the engine: ``python confine.py COMMAND ...``. Standard library only.

pjproject's DNS resolver, which Asterisk makes whether or not there are names to resolve
(``res_pjsip/config_system.c``), binds one UDP socket to all addresses of IPv4 and one to those of IPv6, and no setting
keeps it from that. It gives both up where the system refuses the second one, unless it does so for not knowing IPv6
(``pjlib-util/dns.c``); then Asterisk resolves names by itself. So seccomp lets the engine have no socket of IPv6.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import struct
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
#: Instructions of classic BPF: load a word of ``struct seccomp_data``, jump if equal, return.
_LOAD, _JUMP, _RETURN = 0x20, 0x15, 0x06
#: Offsets in ``struct seccomp_data``: the number of the system call, the architecture, the first argument.
_CALL, _ARCHITECTURE, _FIRST = 0, 4, 16
_X86_64, _SOCKET = 0xC000003E, 41
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES

_FILTER = (
    (_LOAD, 0, 0, _ARCHITECTURE),
    (_JUMP, 0, 5, _X86_64),
    (_LOAD, 0, 0, _CALL),
    (_JUMP, 0, 3, _SOCKET),
    (_LOAD, 0, 0, _FIRST),
    (_JUMP, 0, 1, int(socket.AF_INET6)),
    (_RETURN, 0, 0, _REFUSE),
    (_RETURN, 0, 0, _ALLOW),
)


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def confine() -> None:
    """Confine this process, and whatever it becomes. What the system does not allow is left undone."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # when the thread that has started us ends, however that is
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in _FILTER)
    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)  # or only root may filter
    prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(_Program(len(_FILTER), program)), 0, 0)


if __name__ == "__main__":
    confine()
    os.execv(sys.argv[1], sys.argv[1:])
