"""What a trial needs of its study: the records of all trials, and the lock to ask for parameters."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from core.ml.tuning.study import TrialRecord
from core.services.studies import list_trials
from core.states import TrialState
from core.store.experiments import list_losses

_ASKING = 7_264_002  # of the advisory locks of studies
_POLL_EVERY_S = 0.1


def read_records(session: Session, study_id: UUID, epochs: Sequence[int] | None = None) -> list[TrialRecord]:
    """All trials of a study by number, with their validation losses: of all epochs, or of these."""
    losses = list_losses(session, study_id, epochs)
    return [
        TrialRecord(
            number=trial.number,
            state=TrialState(trial.state),
            params=trial.params or {},
            values=trial.values,
            losses=losses.get(trial.id, {}),
        )
        for trial in list_trials(session, study_id)
    ]


@contextmanager
def asking_alone(engine: Engine, study_id: UUID, on_wait: Callable[[], None]) -> Iterator[None]:
    """Within the block no other process asks for parameters of this study.

    Sampling can take minutes, in which no transaction may be open and no row locked. So this is a lock of a
    Postgres session on a connection of its own; it ends with the process, however that ends. `on_wait` is
    called while another process asks; if it raises, the waiting ends.
    """
    key = func.hashtextextended(str(study_id), _ASKING)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.scalar(select(func.pg_try_advisory_lock(key))):
            on_wait()
            time.sleep(_POLL_EVERY_S)
        try:
            yield
        finally:
            try:
                connection.execute(select(func.pg_advisory_unlock(key)))
            except DBAPIError:
                connection.invalidate()
