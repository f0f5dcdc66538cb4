"""The epochs of runs as line charts: all fits of one run, or several runs side by side."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from api import schemas
from api.pages.charts import Chart, Series, line_chart
from api.pages.measures import name_of

MEASURES = ("f1_macro", "roc_auc_macro", "pr_auc_macro")
Value = Callable[[schemas.Epoch], float | None]


def charts_of(epochs: Sequence[schemas.Epoch]) -> list[Chart]:
    """Losses, measures on validation tracks and learning rate, a colour for each fold."""
    fits: dict[int | None, list[schemas.Epoch]] = {}
    for epoch in epochs:
        fits.setdefault(epoch.fold, []).append(epoch)
    names = {fold: f"fold {fold}" if fold else "all tracks" for fold in fits} if len(fits) > 1 else {}

    def series(kind: str, value: Value, *, is_dashed: bool = False) -> list[Series]:
        return [
            Series(names.get(fold, kind), _points(own, value), kind if names else "", is_dashed)
            for fold, own in fits.items()
        ]

    losses = [
        *series("training", lambda each: each.train_loss),
        *series("validation", lambda each: each.validation_loss, is_dashed=True),
    ]
    is_dashed = any(each.is_dashed and each.points for each in losses)
    charts = [line_chart("Loss", losses, "Dashed lines are of validation tracks." if is_dashed else "")]
    charts += [
        line_chart(f"{name_of(name)}, on validation tracks", series(name_of(name), _measure(name)))
        for name in MEASURES
    ]
    charts.append(line_chart("Learning rate", series("learning rate", _learning_rate)))
    return [chart for chart in charts if chart is not None]


def side_by_side(runs: Mapping[str, Sequence[schemas.Epoch]]) -> list[Chart]:
    """Runs by their names, each as the mean of its folds at the epochs that all of them have reached.

    Folds end at epochs of their own: a mean of those that are left would be one of other tracks each time.
    """

    def series(value: Value) -> list[Series]:
        return [Series(name, _mean_points(epochs, value)) for name, epochs in runs.items()]

    charts = [
        line_chart("Loss on training tracks", series(lambda each: each.train_loss)),
        line_chart("Loss on validation tracks", series(lambda each: each.validation_loss)),
        *(line_chart(f"{name_of(name)}, on validation tracks", series(_measure(name))) for name in MEASURES),
        line_chart("Learning rate", series(_learning_rate)),
    ]
    return [chart for chart in charts if chart is not None]


def _learning_rate(epoch: schemas.Epoch) -> float | None:
    """None of a fit that takes no steps, as that of a logistic head."""
    return epoch.learning_rate or None


def _measure(name: str) -> Value:
    return lambda each: each.validation.get(name)


def _points(epochs: Sequence[schemas.Epoch], value: Value) -> list[tuple[float, float]]:
    return [(each.epoch, found) for each in epochs if (found := value(each)) is not None]


def _mean_points(epochs: Sequence[schemas.Epoch], value: Value) -> list[tuple[float, float]]:
    """Of all folds that have the value, or of the only fit."""
    fits = [each for each in epochs if each.fold] or epochs
    points = [(each.fold, each.epoch, found) for each in fits if (found := value(each)) is not None]
    by_epoch: dict[float, list[float]] = {}
    for _, epoch, found in points:
        by_epoch.setdefault(epoch, []).append(found)
    count = len({fold for fold, _, _ in points})
    return [(epoch, fmean(values)) for epoch, values in sorted(by_epoch.items()) if len(values) == count]
