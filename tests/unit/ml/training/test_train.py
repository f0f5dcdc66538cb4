import itertools
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core import VERSION
from core.config.models import is_single_label
from core.errors import InvalidConfig, UnusableDataset
from core.ml.datasets.errors import NoLabelsLeft, OneClassOnly, TooFewLabels
from core.ml.datasets.examples import Dataset
from core.ml.evaluation.calibration import calibration_error, fit_platt
from core.ml.evaluation.metrics import evaluate as measure
from core.ml.inference import tagger as tagger_module
from core.ml.inference.tagger import Analysis, Tagger
from core.ml.models import artifact
from core.ml.models.artifact import ModelCard
from core.ml.training import model_evaluation
from core.ml.training.cache_paths import cache_path
from core.ml.training.context import TrainingStopped
from core.ml.training.prediction import HeldOutScores
from core.ml.training.records import read_validation
from core.ml.training.reports import TrainingResult
from core.ml.training.results import CHOSEN_ON_FOLDS
from core.ml.training.track_records import read_track_records
from core.ml.training.train import train
from core.states import Activity
from tests.support.tiny_model import write_tiny
from tests.unit.ml.training.experiments import NARROW, make_config

FILES = {
    "MODEL_CARD.md",
    "history.json",
    "model.json",
    "model.safetensors",
    "predictions.csv",
    "score_counts.json",
    "test_results.json",
    "tracks.safetensors",
    "validation_scores.safetensors",
}
PICTURES = {"co_occurrence.png", "training_curves.png"}
LOGISTIC = {"kind": "transfer", "backbone": "tiny-1"}
TRANSFER = LOGISTIC | {"head": "linear"}
FOREST = {"kind": "random_forest", "patch_frames": 32, "bands": 12, "trees": 15, "max_leaves": 8}


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds `tiny-1`, an untrained musicnn; its random filters tell the clips apart well enough."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny(folder)
    return folder


