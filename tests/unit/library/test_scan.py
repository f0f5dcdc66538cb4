"""Listing a music folder: complete, ordered, resumable, and honest about what cannot be listed."""

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import Disappeared, OutsideLibrary, Unreadable
from core.library.paths import open_subfolder
from core.library.scan import FoundFile, LeftOut, scan, scan_again
from tests.support.bad_files import music
from tests.support.swapping import swapping


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x" * len(path))


def listed(root: Path, under: str = "", after: str | None = None) -> list[str]:
    return [found.path for found in scan(root, under, after) if isinstance(found, FoundFile)]


def codes(root: Path) -> dict[str, str | None]:
    return {
        found.path: found.error.code if found.error else None
        for found in scan(root)
        if isinstance(found, FoundFile)
    }


def left_out(root: Path, after: str | None = None) -> dict[str, int]:
    return Counter(found.reason for found in scan(root, after=after) if isinstance(found, LeftOut))


def test_files_come_with_size_and_time(tmp_path):
    make(tmp_path, "a/b.mp3")
    os.utime(tmp_path / "a/b.mp3", ns=(1, 1_700_000_000_123_456_789))
    assert list(scan(tmp_path)) == [FoundFile("a/b.mp3", 7, 1_700_000_000_123_456_789)]


def test_only_audio_is_listed_whatever_the_case_of_its_suffix(tmp_path):
    make(
        tmp_path,
        "a.MP3",
        "b.flac",
        "c.Opus",
        "d.jpg",
        "e.txt",
        "f",
        "mp3",
        "g.m4a",
        "h.mp3.part",
        "i.mp3.txt",
    )
    assert listed(tmp_path) == ["a.MP3", "b.flac", "c.Opus", "g.m4a"]
    assert left_out(tmp_path) == {".jpg": 1, ".txt": 2, ".part": 1, "no_suffix": 2}


def test_names_that_begin_with_dots_are_music(tmp_path):
    names = [
        "...And Justice for All/One.mp3",
        ".38 Special/.38.flac",
        ".hidden/.a.mp3",
        "R.E.M./Drive.mp3",
        "._not by macOS.mp3",
    ]
    make(tmp_path, *names)
    assert sorted(listed(tmp_path)) == sorted(names)
    assert left_out(tmp_path) == {}


def test_what_systems_leave_behind_is_counted_and_not_listed(tmp_path):
    make(tmp_path, "album/a.mp3", "album/.a.mp3.Xa81bQ", "album/cover.JPG", "album/b.crdownload")
    for folder in ("@eaDir", "#recycle", "$RECYCLE.BIN", ".Trash-1000", ".git", "lost+found", "__MACOSX"):
        make(tmp_path, f"{folder}/x.mp3", f"album/{folder}/deeper/y.mp3")
    (tmp_path / "album/._a.mp3").write_bytes(bytes.fromhex("0005160700020000") + bytes(100))
    make(tmp_path, "phone/.nomedia", "phone/ring.mp3", "phone/deeper/ring.mp3", "navidrome/.ndignore")
    assert listed(tmp_path) == ["album/a.mp3"]
    assert left_out(tmp_path) == {
        ".jpg": 1,
        ".crdownload": 1,
        "unfinished_copy": 1,
        "apple_double": 1,
        "system_folder": 14,
        "marked_folder": 2,
    }


def test_a_folder_that_is_named_is_listed_whatever_its_name_and_markers(tmp_path):
    make(tmp_path, "@eaDir/.nomedia", "@eaDir/a.mp3")
    assert listed(tmp_path, "@eaDir") == ["@eaDir/a.mp3"]
    assert listed(tmp_path / "@eaDir") == ["a.mp3"]


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "opus", "aiff", "m4a", "aac", "wma"])
def test_a_file_without_a_suffix_is_listed_when_it_begins_as_audio_does(tmp_path, suffix):
    content = music(suffix, seed=1)
    names = ["song", "01. A Title", "01.Overture", "vol.2", ".mp3", "Recycled/St.Anger"]
    (tmp_path / "Recycled").mkdir()
    for name in (*names, "song.txt"):
        (tmp_path / name).write_bytes(content)
    assert sorted(listed(tmp_path)) == sorted(names)
    assert left_out(tmp_path) == {".txt": 1}


def test_a_file_without_a_suffix_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    make(tmp_path, "song", "song.mp3")

    def unreadable(*_: object) -> bytes:
        raise Unreadable("The worker may not read this file.")

    monkeypatch.setattr("core.library.scan.read_head", unreadable)
    assert [entry.error is not None for entry in scan(tmp_path) if isinstance(entry, FoundFile)] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        "Text".encode("utf-16"),
        b"\xff\xd8\xff\xe0\0\x10JFIF",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"\0\0\0\x18ftypheic",
        b"MThd\0\0\0\6",
        b"\x7fELF\2\1\1",
        bytes(64),
        b"\xff" * 64,
    ],
)
def test_a_file_without_a_suffix_that_is_something_else_is_counted(tmp_path, content):
    (tmp_path / "README").write_bytes(content)
    assert listed(tmp_path) == []
    assert left_out(tmp_path) == {"no_suffix": 1}


