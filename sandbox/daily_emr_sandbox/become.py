"""First code of a server process: give up root, die with the daemon, then become the server.

Run by path (`python -I -S become.py <parent pid> <signal> <account or -> <command...>`), so that it imports
nothing of the sandbox. It takes the place of a preexec function, which is not safe in a process with threads.

PostgreSQL refuses to run as root. The account it gets instead may be unable to walk to the state folder or to the
binaries (a home folder or pytest's folders are 0700), so one capability is kept: to pass through folders.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, SECBIT_KEEP_CAPS = 28, 1 << 2, 1 << 4
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
CAPABILITY_VERSION_3 = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


def held_capabilities() -> int:
    """Bit set of the permitted capabilities of this process."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    return 0 if libc.capget(header, data) else data[1] | data[4] << 32


def give_up_root(account: str) -> None:
    entry = pwd.getpwnam(account)
    held = held_capabilities()
    kept = next((cap for cap in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if held >> cap & 1), None)
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    # Without it access(2) leaves capabilities out for everybody but root, and initdb asks access(2) for its programs.
    libc.prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    kept_bits = 0 if kept is None else 1 << kept
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)(kept_bits, kept_bits, kept_bits, 0, 0, 0)):
        sys.exit("the capabilities of root could not be given up")
    if kept is not None:
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, kept, 0, 0)


def main() -> None:
    parent, death_signal, account, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
    os.umask(0o077)
    if account != "-":
        give_up_root(account)
    libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)  # after the change of account: that clears it
    if os.getppid() != parent:  # the daemon died before the line above
        sys.exit("the sandbox is gone")
    os.execv(command[0], command)  # noqa: S606 - a shell would be one more thing that could go wrong


if __name__ == "__main__":
    main()
