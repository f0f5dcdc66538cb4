"""Models side by side: what the registry and their trainings say, and whether their figures compare."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from core.config.dataset import reads_corrections
from core.errors import Invalid
from core.store.experiments import find_training
from core.store.registry import artifact_folder, resolve_model
from core.store.tables import Model, Run

FEWEST, MOST = 2, 10  # models
WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True)
class ComparedModel:
    model: Model
    run: Run | None  # the training that made its weights, if it is known
    is_own_run: bool  # False: of a version with equal weights, but other thresholds
    trained_on_corrections: bool | None  # from corrections; None without a run
    size: int | None  # of the weights in bytes; None if their file cannot be seen from here

    @property
    def results(self) -> dict[str, Any]:
        """What the training has measured; empty if that is not known."""
        return (self.run.results if self.run else None) or {}

    @property
    def split(self) -> dict[str, Any]:
        """How the tracks were divided, with the seed that did it."""
        if self.run is None:
            return {}
        split: dict[str, Any] = self.run.config.get("split", {})
        return split | {"seed": self.run.seed if split.get("seed") is None else split["seed"]}


def compare_models(session: Session, references: Sequence[str]) -> list[ComparedModel]:
    """In the order of the references: aliases, `name` or `name@version`. Raises Invalid or ModelNotFound."""
    if not FEWEST <= len(references) <= MOST:
        raise Invalid(f"From {FEWEST} to {MOST} models can be compared; `models` names {len(references)}.")
    models = [resolve_model(session, reference) for reference in references]
    if len({model.id for model in models}) < len(models):
        raise Invalid("`models` names one model twice.")
    return [_compared(session, model) for model in models]


def _compared(session: Session, model: Model) -> ComparedModel:
    run = find_training(session, model)
    return ComparedModel(
        model=model,
        run=run,
        is_own_run=run is not None and run.model_id == model.id,
        trained_on_corrections=None if run is None else reads_corrections(run.config),
        size=_size(artifact_folder(model) / WEIGHTS_FILE),
    )


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


def obstacles(compared: Sequence[ComparedModel]) -> list[str]:
    """Why the measures of the models cannot be compared, in sentences; empty if they can."""
    unknown = [each.model.reference for each in compared if each.run is None or not each.results]
    if unknown:
        return [f"It is not known what {name} was measured on: it has no run here." for name in unknown]
    found = []
    if _differ([each.run.dataset_sha256 for each in compared if each.run]):
        found.append("They were trained and measured on different tracks or labels.")
    if _differ([each.results["evaluated_on"] for each in compared]):
        found.append("Some were cross-validated, others measured on one test part.")
    elif _differ([each.split for each in compared]):
        found.append("They were measured on different parts: their splits or folds differ.")
    tuned = [each.model.reference for each in compared if not each.is_own_run]
    if tuned:
        found.append(f"The thresholds of {', '.join(tuned)} were tuned later: no F1 was measured with them.")
    return found


def _differ(values: Sequence[Any]) -> bool:
    return any(value != values[0] for value in values)
