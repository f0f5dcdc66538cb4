"""Trials that Optuna was told the end of, by a worker that died before it could write that down with us."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.states import OPEN_TRIAL_STATES, TrialState

_HAS_OPTUNA = text("SELECT to_regclass('optuna.trials') IS NOT NULL")
_TAKE_OVER = text(
    """
    UPDATE public.trials AS ours
    SET state = lower(theirs.state::text), finished_at = theirs.datetime_complete, "values" = CASE
        WHEN theirs.state = 'COMPLETE' THEN (
            SELECT array_agg(told.value ORDER BY told.objective)
            FROM optuna.trial_values AS told WHERE told.trial_id = theirs.trial_id)
        END
    FROM optuna.trials AS theirs JOIN optuna.studies AS study USING (study_id)
    WHERE study.study_name = ours.study_id::text AND theirs.number = ours.optuna_number
        AND theirs.state IN ('COMPLETE', 'PRUNED')
        AND ours.job_id = ANY (:job_ids) AND ours.state = ANY (:open_states)
    """
)


_FIND = text(
    """
    SELECT lower(trial.state::text), array_agg(told.value ORDER BY told.objective)
        FILTER (WHERE trial.state = 'COMPLETE')
    FROM optuna.trials AS trial JOIN optuna.studies AS study USING (study_id)
    LEFT JOIN optuna.trial_values AS told USING (trial_id)
    WHERE study.study_name = :name AND trial.number = :number AND trial.state IN ('COMPLETE', 'PRUNED')
    GROUP BY trial.trial_id, trial.state
    """
)


def find_told(session: Session, study_id: UUID, number: int) -> tuple[TrialState, list[float] | None] | None:
    """How the trial that Optuna calls `number` has ended there, None unless it is complete or pruned."""
    if not session.scalar(_HAS_OPTUNA):
        return None
    row = session.execute(_FIND, {"name": str(study_id), "number": number}).one_or_none()
    return (TrialState(row[0]), row[1]) if row else None


def take_over_told(session: Session, job_ids: Collection[UUID]) -> None:
    """End what is open in these jobs as Optuna knows that it ended."""
    if session.scalar(_HAS_OPTUNA):
        session.execute(_TAKE_OVER, {"job_ids": list(job_ids), "open_states": list(OPEN_TRIAL_STATES)})
