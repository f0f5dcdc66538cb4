"""A training on twelve artists with two labels of one artist each says no number that misleads."""

import csv
import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from api import schemas
from api.client.runs import show_run
from api.client.train import show_outcome
from api.views.experiments import run_details, training_outcome
from core.ml.datasets.examples import Dataset
from core.ml.evaluation.metrics import evaluate
from core.ml.training.records import read_validation
from core.ml.training.track_records import read_track_records
from core.ml.training.train import train
from core.ml.tuning.objective import measure
from core.store.experiments import RunRow
from tests.support.tiny_model import write_tiny
from tests.unit.ml.training.experiments import make_config

ALONE = ("=folk", "polka")
NAMES = ("=folk", "high", "low", "noisy", "polka", "pulsing")
MEANS = ("roc_auc_macro", "pr_auc_macro", "f1_macro", "f1_micro", "f1_samples")


class Training:
    """The answers of one training, as they leave: REST, model card, command line, files."""

    def __init__(
        self, folder: Path, result: Any, capsys: pytest.CaptureFixture[str], *, exclusive: bool
    ) -> None:
        self.folder, self.exclusive = folder, exclusive
        self.results, self.metrics = dict(result.results), dict(result.metrics)
        model: Any = SimpleNamespace(reference="small@1", artifact_url=folder.as_uri())
        run: Any = SimpleNamespace(
            id=UUID(int=1),
            job_id=None,
            seed=0,
            dataset_sha256=None,
            code_version=None,
            duration_s=1.0,
            created_at=datetime.now(UTC),
            finished_at=None,
            config={},
            metrics=self.metrics,
            results=self.results,
        )
        row = RunRow(run, "small", "succeeded", model)
        outcome = training_outcome(row)
        assert outcome is not None
        self.outcome = schemas.TrainingOutcome.model_validate_json(outcome.model_dump_json())
        self.run = run_details(row, [])
        self.card = (folder / "MODEL_CARD.md").read_text()
        capsys.readouterr()
        show_outcome(self.outcome)
        self.said = capsys.readouterr().out
        show_run(self.run)
        self.shown = capsys.readouterr().out


@pytest.fixture(scope="module", params=[True, False], ids=["exclusive", "several"])
def trained(request: pytest.FixtureRequest, clips: Dataset, cache_dir: Path, tmp_path_factory: Any) -> Any:
    """Each artist has two clips; each of the first two has a label of its own."""
    exclusive = request.param
    examples = []
    for number, one in enumerate(clips.examples):
        artist = number % 12
        own = ALONE[artist : artist + 1]
        labels = own if own and (exclusive or artist == 1) else (*one.labels, *own)
        examples.append(replace(one, artist=f"artist {artist}", labels=labels))
    folder = tmp_path_factory.mktemp("twelve")
    write_tiny(folder)
    config = make_config(
        model={"kind": "transfer", "backbone": "tiny-1"}, split={"folds": 5}, evaluation={"bootstrap": 50}
    )
    result = train(
        config,
        Dataset("twelve", tuple(examples)),
        lambda _: None,
        folder=folder / "run",
        cache_dir=cache_dir,
        models_dir=folder,
        device="cpu",
    )
    return folder / "run", result, exclusive


@pytest.fixture
def training(trained: Any, capsys: pytest.CaptureFixture[str]) -> Training:
    folder, result, exclusive = trained
    return Training(folder, result, capsys, exclusive=exclusive)


def test_only_labels_that_can_be_measured_have_measures(training):
    assert training.results["unmeasured"] == dict.fromkeys(ALONE, "its 2 tracks are of one artist or album")
    assert training.outcome.unmeasured == training.results["unmeasured"]
    assert (training.outcome.measured_labels, len(training.outcome.labels)) == (4, 6)
    for label in training.results["per_label"]:
        figures = [
            label[name] for name in ("roc_auc", "pr_auc", "recall", "f1", "calibration_error", "brier_score")
        ]
        assert all(value is None for value in figures) == (label["label"] in ALONE)
        assert (label["unmeasured"] is None) == (label["label"] not in ALONE)
    assert training.results["groups"]["tail"]["measured"] == 4


