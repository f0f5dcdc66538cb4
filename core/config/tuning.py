"""Typed configuration of a hyperparameter study, read from `configs/tuning/*.yaml`; without torch."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, ValidationError, model_validator

from core.config.base import Config
from core.config.errors import explain
from core.config.yaml_files import read_mapping
from core.errors import InvalidConfig

LARGEST = 2**53  # the largest integer up to which floats in JSON and Postgres are exact
MAX_CHOICES = 1000


def _check_scalar(value: bool | int | float | str | None) -> bool | int | float | str | None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError("must be between -2**53 and 2**53")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("must not contain NUL")
    return value


Scalar = Annotated[bool | int | float | str | None, AfterValidator(_check_scalar)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
RealEnd = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
WholeEnd = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
When = Annotated[
    dict[str, Scalar | Annotated[tuple[Scalar, ...], Field(max_length=MAX_CHOICES)]],
    Field(
        max_length=20, description="only if these other keys of the space have this value, or one of these"
    ),
]
MaximizedMetric = Literal[
    "roc_auc_macro", "pr_auc_macro", "f1_micro", "f1_macro", "f1_samples", "accuracy"
]  # accuracy: only if every track has one label
MinimizedMetric = Literal["validation_loss", "latency_ms", "parameters"]
Metric = MaximizedMetric | MinimizedMetric
Direction = Literal["maximize", "minimize"]
# The metrics that a study can optimise, and the direction of each.
METRICS: dict[str, Direction] = {
    **dict.fromkeys(get_args(MaximizedMetric), "maximize"),
    **dict.fromkeys(get_args(MinimizedMetric), "minimize"),
}
MAX_TRIALS = 10_000


class FloatRange(Config):
    """Real numbers from `low` to `high`."""

    kind: Literal["float"] = "float"
    low: RealEnd
    high: RealEnd
    log: bool = False
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    when: When = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_range(self.low, self.high, log=self.log)
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        if self.step is not None:
            _check_step(self.step, self.high - self.low)
        return self


class IntRange(Config):
    """Integers from `low` to `high`."""

    kind: Literal["int"] = "int"
    low: WholeEnd
    high: WholeEnd
    log: bool = False
    step: Annotated[int, Field(ge=1, le=LARGEST)] = 1
    when: When = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_range(self.low, self.high, log=self.log)
        if self.log and self.step != 1:
            raise ValueError("log and step exclude each other")
        _check_step(self.step, self.high - self.low)
        return self


class Choices(Config):
    """One of some values."""

    kind: Literal["categorical"] = "categorical"
    choices: Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=MAX_CHOICES)]
    when: When = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len({json.dumps(choice) for choice in self.choices}) < len(self.choices):
            raise ValueError("choices must differ")
        return self


Dimension = Annotated[FloatRange | IntRange | Choices, Field(discriminator="kind")]


class ObjectiveConfig(Config):
    """An objective, measured on validation tracks, never on test tracks."""

    metric: Metric = "roc_auc_macro"
    direction: Annotated[Direction | None, Field(description="follows from the metric")] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.direction not in (None, METRICS[self.metric]):
            raise ValueError(f"the direction of {self.metric} is {METRICS[self.metric]}")
        return self

    @property
    def maximizes(self) -> bool:
        return METRICS[self.metric] == "maximize"


class TPEConfig(Config):
    """Multivariate tree-structured Parzen estimator (Bergstra et al., 2011)."""

    kind: Literal["tpe"] = "tpe"
    startup: Annotated[int, Field(ge=1, le=MAX_TRIALS, description="random trials before it")] = 10


class GPConfig(Config):
    """Gaussian process with expected improvement; slower, but good with few trials."""

    kind: Literal["gp"] = "gp"
    startup: Annotated[int, Field(ge=1, le=MAX_TRIALS, description="random trials before it")] = 10


class RandomConfig(Config):
    kind: Literal["random"] = "random"


class GridConfig(Config):
    """Every combination, in an order determined by the seed."""

    kind: Literal["grid"] = "grid"
    points: Annotated[
        int, Field(ge=2, le=1000, description="of a range without a step, including its ends")
    ] = 5


SamplerConfig = Annotated[TPEConfig | GPConfig | RandomConfig | GridConfig, Field(discriminator="kind")]


class NoPruner(Config):
    kind: Literal["none"] = "none"


class MedianConfig(Config):
    """Stop a trial whose validation loss is above the median of earlier trials at the same epoch."""

    kind: Literal["median"] = "median"
    startup: Annotated[int, Field(ge=0, le=MAX_TRIALS, description="trials that are never stopped")] = 5
    warm_up: Annotated[
        int, Field(ge=0, le=100_000, description="epochs after which a trial may be stopped")
    ] = 3


class HyperbandConfig(Config):
    """Successive halving with several brackets (Li et al., 2018)."""

    kind: Literal["hyperband"] = "hyperband"
    min_epochs: Annotated[int, Field(ge=1, le=100_000)] = 1
    reduction: Annotated[int, Field(ge=2, le=1000)] = 3


PrunerConfig = Annotated[NoPruner | MedianConfig | HyperbandConfig, Field(discriminator="kind")]


class TuningConfig(Config):
    """A study: the experiment, the search space and the objectives."""

    study_name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=100)]
    experiment: Annotated[
        dict[str, Any] | str, Field(description="a configuration, or the name of one on the server")
    ]
    space: Annotated[dict[str, Dimension], Field(min_length=1, max_length=100, description="dotted keys")]
    objectives: Annotated[tuple[ObjectiveConfig, ...], Field(min_length=1, max_length=3)] = (
        ObjectiveConfig(),
    )
    sampler: SamplerConfig = TPEConfig()
    pruner: Annotated[PrunerConfig, Field(description="uses the validation loss of each epoch")] = NoPruner()
    n_trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)] = 30
    max_parallel: Annotated[int, Field(ge=1, le=256, description="concurrent trials")] = 2
    time_budget_s: (
        Annotated[float, Field(gt=0, le=1e9, description="no further trial starts after this time")] | None
    ) = None
    target: (
        Annotated[Finite, Field(description="no further trial starts once a trial reaches this value")] | None
    ) = None
    trial_epochs: (
        Annotated[
            int, Field(ge=1, le=100_000, description="of a trial, if fewer than those of the experiment")
        ]
        | None
    ) = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len({objective.metric for objective in self.objectives}) < len(self.objectives):
            raise ValueError("objectives must differ")
        if len(self.objectives) > 1 and self.pruner.kind != "none":
            raise ValueError(
                "pruner: with several objectives, no single loss ranks the trials; use training.patience"
            )
        if len(self.objectives) > 1 and self.target is not None:
            raise ValueError("target: only a study with one objective can have a target")
        if self.sampler.kind == "grid" and any(dimension.when for dimension in self.space.values()):
            raise ValueError("sampler: a grid has no conditional keys")
        return self


def _check_range(low: float, high: float, *, log: bool) -> None:
    if not low < high:
        raise ValueError(f"low must be less than high ({low:g} is not less than {high:g})")
    if log and low <= 0:
        raise ValueError(f"low must be greater than 0 where log is set (it is {low:g})")


def _check_step(step: float, width: float) -> None:
    if step > width:
        raise ValueError(f"step must not be greater than high - low ({step:g} is greater than {width:g})")


def load_tuning(path: Path) -> TuningConfig:
    """Load a study from YAML; its keys are checked by `check_space`. Raises InvalidConfig."""
    return parse_tuning(read_mapping(path))


def parse_tuning(content: Mapping[str, Any]) -> TuningConfig:
    try:
        return TuningConfig.model_validate(content)
    except ValidationError as error:
        raise InvalidConfig(explain(error, TuningConfig)) from error
