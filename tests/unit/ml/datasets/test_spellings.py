"""A label is one label in every spelling, in every kind of dataset; the most frequent spelling is used."""

import unicodedata
from pathlib import Path

import pytest

from core.config.dataset import FolderDataset, LabelConfig, LibraryDataset, ManifestDataset, SplitConfig
from core.config.experiment import parse_experiment
from core.errors import InvalidConfig
from core.ml.datasets.catalogue import read_dataset, read_library
from core.ml.datasets.describe import describe
from core.ml.datasets.examples import Dataset, Example, MergedLabel
from core.ml.datasets.labels import select_labels, spelt_like
from core.ml.datasets.library import TaggedTrack
from core.ml.datasets.spellings import merged_note, with_one_spelling
from core.ml.datasets.splits import divide

ELECTRO = "\u00c9lectro"


def dataset(*labels: str, parents: dict[str, str] | None = None, artists: list[str] | None = None) -> Dataset:
    names = artists or [f"artist {number}" for number in range(len(labels))]
    examples = (
        Example(str(number), Path(f"{number}.mp3"), (label,), artist)
        for number, (label, artist) in enumerate(zip(labels, names, strict=True))
    )
    return Dataset("mine", tuple(examples), parents or {})


def labels_of(found: Dataset) -> list[str]:
    return [label for example in found.examples for label in example.labels]


def test_the_most_frequent_spelling_is_used_and_merges_are_reported():
    found = with_one_spelling(dataset("rock", "Rock", "Rock", "ROCK\u00a0", "Jazz"))
    assert labels_of(found) == ["Rock", "Rock", "Rock", "Rock", "Jazz"]
    assert found.merged == (MergedLabel("Rock", (("ROCK\u00a0", 1), ("rock", 1), ("Rock", 2))),)
    assert merged_note(found.merged) == (
        'Labels found in several spellings were merged: "ROCK\u00a0" 1, "rock" 1, "Rock" 2 -> "Rock".'
    )


def test_equally_frequent_spellings_give_the_same_label_in_any_order():
    assert labels_of(with_one_spelling(dataset("rock", "Rock"))) == ["Rock", "Rock"]
    assert labels_of(with_one_spelling(dataset("Rock", "rock"))) == ["Rock", "Rock"]


def test_a_track_with_two_spellings_has_the_label_once():
    example = Example("1", Path("1.mp3"), ("rock", "Rock", "Jazz"))
    found = with_one_spelling(Dataset("mine", (example,)))
    assert found.examples[0].labels == ("Rock", "Jazz")
    assert with_one_spelling(found) == found


def test_the_tree_of_labels_follows():
    parents = {"PUNK": "Rock", "punk": "Rock", "rock": "Music"}
    found = with_one_spelling(dataset("Punk", "Punk", "rock", "rock", "Rock", parents=parents))
    assert found.parents == {"Punk": "rock", "rock": "Music"}


def test_every_kind_of_dataset_is_read_so(tmp_path):
    folders = [
        "Rock",
        "rock",
        "ROCK ",
        unicodedata.normalize("NFC", ELECTRO),
        unicodedata.normalize("NFD", ELECTRO),
    ]
    for number, folder in enumerate(folders):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{number}.mp3").touch()
    by_folder = read_dataset(FolderDataset(root=str(tmp_path)))
    assert sorted(labels_of(by_folder)) == ["ROCK", "ROCK", "ROCK", ELECTRO, ELECTRO]

    rows = [f"{folder}/{number}.mp3,{folder}" for number, folder in enumerate(folders)]
    (tmp_path / "manifest.csv").write_text("path,genres\n" + "\n".join(rows))
    by_manifest = read_dataset(ManifestDataset(root=str(tmp_path)))
    assert len(set(labels_of(by_manifest))) == 2

    tagged = [TaggedTrack(f"{number}.mp3", (folder,)) for number, folder in enumerate(folders)]
    by_tags = read_library(LibraryDataset(library="home"), tmp_path, tagged)
    assert len(set(labels_of(by_tags))) == 2


def test_aliases_mean_a_label_in_any_spelling_and_their_own_spelling_is_used():
    data = dataset("hip hop", "HIP\u00a0HOP", "rap", "Seen Live", "Jazz")
    selected = select_labels(data, LabelConfig(aliases={"Rap": "Hip Hop", "seen live": ""}))
    assert selected.labels == ("Hip Hop", "Jazz")
    assert selected.counts["Hip Hop"] == 3


def test_aliases_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="'ROCK' has two different aliases"):
        LabelConfig(aliases={"rock": "Rock", "ROCK": "Metal"})
    LabelConfig(aliases={"rock": "Rock", "ROCK": "rock"})


def test_a_contradiction_in_a_configuration_file_is_named():
    experiment = {
        "experiment_name": "mine",
        "dataset": {"kind": "folder", "root": "x"},
        "labels": {"aliases": {"rock": "Rock", "ROCK": "Metal"}},
    }
    with pytest.raises(InvalidConfig, match="two different aliases"):
        parse_experiment(experiment)


def test_an_artist_in_two_spellings_is_one_artist():
    artists = ["ABBA", "Abba ", "a\u0301", "\u00c1"] * 6 + [f"artist {number}" for number in range(24)]
    data = dataset(*["Rock", "Pop"] * 24, artists=artists)
    (split,) = divide(data, SplitConfig(validation=0.2, test=0.2))
    for names in ({"ABBA", "Abba "}, {"a\u0301", "\u00c1"}):
        parts = [
            part for part in (split.train, split.validation, split.test) if names & {e.artist for e in part}
        ]
        assert len(parts) == 1
    with pytest.raises(Exception, match="by 3 artists"):
        select_labels(
            dataset("Rock", "Rock", "Rock", artists=["ABBA", "abba", "Abba "]), LabelConfig(min_artists=3)
        )
    assert describe(data, open_files=False).artists == 26


def test_a_description_reports_merged_labels():
    found = describe(with_one_spelling(dataset("rock", "Rock", "Rock")), open_files=False)
    assert found.merged == (MergedLabel("Rock", (("rock", 1), ("Rock", 2))),)
    assert [(one.label, one.tracks) for one in found.labels] == [("Rock", 3)]


def test_labels_are_spelt_like_those_of_a_model():
    labelled = select_labels(dataset("ROCK", "jazz", "jazz"), LabelConfig())
    spelt = spelt_like(labelled, ("Jazz", "Rock"))
    assert spelt.labels == ("Jazz", "Rock")
    assert labels_of(spelt.dataset) == ["Rock", "Jazz", "Jazz"]
