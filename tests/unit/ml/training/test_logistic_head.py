"""The penalty of a logistic head is chosen by cross-validation over groups of the training tracks."""

import numpy as np
import pytest
import torch

from core.config.models import MusicnnConfig, TransferConfig
from core.ml.models.transfer import Head
from core.ml.training import logistic_head
from core.ml.training.context import Stage, Tracks
from core.ml.training.inputs import VectorInputs
from core.ml.training.logistic_head import C_OF_FEW, PENALTIES, fit_logistic_head
from core.ml.training.logistic_regression import Design
from tests.unit.ml.training.experiments import make_config, make_context

WIDTH = 12
NETWORK = MusicnnConfig(embedding_size=WIDTH)


def make_tracks(
    tracks: int, labels: int, *, noise: float = 1.0, several: bool = False, seed: int = 0
) -> Tracks:
    random = np.random.default_rng(seed)
    targets = np.eye(labels)[np.arange(tracks) % labels]
    if several:
        targets = np.maximum(targets, random.random(targets.shape) < 0.2)
    vectors = targets @ random.normal(size=(labels, WIDTH)) + noise * random.normal(size=(tracks, WIDTH))
    inputs = VectorInputs(torch.from_numpy(vectors.astype(np.float32)))
    return Tracks(inputs, torch.from_numpy(targets).float(), tuple("abcdefgh"[:labels]))


def fit(tracks: Tracks, folder, groups=None, train=None, validation=(), scores_training=True, **model):
    rows = list(range(len(tracks.targets)) if train is None else train)
    single = bool((tracks.targets.sum(1) == 1).all())
    config = TransferConfig(network=NETWORK, single_label=single, **model)
    context = make_context(make_config(model={"kind": "transfer"}).model_copy(update={"model": config}))
    head = Head(config, len(tracks.labels))
    head.standardise(tracks.inputs.batch(rows, np.zeros(len(rows))))
    stage = Stage(rows, list(validation), folder, scores_training=scores_training)
    return fit_logistic_head(head, tracks, rows if groups is None else groups, stage, context)


def c_of(found) -> float:
    return float(found.reports[0].validation["inverse_regularization"])


@pytest.mark.parametrize("several", [False, True])
def test_the_noisier_the_tracks_the_stronger_the_penalty(tmp_path, several):
    clean, noisy = (
        c_of(fit(make_tracks(80, 4, noise=noise, several=several), tmp_path)) for noise in (0.3, 4)
    )
    assert {clean, noisy} <= set(PENALTIES)
    assert clean > noisy


@pytest.mark.parametrize("several", [False, True])
def test_of_two_tracks_per_label_nothing_is_chosen_and_a_model_comes_out(tmp_path, several):
    tracks = make_tracks(8, 4, noise=0.3)
    if several:
        tracks.targets[0, 1] = 1
    found = fit(tracks, tmp_path)
    assert c_of(found) == C_OF_FEW[not several]
    logits, _ = found.head(tracks.inputs.batch(range(8), np.zeros(8)))
    assert (logits.argmax(1) == torch.arange(8) % 4).all()


def test_a_given_penalty_is_kept(tmp_path):
    assert c_of(fit(make_tracks(40, 4), tmp_path, inverse_regularization=0.25)) == 0.25


def test_scores_of_exclusive_labels_add_up_to_one(tmp_path):
    tracks = make_tracks(40, 4)
    found = fit(tracks, tmp_path)
    logits, _ = found.head(tracks.inputs.batch(range(40), np.zeros(40)))
    assert logits.sigmoid().sum(1).detach().numpy() == pytest.approx(np.ones(40), abs=1e-5)
    assert found.out_of_fold.scores.sum(axis=1) == pytest.approx(np.ones(40))


