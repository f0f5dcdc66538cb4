"""Studies as rows: their trials, the best ones, their pictures."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.orm import Session

from core.config.search_space import pareto_front
from core.config.tuning import TuningConfig
from core.errors import ArtifactNotFound, StudyNotFound
from core.states import TrialState
from core.store.cursor import Page, cut_page, decode_cursor
from core.store.ids import id_starts_with
from core.store.tables import Job, Study, Trial

PLOTS = ("history", "importances", "parallel_coordinates", "pareto_front", "slice")


MOST_BEST = 100  # points of a Pareto front that are shown
LEADERS = 20  # complete trials that are shown, the best first
MOST_REASONS = 10  # of failed trials


@dataclass(frozen=True)
class StudyRow:
    """A study with the joined columns of its last job and its trials."""

    study: Study
    state: str | None  # of its last job
    counts: dict[str, int]  # trials by state


@dataclass(frozen=True)
class Reason:
    """Why trials of a study failed."""

    code: str
    detail: str
    trials: int
    first: int  # number of one of them


@dataclass(frozen=True)
class StudySummary:
    """What the trials of a study have found, cut to a bounded size."""

    best: Sequence[Trial]  # the best one, or up to `MOST_BEST` of the Pareto front
    front_size: int  # of the whole Pareto front; 1 for one objective, 0 while no trial is complete
    leaders: Sequence[Trial]  # the best complete ones, best first; none where there are several objectives
    reasons: Sequence[tuple[str, str]]  # code and detail of failures, each once


def list_studies(
    session: Session, cursor: str | None, limit: int, id_prefix: str | None = None
) -> Page[StudyRow]:
    """Newest first."""
    query = select(Study).order_by(Study.created_at.desc(), Study.id.desc()).limit(limit + 1)
    if id_prefix is not None:
        query = query.where(id_starts_with(Study.id, id_prefix))
    if cursor is not None:
        key = decode_cursor(cursor, datetime.fromisoformat, UUID)
        query = query.where(tuple_(Study.created_at, Study.id) < key)
    rows = _with_jobs(session, session.scalars(query).all())
    return cut_page(rows, limit, lambda row: (row.study.created_at, row.study.id))


def get_study(session: Session, study_id: UUID) -> StudyRow:
    study = session.get(Study, study_id)
    if study is None:
        raise StudyNotFound
    return _with_jobs(session, [study])[0]


def get_studies(session: Session, study_ids: Sequence[UUID]) -> dict[UUID, StudyRow]:
    """Those of these studies that exist, by id."""
    studies = session.scalars(select(Study).where(Study.id.in_(study_ids))).all() if study_ids else []
    return {row.study.id: row for row in _with_jobs(session, studies)}


def _with_jobs(session: Session, studies: Sequence[Study]) -> list[StudyRow]:
    if not studies:
        return []
    job_ids = [study.job_id for study in studies if study.job_id]
    jobs = session.execute(select(Job.id, Job.state).where(Job.id.in_(job_ids)))
    states: dict[UUID, str] = {job_id: state for job_id, state in jobs}
    counts: dict[UUID, dict[str, int]] = {study.id: {} for study in studies}
    grouped = select(Trial.study_id, Trial.state, func.count()).where(Trial.study_id.in_(counts))
    for study_id, state, count in session.execute(grouped.group_by(Trial.study_id, Trial.state)):
        counts[study_id][state] = count
    return [
        StudyRow(study, states.get(study.job_id) if study.job_id else None, counts[study.id])
        for study in studies
    ]


def list_trials(session: Session, study_id: UUID, numbers: Sequence[int] | None = None) -> list[Trial]:
    """All, or those of these numbers, in their order; none of a study that has been deleted meanwhile."""
    query = (
        select(Trial)
        .join(Study, Study.id == Trial.study_id)
        .where(Trial.study_id == study_id)
        .order_by(Trial.number)
    )
    if numbers is not None:
        query = query.where(Trial.number.in_(numbers))
    return list(session.scalars(query))


def find_trials(session: Session, numbers: Mapping[UUID, Sequence[int]]) -> dict[UUID, list[Trial]]:
    """Trials of several studies by their numbers."""
    wanted = [(study_id, number) for study_id, of_study in numbers.items() for number in of_study]
    found: dict[UUID, list[Trial]] = {study_id: [] for study_id in numbers}
    if wanted:
        query = select(Trial).where(tuple_(Trial.study_id, Trial.number).in_(wanted)).order_by(Trial.number)
        for trial in session.scalars(query):
            found[trial.study_id].append(trial)
    return found


def summarise_study(session: Session, study_id: UUID, config: TuningConfig) -> StudySummary:
    if len(config.objectives) == 1:
        leaders = find_leaders(session, study_id, config, LEADERS)
        best, size = leaders[:1], len(leaders[:1])
    else:
        leaders = []
        best, size = find_front(session, study_id, config)
    reasons = [(reason.code, reason.detail) for reason in list_reasons(session, study_id)]
    return StudySummary(best, size, leaders, reasons)


def list_reasons(session: Session, study_id: UUID) -> list[Reason]:
    """Why trials failed: each reason once, in the order in which they came up, at most `MOST_REASONS`."""
    query = (
        select(Trial.error_code, func.coalesce(Trial.error_detail, ""), func.count(), func.min(Trial.number))
        .where(Trial.study_id == study_id, Trial.error_code.is_not(None))
        .group_by(Trial.error_code, Trial.error_detail)
        .order_by(func.min(Trial.number))
        .limit(MOST_REASONS)
    )
    return [Reason(code or "", detail, count, first) for code, detail, count, first in session.execute(query)]


def find_leaders(session: Session, study_id: UUID, config: TuningConfig, limit: int) -> list[Trial]:
    """The best complete trials by the first objective, the best first and of equals the first."""
    value: ColumnElement[Any] = Trial.values[1]  # Postgres counts from 1
    order = value.desc() if config.objectives[0].maximizes else value.asc()
    query = select(Trial).where(*_complete(study_id)).order_by(order, Trial.number).limit(limit)
    return list(session.scalars(query))


def find_front(session: Session, study_id: UUID, config: TuningConfig) -> tuple[list[Trial], int]:
    """The first `MOST_BEST` trials of the Pareto front, and how many are on it."""
    numbers = find_front_numbers(session, study_id, config)
    return find_trials(session, {study_id: numbers[:MOST_BEST]})[study_id], len(numbers)


def find_front_numbers(session: Session, study_id: UUID, config: TuningConfig) -> list[int]:
    """The numbers of the trials of the Pareto front."""
    # As columns, which are read several times faster than arrays.
    values = [Trial.values[place] for place in range(1, len(config.objectives) + 1)]
    query = select(Trial.number, *values).where(*_complete(study_id)).order_by(Trial.number)
    rows = [tuple(row) for row in session.execute(query)]
    front = pareto_front([row[1:] for row in rows], [each.maximizes for each in config.objectives])
    return [rows[place][0] for place in front]


def _complete(study_id: UUID) -> tuple[ColumnElement[bool], ...]:
    return Trial.study_id == study_id, Trial.state == TrialState.COMPLETE, Trial.values.is_not(None)


def best_trials(config: TuningConfig, trials: Sequence[Trial]) -> list[Trial]:
    """The best complete trial, the first of equals; with several objectives the Pareto front."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.values]
    front = pareto_front(
        [trial.values or () for trial in complete], [each.maximizes for each in config.objectives]
    )
    found = [complete[place] for place in front]
    return found[:1] if len(config.objectives) == 1 else found


def save_importances(session: Session, study_id: UUID, importances: dict[str, Any]) -> None:
    session.get_one(Study, study_id).importances = importances
    session.flush()


def list_plots(study_id: UUID, studies_dir: Path) -> list[str]:
    return [name for name in PLOTS if (studies_dir / str(study_id) / f"{name}.png").is_file()]


def read_plot(session: Session, study_id: UUID, name: str, studies_dir: Path) -> bytes:
    """A picture that a worker has drawn."""
    study = get_study(session, study_id).study
    if name in PLOTS:
        with suppress(FileNotFoundError):
            return (studies_dir / str(study.id) / f"{name}.png").read_bytes()
    raise ArtifactNotFound("There is no such picture of this study; they are drawn when its job ends.")
