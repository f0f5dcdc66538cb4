"""Write a study into an Optuna storage for optuna-dashboard: `python -m core.ml.tuning.export URL`.

Standard input is a JSON object with the study's `name`, its `config` and its `trials`, as the REST API shows
them with `curves=true`.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning

from core.config.tuning import TuningConfig
from core.ml.tuning.study import TrialRecord, rebuild
from core.states import TrialState


def export(name: str, config: TuningConfig, trials: Sequence[TrialRecord], url: str) -> None:
    """Raises DuplicatedStudyError if the storage has a study of this name."""
    study = rebuild(config, name, trials, storage=url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names([objective.metric for objective in config.objectives])


def record_of(config: TuningConfig, trial: Mapping[str, Any]) -> TrialRecord:
    """A trial as the REST API shows it."""
    values = trial["values"]
    losses: dict[int, float] = {}
    for point in trial["curve"]:
        if point["validation_loss"] is not None:
            losses.setdefault(point["epoch"], point["validation_loss"])
    return TrialRecord(
        number=trial["number"],
        state=TrialState(trial["state"]),
        params=trial["params"] or {},
        values=None if values is None else [values[objective.metric] for objective in config.objectives],
        losses=losses,
        started_at=_time(trial["started_at"]),
        finished_at=_time(trial["finished_at"]),
    )


def _time(value: str | None) -> datetime | None:
    """Local time without a zone, as Optuna has it."""
    return None if value is None else datetime.fromisoformat(value).astimezone().replace(tzinfo=None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="such as sqlite:///studies.db")
    url = parser.parse_args().url
    content = json.load(sys.stdin)
    config = TuningConfig.model_validate(content["config"])
    try:
        export(content["name"], config, [record_of(config, trial) for trial in content["trials"]], url)
    except DuplicatedStudyError:
        sys.stderr.write(f"{url} has this study already: name another storage.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
