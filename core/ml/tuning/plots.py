"""Pictures of a study as PNG files; drawn without any display."""

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import optuna
from matplotlib import pyplot
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial
from optuna.visualization import matplotlib as plots

from core.config.tuning import TuningConfig
from core.ml.tuning import importance_bars, parallel_coordinates
from core.ml.tuning.study import TrialRecord, rebuild, value_of
from core.states import TrialState

matplotlib.use("Agg")
MAX_KEYS = 12  # more do not fit into one picture
DPI = 110

Importances = Mapping[str, Mapping[str, float]]  # by objective and key


def draw(config: TuningConfig, trials: Sequence[TrialRecord], importances: Importances) -> dict[str, bytes]:
    """The pictures by name; those that need more objectives or complete trials than there are, are left out.

    With several objectives all but `importances` and `pareto_front` show the first one, and `pareto_front`
    the first two.
    """
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not complete:
        return {}
    study = rebuild(config, config.study_name, trials)
    tried = {key for trial in complete for key in trial.params}
    by_importance = [*next(iter(importances.values()), {}), *sorted(tried)]
    names: list[str] = [objective.metric for objective in config.objectives]
    first: dict[str, Any] = {"target": value_of(0), "target_name": names[0]}
    of_keys = first | {"params": [key for key in dict.fromkeys(by_importance) if key in tried][:MAX_KEYS]}
    found: dict[str, Callable[[], Any]] = {
        "history": lambda: plots.plot_optimization_history(study, **first),
        "parallel_coordinates": lambda: _parallel_coordinates(config, complete, of_keys["params"]),
        "slice": lambda: _slice(study, of_keys),
    }
    if importances:
        found["importances"] = lambda: importance_bars.draw(importances, len(complete))
    if len(names) > 1:
        found["pareto_front"] = lambda: plots.plot_pareto_front(
            study, targets=_first_two, target_names=names[:2]
        )
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as of axes with one value only
        study.set_metric_names(names)
        return {name: _png(plot()) for name, plot in found.items()}


def _slice(study: optuna.Study, chosen: Mapping[str, Any]) -> Any:
    """With slanted names of values, which would run into each other."""
    drawn = plots.plot_slice(study, **chosen)
    for axes in np.ravel(np.asarray(drawn, object)):
        axes.tick_params(axis="x", which="both", labelrotation=40, labelsize=8)
        for label in axes.get_xticklabels(which="both"):
            label.set(horizontalalignment="right", rotation_mode="anchor")
    return drawn


def _parallel_coordinates(config: TuningConfig, complete: Sequence[TrialRecord], keys: list[str]) -> Figure:
    dimensions = {key: config.space[key] for key in keys}
    measured = [trial for trial in complete if trial.values]
    return parallel_coordinates.draw(
        config.objectives[0].metric,
        [trial.values[0] for trial in measured if trial.values],
        [trial.params for trial in measured],
        {key: bool(getattr(dimension, "log", False)) for key, dimension in dimensions.items()},
    )


def _first_two(trial: FrozenTrial) -> tuple[float, float]:
    return trial.values[0], trial.values[1]


def _png(drawn: Any) -> bytes:
    """The figure, or that of one or several axes, closed."""
    figure = drawn if isinstance(drawn, Figure) else np.atleast_1d(drawn)[0].figure
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight")
    pyplot.close(figure)
    return buffer.getvalue()