def run(
    dataset: Dataset,
    folder: Path,
    cache_dir: Path,
    models_dir: Path | None = None,
    reports: list[Any] | None = None,
    pictures: bool = False,
    **changes: Any,
) -> TrainingResult:
    return train(
        make_config(**changes),
        dataset,
        (lambda _: None) if reports is None else reports.append,
        folder=folder,
        cache_dir=cache_dir,
        models_dir=models_dir,
        pictures=pictures,
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("model", ["audio_cnn", "logistic", "transfer", "random_forest"])
def test_a_training_leaves_a_model_that_serves_and_its_records(clips, cache_dir, models_dir, tmp_path, model):
    changes: dict[str, Any] = {
        "logistic": {"model": LOGISTIC},
        "transfer": {"model": TRANSFER},
        "random_forest": {"model": FOREST},
    }
    result = run(clips, tmp_path / "run", cache_dir, models_dir, pictures=True, **changes.get(model, {}))
    assert names(tmp_path / "run") == FILES | PICTURES
    assert names(tmp_path) == {"run"}
    assert [report.train_loss is None for report in result.history] == (
        {"random_forest": [True], "logistic": [False]}.get(model, [False] * 3)
    )
    assert result.labels == ("high", "low", "noisy", "pulsing")
    assert {"roc_auc_macro", "f1_micro", "duration_s"} <= result.metrics.keys()
    tagger = Tagger.load(tmp_path / "run", device="cpu")
    with clips.examples[0].path.open("rb") as file:
        ((_, analysis),) = tagger.analyse([("track", file)], max_duration_s=60)
    assert isinstance(analysis, Analysis)
    assert analysis.scores.shape == (4,)
    assert analysis.embedding.shape == (tagger.card.model.embedding_size,)


@pytest.mark.parametrize("split", [{"folds": 3}, {"folds": 1, "validation": 0.2, "test": 0.2}])
def test_training_tracks_are_recorded(clips, cache_dir, models_dir, tmp_path, split):
    """Under cross-validation all, and each is tested; else all but those of the test part."""
    result = run(clips, tmp_path / "run", cache_dir, models_dir, model=LOGISTIC, split=split)
    records = read_track_records(tmp_path / "run")
    assert records is not None
    count = len(clips.examples)
    tested = count if split["folds"] > 1 else result.results["tracks"]["test"]
    assert records.trained_on.sum() == (count if split["folds"] > 1 else count - tested)
    assert records.tested.sum() == tested
    assert (records.trained_on | records.tested).all()
    truth, given = records.targets[records.tested], records.decisions[records.tested]
    metrics = measure(truth, given.astype(float), result.labels, 0.5).summary()
    assert metrics["f1_macro"] == pytest.approx(result.metrics["f1_macro"])
    slices = list(records.training_scores(7))
    assert max(map(len, slices)) <= 7
    scores = {content: each for found in slices for content, each in found.items()}
    assert set(scores) == {records.contents[row] for row in np.flatnonzero(records.trained_on)}
    assert np.array(list(scores.values()), float).sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_the_records_say_what_happened(clips, cache_dir, tmp_path):
    reports: list[object] = []
    result = run(clips, tmp_path / "run", cache_dir, reports=reports, pictures=True, seed=3)
    card = artifact.load(tmp_path / "run").card
    assert card.provenance["seed"] == "3"
    assert json.loads(card.provenance["config"])["training"]["epochs"] == 3
    assert len(card.provenance["dataset_sha256"]) == 64
    assert card.provenance["code_version"].startswith(f"{VERSION}, ")
    assert len(card.provenance["code_sha256"]) == 16
    assert card.metrics["duration_s"] > 0
    history = json.loads((tmp_path / "run/history.json").read_text())
    assert [epoch["epoch"] for epoch in history] == [1, 2, 3]
    assert len(reports) == 3
    results = json.loads((tmp_path / "run/test_results.json").read_text())
    assert results == result.results
    assert results["evaluated_on"] == "test"
    assert sum(results["tracks"][part] for part in ("train", "validation", "test")) == 24
    assert results["intervals"]["roc_auc_macro"].keys() == {"value", "low", "high"}
    assert [one["label"] for one in results["per_label"]] == list(result.labels)
    for picture in PICTURES:
        assert (tmp_path / "run" / picture).read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "run/MODEL_CARD.md").read_text()
    assert text.startswith("# small, version 1\n")
    assert "| pulsing | " in text
    assert card.provenance["dataset_sha256"] in text


def test_hierarchical_labels_are_consistent_when_served_and_evaluated(clips, cache_dir, tmp_path):
    """Half of the pulsing clips are only called by the parent's name, which every clip of noise has."""
    examples = tuple(
        replace(one, labels=("noisy", "pulsing") if number % 2 else ("noisy",))
        if one.labels == ("pulsing",)
        else one
        for number, one in enumerate(clips.examples)
    )
    tree = Dataset("tree", examples, {"pulsing": "noisy", "unknown": "high"})
    result = run(tree, tmp_path / "run", cache_dir, model=NARROW | {"single_label": False})
    card = artifact.load(tmp_path / "run").card
    assert card.parents == {"pulsing": "noisy"}
    groups = result.results["groups"]
    assert {name: means["labels"] for name, means in groups.items()} == {"tail": 4, "roots": 3, "leaves": 3}
    assert "roots of the label tree" in (tmp_path / "run/MODEL_CARD.md").read_text()
    tagger, noisy, pulsing = Tagger.load(tmp_path / "run", device="cpu"), 2, 3
    sources = [(one.id, one.path.open("rb")) for one in examples]
    for _, analysis in tagger.analyse(sources, max_duration_s=60):
        assert isinstance(analysis, Analysis)
        assert analysis.scores[noisy] >= analysis.scores[pulsing]


def test_a_model_of_one_label_does_not_learn_tracks_with_several(clips, cache_dir, tmp_path):
    double = (replace(clips.examples[0], labels=("low", "noisy")), *clips.examples[1:])
    with pytest.raises(UnusableDataset, match=r"1 tracks have several.*single_label"):
        run(Dataset("double", double), tmp_path / "run", cache_dir, model=NARROW | {"single_label": True})
    result = run(Dataset("double", double), tmp_path / "run", cache_dir, training={"epochs": 1})
    assert not is_single_label(artifact.load(result.folder).card.model)


