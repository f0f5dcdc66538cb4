"""Decode with libsndfile from an open descriptor."""

import io
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

import numpy as np
import soundfile as sf

from core.audio.sniff import Format
from core.audio.source import Block, Samples, Source, block_frames, check_layout
from core.errors import Corrupt, Unreadable

_SF_ERR_SYSTEM = 2
# Guesses of the length that are better than this do not matter.
_GUESS_S = 0.25
_SPLICED_BUFFER_BYTES = 1 << 16


class Seekable(sf.SoundFile):  # type: ignore[misc]
    """Reads on without seeking.

    soundfile asks for the position and seeks after every block of a seekable file, which fails for a FLAC
    without a (true) length in its header.
    """

    def seekable(self) -> bool:
        return False


@contextmanager
def open_sndfile(descriptor: int, form: Format) -> Iterator[Source]:
    """The audio of an open file, from its start."""
    with open_seekable(descriptor, form) as file:
        account = form.account
        if form.demuxer == "ogg":
            account.promised_s = _duration_s(file)
        yield Source(_blocks(file), account)


def read_segment(file: Seekable, start: int, frames: int) -> Samples | None:
    """Frames `start` to `start + frames` as (T, C); None if the file does not deliver exactly these."""
    try:
        if file.seek(start) != start:
            return None
        block: Samples = file.read(frames, dtype="float32", always_2d=True)
    except sf.LibsndfileError:
        return None
    return block if len(block) == frames else None


@contextmanager
def open_seekable(descriptor: int, form: Format) -> Iterator[Seekable]:
    """The audio of an open file, for `read_segment`."""
    with ExitStack() as stack:
        if not form.head or form.is_uncounted:
            os.lseek(descriptor, form.offset, os.SEEK_SET)
            file = stack.enter_context(_open(descriptor))
            if not form.head or abs(_duration_s(file) - (form.promised_s or 0.0)) <= _GUESS_S:
                yield file
                return
        spliced = io.BufferedReader(_Spliced(descriptor, form), _SPLICED_BUFFER_BYTES)
        yield stack.enter_context(_open(spliced))


class _Spliced(io.RawIOBase):
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


def _duration_s(file: Seekable) -> float:
    return float(file.frames / file.samplerate)


def _open(source: int | BinaryIO) -> Seekable:
    try:
        file = Seekable(source, closefd=False)
    except sf.LibsndfileError as error:
        raise _explain(error) from error
    try:
        check_layout(file.samplerate, file.channels)
    except BaseException:
        file.close()
        raise
    return file


def _blocks(file: Seekable) -> Iterator[Block]:
    buffer = np.empty((block_frames(file.samplerate, file.channels), file.channels), dtype=np.float32)
    while True:
        try:
            samples = file.read(out=buffer)
        except sf.LibsndfileError as error:
            raise _explain(error) from error
        if not len(samples):
            return
        yield Block(file.samplerate, samples)


def _explain(error: sf.LibsndfileError) -> Corrupt | Unreadable:
    return Unreadable() if error.code == _SF_ERR_SYSTEM else Corrupt()
