"""Restrictions of a helper, set before it reads the first file."""

import ctypes
import os
import resource
import signal

from core.ml.audio.sandbox.landlock import restrict_to_open_files
from core.ml.audio.sandbox.seccomp import refuse_other_calls

# In addition to the memory of the started helper. Music needs at most half an hour of samples kept for its
# windows (120 MB), and some blocks of 16 MB for mixing and resampling.
MEMORY_BYTES = 640 << 20
OPEN_FILES = 16
# The worker allows far less per file; this ends orphaned helpers and those that have served many files.
LIFE_CPU_S = 10_000

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


def die_with_parent() -> None:
    """Have the kernel kill this helper when its worker dies; an idle one also notices the closed socket."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def lock_down() -> list[str]:
    """Set all restrictions; returns the features that this system lacks, for the worker to log."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _limit_resources()
    lacking = [restrict_to_open_files()]
    without_seccomp = refuse_other_calls()
    if without_seccomp and libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        lacking.append("a network of its own")
    lacking.append(without_seccomp)
    return [name for name in lacking if name]


def _limit_resources() -> None:
    with open("/proc/self/statm") as sizes:
        used = int(sizes.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    for kind, most in (
        (resource.RLIMIT_AS, used + MEMORY_BYTES),
        (resource.RLIMIT_CPU, LIFE_CPU_S),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(kind, (most, most))
