"""Retrains models automatically once enough tracks have been corrected.

Off for a model until somebody sets it up. The new model is only offered: nothing is promoted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from sqlalchemy import exists, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.config.dataset import USUAL_FOLDS, CorrectionsDataset, DatasetConfig, LibraryDataset
from core.config.experiment import ExperimentConfig, parse_experiment
from core.config.models import TransferConfig
from core.errors import (
    Invalid,
    LibraryNotFound,
    MFAError,
    ModelNotFound,
    RetrainingAtWork,
    RetrainingNotFound,
    RunNotFound,
)
from core.jobs.jobs import OPEN_JOB_STATES
from core.jobs.kinds import NewJob, SubmissionContext
from core.jobs.submission import Submission, submit
from core.services.training import prepare_experiment
from core.states import JobState
from core.store.corrections import count_corrected_since
from core.store.experiments import find_training
from core.store.libraries import get_library_by_name
from core.store.registry import DEFAULT_ALIAS, resolve_model
from core.store.tables import Job, Library, Model, ModelAlias, Retraining, Run

FAILED = (JobState.FAILED, JobState.CANCELLED)
USUAL_AFTER = 50  # tracks, where a retraining is asked for that nobody has set up
UNEXPECTED = "internal"
UNEXPECTED_DETAIL = "An internal error, which is tried again; the dispatcher's log tells more."


@dataclass(frozen=True)
class RetrainingRow:
    """A retraining with what it depends on now."""

    retraining: Retraining
    library: Library | None  # None once it has been deleted
    serving: Model | None  # that the next model is trained for; None once all have been deleted
    run: Run | None  # that trained it; None once it has been deleted
    is_own: bool  # whether the model was trained on this library
    corrected: int | None  # tracks since then, or since the last try; None if that cannot be told
    job: Job | None  # the last one, or its newest retry

    @property
    def is_open(self) -> bool:
        """Whether a training is running or waiting."""
        return self.job is not None and self.job.state in OPEN_JOB_STATES

    @property
    def obstacle(self) -> MFAError | None:
        """Why nothing can be counted."""
        if self.library is None:
            return LibraryNotFound("Its library has been deleted: set it up with another one.")
        if self.serving is None:
            return ModelNotFound("All models of this name have been deleted.")
        if self.run is None:
            return RunNotFound(f"The run that trained {self.serving.reference} has been deleted.")
        return None


def set_up(session: Session, name: str, after_tracks: int, library: str | None, owner: str) -> RetrainingRow:
    """Retrain the models of this name each time `after_tracks` tracks have been corrected.

    The library is that of the last training unless it is named. If the last try has failed, it is forgotten.
    Raises Invalid, ModelNotFound or LibraryNotFound.
    """
    model = serving_model(session, name)
    run = find_training(session, model)
    if run is None:
        raise Invalid(
            f"{name} was not trained here, or its run has been deleted: train it on a dataset first."
        )
    library_id = get_library_by_name(session, library).id if library else run.library_id
    if library_id is None:
        raise Invalid(f"{name} was not trained on a library: name the `library` whose corrections count.")
    values = {"after_tracks": after_tracks, "enabled": True, "library_id": library_id, "owner": owner}
    statement = insert(Retraining).values(model_name=name, **values)
    session.execute(statement.on_conflict_do_update(index_elements=[Retraining.model_name], set_=values))
    known = session.get_one(Retraining, name, populate_existing=True)
    job = _newest_job(session, known)
    if known.error_code is not None or (job is not None and job.state in FAILED):
        known.tried_at = known.job_id = known.error_code = known.error_detail = None
        session.flush()
    return get_retraining(session, name)


def turn_off(session: Session, name: str) -> None:
    """Turn automatic retraining off; a job that is open goes on."""
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


def look_ahead(session: Session, name: str, at_most: int | None = None) -> RetrainingRow:
    """What training the models of this name again depends on, also where nobody has set that up.

    `at_most`: where to stop counting. Raises ModelNotFound, and Invalid if it was not trained here.
    """
    found = session.get(Retraining, name)
    return _row(session, found or _not_set_up(session, name, owner=""), at_most)


def train_now(session: Session, name: str, context: SubmissionContext) -> Submission:
    """Submit the training that would be submitted after enough corrected tracks, however many there are.

    It counts as the last try. Raises what `look_ahead` does, LibraryNotFound, RunNotFound, and
    RetrainingAtWork while one is open.
    """

    def prepare() -> NewJob:
        if session.get(Retraining, name) is None:
            usual = _not_set_up(session, name, context.owner)
            values = {
                "model_name": name,
                "after_tracks": usual.after_tracks,
                "enabled": False,
                "library_id": usual.library_id,
                "owner": usual.owner,
            }
            session.execute(insert(Retraining).values(values).on_conflict_do_nothing())
        row = _row(session, _locked(session, name), at_most=0)
        if row.is_open:
            raise RetrainingAtWork
        return _prepare(session, row, context)

    submission = submit(session, context, ("retraining now", name), prepare)
    if not submission.replayed:
        _note_try(_locked(session, name), submission.job)
    return submission


def _not_set_up(session: Session, name: str, owner: str) -> Retraining:
    """What would be set up with the library of the last training. It is not stored."""
    model = serving_model(session, name)
    run = find_training(session, model)
    if run is None or run.library_id is None:
        raise Invalid(
            f"{name} was not trained here on a library, or its run has been deleted: train a model on what "
            f"people have said, or name the library with PUT /api/v1/retrainings/{name}."
        )
    return Retraining(
        model_name=name, after_tracks=USUAL_AFTER, enabled=False, library_id=run.library_id, owner=owner
    )


def _locked(session: Session, name: str) -> Retraining:
    return session.get_one(Retraining, name, with_for_update=True, populate_existing=True)


def _note_try(found: Retraining, job: Job) -> None:
    found.tried_at, found.job_id, found.error_code, found.error_detail = func.now(), job.id, None, None


def _row(session: Session, retraining: Retraining, at_most: int | None = None) -> RetrainingRow:
    """`at_most`: where to stop counting."""
    library = session.scalar(select(Library).where(Library.id == retraining.library_id))
    try:
        serving = serving_model(session, retraining.model_name)
    except MFAError:
        serving = None
    run = find_training(session, serving) if serving else None
    is_own = library is not None and run is not None and library.id == run.library_id
    counted = None
    if library is not None and run is not None:
        since = max(filter(None, (run.created_at, retraining.tried_at)))
        folder = run.config.get("dataset", {}).get("path", "") if is_own else ""
        counted = count_corrected_since(session, library, since, folder=folder, at_most=at_most)
    return RetrainingRow(retraining, library, serving, run, is_own, counted, _newest_job(session, retraining))


def _newest_job(session: Session, retraining: Retraining) -> Job | None:
    """The last training, or the newest of its retries, and of theirs."""
    chain = select(Job.id, literal(0).label("depth")).where(Job.id == retraining.job_id)
    retries = chain.cte("retries", recursive=True)
    retries = retries.union_all(select(Job.id, retries.c.depth + 1).where(Job.retry_of == retries.c.id))
    newest = select(Job).join(retries, retries.c.id == Job.id)
    newest = newest.order_by(retries.c.depth.desc(), Job.created_at.desc()).limit(1)
    return session.scalars(newest).first()


def serving_model(session: Session, name: str) -> Model:
    """The default model if it has this name; else the newest version but for offers that nobody promoted.

    Raises ModelNotFound, and Invalid if the name is an alias or that of one version.
    """
    models = select(Model).where(Model.name == name)
    is_default = exists().where(ModelAlias.model_id == Model.id, ModelAlias.alias == DEFAULT_ALIAS)
    is_mere_offer = Model.offer.is_not(None) & ~exists().where(ModelAlias.model_id == Model.id)
    order = (is_default.desc(), is_mere_offer, Model.version.desc())
    model = session.scalars(models.order_by(*order).limit(1)).first()
    if model is None:
        meant = resolve_model(session, name)
        raise Invalid(f"{name} is one version: models are trained again by their name, {meant.name}.")
    return model


def find_enabled(session: Session) -> Sequence[str]:
    """The names of the models that are retrained automatically."""
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
    row = _row(session, found, at_most=found.after_tracks)
    if row.job is not None:
        found.job_id = row.job.id
    if found.error_code == UNEXPECTED:
        found.error_code = found.error_detail = None
    if row.is_open or row.corrected is None or row.corrected < found.after_tracks:
        return None
    found.tried_at = func.now()
    try:
        with session.begin_nested():
            job = _submit(session, row, data_dir)
    except MFAError as error:
        found.error_code, found.error_detail = error.code, error.detail
        return None
    _note_try(found, job)
    return job


def note_failure(session: Session, name: str) -> None:
    """Store that a round has failed for a reason that nobody foresaw; the next one tries again."""
    locked = select(Retraining).where(Retraining.model_name == name)
    found = session.scalars(locked.with_for_update(skip_locked=True)).one_or_none()
    if found is not None:
        found.error_code, found.error_detail = UNEXPECTED, UNEXPECTED_DETAIL


def _submit(session: Session, row: RetrainingRow, data_dir: Path) -> Job:
    context = SubmissionContext(row.retraining.owner, data_dir=data_dir)
    content = ("retraining", row.retraining.model_name)
    return submit(session, context, content, lambda: _prepare(session, row, context)).job


def _prepare(session: Session, row: RetrainingRow, context: SubmissionContext) -> NewJob:
    if row.serving is None or row.run is None or row.library is None:
        raise row.obstacle or Invalid
    job = session.scalar(select(Job).where(Job.id == row.run.job_id))  # it knows what was asked for
    asked = job.params["experiment"] if job else row.run.config
    config = retrained(parse_experiment(asked), row.library.name, is_own=row.is_own)
    study_id = UUID(job.params["study_id"]) if job and job.params.get("study_id") else None
    return prepare_experiment(session, config, context, study_id=study_id, compare_with=row.serving.reference)


def retrained(config: ExperimentConfig, library: str, *, is_own: bool) -> ExperimentConfig:
    """The experiment on what people have said of a library by now.

    Where the model was trained on this library (`is_own`), its labels are used again, with all corrections;
    else corrections alone. The current labels of a label set are used. A logistic head is cross-validated
    for any number of tracks, so that each can be compared.
    """
    dataset: DatasetConfig = config.dataset
    if is_own and isinstance(dataset, LibraryDataset):
        dataset = dataset.model_copy(update={"library": library, "corrections": True})
    elif is_own and isinstance(dataset, CorrectionsDataset):
        current = {"labels": (), "exclusive": ()} if dataset.label_set else {}  # set at submission
        dataset = dataset.model_copy(update={"library": library} | current)
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
