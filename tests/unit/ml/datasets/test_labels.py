"""The most frequent labels are selected, and mistakes are reported before any training."""

from pathlib import Path

import numpy as np
import pytest

from core.config.dataset import LabelConfig
from core.ml.datasets.errors import EmptyLabel, NoLabelsLeft, OneClassOnly, TooFewLabels
from core.ml.datasets.examples import Dataset, Example
from core.ml.datasets.labels import left_out_notes, multi_hot, select_labels


def dataset(
    *labels: list[str], artists: list[str | None] | None = None, parents: dict[str, str] | None = None
):
    names = artists or [None] * len(labels)
    examples = [
        Example(str(number), Path(f"{number}.mp3"), tuple(found), artist)
        for number, (found, artist) in enumerate(zip(labels, names, strict=True))
    ]
    return Dataset("mine", tuple(examples), parents or {})


MIXED = dataset(["Rock"], ["Rock", "Pop"], ["Jazz", "Pop"], ["Blues"], ["Rock"], [])


def test_all_labels_are_taken_in_alphabetical_order():
    selected = select_labels(MIXED, LabelConfig())
    assert selected.labels == ("Blues", "Jazz", "Pop", "Rock")
    assert selected.unlabelled == ("5",)
    assert selected.counts == {"Rock": 3, "Pop": 2, "Jazz": 1, "Blues": 1}


def test_the_most_frequent_are_taken_and_equal_ones_by_alphabet():
    assert select_labels(MIXED, LabelConfig(num_genres=2)).labels == ("Pop", "Rock")
    assert select_labels(MIXED, LabelConfig(num_genres=3)).labels == ("Blues", "Pop", "Rock")


def test_tracks_keep_only_the_selected_labels():
    selected = select_labels(MIXED, LabelConfig(num_genres=2))
    assert [example.labels for example in selected.dataset.examples] == [
        ("Rock",),
        ("Rock", "Pop"),
        ("Pop",),
        ("Rock",),
    ]
    assert selected.unlabelled == ("3", "5")


def test_rare_labels_are_dropped_and_reported():
    selected = select_labels(MIXED, LabelConfig(min_tracks=2))
    assert selected.labels == ("Pop", "Rock")
    assert selected.rare == ("Blues", "Jazz")
    assert left_out_notes(selected)[-1].endswith("too few tracks or artists have them: Blues, Jazz.")


def test_artists_are_counted_too_and_unknown_ones_as_one():
    data = dataset(*[["Rock"]] * 4, *[["Pop"]] * 3, ["Jazz"], ["Jazz"], artists=[*"AAAA", *"ABB", None, None])
    assert select_labels(data, LabelConfig()).labels == ("Jazz", "Pop", "Rock")
    with pytest.raises(OneClassOnly):
        select_labels(data, LabelConfig(min_artists=2))
    with pytest.raises(NoLabelsLeft, match="1 tracks by 3 artists"):
        select_labels(data, LabelConfig(min_artists=3))


def test_aliases_merge_and_remove_labels():
    data = dataset(["hiphop"], ["Hip-Hop", "hiphop"], ["seen live", "Rock"])
    selected = select_labels(data, LabelConfig(aliases={"hiphop": "Hip-Hop", "seen live": ""}))
    assert selected.labels == ("Hip-Hop", "Rock")
    assert selected.counts["Hip-Hop"] == 2


def test_more_labels_than_there_are_is_an_error_with_both_numbers():
    with pytest.raises(TooFewLabels, match="5 labels are requested, mine has 4"):
        select_labels(MIXED, LabelConfig(num_genres=5))


@pytest.mark.parametrize(
    "same", [dataset(["Rock"], ["Rock"]), dataset(["a", "b"], ["b", "a"]), dataset(["Rock"])]
)
def test_tracks_that_all_have_the_same_labels_are_an_error(same):
    with pytest.raises(OneClassOnly, match="tracks have the same labels"):
        select_labels(same, LabelConfig())


@pytest.mark.parametrize("nothing", [dataset(), dataset([], [])])
def test_no_labels_at_all_are_an_error(nothing):
    with pytest.raises(NoLabelsLeft, match="mine has a label"):
        select_labels(nothing, LabelConfig())


@pytest.mark.parametrize("label", ["", "  "])
def test_an_empty_label_is_an_error_that_names_the_track(label):
    with pytest.raises(EmptyLabel, match="track 1"):
        select_labels(dataset(["Rock"], ["Pop", label]), LabelConfig())


def test_parents_lead_to_the_nearest_selected_label():
    parents = {"Punk": "Loud", "Loud": "Rock", "Pop": "Gone", "Loop": "Loop2", "Loop2": "Loop"}
    data = dataset(["Punk", "Rock"], ["Rock"], ["Pop"], ["Loop"], parents=parents)
    assert select_labels(data, LabelConfig()).dataset.parents == {"Punk": "Rock"}


def test_targets_are_one_where_a_track_has_a_label():
    targets = multi_hot(MIXED.examples, ("Jazz", "Pop", "Rock"))
    assert targets.dtype == np.float32
    assert targets.tolist() == [[0, 0, 1], [0, 1, 1], [1, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]]
