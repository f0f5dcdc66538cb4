"""The Free Music Archive is read as published: three header lines, nested sizes, free text in cells."""

import csv
from pathlib import Path

import pytest

from core.ml.datasets import fma
from core.ml.datasets.errors import DatasetFileMissing, DatasetMalformed
from core.ml.datasets.examples import Part

ALBUM = (
    "comments date_created date_released engineer favorites id information listens producer tags title"
    " tracks type"
)
ARTIST = (
    "active_year_begin active_year_end associated_labels bio comments date_created favorites id latitude"
    " location longitude members name related_projects tags website wikipedia_page"
)
TRACK = (
    "bit_rate comments composer date_created date_recorded duration favorites genre_top genres genres_all"
    " information interest language_code license listens lyricist number publisher tags title"
)
COLUMNS = [
    (group, name)
    for group, names in (("album", ALBUM), ("artist", ARTIST), ("set", "split subset"), ("track", TRACK))
    for name in names.split()
]
GENRES = """genre_id,#tracks,parent,title,top_level
10,1,0,Pop,10
17,1,0,Folk,17
21,5,0,Hip-Hop,21
76,1,10,Experimental Pop,10
103,1,17,Singer-Songwriter,17
104,1,103,Quiet,17
"""


def row(track: str, split, subset, top, genres, genres_all, artist="1", album="1", bio=""):
    values = dict.fromkeys(COLUMNS, "")
    values |= {
        ("set", "split"): split,
        ("set", "subset"): subset,
        ("track", "genre_top"): top,
        ("track", "genres"): genres,
        ("track", "genres_all"): genres_all,
        ("artist", "id"): artist,
        ("album", "id"): album,
    }
    values |= {("artist", "bio"): bio}
    return [track, *values.values()]


ROWS = [
    row("2", "training", "small", "Hip-Hop", "[21]", "[21]", bio='Says "no",\r\nlike a\nrapper\n\n'),
    row("3", "training", "medium", "Hip-Hop", "[21]", "[21]", album="-1"),
    row("20", "validation", "large", "", "[76, 103]", "[17, 10, 76, 103]", artist="4", album="6"),
    row("99134", "test", "small", "Folk", "[104]", "[17, 103, 104]", artist="9", album="-1"),
    row("155320", "test", "large", "", "[]", "[]", artist="8", bio="x" * 200_000),
]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "fma_metadata"
    folder.mkdir()
    (folder / "genres.csv").write_text(GENRES)
    write_tracks(tmp_path, ROWS)
    return tmp_path


def write_tracks(root: Path, rows: list[list[str]], bom: str = ""):
    with (root / "fma_metadata" / "tracks.csv").open("w", encoding="utf-8", newline="") as file:
        file.write(bom)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["", *(group for group, _ in COLUMNS)])
        writer.writerow(["", *(name for _, name in COLUMNS)])
        writer.writerow(["track_id"] + [""] * len(COLUMNS))
        writer.writerows(rows)


def test_there_are_the_published_columns():
    assert len(COLUMNS) == 52


@pytest.mark.parametrize(
    ("size", "ids"),
    [
        ("small", ["2", "99134"]),
        ("medium", ["2", "3", "99134"]),
        ("large", ["2", "3", "20", "99134", "155320"]),
    ],
)
def test_a_size_contains_the_smaller_ones(root, size, ids):
    assert [example.id for example in fma.read(root, size).examples] == ids


def test_paths_parts_and_artists_are_those_of_the_archive(root):
    first, last = fma.read(root).examples
    assert first.path == root / "fma_small" / "000" / "000002.mp3"
    assert last.path == root / "fma_small" / "099" / "099134.mp3"
    assert (first.part, last.part) == (Part.TRAIN, Part.TEST)
    assert (first.artist, last.artist) == ("1", "9")


def test_minus_one_is_no_album(root):
    assert [example.album for example in fma.read(root, "large").examples] == ["1", None, "6", None, "1"]


def test_a_track_of_several_root_genres_has_no_top_genre(root):
    labels = {example.id: example.labels for example in fma.read(root, "large").examples}
    assert labels["2"] == ("Hip-Hop",)
    assert labels["20"] == labels["155320"] == ()


def test_genres_are_named_and_their_ancestors_too_if_wanted(root):
    labels = {example.id: example.labels for example in fma.read(root, "large", labels="genres").examples}
    assert labels["20"] == ("Experimental Pop", "Singer-Songwriter")
    labels = {example.id: example.labels for example in fma.read(root, "large", labels="genres_all").examples}
    assert labels["20"] == ("Folk", "Pop", "Experimental Pop", "Singer-Songwriter")


def test_only_labels_with_their_ancestors_form_a_tree(root):
    tree = {"Experimental Pop": "Pop", "Singer-Songwriter": "Folk", "Quiet": "Singer-Songwriter"}
    assert fma.read(root, labels="genres_all").parents == tree
    assert fma.read(root, labels="genres").parents == {}


def test_genres_of_equal_name_are_distinguished(root):
    genres = root / "fma_metadata" / "genres.csv"
    genres.write_text(GENRES.replace("Quiet", "Pop"))
    examples = fma.read(root, labels="genres_all").examples
    assert examples[1].labels == ("Folk", "Singer-Songwriter", "Pop (104)")


def test_a_byte_order_mark_does_not_matter(root):
    write_tracks(root, ROWS, bom="\ufeff")
    assert len(fma.read(root, "large").examples) == 5


def test_missing_tables_are_named(root):
    (root / "fma_metadata" / "genres.csv").unlink()
    with pytest.raises(DatasetFileMissing, match=r"genres\.csv"):
        fma.read(root)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (ROWS[1][:-1], "not a track with 53 cells"),
        (["x", *ROWS[1][1:]], "not a track"),
        (row("5", "training", "small", "", "[21]", "__import__('os')"), "not a list of known genres"),
        (row("5", "training", "small", "", "[21]", "[999]"), "not a list of known genres"),
        (row("5", "trainning", "small", "", "[21]", "[21]"), "not a part of the split"),
    ],
)
def test_a_damaged_row_is_named_by_its_line(root, bad, message):
    write_tracks(root, [*ROWS[1:], bad])
    with pytest.raises(DatasetMalformed, match=f"line 8: .*({message})"):
        fma.read(root, labels="genres_all")


def test_a_table_without_its_three_headers_is_refused(root):
    (root / "fma_metadata" / "tracks.csv").write_text("track_id,genre\n2,Rock\n")
    with pytest.raises(DatasetMalformed, match="three lines"):
        fma.read(root)
