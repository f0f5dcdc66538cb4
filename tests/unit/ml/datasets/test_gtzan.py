"""GTZAN is read with its fault-filtered lists, in the published layout and that of its copies."""

from pathlib import Path

import pytest

from core.ml.datasets import gtzan
from core.ml.datasets.errors import DatasetFileMissing, DatasetMalformed
from core.ml.datasets.examples import Part


def make(root: Path, folder: str = "genres", suffix: str = "wav"):
    for genre in ("blues", "hiphop", "jazz"):
        (root / folder / genre).mkdir(parents=True)
        for number in range(4):
            (root / folder / genre / f"{genre}.{number:05d}.{suffix}").touch()
    (root / folder / "blues" / ".DS_Store").touch()
    (root / folder / "features.csv").touch()
    return root


def write_lists(root: Path):
    (root / "train_filtered.txt").write_text("blues/blues.00000.wav\njazz/jazz.00003.wav\n")
    (root / "valid_filtered.txt").write_bytes(b"\xef\xbb\xbfhiphop/hiphop.00001.wav\r\n\r\n")
    (root / "test_filtered.txt").write_text("blues/blues.00002.wav")
    return root


def test_only_listed_tracks_are_taken_each_in_its_part(tmp_path):
    examples = gtzan.read(write_lists(make(tmp_path))).examples
    assert [(example.id, example.part) for example in examples] == [
        ("blues/blues.00000", Part.TRAIN),
        ("jazz/jazz.00003", Part.TRAIN),
        ("hiphop/hiphop.00001", Part.VALIDATION),
        ("blues/blues.00002", Part.TEST),
    ]
    assert examples[2].labels == ("hiphop",)
    assert examples[2].path == tmp_path / "genres/hiphop/hiphop.00001.wav"


def test_lists_of_wav_find_au_files_and_the_folder_of_the_copy(tmp_path):
    examples = gtzan.read(write_lists(make(tmp_path, "genres_original", "au"))).examples
    assert examples[0].path == tmp_path / "genres_original/blues/blues.00000.au"


def test_a_listed_track_that_is_not_there_stays_listed(tmp_path):
    make(write_lists(tmp_path))
    (tmp_path / "genres/jazz/jazz.00003.wav").unlink()
    assert gtzan.read(tmp_path).examples[1].path == tmp_path / "genres/jazz/jazz.00003.wav"


def test_without_lists_every_clip_is_taken_without_a_part(tmp_path):
    examples = gtzan.read(make(tmp_path)).examples
    assert len(examples) == 12
    assert {example.part for example in examples} == {None}


def test_some_lists_only_are_refused(tmp_path):
    write_lists(make(tmp_path))
    (tmp_path / "valid_filtered.txt").unlink()
    with pytest.raises(DatasetFileMissing, match="only train_filtered"):
        gtzan.read(tmp_path)


@pytest.mark.parametrize("line", ["blues.00000.wav", "../a/blues.00000.wav", "/blues/blues.00000.wav"])
def test_another_kind_of_line_is_refused(tmp_path, line):
    write_lists(make(tmp_path))
    (tmp_path / "test_filtered.txt").write_text(line)
    with pytest.raises(DatasetMalformed, match=r"test_filtered\.txt"):
        gtzan.read(tmp_path)
