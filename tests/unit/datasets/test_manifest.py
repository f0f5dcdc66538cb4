"""A manifest is a CSV file as spreadsheets and people write it."""

from pathlib import Path

import pytest

from core.datasets import manifest
from core.datasets.errors import DatasetFileMissing, DatasetMalformed
from core.datasets.examples import Example, Part


def read(root: Path, content: str, file: str = "manifest.csv"):
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).write_bytes(content.encode())
    return manifest.read(root, file).examples


def test_all_columns_are_read(tmp_path):
    content = "path,genres,artist,album,split,duration\na/1.mp3,Rock;Hip-Hop,Ann,One,train,12.5\n"
    assert read(tmp_path, content) == (
        Example("a/1.mp3", tmp_path / "a/1.mp3", ("Rock", "Hip-Hop"), "Ann", "One", Part.TRAIN),
    )


def test_two_columns_are_enough_and_any_order_will_do(tmp_path):
    (example,) = read(tmp_path, "genres,path\nRock,1.mp3\n")
    assert example == Example("1.mp3", tmp_path / "1.mp3", ("Rock",))


def test_marks_line_ends_quotes_and_blank_lines_are_understood(tmp_path):
    content = (
        '\ufeffpath , genres,artist\r\n"a, b.mp3", Rock ;; Rock; ,"Say ""hi""\r\nand go"\r\n\r\nc.mp3,,\r\n'
    )
    first, second = read(tmp_path, content)
    assert (first.id, first.labels, first.artist) == ("a, b.mp3", ("Rock",), 'Say "hi"\r\nand go')
    assert (second.labels, second.artist) == ((), None)


def test_a_short_row_has_empty_cells(tmp_path):
    assert read(tmp_path, "path,genres,artist\n1.mp3\n")[0].labels == ()


def test_paths_are_relative_to_the_manifest(tmp_path):
    (example,) = read(tmp_path, "path,genres\n1.mp3,Rock\n", "lists/mine.csv")
    assert example.path == tmp_path / "lists" / "1.mp3"


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("training", Part.TRAIN),
        ("VAL", Part.VALIDATION),
        ("valid", Part.VALIDATION),
        ("test", Part.TEST),
        ("", None),
    ],
)
def test_parts_are_known_by_their_usual_names(tmp_path, word, part):
    assert read(tmp_path, f"path,genres,split\n1.mp3,Rock,{word}\n")[0].part == part


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("../1.mp3,Rock,", "no path below"),
        ("/etc/passwd,Rock,", "no path below"),
        (",Rock,", "no path below"),
        ("1.mp3,Rock,later", "no part of a split"),
        ("1.mp3,Rock,test,9", "4 cells under 3 columns"),
        ("0.mp3,Rock,", "listed already on line 2"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(tmp_path, row, message):
    with pytest.raises(DatasetMalformed, match=f"line 3: .*{message}"):
        read(tmp_path, f"path,genres,split\n0.mp3,Rock,\n{row}\n")


@pytest.mark.parametrize("content", ["", "file,genre\n1.mp3,Rock\n"])
def test_missing_columns_are_named(tmp_path, content):
    with pytest.raises(DatasetMalformed, match="no column 'path'"):
        read(tmp_path, content)


def test_text_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "manifest.csv").write_bytes("path,genres\nä.mp3,Rock\n".encode("latin-1"))
    with pytest.raises(DatasetMalformed, match="UTF-8"):
        manifest.read(tmp_path)


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(DatasetFileMissing, match=r"manifest\.csv"):
        manifest.read(tmp_path)


def test_a_manifest_that_lies_elsewhere_is_not_read(tmp_path):
    (tmp_path / "secret.csv").write_text("path,genres\na.mp3,Secret\n")
    root = tmp_path / "music"
    root.mkdir()
    (root / "manifest.csv").symlink_to(tmp_path / "secret.csv")
    (root / "folder").symlink_to(tmp_path)
    for file in ("manifest.csv", "folder/secret.csv", "../secret.csv"):
        with pytest.raises(DatasetMalformed, match=r"cannot be read: .*(link|leaves)"):
            manifest.read(root, file)
