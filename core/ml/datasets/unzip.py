"""Unpack archives that come from elsewhere: within one folder, and no more than the disk holds."""

import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from core.ml.datasets.errors import NotEnoughSpace, UnsafeArchive

_MAX_FILES = 500_000
_MAX_RATIO = 200  # unpacked to packed size; text shrinks to a tenth, a trap to a thousandth
_BLOCK_BYTES = 1 << 20
_ENCRYPTED = 0x1

OnProgress = Callable[[str, int, int], None]  # what is being done, bytes done, bytes in all


def unpack(archive: Path, folder: Path, on_progress: OnProgress | None = None) -> int:
    """Unpack everything below `folder`; the number of files. Files that are there at full size are kept."""
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
        raise UnsafeArchive(f"{member.filename!r} would be unpacked outside of its folder.")
    if kind not in (0, stat.S_IFREG):
        raise UnsafeArchive(f"{member.filename!r} is a link or a device.")
    if member.flag_bits & _ENCRYPTED:
        raise UnsafeArchive(f"{member.filename!r} is encrypted.")
    return folder / path


def _check_size(archive: Path, members: list[zipfile.ZipInfo], folder: Path) -> int:
    """Bytes that the files say they have; zipfile gives no more of any file than it says."""
    total = sum(member.file_size for member in members)
    if len(members) > _MAX_FILES or total > _MAX_RATIO * archive.stat().st_size:
        raise UnsafeArchive(f"{archive.name} would become {len(members)} files of {total} bytes.")
    check_space(folder, sum(m.file_size for m in members if not (folder / m.filename).is_file()))
    return total


def check_space(folder: Path, needed: int) -> None:
    """Whether the disk of `folder`, which need not be there yet, has room for so many bytes."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if (free := shutil.disk_usage(existing).free) < needed:
        raise NotEnoughSpace(f"{needed / 1e9:.1f} GB are needed in {folder}, {free / 1e9:.1f} GB are free.")


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Under another name until it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.part")
    with opened.open(member) as source, unfinished.open("wb") as file:
        shutil.copyfileobj(source, file, _BLOCK_BYTES)
    os.replace(unfinished, target)
