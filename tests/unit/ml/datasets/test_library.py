"""The genre tags in music files become labels, however people have typed them."""

from pathlib import Path
from typing import Any

import pytest

from core.config.dataset import LabelConfig, LibraryDataset
from core.errors import UnusableDataset
from core.ml.datasets import library
from core.ml.datasets.catalogue import read_library
from core.ml.datasets.library import TaggedTrack
from core.states import Verdict


def labels(root: Path, *tags: list[str], **options: Any):
    tracks = [TaggedTrack(f"{number:03d}.mp3", tuple(found)) for number, found in enumerate(tags)]
    config = LibraryDataset(library="home", **options)
    return [example.labels for example in read_library(config, root, tracks).examples]


def test_tags_are_cut_at_separators(tmp_path):
    found = labels(
        tmp_path, ["Rock; Pop/Rock"], ["Jazz|Blues", "Soul"], ["R&B, Funk"], ["Drum & Bass"], [" ; "], []
    )
    assert found == [("Rock", "Pop"), ("Jazz", "Blues", "Soul"), ("R&B", "Funk"), ("Drum & Bass",), (), ()]


def test_a_library_without_genre_tags_names_the_other_sources_of_labels(tmp_path):
    with pytest.raises(
        UnusableDataset, match=r"None of the 2 tracks has a genre tag: .* --labels folder"
    ) as told:
        labels(tmp_path, [], [" ; "])
    assert "--labels corrections" in str(told.value.detail)
    with pytest.raises(UnusableDataset, match="has a genre tag, and people gave them no label") as told:
        labels(tmp_path, [], corrections=True)
    assert "--labels corrections" not in str(told.value.detail)
    assert tmp_path.name not in str(told.value.detail)
    assert labels(tmp_path) == []
    assert labels(tmp_path, [], labels_from="folder") == [()]


def test_other_separators_can_be_chosen(tmp_path):
    assert labels(tmp_path, ["a^b-c]d"], separators="]^-") == [("a", "b", "c", "d")]
    assert labels(tmp_path, ["Pop/Rock"], separators="") == [("Pop/Rock",)]


def test_spellings_of_one_genre_become_the_most_frequent_one(tmp_path):
    found = labels(tmp_path, ["hip-hop"], ["Hip-Hop"], ["HIP-HOP", "hip-hop"], ["Hip-Hop"], ["Hip-Hop"])
    assert found == [("Hip-Hop",)] * 5


def test_aliases_are_found_in_any_spelling(tmp_path):
    aliases = {"R&B / Soul": "R&B", "Hip\u00a0Hop": ""}
    assert labels(tmp_path, ["r&b  /  soul", "HIP HOP"], aliases=aliases) == [("R&B",)]


def test_aliases_rename_pieces_and_whole_tags_and_remove(tmp_path):
    aliases = {"r&b/soul": "R&B", "hiphop": "Hip-Hop", "other": "", "folk, world, & country": "Folk"}
    found = labels(
        tmp_path,
        ["R&B/Soul"],
        ["Rock/HipHop"],
        ["Other", "Jazz"],
        ["Folk, World, & Country"],
        aliases=aliases,
    )
    assert found == [("R&B",), ("Rock", "Hip-Hop"), ("Jazz",), ("Folk",)]


def test_tracks_are_in_the_order_of_their_paths_with_what_is_known(tmp_path):
    tracks = [TaggedTrack("b.mp3", (), "", None), TaggedTrack("a/a.mp3", ("Rock",), "Ann", "One")]
    first, second = library.read(tmp_path, tracks).examples
    assert (first.id, first.path, first.artist, first.album) == (
        "a/a.mp3",
        tmp_path / "a/a.mp3",
        "Ann",
        "One",
    )
    assert second.artist is None


def test_a_label_that_people_gave_replaces_the_own_one_where_no_track_has_several(tmp_path):
    said = {"jazz": Verdict.YES, "Calm": Verdict.NO}
    tracks = [TaggedTrack("a.mp3", ("Rock",), verdicts=said), TaggedTrack("b.mp3", ("Jazz", "jazz"))]
    found = library.read(tmp_path, tracks, corrections=True)
    assert found.examples[0].labels == ("jazz",)
    assert found.notes[0].startswith("People gave 1 tracks another label")
    several = library.read(tmp_path, [*tracks, TaggedTrack("c.mp3", ("Rock", "Folk"))], corrections=True)
    assert several.examples[0].labels == ("Rock", "jazz")
    assert several.notes == ()


def test_a_label_of_another_facet_stands_beside_the_own_one(tmp_path):
    """As in every answer: four calm tracks do not lose their genre, with or without facets."""
    tracks = [
        TaggedTrack(f"{number}.mp3", (genre,), verdicts={"calm": Verdict.YES} if number < 4 else {})
        for number, genre in enumerate(["rock", "jazz"] * 5)
    ]
    expected = [("rock", "calm"), ("jazz", "calm")] * 2 + [("rock",), ("jazz",)] * 3
    for facets in (None, {"calm": "mood", "rock": "genre", "jazz": "genre"}):
        found = library.read(tmp_path, tracks, corrections=True, facets=facets)
        assert [example.labels for example in found.examples] == expected
        assert found.notes[0].startswith("4 tracks keep their own label beside one")


def test_facets_say_that_a_label_that_no_track_has_replaces_the_own_one(tmp_path):
    said = {"blues": Verdict.YES}
    tracks = [TaggedTrack("a.mp3", ("rock",), verdicts=said), TaggedTrack("b.mp3", ("jazz",))]
    assert library.read(tmp_path, tracks, corrections=True).examples[0].labels == ("rock", "blues")
    facets = dict.fromkeys(("rock", "blues"), "genre")
    assert library.read(tmp_path, tracks, corrections=True, facets=facets).examples[0].labels == ("blues",)


def test_only_doubts_on_learnt_labels_leave_tracks_out(tmp_path):
    def ids(**options: Any) -> list[str]:
        found = library.read(tmp_path, tracks, corrections=True, **options)
        assert bool(found.notes) == (len(found.examples) < len(tracks))
        return [example.id for example in found.examples]

    tracks = [
        TaggedTrack("a.mp3", ("Rock",), verdicts={"calm": Verdict.UNSURE}),
        TaggedTrack("b.mp3", ("Rock",), verdicts={"JAZZ": Verdict.UNSURE}),
        TaggedTrack("c.mp3", ("Jazz",)),
        TaggedTrack("d.mp3", ("Rock",)),
    ]
    assert ids(selection=LabelConfig()) == ["a.mp3", "c.mp3", "d.mp3"]
    assert ids(selection=LabelConfig(aliases={"jazz": "Swing"})) == ["a.mp3", "c.mp3", "d.mp3"]
    assert ids(selection=LabelConfig(min_tracks=2)) == ["a.mp3", "b.mp3", "c.mp3", "d.mp3"]
    assert ids() == ["a.mp3", "b.mp3", "c.mp3", "d.mp3"]


def test_labels_can_lie_in_the_paths(tmp_path):
    tracks = [TaggedTrack("calm/calm_acoustic_1.opus", ("Ignored",))]
    assert library.read(tmp_path, tracks, labels_from="folder").examples[0].labels == ("calm",)
    by_words = library.read(tmp_path, tracks, labels_from="words", vocabulary=("acoustic", "electronic"))
    assert by_words.examples[0].labels == ("acoustic",)
