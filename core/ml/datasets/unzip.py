"""Unpacks untrusted archives safely: within one folder, and within the free disk space."""

import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from core.ml.datasets.errors import NotEnoughSpace, UnsafeArchive

_MAX_FILES = 500_000
_MAX_RATIO = 200  # unpacked to packed size; about 10 for text, 1000 for a zip bomb
_BLOCK_BYTES = 1 << 20
_ENCRYPTED = 0x1

OnProgress = Callable[[str, int, int], None]  # activity, bytes done, total bytes


def unpack(archive: Path, folder: Path, on_progress: OnProgress | None = None) -> int:
    """Unpack into `folder`; returns the number of files. Existing files of equal size are kept.

    Raises UnsafeArchive or NotEnoughSpace.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            targets = [_target(member, folder) for member in members]
            total = _check_size(archive, members, folder)
            done = 0
            for member, target in zip(members, targets, strict=True):
                if not (target.is_file() and target.stat().st_size == member.file_size):
                    _write(opened, member, target)
                done += member.file_size
                if on_progress is not None:
                    on_progress(f"unpacking {archive.name}", done, total)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise UnsafeArchive(f"{archive.name} is damaged: {error}.") from error
    return len(members)


def _target(member: zipfile.ZipInfo, folder: Path) -> Path:
    path = PurePosixPath(member.filename)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or not path.parts or set(member.filename) & set("\\:\0"):
        raise UnsafeArchive(f"{member.filename!r} would be unpacked outside its folder.")
    if kind not in (0, stat.S_IFREG):
        raise UnsafeArchive(f"{member.filename!r} is a link or a device.")
    if member.flag_bits & _ENCRYPTED:
        raise UnsafeArchive(f"{member.filename!r} is encrypted.")
    return folder / path


def _check_size(archive: Path, members: list[zipfile.ZipInfo], folder: Path) -> int:
    """Total stated size of the files, which zipfile enforces. Raises UnsafeArchive or NotEnoughSpace."""
    total = sum(member.file_size for member in members)
    if len(members) > _MAX_FILES or total > _MAX_RATIO * archive.stat().st_size:
        raise UnsafeArchive(f"{archive.name} would unpack to {len(members)} files with {total} bytes.")
    check_space(folder, sum(m.file_size for m in members if not (folder / m.filename).is_file()))
    return total


def check_space(folder: Path, needed: int) -> None:
    """Check the free space for `folder`, which need not exist yet. Raises NotEnoughSpace."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if (free := shutil.disk_usage(existing).free) < needed:
        raise NotEnoughSpace(f"{needed / 1e9:.1f} GB are needed in {folder}, {free / 1e9:.1f} GB are free.")


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Write a file atomically."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.part")
    with opened.open(member) as source, unfinished.open("wb") as file:
        shutil.copyfileobj(source, file, _BLOCK_BYTES)
    os.replace(unfinished, target)
