"""What a training has done so far, line by line, as its job and its epochs record it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Text, cast, func, select
from sqlalchemy.orm import Session

from core.services.preparation import PLAN_INPUTS, PREPARE
from core.services.training import TRAIN
from core.states import UnitState
from core.store.experiments import NO_FOLD, RunRow
from core.store.tables import Epoch, Job, JobUnit

MOST_LINES = 500
Kind = Literal["stage", "epoch", "warning", "error"]


@dataclass(frozen=True)
class LogLine:
    kind: Kind
    text: str
    at: datetime | None = None  # None if only the order is known


@dataclass(frozen=True)
class RunLog:
    lines: list[LogLine]  # in the order in which it happened
    left_out: int  # lines before these, of a long training


def read_log(session: Session, row: RunRow, epochs: Sequence[Epoch]) -> RunLog:
    """The log of a run, also while it is running. `epochs`: those of the run, in the order of training."""
    job = session.get(Job, row.run.job_id) if row.run.job_id is not None else None
    units = _units(session, job) if job is not None else {}
    lines = [
        LogLine("stage", "Submitted.", row.run.created_at),
        *_stages(units),
        *(LogLine("epoch", _describe_epoch(epoch)) for epoch in epochs),
        *_activity(units.get(TRAIN.name)),
        *(LogLine("warning", text) for text in (row.run.results or {}).get("warnings", ())),
        *_end(row, job),
    ]
    return RunLog(lines[-MOST_LINES:], max(0, len(lines) - MOST_LINES))


@dataclass(frozen=True)
class _Units:
    """The units of one kind."""

    number: int
    done: int
    attempts: int  # of the unit that has had most
    began: datetime | None
    activity: str | None  # as JSON


def _units(session: Session, job: Job) -> dict[str, _Units]:
    query = (
        select(
            JobUnit.kind,
            func.count(),
            func.count().filter(JobUnit.state == UnitState.DONE),
            func.max(JobUnit.attempt),
            func.min(JobUnit.started_at),
            func.max(cast(JobUnit.activity, Text)).filter(JobUnit.state == UnitState.RUNNING),
        )
        .where(JobUnit.job_id == job.id)
        .group_by(JobUnit.kind)
    )
    return {row.kind: _Units(*row[1:]) for row in session.execute(query)}


def _stages(units: Mapping[str, _Units]) -> Iterator[LogLine]:
    if (planning := units.get(PLAN_INPUTS.name)) is not None and planning.began is not None:
        yield LogLine("stage", "Looks for tracks whose audio has to be read first.", planning.began)
    if (preparing := units.get(PREPARE.name)) is not None and preparing.began is not None:
        text = f"Reads audio: {preparing.done} of {preparing.number} parts are done."
        yield LogLine("stage", text, preparing.began)
    for each in units.values():
        if each.attempts > 1:
            yield LogLine("error", f"Tried again, attempt {each.attempts}.")
    if (training := units.get(TRAIN.name)) is not None and training.began is not None:
        yield LogLine("stage", "The training has begun.", training.began)


def _activity(training: _Units | None) -> Iterator[LogLine]:
    if training is not None and training.activity is not None:
        now = json.loads(training.activity)
        name, done, total = (now.get(key) for key in ("name", "done", "total"))
        yield LogLine("stage", f"Now: {name}" + (f", {done} of {total}." if total else "."))


def _end(row: RunRow, job: Job | None) -> Iterator[LogLine]:
    at = row.run.finished_at or (job.finished_at if job is not None else None)
    if row.model is not None:
        yield LogLine("stage", f"The model {row.model.reference} is registered.", at)
    elif job is not None and job.error_detail is not None:
        yield LogLine("error", job.error_detail, at)
    elif job is not None and job.finished_at is not None:
        yield LogLine("stage", f"It has ended: {job.state}.", at)


def _describe_epoch(epoch: Epoch) -> str:
    report = epoch.metrics
    fold = "" if epoch.fold == NO_FOLD else f"fold {epoch.fold} of {report.get('folds') or '?'}, "
    place = f"{fold}epoch {epoch.epoch} of at most {report.get('epochs') or '?'}"
    figures = [
        ("training loss", report.get("train_loss")),
        ("validation loss", report.get("validation_loss")),
        ("macro-F1", (report.get("validation") or {}).get("f1_macro")),
    ]
    told = [f"{name} {value:.4g}" for name, value in figures if value is not None]
    took = report.get("duration_s")
    told += [f"{took:.0f} s" if took >= 10 else f"{took:.2g} s"] if took is not None else []
    told += ["the best so far"] if report.get("is_best") else []
    return f"{place[0].upper()}{place[1:]}: {', '.join(told)}." if told else f"{place[0].upper()}{place[1:]}."