def test_every_entry_is_counted_once_wherever_the_listing_is_resumed(tmp_path):
    make(tmp_path, "a.jpg", "a/1.mp3", "a/2.txt", "a/@eaDir/x.mp3", "b/.nomedia", "c/1.mp3", "c/log", "d.mp3")
    found = list(scan(tmp_path))
    for index, entry in enumerate(found):
        assert list(scan(tmp_path, after=entry.path)) == found[index + 1 :]


def test_the_order_is_by_path_part_by_part(tmp_path):
    make(tmp_path, "b.mp3", "a/z.mp3", "a!.mp3", "a/b/c.mp3", "a.mp3", "Z.mp3", "a b/c.mp3", "ä.mp3")
    paths = listed(tmp_path)
    assert paths == sorted(paths, key=lambda path: path.split("/"))
    assert len(paths) == 8


def test_it_can_be_resumed_after_every_path(tmp_path):
    names = ["a", "a b", "a!", "b", "b.mp3", "c", "ü", "Z", "z"]
    generator = random.Random(1)
    for _ in range(60):
        folders = generator.choices(["a", "a b", "a-b", "b", "ü"], k=generator.randint(0, 3))
        make(tmp_path, "/".join([*folders, f"{generator.choice(names)}.mp3"]))
    paths = listed(tmp_path)
    for index, path in enumerate(paths):
        assert listed(tmp_path, after=path) == paths[index + 1 :]


def test_it_can_be_resumed_after_a_path_that_has_gone_since(tmp_path):
    make(tmp_path, "a/1.mp3", "a/2.mp3", "b/1.mp3", "c.mp3")
    (tmp_path / "a/2.mp3").unlink()
    assert listed(tmp_path, after="a/2.mp3") == ["b/1.mp3", "c.mp3"]
    assert listed(tmp_path, after="b/0/x.mp3") == ["b/1.mp3", "c.mp3"]


def test_resuming_does_not_list_folders_that_lie_before(tmp_path, monkeypatch):
    make(tmp_path, "a/1.mp3", "b/1.mp3", "b/2.mp3", "c/1.mp3")
    opened = []

    def spy(name, parent):
        opened.append(name)
        return open_subfolder(name, parent)

    monkeypatch.setattr("core.library.scan.open_subfolder", spy)
    assert listed(tmp_path, after="b/1.mp3") == ["b/2.mp3", "c/1.mp3"]
    assert opened == ["b", "c"]


def test_a_part_of_the_library_can_be_listed_and_resumed(tmp_path):
    make(tmp_path, "a/1.mp3", "b/c/1.mp3", "b/c/2.mp3", "b/d.mp3", "e.mp3")
    assert listed(tmp_path, "b") == ["b/c/1.mp3", "b/c/2.mp3", "b/d.mp3"]
    assert listed(tmp_path, "b/c", after="b/c/1.mp3") == ["b/c/2.mp3"]
    assert listed(tmp_path, "b", after="a/9.mp3") == ["b/c/1.mp3", "b/c/2.mp3", "b/d.mp3"]
    assert listed(tmp_path, "b", after="e.mp3") == []


def test_it_is_lazy(tmp_path):
    make(tmp_path, "a/1.mp3", "b/1.mp3")
    found = scan(tmp_path)
    assert next(found).path == "a/1.mp3"
    make(tmp_path, "b/2.mp3")
    assert [file.path for file in found] == ["b/1.mp3", "b/2.mp3"]


def test_a_folder_named_like_a_song_is_listed_and_an_empty_one_reported(tmp_path):
    make(tmp_path, "x.mp3/y.mp3")
    (tmp_path / "z.flac").mkdir()
    assert codes(tmp_path) == {"x.mp3/y.mp3": None, "z.flac": "not_a_file"}


def test_a_pipe_named_like_a_song_is_reported(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp3")
    assert codes(tmp_path) == {"pipe.mp3": "not_a_file"}


def test_links_are_reported_not_followed(tmp_path):
    make(tmp_path, "album/a.mp3", "notes.txt")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "link.mp3").symlink_to("album/a.mp3")
    (tmp_path / "broken.mp3").symlink_to("nowhere")
    (tmp_path / "notes").symlink_to("notes.txt")
    outside = "outside_library"
    assert codes(tmp_path) == {
        "album/a.mp3": None,
        "broken.mp3": outside,
        "link.mp3": outside,
        "loop": outside,
    }
    assert left_out(tmp_path) == {".txt": 1, "link": 1}


def test_names_that_are_not_utf8_are_reported_printably(tmp_path):
    make(tmp_path, "a.mp3")
    for name in [b"bad\xff.mp3", b"bad\xfe.txt"]:
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    (tmp_path / os.fsdecode(b"folder\xe9")).mkdir()
    make(tmp_path / os.fsdecode(b"folder\xe9"), "b.mp3")
    assert codes(tmp_path) == {"a.mp3": None, "bad\\xff.mp3": "unreadable", "folder\\xe9": "unreadable"}
    assert left_out(tmp_path) == {".txt": 1}
    for found in scan(tmp_path):
        found.path.encode("utf-8")