def test_a_base_that_knows_the_test_tracks_is_named(clips, cache_dir, tmp_path):
    """Of the two members, one was trained by the very same split, one by another."""
    models = tmp_path / "models"
    for name, seed in (("same-1", 0), ("other-1", 1)):
        split = {"validation": 0.2, "test": 0.2, "seed": seed}
        run(clips, models / name, cache_dir, experiment_name=name, split=split)
    ensemble: dict[str, Any] = {"model": {"kind": "ensemble", "members": ["same-1", "other-1"]}}
    result = run(clips, tmp_path / "run", cache_dir, models, **ensemble)
    assert [text for text in result.results["warnings"] if "trained on" in text] == [
        "other-1 may have been trained on test tracks of this model: its scores may be too high."
    ]
    assert result.results["warnings"][-1] in (tmp_path / "run/MODEL_CARD.md").read_text()


def test_scoring_can_be_stopped_and_resumed(clips, cache_dir, tmp_path):
    """The epochs are over when it is asked to stop; nothing of them is trained again."""
    reports: list[Any] = []

    def attempt(should_stop: Callable[[], bool]) -> TrainingResult:
        return train(
            make_config(training={"checkpoint_every_s": 0}),
            clips,
            reports.append,
            folder=tmp_path / "run",
            cache_dir=cache_dir,
            should_stop=should_stop,
        )

    with pytest.raises(TrainingStopped):
        attempt(lambda: len(reports) == 3)
    assert attempt(lambda: False).results["evaluated_on"] == "test"
    assert [report.epoch for report in reports] == [1, 2, 3]


@pytest.mark.parametrize("model", ["audio_cnn", "random_forest"])
def test_a_training_reports_its_activities_from_start_to_end(clips, cache_dir, tmp_path, model):
    activities: list[tuple[Activity, int, int | None]] = []
    changes: dict[str, Any] = {"model": FOREST} if model == "random_forest" else {}
    train(
        make_config(training={"epochs": 1}, **changes),
        clips,
        lambda _: None,
        folder=tmp_path / "run",
        cache_dir=cache_dir,
        on_activity=lambda *activity: activities.append(activity),
    )
    order = [activity for activity, _ in itertools.groupby(activity for activity, _, _ in activities)]
    between = [] if model == "random_forest" else [Activity.VALIDATING]
    ending = [Activity.SCORING, Activity.CALIBRATING, Activity.MEASURING, Activity.WRITING]
    assert order == [Activity.TRAINING, *between, *ending]
    assert all(total is None or 0 <= done <= total for _, done, total in activities)


def test_what_is_reported_of_exclusive_labels_is_what_is_served(clips, cache_dir, tmp_path, monkeypatch):
    served: list[Any] = []

    def evaluate(targets: Any, *arguments: Any) -> Any:
        served[:] = [targets, arguments[4]]
        return measure(targets, *arguments)

    monkeypatch.setattr(model_evaluation, "evaluate", evaluate)
    result = run(clips, tmp_path / "run", cache_dir, split={"folds": 3}, training={"epochs": 1})
    card = artifact.load(tmp_path / "run").card
    assert card.calibration is not None
    assert card.calibration.form == "softmax"
    held_out = read_validation(tmp_path / "run")
    assert held_out.scores.sum(axis=1) == pytest.approx(np.ones(24), abs=1e-5)
    given = tagger_module.postprocess_scores(card, held_out.scores)
    assert given.sum(axis=1) == pytest.approx(np.ones(24), abs=1e-5)
    hits = (given.argmax(axis=1) == held_out.targets.argmax(axis=1)).mean()
    assert result.metrics["accuracy"] == pytest.approx(hits)
    assert served[1].sum(axis=1) == pytest.approx(np.ones(24), abs=1e-9)
    assert np.trace(result.results["co_occurrence"]) == round(hits * 24)
    assert np.sum(result.results["co_occurrence"]) == 24


