"""Removes rows and files of what has been deleted, for a bounded time in each round."""

import logging
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from core.ml.training.cache_paths import cache_paths, embeddings_folders
from core.services import sweep
from core.services.sweep import Swept
from core.settings import Settings
from core.store.registry import artifact_folder
from core.store.session import SessionFactory, transaction
from core.store.tables import Library, Model, Run, Study

log = logging.getLogger(__name__)

FILES_BETWEEN_LOOKS = 100


class Sweeper:
    def __init__(self, sessions: SessionFactory, settings: Settings) -> None:
        self._sessions, self._settings = sessions, settings
        self._until = 0.0

    def sweep(self, for_s: float) -> bool:
        """Remove one piece of each kind, and more until the time is up; whether anything may be left."""
        self._until = time.monotonic() + for_s
        steps = (
            self._sweep_jobs,
            self._sweep_maps,
            self._sweep_libraries,
            self._sweep_runs,
            self._sweep_studies,
            self._sweep_models,
            self._sweep_encoders,
        )
        removed, is_unfinished = Swept(), False
        for step in steps:
            try:
                while swept := step():
                    removed += swept
                    if time.monotonic() >= self._until:
                        is_unfinished = True
                        break
            except (DBAPIError, OSError) as error:  # what cannot be removed must not keep the rest
                log.warning("%s is tried again later: %s", step.__name__.strip("_"), error)
        if removed:
            counts = ", ".join(f"{count} {table}" for table, count in sorted(removed.items()))
            log.info("removed what had been deleted: %s", counts)
        return is_unfinished

    def _piece(self, work: Callable[[Session], Swept]) -> Swept:
        """One transaction; does nothing while another dispatcher sweeps."""
        with transaction(self._sessions) as session:
            return work(session) if sweep.may_sweep(session) else Swept()

    def _sweep_jobs(self) -> Swept:
        if swept := self._piece(sweep.sweep_units):
            return swept
        with self._sessions() as session:
            job_ids = sweep.find_bare_jobs(session)
        files = 0
        for job_id in job_ids:
            _unlink(self._settings.uploads_dir / str(job_id))
            files += self._remove_folder(self._checkpoints(job_id))
        bare = [job_id for job_id in job_ids if not self._checkpoints(job_id).exists()]
        rows = self._forget(lambda session: sweep.remove_jobs(session, bare))
        return rows + _files(files)

    def _checkpoints(self, job_id: UUID) -> Path:
        return self._settings.training_dir / str(job_id)

    def _sweep_maps(self) -> Swept:
        return self._piece(sweep.sweep_maps)

    def _sweep_libraries(self) -> Swept:
        if swept := self._forget(sweep.sweep_tracks):
            return swept
        with self._sessions() as session:
            library_ids = sweep.find_marked_ids(session, Library)
        for library_id in library_ids:
            if swept := self._piece(partial(sweep.sweep_library, library_id=library_id)):
                return swept
        return Swept()

    def _forget(self, work: Callable[[Session], tuple[Swept, list[bytes]]]) -> Swept:
        """One transaction, then delete what trainings have cached of the audio that it has forgotten.

        File work takes no locks of rows with it. What stays after a crash in between, or because a training
        may be reading it, is used again by the next training over the same audio; it goes with the
        version of the code that computed it (`core.ml.training.cache_versions`).
        """
        forgotten: list[bytes] = []

        def piece(session: Session) -> Swept:
            swept, content_hashes = work(session)
            forgotten.extend(content_hashes)
            return swept

        swept = self._piece(piece)
        if forgotten and not self._may_train():
            for digest in forgotten:
                for file in cache_paths(self._settings.cache_dir, digest.hex()):
                    _unlink(file)
        elif forgotten:
            log.info("a training is open: cached features of %d deleted tracks are kept", len(forgotten))
        return swept

    def _may_train(self) -> bool:
        with self._sessions() as session:
            return sweep.may_train(session)

    def _sweep_runs(self) -> Swept:
        """Checkpoints stay with a job that is there, as it may be retried."""
        with self._sessions() as session:
            run_ids = sweep.find_marked_ids(session, Run)
            is_job = {run_id: sweep.is_job(session, run_id) for run_id in run_ids}
        for run_id in run_ids:
            folder = self._checkpoints(run_id)
            if not is_job[run_id] and (files := self._remove_folder(folder)):
                return _files(files)
            if not is_job[run_id] and folder.exists():
                continue
            if swept := self._piece(partial(sweep.sweep_runs, condition=Run.id == run_id)):
                return swept
        return Swept()

    def _sweep_studies(self) -> Swept:
        with self._sessions() as session:
            study_ids = sweep.find_marked_ids(session, Study)
        for study_id in study_ids:
            if swept := self._piece(partial(sweep.sweep_runs, condition=Run.study_id == study_id)):
                return swept
            folder = self._settings.studies_dir / str(study_id)
            if files := self._remove_folder(folder):
                return _files(files)
            if folder.exists():
                continue
            if swept := self._piece(partial(sweep.remove_study, study_id=study_id)):
                return swept
        return Swept()

    def _sweep_models(self) -> Swept:
        with self._sessions() as session:
            models = sweep.find_marked_models(session)
            shared = {model.id: sweep.shares_folder(session, model) for model in models}
        for model in models:
            if swept := self._piece(partial(sweep.sweep_predictions, model_id=model.id)):
                return swept
            folder = None if shared[model.id] else self._own_folder(model)
            if folder is not None and not folder.parent.is_dir():
                # Its files would make it known again at the next start, so it stays deleted.
                log.warning(
                    "the models in %s cannot be reached: %s is still to be removed", folder.parent, folder
                )
                continue
            if folder is not None and (files := self._remove_model_folder(folder)):
                return _files(files)
            if folder is not None and (folder.exists() or _hidden(folder).exists()):
                continue
            if swept := self._piece(partial(sweep.remove_model, model_id=model.id)):
                return swept
        return Swept()

    def _own_folder(self, model: Model) -> Path | None:
        """The folder of a model's artifact; None when it does not lie with the models of this server."""
        models_dir, folder = self._settings.models_dir.resolve(), artifact_folder(model)
        is_local = urlsplit(model.artifact_url).scheme == "file"
        if is_local and folder.parent == models_dir and folder.name not in ("", ".", ".."):
            return folder
        log.warning("%s is not in %s: it is left where it is", model.artifact_url, models_dir)
        return None

    def _remove_model_folder(self, folder: Path) -> int:
        """Under another name first, so that half of a model is never registered."""
        hidden = _hidden(folder)
        if files := self._remove_folder(hidden):
            return files
        if not folder.is_dir() or folder.is_symlink():
            return 0
        folder.rename(hidden)
        return self._remove_folder(hidden)

    def _sweep_encoders(self) -> Swept:
        with self._sessions() as session:
            encoders = sweep.find_idle_encoders(session)
        for encoder in encoders:
            folders = list(embeddings_folders(self._settings.cache_dir, encoder.sha256))
            if files := sum(self._remove_folder(folder) for folder in folders):
                return _files(files)
            if any(folder.exists() for folder in folders):
                continue
            if swept := self._piece(partial(sweep.sweep_encoder, encoder_id=encoder.id)):
                return swept
        return Swept()

    def _remove_folder(self, folder: Path) -> int:
        """Remove a folder, or as much of it as the time and its permissions allow; how many files went.

        Links are removed and not followed.
        """
        removed = 0
        for parent, folders, files in os.walk(folder, topdown=False):
            for name in files:
                removed += _unlink(Path(parent, name))
                if removed % FILES_BETWEEN_LOOKS == 0 and time.monotonic() >= self._until:
                    return removed
            for name in folders:
                inner = Path(parent, name)
                if inner.is_symlink():
                    removed += _unlink(inner)
            try:
                Path(parent).rmdir()
                removed += 1
            except OSError as error:
                log.warning("%s cannot be removed: %s", parent, error.strerror)
        return removed


def _unlink(file: Path) -> bool:
    """Whether there was a file that is gone now."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        log.warning("%s cannot be removed: %s", file, error.strerror)
        return False
    return True


def _hidden(folder: Path) -> Path:
    """Where a model's folder lies while it is removed: what begins with a dot is never registered."""
    return folder.with_name(f".{folder.name}.deleted")


def _files(count: int) -> Swept:
    return Swept(files=count) if count else Swept()
