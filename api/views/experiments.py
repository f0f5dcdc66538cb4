"""Experiments and their runs."""

from collections.abc import Sequence

from api import schemas
from core.services.run_log import RunLog
from core.states import JobState
from core.store import tables
from core.store.experiments import NO_FOLD, Comparison, RunRow, list_artifacts


def training_outcome(row: RunRow) -> schemas.TrainingOutcome | None:
    """What a finished run has found out."""
    results = row.run.results
    if row.model is None or results is None:
        return None
    return schemas.TrainingOutcome(
        run_id=row.run.id,
        experiment=row.experiment,
        model=row.model.reference,
        evaluated_on=results["evaluated_on"],
        metrics=row.run.metrics or {},
        intervals=results["intervals"],
        labels=[schemas.LabelOutcome.model_validate(label) for label in results["per_label"]],
        measured_labels=(row.run.metrics or {}).get("measured_labels"),
        unmeasured=results.get("unmeasured", {}),
        dropped=len(results["dropped"]),
        warnings=results["warnings"],
    )


def experiment(row: tables.Experiment, run_count: int) -> schemas.Experiment:
    return schemas.Experiment(name=row.name, created_at=row.created_at, run_count=run_count)


def run(row: RunRow) -> schemas.Run:
    return schemas.Run(
        id=row.run.id,
        experiment=row.experiment,
        job_id=row.run.job_id,
        state=JobState(row.state) if row.state else None,
        model=row.model.reference if row.model else None,
        seed=row.run.seed,
        dataset_sha256=row.run.dataset_sha256,
        code_version=row.run.code_version,
        metrics=row.run.metrics,
        duration_s=row.run.duration_s,
        created_at=row.run.created_at,
        finished_at=row.run.finished_at,
    )


def epochs(rows: Sequence[tables.Epoch]) -> list[schemas.Epoch]:
    return [schemas.Epoch.model_validate(each.metrics | place_of(each)) for each in rows]


def run_log(found: RunLog) -> schemas.RunLog:
    lines = [schemas.RunLogLine(kind=line.kind, text=line.text, at=line.at) for line in found.lines]
    return schemas.RunLog(lines=lines, left_out=found.left_out)


def run_details(row: RunRow, rows: Sequence[tables.Epoch]) -> schemas.RunDetails:
    return schemas.RunDetails(
        **dict(run(row)),
        config=row.run.config,
        results=row.run.results,
        epochs=epochs(rows),
        artifacts=list_artifacts(row),
    )


def comparison(found: Comparison) -> schemas.RunComparison:
    return schemas.RunComparison(
        runs=[run(row) for row in found.runs], metrics=found.metrics, differences=found.differences
    )


def place_of(row: tables.Epoch) -> dict[str, int | None]:
    return {"fold": None if row.fold == NO_FOLD else row.fold, "epoch": row.epoch}
