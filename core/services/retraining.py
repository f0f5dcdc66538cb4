"""Trains models again, without being asked, once enough of their tracks have been corrected.

Off for a model until somebody sets it up. The new model is only offered: nothing is promoted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.config.dataset import USUAL_FOLDS, CorrectionsDataset, DatasetConfig, LibraryDataset
from core.config.experiment import ExperimentConfig, parse_experiment
from core.config.models import TransferConfig
from core.errors import Invalid, MFAError, RetrainingNotFound
from core.jobs.jobs import OPEN_JOB_STATES
from core.jobs.kinds import NewJob, SubmissionContext
from core.jobs.submission import submit
from core.services.training import prepare_experiment
from core.store.corrections import count_corrected_since
from core.store.experiments import find_training
from core.store.libraries import get_library_by_name
from core.store.registry import DEFAULT_ALIAS, resolve_model
from core.store.tables import Job, Library, Model, Retraining, Run


@dataclass(frozen=True)
class RetrainingRow:
    """A retraining with what it depends on now."""

    retraining: Retraining
    library: str | None  # None once it has been deleted
    serving: Model | None  # that the next model is trained for; None once all have been deleted
    corrected: int | None  # tracks since then, or since the last try; None if that cannot be told
    job: Job | None  # the last one


def set_up(session: Session, name: str, after_tracks: int, library: str | None, owner: str) -> RetrainingRow:
    """Train the models of this name again whenever so many tracks have been corrected.

    The library is that of the last training unless it is named. Raises Invalid, ModelNotFound or
    LibraryNotFound.
    """
    model = serving_model(session, name)
    run = find_training(session, model)
    if run is None:
        raise Invalid(
            f"{name} was not trained here, or its run has been deleted: train it on a dataset first."
        )
    library_id = get_library_by_name(session, library).id if library else _library_of(session, run)
    if library_id is None:
        raise Invalid(f"{name} was not trained on a library: name the `library` whose corrections count.")
    values = {"after_tracks": after_tracks, "enabled": True, "library_id": library_id, "owner": owner}
    known = session.get(Retraining, model.name, with_for_update=True)
    if known is None:
        session.add(Retraining(model_name=model.name, **values))
    else:
        for column, value in values.items():
            setattr(known, column, value)
    session.flush()
    return get_retraining(session, model.name)


def turn_off(session: Session, name: str) -> None:
    """Train no model of this name by itself any more; a job that is open goes on."""
    known = session.get(Retraining, name, with_for_update=True)
    if known is None:
        raise RetrainingNotFound
    known.enabled = False


def get_retraining(session: Session, name: str) -> RetrainingRow:
    """Raises RetrainingNotFound."""
    found = session.get(Retraining, name)
    if found is None:
        raise RetrainingNotFound
    return _row(session, found)


def list_retrainings(session: Session) -> list[RetrainingRow]:
    """All that have been set up, by the names of the models."""
    return [
        _row(session, each) for each in session.scalars(select(Retraining).order_by(Retraining.model_name))
    ]


def _row(session: Session, retraining: Retraining) -> RetrainingRow:
    library = session.scalar(select(Library).where(Library.id == retraining.library_id))
    try:
        serving = serving_model(session, retraining.model_name)
    except MFAError:
        serving = None
    run = find_training(session, serving) if serving else None
    since = _since(retraining, run)
    counted = None
    if library is not None and run is not None and since is not None:
        is_own = library.id == _library_of(session, run)
        folder = run.config.get("dataset", {}).get("path", "") if is_own else ""
        counted = count_corrected_since(session, library, since, folder=folder)
    job = session.scalar(select(Job).where(Job.id == retraining.job_id))
    return RetrainingRow(retraining, library.name if library else None, serving, counted, job)


def serving_model(session: Session, name: str) -> Model:
    """The default model if it has this name, else what the name means, its newest version.

    Raises ModelNotFound.
    """
    newest = resolve_model(session, name)
    default = resolve_model(session, DEFAULT_ALIAS)
    return default if default.name == newest.name else newest


def find_enabled(session: Session) -> Sequence[str]:
    """The names of the models that are trained again by themselves."""
    enabled = select(Retraining.model_name).where(Retraining.enabled)
    return session.scalars(enabled.order_by(Retraining.model_name)).all()


def retrain_if_due(session: Session, name: str, data_dir: Path) -> Job | None:
    """Submit one training if enough tracks have been corrected since the last, and none is open.

    The row is locked until the transaction that inserts the job has ended, so several callers submit one job.
    What keeps the job from being made is stored, and it is tried again after as many more corrections only.
    """
    locked = select(Retraining).where(Retraining.model_name == name, Retraining.enabled)
    found = session.scalars(locked.with_for_update(skip_locked=True)).one_or_none()
    if found is None:
        return None
    row = _row(session, found)
    is_open = row.job is not None and row.job.state in OPEN_JOB_STATES
    if is_open or row.corrected is None or row.corrected < found.after_tracks:
        return None
    found.tried_at = func.now()
    try:
        with session.begin_nested():
            job = _submit(session, row, data_dir)
    except MFAError as error:
        found.error_code, found.error_detail = error.code, error.detail
        return None
    found.job_id, found.error_code, found.error_detail = job.id, None, None
    return job


def _submit(session: Session, row: RetrainingRow, data_dir: Path) -> Job:
    serving, library = row.serving, row.library
    run = find_training(session, serving) if serving else None
    assert serving is not None
    assert run is not None
    assert library is not None
    job = _job_of(session, run)
    is_own = row.retraining.library_id == _library_of(session, run)
    config = retrained(
        parse_experiment(job.params["experiment"] if job else run.config), library, is_own=is_own
    )
    study_id = job.params.get("study_id") if job else None
    context = SubmissionContext(row.retraining.owner, data_dir=data_dir)
    against = serving.reference

    def prepare() -> NewJob:
        return prepare_experiment(
            session, config, context, study_id=UUID(study_id) if study_id else None, compare_with=against
        )

    return submit(session, context, ("retraining", against), prepare).job


def retrained(config: ExperimentConfig, library: str, *, is_own: bool) -> ExperimentConfig:
    """The experiment on what people have said of a library by now.

    Where the model was trained on this library (`is_own`), its labels are learnt again, with all corrections;
    else corrections alone. A label set is read anew. A logistic head is cross-validated however many tracks
    there are, so that each can be compared.
    """
    dataset: DatasetConfig = config.dataset
    if is_own and isinstance(dataset, LibraryDataset):
        dataset = dataset.model_copy(update={"library": library, "corrections": True})
    elif is_own and isinstance(dataset, CorrectionsDataset):
        anew = {"labels": (), "exclusive": ()} if dataset.label_set else {}
        dataset = dataset.model_copy(update={"library": library} | anew)
    else:
        dataset = CorrectionsDataset(library=library)
    split = config.split
    if (
        isinstance(config.model, TransferConfig)
        and config.model.head == "logistic"
        and (split.folds or 1) == 1
    ):
        split = split.model_copy(update={"folds": USUAL_FOLDS})
    return config.model_copy(update={"dataset": dataset, "split": split})


def _job_of(session: Session, run: Run) -> Job | None:
    """The job of a training, which knows what was asked for; None if it has been deleted."""
    return session.scalar(select(Job).where(Job.id == run.job_id))


def _library_of(session: Session, run: Run) -> UUID | None:
    """The library that a training learnt from; None if its dataset was another one, or has been deleted."""
    job = _job_of(session, run)
    if job is not None:
        return job.library_id
    named = select(Library.id).where(Library.name == run.config["dataset"].get("library"))
    return session.scalar(named)


def _since(retraining: Retraining, run: Run | None) -> datetime | None:
    """From when on corrections count: since the training, or the last try if that was later."""
    return None if run is None else max(filter(None, (run.created_at, retraining.tried_at)))
