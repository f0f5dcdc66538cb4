"""How pool children are forked from a parent that has threads.

A child has only the thread that forked it: a lock that another one held would stay locked in it for ever. So
the parent's threads work and log within `NO_FORK`, and a fork waits for its end. What exists at a fork is no
more looked at by the garbage collector, which writes to what it looks at: the child would copy all of it.
"""

import gc
import os
import threading

NO_FORK = threading.RLock()


def freeze() -> None:
    """Garbage of now goes, also what an earlier fork has kept from being collected."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


os.register_at_fork(before=NO_FORK.acquire, after_in_parent=NO_FORK.release, after_in_child=NO_FORK.release)
os.register_at_fork(before=freeze)
