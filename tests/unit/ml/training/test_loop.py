import dataclasses
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from core.config.models import FeatureConfig
from core.errors import InvalidConfig, TrainingDiverged
from core.ml.evaluation.metrics import evaluate
from core.ml.models.zoo import build
from core.ml.training.context import Stage, TrainingStopped
from core.ml.training.loop import fit_network
from core.ml.training.prediction import predict
from core.ml.training.reports import EpochReport
from core.ml.training.state import start
from tests.unit.ml.training.experiments import make_config, make_context, make_stage, make_tracks

FEATURES = FeatureConfig(n_mels=24)


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return model.state_dict()


def loss_of(report: EpochReport) -> float:
    assert report.train_loss is not None
    return report.train_loss


def fit(
    tmp_path: Path, name: str = "run", reports: list[EpochReport] | None = None, **changes: Any
) -> tuple[dict[str, torch.Tensor], list[EpochReport]]:
    """Weights and reports of a fit of a narrow network."""
    config = make_config(**changes)
    tracks = make_tracks(tmp_path / "tracks")
    torch.manual_seed(1)
    model = build(config.model, FEATURES, 4)
    stage = make_stage(tmp_path / name, range(12), range(12, 16))
    fitted, history = fit_network(model, tracks, stage, make_context(config, reports))
    return weights_of(fitted), history


@pytest.mark.slow
def test_the_full_size_network_learns_sixteen_clips_of_four_labels_by_heart(tmp_path):
    """Most clips have two of the labels."""
    network = {"kind": "multilabel_audio_cnn", "patch_frames": 32, "dropout": 0.0}
    config = make_config(
        model=network, training={"epochs": 16, "batch_size": 16, "lr": 0.003, "ema_decay": 0.5}
    )
    tracks = make_tracks(tmp_path / "tracks", several=True)
    torch.manual_seed(0)
    model = build(config.model, FEATURES, 4)
    assert sum(parameter.numel() for parameter in model.parameters()) > 3_000_000
    fitted, history = fit_network(
        model, tracks, make_stage(tmp_path / "run", range(16)), make_context(config)
    )
    scores = predict(fitted, tracks.inputs, range(16), None, torch.device("cpu"))
    metrics = evaluate(tracks.targets.numpy(), scores, tracks.labels, 0.5).summary()
    assert metrics["f1_micro"] > 0.99
    assert metrics["f1_macro"] > 0.99
    assert loss_of(history[-1]) < loss_of(history[0]) / 2


