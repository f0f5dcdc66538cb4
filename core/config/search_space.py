"""The search space of a study: its validation, and the experiment of a trial."""

import difflib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from core.config.errors import explain, models_in, tag_of
from core.config.experiment import UNUSED_KEYS, ExperimentConfig, parse_experiment
from core.config.models import TransferConfig
from core.config.tuning import (
    LARGEST,
    MAX_TRIALS,
    Choices,
    Dimension,
    FloatRange,
    GridConfig,
    IntRange,
    Scalar,
    TuningConfig,
)
from core.errors import InvalidConfig

# They determine the metrics: trials that differ in them would not be comparable.
FIXED = ("experiment_name", "dataset", "labels", "split", "evaluation")
SYNONYMS = {"learning_rate": "lr"}
WITHOUT_LOSS = ("random_forest", "ensemble")  # models without a validation loss per epoch
MAX_CHECKED_VALUES = 200  # of an integer range, at its ends
MAX_CHECKS = 20_000  # experiments that are validated to check a space
LOSS = ("training.loss.", "training.max_class_weight")  # keys that define the validation loss


def explicit_fields(config: ExperimentConfig) -> dict[str, Any]:
    """The explicitly set fields as JSON values; without defaults, so that a `kind` can be replaced."""
    content: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True)
    return content


def check_space(config: TuningConfig) -> None:
    """Raise InvalidConfig, naming the key, unless all choices and ends of ranges give valid experiments.

    Of an integer range, up to `MAX_CHECKED_VALUES` values are checked. `config.experiment` must be the
    `explicit_fields` of an experiment.
    """
    base = _base(config)
    known = sorted(_keys(ExperimentConfig))
    for key in config.space:
        _check_key(key, known)
    ordered_keys(config.space)
    if isinstance(config.sampler, GridConfig):
        check_grid(config.sampler, config.space)
    checks = 0
    for key, dimension in config.space.items():
        allowed, edges = _allowed(config.space, key), _edges(dimension)
        checks += math.prod(map(len, allowed.values())) * len(edges)
        if checks > MAX_CHECKS:
            raise InvalidConfig(f"space.{key}: it can be combined with too many values of other keys.")
        for values in itertools.product(*allowed.values()):
            context = dict(zip(allowed, values, strict=True))
            for value in edges:
                _check_value(base, key, value, context)
    _check_epochs(config)
    _check_losses(config, base)
    for key in config.space:
        _check_effect(config.space, key, base)


def _base(config: TuningConfig) -> dict[str, Any]:
    if not isinstance(config.experiment, dict):
        raise InvalidConfig(f"experiment: {config.experiment!r} has not been resolved.")
    return config.experiment


def _check_key(key: str, known: Sequence[str]) -> None:
    if key.split(".")[0] in FIXED:
        raise InvalidConfig(
            f"space.{key}: it determines what is measured, so trials that differ in it are not comparable."
        )
    if key not in known:
        last = SYNONYMS.get(key.rpartition(".")[2], key.rpartition(".")[2])
        same = [each for each in known if each.rpartition(".")[2] == last]
        near = (same or difflib.get_close_matches(key, known, n=1, cutoff=0.5))[:1]
        hint = f"did you mean {near[0]!r}?" if near else "see the keys of an experiment."
        raise InvalidConfig(f"space.{key}: Unknown key {key!r}: {hint}")


def _keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    """All dotted keys below a model, including those of every union member."""
    found = set()
    for name, field in model.model_fields.items():
        inner = list(models_in(field.annotation))
        if not inner:
            found.add(prefix + name)
        for each in inner:
            found |= _keys(each, f"{prefix}{name}.")
    return found


def ordered_keys(space: Mapping[str, Any]) -> list[str]:
    """The keys in topological order of their `when` conditions, otherwise by name. Raises InvalidConfig."""
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
    """Whether a key is searched, given the values chosen for earlier keys."""
    return all(
        other in chosen and chosen[other] in _values(wanted) for other, wanted in dimension.when.items()
    )


