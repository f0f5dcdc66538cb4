"""A description counts what is there, finds files that cannot be used, and is drawn."""

import os
from dataclasses import replace
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile as sf

from core.config.dataset import SplitConfig
from core.ml.datasets import folder
from core.ml.datasets.describe import LabelCount, describe
from core.ml.datasets.examples import Dataset, Part
from core.ml.datasets.plots import write_plots
from core.ml.datasets.probe import Unusable, probe
from workers.datasets import show

RATE = 8000


def write(path: Path, duration_s: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, round(duration_s * RATE)), RATE)
    return path


@pytest.fixture
def music(tmp_path) -> Dataset:
    """Twelve artists; one empty file, one cut off, one missing."""
    for number in range(12):
        write(tmp_path / ["Rock", "Pop"][number % 2] / f"{number:02d}.wav", 1 + number / 10)
    (tmp_path / "Rock" / "empty.mp3").touch()
    whole = write(tmp_path / "Pop" / "cut.flac", 4).read_bytes()
    (tmp_path / "Pop" / "cut.flac").write_bytes(whole[: len(whole) // 3])
    write(tmp_path / "Pop" / "gone.wav")
    write(tmp_path / "top.wav", 2)
    found = folder.read(tmp_path)
    (tmp_path / "Pop" / "gone.wav").unlink()
    named = [replace(one, artist=f"artist {number}") for number, one in enumerate(found.examples)]
    return replace(found, name="mine", examples=tuple(named))


def test_tracks_labels_and_artists_are_counted(music):
    found = describe(music, open_files=False)
    assert (found.tracks, found.unlabelled, found.artists, found.albums) == (16, 1, 16, 0)
    assert found.labels == (LabelCount("Pop", 8, 8), LabelCount("Rock", 7, 7))
    assert found.labels_per_track == {0: 1, 1: 15}
    assert found.durations is None
    assert found.unusable == ()


def test_files_that_cannot_be_used_are_listed_with_the_reason(music):
    found = describe(music)
    assert {one.path.name: one.code for one in found.unusable} == {
        "empty.mp3": "empty",
        "cut.flac": "corrupt",
        "gone.wav": "disappeared",
    }
    assert all(one.detail for one in found.unusable)


def test_durations_are_those_of_the_other_files(music):
    durations = describe(music).durations
    assert durations is not None
    assert durations.total_s == pytest.approx(sum(1 + n / 10 for n in range(12)) + 2, abs=0.01)
    assert (durations.shortest_s, durations.longest_s) == pytest.approx((1.0, 2.1), abs=0.01)
    assert durations.median_s == pytest.approx(1.6, abs=0.01)


def test_the_split_is_the_one_that_training_would_make_without_those_files(music):
    """Nor without the track that has no label."""
    report = describe(music, split=SplitConfig(validation=0.2, test=0.2)).split
    assert report is not None
    assert sum(report.tracks.values()) == 12
    assert min(report.tracks[part] for part in Part) >= 2


def test_of_a_cross_validation_the_tests_of_each_fold_are_shown(music, tmp_path):
    found = describe(music, split=SplitConfig(folds=3))
    assert list(found.parts) == ["fold 1", "fold 2", "fold 3"]
    assert sum(counts["Rock"] for counts in found.parts.values()) == 6
    assert "split.png" in [one.name for one in write_plots(found, tmp_path / "plots")]


def test_a_label_of_one_artist_cannot_be_measured_which_is_said_before_a_training(music, capsys):
    harp = [
        replace(one, artist="harpist", labels=(*one.labels, "harp")) if place < 2 else one
        for place, one in enumerate(music.examples)
    ]
    found = describe(replace(music, examples=tuple(harp)), split=SplitConfig(folds=3), open_files=False)
    assert found.unmeasured == (LabelCount("harp", 2, 1),)
    assert found.split is not None
    assert not any("harp" in warning for warning in found.split.warnings)  # all but one fold have learnt it
    show(found)
    assert "harp cannot be measured: its tracks (2) are of one artist." in capsys.readouterr().out
    assert describe(music, split=SplitConfig(folds=3), open_files=False).unmeasured == ()


def test_progress_is_reported_by_files(music):
    told: list[tuple[int, int]] = []
    describe(music, on_progress=lambda *one: told.append(one))
    assert told == [(done, 16) for done in range(1, 17)]


def test_an_empty_dataset_is_described_too(tmp_path):
    found = describe(Dataset("nothing", ()))
    assert (found.tracks, found.labels, found.durations, found.split) == (0, (), None, None)
    assert found.obstacle == "None of the 0 tracks of nothing has a label."
    assert write_plots(found, tmp_path / "plots") == []


def test_a_folder_in_place_of_a_file_is_no_error(tmp_path):
    found = probe(tmp_path)
    assert isinstance(found, Unusable)
    assert found.code == "not_a_file"


def test_a_pipe_is_not_waited_for_and_no_link_is_followed(music, tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "link.wav").symlink_to(tmp_path / "top.wav")
    codes = [probe(tmp_path / name) for name in ("pipe.wav", "link.wav")]
    assert [isinstance(one, Unusable) and one.code for one in codes] == ["not_a_file", "outside_library"]


def test_artists_are_those_of_the_tags_where_the_dataset_knows_none(tmp_path):
    for number in range(12):
        path = write(tmp_path / ["Rock", "Pop"][number % 2] / f"{number:02d}.flac", 1 + number / 100)
        tags = mutagen.File(path)
        tags["artist"] = f"artist {number // 3}"
        tags.save()
    found = describe(folder.read(tmp_path))
    assert found.artists == 4
    assert found.split is not None
    assert found.split.groups == 4
    assert found.split.grouped_by["artist"] == 12


def test_plots_are_pictures(music, tmp_path):
    odd = tuple(
        replace(one, labels=(r"$R\B_日本$",) if one.id == "Rock/00.wav" else one.labels)
        for one in music.examples
    )
    written = write_plots(describe(replace(music, name="$_$", examples=odd)), tmp_path / "deep" / "plots")
    assert [one.name for one in written] == ["labels.png", "durations.png", "split.png"]
    assert all(one.read_bytes().startswith(b"\x89PNG") for one in written)
