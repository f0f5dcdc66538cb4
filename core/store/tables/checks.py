"""Constraints that several tables have."""

from sqlalchemy import (
    CheckConstraint,
)

from core.states import ItemState, JobState, TrialState, UnitState, Verdict


def one_of(states: type[JobState | UnitState | ItemState | TrialState]) -> CheckConstraint:
    return CheckConstraint("state IN (" + ", ".join(f"'{state}'" for state in states) + ")", name="state")


def verdict() -> CheckConstraint:
    return CheckConstraint("verdict IN (" + ", ".join(f"'{each}'" for each in Verdict) + ")", name="verdict")
