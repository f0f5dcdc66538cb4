"""Run a command without the privilege to read what file modes forbid: `python -m ... ARGV`.

Tests often run as root, who may read everything; a worker under test should meet files that it may not.
"""

import ctypes
import os
import sys

PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2

if __name__ == "__main__":
    libc = ctypes.CDLL(None)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # without effect, and without need, unless root
    os.execv(sys.argv[1], sys.argv[1:])
