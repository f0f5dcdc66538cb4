"""Lists the audio files of a folder lazily, in an order that allows resuming."""

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import Disappeared, ItemError, NotAFile, OutsideLibrary, Unreadable, is_machine_fault
from core.library.left_out import Reason
from core.library.magic import HEAD_BYTES, is_apple_double, looks_like_audio
from core.library.names import (
    MARKERS,
    has_audio_suffix,
    is_system_folder,
    is_unfinished_copy,
    says_no_audio,
    suffix_of,
)
from core.library.paths import open_folder, open_subfolder, read_head, validate_relative

_MAX_DEPTH = 200  # each level keeps a descriptor open
_NOT_UTF8 = "The name is not valid UTF-8; rename it."


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that may be audio, or, with `error`, an entry that cannot be accessed or is not a file."""

    path: str  # relative to the library, with forward slashes; printable
    size: int = 0
    mtime_ns: int = 0
    error: ItemError | None = None
    escaped: str = ""  # the path with surrogate escapes, if it is not UTF-8


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An entry that is not audio, or a folder that is not listed."""

    path: str
    reason: str  # a `Reason`, or a suffix with its dot


Entry = FoundFile | LeftOut


@dataclass(slots=True)
class _Folder:
    """A folder being listed: its open descriptor and its remaining sorted entries."""

    descriptor: int
    prefix: str
    entries: Iterator[tuple[str, os.DirEntry[str]]]
    cursor: tuple[str, ...]
    is_empty: bool
    is_marked: bool  # contains one of `MARKERS`


def scan(root: Path, under: str = "", after: str | None = None) -> Generator[Entry, None, None]:
    """Every entry except folders below `root/under` and after the path `after`, ordered by path parts.

    Depth first, one sorted folder at a time, so that memory is bounded by the folders on the current path.
    Folders that are completely before `after` are not listed again. Links are not followed. `root/under`
    itself is listed regardless of its name and markers. Raises ItemError.
    """
    parts = validate_relative(under).parts
    cursor = tuple(after.split("/")) if after else ()
    if cursor[: len(parts)] > parts:
        return
    cursor = cursor[len(parts) :] if cursor[: len(parts)] == parts else ()
    yield from _walk(_list(open_folder(root, parts), _prefix(parts), cursor))


def scan_again(root: Path, path: str, after: str | None = None) -> Generator[Entry, None, None]:
    """The entries that `scan` would yield now at and below a `path` that failed before.

    If the path is gone, a single entry with that error.
    """
    *above, name = path.split("/")
    cursor = tuple(after.split("/"))[len(above) :] if after else ()
    try:
        folder = _list(open_folder(root, above), _prefix(above), cursor)
    except ItemError:
        yield FoundFile(path, error=Disappeared())
        return
    entries = [pair for pair in folder.entries if pair[0] == name]
    folder.entries = iter(entries)
    if not entries and not cursor:
        yield FoundFile(path, error=Disappeared())
    yield from _walk(folder)


def _prefix(parts: tuple[str, ...] | list[str]) -> str:
    return "".join(f"{part}/" for part in parts)


def _walk(top: _Folder) -> Generator[Entry, None, None]:
    stack = [top]
    try:
        while stack:
            name, entry = next(stack[-1].entries, (None, None))
            if name is None or entry is None:
                os.close(stack.pop().descriptor)
                continue
            path = stack[-1].prefix + name
            try:
                is_folder = entry.is_dir(follow_symlinks=False)
                found = _descend(stack, name, entry, path) if is_folder else _examine(stack[-1], entry, path)
            except FileNotFoundError:
                continue
            except OSError as error:
                if is_machine_fault(error):
                    raise
                found = FoundFile(path, error=Unreadable(f"It cannot be accessed: {error.strerror}."))
            if found is not None:
                yield found
    finally:
        for folder in stack:
            os.close(folder.descriptor)


