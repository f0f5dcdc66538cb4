"""Folders that are left when a process dies while it writes a model or trains one."""

import logging
import shutil
import time
from collections.abc import Set
from pathlib import Path
from uuid import UUID

log = logging.getLogger(__name__)

STAGING_S = 3600.0  # far longer than the writing of a model takes
CHECKPOINTS_S = 7 * 24 * 3600.0  # a retry of a failed or cancelled training goes on from them


def remove_staging(models_dir: Path) -> None:
    """Models that were being written or copied: they appear under their own name when they are whole."""
    for folder in models_dir.glob(".*"):
        _remove_older(folder, STAGING_S)


def remove_job_folders(training_dir: Path, open_jobs: Set[UUID], temporary: Set[UUID]) -> None:
    """Folders of jobs that are not open; those of `temporary` jobs sooner, as no retry needs them.

    What is not named like a job, or like the temporary
    folders of earlier versions, is left alone.
    """
    for folder in training_dir.glob("*"):
        if folder.name.startswith("tmp"):
            _remove_older(folder, STAGING_S)
        elif (job_id := _job_of(folder)) is not None and job_id not in open_jobs:
            _remove_older(folder, STAGING_S if job_id in temporary else CHECKPOINTS_S)


def _job_of(folder: Path) -> UUID | None:
    try:
        return UUID(folder.name)
    except ValueError:
        return None


def _remove_older(folder: Path, kept_s: float) -> None:
    try:
        is_old = time.time() - folder.stat().st_mtime > kept_s
    except FileNotFoundError:
        return
    if is_old and folder.is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        log.info("removed the unfinished folder %s", folder)
