"""Memory shared by a worker and a helper: slots of samples, written by the helper and read by the worker."""

import fcntl
import mmap
import os

import numpy as np

from core.ml.audio.source import Samples

SLOTS = 4  # maximum number of unread pieces
SLOT_SAMPLES = 1 << 18
_BYTES = SLOTS * SLOT_SAMPLES * 4


def create() -> int:
    """Descriptor of new shared memory. Its size is sealed, so that the helper cannot truncate it."""
    descriptor = os.memfd_create("mfa-audio", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, _BYTES)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return descriptor


def attach(descriptor: int) -> Samples:
    """The slots (SLOTS, SLOT_SAMPLES) as float32; closes the descriptor."""
    memory = mmap.mmap(descriptor, _BYTES)
    os.close(descriptor)
    slots: Samples = np.frombuffer(memory, dtype=np.float32).reshape(SLOTS, SLOT_SAMPLES)
    return slots
