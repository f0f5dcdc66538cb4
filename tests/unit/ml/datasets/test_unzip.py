"""Nothing leaves the folder, nothing fills the disk, and an interrupted unpacking goes on."""

import shutil
import zipfile
from pathlib import Path

import pytest

from core.ml.datasets.errors import NotEnoughSpace, UnsafeArchive
from core.ml.datasets.unzip import unpack


def make(root: Path, *members: tuple[str | zipfile.ZipInfo, bytes], name: str = "a.zip") -> Path:
    with zipfile.ZipFile(root / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members:
            archive.writestr(member, content)
    return root / name


def test_files_are_unpacked_and_reported(tmp_path):
    told = []
    archive = make(tmp_path, ("fma/", b""), ("fma/000/2.mp3", b"two"), ("fma/3.mp3", b""))
    assert unpack(archive, tmp_path / "out", lambda *one: told.append(one)) == 2
    assert (tmp_path / "out/fma/000/2.mp3").read_bytes() == b"two"
    assert (tmp_path / "out/fma/3.mp3").read_bytes() == b""
    assert told[-1] == ("unpacking a.zip", 3, 3)


@pytest.mark.parametrize(
    "name", ["../out.txt", "a/../../out.txt", "/tmp/out.txt", "..\\out.txt", "C:out.txt"]
)
def test_paths_that_leave_the_folder_are_refused_before_anything_is_written(tmp_path, name):
    archive = make(tmp_path, ("good.txt", b"x"), (name, b"x"))
    with pytest.raises(UnsafeArchive, match="outside"):
        unpack(archive, tmp_path / "in" / "out")
    assert [one.name for one in tmp_path.iterdir()] == ["a.zip"]


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with pytest.raises(UnsafeArchive, match="link"):
        unpack(make(tmp_path, (link, b"/etc/passwd")), tmp_path / "out")


def test_an_archive_that_would_grow_beyond_reason_is_refused(tmp_path):
    with pytest.raises(UnsafeArchive, match="1 files with 10000000 bytes"):
        unpack(make(tmp_path, ("zeros", b"\0" * 10_000_000)), tmp_path / "out")


def test_a_full_disk_is_reported_before_anything_is_written(tmp_path, monkeypatch):
    archive = make(tmp_path, ("a.txt", b"abc"))
    usage = shutil.disk_usage(tmp_path)._replace(free=2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(NotEnoughSpace):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_of_full_size_are_kept_and_cut_ones_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "whole.txt").write_bytes(b"ABC")
    (tmp_path / "out" / "cut.txt").write_bytes(b"A")
    unpack(make(tmp_path, ("whole.txt", b"abc"), ("cut.txt", b"abc")), tmp_path / "out")
    assert (tmp_path / "out" / "whole.txt").read_bytes() == b"ABC"
    assert (tmp_path / "out" / "cut.txt").read_bytes() == b"abc"


def test_encrypted_files_are_refused(tmp_path):
    content = bytearray(make(tmp_path, ("a.txt", b"abc")).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UnsafeArchive, match="encrypted"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize(
    "damage", [lambda c: b"no archive", lambda c: c[:-10], lambda c: c.replace(b"abc", b"abd")]
)
def test_a_damaged_archive_is_refused(tmp_path, damage):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", b"abc")
    (tmp_path / "a.zip").write_bytes(damage((tmp_path / "a.zip").read_bytes()))
    with pytest.raises(UnsafeArchive, match="damaged"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
