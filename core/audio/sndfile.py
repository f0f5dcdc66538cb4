"""Decode with libsndfile from an open descriptor."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO

import numpy as np
import soundfile as sf

from core.audio import mpeg
from core.audio.sniff import Format
from core.audio.source import Samples, Source, block_frames, check_layout
from core.errors import Corrupt, Unreadable

_SF_ERR_SYSTEM = 2
# Guesses of the length that are better than this do not matter.
_GUESS_S = 0.25
_COPY_BYTES = 1 << 20


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
        promised_s = _duration_s(file) if form.demuxer == "ogg" else form.promised_s
        yield Source(file.samplerate, file.channels, _blocks(file), lambda: promised_s)


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
        file = stack.enter_context(_open(descriptor, form.offset))
        if form.is_uncounted and form.promised_s and abs(_duration_s(file) - form.promised_s) > _GUESS_S:
            copy = stack.enter_context(_counted_copy(descriptor, form, file.samplerate))
            file = stack.enter_context(_open(copy.fileno(), 0))
        yield file


@contextmanager
def _counted_copy(descriptor: int, form: Format, sample_rate: int) -> Iterator[IO[bytes]]:
    """The stream behind a frame that tells its length; libsndfile would stop at the length it guesses."""
    first = os.pread(descriptor, 4, form.offset)
    frame = mpeg.parse_frame(first)
    assert frame is not None
    assert form.promised_s is not None
    with tempfile.TemporaryFile() as copy:
        copy.write(mpeg.counting_frame(first, round(form.promised_s * sample_rate / frame.samples)))
        offset = form.offset
        while part := os.pread(descriptor, _COPY_BYTES, offset):
            copy.write(part)
            offset += len(part)
        copy.flush()
        yield copy


def _duration_s(file: Seekable) -> float:
    return float(file.frames / file.samplerate)


def _open(descriptor: int, offset: int) -> Seekable:
    os.lseek(descriptor, offset, os.SEEK_SET)
    try:
        file = Seekable(descriptor, closefd=False)
    except sf.LibsndfileError as error:
        raise _explain(error) from error
    try:
        check_layout(file.samplerate, file.channels)
    except BaseException:
        file.close()
        raise
    return file


def _blocks(file: Seekable) -> Iterator[Samples]:
    buffer = np.empty((block_frames(file.samplerate, file.channels), file.channels), dtype=np.float32)
    while True:
        try:
            block = file.read(out=buffer)
        except sf.LibsndfileError as error:
            raise _explain(error) from error
        if not len(block):
            return
        yield block


def _explain(error: sf.LibsndfileError) -> Corrupt | Unreadable:
    return Unreadable() if error.code == _SF_ERR_SYSTEM else Corrupt()
