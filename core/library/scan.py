"""List the audio files of a music folder, lazily and in an order that can be resumed."""

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import Disappeared, ItemError, NotAFile, OutsideLibrary, Unreadable
from core.library.paths import open_folder, open_subfolder, validate_relative

AUDIO_SUFFIXES = frozenset(
    [
        ".mp3",
        ".flac",
        ".wav",
        ".wave",
        ".ogg",
        ".oga",
        ".opus",
        ".aif",
        ".aiff",
        ".aifc",
        ".m4a",
        ".m4b",
        ".mp4",
        ".aac",
        ".wma",
    ]
)
# Every level holds a descriptor open; music is not nested deeper than this.
_MAX_DEPTH = 200
_SKIPPED_FOLDERS = frozenset({"__MACOSX"})


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that looks like audio by its name, or (`error` set) something the user must be told about."""

    path: str  # relative to the library, with forward slashes
    size: int = 0
    mtime_ns: int = 0
    error: ItemError | None = None


@dataclass(slots=True)
class _Folder:
    """A folder being listed: its open descriptor and what is left of its sorted entries."""

    descriptor: int
    prefix: str
    entries: Iterator[tuple[str, os.DirEntry[str]]]
    cursor: tuple[str, ...]


def scan(root: Path, under: str = "", after: str | None = None) -> Generator[FoundFile, None, None]:
    """Every audio file below `root/under`, ordered by path, part by part; only those behind path `after`.

    Depth first, one sorted folder at a time, so memory is bounded by the folders on the way down. Folders
    that lie wholly before `after` are not listed again. Hidden entries are left out; links are not followed.
    """
    parts = validate_relative(under).parts
    cursor = tuple(after.split("/")) if after else ()
    if cursor[: len(parts)] > parts:
        return
    cursor = cursor[len(parts) :] if cursor[: len(parts)] == parts else ()
    prefix = "".join(f"{part}/" for part in parts)
    stack = [_list(open_folder(root, parts), prefix, cursor)]
    try:
        while stack:
            folder = stack[-1]
            name, entry = next(folder.entries, (None, None))
            if name is None or entry is None:
                os.close(stack.pop().descriptor)
                continue
            path = folder.prefix + name
            if _descends(entry):
                if len(stack) == _MAX_DEPTH:
                    yield FoundFile(path, error=Unreadable("This folder is nested too deeply."))
                    continue
                try:
                    stack.append(_enter(folder, name, path))
                except Disappeared:
                    continue
                except ItemError:
                    yield FoundFile(path, error=Unreadable("The worker may not list this folder."))
            elif (found := _examine(entry, path)) is not None:
                yield found
    finally:
        for folder in stack:
            os.close(folder.descriptor)


def _list(descriptor: int, prefix: str, cursor: tuple[str, ...]) -> _Folder:
    """Read one folder's entries in order, leaving out what lies before the cursor. Takes the descriptor."""
    try:
        with os.scandir(descriptor) as listing:
            entries = [(_printable(entry.name), entry) for entry in listing if not _is_skipped(entry.name)]
    except OSError as error:
        os.close(descriptor)
        raise Unreadable("The worker may not list this folder.") from error
    if cursor:
        entries = [pair for pair in entries if pair[0] > cursor[0] or (pair[0] == cursor[0] and cursor[1:])]
    entries.sort(key=lambda pair: pair[0])
    return _Folder(descriptor, prefix, iter(entries), cursor)


def _enter(folder: _Folder, name: str, path: str) -> _Folder:
    cursor = folder.cursor[1:] if folder.cursor[:1] == (name,) else ()
    return _list(open_subfolder(name, folder.descriptor), f"{path}/", cursor)


def _descends(entry: os.DirEntry[str]) -> bool:
    return _is_text(entry.name) and not _has_audio_suffix(entry.name) and entry.is_dir(follow_symlinks=False)


def _examine(entry: os.DirEntry[str], path: str) -> FoundFile | None:
    """What to report about an entry that is not a folder to look into; None: nothing."""
    if not _is_text(entry.name):
        if _has_audio_suffix(entry.name) or entry.is_dir(follow_symlinks=False):
            return FoundFile(path, error=Unreadable("The name is not valid UTF-8; rename it."))
        return None
    if entry.is_symlink():
        if _has_audio_suffix(entry.name) or entry.is_dir():
            return FoundFile(path, error=OutsideLibrary("A symbolic link; links are not followed."))
        return None
    if not _has_audio_suffix(entry.name):
        return None
    if not entry.is_file(follow_symlinks=False):
        return FoundFile(path, error=NotAFile())
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    return FoundFile(path, status.st_size, status.st_mtime_ns)


def _has_audio_suffix(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES


def _is_skipped(name: str) -> bool:
    return name.startswith(".") or name in _SKIPPED_FOLDERS


def _is_text(name: str) -> bool:
    """False for a name that is not UTF-8: neither JSON nor a database could hold it."""
    return name.isascii() or not any("\udc80" <= char <= "\udcff" for char in name)


def _printable(name: str) -> str:
    return name if _is_text(name) else os.fsencode(name).decode("utf-8", "backslashreplace")