def test_a_group_is_never_scored_by_a_fit_that_knows_it(tmp_path):
    """Each group of six equal tracks has a random label: only a fit that knows it could tell."""
    random = np.random.default_rng(0)
    vectors = np.repeat(random.normal(size=(14, WIDTH)), 6, axis=0).astype(np.float32)
    targets = torch.zeros(84, 2)
    targets[torch.arange(84), torch.from_numpy(np.repeat(random.permutation(14) % 2, 6))] = 1
    tracks = Tracks(VectorInputs(torch.from_numpy(vectors)), targets, ("a", "b"))
    groups = [row // 6 for row in range(84)]
    scores = fit(tracks, tmp_path, groups).out_of_fold.scores
    assert (scores.argmax(1) == targets.argmax(1).numpy()).mean() < 0.7
    scores = fit(tracks, tmp_path).out_of_fold.scores
    assert (scores.argmax(1) == targets.argmax(1).numpy()).mean() > 0.8


def test_one_group_is_learnt_without_choosing_anything(tmp_path):
    found = fit(make_tracks(20, 4), tmp_path, groups=[0] * 20)
    assert found.out_of_fold is None
    assert c_of(found) == C_OF_FEW[True]


def test_the_report_has_both_losses_and_the_metrics_of_validation(tmp_path):
    (report,) = fit(make_tracks(60, 4), tmp_path, train=range(40), validation=range(40, 60)).reports
    assert 0 < report.train_loss < report.validation_loss < 1.2
    assert report.validation["f1_macro"] > 0.6
    assert report.steps > 0


@pytest.mark.parametrize("several", [False, True])
def test_of_many_tracks_some_choose_the_penalty_and_all_are_learnt_from_and_scored(
    tmp_path, monkeypatch, several
):
    tracks = make_tracks(240, 4, several=several)
    usual = fit(tracks, tmp_path)
    monkeypatch.setattr(logistic_head, "SEARCHED", 80)
    found = fit(tracks, tmp_path)
    steps = [PENALTIES.index(c_of(each)) for each in (usual, found)]
    assert abs(steps[0] - steps[1]) <= 1
    inputs = found.head.standardised(tracks.inputs.batch(range(240), np.zeros(240))).double().numpy()
    exact = Design(inputs).fit(tracks.targets.numpy() > 0, c_of(found), exclusive=not several)
    logits, _ = found.head(tracks.inputs.batch(range(240), np.zeros(240)))
    scores = logits.sigmoid().detach().numpy()
    assert scores == pytest.approx(exact.scores(inputs, exclusive=not several), abs=1e-4)
    assert found.out_of_fold.rows == list(range(240))
    assert found.out_of_fold.scores == pytest.approx(usual.out_of_fold.scores, abs=0.15)


def test_whether_there_are_tracks_enough_to_choose_by_is_told_by_all_of_them(tmp_path, monkeypatch):
    """Of 64 tracks of 8 labels 20 choose, fewer than three per label."""
    tracks = make_tracks(64, 8, noise=4)
    assert fit(tracks, tmp_path).note is None
    monkeypatch.setattr(logistic_head, "SEARCHED", 20)
    found = fit(tracks, tmp_path)
    assert c_of(found) < C_OF_FEW[True]
    assert found.note == "20 of 64 training tracks, drawn at random, chose the penalty."
    assert fit(tracks, tmp_path, inverse_regularization=0.1).note is None


@pytest.mark.parametrize(("given", "designs"), [({"inverse_regularization": 0.1}, 1), ({}, 6)])
def test_training_tracks_are_scored_only_on_request(tmp_path, monkeypatch, given, designs):
    made = []

    class Counted(Design):
        def __init__(self, inputs: np.ndarray) -> None:
            made.append(len(inputs))
            super().__init__(inputs)

    monkeypatch.setattr(logistic_head, "Design", Counted)
    assert fit(make_tracks(40, 4), tmp_path, scores_training=False, **given).out_of_fold is None
    assert made == [32] * (designs - 1) + [40]
