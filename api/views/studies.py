"""Studies and their trials."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from api import schemas
from api.views.errors import job_error
from api.views.experiments import place_of
from core.config.tuning import METRICS, TuningConfig
from core.services.studies import StudyRow, summarise_study
from core.services.trial_lists import find_bests, list_trial_page
from core.states import TrialState
from core.store import tables

FIRST_TRIALS = 100  # in the details of a study
CANCELLED = (
    "It was ended before it was complete: its job was cancelled, or the study had reached its target "
    "or used up its time."
)
PRUNED = "It did worse than other trials at the same epoch."


def tuning_outcome(row: StudyRow, best: Sequence[tables.Trial]) -> schemas.TuningOutcome:
    metrics = [objective["metric"] for objective in row.study.config["objectives"]]
    return schemas.TuningOutcome(
        study_id=row.study.id, best=[_best(metrics, trial) for trial in best], counts=_counts(row)
    )


def study_list(session: Session, rows: Sequence[StudyRow]) -> list[schemas.Study]:
    bests = find_bests(session, [row.study for row in rows])
    return [schemas.Study(**_study(row, bests.get(row.study.id))) for row in rows]


def _study(row: StudyRow, best: tables.Trial | None) -> dict[str, Any]:
    config = row.study.config
    metrics = [objective["metric"] for objective in config["objectives"]]
    return {
        "id": row.study.id,
        "name": row.study.name,
        "job_id": row.study.job_id,
        "state": row.state,
        "counts": _counts(row),
        "objectives": [schemas.Objective(metric=name, direction=METRICS[name]) for name in metrics],
        "sampler": config["sampler"]["kind"],
        "pruner": config["pruner"]["kind"],
        "best": best and _best(metrics, best),
        "created_at": row.study.created_at,
    }


def study_details(session: Session, row: StudyRow, plots: Sequence[str]) -> schemas.StudyDetails:
    config = TuningConfig.model_validate(row.study.config)
    found = summarise_study(session, row.study.id, config)
    metrics: list[str] = [objective.metric for objective in config.objectives]
    is_single = len(metrics) == 1
    first = list_trial_page(session, row.study, None, FIRST_TRIALS)
    return schemas.StudyDetails(
        **_study(row, found.best[0] if found.best and is_single else None),
        config=row.study.config,
        pareto_front=[] if is_single else [_best(metrics, trial) for trial in found.best],
        pareto_size=0 if is_single else found.front_size,
        leaders=[_best(metrics, trial) for trial in found.leaders],
        failures=[schemas.JobError(code=code, detail=detail) for code, detail in found.reasons],
        importances=row.study.importances,
        plots=list(plots),
        trials=[schemas.Trial(**_trial(metrics, trial)) for trial in first.items],
        trials_cursor=first.next_cursor,
    )


def trials(
    row: StudyRow, found: Sequence[tables.Trial], epochs: Mapping[UUID, Sequence[tables.Epoch]]
) -> list[schemas.TrialDetails]:
    """`epochs`: the curves by trial."""
    metrics = [objective["metric"] for objective in row.study.config["objectives"]]
    return [
        schemas.TrialDetails(
            **_trial(metrics, trial), curve=[_trial_point(each) for each in epochs.get(trial.id, ())]
        )
        for trial in found
    ]


def _trial_point(row: tables.Epoch) -> schemas.TrialPoint:
    shown = {name: row.metrics.get(name) for name in ("train_loss", "validation_loss", "validation")}
    return schemas.TrialPoint.model_validate(shown | place_of(row))


def _trial(metrics: Sequence[str], row: tables.Trial) -> dict[str, Any]:
    return {
        "id": row.id,
        "number": row.number,
        "state": TrialState(row.state),
        "params": row.params,
        "values": _values(metrics, row) if row.values else None,
        "error": job_error(row.error_code, row.error_detail),
        "reason": _reason(row),
        "started_at": row.started_at,
        "finished_at": row.finished_at,
    }


def _reason(row: tables.Trial) -> str | None:
    """Why it ended without values. Earlier versions did not store why a trial was pruned."""
    usual = {TrialState.PRUNED: PRUNED, TrialState.CANCELLED: CANCELLED, TrialState.FAILED: "It failed."}
    return row.error_detail or usual.get(TrialState(row.state))


def _best(metrics: Sequence[str], row: tables.Trial) -> schemas.BestTrial:
    return schemas.BestTrial(number=row.number, params=row.params or {}, values=_values(metrics, row))


def _values(metrics: Sequence[str], row: tables.Trial) -> dict[str, float]:
    return dict(zip(metrics, row.values or (), strict=True))


def _counts(row: StudyRow) -> dict[TrialState, int]:
    return {state: row.counts[state] for state in TrialState if state in row.counts}
