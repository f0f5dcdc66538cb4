"""Uploaded files: on disk, completely, before the job that names them exists."""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO
from uuid import UUID, uuid4

from core.atomic_write import sync_folder
from core.config.params import PredictParams
from core.errors import Unavailable, UploadGone
from core.failpoints import failpoint
from core.jobs.kinds import SubmissionContext
from core.jobs.submission import Submission
from core.services.prediction import submit_prediction
from core.settings import Settings
from core.store.session import SessionFactory, transaction

BLOCK_BYTES = 1 << 20
MAX_NAME = 255


def accept(
    sessions: SessionFactory,
    folder: Path,
    file: BinaryIO,
    params: PredictParams,
    context: SubmissionContext,
) -> Submission:
    """Store the file and submit its job; without a new job the file is not kept.

    A connection that is lost during the commit leaves open whether the job exists. Then the file stays: its
    worker needs it, and if there is none the dispatcher sweeps it up.
    """
    job_id = uuid4()
    may_be_needed = False
    try:
        sha256 = store(folder, job_id, file)
        failpoint("upload-stored")
        with transaction(sessions) as session:
            submission = submit_prediction(session, job_id, params, context, sha256=sha256)
            may_be_needed = not submission.replayed
        failpoint("upload-committed")
        return submission
    finally:
        if not may_be_needed:
            (folder / str(job_id)).unlink(missing_ok=True)


def store(folder: Path, job_id: UUID, file: BinaryIO) -> str:
    """Write the upload where its worker will look for it, safe from a power cut; its SHA-256 in hex."""
    digest = hashlib.sha256()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / str(job_id)).open("xb") as upload:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
                upload.write(block)
            upload.flush()
            os.fsync(upload.fileno())
        sync_folder(folder)
    except OSError as error:
        raise Unavailable(f"The upload cannot be stored: {error.strerror}.") from error
    return digest.hexdigest()


def keep_for_retry(settings: Settings, old: UUID, new: UUID) -> None:
    """Give the file of an ended job to the job that tries again, before that is committed.

    Without that commit, the dispatcher sweeps it up.
    """
    folder = settings.uploads_dir
    try:
        os.link(folder / str(old), folder / str(new))
        os.utime(folder / str(new))  # of both names, so that neither is swept now
        sync_folder(folder)
    except FileNotFoundError:
        raise UploadGone from None
    except OSError as error:
        raise Unavailable(f"The upload cannot be kept: {error.strerror}.") from error


def display_name(filename: str | None) -> str:
    """A client's file name without folders and control characters; only ever shown, never opened."""
    base = (filename or "").replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(char for char in base if char.isprintable())[:MAX_NAME]
