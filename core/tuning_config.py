"""Typed configuration of a study of hyper-parameters, read from `configs/tuning/*.yaml`; torch-free."""

import difflib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from core.config import Config
from core.config_errors import explain, models_in, tag_of
from core.errors import InvalidConfig
from core.experiment_config import ExperimentConfig, parse_experiment

Scalar = bool | int | float | str | None
Finite = Annotated[float, Field(allow_inf_nan=False)]
When = Annotated[
    dict[str, Scalar | tuple[Scalar, ...]],
    Field(description="only where these other keys of the space have this value, or one of these"),
]
# What a trial can be judged by, and which way is better.
METRICS: dict[str, Literal["maximize", "minimize"]] = {
    "roc_auc_macro": "maximize",
    "pr_auc_macro": "maximize",
    "f1_micro": "maximize",
    "f1_macro": "maximize",
    "f1_samples": "maximize",
    "accuracy": "maximize",  # of tracks with one label each
    "validation_loss": "minimize",
    "latency_ms": "minimize",
    "parameters": "minimize",
}
Metric = Literal[
    "roc_auc_macro",
    "pr_auc_macro",
    "f1_micro",
    "f1_macro",
    "f1_samples",
    "accuracy",
    "validation_loss",
    "latency_ms",
    "parameters",
]
# They decide what is measured: trials that differ in them could not be compared.
FIXED = ("experiment_name", "dataset", "labels", "split", "evaluation")
SYNONYMS = {"learning_rate": "lr"}
WITHOUT_LOSS = ("random_forest", "ensemble")  # models that are not judged epoch by epoch
LOSS = ("training.loss.", "training.max_class_weight")  # what the validation loss itself follows from
MAX_TRIALS = 10_000


class FloatRange(Config):
    """Real numbers from `low` to `high`."""

    kind: Literal["float"] = "float"
    low: Finite
    high: Finite
    log: bool = False
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    when: When = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_range(self.low, self.high, log=self.log)
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        return self


class IntRange(Config):
    """Whole numbers from `low` to `high`."""

    kind: Literal["int"] = "int"
    low: int
    high: int
    log: bool = False
    step: Annotated[int, Field(ge=1)] = 1
    when: When = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_range(self.low, self.high, log=self.log)
        if self.log and self.step != 1:
            raise ValueError("log and step exclude each other")
        return self


class Choices(Config):
    """One of some values."""

    kind: Literal["categorical"] = "categorical"
    choices: Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=1000)]
    when: When = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len({json.dumps(choice) for choice in self.choices}) < len(self.choices):
            raise ValueError("choices must differ")
        return self


Dimension = Annotated[FloatRange | IntRange | Choices, Field(discriminator="kind")]


class ObjectiveConfig(Config):
    """What makes one trial better than another, measured on validation tracks, never on test tracks."""

    metric: Metric = "roc_auc_macro"
    direction: Annotated[
        Literal["maximize", "minimize"] | None, Field(description="follows from the metric")
    ] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.direction not in (None, METRICS[self.metric]):
            raise ValueError(f"{self.metric} is to {METRICS[self.metric]}")
        return self

    @property
    def maximizes(self) -> bool:
        return METRICS[self.metric] == "maximize"


class TPEConfig(Config):
    """Tree-structured Parzen estimator of all parameters together (Bergstra et al., 2011)."""

    kind: Literal["tpe"] = "tpe"
    startup: Annotated[int, Field(ge=1, le=MAX_TRIALS, description="random trials before it")] = 10


class GPConfig(Config):
    """Gaussian process with expected improvement; slower to suggest, good with few trials."""

    kind: Literal["gp"] = "gp"
    startup: Annotated[int, Field(ge=1, le=MAX_TRIALS, description="random trials before it")] = 10


class RandomConfig(Config):
    kind: Literal["random"] = "random"


class GridConfig(Config):
    """Every combination, in an order that the seed decides."""

    kind: Literal["grid"] = "grid"
    points: Annotated[int, Field(ge=2, le=1000, description="of a range without a step, ends included")] = 5


SamplerConfig = Annotated[TPEConfig | GPConfig | RandomConfig | GridConfig, Field(discriminator="kind")]


