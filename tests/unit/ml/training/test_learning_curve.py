"""Heads that learn from more tracks decide better, and how many are needed is measured with them."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from core.ml.training import learning_curve
from core.ml.training.inputs import VectorInputs
from core.ml.training.learning_curve import NOT_MEASURED, measure_learning_curve
from core.ml.training.prediction import HeldOutScores
from tests.unit.ml.training.experiments import make_config, make_context


def measured(tracks: int, *, several: bool = False, head: str = "logistic", folds: int = 5) -> dict[str, Any]:
    """The curve of made-up embeddings of four labels, each track with one, or with any number of them."""
    random = np.random.default_rng(3)
    targets = random.random((tracks, 4)) < 0.3 if several else np.eye(4, dtype=bool)[np.arange(tracks) % 4]
    vectors = targets @ random.normal(size=(4, 30)) + 1.2 * random.normal(size=(tracks, 30))
    single = SimpleNamespace(train=range(tracks * 4 // 5), validation=(), test=range(tracks * 4 // 5, tracks))
    prepared = SimpleNamespace(
        splits=range(folds) if folds > 1 else [single],
        rows=list,
        groups=range(tracks),
        contents=range(tracks),
        tracks=SimpleNamespace(
            inputs=VectorInputs(torch.from_numpy(vectors.astype(np.float32))),
            targets=torch.from_numpy(targets.astype(np.float32)),
        ),
    )
    penalty = {"inverse_regularization": 0.1}
    reports = [SimpleNamespace(fold=fold, validation=penalty) for fold in (*range(1, folds + 1), None)]
    order = random.permutation(tracks)
    held_out = HeldOutScores(order.tolist(), np.zeros((tracks, 4)), [1 + n % folds for n in range(tracks)])
    fitted: Any = SimpleNamespace(test=held_out, history=reports)
    config = make_config(model={"kind": "transfer", "head": head, "single_label": not several})
    return measure_learning_curve(prepared, fitted, make_context(config))  # type: ignore[arg-type]


@pytest.mark.parametrize(("folds", "tracks"), [(5, 200), (1, 1000)])
@pytest.mark.parametrize("several", [False, True])
def test_scores_rise_with_the_tracks_and_say_how_many_are_needed(several, folds, tracks):
    curve = measured(tracks, several=several, folds=folds)
    assert curve["sizes"][0] == 8
    assert curve["sizes"][-1] == 0.8 * tracks
    assert curve["scores"][-1] > curve["scores"][0] + 0.05
    assert 8 < curve["low"] <= curve["needed"] <= (curve["high"] or np.inf)
    assert curve["reason"] is None


def test_of_many_tracks_only_those_that_are_used_are_copied(monkeypatch):
    monkeypatch.setattr(learning_curve, "MOST_TRACKS", 60)
    copied: list[int] = []

    class Counted(VectorInputs):
        def batch(self, tracks: Sequence[int], positions: Any) -> torch.Tensor:
            copied.append(len(tracks))
            return super().batch(tracks, positions)

    monkeypatch.setattr("tests.unit.ml.training.test_learning_curve.VectorInputs", Counted)
    assert measured(300)["sizes"][-1] < 60
    assert copied == [60]


def test_it_is_not_measured_where_it_would_say_nothing():
    assert measured(200, head="linear")["reason"] == NOT_MEASURED
    assert "too few" in measured(15)["reason"]
    assert "19 tracks of 4 labels are too few" in measured(24)["reason"]
