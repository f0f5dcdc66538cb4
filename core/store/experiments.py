"""Experiments and their runs; the epochs that all runs report, trials of studies too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.config.experiment import ExperimentConfig
from core.errors import ArtifactNotFound, ExperimentNotFound, Invalid, RunNotFound
from core.store.cursor import Page, cut_page, decode_cursor
from core.store.ids import id_starts_with
from core.store.registry import artifact_folder
from core.store.tables import Epoch, Experiment, Job, Model, Run, Trial

NO_FOLD = 0
TRAINED_ORDER = (Epoch.fold == NO_FOLD, Epoch.fold, Epoch.epoch)
# The files of a run that may be read, and what they are.
ARTIFACTS = {
    "model.json": "application/json",
    "history.json": "application/json",
    "test_results.json": "application/json",
    "score_counts.json": "application/json",
    "training_curves.png": "image/png",
    "co_occurrence.png": "image/png",
    "MODEL_CARD.md": "text/markdown; charset=utf-8",
    "predictions.csv": "text/csv; charset=utf-8; header=present",
}
MAX_COMPARED = 20


@dataclass(frozen=True)
class RunRow:
    """A run of an experiment with columns joined to it."""

    run: Run
    experiment: str  # its name
    state: str | None  # of its job
    model: Model | None


@dataclass(frozen=True)
class FinishedTraining:
    """The outcome of a training."""

    config: dict[str, Any]
    dataset_sha256: str
    code_version: str
    metrics: dict[str, float]
    results: dict[str, Any]
    duration_s: float
    epochs: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side; every list is in their order."""

    runs: list[RunRow]
    metrics: dict[str, list[float | None]]
    differences: dict[str, list[Any]]  # of the configurations, by dotted key


def add_run(session: Session, job: Job, config: ExperimentConfig) -> Run:
    """The run of a training job."""
    name = config.experiment_name
    session.execute(insert(Experiment).values(name=name).on_conflict_do_nothing())
    experiment_id = session.scalars(select(Experiment.id).where(Experiment.name == name)).one()
    run = Run(
        id=job.id,
        experiment_id=experiment_id,
        job_id=job.id,
        library_id=job.library_id,
        config=config.model_dump(mode="json"),
        seed=config.seed,
    )
    session.add(run)
    session.flush()
    return run


def take_version(session: Session, run_id: UUID) -> int:
    """The version of the model that a run makes: the same at every call, and unique in its experiment."""
    run = session.get_one(Run, run_id)
    experiment = session.get_one(Experiment, run.experiment_id, with_for_update=True, populate_existing=True)
    session.refresh(run)
    if run.version is None:
        run.version = _next_version(session, experiment)
        session.flush()
    return run.version


def reserve_version(session: Session, name: str) -> int:
    """A version of the models of this name that is given once."""
    session.execute(insert(Experiment).values(name=name).on_conflict_do_nothing())
    experiments = select(Experiment).where(Experiment.name == name)
    locked = experiments.with_for_update().execution_options(populate_existing=True)
    return _next_version(session, session.scalars(locked).one())


def _next_version(session: Session, experiment: Experiment) -> int:
    """The caller holds the experiment. A version is not given again when its run or model is deleted."""
    taken = select(func.max(Run.version)).where(Run.experiment_id == experiment.id)
    registered = select(func.max(Model.version)).where(Model.name == experiment.name)
    known = (experiment.last_version, session.scalar(taken) or 0, session.scalar(registered) or 0)
    experiment.last_version = 1 + max(known)
    session.flush()
    return experiment.last_version


def retire_version(session: Session, name: str, version: int) -> None:
    """Keep the version of a deleted model or run from being given again."""
    statement = insert(Experiment).values(name=name, last_version=version)
    last = func.greatest(Experiment.last_version, statement.excluded.last_version)
    session.execute(
        statement.on_conflict_do_update(index_elements=[Experiment.name], set_={"last_version": last})
    )


