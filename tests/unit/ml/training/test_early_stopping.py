"""Folds end by a part of their own training tracks, and the final fit takes the median of their epochs."""

from dataclasses import replace
from pathlib import Path
from statistics import median_high
from typing import Any

import numpy as np
import pytest
import torch

from core.config.models import MusicnnConfig, TransferConfig
from core.ml.datasets.examples import Dataset, Example
from core.ml.datasets.splits import folds
from core.ml.training.bases import Resolved
from core.ml.training.context import Tracks, TrainingStopped
from core.ml.training.early_stopping import describe, final_epochs, hold_back
from core.ml.training.fitting import Fitted, fit_all
from core.ml.training.inputs import VectorInputs
from core.ml.training.prepared_dataset import PreparedDataset
from core.ml.training.reports import EpochReport
from tests.unit.ml.training.experiments import make_config, make_context

WIDTH = 4
MODEL = TransferConfig(network=MusicnnConfig(embedding_size=WIDTH), head="linear", single_label=True)
# With this rate the loss gets worse from some epoch on.
TRAINING = {"epochs": 12, "patience": 2, "lr": 1.0, "schedule": "constant", "ema_decay": 0, "warm_up": 0}


def make_dataset(per_label: int = 10) -> PreparedDataset:
    """Noisy vectors of two labels in three folds, each by an artist of its own."""
    random = np.random.default_rng(0)
    count = 2 * per_label
    targets = np.eye(2)[np.arange(count) % 2]
    vectors = targets @ random.normal(size=(2, WIDTH)) + random.normal(size=(count, WIDTH))
    inputs = VectorInputs(torch.from_numpy(vectors.astype(np.float32)))
    tracks = Tracks(inputs, torch.from_numpy(targets).float(), ("a", "b"))
    examples = tuple(
        Example(str(number), Path(str(number)), ("ab"[number % 2],), artist=f"artist {number}")
        for number in range(count)
    )
    dataset = Dataset("made up", examples)
    return PreparedDataset(dataset, tracks, tuple(range(count)), folds(dataset, 3), {}, {}, "", ())


def fit(
    prepared: PreparedDataset,
    folder: Path,
    stop_after: int = 10**6,
    model: TransferConfig = MODEL,
    **training: Any,
) -> Fitted:
    """All fits; stopped when so many epochs have been reported."""
    config = make_config(model={"kind": "transfer"}, split={"folds": 3}, training=TRAINING | training)
    config = config.model_copy(update={"model": model})
    reports: list[EpochReport] = []
    context = replace(make_context(config, reports), should_stop=lambda: len(reports) >= stop_after)
    return fit_all(Resolved(config), prepared, context, folder)


def of_fold(fitted: Fitted, fold: int | None) -> list[EpochReport]:
    return [report for report in fitted.history if report.fold == fold]


def test_folds_end_early_and_the_final_fit_takes_the_median_of_their_best_epochs(tmp_path):
    fitted = fit(make_dataset(), tmp_path / "run")
    best = []
    for fold in (1, 2, 3):
        history = of_fold(fitted, fold)
        losses = [report.validation_loss for report in history]
        assert None not in losses
        best.append(1 + int(np.argmin(np.array(losses, float))))
        assert len(history) == min(best[-1] + 2, 12)
    final = of_fold(fitted, None)
    assert [report.epoch for report in final] == list(range(1, median_high(best) + 1))
    assert {report.epochs for report in final} == {len(final)}
    assert f"{len(final)} epochs, the median" in fitted.notes[0]
    assert sorted(fitted.test.rows) == list(range(20))


