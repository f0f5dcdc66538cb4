"""Which tracks a model was trained on, and what models that were not trained on them say of them.

Shapes: N tracks, L labels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from core.ml.evaluation.arrays import Bools
from core.ml.training.fitting import Fitted
from core.ml.training.json_values import finite_or_null
from core.ml.training.model_evaluation import ModelEvaluation
from core.ml.training.prepared_dataset import PreparedDataset

TRACKS_FILE = "tracks.safetensors"


class UnreadableRecords(ValueError):
    """The records of a model cannot be read."""


@dataclass(frozen=True)
class TrackRecords:
    """The tracks of a training, in the order of its dataset; scores that there are not are NaN."""

    contents: list[bytes]  # audio hash of each
    groups: list[int]  # tracks of a group are not independent
    targets: Bools  # (N, L)
    trained_on: Bools  # (N,): whether weights or thresholds depend on the track
    scores: npt.NDArray[np.floating[Any]]  # (N, L): by models that had learnt the label, but not the track
    tested: Bools  # (N,): whether there are decisions
    decisions: Bools  # (N, L): by models and thresholds that do not depend on the track
    learnt: Bools  # (L,): False if no model that decided on tracks with a label had learnt it

    def training_scores(self, size: int) -> Iterator[dict[bytes, list[float | None] | None]]:
        """Scores (L,), None of labels or tracks without, by the audio trained on; `size` tracks at a time."""
        trained_on = np.flatnonzero(self.trained_on)
        for start in range(0, len(trained_on), size):
            rows = trained_on[start : start + size]
            known = np.isfinite(self.scores[rows]).any(axis=1)
            values = finite_or_null(self.scores[rows].tolist())
            yield {
                self.contents[row]: scores if is_known else None
                for row, scores, is_known in zip(rows, values, known, strict=True)
            }


def make_track_records(prepared: PreparedDataset, fitted: Fitted, evaluation: ModelEvaluation) -> bytes:
    """The content of `TRACKS_FILE`."""
    targets = prepared.tracks.targets.numpy() > 0
    trained_on, tested = np.ones(len(targets), bool), np.zeros(len(targets), bool)
    tested[fitted.test.rows] = True
    if len(prepared.splits) == 1:
        trained_on[fitted.test.rows] = False
    scores, decisions = np.full(targets.shape, np.nan, np.float32), np.zeros(targets.shape, bool)
    learnt = fitted.validation.learnt(targets[fitted.validation.rows].astype(np.float64))
    scores[fitted.validation.rows] = np.where(learnt, evaluation.held_out, np.nan)
    decisions[fitted.test.rows] = evaluation.decisions
    arrays: dict[str, npt.NDArray[Any]] = {
        "contents": np.frombuffer(b"".join(prepared.contents), np.uint8).reshape(len(targets), -1),
        "groups": np.array(prepared.groups, np.int64),
        "targets": targets,
        "trained_on": trained_on,
        "scores": scores,
        "tested": tested,
        "decisions": decisions,
        "learnt": evaluation.learnt,
    }
    return bytes(save_arrays(arrays))


def read_track_records(folder: Path) -> TrackRecords | None:
    """Those of the model in `folder`; None of a model of an earlier version, or that was not trained here.

    Raises UnreadableRecords if the file is damaged, or cannot be read.
    """
    file = folder / TRACKS_FILE
    try:
        arrays = load_arrays(file.read_bytes())
        return TrackRecords(
            contents=[bytes(row) for row in arrays["contents"]],
            groups=arrays["groups"].tolist(),
            targets=arrays["targets"],
            trained_on=arrays["trained_on"],
            scores=arrays["scores"],
            tested=arrays["tested"],
            decisions=arrays["decisions"],
            learnt=arrays.get("learnt", np.ones(arrays["targets"].shape[1], bool)),
        )
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, KeyError) as error:
        raise UnreadableRecords(f"{file} cannot be read: {error}") from error