def test_calibration_is_evaluated_on_held_out_tracks():
    """Scores that say nothing, which a calibration by the same tracks would make look honest."""
    random = np.random.default_rng(0)
    targets = (random.random((60, 3)) < 0.3).astype(float)
    scores = random.random((60, 3))
    test = HeldOutScores(list(range(60)), scores, [number % 5 for number in range(60)])
    fit = partial(fit_platt, free_from=1)
    choose = partial(model_evaluation._choose, fit, targets, lambda given: given, 0, exclusive=False)
    rule = choose(test, range(60))
    nested, _ = model_evaluation._out_of_fold_decisions(test, rule, choose)
    assert (
        calibration_error(targets, nested).mean()
        > 1.5 * calibration_error(targets, rule.postprocess(scores)).mean()
    )


def test_the_same_training_gives_the_same_model(clips, cache_dir, tmp_path):
    for name in ("first", "second"):
        run(clips, tmp_path / name, cache_dir)
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second"))
    assert first == second


def test_a_training_that_dies_while_its_model_is_put_in_place_keeps_its_checkpoints(
    clips, cache_dir, tmp_path, monkeypatch
):
    reports: list[object] = []
    always: dict[str, Any] = {"training": {"checkpoint_every_s": 0}}
    rename = Path.rename

    def die(path: Path, target: Path) -> Path:
        if target == tmp_path / "run":
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", die)
        with pytest.raises(KeyboardInterrupt):
            run(clips, tmp_path / "run", cache_dir, reports=reports, **always)
    assert len(reports) == 3
    run(clips, tmp_path / "run", cache_dir, reports=reports, **always)
    assert len(reports) == 3
    assert names(tmp_path) == {"run"}


def test_a_finished_training_is_not_done_again(clips, cache_dir, tmp_path):
    first = run(clips, tmp_path / "run", cache_dir)
    reports: list[object] = []
    assert run(clips, tmp_path / "run", cache_dir, reports=reports) == first
    assert reports == []
    run(clips, tmp_path / "run", cache_dir, reports=reports, seed=9)
    assert len(reports) == 3


def test_cross_validation_scores_every_track_and_learns_from_all(clips, cache_dir, models_dir, tmp_path):
    reports: list[object] = []
    split = {"folds": 3}
    result = run(clips, tmp_path / "run", cache_dir, models_dir, reports, model=TRANSFER, split=split)
    assert result.results["evaluated_on"] == "out_of_fold"
    assert result.results["folds"] == 3
    assert result.metrics["tracks"] == 24
    assert [(report.fold, report.epoch) for report in result.history] == [
        (fold, epoch) for fold in (1, 2, 3, None) for epoch in (1, 2, 3)
    ]
    assert len(reports) == 12
    assert names(tmp_path / "run") == FILES


def test_what_a_study_chose_on_these_folds_is_warned_of(clips, cache_dir, models_dir, tmp_path):
    config = make_config(model=TRANSFER, split={"folds": 3})
    options = {"cache_dir": cache_dir, "models_dir": models_dir, "device": "cpu"}
    result = train(config, clips, lambda _: None, folder=tmp_path / "run", searched=True, **options)
    assert CHOSEN_ON_FOLDS in result.results["warnings"]
    assert CHOSEN_ON_FOLDS in (tmp_path / "run" / "MODEL_CARD.md").read_text()


def test_a_resumed_cross_validation_has_the_same_result(clips, cache_dir, models_dir, tmp_path):
    config = make_config(model=TRANSFER, split={"folds": 3})
    reports: list[object] = []

    def fit(name: str, stop_at: int) -> TrainingResult:
        return train(
            config,
            clips,
            reports.append,
            folder=tmp_path / name,
            cache_dir=cache_dir,
            models_dir=models_dir,
            should_stop=lambda: len(reports) >= stop_at,
        )

    whole = fit("whole", 1000)
    reports.clear()
    for stop_at in (4, 8, 11):
        with pytest.raises(TrainingStopped):
            fit("broken", stop_at)
    broken = fit("broken", 1000)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "broken")]
    assert weights[0] == weights[1]
    assert broken.results == whole.results
    assert len(reports) == 12


