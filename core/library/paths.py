"""Opens files of a library by relative path; no path or link can lead outside the library."""

import errno
import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from core.errors import (
    Disappeared,
    Invalid,
    ItemError,
    NotAFile,
    OutsideLibrary,
    Unreadable,
    is_machine_fault,
)

# O_NONBLOCK, so that opening a named pipe does not block; it has no effect on regular files.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_FOLDER_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_THROUGH_LINK = "The path goes through a symbolic link; links are not followed."


def validate_relative(path: str) -> PurePosixPath:
    """Validate a client's path: relative, inside the library, unambiguous. "" is the library itself.

    A trailing slash is accepted. A backslash is an ordinary character of a POSIX file name; it is refused
    only if it would lead outside on Windows. Percent signs are never decoded. Raises Invalid or
    OutsideLibrary.
    """
    if "\0" in path:
        raise Invalid("A path cannot contain a NUL character.")
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise Invalid("A path must be valid Unicode.") from error
    windows = PureWindowsPath(path)
    if path.startswith("/") or windows.root or ".." in windows.parts:
        raise OutsideLibrary
    if windows.drive and "\\" in path:
        raise OutsideLibrary
    if path and any(part in ("", ".") for part in path.removesuffix("/").split("/")):
        raise Invalid("A path cannot contain empty parts or a single dot.")
    return PurePosixPath(path)


def open_beneath(root: Path, relative: str) -> BinaryIO:
    """Open a regular file below `root` for reading, resolving the path one descriptor at a time.

    Links below `root` are not followed, so that replacing a folder by a link concurrently cannot lead
    outside. Raises ItemError.
    """
    with _parent(root, relative) as (folder, name):
        descriptor = _open(name, _FILE_FLAGS, folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotAFile
    return open(relative, "rb", opener=lambda *_: descriptor)  # sets the file's name


def status_beneath(root: Path, relative: str) -> os.stat_result:
    """Status of the regular file that `open_beneath` would open. Raises ItemError."""
    with _parent(root, relative) as (folder, name):
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if is_machine_fault(error):
                raise
            raise _explain(error, name, folder) from error
    if stat.S_ISLNK(status.st_mode):
        raise OutsideLibrary(_THROUGH_LINK)
    if not stat.S_ISREG(status.st_mode):
        raise NotAFile
    return status


def open_folder(root: Path, parts: Sequence[str]) -> int:
    """Descriptor of the folder `parts` below `root`; `root` itself may be a link. The caller closes it."""
    descriptor = _open(str(root), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, None)
    for part in parts:
        parent = descriptor
        try:
            descriptor = open_subfolder(part, parent)
        finally:
            os.close(parent)
    return descriptor


def open_subfolder(name: str, parent: int) -> int:
    """Descriptor of the folder `name` in the folder `parent` (a descriptor); links are not followed."""
    return _open(name, _FOLDER_FLAGS, parent)


def read_head(name: str, folder: int, size: int) -> bytes:
    """The first `size` bytes of the regular file `name` in the folder `folder` (a descriptor)."""
    descriptor = _open(name, _FILE_FLAGS, folder)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotAFile
        return os.pread(descriptor, size, 0)
    except OSError as error:
        if is_machine_fault(error):
            raise
        raise _explain(error, name, folder) from error
    finally:
        os.close(descriptor)


def find_beneath(root: Path, relative: str) -> str:
    """The path of a file or folder below `root` as spelt on the file system.

    Clients and file systems differ in the Unicode form of names: `é` is one character (NFC, most systems) or
    two (NFD, macOS). Each part is kept if it exists; otherwise the first entry by name with the same NFC form
    is used, if there is one. "" is the root.
    """
    parts = list(validate_relative(relative).parts)
    try:
        folder = open_folder(root, ())
    except ItemError:
        return "/".join(parts)
    try:
        for index, part in enumerate(parts):
            parts[index] = name = _find_name(part, folder)
            if index + 1 == len(parts):
                break
            parent, folder = folder, open_subfolder(name, folder)
            os.close(parent)
    except ItemError:
        pass  # opening the path reports the error
    finally:
        os.close(folder)
    return "/".join(parts)


def _find_name(name: str, folder: int) -> str:
    if name.isascii() or _exists(name, folder):
        return name
    try:
        entries = os.listdir(folder)
    except OSError as error:
        if is_machine_fault(error):
            raise
        raise _explain(error, name, folder) from error
    wanted = unicodedata.normalize("NFC", name)
    return min((entry for entry in entries if unicodedata.normalize("NFC", entry) == wanted), default=name)


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True


@contextmanager
def _parent(root: Path, relative: str) -> Iterator[tuple[int, str]]:
    """An open descriptor of the file's folder, for the duration of the block, and the file's name in it."""
    parts = validate_relative(relative).parts
    if not parts:
        raise NotAFile
    folder = open_folder(root, parts[:-1])
    try:
        yield folder, parts[-1]
    finally:
        os.close(folder)


def _open(name: str, flags: int, folder: int | None) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        if is_machine_fault(error):
            raise
        raise _explain(error, name, folder) from error


def _explain(error: OSError, name: str, folder: int | None) -> ItemError:
    if error.errno == errno.ENOENT:
        return Disappeared()
    if error.errno == errno.ELOOP or (error.errno == errno.ENOTDIR and _is_link(name, folder)):
        return OutsideLibrary(_THROUGH_LINK)
    if error.errno == errno.ENOTDIR:
        return Disappeared()
    if error.errno in (errno.ENXIO, errno.ENODEV):
        return NotAFile()
    if error.errno == errno.ENAMETOOLONG:
        return Disappeared("No file can have a name that long.")
    return Unreadable(f"The worker may not read this file: {error.strerror}.")


def _is_link(name: str, folder: int | None) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False
