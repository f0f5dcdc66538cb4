"""A part of a file with other headers prepended."""

import io
import os
from typing import Any

from core.ml.audio.sniff import Format


class Spliced(io.RawIOBase):
    """A stream behind a header that states its true length, for libsndfile."""

    def __init__(self, descriptor: int, fmt: Format) -> None:
        self._head = fmt.head
        self._descriptor, self._offset = descriptor, fmt.offset
        self._end = os.fstat(descriptor).st_size if fmt.end is None else fmt.end
        self._length = len(self._head) + self._end - fmt.offset
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        after = self._position - len(self._head)
        if after < 0:
            data = self._head[self._position :][: len(buffer)]
        else:
            length = max(0, min(len(buffer), self._length - self._position))
            data = os.pread(self._descriptor, length, self._offset + after)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        self._position = max(0, start + position)
        return self._position
