"""Installs a finished model in the folder of served models."""

import os
import shutil
from pathlib import Path

from core.ml.models.artifact import CARD_FILE, StoredCard


def install(folder: Path, target: Path) -> Path:
    """Copy a model's folder to `target` atomically; does nothing if it is installed already."""
    if (target / CARD_FILE).is_file() and read_card(target) == read_card(folder):
        return target
    staging = target.with_name(f".{target.name}")
    shutil.rmtree(staging, ignore_errors=True)
    shutil.copytree(folder, staging)
    for path in (*staging.iterdir(), staging):
        _sync(path)
    shutil.rmtree(target, ignore_errors=True)  # left by a run that crashed before it registered its model
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
