"""MTG-Jamendo is read as published: carriage returns, one tag per further cell, five splits."""

from pathlib import Path

import pytest

from core.ml.datasets import jamendo
from core.ml.datasets.errors import DatasetFileMissing, DatasetMalformed
from core.ml.datasets.examples import Part

HEADER = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"
ROWS = {
    "train": [
        "track_0000775\tartist_000104\talbum_000126\t75/775.mp3\t198.1"
        "\tgenre---easylistening\tgenre---electronic\tgenre---lounge",
        "track_0000214\tartist_000014\talbum_000031\t14/214.mp3\t124.6\tgenre---punkrock",
    ],
    "validation": [
        "track_0000382\tartist_000020\talbum_000046\t82/382.mp3\t211.1\tgenre---pop\tgenre---rock"
    ],
    "test": ["track_1376256\tartist_490499\talbum_161779\t56/1376256.mp3\t166.0\tgenre---pop"],
}


def write(root: Path, rows: dict[str, list[str]] = ROWS, name: str = "autotagging_genre", split: int = 0):
    folder = root / "data" / "splits" / f"split-{split}"
    folder.mkdir(parents=True, exist_ok=True)
    for part, lines in rows.items():
        content = "".join(f"{line}\r\n" for line in [HEADER, *lines])
        (folder / f"{name}-{part}.tsv").write_bytes(content.encode())
    return root


def test_rows_have_as_many_tags_as_they_have(tmp_path):
    first, second, *_ = jamendo.read(write(tmp_path)).examples
    assert first.labels == ("easylistening", "electronic", "lounge")
    assert second.labels == ("punkrock",)
    assert (first.id, first.artist, first.album) == ("track_0000775", "artist_000104", "album_000126")
    assert first.path == tmp_path / "audio" / "75" / "775.mp3"


def test_parts_are_those_of_the_files(tmp_path):
    parts = [example.part for example in jamendo.read(write(tmp_path)).examples]
    assert parts == [Part.TRAIN, Part.TRAIN, Part.VALIDATION, Part.TEST]


def test_low_quality_copies_have_other_names(tmp_path):
    example = jamendo.read(write(tmp_path), audio="audio-low", low_quality=True).examples[0]
    assert example.path == tmp_path / "audio-low" / "75" / "775.low.mp3"


def test_another_split_and_category_are_other_files(tmp_path):
    row = "track_0000775\tartist_000104\talbum_000126\t75/775.mp3\t198.1\tmood/theme---calm\tgenre---lounge"
    write(tmp_path, {part: [row] for part in ROWS}, "autotagging_moodtheme", split=3)
    assert jamendo.read(tmp_path, "mood/theme", split=3).examples[0].labels == ("calm",)
    with pytest.raises(DatasetFileMissing, match="split-0"):
        jamendo.read(tmp_path, "mood/theme")


def test_mixed_categories_keep_their_prefix(tmp_path):
    row = "track_0000775\tartist_000104\talbum_000126\t75/775.mp3\t198.1\tmood/theme---calm\tgenre---calm"
    write(tmp_path, {part: [row] for part in ROWS}, "autotagging_top50tags")
    assert jamendo.read(tmp_path, "top50").examples[0].labels == ("mood/theme---calm", "genre---calm")


def test_a_track_without_tags_has_no_labels(tmp_path):
    write(tmp_path, ROWS | {"test": ["track_1\tartist_1\talbum_1\t01/1.mp3\t166.0"]})
    assert jamendo.read(tmp_path).examples[-1].labels == ()


@pytest.mark.parametrize(
    "row",
    ["track_1\tartist_1\talbum_1", "track_1\ta\tb\t../../1.mp3\t1.0\tgenre---pop", "t\ta\tb\t/1.mp3\t1\tx"],
)
def test_a_damaged_row_is_named_by_its_line(tmp_path, row):
    with pytest.raises(DatasetMalformed, match=r"genre-test\.tsv, line 3"):
        jamendo.read(write(tmp_path, ROWS | {"test": [*ROWS["test"], row]}))


def test_another_header_is_refused(tmp_path):
    write(tmp_path)
    (tmp_path / "data/splits/split-0/autotagging_genre-train.tsv").write_text("id\tpath\n")
    with pytest.raises(DatasetMalformed, match="line 1"):
        jamendo.read(tmp_path)
