"""The files that a training writes beside the model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from core.ml.datasets.stratify import assign_folds
from core.ml.models.artifact import CARD_FILE, ModelCard, StoredCard
from core.ml.training.fitting import Fitted
from core.ml.training.model_card import write_card
from core.ml.training.model_evaluation import ModelEvaluation
from core.ml.training.predictions_file import PREDICTIONS_FILE, make_predictions
from core.ml.training.prepared_dataset import PreparedDataset
from core.ml.training.reports import EpochReport, TrainingResult
from core.ml.training.track_records import TRACKS_FILE, make_track_records

HISTORY_FILE, RESULTS_FILE = "history.json", "test_results.json"
VALIDATION_FILE = "validation_scores.safetensors"
SCORE_COUNTS_FILE = "score_counts.json"
CURVES_FILE, CO_OCCURRENCE_FILE, README_FILE = "training_curves.png", "co_occurrence.png", "MODEL_CARD.md"


@dataclass(frozen=True)
class ValidationScores:
    """Uncalibrated scores of the tracks on which thresholds are chosen."""

    scores: npt.NDArray[np.float64]  # (N, L)
    targets: npt.NDArray[np.float64]  # (N, L)
    groups: npt.NDArray[np.int64]  # (N,): tracks of a group are not independent
    known: npt.NDArray[np.bool_]  # (N, L): whether the model that scored a track had learnt the label

    def folds(self, count: int) -> list[int]:
        """A fold for each track, by which thresholds can be chosen and measured on different tracks."""
        return assign_folds(self.targets, self.groups.tolist(), count, seed=0)


def make_records(
    card: ModelCard, prepared: PreparedDataset, fitted: Fitted, evaluation: ModelEvaluation
) -> dict[str, bytes]:
    """The contents of the files by name, but for the pictures."""
    history = [report.as_dict() for report in fitted.history]
    return {
        HISTORY_FILE: _json(history),
        RESULTS_FILE: _json(evaluation.results),
        README_FILE: write_card(card, evaluation.results).encode(),
        VALIDATION_FILE: _held_out(prepared, fitted),
        TRACKS_FILE: make_track_records(prepared, fitted, evaluation),
        SCORE_COUNTS_FILE: json.dumps(evaluation.score_counts, allow_nan=False).encode(),
        PREDICTIONS_FILE: make_predictions(prepared, fitted, evaluation),
    }


def draw(prepared: PreparedDataset, fitted: Fitted, evaluation: ModelEvaluation) -> dict[str, bytes]:
    """The pictures by name of their files."""
    from core.ml.training import plots  # matplotlib takes a second to load, which trials need not wait

    return {
        CURVES_FILE: plots.training_curves(fitted.history),
        CO_OCCURRENCE_FILE: plots.co_occurrence(
            evaluation.co_occurrence,
            [
                label if learnt else f"{label} (not measured)"
                for label, learnt in zip(prepared.labels, evaluation.learnt.tolist(), strict=True)
            ],
        ),
    }


def _held_out(prepared: PreparedDataset, fitted: Fitted) -> bytes:
    """Scores of the validation tracks, or, with cross-validation, out-of-fold scores of all tracks."""
    held_out = fitted.validation
    targets = prepared.tracks.targets.numpy()[held_out.rows].astype(np.float64)
    arrays = {
        "scores": np.ascontiguousarray(held_out.scores, dtype=np.float64),
        "targets": targets,
        "groups": np.array([prepared.groups[row] for row in held_out.rows], np.int64),
        "known": held_out.learnt(targets),
    }
    return bytes(save_arrays(arrays))


def read_validation(folder: Path) -> ValidationScores:
    """Raises FileNotFoundError if the model was not trained here.

    In files of earlier versions, which name no groups, each track is one.
    """
    arrays = load_arrays((folder / VALIDATION_FILE).read_bytes())
    targets = arrays["targets"]
    groups = arrays.get("groups", np.arange(len(targets)))
    return ValidationScores(
        arrays["scores"], targets, groups, arrays.get("known", np.ones_like(targets, bool))
    )


def read_result(folder: Path, identity: Mapping[str, str]) -> TrainingResult | None:
    """The result of a finished training in `folder`; None if there is none, or of another identity."""
    if not (folder / CARD_FILE).is_file():
        return None
    card = StoredCard.model_validate_json((folder / CARD_FILE).read_bytes())
    if any(card.provenance.get(name) != value for name, value in identity.items()):
        return None
    results = json.loads((folder / RESULTS_FILE).read_bytes())
    history = json.loads((folder / HISTORY_FILE).read_bytes())
    return TrainingResult(
        folder=folder,
        labels=card.labels,
        results=results,
        metrics=card.metrics,
        history=tuple(EpochReport.from_dict(report) for report in history),
        dropped=results["dropped"],
    )


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
