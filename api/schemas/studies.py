"""Studies and their trials."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from api.schemas.base import Request, Response, example
from api.schemas.problems import JobError
from core.config.params import JobKind, TuningParams
from core.config.tuning import MAX_TRIALS, Direction
from core.states import JobState, TrialState


class TuningRequest(Request):
    model_config = example(
        {
            "kind": "tuning",
            "params": {
                "study": {
                    "study_name": "my-genres",
                    "experiment": {
                        "experiment_name": "my-genres",
                        "dataset": {"kind": "library", "library": "home", "labels_from": "genre_tags"},
                        "model": {"kind": "transfer"},
                    },
                    "space": {"training.lr": {"kind": "float", "low": 0.0001, "high": 0.1, "log": True}},
                    "n_trials": 30,
                }
            },
        }
    )

    kind: Literal[JobKind.TUNING]
    params: TuningParams


class BestTrial(Response):
    number: int
    params: dict[str, Any] = Field(description="by dotted key of the experiment")
    values: dict[str, float] = Field(description="by objective")


class TuningOutcome(Response):
    """The result of a study."""

    study_id: UUID
    best: list[BestTrial] = Field(description="the best trial, or the Pareto front of several objectives")
    counts: dict[TrialState, int] = Field(description="all trials of the study, by state")


class Trial(Response):
    """One evaluated point of a study's search space."""

    id: UUID = Field(description="of its run")
    number: int = Field(description="from 0")
    state: TrialState
    params: dict[str, Any] | None = Field(description="by dotted key; null until it has started")
    values: dict[str, float] | None = Field(description="by objective; null unless it is complete")
    error: JobError | None
    reason: str | None = Field(
        description="why it was pruned, failed or was cancelled, in a sentence; null in all other states"
    )
    started_at: datetime | None
    finished_at: datetime | None


class TrialPoint(Response):
    """A point of a trial's curve."""

    fold: int | None
    epoch: int
    train_loss: float | None
    validation_loss: float | None
    validation: dict[str, float | None]


class TrialDetails(Trial):
    curve: list[TrialPoint] = Field(description="empty unless asked for with `curves=true`")


class Objective(Response):
    metric: str
    direction: Direction


class Study(Response):
    """A search for hyper-parameters."""

    id: UUID
    name: str
    job_id: UUID | None = Field(description="its last job")
    state: JobState | None = Field(description="of its last job")
    counts: dict[TrialState, int] = Field(description="trials by state")
    objectives: list[Objective] = Field(description="what it optimises, in the order of its values")
    sampler: str = Field(description="how it searches: `tpe`, `gp`, `random` or `grid`")
    pruner: str = Field(description="how it ends bad trials early: `none`, `median` or `hyperband`")
    best: BestTrial | None = Field(description="null for several objectives, and until a trial is complete")
    created_at: datetime


class StudyDetails(Study):
    config: dict[str, Any]
    pareto_front: list[BestTrial] = Field(
        description="up to 100 trials of the Pareto front; empty for one objective"
    )
    pareto_size: int = Field(description="number of trials on the Pareto front, listed or not")
    leaders: list[BestTrial] = Field(
        description="the 20 best complete trials, best first; empty for several objectives"
    )
    failures: list[JobError] = Field(description="distinct errors of failed trials, at most 10")
    importances: dict[str, dict[str, float]] | None = Field(
        description="share of each objective's variance by key; computed when a job of the study ends"
    )
    plots: list[str] = Field(description="names of plots, for `/studies/{id}/plots/{name}.png`")
    trials: list[Trial] = Field(description="the first hundred; `/studies/{id}/trials` lists all of them")
    trials_cursor: str | None = Field(
        description="`cursor` for the next page of `/studies/{id}/trials`; null when all are listed here"
    )


class ResumeRequest(Request):
    n_trials: int = Field(ge=1, le=MAX_TRIALS, description="number of additional trials")


class BestRequest(Request):
    trial: int | None = Field(
        default=None, ge=0, le=999_999_999, description="number of the trial to train instead of the best"
    )
