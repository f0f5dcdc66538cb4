from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import mutagen
import pytest
import torch

from core.ml.datasets.describe import describe
from core.ml.datasets.examples import Part
from core.ml.datasets.folder import read
from core.ml.training.bases import resolve
from core.ml.training.context import ignore_progress
from core.ml.training.prepared_dataset import PreparedDataset, prepare_dataset
from tests.support.sounds import noise, write
from tests.unit.ml.training.experiments import make_config

ARTISTS = 12


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two genres; every artist has made a track of both, and is known by tags alone."""
    root = tmp_path_factory.mktemp("music")
    for number in range(4 * ARTISTS):
        genre = ("rock", "jazz")[number % 2]
        (root / genre).mkdir(exist_ok=True)
        path = write(root / genre / f"{number}.flac", noise(1, seed=number))
        tags = mutagen.File(path)
        tags["artist"] = f"artist {number // 2 % ARTISTS}"
        tags.save()
    return root


def prepared(music: Path, cache_dir: Path, **changes: object) -> PreparedDataset:
    config = make_config(**changes)
    return prepare_dataset(
        resolve(config, cache_dir), read(music), cache_dir, torch.device("cpu"), bool, ignore_progress
    )


def test_no_artist_of_the_tags_is_in_two_parts(music, cache_dir):
    material = prepared(music, cache_dir)
    parts = defaultdict(set)
    for part in Part:
        for example in material.splits[0].part(part):
            parts[example.artist].add(part)
    assert len(parts) == ARTISTS
    assert all(len(found) == 1 for found in parts.values())


def test_artists_of_the_tags_count_for_their_labels(music, cache_dir):
    labels = {"min_artists": 5, "num_genres": 2, "aliases": {"jazz": "rock", "rock": "metal"}}
    assert prepared(music, cache_dir, labels=labels).labels == ("metal", "rock")


def test_tracks_and_labels_that_are_left_out_are_told(music, cache_dir):
    """Half of the tracks have no label, and two labels have one track each."""
    whole = read(music)
    labels = {number: () for number in range(20)} | {20: ("polka", "rock"), 21: ("ska",)}
    examples = [
        replace(one, labels=labels.get(number, one.labels)) for number, one in enumerate(whole.examples)
    ]
    dataset = replace(whole, examples=tuple(examples))
    config = make_config(labels={"min_tracks": 2}, split={"folds": 3})
    material = prepare_dataset(
        resolve(config, cache_dir), dataset, cache_dir, torch.device("cpu"), bool, ignore_progress
    )
    assert len(material.dataset.examples) == len(examples) - 21
    assert material.notes == (
        "21 tracks are left out, as they have none of the labels that are learnt.",
        "2 labels are not learnt, as too few tracks or artists have them: polka, ska.",
    )
    assert prepared(music, cache_dir, split={"folds": 3}).notes == ()


@pytest.mark.parametrize("split", [{"validation": 0.2, "test": 0.2}, {"folds": 3}])
def test_a_description_shows_the_very_split_that_training_makes(music, cache_dir, split):
    config = make_config(split=split, labels={"num_genres": 2})
    splits = prepared(music, cache_dir, split=split, labels={"num_genres": 2}).splits
    dataset = read(music)
    backwards = replace(dataset, examples=dataset.examples[::-1])
    shown = describe(backwards, config.labels, config.split)
    assert shown.split == splits[0].report
    assert shown.parts == {
        name: {label: counts[part] for label, counts in found.report.labels.items()}
        for name, found, part in (
            [(part.value, splits[0], part) for part in Part]
            if len(splits) == 1
            else [(f"fold {number}", fold, Part.TEST) for number, fold in enumerate(splits, 1)]
        )
    }
