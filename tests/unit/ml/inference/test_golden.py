"""The default model against stored outputs of the original implementation on the sample library."""

import json
from pathlib import Path

import numpy as np
import pytest

from core.ml.inference.tagger import Analysis, Tagger

GOLDEN = json.loads((Path(__file__).parents[3] / "data" / "musicnn_msd_samples.json").read_text())
TRACKS = GOLDEN["tracks"]


@pytest.fixture(scope="module")
def analyses(default_model: Path, sample_library: Path) -> dict[str, Analysis]:
    tagger = Tagger.load(default_model, device="cpu", threads=1)
    assert list(tagger.labels) == GOLDEN["labels"]
    files = ((name, (sample_library / name).open("rb")) for name in TRACKS)
    outcomes = dict(tagger.analyse(files, max_duration_s=600))
    return {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, Analysis)}


@pytest.mark.slow
def test_every_sample_is_labelled(analyses):
    assert set(analyses) == set(TRACKS)
    for name, track in TRACKS.items():
        assert analyses[name].duration_s == pytest.approx(track["duration_s"], abs=0.05)


@pytest.mark.slow
def test_scores_equal_the_originals(analyses):
    for name, track in TRACKS.items():
        np.testing.assert_allclose(analyses[name].scores, track["tags"], rtol=0, atol=0.001, err_msg=name)


@pytest.mark.slow
def test_the_five_best_labels_are_the_originals(analyses):
    compared = 0
    for name, track in TRACKS.items():
        original = np.array(track["tags"])
        order = np.argsort(-original)
        if original[order[4]] - original[order[5]] > 0.01:
            assert set(np.argsort(-analyses[name].scores)[:5]) == set(order[:5]), name
            compared += 1
    assert compared > len(TRACKS) / 4


@pytest.mark.slow
def test_embeddings_point_where_the_originals_do(analyses):
    for name, track in TRACKS.items():
        ours, original = analyses[name].embedding, np.array(track["penultimate"])
        cosine = ours @ original / np.linalg.norm(ours) / np.linalg.norm(original)
        assert cosine > 0.9999, name
