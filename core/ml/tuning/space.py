"""Search spaces in the terms of Optuna."""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import BaseTrial
from pydantic import ValidationError

from core.config.errors import explain
from core.config.search_space import is_active, ordered_keys
from core.config.tuning import Choices, Dimension, FloatRange, IntRange, Scalar

Space = Mapping[str, Dimension]
LOG_FROM_RATIO = 100  # a range whose ends differ by so much is searched by orders of magnitude

Shorthand = tuple[float, float] | Sequence[Scalar] | Dimension


def suggest(trial: BaseTrial, space: Space) -> dict[str, Any]:
    """The trial's value of every active key; asked again, the same trial gives the same values."""
    chosen: dict[str, Any] = {}
    for key in ordered_keys(space):
        if is_active(space[key], chosen):
            chosen[key] = _suggest(trial, key, space[key])
    return chosen


def distribution_of(dimension: Dimension) -> BaseDistribution:
    """What Optuna samples a key from; equal to what `suggest` samples from."""
    if isinstance(dimension, Choices):
        return CategoricalDistribution(list(dimension.choices))
    if isinstance(dimension, IntRange):
        return IntDistribution(dimension.low, dimension.high, step=dimension.step, log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, step=dimension.step, log=dimension.log)


def _suggest(trial: BaseTrial, key: str, dimension: Dimension) -> Any:
    if isinstance(dimension, Choices):
        return trial.suggest_categorical(key, list(dimension.choices))
    if isinstance(dimension, IntRange):
        return trial.suggest_int(key, dimension.low, dimension.high, step=dimension.step, log=dimension.log)
    return trial.suggest_float(key, dimension.low, dimension.high, step=dimension.step, log=dimension.log)


def parse_space(param_space: Mapping[str, Shorthand]) -> dict[str, Dimension]:
    """A pair `(low, high)` is a range, a list is a choice, a `Dimension` is itself.

    Two ints make a range of whole numbers. A range from above 0 whose high end is at least `LOG_FROM_RATIO`
    times its low one is searched on a logarithmic scale. Raises ValueError, naming the key, for what is
    none of these.
    """
    return {key: _parse(key, value) for key, value in param_space.items()}


def _parse(key: str, value: Shorthand) -> Dimension:
    if isinstance(value, FloatRange | IntRange | Choices):
        return value
    try:
        if isinstance(value, tuple):
            return _range(key, value)
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return Choices(choices=tuple(value))
    except ValidationError as error:
        raise ValueError(f"{key}: {explain(error, Choices)}") from error
    raise ValueError(f"{key}: {value!r} is neither a pair (low, high) nor a list of choices.")


def _range(key: str, ends: tuple[object, ...]) -> Dimension:
    match ends:
        case (int() | float() as low, int() | float() as high) if bool not in map(type, ends):
            pass
        case _:
            raise ValueError(f"{key}: a range is a pair of numbers (low, high); choices are a list.")
    log = low > 0 and high >= LOG_FROM_RATIO * low
    if isinstance(low, int) and isinstance(high, int):
        return IntRange(low=low, high=high, log=log)
    return FloatRange(low=low, high=high, log=log)
