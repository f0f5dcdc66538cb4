"""Tags are read from every format, made harmless, and never cost a track."""

import io
import json
import zlib
from pathlib import Path

import mutagen
import pytest
from mutagen.id3 import TCON, TIT2

from core.library.tags import read_tags
from tests import sounds


def tagged(path: Path, **tags: list[str]) -> Path:
    path.write_bytes(sounds.encoded_music(path.suffix[1:]))
    file = mutagen.File(path, easy=True)
    if file.tags is None:
        file.add_tags()
    file.tags.update(tags)
    file.save()
    return path


def read(path: Path):
    with path.open("rb") as file:
        return read_tags(file)


@pytest.mark.parametrize("suffix", ["mp3", "flac", "ogg", "opus"])
def test_tags_have_the_same_names_in_every_format(tmp_path, suffix):
    path = tagged(
        tmp_path / f"a.{suffix}",
        title=["Ein Lied"], artist=["Ä und Ö"], album=["A"], albumartist=["B"], genre=["Rock", "Pop"],
        date=["1999"], tracknumber=["3/9"], bpm=["120"],
    )  # fmt: skip
    assert read(path) == {
        "title": "Ein Lied",
        "artist": "Ä und Ö",
        "album": "A",
        "albumartist": "B",
        "genre": ["Rock", "Pop"],
        "date": "1999",
        "tracknumber": "3/9",
        "bpm": "120",
    }


@pytest.mark.parametrize("suffix", ["wav", "aiff"])
def test_raw_id3_frames_are_read(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(sounds.encoded_music(suffix))
    file = mutagen.File(path)
    file.add_tags()
    file.tags.add(TIT2(encoding=3, text=["Lied"]))  # type: ignore[no-untyped-call]
    file.tags.add(TCON(encoding=3, text=["(17)"]))  # type: ignore[no-untyped-call]
    file.save()
    assert read(path) == {"title": "Lied", "genre": ["Rock"]}


@pytest.mark.parametrize("suffix", ["mp3", "flac", "wav", "ogg", "opus", "aiff"])
def test_files_without_tags_have_none(tmp_path, suffix):
    (tmp_path / f"a.{suffix}").write_bytes(sounds.encoded_music(suffix))
    assert read(tmp_path / f"a.{suffix}") == {}


@pytest.mark.parametrize("kind", sounds.BAD_CONTENTS)
def test_bad_files_have_no_tags(tmp_path, kind):
    assert read(sounds.bad_file(kind, tmp_path / "a.mp3")) == {}


def test_control_and_direction_characters_are_taken_out(tmp_path):
    path = tagged(tmp_path / "a.flac", title=["\u202egro\x00up\x1b[31m\r\n\ufeff!\u200b"])
    assert read(path) == {"title": "group[31m!"}


def test_long_values_and_long_lists_are_cut(tmp_path):
    path = tagged(tmp_path / "a.flac", title=["x" * 1_000_000], genre=[f"g{index}" for index in range(500)])
    tags = read(path)
    assert len(tags["title"]) == 500
    assert len(tags["genre"]) == 20


def test_tags_can_always_be_written_as_json(tmp_path):
    path = tagged(tmp_path / "a.flac", title=["<img onerror=x>"], date=["not a date"], bpm=["fast"])
    assert json.loads(json.dumps(read(path))) == {
        "title": "<img onerror=x>",
        "date": "not a date",
        "bpm": "fast",
    }


def test_the_position_stays(tmp_path):
    path = tagged(tmp_path / "a.mp3", title=["Lied"])
    with path.open("rb") as file:
        file.seek(5)
        assert read_tags(file) == {"title": "Lied"}
        assert file.tell() == 5


def test_a_compressed_tag_is_not_inflated(tmp_path):
    """200 kB that would become 200 MB."""
    body = zlib.compress(b"\0" + b"A" * 200_000_000, 1)
    frame = b"TIT2" + synchsafe(len(body) + 4) + b"\0\x09" + synchsafe(1000) + body
    (tmp_path / "a.mp3").write_bytes(
        b"ID3\4\0\0" + synchsafe(len(frame)) + frame + sounds.encoded_music("mp3")
    )
    assert read(tmp_path / "a.mp3") == {}


def synchsafe(value: int) -> bytes:
    return bytes(value >> shift & 127 for shift in (21, 14, 7, 0))


def test_whatever_goes_wrong_inside_is_no_tags(monkeypatch):
    def fail(*args, **kwargs):
        raise RecursionError

    monkeypatch.setattr(mutagen, "File", fail)
    assert read_tags(io.BytesIO(b"x")) == {}


def test_cut_tags_are_no_error(tmp_path):
    path = tagged(tmp_path / "a.mp3", title=["Lied"])
    data = path.read_bytes()
    assert read(path) == {"title": "Lied"}
    for length in range(0, 200, 7):
        path.write_bytes(data[:length])
        assert isinstance(read(path), dict)