def _values(wanted: Scalar | tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    return wanted if isinstance(wanted, tuple) else (wanted,)


def _allowed(space: Mapping[str, Any], key: str) -> dict[str, tuple[Any, ...]]:
    """Values of other keys under which this one applies: kinds of its sections, and its `when` conditions."""
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
    return allowed


def _edges(dimension: FloatRange | IntRange | Choices) -> Sequence[Any]:
    if isinstance(dimension, Choices):
        return dimension.choices
    if isinstance(dimension, FloatRange):
        return (dimension.low, dimension.high)
    values = range(dimension.low, dimension.high + 1, dimension.step)
    half = MAX_CHECKED_VALUES // 2
    return values if len(values) <= MAX_CHECKED_VALUES else (*values[:half], *values[-half:])


def _check_value(base: Mapping[str, Any], key: str, value: Any, context: Mapping[str, Any]) -> None:
    content = replaced(base, {**context, key: value})
    try:
        # Strict, so that a trial gets exactly the value in the space, without conversion.
        ExperimentConfig.model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        where = "".join(f" with {other} {given!r}" for other, given in context.items())
        raise InvalidConfig(f"space.{key}: {value!r}{where}: {explain(error, ExperimentConfig)}") from error


def _check_effect(space: Mapping[str, Any], key: str, base: Mapping[str, Any]) -> None:
    """Raise InvalidConfig unless some possible kind of model uses this key."""
    kinds = (
        _allowed(space, key).get("model.kind")
        or getattr(space.get("model.kind"), "choices", None)
        or (base["model"]["kind"],)
    )
    only_logistic = tuple(kinds) == ("transfer",) and _heads(space, key, base) == {"logistic"}
    if only_logistic and _is_unused(key, "model.head: logistic"):
        raise InvalidConfig(f"space.{key}: it has no effect with model.head logistic.")
    if all(_is_unused(key, f"model.kind: {kind}") for kind in kinds):
        raise InvalidConfig(f"space.{key}: it has no effect with model.kind {', '.join(map(str, kinds))}.")


def _heads(space: Mapping[str, Any], key: str, base: Mapping[str, Any]) -> set[Any]:
    """The heads of a transfer model with which this key is searched."""
    allowed = _allowed(space, key).get("model.head")
    searched = getattr(space.get("model.head"), "choices", None)
    return set(allowed or searched or (base["model"].get("head", TransferConfig().head),))


def _is_unused(key: str, reason: str) -> bool:
    return any(f"{key}.".startswith(f"{idle}.") for idle in UNUSED_KEYS.get(reason, ()))


def _check_epochs(config: TuningConfig) -> None:
    if config.trial_epochs is None:
        return
    if "training.epochs" in config.space:
        raise InvalidConfig("trial_epochs: training.epochs is in the space already.")
    epochs = best_experiment(config, {}).training.epochs
    if config.trial_epochs > epochs:
        raise InvalidConfig(f"trial_epochs: the experiment has only {epochs} epochs.")


def _check_losses(config: TuningConfig, base: Mapping[str, Any]) -> None:
    """Raise InvalidConfig if trials are compared by validation losses that are missing or not comparable."""
    kinds = config.space.get("model.kind")
    without = set(kinds.choices if isinstance(kinds, Choices) else (base["model"]["kind"],))
    for field in _wanting_losses(config):
        if (base.get("split", {}).get("folds") or 1) > 1:
            raise InvalidConfig(
                f"{field}: under cross-validation (split.folds) there is no one validation loss."
            )
        if without <= set(WITHOUT_LOSS) or (field == "objectives" and without & set(WITHOUT_LOSS)):
            raise InvalidConfig(f"{field}: {', '.join(WITHOUT_LOSS)} have no validation loss.")
        for key in config.space:
            if key.startswith(LOSS):
                raise InvalidConfig(f"{field}: the losses of trials that differ in {key} are not comparable.")


def _wanting_losses(config: TuningConfig) -> list[str]:
    """The fields of a study that compare trials by their validation losses."""
    by_loss = any(objective.metric == "validation_loss" for objective in config.objectives)
    return ["objectives"] * by_loss + ["pruner"] * (config.pruner.kind != "none")


def replaced(content: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """An experiment with some dotted keys replaced; a section of a new kind keeps only that kind's fields."""
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
    """The experiment of a trial, without confidence intervals, which are not used.

    Where validation losses are compared, a small dataset is split once: a cross-validation has one per fold.
    """
    base = parse_experiment(_base(config))
    # Trials that differ in the seed are measured on the same split.
    extra: dict[str, Any] = {"evaluation.bootstrap": 0, "split.seed": base.seeded_split.seed}
    if base.split.depends_on_size and _wanting_losses(config):
        extra["split.folds"] = 1
    if config.trial_epochs is not None:
        extra["training.epochs"] = config.trial_epochs
    return parse_experiment(replaced(_base(config), extra | dict(values)))


def best_experiment(config: TuningConfig, values: Mapping[str, Any]) -> ExperimentConfig:
    """The experiment with the parameters of a trial and its full number of epochs."""
    return parse_experiment(replaced(_base(config), values))


def grid_points(grid: GridConfig, space: Mapping[str, Dimension]) -> dict[str, list[Any]]:
    """The values of each key in a grid. Raises InvalidConfig for more than `MAX_TRIALS` points."""
    check_grid(grid, space)
    return {key: _spread(dimension, grid.points) for key, dimension in sorted(space.items())}


def _spread(dimension: FloatRange | IntRange | Choices, points: int) -> list[Any]:
    if isinstance(dimension, Choices):
        return list(dimension.choices)
    low, high = dimension.low, dimension.high
    if isinstance(dimension, IntRange) and dimension.step > 1:
        return list(range(dimension.low, dimension.high + 1, dimension.step))
    if isinstance(dimension, FloatRange) and dimension.step is not None:
        return [min(low + dimension.step * index, high) for index in range(_count(dimension, points))]
    shares = [index / (points - 1) for index in range(points)]
    spread = [
        low * (high / low) ** share if dimension.log else low + (high - low) * share for share in shares
    ]
    if isinstance(dimension, IntRange):
        return sorted({round(value) for value in spread})
    return [min(max(value, low), high) for value in spread]


def _count(dimension: FloatRange | IntRange | Choices, points: int) -> int:
    """The number of values of `_spread`."""
    if isinstance(dimension, IntRange) and dimension.step > 1:
        return (dimension.high - dimension.low) // dimension.step + 1
    if isinstance(dimension, FloatRange) and dimension.step is not None:
        return int(min((dimension.high - dimension.low) / dimension.step + 1e-9, LARGEST)) + 1
    return len(_spread(dimension, points))


def grid_size(grid: GridConfig, space: Mapping[str, Dimension]) -> int:
    return math.prod(_count(dimension, grid.points) for dimension in space.values())


def check_grid(grid: GridConfig, space: Mapping[str, Dimension]) -> None:
    if grid_size(grid, space) > MAX_TRIALS:
        raise InvalidConfig(
            f"sampler: a grid may have at most {MAX_TRIALS} points; use steps or another sampler."
        )


def planned_trials(config: TuningConfig) -> int:
    """The maximum number of trials of a study; a grid ends with its last point."""
    if isinstance(config.sampler, GridConfig):
        return min(config.n_trials, grid_size(config.sampler, config.space))
    return config.n_trials


def pareto_front(values: Sequence[Sequence[float]], maximizes: Sequence[bool]) -> list[int]:
    """Indices of the Pareto-optimal rows, which no other row dominates."""
    gains = [
        tuple(value if upwards else -value for value, upwards in zip(row, maximizes, strict=True))
        for row in values
    ]
    front: list[tuple[float, ...]] = []
    for own in sorted(set(gains), reverse=True):  # a dominating row precedes those it dominates
        # Of two objectives the second one only grows along the front.
        rivals = front[-1:] if len(own) <= 2 else front
        if not any(all(a >= b for a, b in zip(other[1:], own[1:], strict=True)) for other in rivals):
            front.append(own)
    best = set(front)
    return [place for place, own in enumerate(gains) if own in best]
