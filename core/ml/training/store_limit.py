"""Keeps the log-mel frames of all trainings within a limit; those that were used longest ago give way."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from core.errors import FeatureStoreFull
from core.ml.training.cache_paths import LOG_MEL, notes_path

log = logging.getLogger(__name__)

CHECK_BYTES = 1_000_000_000
IN_USE_S = 24 * 3600.0  # since the last use: a training may be reading them


def mark_used(file: Path) -> None:
    """Note that frames are used now. Their modification time says when they were used last."""
    try:
        os.utime(file)
    except FileNotFoundError:  # removed in the meantime; they are missed when they are read
        return


class Space:
    """Makes room before frames are written: for the first ones, and whenever `CHECK_BYTES` more were."""

    def __init__(
        self, cache_dir: Path, limit_bytes: float, on_step: Callable[[], None] = lambda: None
    ) -> None:
        self._make_room = partial(make_room, cache_dir, limit_bytes, on_step)
        self._lock = threading.Lock()
        self._unchecked = CHECK_BYTES  # written since the last check

    def make(self, size: int) -> None:
        """To be called, from any thread, with the bytes that are written next. Raises FeatureStoreFull."""
        with self._lock:
            if self._unchecked >= CHECK_BYTES:
                self._make_room()
                self._unchecked = 0
            self._unchecked += size


def make_room(cache_dir: Path, limit_bytes: float, on_step: Callable[[], None] = lambda: None) -> None:
    """Delete frames, the least recently used ones first, until all are within the limit.

    Several processes and machines may do so at a time. Raises FeatureStoreFull if those that were used in the
    last day exceed the limit.
    """
    files = sorted(_frames(cache_dir, on_step))
    total = sum(size for _, size, _ in files)
    removed, unused_before = 0, time.time() - IN_USE_S
    for used_at, size, file in files:
        if total <= limit_bytes:
            break
        if used_at > unused_before:
            raise FeatureStoreFull(
                f"The features that were used in the last day take {total / 1e9:.3g} GB, and "
                f"MFA_FEATURE_STORE_GB allows {limit_bytes / 1e9:.3g}: raise it."
            )
        file.unlink(missing_ok=True)
        notes_path(file).unlink(missing_ok=True)
        total -= size
        removed += 1
        on_step()
    if removed:
        log.info("removed the frames of %d tracks that were not used lately", removed)


def _frames(cache_dir: Path, on_step: Callable[[], None]) -> Iterator[tuple[float, int, Path]]:
    """When each file was used last, its size in bytes, and its path."""
    for file in (cache_dir / LOG_MEL).glob("*/*/*/*.npy"):
        on_step()
        try:
            status = file.stat()
        except FileNotFoundError:  # removed by another process
            continue
        yield status.st_mtime, status.st_size, file
