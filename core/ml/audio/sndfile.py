"""Decoding with libsndfile from an open descriptor."""

import io
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

import numpy as np
import soundfile as sf

from core.errors import Corrupt, Unreadable
from core.ml.audio.sniff import Format
from core.ml.audio.source import Block, Samples, Source, block_frames, check_layout
from core.ml.audio.spliced import Spliced

_SF_ERR_SYSTEM = 2
_LENGTH_TOLERANCE_S = 0.25  # of libsndfile's estimate
_SPLICED_BUFFER_BYTES = 1 << 16


class Seekable(sf.SoundFile):  # type: ignore[misc]
    """A sound file that is read without seeking after each block.

    soundfile seeks after every block of a seekable file, which fails for a FLAC whose header states a wrong
    length or none.
    """

    def seekable(self) -> bool:
        return False


@contextmanager
def open_sndfile(descriptor: int, fmt: Format) -> Iterator[Source]:
    """The audio of an open file, from its start."""
    with open_seekable(descriptor, fmt) as file:
        length_check = fmt.length_check
        if fmt.demuxer == "ogg":
            length_check.declared_s = _duration_s(file)
        yield Source(_blocks(file), length_check)


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
def open_seekable(descriptor: int, fmt: Format) -> Iterator[Seekable]:
    """The audio of an open file, for `read_segment`."""
    with ExitStack() as stack:
        if not fmt.head or fmt.has_no_xing:
            os.lseek(descriptor, fmt.offset, os.SEEK_SET)
            file = stack.enter_context(_open(descriptor))
            if not fmt.head or abs(_duration_s(file) - (fmt.declared_s or 0.0)) <= _LENGTH_TOLERANCE_S:
                yield file
                return
        spliced = io.BufferedReader(Spliced(descriptor, fmt), _SPLICED_BUFFER_BYTES)
        yield stack.enter_context(_open(spliced))


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