def test_a_transfer_needs_its_backbone_no_more(clips, cache_dir, models_dir, tmp_path):
    shutil.copytree(models_dir, tmp_path / "models")
    run(clips, tmp_path / "run", cache_dir, tmp_path / "models", model=TRANSFER)
    shutil.rmtree(tmp_path / "models")
    loaded = artifact.load(tmp_path / "run")
    original = artifact.load(models_dir / "tiny-1")
    patches = torch.rand(2, 1, 24, 187)
    assert torch.equal(loaded.model(patches)[1], original.model(patches)[1])
    assert loaded.card.embedding == "tiny-1/penultimate"
    assert loaded.card.features == original.card.features
    assert loaded.card.licence == "free"
    assert loaded.card.provenance["built_on"] == "tiny-1"


def test_a_transfer_labels_stored_embeddings_as_it_labels_audio(clips, cache_dir, models_dir, tmp_path):
    run(clips, tmp_path / "run", cache_dir, models_dir, model=TRANSFER, training={"epochs": 20, "lr": 0.1})
    tagger = Tagger.load(tmp_path / "run", device="cpu")
    sources = ((example.id, example.path.open("rb")) for example in clips.examples[::6])
    for _, analysis in tagger.analyse(sources, max_duration_s=60):
        assert isinstance(analysis, Analysis)
        scores = tagger.relabel(analysis.embedding)
        assert scores.tolist() == pytest.approx(analysis.scores.tolist(), abs=1e-6)
        assert scores.std() > 0.05


def test_an_ensemble_of_stored_models_is_evaluated_and_stored(clips, cache_dir, tmp_path):
    for seed in (1, 2):
        run(clips, tmp_path / f"models/cnn-{seed}", cache_dir, seed=seed)
    ensemble = {"kind": "ensemble", "members": ["cnn-1", "cnn-2"]}
    result = run(clips, tmp_path / "run", cache_dir, tmp_path / "models", model=ensemble)
    shutil.rmtree(tmp_path / "models")
    assert result.history == ()
    loaded = artifact.load(tmp_path / "run")
    assert loaded.model(torch.rand(2, 1, 24, 32))[1].shape == (2, 16)


def test_unreadable_tracks_are_left_out_counted_and_named(clips, cache_dir, models_dir, tmp_path):
    (tmp_path / "broken.flac").write_bytes(b"no audio at all" * 100)
    broken = replace(clips.examples[0], id="broken", path=tmp_path / "broken.flac")
    gone = replace(clips.examples[0], id="gone", path=tmp_path / "gone.flac")
    os.mkfifo(tmp_path / "pipe.flac")
    (tmp_path / "loop.flac").symlink_to("loop.flac")
    pipe = replace(clips.examples[0], id="pipe", path=tmp_path / "pipe.flac")
    loop = replace(clips.examples[0], id="loop", path=tmp_path / "loop.flac")
    dataset = Dataset("odd", (*clips.examples, broken, gone, pipe, loop))
    result = run(dataset, tmp_path / "run", cache_dir, models_dir, model=TRANSFER)
    assert result.dropped == {
        "broken": "not_audio",
        "gone": "disappeared",
        "loop": "outside_library",
        "pipe": "not_a_file",
    }
    assert result.results["tracks"]["all"] == 24
    assert "4 tracks could not be read" in (tmp_path / "run/MODEL_CARD.md").read_text()


def test_the_most_frequent_labels_are_selected(clips, cache_dir, models_dir, tmp_path):
    fewer = Dataset("fewer", clips.examples[:-1])
    labels = {"num_genres": 3}
    result = run(fewer, tmp_path / "run", cache_dir, models_dir, model=TRANSFER, labels=labels)
    assert result.labels == ("high", "low", "noisy")


def test_the_fingerprint_follows_labels_and_artists_and_not_the_order(clips, cache_dir, models_dir, tmp_path):
    def fingerprint(dataset: Dataset) -> str:
        run(dataset, tmp_path / "run", cache_dir, models_dir, model=TRANSFER, split={"folds": 2})
        return artifact.load(tmp_path / "run").card.provenance["dataset_sha256"]

    other = replace(clips.examples[0], labels=("low",))
    assert fingerprint(clips) == fingerprint(replace(clips, examples=clips.examples[::-1]))
    assert fingerprint(clips) != fingerprint(replace(clips, examples=(other, *clips.examples[1:])))
    artists = tuple(replace(one, artist=one.id) for one in clips.examples)
    assert fingerprint(clips) != fingerprint(replace(clips, examples=artists))