def test_a_fold_learns_neither_from_the_tracks_that_end_it_nor_from_those_that_score_it(
    tmp_path, monkeypatch
):
    seen: list[tuple[set[int], set[int]]] = []

    def watch(_resolved: Any, prepared: Any, stage: Any, _context: Any) -> Any:
        seen.append((set(stage.train), set(stage.validation)))
        raise TrainingStopped

    monkeypatch.setattr("core.ml.training.fitting.fit_model", watch)
    prepared = make_dataset()
    with pytest.raises(TrainingStopped):
        fit(prepared, tmp_path / "run")
    ((train, validation),) = seen
    tested = set(prepared.rows(prepared.splits[0].test))
    assert validation
    assert not train & validation
    assert train | validation == set(range(20)) - tested


def test_an_interrupted_cross_validation_takes_as_many_epochs_and_ends_with_the_same_weights(tmp_path):
    prepared = make_dataset()
    expected = fit(prepared, tmp_path / "whole")
    in_the_final_fit = len(expected.history) - len(of_fold(expected, None)) + 1
    for stop_after in (2, in_the_final_fit):
        with pytest.raises(TrainingStopped):
            fit(prepared, tmp_path / "broken", stop_after)
    resumed = fit(prepared, tmp_path / "broken")
    assert resumed.notes == expected.notes
    assert [report.epoch for report in resumed.history] == [report.epoch for report in expected.history]
    assert np.array_equal(resumed.test.scores, expected.test.scores)
    weights, others = resumed.model.state_dict(), expected.model.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in others)


@pytest.mark.parametrize(("patience", "per_label"), [(None, 10), (2, 3)])
def test_without_patience_or_enough_tracks_all_epochs_are_trained(tmp_path, patience, per_label):
    fitted = fit(make_dataset(per_label), tmp_path / "run", patience=patience, epochs=3)
    assert len(fitted.history) == 4 * 3
    assert {report.validation_loss for report in fitted.history} == {None}
    assert [("too few tracks" in note) for note in fitted.notes] == ([] if patience is None else [True])


def test_what_is_held_back_divides_no_group_and_leaves_every_label_tracks_to_learn_from():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 3)
    targets = np.eye(5, dtype=bool)[np.repeat(random.integers(0, 4, 40), 3)]
    for seed in range(20):
        alone = random.integers(0, 40)
        targets[:, 4] = groups == alone  # a label of one group
        held_back = hold_back(targets, groups.tolist(), seed)
        assert 0.1 < held_back.mean() < 0.3
        assert len({(group, back) for group, back in zip(groups, held_back, strict=True)}) == 40
        assert targets[~held_back].any(axis=0).all()


@pytest.mark.parametrize(
    ("best", "epochs", "words"),
    [
        ((4, 6, 5), 5, "the median of the best epochs of the folds (4 to 6). To find"),
        ((4, None, 5), 5, "(4 to 5; 1 of 3 held nothing back and took all 12). To find"),
        ((4, None, None), 12, "(4 to 4; 2 of 3 held nothing back and took all 12). To find"),
        ((None, None, None), 12, "too few tracks or artists to stop early: every fit took 12 epochs."),
    ],
)
def test_folds_that_hold_nothing_back_count_with_all_epochs_and_are_told(best, epochs, words):
    config = make_config(model={"kind": "transfer"}, split={"folds": 3}, training=TRAINING)
    config = config.model_copy(update={"model": MODEL})
    assert final_epochs(best, config) == epochs
    assert words in str(describe(best, config))


def test_the_fit_on_all_tracks_says_how_many_of_them_chose_the_penalty(tmp_path, monkeypatch):
    monkeypatch.setattr("core.ml.training.logistic_head.SEARCHED", 10)
    fitted = fit(make_dataset(), tmp_path / "run", model=MODEL.model_copy(update={"head": "logistic"}))
    assert fitted.notes == ("10 of 20 training tracks, drawn at random, chose the penalty.",)


def test_models_without_epochs_say_nothing_of_them():
    assert describe([], make_config(model={"kind": "transfer"}, split={"folds": 3})) is None
    assert describe([], make_config(model={"kind": "random_forest"}, split={"folds": 3})) is None
