"""The database itself refuses every transition that the tables of states do not know."""

from itertools import product
from uuid import UUID

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.states import (
    JOB_TRANSITIONS,
    TERMINAL_JOB_STATES,
    TERMINAL_UNIT_STATES,
    UNIT_TRANSITIONS,
    JobState,
    UnitState,
)
from core.store.tables import Job, JobUnit


def make_job(session: Session, state: str) -> UUID:
    job = {"kind": "analysis", "owner": "tests", "params": {}, "state": state}
    return session.scalars(insert(Job).values(job).returning(Job.id)).one()


def make_unit(session: Session, state: str) -> int:
    unit = {"job_id": make_job(session, JobState.RUNNING), "seq": 0, "kind": "plan", "queue": "plan"}
    return session.scalars(insert(JobUnit).values(unit | {"state": state}).returning(JobUnit.id)).one()


def moves(session: Session, table: str, row_id: object, state: str) -> bool:
    """Whether the database lets a row go over into a state."""
    statement = text(f"UPDATE {table} SET state = :state WHERE id = :id")
    try:
        with session.begin_nested():
            session.execute(statement, {"state": state, "id": row_id})
    except IntegrityError as error:
        if "no transition" not in str(error.orig):
            raise
        return False
    return True


@pytest.mark.parametrize(("before", "after"), list(product(JobState, JobState)))
def test_a_job_goes_only_where_its_state_allows(session, before, after):
    allowed = after in JOB_TRANSITIONS[before] or after is before
    assert moves(session, "jobs", make_job(session, before), after) is allowed


@pytest.mark.parametrize(("before", "after"), list(product(UnitState, UnitState)))
def test_a_unit_goes_only_where_its_state_allows(session, before, after):
    allowed = after in UNIT_TRANSITIONS[before] or after is before
    assert moves(session, "job_units", make_unit(session, before), after) is allowed


def test_states_that_say_the_end_are_the_ones_without_a_way_out():
    assert {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED} == TERMINAL_JOB_STATES
    assert {UnitState.DONE, UnitState.FAILED, UnitState.CANCELLED} == TERMINAL_UNIT_STATES


def test_a_state_that_does_not_exist_is_refused(session):
    with pytest.raises(IntegrityError, match="ck_jobs_state"):
        make_job(session, "lost")
