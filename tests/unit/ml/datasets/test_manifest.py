"""A manifest is a CSV file as spreadsheets and people write it."""

from pathlib import Path

import pytest

from core.ml.datasets import manifest
from core.ml.datasets.describe import describe
from core.ml.datasets.errors import DatasetFileMissing, DatasetMalformed
from core.ml.datasets.examples import Example, Part


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
        ("../1.mp3,Rock,", "not a path below"),
        ("/etc/passwd,Rock,", "not a path below"),
        (",Rock,", "not a path below"),
        ("1.mp3,Rock,later", "not a part of a split"),
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
    with pytest.raises(DatasetMalformed, match="line 2, is not UTF-8 text: save it as UTF-8"):
        manifest.read(tmp_path)


def test_the_text_that_excel_exports_is_understood(tmp_path):
    (tmp_path / "manifest.csv").write_bytes("path\tgenres\r\n\u00e4.mp3\tRock\r\n".encode("utf-16"))
    assert [(one.id, one.labels) for one in manifest.read(tmp_path).examples] == [("\u00e4.mp3", ("Rock",))]


@pytest.mark.parametrize("head", ["", "\ufeff", "sep={}\r\n", "\ufeffsep={}\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_are_separated_as_the_first_line_shows(tmp_path, delimiter, head):
    rows = [["artist", "path", "genres"], ['"A, B; C"', "1.mp3", '"Rock;Pop"'], ["", "2.mp3", "Pop"]]
    content = head.format(delimiter) + "\r\n".join(map(delimiter.join, rows))
    first, second = read(tmp_path, content)
    assert (first.id, first.labels, first.artist) == ("1.mp3", ("Rock", "Pop"), "A, B; C")
    assert (second.labels, second.artist) == (("Pop",), None)


FILES = ("blues/0.wav", "jazz/cool/1.wav", "jazz/2.wav")


def listed(root: Path, *paths: str, file: str = "manifest.csv") -> list[str]:
    """The files below the root that a manifest of these paths leads to."""
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    content = "\n".join(["path;genres", *(f"{path};Rock" for path in paths)])
    return [one.path.relative_to(root).as_posix() for one in read(root, content, file)]


@pytest.mark.parametrize(
    "paths",
    [
        ("blues\\0.wav", ".\\jazz\\cool\\1.wav", "jazz/2.wav"),
        ("C:\\data\\mine\\blues\\0.wav", "c:\\data\\mine\\jazz\\cool\\1.wav", "jazz/2.wav"),
        ("C:/data/mine/blues/0.wav", "C:/data/mine/jazz/cool/1.wav", "C:/data/mine/jazz/2.wav"),
        ("\\\\nas\\music\\blues\\0.wav", "\\\\nas\\music\\jazz\\cool\\1.wav", "jazz/2.wav"),
        ("\\music\\blues\\0.wav", "\\music\\jazz\\cool\\1.wav", "\\music\\jazz\\2.wav"),
        ("/old/place/blues/0.wav", "/old/place/jazz/cool/1.wav", "./jazz/2.wav"),
    ],
)
def test_paths_of_other_machines_lead_to_the_files_here(tmp_path, paths):
    assert listed(tmp_path, *paths) == list(FILES)


def test_absolute_paths_may_lie_inside_the_root(tmp_path):
    root, link = tmp_path / "music", tmp_path / "link"
    root.mkdir()
    link.symlink_to(root)
    assert listed(root, *(f"{root}/{name}" for name in FILES)) == list(FILES)
    assert listed(link, *(f"{root}/{name}" for name in FILES)) == list(FILES)
    assert listed(root, f"{root}/jazz/2.wav", file="lists/mine.csv") == ["jazz/2.wav"]


def test_a_file_is_not_taken_for_another_of_the_same_name(tmp_path):
    (tmp_path / "3.wav").touch()
    paths = ["C:\\x\\blues\\0.wav", "C:\\x\\jazz\\2.wav", "C:\\x\\soul\\3.wav"]
    assert listed(tmp_path, *paths) == ["blues/0.wav", "jazz/2.wav", "soul/3.wav"]


@pytest.mark.parametrize(
    "path", ["C:\\else\\blues\\0.wav", "..\\0.wav", "C:\\x\\..\\..\\0.wav", "/etc/passwd"]
)
def test_a_path_that_leads_out_is_refused_among_others_that_do_not(tmp_path, path):
    with pytest.raises(DatasetMalformed, match=r"line 4: .*not a path below"):
        listed(tmp_path, "C:\\x\\blues\\0.wav", "C:\\x\\jazz\\2.wav", path)


def test_names_are_found_in_any_unicode_form_and_exactly_where_they_can_be(tmp_path):
    composed, decomposed = "\u00e9t\u00e9", "e\u0301te\u0301"
    (tmp_path / decomposed).mkdir()
    (tmp_path / decomposed / f"{composed}.wav").touch()
    assert listed(tmp_path, f"{composed}/{decomposed}.wav") == [f"{decomposed}/{composed}.wav"]
    (tmp_path / decomposed / f"{decomposed}.wav").touch()
    assert listed(tmp_path, f"{composed}/{decomposed}.wav") == [f"{decomposed}/{decomposed}.wav"]


def test_a_name_with_a_colon_or_a_backslash_is_a_name(tmp_path):
    for name in ("Q: Are we.wav", "AC\\DC.wav"):
        (tmp_path / name).touch()
    assert listed(tmp_path, "Q: Are we.wav", "AC\\DC.wav") == ["Q: Are we.wav", "AC\\DC.wav"]


def test_what_cannot_be_found_is_counted_and_listed(tmp_path):
    listed(tmp_path, "blues\\0.wav", "blues\\gone.wav")
    unusable = describe(manifest.read(tmp_path)).unusable
    assert [(one.path.name, one.code) for one in unusable] == [
        ("0.wav", "empty"),
        ("gone.wav", "disappeared"),
    ]


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