def test_the_same_configuration_gives_the_same_weights(tmp_path):
    augmented = {"gain_db": 6, "time_masks": 1, "mixup_alpha": 0.3}
    first, _ = fit(tmp_path, "first", augmentation=augmented)
    second, _ = fit(tmp_path, "second", augmentation=augmented)
    other, _ = fit(tmp_path, "other", augmentation=augmented, seed=1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_global_randomness_is_left_alone(tmp_path):
    config, tracks = make_config(), make_tracks(tmp_path / "tracks")
    model = build(config.model, FEATURES, 4)
    before = torch.get_rng_state()
    fit_network(model, tracks, make_stage(tmp_path / "run", range(16)), make_context(config))
    assert torch.equal(torch.get_rng_state(), before)


def test_every_epoch_is_reported(tmp_path):
    reports: list[EpochReport] = []
    _, history = fit(tmp_path, reports=reports, training={"epochs": 3, "batch_size": 4, "patience": None})
    assert reports == history
    assert [report.epoch for report in history] == [1, 2, 3]
    for report in history:
        assert report.epochs == 3
        assert report.fold is report.folds is None
        assert report.steps == 3
        assert math.isfinite(loss_of(report))
        assert report.validation_loss is not None
        assert {"roc_auc_macro", "pr_auc_macro", "f1_macro", "f1_micro"} <= report.validation.keys()
        assert 0 <= report.data_wait_s <= report.duration_s
        assert 0 <= report.busy_share <= 1
        assert report.validation_s > 0
    assert history[0].is_best
    assert history[-1].learning_rate < history[0].learning_rate
    assert EpochReport.from_dict(history[0].as_dict()) == history[0]


def test_training_ends_early_and_keeps_the_best_weights(tmp_path):
    # With this rate the loss gets worse from some epoch on.
    training = {"epochs": 30, "patience": 2, "lr": 0.3, "schedule": "constant", "ema_decay": 0, "warm_up": 0}
    weights, history = fit(tmp_path, training=training)
    best = max((report for report in history if report.is_best), key=lambda report: report.epoch)
    assert len(history) == best.epoch + 2 < 30
    losses = [report.validation_loss for report in history]
    assert best.validation_loss == min(loss for loss in losses if loss is not None)
    shorter, _ = fit(tmp_path, "shorter", training=training | {"epochs": best.epoch, "patience": None})
    assert all(torch.equal(weights[name], shorter[name]) for name in weights)


def test_without_validation_all_epochs_are_trained(tmp_path):
    config, tracks = make_config(training={"patience": 1}), make_tracks(tmp_path / "tracks")
    model = build(config.model, FEATURES, 4)
    _, history = fit_network(model, tracks, make_stage(tmp_path / "run", range(16)), make_context(config))
    assert [(report.validation_loss, report.is_best) for report in history] == [(None, False)] * 3


NORMALISING = {"kind": "multilabel_audio_cnn", "patch_frames": 32, "base_channels": 8, "embedding_size": 8}


@pytest.mark.parametrize("tracks", [1, 3])
def test_a_model_that_normalises_over_a_batch_never_gets_one_of_one(tmp_path, tracks):
    config = make_config(model=NORMALISING, training={"epochs": 1, "batch_size": 2})
    model = build(config.model, FEATURES, 4)
    stage = make_stage(tmp_path / "run", range(tracks))
    _, history = fit_network(model, make_tracks(tmp_path / "tracks"), stage, make_context(config))
    assert math.isfinite(loss_of(history[0]))


def test_processes_that_could_not_normalise_are_refused(tmp_path, monkeypatch):
    config = make_config(model=NORMALISING, training={"batch_size": 3})
    monkeypatch.setattr("core.ml.training.state.world_size", lambda: 2)
    with pytest.raises(InvalidConfig, match="batch_size must be at least 4"):
        start(
            build(config.model, FEATURES, 4),
            make_tracks(tmp_path / "tracks"),
            make_stage(tmp_path / "run", range(4)),
            make_context(config),
        )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_training_in_its_first_epoch(tmp_path, value):
    config, tracks = make_config(), make_tracks(tmp_path / "tracks")
    model = build(config.model, FEATURES, 4)
    with torch.no_grad():
        model.get_parameter("head.weight").fill_(value)
    with pytest.raises(TrainingDiverged, match="epoch 1, step 1: lower the learning rate"):
        fit_network(model, tracks, make_stage(tmp_path / "run", range(16)), make_context(config))


def test_a_gradient_that_is_no_number_ends_the_training_too(tmp_path):
    config, tracks = make_config(), make_tracks(tmp_path / "tracks")
    model = build(config.model, FEATURES, 4)
    bias = model.get_parameter("head.bias")
    bias.register_hook(lambda gradient: gradient * math.inf)  # type: ignore[no-untyped-call]
    with pytest.raises(TrainingDiverged, match=r"gradient norm is .* in epoch 1, step 1: lower the learning"):
        fit_network(model, tracks, make_stage(tmp_path / "run", range(16)), make_context(config))


def test_a_resumed_training_ends_with_the_same_weights(tmp_path):
    expected, _ = fit(tmp_path, "unbroken", training={"epochs": 4, "batch_size": 4})
    config = make_config(training={"epochs": 4, "batch_size": 4})
    tracks = make_tracks(tmp_path / "tracks")
    reports: list[EpochReport] = []
    for stop_after in (1, 4, 2, 10**9):
        steps = itertools.count(1)

        def should_stop(steps: Iterator[int] = steps, stop_after: int = stop_after) -> bool:
            return next(steps) >= stop_after

        torch.manual_seed(1)
        model = build(config.model, FEATURES, 4)
        run = dataclasses.replace(make_context(config, reports), should_stop=should_stop)
        stage = Stage(list(range(12)), list(range(12, 16)), tmp_path / "broken")
        if stop_after < 100:
            with pytest.raises(TrainingStopped):
                fit_network(model, tracks, stage, run)
        else:
            weights = weights_of(fit_network(model, tracks, stage, run)[0])
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert [report.epoch for report in reports] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "training",
    [
        {"loss": {"kind": "focal"}},
        {"loss": {"kind": "asymmetric"}},
        {"max_class_weight": 10},
        {"label_smoothing": 0.1},
        {"schedule": "cosine"},
        {"schedule": "constant", "warm_up": 0},
        {"patches_per_track": 3},
        {"ema_decay": 0},
        {"checkpoint_every_s": 0},
    ],
)
def test_every_option_of_training_lowers_the_loss(tmp_path, training):
    _, history = fit(tmp_path, training={"epochs": 6, "patience": None} | training)
    assert loss_of(history[-1]) < loss_of(history[0])


def test_the_model_is_not_kept_waiting_for_its_inputs(tmp_path):
    network = {"kind": "audio_cnn", "patch_frames": 32, "base_channels": 8}
    _, history = fit(tmp_path, model=network, training={"epochs": 4, "batch_size": 4, "patches_per_track": 8})
    assert sorted(report.busy_share for report in history)[1] >= 0.9
