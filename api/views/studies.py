"""Studies and their trials."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from api import schemas
from api.views.errors import job_error
from api.views.experiments import place_of
from core.config.tuning import TuningConfig
from core.services.studies import (
    StudyRow,
    list_trial_page,
    summarise_study,
)
from core.states import JobState, TrialState
from core.store import tables

FIRST_TRIALS = 100  # in the details of a study


def tuning_outcome(row: StudyRow, best: Sequence[tables.Trial]) -> schemas.TuningOutcome:
    config = TuningConfig.model_validate(row.study.config)
    return schemas.TuningOutcome(
        study_id=row.study.id, best=[_best(config, trial) for trial in best], counts=_counts(row)
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
    return schemas.TrialPoint.model_validate(shown | place_of(row))


def _trial(config: TuningConfig, row: tables.Trial) -> dict[str, Any]:
    return {
        "number": row.number,
        "state": TrialState(row.state),
        "params": row.params,
        "values": _values(config, row) if row.values else None,
        "error": job_error(row.error_code, row.error_detail),
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