def save_epochs(session: Session, run_id: UUID, reports: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Write reports of epochs, again those of a resumed run; how many the run had before, and has now."""
    before = _count_epochs(session, run_id)
    if not reports:
        return before, before
    rows = [
        {"run_id": run_id, "fold": report["fold"] or NO_FOLD, "epoch": report["epoch"], "metrics": report}
        for report in reports
    ]
    statement = insert(Epoch)
    again = statement.on_conflict_do_update(
        index_elements=[Epoch.run_id, Epoch.fold, Epoch.epoch],
        set_={"metrics": statement.excluded.metrics},
    )
    session.execute(again, rows)
    return before, _count_epochs(session, run_id)


def _count_epochs(session: Session, run_id: UUID) -> int:
    return session.scalar(select(func.count()).where(Epoch.run_id == run_id)) or 0


def list_experiments(session: Session) -> list[tuple[Experiment, int]]:
    """All that have runs, by name, each with the number of its runs."""
    query = select(Experiment, func.count(Run.id)).join(Run).group_by(Experiment.id)
    return [(experiment, count) for experiment, count in session.execute(query.order_by(Experiment.name))]


def get_experiment(session: Session, name: str) -> tuple[Experiment, int]:
    """An experiment and the number of its runs."""
    query = select(Experiment, func.count(Run.id)).join(Run).group_by(Experiment.id)
    row = session.execute(query.where(Experiment.name == name)).one_or_none()
    if row is None:
        raise ExperimentNotFound(f"There is no experiment {name!r}; GET /api/v1/experiments lists them.")
    return row[0], row[1]


def list_runs(
    session: Session,
    cursor: str | None,
    limit: int,
    experiment: str | None = None,
    id_prefix: str | None = None,
) -> Page[RunRow]:
    """Newest first."""
    query = _runs().order_by(Run.created_at.desc(), Run.id.desc()).limit(limit + 1)
    if id_prefix is not None:
        query = query.where(id_starts_with(Run.id, id_prefix))
    if experiment is not None:
        query = query.where(Run.experiment_id == get_experiment(session, experiment)[0].id)
    if cursor is not None:
        query = query.where(
            tuple_(Run.created_at, Run.id) < decode_cursor(cursor, datetime.fromisoformat, UUID)
        )
    rows = [RunRow(*row) for row in session.execute(query)]
    return cut_page(rows, limit, lambda row: (row.run.created_at, row.run.id))


def get_run(session: Session, run_id: UUID) -> RunRow:
    row = session.execute(_runs().where(Run.id == run_id)).one_or_none()
    if row is None:
        raise RunNotFound(f"There is no run {run_id}.")
    return RunRow(*row)


def has_run(session: Session, run_id: UUID) -> bool:
    """Whether this run of an experiment is known; trials of studies have none."""
    query = select(Run.id).where(Run.id == run_id, Run.experiment_id.is_not(None))
    return session.scalar(query) is not None


def get_runs(session: Session, run_ids: Sequence[UUID]) -> list[RunRow]:
    """Those of these runs that exist, in any order."""
    if not run_ids:
        return []
    return [RunRow(*row) for row in session.execute(_runs().where(Run.id.in_(run_ids)))]


def read_artifact(session: Session, run_id: UUID, name: str) -> bytes:
    """A file that a finished run has left."""
    row = get_run(session, run_id)
    if name not in ARTIFACTS or row.model is None:
        raise ArtifactNotFound
    try:
        return (artifact_folder(row.model) / name).read_bytes()
    except OSError as error:
        raise ArtifactNotFound(f"The file {name} of this run has been deleted.") from error


def list_artifacts(row: RunRow) -> list[str]:
    """The files that `read_artifact` finds; earlier versions have left fewer."""
    if row.model is None:
        return []
    folder = artifact_folder(row.model)
    return [name for name in ARTIFACTS if (folder / name).is_file()]


def find_training(session: Session, model: Model) -> Run | None:
    """The run that trained the weights of a model: its own or, as with other thresholds, of equal weights.

    None if it is not known, or has been deleted.
    """
    runs = select(Run).where(Run.weights_sha256 == model.sha256, Run.experiment_id.is_not(None))
    own_first = (Run.model_id.is_not_distinct_from(model.id).desc(), Run.created_at)
    return session.scalars(runs.order_by(*own_first).limit(1)).first()


def find_trainings(session: Session, models: Sequence[Model]) -> dict[int, UUID]:
    """The run of `find_training` by model, of those that have one."""
    weights = {model.sha256 for model in models}
    runs = select(Run.id, Run.model_id, Run.weights_sha256).where(
        Run.weights_sha256.in_(weights), Run.experiment_id.is_not(None)
    )
    of_model: dict[int | None, UUID] = {}
    of_weights: dict[str | None, UUID] = {}
    for run_id, model_id, sha256 in session.execute(runs.order_by(Run.created_at)):
        of_model.setdefault(model_id, run_id)
        of_weights.setdefault(sha256, run_id)
    found = {model.id: of_model.get(model.id, of_weights.get(model.sha256)) for model in models}
    return {model_id: run_id for model_id, run_id in found.items() if run_id is not None}


def list_epochs(session: Session, run_ids: Sequence[UUID]) -> dict[UUID, list[Epoch]]:
    """By run, in the order of training: the folds, then the fit after them; none of a deleted run."""
    found: dict[UUID, list[Epoch]] = {run_id: [] for run_id in run_ids}
    query = select(Epoch).join(Run, Run.id == Epoch.run_id).where(Epoch.run_id.in_(found))
    for epoch in session.scalars(query.order_by(*TRAINED_ORDER)):
        found[epoch.run_id].append(epoch)
    return found


def list_losses(
    session: Session, study_id: UUID, epochs: Sequence[int] | None = None
) -> dict[UUID, dict[int, float]]:
    """Validation losses by trial of a study and by epoch, of all epochs or of these; of the first fold."""
    loss = Epoch.metrics["validation_loss"].as_float()
    query = select(Epoch.run_id, Epoch.epoch, loss).join(Trial, Trial.id == Epoch.run_id)
    query = query.where(Trial.study_id == study_id, loss.is_not(None))
    if epochs is not None:
        query = query.where(Epoch.epoch.in_(epochs))
    found: dict[UUID, dict[int, float]] = {}
    for run_id, epoch, value in session.execute(query.order_by(*TRAINED_ORDER)):
        found.setdefault(run_id, {}).setdefault(epoch, value)
    return found


def compare_runs(session: Session, run_ids: Sequence[UUID]) -> Comparison:
    """The metrics of the runs, and the keys in which their configurations differ."""
    if not 1 <= len(run_ids) <= MAX_COMPARED:
        raise Invalid(f"From 1 to {MAX_COMPARED} runs can be compared; `ids` names {len(run_ids)}.")
    found = {row.run.id: row for row in get_runs(session, run_ids)}
    if missing := [run_id for run_id in run_ids if run_id not in found]:
        raise RunNotFound(f"There is no run {missing[0]}.")
    rows = [found[run_id] for run_id in run_ids]
    metrics = [row.run.metrics or {} for row in rows]
    settings = [dict(_flat(row.run.config)) for row in rows]
    keys = dict.fromkeys(key for each in settings for key in each)
    side_by_side = {key: [each.get(key) for each in settings] for key in keys}
    return Comparison(
        runs=rows,
        metrics={
            name: [each.get(name) for each in metrics]
            for name in dict.fromkeys(name for each in metrics for name in each)
        },
        differences={
            key: values for key, values in side_by_side.items() if any(value != values[0] for value in values)
        },
    )


def _runs() -> Select[*tuple[Any, ...]]:
    return (
        select(Run, Experiment.name, Job.state, Model)
        .join(Experiment, Experiment.id == Run.experiment_id)
        .outerjoin(Job, Job.id == Run.job_id)
        .outerjoin(Model, Model.id == Run.model_id)
        .where(Run.experiment_id.is_not(None))  # lets the index of these runs be used
    )


def _flat(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """`{"training": {"lr": 0.1}}` -> `[("training.lr", 0.1)]`."""
    found: list[tuple[str, Any]] = []
    for key, value in config.items():
        inner = isinstance(value, Mapping)
        found += _flat(value, f"{prefix}{key}.") if inner else [(prefix + key, value)]
    return found
