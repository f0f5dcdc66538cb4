"""A part of a file behind headers that are not in the file."""

import io
import os
from typing import Any

from core.ml.audio.sniff import Format


class Spliced(io.RawIOBase):
    """The stream behind a head that tells its length; libsndfile would stop at the length it guesses."""

    def __init__(self, descriptor: int, form: Format) -> None:
        self._head = form.head
        self._descriptor, self._offset = descriptor, form.offset
        self._end = os.fstat(descriptor).st_size if form.end is None else form.end
        self._length = len(self._head) + self._end - form.offset
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        behind = self._position - len(self._head)
        if behind < 0:
            data = self._head[self._position :][: len(buffer)]
        else:
            length = max(0, min(len(buffer), self._length - self._position))
            data = os.pread(self._descriptor, length, self._offset + behind)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        self._position = max(0, start + position)
        return self._position
