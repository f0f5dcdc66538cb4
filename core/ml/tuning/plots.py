"""Pictures of a study by Optuna, as PNG files; drawn without any display."""

import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import optuna
from matplotlib import pyplot
from optuna.importance import BaseImportanceEvaluator
from optuna.trial import FrozenTrial
from optuna.visualization import matplotlib as plots

from core.config.tuning import TuningConfig
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
        "parallel_coordinates": lambda: plots.plot_parallel_coordinate(study, **of_keys),
        "slice": lambda: plots.plot_slice(study, **of_keys),
    }
    if importances:
        evaluator = _Computed([importances.get(name, {}) for name in names])
        found["importances"] = lambda: plots.plot_param_importances(study, evaluator)
    if len(names) > 1:
        found["pareto_front"] = lambda: plots.plot_pareto_front(
            study, targets=_first_two, target_names=names[:2]
        )
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as of axes with one value only
        study.set_metric_names(names)
        return {name: _png(plot()) for name, plot in found.items()}


class _Computed(BaseImportanceEvaluator):
    """Gives Optuna the importances that are known already, an objective at a time."""

    def __init__(self, by_objective: Sequence[Mapping[str, float]]) -> None:
        self._by_objective: Iterator[Mapping[str, float]] = iter(by_objective)

    def evaluate(
        self,
        study: optuna.Study,  # noqa: ARG002 (Optuna's signature)
        params: list[str] | None = None,  # noqa: ARG002
        *,
        target: Callable[[FrozenTrial], float] | None = None,  # noqa: ARG002
    ) -> dict[str, float]:
        return dict(next(self._by_objective))


def _first_two(trial: FrozenTrial) -> tuple[float, float]:
    return trial.values[0], trial.values[1]


def _png(axes: Any) -> bytes:
    """The figure of one or several axes, closed."""
    figure = np.atleast_1d(axes)[0].figure
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight")
    pyplot.close(figure)
    return buffer.getvalue()
