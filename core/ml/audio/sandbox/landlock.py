"""Restricts access to files and network with Landlock (Linux 5.13 or newer), see landlock(7)."""

import ctypes
import os
import struct

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # the same on every architecture
_VERSION = 1

# (version of the interface, number of rights known since that version)
_FILE_RIGHTS = ((1, 13), (2, 14), (3, 15), (5, 16))
_TCP_RIGHTS = ((4, 2),)  # bind and connect
_SCOPES = ((6, 2),)  # abstract sockets and signals to processes outside


def restrict_to_open_files() -> str | None:
    """Forbid opening files and TCP connections; open ones stay usable. Needs PR_SET_NO_NEW_PRIVS.

    Returns the name of the missing feature, or None on success.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    if version < 1:
        return "Landlock"
    attributes = struct.pack(
        "QQQ", _all(_FILE_RIGHTS, version), _all(_TCP_RIGHTS, version), _all(_SCOPES, version)
    )
    length = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(length), 0)
    if ruleset < 0:
        return "Landlock"
    failed = libc.syscall(_RESTRICT_SELF, ruleset, 0) != 0
    os.close(ruleset)
    return "Landlock" if failed else None


def _all(rights: tuple[tuple[int, int], ...], version: int) -> int:
    """Bit mask of all rights known to a version of the interface."""
    known = max((count for since, count in rights if since <= version), default=0)
    return (1 << known) - 1
