"""The trials of a study as lists: pages in the order of any column, one trial, and the values of all."""

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import (
    ColumnElement,
    Float,
    Integer,
    SQLColumnExpression,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, distinct_on
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from core.config.tuning import METRICS, Scalar
from core.errors import Invalid, TrialNotFound
from core.states import OPEN_TRIAL_STATES, TrialState
from core.store.cursor import Page, cut_page, decode_cursor
from core.store.tables import Study, Trial

LARGEST_FLOAT = sys.float_info.max
SCALAR: TypeAdapter[Any] = TypeAdapter(Scalar)


@dataclass(frozen=True)
class Outcome:
    """How a trial has ended."""

    number: int
    state: str
    values: tuple[float, ...] | None  # in the order of the objectives; None unless it is complete
    is_best: bool = False  # better than all before it by the objective that was asked for


@dataclass(frozen=True)
class _Column:
    """What trials can be ordered by; trials without a value come last in both directions."""

    key: SQLColumnExpression[Any]
    parse: Callable[[Any], Any]  # of a value in a cursor; raises ValueError
    type: type[TypeEngine[Any]]


def list_trial_page(
    session: Session,
    study: Study,
    cursor: str | None,
    limit: int,
    *,
    sort: str = "number",
    state: TrialState | None = None,
) -> Page[Trial]:
    """In the order of a column, of equals by number. `sort`: `number`, `state`, `duration`,
    `values.<objective>` or `params.<key of the space>`, with a `-` in front from high to low.

    Raises Invalid for a column that the study does not have.
    """
    name, descending = sort.removeprefix("-"), sort.startswith("-")
    column = _find_column(study, name)
    query = select(Trial, column.key, column.key.is_not(None)).where(Trial.study_id == study.id)
    if state is not None:
        query = query.where(Trial.state == state)
    if cursor is not None:
        query = query.where(_after(column, cursor, descending=descending))
    order = column.key.desc() if descending else column.key.asc()
    rows = session.execute(query.order_by(order.nulls_last(), Trial.number).limit(limit + 1)).all()
    # The list is empty where there is no value: None may be one, of a parameter with this choice.
    page = cut_page(rows, limit, lambda row: ([row[1]] if row[2] else [], row[0].number))
    return Page([row[0] for row in page.items], page.next_cursor)


def sort_columns(study: Study) -> list[str]:
    """The columns that the trials of a study can be sorted by."""
    values = [f"values.{objective['metric']}" for objective in study.config["objectives"]]
    return ["number", "state", "duration", *values, *(f"params.{key}" for key in study.config["space"])]


def _find_column(study: Study, name: str) -> _Column:
    columns = sort_columns(study)
    if name not in columns:
        raise Invalid(f"The trials of this study have no column {name!r}: {', '.join(columns)}.")
    if name == "number":
        return _Column(Trial.number, _parse_number, Integer)
    if name == "state":
        return _Column(Trial.state, TrialState, Text)
    if name == "duration":
        took_s = func.extract("epoch", Trial.finished_at - Trial.started_at)
        return _Column(cast(took_s, Float), float, Float)
    kind, _, key = name.partition(".")
    if kind == "values":
        place = columns.index(name) - columns.index("duration")
        return _Column(Trial.values[place], float, Float)  # Postgres counts from 1
    return _Column(Trial.params[key], _parse_scalar, JSONB)


def _after(column: _Column, cursor: str, *, descending: bool) -> ColumnElement[bool]:
    """The trials after one with this value, if it has one, and number."""
    values, number = decode_cursor(
        cursor, lambda found: [column.parse(each) for each in found], _parse_number
    )
    later = Trial.number > number
    if not values:
        return and_(column.key.is_(None), later)
    value = literal(values[0], column.type)
    beyond = column.key < value if descending else column.key > value
    return or_(beyond, and_(column.key == value, later), column.key.is_(None))


def _parse_number(value: Any) -> int:
    if not 0 <= (number := int(value)) < 2**31:
        raise ValueError
    return number


def _parse_scalar(value: Any) -> Any:
    """A value of a space, as Postgres can store it."""
    parsed = SCALAR.validate_python(value)
    if isinstance(parsed, str):
        parsed.encode()  # raises ValueError for half of a surrogate pair
    return parsed


def get_trial(session: Session, study_id: UUID, number: int) -> Trial:
    query = select(Trial).where(Trial.study_id == study_id, Trial.number == number)
    trial = session.scalars(query).one_or_none()
    if trial is None:
        raise TrialNotFound
    return trial


def list_outcomes(
    session: Session,
    study_id: UUID,
    objective: int,
    *,
    maximizes: bool,
    most: int,
    also: Collection[int] = (),
) -> list[Outcome]:
    """Of trials that have ended, by number: of all, or of many those that were better than all before them
    by one objective, those of the numbers `also`, and every n-th, which are `most` to twice as many.
    """
    finite = Trial.values[objective + 1].between(-LARGEST_FLOAT, LARGEST_FLOAT)  # not so for NaN
    value = case((and_(Trial.state == TrialState.COMPLETE, finite), Trial.values[objective + 1]))
    before: dict[str, Any] = {"order_by": Trial.number, "rows": (None, -1)}
    best_before = (func.max if maximizes else func.min)(value).over(**before)
    ended = (
        select(
            Trial.number,
            Trial.state,
            Trial.values,
            value.label("value"),
            best_before.label("best_before"),
            func.row_number().over(order_by=Trial.number).label("place"),
            func.count().over().label("total"),
        )
        .where(Trial.study_id == study_id, Trial.state.not_in(OPEN_TRIAL_STATES))
        .subquery()
    )
    found = ended.c
    surpasses = found.value > found.best_before if maximizes else found.value < found.best_before
    is_best = and_(found.value.is_not(None), or_(found.best_before.is_(None), surpasses))
    every = func.greatest(1, found.total // most)  # whole numbers
    kept = or_(is_best, found.number.in_(also), (found.place - 1) % every == 0, found.place == found.total)
    query = select(found.number, found.state, found["values"], is_best).where(kept).order_by(found.number)
    return [
        Outcome(number, state, tuple(values) if values else None, bool(best))
        for number, state, values, best in session.execute(query)
    ]


def find_bests(session: Session, studies: Sequence[Study]) -> dict[UUID, Trial]:
    """The best complete trial of each of these studies that has one objective and such a trial."""
    found: dict[UUID, Trial] = {}
    value: ColumnElement[Any] = Trial.values[1]
    for maximizes, best_first in ((True, value.desc()), (False, value.asc())):
        ids = [study.id for study in studies if _maximizes(study) is maximizes]
        if ids:
            complete = (
                Trial.study_id.in_(ids),
                Trial.state == TrialState.COMPLETE,
                Trial.values.is_not(None),
            )
            query = select(Trial).where(*complete).ext(distinct_on(Trial.study_id))
            query = query.order_by(Trial.study_id, best_first, Trial.number)
            found |= {trial.study_id: trial for trial in session.scalars(query)}
    return found


def _maximizes(study: Study) -> bool | None:
    """None for a study of several objectives."""
    objectives = study.config["objectives"]
    return METRICS[objectives[0]["metric"]] == "maximize" if len(objectives) == 1 else None
