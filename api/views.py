"""Rows as response shapes."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from api import schemas
from core.config.params import JobKind
from core.config.tuning import TuningConfig
from core.errors import JobNotFound
from core.jobs.items import ItemRow
from core.jobs.jobs import get_job
from core.jobs.kinds import Progress
from core.jobs.progress import get_progress
from core.services.results import ResultRow
from core.services.retraining import RetrainingRow
from core.services.studies import (
    MOST_BEST,
    StudyRow,
    find_trials,
    get_studies,
    list_trial_page,
    summarise_study,
)
from core.states import TERMINAL_JOB_STATES, JobState, TrialState
from core.store import tables
from core.store.corrections import Corrections, find_corrections
from core.store.experiments import ARTIFACTS, NO_FOLD, Comparison, RunRow, get_runs
from core.store.findings import findings_of
from core.store.predictions import Label, find_prediction, find_predictions, given_labels, true_labels
from core.store.session import SessionFactory
from core.store.similarity import SimilarTrack
from core.store.tracks import TrackRow

RETRY_AFTER_S = "1"
SCORE_DIGITS = 6  # all that a 32-bit float holds
FIRST_TRIALS = 100  # in the details of a study


def model_name(model: tables.Model) -> str:
    return f"{model.name}@{model.version}"


def prediction(
    model: tables.Model,
    scores: Sequence[float],
    duration_s: float,
    warnings: Sequence[str],
    corrections: Corrections,
    *,
    all_scores: bool,
) -> schemas.Prediction:
    rounded = [round(score, SCORE_DIGITS) for score in scores]
    given = given_labels(model, scores)  # of the scores themselves: rounded ones may be equal
    return schemas.Prediction(
        labels=labels(true_labels(model, given, corrections)),
        duration_s=round(duration_s, 3),
        model=model_name(model),
        warnings=list(warnings),
        scores=dict(zip(model.labels, rounded, strict=True)) if all_scores else None,
    )


def labels(given: Sequence[Label]) -> list[schemas.Label]:
    return [
        schemas.Label(label=each.label, score=round(each.score, SCORE_DIGITS), source=each.source)
        for each in given
    ]


def result(
    model: tables.Model, row: ResultRow, *, all_scores: bool, near: Sequence[SimilarTrack] | None = None
) -> schemas.Result:
    said = prediction(model, row.scores, row.duration_s, row.warnings, row.corrections, all_scores=all_scores)
    similar = None if near is None else [schemas.SimilarTrack.model_validate(each) for each in near]
    return schemas.Result(
        track_id=row.track_id,
        path=row.path,
        corrections=dict(row.corrections),
        similar=similar,
        **dict(said),
    )


def job_prediction(session: Session, job: tables.Job, *, all_scores: bool) -> schemas.Prediction | None:
    """What a finished `predict` job has found out."""
    if job.kind != JobKind.PREDICT or job.state != JobState.SUCCEEDED or not job.result:
        return None
    model = session.get(tables.Model, job.model_id) if job.model_id is not None else None
    if model is None:
        return None
    row = find_prediction(session, bytes.fromhex(job.result["content_hash"]), model.id)
    if row is None:
        return None
    corrected = find_corrections(session, [row.content_hash]).get(row.content_hash, {})
    return prediction(model, row.scores, row.duration_s, row.warnings, corrected, all_scores=all_scores)


def read_job(reads: SessionFactory, job_id: UUID, visible_to: str | None) -> schemas.Job:
    """A job as it is now."""
    with reads() as session:
        return job(session, get_job(session, job_id, visible_to=visible_to))


def job(session: Session, row: tables.Job) -> schemas.Job:
    shown = jobs(session, [row])
    if not shown:
        raise JobNotFound
    return shown[0]


def jobs(session: Session, rows: Sequence[tables.Job]) -> list[schemas.Job]:
    """Without those deleted since they were read; in a constant number of statements."""
    progress = get_progress(session, list(rows))
    outcomes = _outcomes(session, rows)
    return [_job(row, progress[row.id], outcomes.get(row.id)) for row in rows if row.id in progress]


Outcomes = dict[UUID, schemas.Outcome | None]


def _outcomes(session: Session, rows: Sequence[tables.Job]) -> Outcomes:
    """What jobs have found out, by their ids."""
    ended = [row for row in rows if row.result]
    return {
        **_analyses([row for row in rows if row.kind == JobKind.ANALYSIS]),
        **_predictions(session, [row for row in ended if row.kind == JobKind.PREDICT]),
        **_trainings(session, [row.id for row in ended if row.kind == JobKind.TRAINING]),
        **_tunings(session, [row for row in ended if row.kind == JobKind.TUNING]),
        **_as_stored(ended),
    }


def _analyses(rows: Sequence[tables.Job]) -> Outcomes:
    found = {row.id: findings_of(row) for row in rows if row.state in TERMINAL_JOB_STATES}
    return {
        job_id: schemas.AnalysisOutcome.model_validate(findings)
        for job_id, findings in found.items()
        if findings
    }


def _predictions(session: Session, rows: Sequence[tables.Job]) -> Outcomes:
    wanted = {
        row.id: (bytes.fromhex(row.result["content_hash"]), row.model_id)
        for row in rows
        if row.state == JobState.SUCCEEDED and row.result and row.model_id is not None
    }
    found = find_predictions(session, list(wanted.values()))
    corrected = find_corrections(session, {digest for digest, _ in found})
    return {
        job_id: prediction(
            model,
            row.scores,
            row.duration_s,
            row.warnings,
            corrected.get(row.content_hash, {}),
            all_scores=False,
        )
        for job_id, (model, row) in ((job_id, found[key]) for job_id, key in wanted.items() if key in found)
    }


def _trainings(session: Session, run_ids: Sequence[UUID]) -> Outcomes:
    return {row.run.id: training_outcome(row) for row in get_runs(session, run_ids)}


def _tunings(session: Session, rows: Sequence[tables.Job]) -> Outcomes:
    """Of studies that still exist."""
    results = {row.id: row.result or {} for row in rows}
    of_job = {job_id: UUID(result["study_id"]) for job_id, result in results.items()}
    studies = get_studies(session, list(of_job.values()))
    numbers: dict[UUID, list[int]] = {study_id: [] for study_id in studies}
    for job_id, study_id in of_job.items():
        if study_id in numbers:
            numbers[study_id] += results[job_id]["best"][:MOST_BEST]
    best = find_trials(session, numbers)
    outcomes: Outcomes = {}
    for job_id, study_id in of_job.items():
        if study_id in studies:
            listed = set(results[job_id]["best"][:MOST_BEST])
            outcomes[job_id] = _tuning(
                studies[study_id], [trial for trial in best[study_id] if trial.number in listed]
            )
    return outcomes


def _as_stored(rows: Sequence[tables.Job]) -> Outcomes:
    shapes = schemas.OUTCOMES
    return {row.id: shapes[row.kind].model_validate(row.result) for row in rows if row.kind in shapes}


def _tuning(row: StudyRow, best: Sequence[tables.Trial]) -> schemas.TuningOutcome:
    config = TuningConfig.model_validate(row.study.config)
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


def _job(row: tables.Job, progress: Progress, found: schemas.Outcome | None) -> schemas.Job:
    return schemas.Job(
        id=row.id,
        kind=JobKind(row.kind),
        state=JobState(row.state),
        progress=schemas.Progress.model_validate({**vars(progress), **progress.details}),
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
    found, corrected = row.prediction, row.corrections
    said = given_labels(model, found.scores) if found else []
    return schemas.Track(
        id=row.track.id,
        library=row.library,
        path=row.track.path,
        size=row.track.size,
        tags=row.track.tags,
        tags_error=row.track.tags_error,
        missing=row.track.missing_at is not None,
        labels=labels(true_labels(model, said, corrected)),
        corrections=dict(corrected),
        prediction=prediction(
            model, found.scores, found.duration_s, found.warnings, corrected, all_scores=all_scores
        )
        if found
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
        offer=schemas.Offer.model_validate(row.offer) if row.offer else None,
    )


def retraining(session: Session, row: RetrainingRow) -> schemas.Retraining:
    known, job = row.retraining, row.job
    made = session.get(tables.Model, job.model_id) if job is not None and job.model_id is not None else None
    code, detail = known.error_code, known.error_detail
    if code is None and job is not None:
        code, detail = job.error_code, job.error_detail
    return schemas.Retraining(
        model=known.model_name,
        enabled=known.enabled,
        after_corrections=known.after_tracks,
        library=row.library,
        serving=model_name(row.serving) if row.serving is not None else None,
        corrected=row.corrected,
        tried_at=known.tried_at,
        job=job.id if job is not None else None,
        state=job.state if job is not None else None,
        offered=model_name(made) if made is not None else None,
        error=schemas.JobError(code=code, detail=detail or "") if code is not None else None,
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
        epochs=[schemas.Epoch.model_validate(each.metrics | _place(each)) for each in epochs],
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


def study_details(session: Session, row: StudyRow, plots: Sequence[str]) -> schemas.StudyDetails:
    config = TuningConfig.model_validate(row.study.config)
    found = summarise_study(session, row.study.id, config)
    best = [_best(config, trial) for trial in found.best]
    is_single = len(config.objectives) == 1
    first = list_trial_page(session, row.study.id, None, FIRST_TRIALS)
    return schemas.StudyDetails(
        **dict(study(row)),
        config=row.study.config,
        best=best[0] if best and is_single else None,
        pareto_front=[] if is_single else best,
        pareto_size=0 if is_single else found.front_size,
        leaders=[_best(config, trial) for trial in found.leaders],
        failures=[schemas.JobError(code=code, detail=detail) for code, detail in found.reasons],
        importances=row.study.importances,
        plots=list(plots),
        trials=[schemas.Trial(**_trial(config, trial)) for trial in first.items],
        trials_cursor=first.next_cursor,
    )


def trials(
    row: StudyRow, found: Sequence[tables.Trial], epochs: Mapping[UUID, Sequence[tables.Epoch]]
) -> list[schemas.TrialDetails]:
    """`epochs`: the curves by trial."""
    config = TuningConfig.model_validate(row.study.config)
    return [
        schemas.TrialDetails(
            **_trial(config, trial), curve=[_trial_point(each) for each in epochs.get(trial.id, ())]
        )
        for trial in found
    ]


def _trial_point(row: tables.Epoch) -> schemas.TrialPoint:
    shown = {name: row.metrics.get(name) for name in ("train_loss", "validation_loss", "validation")}
    return schemas.TrialPoint.model_validate(shown | _place(row))


def _place(row: tables.Epoch) -> dict[str, int | None]:
    return {"fold": None if row.fold == NO_FOLD else row.fold, "epoch": row.epoch}


def _trial(config: TuningConfig, row: tables.Trial) -> dict[str, Any]:
    return {
        "number": row.number,
        "state": TrialState(row.state),
        "params": row.params,
        "values": _values(config, row) if row.values else None,
        "error": _error(row.error_code, row.error_detail),
        "started_at": row.started_at,
        "finished_at": row.finished_at,
    }


def _best(config: TuningConfig, row: tables.Trial) -> schemas.BestTrial:
    return schemas.BestTrial(number=row.number, params=row.params or {}, values=_values(config, row))


def _values(config: TuningConfig, row: tables.Trial) -> dict[str, float]:
    names = [objective.metric for objective in config.objectives]
    return dict(zip(names, row.values or (), strict=True))


def _counts(row: StudyRow) -> dict[TrialState, int]:
    return {state: row.counts[state] for state in TrialState if state in row.counts}
