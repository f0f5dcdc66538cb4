"""A file-like view of a part of an open file."""

import os


class Window:
    """The bytes [start, end) of an open file, without moving its position, or of bytes in memory."""

    def __init__(self, source: int | bytes, start: int = 0, end: int | None = None) -> None:
        whole = len(source) if isinstance(source, bytes) else os.fstat(source).st_size
        self._source, self._start = source, start
        self.size = max(0, min(whole, whole if end is None else end) - start)
        self._position = 0

    def at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer at the end."""
        length = min(length, self.size - offset)
        if offset < 0 or length <= 0:
            return b""
        place = self._start + offset
        if isinstance(self._source, bytes):
            return self._source[place : place + length]
        return os.pread(self._source, length, place)

    def part(self, start: int, end: int) -> "Window":
        """The bytes [start, end) of this window."""
        return Window(self._source, self._start + start, self._start + min(end, self.size))

    def read(self, length: int = -1) -> bytes:
        data = self.at(self._position, self.size if length < 0 else length)
        self._position += len(data)
        return data

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, base + position)
        return self._position

    def tell(self) -> int:
        return self._position
