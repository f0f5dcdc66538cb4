"""A folder of music is a dataset by its folders, or by words of its paths."""

import os
import unicodedata
from pathlib import Path

import pytest

from core.errors import ItemError
from core.ml.datasets import folder
from core.ml.datasets.errors import DatasetFileMissing
from core.ml.datasets.paths import open_audio


def make(root: Path, *paths: str):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def test_the_first_folder_is_the_label(tmp_path):
    make(tmp_path, "Rock/b.mp3", "Rock/Band/Album/a.FLAC", "Hip-Hop/c.opus", "top.wav", "Rock/cover.jpg")
    found = {example.id: example.labels for example in folder.read(tmp_path).examples}
    assert found == {
        "Hip-Hop/c.opus": ("Hip-Hop",),
        "Rock/Band/Album/a.FLAC": ("Rock",),
        "Rock/b.mp3": ("Rock",),
        "top.wav": (),
    }


def test_the_order_is_the_same_on_every_disk(tmp_path):
    make(tmp_path, "b/1.mp3", "a b/1.mp3", "a/2.mp3", "a/10.mp3")
    ids = [example.id for example in folder.read(tmp_path).examples]
    assert ids == ["a/10.mp3", "a/2.mp3", "a b/1.mp3", "b/1.mp3"]


def test_what_systems_leave_behind_is_left_out_and_counted_and_dots_are_names(tmp_path, caplog):
    make(tmp_path, ".git/a.mp3", "__MACOSX/Rock/._a.mp3", "Rock/__MACOSX/a.mp3", "Rock/cover.jpg")
    make(tmp_path, "Rock/a.mp3", ".38 Special/b.au")
    caplog.set_level("INFO")
    assert [example.id for example in folder.read(tmp_path).examples] == [".38 Special/b.au", "Rock/a.mp3"]
    assert "left out: 3 system folders, 1 .jpg" in caplog.text


def test_all_below_a_folder_of_the_second_level_is_one_album(tmp_path):
    make(tmp_path, "Rock/a.mp3", "Rock/Band/b.mp3", "Rock/Band/Live/c.mp3")
    assert [example.album for example in folder.read(tmp_path).examples] == ["Rock/Band", "Rock/Band", None]


def test_labels_can_be_words_of_the_path(tmp_path):
    make(tmp_path, "calm/calm_Acoustic-2.opus", "happy/hip hop/unhappy.mp3", "other/x.mp3")
    vocabulary = ("acoustic", "happy", "calm", "Hip-Hop", "unhappy")
    found = [e.labels for e in folder.read(tmp_path, labels_from="words", vocabulary=vocabulary).examples]
    assert found == [("acoustic", "calm"), ("happy", "Hip-Hop", "unhappy"), ()]


def test_empty_and_damaged_files_do_not_matter(tmp_path):
    make(tmp_path, "Rock/a.mp3")
    (tmp_path / "Rock/b.mp3").write_bytes(b"no audio")
    assert len(folder.read(tmp_path).examples) == 2


def test_links_pipes_and_names_that_are_not_utf8_are_examples_that_cannot_be_opened(tmp_path):
    outside = make(tmp_path / "outside", "a.mp3")
    root = make(tmp_path / "music", "Rock/a.mp3", os.fsdecode(b"Rock/\xff.mp3"))
    (root / "Rock/link.mp3").symlink_to(outside / "a.mp3")
    (root / "Rock/loop.mp3").symlink_to("loop.mp3")
    (root / "Jazz").symlink_to(outside)
    os.mkfifo(root / "Rock/pipe.mp3")
    found = folder.read(root)
    codes = {}
    for example in found.examples:
        try:
            open_audio(example.path, found.root).close()
        except ItemError as error:
            codes[example.id] = error.code
    assert codes == {
        "Jazz": "outside_library",
        "Rock/link.mp3": "outside_library",
        "Rock/loop.mp3": "outside_library",
        "Rock/pipe.mp3": "not_a_file",
        "Rock/\\xff.mp3": "unreadable",
    }
    assert len(found.examples) == 6
    assert found.root == root


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DatasetFileMissing, match="nothing is not a folder"):
        folder.read(tmp_path / "nothing")


def test_words_with_accents_are_found_in_any_unicode_form(tmp_path):
    (tmp_path / unicodedata.normalize("NFD", "\u00e9t\u00e9_calme.mp3")).touch()
    found = folder.read(tmp_path, labels_from="words", vocabulary=("\u00c9t\u00e9", "te"))
    assert [example.labels for example in found.examples] == [("\u00c9t\u00e9",)]
