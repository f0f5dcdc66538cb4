"""Rows as response shapes."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from api import schemas
from core.db import tables
from core.db.session import SessionFactory
from core.params import JobKind
from core.services.experiments import ARTIFACTS, NO_FOLD, Comparison, RunRow, get_run
from core.services.items import ItemRow, ResultRow
from core.services.jobs import Progress, get_job, get_progress
from core.services.predictions import find_prediction, given_labels
from core.services.studies import StudyRow, best_trials, get_study, list_trials
from core.services.tracks import TrackRow
from core.states import JobState, TrialState
from core.tuning_config import TuningConfig

RETRY_AFTER_S = "1"
SCORE_DIGITS = 6  # all that a 32-bit float holds


def model_name(model: tables.Model) -> str:
    return f"{model.name}@{model.version}"


def prediction(
    model: tables.Model,
    scores: Sequence[float],
    duration_s: float,
    warnings: Sequence[str],
    *,
    all_scores: bool,
) -> schemas.Prediction:
    rounded = [round(score, SCORE_DIGITS) for score in scores]
    return schemas.Prediction(
        labels=[schemas.Label.model_validate(given) for given in given_labels(model, rounded)],
        duration_s=round(duration_s, 3),
        model=model_name(model),
        warnings=list(warnings),
        scores=dict(zip(model.labels, rounded, strict=True)) if all_scores else None,
    )


def result(model: tables.Model, row: ResultRow, *, all_scores: bool) -> schemas.Result:
    said = prediction(model, row.scores, row.duration_s, row.warnings, all_scores=all_scores)
    return schemas.Result(track_id=row.track_id, path=row.path, **dict(said))


def job_prediction(session: Session, job: tables.Job, *, all_scores: bool) -> schemas.Prediction | None:
    """What a finished `predict` job has found out."""
    if job.kind != JobKind.PREDICT or job.state != JobState.SUCCEEDED or not job.result:
        return None
    model = session.get_one(tables.Model, job.model_id)
    row = find_prediction(session, bytes.fromhex(job.result["content_hash"]), model.id)
    if row is None:
        return None
    return prediction(model, row.scores, row.duration_s, row.warnings, all_scores=all_scores)


def read_job(reads: SessionFactory, job_id: UUID, visible_to: str | None) -> schemas.Job:
    """A job as it is now."""
    with reads() as session:
        return job(session, get_job(session, job_id, visible_to=visible_to))


def job(session: Session, row: tables.Job) -> schemas.Job:
    return jobs(session, [row])[0]


def jobs(session: Session, rows: Sequence[tables.Job]) -> list[schemas.Job]:
    progress = get_progress(session, list(rows))
    return [_job(row, progress[row.id], job_result(session, row)) for row in rows]


Outcome = (
    schemas.Prediction | schemas.TrainingOutcome | schemas.TuningOutcome | schemas.ThresholdOutcome | None
)


def job_result(session: Session, job: tables.Job) -> Outcome:
    if job.kind == JobKind.TUNING:
        return tuning_outcome(session, job.result) if job.result else None
    if job.kind == JobKind.TRAINING:
        return training_outcome(get_run(session, job.id)) if job.result else None
    return job_prediction(session, job, all_scores=False)


def tuning_outcome(
    session: Session, result: dict[str, Any]
) -> schemas.TuningOutcome | schemas.ThresholdOutcome:
    """What a finished study or tuning of thresholds has found out."""
    if "study_id" not in result:
        return schemas.ThresholdOutcome.model_validate(result)
    row = get_study(session, UUID(result["study_id"]))
    config = TuningConfig.model_validate(row.study.config)
    best = list_trials(session, row.study.id, curves=False, numbers=result["best"])
    return schemas.TuningOutcome(
        study_id=row.study.id, best=[_best(config, trial) for trial in best], counts=_counts(row)
    )


def training_outcome(row: RunRow) -> schemas.TrainingOutcome | None:
    """What a finished run has found out."""
    results = row.run.results
    if row.model is None or results is None:
        return None
    return schemas.TrainingOutcome(
        run_id=row.run.id,
        experiment=row.experiment,
        model=model_name(row.model),
        evaluated_on=results["evaluated_on"],
        metrics=row.run.metrics or {},
        intervals=results["intervals"],
        labels=[schemas.LabelOutcome.model_validate(label) for label in results["per_label"]],
        dropped=len(results["dropped"]),
        warnings=results["warnings"],
    )


def _job(row: tables.Job, progress: Progress, found: Outcome) -> schemas.Job:
    return schemas.Job(
        id=row.id,
        kind=JobKind(row.kind),
        state=JobState(row.state),
        progress=schemas.Progress.model_validate(progress),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        params=row.params,
        result=found,
        error=_error(row.error_code, row.error_detail),
    )


def item(row: ItemRow) -> schemas.Item:
    error = _error(row.error_code, row.error_detail)
    return schemas.Item(track_id=row.track_id, path=row.path, state=row.state, error=error)


def _error(code: str | None, detail: str | None) -> schemas.JobError | None:
    return schemas.JobError(code=code, detail=detail or "") if code else None


def track(model: tables.Model, row: TrackRow, *, all_scores: bool) -> schemas.Track:
    heard = row.prediction
    return schemas.Track(
        id=row.track.id,
        library=row.library,
        path=row.track.path,
        size=row.track.size,
        tags=row.track.tags,
        missing=row.track.missing_at is not None,
        prediction=prediction(model, heard.scores, heard.duration_s, heard.warnings, all_scores=all_scores)
        if heard
        else None,
    )


def library(row: tables.Library, tracks: int) -> schemas.Library:
    return schemas.Library(id=row.id, name=row.name, path=row.path, created_at=row.created_at, tracks=tracks)


def model(row: tables.Model, aliases: dict[str, int]) -> schemas.Model:
    return schemas.Model(
        name=row.name,
        version=row.version,
        kind=row.kind,
        aliases=sorted(alias for alias, model_id in aliases.items() if model_id == row.id),
        labels=row.labels,
        thresholds=[round(threshold, SCORE_DIGITS) for threshold in row.thresholds],
        embedding_size=row.embedding_size,
        metrics=row.metrics,
        sha256=row.sha256,
        created_at=row.created_at,
    )


def experiment(row: tables.Experiment, run_count: int) -> schemas.Experiment:
    return schemas.Experiment(name=row.name, created_at=row.created_at, run_count=run_count)


def run(row: RunRow) -> schemas.Run:
    return schemas.Run(
        id=row.run.id,
        experiment=row.experiment,
        job_id=row.run.job_id,
        state=JobState(row.state) if row.state else None,
        model=model_name(row.model) if row.model else None,
        seed=row.run.seed,
        dataset_sha256=row.run.dataset_sha256,
        code_version=row.run.code_version,
        metrics=row.run.metrics,
        duration_s=row.run.duration_s,
        created_at=row.run.created_at,
        finished_at=row.run.finished_at,
    )


def run_details(row: RunRow, epochs: Sequence[tables.Epoch]) -> schemas.RunDetails:
    return schemas.RunDetails(
        **dict(run(row)),
        config=row.run.config,
        results=row.run.results,
        epochs=[
            schemas.Epoch.model_validate(
                each.metrics | {"fold": None if each.fold == NO_FOLD else each.fold, "epoch": each.epoch}
            )
            for each in epochs
        ],
        artifacts=list(ARTIFACTS) if row.model else [],
    )


def comparison(found: Comparison) -> schemas.RunComparison:
    return schemas.RunComparison(
        runs=[run(row) for row in found.runs], metrics=found.metrics, differences=found.differences
    )


def study(row: StudyRow) -> schemas.Study:
    return schemas.Study(
        id=row.study.id,
        name=row.study.name,
        job_id=row.study.job_id,
        state=JobState(row.state) if row.state else None,
        counts=_counts(row),
        created_at=row.study.created_at,
    )


def study_details(
    row: StudyRow, trials: Sequence[tables.Trial], plots: Sequence[str], *, curves: bool
) -> schemas.StudyDetails:
    config = TuningConfig.model_validate(row.study.config)
    found = [_best(config, trial) for trial in best_trials(config, trials)]
    is_single = len(config.objectives) == 1
    return schemas.StudyDetails(
        **dict(study(row)),
        config=row.study.config,
        best=found[0] if found and is_single else None,
        pareto_front=[] if is_single else found,
        importances=row.study.importances,
        plots=list(plots),
        trials=[_trial(config, trial, curves=curves) for trial in trials],
    )


def _trial(config: TuningConfig, row: tables.Trial, *, curves: bool) -> schemas.TrialDetails:
    return schemas.TrialDetails(
        number=row.number,
        state=TrialState(row.state),
        params=row.params,
        values=_values(config, row) if row.values else None,
        error=_error(row.error_code, row.error_detail),
        started_at=row.started_at,
        finished_at=row.finished_at,
        curve=[schemas.TrialPoint.model_validate(point) for point in row.curve] if curves else [],
    )


def _best(config: TuningConfig, row: tables.Trial) -> schemas.BestTrial:
    return schemas.BestTrial(number=row.number, params=row.params or {}, values=_values(config, row))


def _values(config: TuningConfig, row: tables.Trial) -> dict[str, float]:
    names = [objective.metric for objective in config.objectives]
    return dict(zip(names, row.values or (), strict=True))


def _counts(row: StudyRow) -> dict[TrialState, int]:
    return {state: row.counts[state] for state in TrialState if state in row.counts}
