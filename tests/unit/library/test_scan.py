"""Listing a music folder: complete, ordered, resumable, and honest about what cannot be listed."""

import os
import random
from pathlib import Path

import pytest

from core.errors import Disappeared, OutsideLibrary
from core.library.paths import open_subfolder
from core.library.scan import FoundFile, scan
from tests.swapping import swapping


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x" * len(path))


def listed(root: Path, under: str = "", after: str | None = None) -> list[str]:
    return [found.path for found in scan(root, under, after)]


def codes(root: Path) -> dict[str, str | None]:
    return {found.path: found.error.code if found.error else None for found in scan(root)}


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


def test_hidden_and_macos_leftovers_are_skipped(tmp_path):
    make(tmp_path, ".a.mp3", ".cache/b.mp3", "__MACOSX/c.mp3", "album/._d.mp3", "album/e.mp3")
    assert listed(tmp_path) == ["album/e.mp3"]


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


def test_a_folder_named_like_a_song_is_reported_once_and_not_entered(tmp_path):
    make(tmp_path, "x.mp3/y.mp3")
    assert codes(tmp_path) == {"x.mp3": "not_a_file"}


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


def test_names_that_are_not_utf8_are_reported_printably(tmp_path):
    make(tmp_path, "a.mp3")
    for name in [b"bad\xff.mp3", b"bad\xfe.txt"]:
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    (tmp_path / os.fsdecode(b"folder\xe9")).mkdir()
    make(tmp_path / os.fsdecode(b"folder\xe9"), "b.mp3")
    assert codes(tmp_path) == {"a.mp3": None, "bad\\xff.mp3": "unreadable", "folder\\xe9": "unreadable"}
    for found in scan(tmp_path):
        found.path.encode("utf-8")


def test_listing_can_be_resumed_after_a_name_that_is_not_utf8(tmp_path):
    make(tmp_path, "a.mp3", "c.mp3")
    (tmp_path / os.fsdecode(b"b\xff.mp3")).write_bytes(b"x")
    assert listed(tmp_path, after="b\\xff.mp3") == ["c.mp3"]


def test_a_folder_that_may_not_be_listed_is_reported_and_the_rest_goes_on(tmp_path, monkeypatch):
    make(tmp_path, "a/1.mp3", "b/1.mp3", "c/1.mp3")
    real = os.open

    def refuse(path, flags, *args, **kwargs):
        if path == "b":
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    assert codes(tmp_path) == {"a/1.mp3": None, "b": "unreadable", "c/1.mp3": None}
    assert listed(tmp_path, after="b") == ["c/1.mp3"]


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
