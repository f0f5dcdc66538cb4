"""Folders of the cache: one per kind of array and version of the code that computed them."""

import logging
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from core.ml.audio.version import feature_version
from core.ml.training.cache_paths import KINDS

log = logging.getLogger(__name__)

KEPT_S = 24 * 3600.0  # since the last use; trainings of another version may still use its folder
SWEEP_S = 30.0  # at most per training; the next ones continue


def folder_of(cache_dir: Path, kind: str) -> Path:
    """The folder for arrays of this kind computed by the current code."""
    return cache_dir / kind / feature_version()


def sweep_outdated(cache_dir: Path) -> None:
    """Mark the current version as used, and delete folders of versions that are no longer used."""
    until = time.monotonic() + SWEEP_S
    for kind in KINDS:
        own = folder_of(cache_dir, kind)
        own.mkdir(parents=True, exist_ok=True)
        os.utime(own)
        for folder in _outdated(own):
            for part in [*_entries(folder), folder]:
                if time.monotonic() > until:
                    return
                shutil.rmtree(part, ignore_errors=True)
            log.info("removed features of an earlier version: %s", folder)


def _entries(folder: Path) -> list[Path]:
    """The entries of a folder; empty if another training has removed it."""
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def _outdated(own: Path) -> Iterator[Path]:
    for folder in own.parent.iterdir():
        try:
            is_unused = time.time() - folder.stat().st_mtime > KEPT_S
        except FileNotFoundError:  # removed by another training
            continue
        if folder != own and folder.is_dir() and is_unused:
            yield folder
