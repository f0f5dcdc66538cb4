"""Find the files that a list of tracks names, whichever machine the list was written on.

A path may have backslashes, be absolute, and be in another Unicode form than the name on disk.
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

_SAMPLED = 200  # absolute paths by which the folder is chosen that they have in common


class ListedPaths:
    """Resolves what a list names to files below a dataset's root; relative paths start at `folder`.

    `listed` gives all the paths of the list; it is called when an absolute one does not begin with the root.
    """

    def __init__(self, root: Path, folder: Path, listed: Callable[[], Iterable[str]]) -> None:
        self._root, self._folder, self._listed = root, folder, listed
        self._folders: dict[tuple[str, ...], dict[str, str]] = {}

    def resolve(self, text: str) -> Path | None:
        """The file's path, or the one it should have where no file is; None: it leads out of the root."""
        readings = self._readings(text)
        if not readings or any(not parts or ".." in parts for _, parts in readings):
            return None
        for top, parts in readings:
            if there := self._on_disk(top, parts):
                return top.joinpath(*there)
        top, parts = readings[-1]
        return top.joinpath(*parts)

    def _readings(self, text: str) -> list[tuple[Path, tuple[str, ...]]]:
        """What the path may mean: a folder and the parts below it, the likeliest first."""
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
        """What is left of an absolute path below the root, or below what was the root elsewhere."""
        if isinstance(absolute, PurePosixPath):
            for top in (self._root.absolute(), self._root.resolve()):
                if absolute.is_relative_to(top):
                    return absolute.relative_to(top)
        other = self._elsewhere
        return absolute.relative_to(other) if other and absolute.is_relative_to(other) else None

    @cached_property
    def _elsewhere(self) -> PurePath | None:
        """The folder that the root was when the list was written: below it most of the paths are found here.

        One folder for all of them, so that no file is taken for another that only has the same name.
        """
        found: Counter[PurePath] = Counter()
        for path in islice(filter(None, map(_absolute, self._listed())), _SAMPLED):
            found.update(
                top for top in path.parents if self._on_disk(self._root, path.relative_to(top).parts)
            )
        return max(found, key=lambda top: (found[top], -len(top.parts)), default=None)

    def _on_disk(self, top: Path, parts: tuple[str, ...]) -> tuple[str, ...] | None:
        """The parts as they are spelt on disk: exactly so, else in another Unicode form."""
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
        """Names in a folder below the root by themselves and by their NFC; none where it cannot be listed."""
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
    """Later pairs count: a name itself comes before another of the same NFC."""
    yield from ((unicodedata.normalize("NFC", name), name) for name in reversed(names))
    yield from ((name, name) for name in names)


def _absolute(text: str) -> PurePath | None:
    """An absolute path of either kind of system."""
    if text.startswith("/"):
        return PurePosixPath(text)
    windows = PureWindowsPath(text)
    return windows if windows.is_absolute() or text.startswith("\\") else None