class NoPruner(Config):
    kind: Literal["none"] = "none"


class MedianConfig(Config):
    """Stop a trial whose validation loss is above the median of those before it at the same epoch."""

    kind: Literal["median"] = "median"
    startup: Annotated[int, Field(ge=0, le=MAX_TRIALS, description="trials that are never stopped")] = 5
    warm_up: Annotated[
        int, Field(ge=0, le=100_000, description="epochs after which a trial may be stopped")
    ] = 3


class HyperbandConfig(Config):
    """Successive halving with several starting points (Li et al., 2018)."""

    kind: Literal["hyperband"] = "hyperband"
    min_epochs: Annotated[int, Field(ge=1, le=100_000)] = 1
    reduction: Annotated[int, Field(ge=2, le=1000)] = 3


PrunerConfig = Annotated[NoPruner | MedianConfig | HyperbandConfig, Field(discriminator="kind")]


class TuningConfig(Config):
    """A study: which experiment, which of its keys are searched where, and what for."""

    study_name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=100)]
    experiment: Annotated[
        dict[str, Any] | str, Field(description="a configuration, or the name of one of the server's")
    ]
    space: Annotated[dict[str, Dimension], Field(min_length=1, max_length=100, description="dotted keys")]
    objectives: Annotated[tuple[ObjectiveConfig, ...], Field(min_length=1, max_length=3)] = (
        ObjectiveConfig(),
    )
    sampler: SamplerConfig = TPEConfig()
    pruner: Annotated[PrunerConfig, Field(description="looks at the validation loss of each epoch")] = (
        NoPruner()
    )
    n_trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)] = 30
    max_parallel: Annotated[int, Field(ge=1, le=256, description="trials at a time")] = 2
    time_budget_s: Annotated[float, Field(gt=0, le=1e9, description="no trial starts later")] | None = None
    target: Annotated[Finite, Field(description="no trial starts once one is as good")] | None = None
    trial_epochs: (
        Annotated[
            int, Field(ge=1, le=100_000, description="of a trial, where fewer than the experiment's will do")
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
                "pruner: with several objectives nothing says which trial is worse; use training.patience"
            )
        if len(self.objectives) > 1 and self.target is not None:
            raise ValueError("target: only a study of one objective can have one")
        if self.sampler.kind == "grid" and any(dimension.when for dimension in self.space.values()):
            raise ValueError("sampler: a grid has no conditional keys")
        return self


def _check_range(low: float, high: float, *, log: bool) -> None:
    if not low < high:
        raise ValueError(f"low must be less than high ({low:g} is not less than {high:g})")
    if log and low <= 0:
        raise ValueError(f"low must be greater than 0 where log is set (it is {low:g})")


def load_tuning(path: Path) -> TuningConfig:
    """The study of a YAML file; whether its keys exist in the experiment is checked by `check_space`."""
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise InvalidConfig(f"There is no file {path}.") from error
    except yaml.YAMLError as error:
        raise InvalidConfig(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise InvalidConfig(f"{path} must hold keys and values.")
    return parse_tuning(content)


def parse_tuning(content: Mapping[str, Any]) -> TuningConfig:
    try:
        return TuningConfig.model_validate(content)
    except ValidationError as error:
        raise InvalidConfig(explain(error, TuningConfig)) from error


def canonical(config: ExperimentConfig) -> dict[str, Any]:
    """What was set in an experiment, as JSON holds it: defaults stay open, so that a kind can be changed."""
    content: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True)
    return content


def check_space(config: TuningConfig) -> None:
    """Raise InvalidConfig, naming the key, unless every end and choice gives a valid experiment.

    `config.experiment` must be `canonical`.
    """
    base = _base(config)
    known = sorted(_keys(ExperimentConfig))
    for key in config.space:
        _check_key(key, known)
    ordered_keys(config.space)
    for key, dimension in config.space.items():
        for context in _contexts(config.space, key):
            for value in _edges(dimension):
                _check_value(base, key, value, context)
    _check_losses(config, base)


def _base(config: TuningConfig) -> dict[str, Any]:
    if not isinstance(config.experiment, dict):
        raise InvalidConfig(f"experiment: {config.experiment!r} has not been looked up.")
    return config.experiment


def _check_key(key: str, known: Sequence[str]) -> None:
    if key.split(".")[0] in FIXED:
        raise InvalidConfig(
            f"space.{key}: this decides what is measured, so trials that differ in it could not be compared."
        )
    if key not in known:
        last = SYNONYMS.get(key.rpartition(".")[2], key.rpartition(".")[2])
        same = [each for each in known if each.rpartition(".")[2] == last]
        near = (same or difflib.get_close_matches(key, known, n=1, cutoff=0.5))[:1]
        hint = f"did you mean {near[0]!r}?" if near else "see the keys of an experiment."
        raise InvalidConfig(f"space.{key}: Unknown key {key!r}: {hint}")


def _keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    """All dotted keys below a model, those of every member of a union."""
    found = set()
    for name, field in model.model_fields.items():
        inner = list(models_in(field.annotation))
        if not inner:
            found.add(prefix + name)
        for each in inner:
            found |= _keys(each, f"{prefix}{name}.")
    return found


def ordered_keys(space: Mapping[str, Any]) -> list[str]:
    """The keys such that each stands behind those that its `when` names; otherwise by name."""
    order: list[str] = []
    waiting = sorted(space)
    while waiting:
        free = [key for key in waiting if set(space[key].when) <= set(order)]
        if not free:
            key, missing = waiting[0], sorted(set(space[waiting[0]].when) - set(space))
            why = f"{missing[0]!r} is not in the space" if missing else "it depends on itself"
            raise InvalidConfig(f"space.{key}.when: {why}.")
        order += free
        waiting = [key for key in waiting if key not in free]
    for key in order:
        for other, wanted in space[key].when.items():
            choices = getattr(space[other], "choices", ())
            if not set(_values(wanted)) <= set(choices):
                raise InvalidConfig(f"space.{key}.when: {other!r} has no choice {wanted!r}.")
    return order


def is_active(dimension: FloatRange | IntRange | Choices, chosen: Mapping[str, Any]) -> bool:
    """Whether a key is searched, given what has been chosen for those before it."""
    return all(
        other in chosen and chosen[other] in _values(wanted) for other, wanted in dimension.when.items()
    )


def _values(wanted: Scalar | tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    return wanted if isinstance(wanted, tuple) else (wanted,)


def _contexts(space: Mapping[str, Any], key: str) -> Iterator[dict[str, Any]]:
    """What else may be chosen where this key is: the kinds of its sections, and what its `when` names."""
    allowed: dict[str, tuple[Any, ...]] = {}
    waiting = [key]
    while waiting:
        for other, wanted in space[waiting.pop()].when.items():
            allowed[other] = _values(wanted)
            waiting.append(other)
    parts = key.split(".")
    for depth in range(1, len(parts)):
        kind = ".".join((*parts[:depth], "kind"))
        if kind in space and kind != key and kind not in allowed:
            allowed[kind] = space[kind].choices if isinstance(space[kind], Choices) else ()
    for values in itertools.product(*allowed.values()):
        yield dict(zip(allowed, values, strict=True))


def _edges(dimension: FloatRange | IntRange | Choices) -> tuple[Any, ...]:
    return dimension.choices if isinstance(dimension, Choices) else (dimension.low, dimension.high)


def _check_value(base: Mapping[str, Any], key: str, value: Any, context: Mapping[str, Any]) -> None:
    content = replaced(base, {**context, key: value})
    try:
        # Strict: a trial must get the very value that the space names, not what it can be taken for.
        ExperimentConfig.model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        where = "".join(f" with {other} {given!r}" for other, given in context.items())
        raise InvalidConfig(f"space.{key}: {value!r}{where}: {explain(error, ExperimentConfig)}") from error


def _check_losses(config: TuningConfig, base: Mapping[str, Any]) -> None:
    """Validation losses must exist, and be of one kind, where trials are compared by them."""
    wanted = {"pruner"} if config.pruner.kind != "none" else set()
    if any(objective.metric == "validation_loss" for objective in config.objectives):
        wanted.add("objectives")
    kinds = config.space.get("model.kind")
    without = set(kinds.choices if isinstance(kinds, Choices) else (base["model"]["kind"],))
    for field in sorted(wanted):
        if base.get("split", {}).get("folds") is not None:
            raise InvalidConfig(f"{field}: under cross-validation (split.folds) there is no validation loss.")
        if without <= set(WITHOUT_LOSS) or (field == "objectives" and without & set(WITHOUT_LOSS)):
            raise InvalidConfig(f"{field}: {', '.join(WITHOUT_LOSS)} have no validation loss.")
        for key in config.space:
            if key.startswith(LOSS):
                raise InvalidConfig(f"{field}: the losses of trials that differ in {key} do not compare.")


def replaced(content: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """An experiment with some dotted keys replaced; a section of another kind keeps only what that has."""
    result = dict(content)
    for key in sorted(values, key=lambda key: (not key.endswith(".kind"), key.count("."), key)):
        result = _with(result, key.split("."), values[key], [ExperimentConfig])
    return result


def _with(
    content: Mapping[str, Any], parts: Sequence[str], value: Any, owners: Sequence[type[BaseModel]]
) -> dict[str, Any]:
    first, *rest = parts
    if not rest:
        if first == "kind" and content.get("kind") != value:
            of_kind = {name for owner in owners if tag_of(owner) == value for name in owner.model_fields}
            content = {name: inner for name, inner in content.items() if name in of_kind}
        return {**content, first: value}
    section = content.get(first)
    fields = [owner.model_fields[first] for owner in owners if first in owner.model_fields]
    inner = [model for field in fields for model in models_in(field.annotation)]
    return {**content, first: _with(section if isinstance(section, Mapping) else {}, rest, value, inner)}


def trial_experiment(config: TuningConfig, values: Mapping[str, Any]) -> ExperimentConfig:
    """What one trial trains: without resampling for intervals, which nobody looks at."""
    extra: dict[str, Any] = {"evaluation.bootstrap": 0}
    if config.trial_epochs is not None:
        extra["training.epochs"] = config.trial_epochs
    return parse_experiment(replaced(_base(config), extra | dict(values)))


def best_experiment(config: TuningConfig, values: Mapping[str, Any]) -> ExperimentConfig:
    """The experiment with the parameters of a trial, for all its epochs."""
    return parse_experiment(replaced(_base(config), values))


def grid_points(grid: GridConfig, space: Mapping[str, Dimension]) -> dict[str, list[Any]]:
    """The values of each key that a grid combines."""
    return {key: _spread(dimension, grid.points) for key, dimension in sorted(space.items())}


def _spread(dimension: FloatRange | IntRange | Choices, points: int) -> list[Any]:
    if isinstance(dimension, Choices):
        return list(dimension.choices)
    low, high = dimension.low, dimension.high
    if isinstance(dimension, IntRange) and dimension.step > 1:
        return list(range(dimension.low, dimension.high + 1, dimension.step))
    if isinstance(dimension, FloatRange) and dimension.step is not None:
        count = int((high - low) / dimension.step + 1e-9) + 1
        return [low + dimension.step * index for index in range(count)]
    shares = [index / (points - 1) for index in range(points)]
    spread = [
        low * (high / low) ** share if dimension.log else low + (high - low) * share for share in shares
    ]
    if isinstance(dimension, IntRange):
        return sorted({round(value) for value in spread})
    return [min(max(value, low), high) for value in spread]


def grid_size(grid: GridConfig, space: Mapping[str, Dimension]) -> int:
    return math.prod(len(values) for values in grid_points(grid, space).values())


def planned_trials(config: TuningConfig) -> int:
    """How many trials a study has at most: a grid ends with its last point."""
    if isinstance(config.sampler, GridConfig):
        return min(config.n_trials, grid_size(config.sampler, config.space))
    return config.n_trials


def pareto_front(values: Sequence[Sequence[float]], maximizes: Sequence[bool]) -> list[int]:
    """The places of those that no other is as good as in every objective and better in one."""
    gains = [
        [value if upwards else -value for value, upwards in zip(row, maximizes, strict=True)]
        for row in values
    ]

    def beats(one: Sequence[float], other: Sequence[float]) -> bool:
        return one != other and all(a >= b for a, b in zip(one, other, strict=True))

    return [place for place, own in enumerate(gains) if not any(beats(other, own) for other in gains)]