def test_means_and_intervals_are_those_without_these_labels_and_tracks(training):
    records = read_track_records(training.folder)
    assert records is not None
    assert records.learnt.tolist() == [name not in ALONE for name in NAMES]
    learnt = records.learnt
    rows = np.asarray(records.targets[:, learnt].any(axis=1))
    assert rows.sum() == (20 if training.exclusive else 22)
    truth, given = records.targets[rows][:, learnt], records.decisions[rows][:, learnt]
    expected = evaluate(truth, np.zeros(truth.shape), NAMES[:4], 0.5, given).summary()
    for name in ("f1_macro", "f1_micro", "f1_samples"):
        assert training.metrics[name] == pytest.approx(expected[name])
    assert training.metrics["tracks"] == rows.sum()
    for name in MEANS:
        interval = training.outcome.intervals[name]
        assert interval.value == pytest.approx(training.metrics[name])
        assert interval.low is not None
    left_out = len(rows) - rows.sum()
    assert any(
        note.endswith(f"no measure is of them either: {left_out}.") for note in training.outcome.warnings
    )


def test_a_study_optimises_and_suspects_are_sought_without_them(training):
    (value,) = measure(SimpleNamespace(folder=training.folder, labels=NAMES, history=()), ["roc_auc_macro"])  # type: ignore[arg-type]
    assert value == pytest.approx(training.metrics["roc_auc_macro"])
    held_out, records = read_validation(training.folder), read_track_records(training.folder)
    assert records is not None
    for column in (NAMES.index(name) for name in ALONE):
        assert not held_out.known[held_out.targets[:, column] > 0, column].any()
        stored = [each for found in records.training_scores(100) for each in found.values()]
        assert sum(each is not None and each[column] is None for each in stored) >= 2


def test_people_are_told_the_labels_the_reason_and_what_follows(training):
    for text in (training.card, training.said, training.shown):
        words = re.sub(r"\s+", " ", text)
        for label in ALONE:
            assert re.search(
                rf"{label}( cannot be measured)?: its 2 tracks are of one artist or album", words
            )
        assert "of the 4 of 6 labels that can be measured" in words
        assert "how well the model gives them is not known" in words
        assert ("which are 0.5: =folk, polka" in words) == (not training.exclusive)
    row = next(line for line in training.card.splitlines() if line.startswith("| polka"))
    assert row.startswith("| polka | 2 | ")
    assert row.split("|")[4:9] == [" - "] * 5
    assert "4 of 6" in training.card


def test_every_figure_can_be_checked_by_the_predictions_of_its_tracks(training):
    content = (training.folder / "predictions.csv").read_bytes().decode()
    rows = list(csv.DictReader(io.StringIO(content)))
    assert list(rows[0]) == ["track", "fold", "truth", "decision", "'=folk", *NAMES[1:]]
    assert "predictions.csv" in training.run.artifacts
    assert len(rows) == 24
    assert {int(row["fold"]) for row in rows} == {1, 2, 3, 4, 5}
    given, truth = np.zeros((24, 6), bool), np.zeros((24, 6), bool)
    for number, row in enumerate(rows):
        for cells, array in ((row["decision"], given), (row["truth"], truth)):
            for name in filter(None, cells.removeprefix("'").split("; ")):
                array[number, NAMES.index(name)] = True
        unknown = [name for name in ALONE if name in row["truth"].removeprefix("'").split("; ")]
        for column, name in enumerate(NAMES):
            cell = row["'=folk" if column == 0 else name]
            assert (cell == "") >= (name in unknown)
            assert cell == "" or 0 <= float(cell) <= 1
    counts = json.loads((training.folder / "test_results.json").read_text())["co_occurrence"]
    assert counts == (truth.T.astype(int) @ given.astype(int)).tolist()


def test_exclusive_labels_have_no_thresholds_but_the_highest_score(training):
    for text in (training.card, training.shown):
        assert ("threshold" in text) != training.exclusive
        assert ("highest score wins" in text) == training.exclusive


def test_no_fold_and_no_rough_measure_speaks_of_labels_that_are_not_measured(training):
    notes = training.results["warnings"]
    assert notes[0].startswith("These labels cannot be measured (=folk: ")
    assert not any(re.match("No (train|test) track has", note) for note in notes)
    assert not any("fewer than" in note and "polka" in note for note in notes)
