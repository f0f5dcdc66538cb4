"""Puts a finished model where models are served from."""

import os
import shutil
from pathlib import Path

from core.ml.models.artifact import CARD_FILE, StoredCard


def install(folder: Path, target: Path) -> Path:
    """Copy a model's folder to `target`, where it appears as a whole; the same one again costs nothing."""
    if (target / CARD_FILE).is_file() and read_card(target) == read_card(folder):
        return target
    staging = target.with_name(f".{target.name}")
    shutil.rmtree(staging, ignore_errors=True)
    shutil.copytree(folder, staging)
    for path in (*staging.iterdir(), staging):
        _sync(path)
    shutil.rmtree(target, ignore_errors=True)  # left by a run that died before its model was registered
    staging.rename(target)
    _sync(target.parent)
    return target


def read_card(folder: Path) -> StoredCard:
    return StoredCard.model_validate_json((folder / CARD_FILE).read_bytes())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
