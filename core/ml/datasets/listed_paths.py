"""Resolves the paths of a track list that may come from another machine.

A path may have backslashes, be absolute, or be in another Unicode form than the name on disk.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

from core.errors import ItemError
from core.library.paths import open_folder

_SAMPLED = 200  # absolute paths that are used to find their common folder


class ListedPaths:
    """Resolves listed paths to files below a dataset's root; relative paths start at `folder`.

    `listed` returns all paths of the list; it is called if an absolute path is not below the root.
    """

    def __init__(self, root: Path, folder: Path, listed: Callable[[], Iterable[str]]) -> None:
        self._root, self._folder, self._listed = root, folder, listed
        self._folders: dict[tuple[str, ...], dict[str, str]] = {}

    def resolve(self, text: str) -> Path | None:
        """The path of the file, or the expected path if it does not exist; None if it is outside the root."""
        readings = self._readings(text)
        if not readings or any(not parts or ".." in parts for _, parts in readings):
            return None
        for top, parts in readings:
            if there := self._on_disk(top, parts):
                return top.joinpath(*there)
        top, parts = readings[-1]
        return top.joinpath(*parts)

    def _readings(self, text: str) -> list[tuple[Path, tuple[str, ...]]]:
        """Possible interpretations, the most likely first: a folder and the parts below it."""
        absolute = _absolute(text)
        readings = [] if text.startswith("/") else [(self._folder, PurePosixPath(text).parts)]
        if absolute is None and "\\" in text:
            readings.append((self._folder, PureWindowsPath(text).parts))
        elif absolute is not None:
            if (below := self._below(absolute)) is None:
                return []
            readings.append((self._root, below.parts))
        return readings

    def _below(self, absolute: PurePath) -> PurePath | None:
        """An absolute path relative to the root, or to the root on the other machine."""
        if isinstance(absolute, PurePosixPath):
            for top in (self._root.absolute(), self._root.resolve()):
                if absolute.is_relative_to(top):
                    return absolute.relative_to(top)
        other = self._elsewhere
        return absolute.relative_to(other) if other and absolute.is_relative_to(other) else None

    @cached_property
    def _elsewhere(self) -> PurePath | None:
        """The root on the machine that wrote the list: the folder relative to which most paths exist here.

        It is the same for all paths, so that no file is mistaken for another one of the same name.
        """
        found: Counter[PurePath] = Counter()
        for path in islice(filter(None, map(_absolute, self._listed())), _SAMPLED):
            found.update(
                top for top in path.parents if self._on_disk(self._root, path.relative_to(top).parts)
            )
        return max(found, key=lambda top: (found[top], -len(top.parts)), default=None)

    def _on_disk(self, top: Path, parts: tuple[str, ...]) -> tuple[str, ...] | None:
        """The parts as spelt on disk, exactly or in another Unicode form; None if they do not exist."""
        spelt = top.relative_to(self._root).parts
        begin = len(spelt)
        for part in parts:
            names = self._names(spelt)
            name = names.get(part) or names.get(unicodedata.normalize("NFC", part))
            if name is None:
                return None
            spelt = (*spelt, name)
        return spelt[begin:]

    def _names(self, folder: tuple[str, ...]) -> dict[str, str]:
        """The entries of a folder below the root, by name and by NFC form; empty if it cannot be listed."""
        if folder not in self._folders:
            self._folders[folder] = dict(_by_form(_list(self._root, folder)))
        return self._folders[folder]


def _list(root: Path, folder: tuple[str, ...]) -> list[str]:
    try:
        descriptor = open_folder(root, folder)
    except ItemError:
        return []
    try:
        return sorted(os.listdir(descriptor))
    finally:
        os.close(descriptor)


def _by_form(names: list[str]) -> Iterator[tuple[str, str]]:
    """Pairs of key and name for a dict: exact names override others with the same NFC form."""
    yield from ((unicodedata.normalize("NFC", name), name) for name in reversed(names))
    yield from ((name, name) for name in names)


def _absolute(text: str) -> PurePath | None:
    """The path if it is an absolute POSIX or Windows path."""
    if text.startswith("/"):
        return PurePosixPath(text)
    windows = PureWindowsPath(text)
    return windows if windows.is_absolute() or text.startswith("\\") else None