def test_listing_can_be_resumed_after_a_name_that_is_not_utf8(tmp_path):
    make(tmp_path, "a.mp3", "c.mp3")
    (tmp_path / os.fsdecode(b"b\xff.mp3")).write_bytes(b"x")
    assert listed(tmp_path, after="b\\xff.mp3") == ["c.mp3"]


def test_a_folder_that_cannot_be_listed_is_reported_and_the_scan_continues(tmp_path, monkeypatch):
    make(tmp_path, "a/1.mp3", "b/1.mp3", "c/1.mp3")
    real = os.open

    def refuse(path, flags, *args, **kwargs):
        if path == "b":
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    assert codes(tmp_path) == {"a/1.mp3": None, "b": "unreadable", "c/1.mp3": None}
    assert listed(tmp_path, after="b") == ["c/1.mp3"]


def test_an_inaccessible_entry_is_reported_and_a_fault_of_the_machine_stops_the_scan(tmp_path, monkeypatch):
    make(tmp_path, "a/1.mp3", "b/1.mp3")
    real = os.scandir

    def fail(number: int) -> Callable[[int], Any]:
        def scandir(folder: int) -> Any:
            if os.readlink(f"/proc/self/fd/{folder}").endswith("/b"):
                raise OSError(number, os.strerror(number))
            return real(folder)

        return scandir

    monkeypatch.setattr(os, "scandir", fail(5))
    assert codes(tmp_path) == {"a/1.mp3": None, "b": "unreadable"}
    monkeypatch.setattr(os, "scandir", fail(24))
    with pytest.raises(OSError, match="Too many open files"):
        codes(tmp_path)


def test_a_path_that_could_not_be_listed_is_scanned_again_with_all_below_it(tmp_path):
    make(tmp_path, "a/b/1.mp3", "a/b/c/2.mp3", "a/b/x.txt", "a/bb/3.mp3", "a/1.mp3")
    found = list(scan_again(tmp_path, "a/b"))
    assert [entry.path for entry in found] == ["a/b/1.mp3", "a/b/c/2.mp3", "a/b/x.txt"]
    for index, entry in enumerate(found):
        assert list(scan_again(tmp_path, "a/b", entry.path)) == found[index + 1 :]
    assert [entry.path for entry in scan_again(tmp_path, "a/1.mp3")] == ["a/1.mp3"]
    (tmp_path / "link.mp3").symlink_to("a/1.mp3")
    for path, code in [("link.mp3", "outside_library"), ("gone.mp3", "disappeared"), ("no/x", "disappeared")]:
        (again,) = scan_again(tmp_path, path)
        assert isinstance(again, FoundFile)
        assert again.error is not None
        assert again.error.code == code


def test_what_vanishes_while_listing_is_left_out(tmp_path):
    make(tmp_path, "a.mp3", "b.mp3", "c/d.mp3")
    found = scan(tmp_path)
    assert next(found).path == "a.mp3"
    (tmp_path / "b.mp3").unlink()
    (tmp_path / "c/d.mp3").unlink()
    (tmp_path / "c").rmdir()
    assert list(found) == []


def test_a_library_that_is_gone_is_an_error_and_not_an_empty_list(tmp_path):
    with pytest.raises(Disappeared):
        listed(tmp_path / "gone")
    with pytest.raises(Disappeared):
        listed(tmp_path, "gone")
    with pytest.raises(OutsideLibrary):
        listed(tmp_path, "../x")


@pytest.mark.parametrize(("depth", "code"), [(150, None), (210, "unreadable")])
def test_deep_folders_are_listed_and_bottomless_ones_reported(tmp_path, depth, code):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=descriptor)
        deeper = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    os.close(os.open("a.mp3", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    [(path, found)] = codes(tmp_path).items()
    assert found == code
    assert path == (("d/" * 200)[:-1] if code else "d/" * depth + "a.mp3")


def test_no_descriptor_is_left_open_when_listing_is_given_up(tmp_path):
    make(tmp_path, "a/b/c/d.mp3", "e.mp3")
    before = len(os.listdir("/proc/self/fd"))
    found = scan(tmp_path)
    next(found)
    assert len(os.listdir("/proc/self/fd")) > before
    found.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_swapping_in_a_link_while_listing_never_leads_outside(tmp_path):
    library, outside = tmp_path / "library", tmp_path / "outside"
    make(library, "album/song.mp3", "z.mp3")
    make(outside, "secret.mp3")
    link = tmp_path / "link"
    link.symlink_to(outside)
    seen: set[tuple[str, str | None]] = set()
    with swapping(library / "album", link):
        for _ in range(10_000):
            seen |= set(codes(library).items())
    assert {path for path, _ in seen} <= {"album/song.mp3", "album", "z.mp3"}
    assert {code for path, code in seen if path == "album"} <= {"outside_library", "unreadable"}
    assert {("album/song.mp3", None), ("album", "outside_library")} <= seen