def _list(descriptor: int, prefix: str, cursor: tuple[str, ...]) -> _Folder:
    """Read the sorted entries of a folder after the cursor. Takes ownership of the descriptor."""
    try:
        with os.scandir(descriptor) as listing:
            entries = [(_printable(entry.name), entry) for entry in listing]
    except OSError as error:
        os.close(descriptor)
        if is_machine_fault(error):
            raise
        raise Unreadable("The worker may not list this folder.") from error
    is_empty, is_marked = not entries, any(name in MARKERS for name, _ in entries)
    if cursor:
        entries = [pair for pair in entries if pair[0] > cursor[0] or (pair[0] == cursor[0] and cursor[1:])]
    entries.sort(key=lambda pair: pair[0])
    return _Folder(descriptor, prefix, iter(entries), cursor, is_empty, is_marked)


def _descend(stack: list[_Folder], name: str, entry: os.DirEntry[str], path: str) -> Entry | None:
    """Push a folder onto the stack, or return an entry for one that is not listed."""
    if is_system_folder(name):
        return LeftOut(path, Reason.SYSTEM_FOLDER)
    if not _is_text(entry.name):
        return FoundFile(path, error=Unreadable(_NOT_UTF8))
    if path.count("/") + 1 >= _MAX_DEPTH:
        return FoundFile(path, error=Unreadable("This folder is nested too deeply."))
    parent = stack[-1]
    cursor = parent.cursor[1:] if parent.cursor[:1] == (name,) else ()
    try:
        folder = _list(open_subfolder(name, parent.descriptor), f"{path}/", cursor)
    except Disappeared:
        return None
    except OutsideLibrary as error:
        return FoundFile(path, error=error)
    except ItemError:
        return FoundFile(path, error=Unreadable("The worker may not list this folder."))
    stack.append(folder)
    if folder.is_marked:
        os.close(stack.pop().descriptor)
        return LeftOut(path, Reason.MARKED_FOLDER)
    return FoundFile(path, error=NotAFile()) if folder.is_empty and has_audio_suffix(name) else None


def _examine(folder: _Folder, entry: os.DirEntry[str], path: str) -> Entry | None:
    """The entry for a file, link or device; None if it has disappeared."""
    if not entry.is_file(follow_symlinks=False):
        return _examine_link_or_device(entry, path)
    if is_unfinished_copy(entry.name):
        return LeftOut(path, Reason.UNFINISHED_COPY)
    if says_no_audio(entry.name):
        return LeftOut(path, suffix_of(entry.name))
    if not has_audio_suffix(entry.name) or entry.name.startswith("._"):
        try:
            head = read_head(entry.name, folder.descriptor, HEAD_BYTES)
        except Disappeared:
            return None
        except ItemError as error:
            return FoundFile(path, error=error)
        if (reason := _reason_by_content(entry.name, head)) is not None:
            return LeftOut(path, reason)
    if not _is_text(entry.name):
        return FoundFile(path, error=Unreadable(_NOT_UTF8), escaped=folder.prefix + entry.name)
    status = entry.stat(follow_symlinks=False)
    return FoundFile(path, status.st_size, status.st_mtime_ns)


def _examine_link_or_device(entry: os.DirEntry[str], path: str) -> Entry:
    is_audio = has_audio_suffix(entry.name)
    if not entry.is_symlink():
        return FoundFile(path, error=NotAFile()) if is_audio else LeftOut(path, Reason.SPECIAL_FILE)
    if is_audio or entry.is_dir():
        return FoundFile(path, error=OutsideLibrary("A symbolic link; links are not followed."))
    return LeftOut(path, Reason.LINK)


def _reason_by_content(name: str, head: bytes) -> str | None:
    """Why a file that begins with `head` is left out; None if its name or content is audio."""
    if name.startswith("._") and is_apple_double(head):
        return Reason.APPLE_DOUBLE
    if has_audio_suffix(name) or looks_like_audio(head):
        return None
    return suffix_of(name) or Reason.NO_SUFFIX


def _is_text(name: str) -> bool:
    """Whether a name is valid UTF-8, which JSON and the database require."""
    return name.isascii() or not any("\udc80" <= char <= "\udcff" for char in name)


def _printable(name: str) -> str:
    return name if _is_text(name) else os.fsencode(name).decode("utf-8", "backslashreplace")
