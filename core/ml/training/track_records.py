"""Which tracks a model has learnt from, and what models that had not learnt from them say of them.

Shapes: N tracks, L labels.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from core.ml.evaluation.arrays import Bools, Floats
from core.ml.training.fitting import Fitted
from core.ml.training.model_evaluation import ModelEvaluation
from core.ml.training.prepared_dataset import PreparedDataset

TRACKS_FILE = "tracks.safetensors"


@dataclass(frozen=True)
class TrackRecords:
    """The tracks of a training, in the order of its dataset."""

    contents: list[bytes]  # audio hash of each
    groups: list[int]  # tracks of a group are not independent
    targets: Bools  # (N, L)
    learnt: Bools  # (N,): whether weights or thresholds depend on the track
    scores: Floats  # (N, L): by models that were not trained on the track; NaN if there is none
    tested: Bools  # (N,): whether there are decisions
    decisions: Bools  # (N, L): by models and thresholds that do not depend on the track

    def learnt_scores(self) -> dict[bytes, list[float] | None]:
        """Scores (L,), None if there are none, of each piece of audio that was learnt from."""
        known = np.isfinite(self.scores.min(axis=1))
        rows = np.flatnonzero(self.learnt)
        return {self.contents[row]: self.scores[row].tolist() if known[row] else None for row in rows}


def make_track_records(prepared: PreparedDataset, fitted: Fitted, evaluation: ModelEvaluation) -> bytes:
    """The content of `TRACKS_FILE`."""
    targets = prepared.tracks.targets.numpy() > 0
    learnt, tested = np.ones(len(targets), bool), np.zeros(len(targets), bool)
    tested[fitted.test.rows] = True
    if len(prepared.splits) == 1:
        learnt[fitted.test.rows] = False
    scores, decisions = np.full(targets.shape, np.nan, np.float32), np.zeros(targets.shape, bool)
    scores[fitted.validation.rows] = evaluation.held_out
    decisions[fitted.test.rows] = evaluation.decisions
    arrays: dict[str, npt.NDArray[Any]] = {
        "contents": np.frombuffer(b"".join(prepared.contents), np.uint8).reshape(len(targets), -1),
        "groups": np.array(prepared.groups, np.int64),
        "targets": targets,
        "learnt": learnt,
        "scores": scores,
        "tested": tested,
        "decisions": decisions,
    }
    return bytes(save_arrays(arrays))


def read_track_records(folder: Path) -> TrackRecords | None:
    """Those of the model in `folder`; None of a model of an earlier version, or that was not trained here."""
    try:
        arrays = load_arrays((folder / TRACKS_FILE).read_bytes())
    except FileNotFoundError:
        return None
    return TrackRecords(
        contents=[bytes(row) for row in arrays["contents"]],
        groups=arrays["groups"].tolist(),
        targets=arrays["targets"],
        learnt=arrays["learnt"],
        scores=arrays["scores"].astype(np.float64),
        tested=arrays["tested"],
        decisions=arrays["decisions"],
    )