def relabelled(clips: Dataset, *labels: tuple[str, ...]) -> Dataset:
    """The labels repeated over the tracks."""
    given = [labels[number % len(labels)] for number in range(len(clips.examples))]
    pairs = zip(clips.examples, given, strict=True)
    return Dataset("relabelled", tuple(replace(example, labels=to) for example, to in pairs))


def test_errors_of_datasets_come_before_the_first_epoch(clips, cache_dir, tmp_path):
    reports: list[object] = []
    several = {"model": NARROW | {"single_label": False}}
    cases: list[tuple[Dataset, dict[str, Any], type[Exception], str]] = [
        (relabelled(clips, ("x",)), {}, OneClassOnly, "same labels"),
        (clips, {"labels": {"num_genres": 9}}, TooFewLabels, "9 labels are requested"),
        (
            relabelled(clips, ("x", "y"), ("x",)),
            several,
            UnusableDataset,
            "Every training track has .* 'x'",
        ),
        (Dataset("e", ()), {}, NoLabelsLeft, "None of the 0 tracks"),
    ]
    for dataset, changes, kind, message in cases:
        with pytest.raises(kind, match=message):
            run(dataset, tmp_path / "run", cache_dir, reports=reports, **changes)
    assert reports == []
    assert not (tmp_path / "run").exists()


def test_nothing_but_bad_files_is_an_error(clips, cache_dir, tmp_path):
    gone = tuple(replace(example, path=tmp_path / "gone") for example in clips.examples)
    with pytest.raises(UnusableDataset, match="None of the 24 tracks of gone can be read"):
        run(Dataset("gone", gone), tmp_path / "run", cache_dir)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"kind": "transfer", "backbone": "nowhere"}, "'nowhere' cannot be used as a base"),
        ({"kind": "ensemble", "members": ["tiny-1", "other-1"]}, "differ in their labels"),
    ],
)
def test_models_that_do_not_fit_are_refused(clips, cache_dir, models_dir, tmp_path, model, message):
    shutil.copytree(models_dir, tmp_path / "models")
    loaded = artifact.load(models_dir / "tiny-1")
    values = loaded.card.model_dump(exclude={"weights_sha256"}) | {"labels": ("c", "d")}
    artifact.save(ModelCard.model_validate(values), loaded.model, tmp_path / "models/other-1")
    with pytest.raises(InvalidConfig, match=message):
        run(clips, tmp_path / "run", cache_dir, tmp_path / "models", model=model)


def test_an_ensemble_of_more_numbers_than_can_be_stored_is_refused(clips, cache_dir, models_dir, tmp_path):
    members = ["tiny-1"] * 126  # of 16 numbers each
    with pytest.raises(InvalidConfig, match="have 2016 dimensions in total; at most 2000 can be stored"):
        run(clips, tmp_path / "run", cache_dir, models_dir, model={"kind": "ensemble", "members": members})


def test_embeddings_are_those_of_serving_and_computed_once(clips, models_dir, tmp_path, monkeypatch):
    run(clips, tmp_path / "first", tmp_path / "cache", models_dir, model=TRANSFER)
    backbone = artifact.load(models_dir / "tiny-1")
    tagger = Tagger(backbone.card, backbone.model, torch.device("cpu"))
    with clips.examples[3].path.open("rb") as file:
        ((_, analysis),) = tagger.analyse([(0, file)], max_duration_s=60)
    assert isinstance(analysis, Analysis)
    stored = [np.load(path) for path in (tmp_path / "cache/embeddings").rglob("*.npy")]
    assert len(stored) == 24
    assert any(np.allclose(one, analysis.embedding, atol=1e-5) for one in stored)

    def refuse(*args: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr("core.ml.training.embedding_cache.write_array", refuse)
    run(clips, tmp_path / "second", tmp_path / "cache", models_dir, model=TRANSFER)


def test_arrays_are_spread_over_folders():
    assert cache_path(Path("cache"), "abcdef") == Path("cache/ab/abcdef.npy")
