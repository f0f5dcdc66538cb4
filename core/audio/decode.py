"""Turn any audio file into mono samples at one rate, without believing its header or its name."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from itertools import chain
from typing import BinaryIO

import numpy as np
import soxr

from core.audio.mixing import clip, mono
from core.audio.pyav import open_av
from core.audio.sndfile import open_sndfile
from core.audio.sniff import Format, sniff
from core.audio.source import MIN_DURATION_S, SILENCE, Samples, Source, is_clearly_less
from core.audio.stopwatch import Stopwatch
from core.audio.windows import cut_windows, seek_windows, window_starts
from core.errors import Corrupt, Empty, Silent, TooComplex, TooLong, TooShort, Unreadable, is_machine_fault

# How many values (frames times channels) a file may hold in any case, and to each of its bytes beyond that.
# 90 minutes of stereo at 48 kHz; Opus at its lowest bit rate has 128 to the byte.
_AMPLE, _PER_BYTE = 1 << 29, 150
# 11 minutes; music in FLAC has two to five to the byte, silence thousands.
_AMPLE_IN_FLAC, _PER_BYTE_IN_FLAC = 1 << 26, 16
# Up to here a track decoded as a whole for its windows is kept in memory, above it is decoded twice.
_KEPT_S = 1800


class _Progress:
    """What was decoded so far, and whether that was worth it."""

    def __init__(self, source: Source, max_values: int, max_duration_s: float) -> None:
        self._sample_rate, self._max_duration_s = source.sample_rate, max_duration_s
        self._max_frames = max_values // source.channels
        self._frames, self._peak = 0, 0.0

    def add(self, frames: int, peak: float) -> None:
        self._frames += frames
        self._peak = max(self._peak, peak)
        if self._frames > self._max_duration_s * self._sample_rate:
            raise TooLong(f"The audio is longer than {timedelta(seconds=self._max_duration_s)}.")
        if self._frames > self._max_frames:
            raise TooComplex("The file unpacks to far more audio than music of its size could be.")

    def finish(self, promised_s: float | None) -> None:
        """Damaged comes before too short, and too short before silent."""
        duration_s = self._frames / self._sample_rate
        if promised_s is not None and is_clearly_less(duration_s, promised_s):
            raise Corrupt(f"The audio is cut off: {duration_s:.1f} s of {promised_s:.1f} s are there.")
        if not self._frames:
            raise Empty
        if duration_s < MIN_DURATION_S:
            raise TooShort(f"The audio lasts {duration_s:.2f} s; at least {MIN_DURATION_S:g} s are needed.")
        if self._peak < SILENCE:
            raise Silent


def stream(
    file: BinaryIO, sample_rate: int, *, max_duration_s: float, resampling: Stopwatch | None = None
) -> Generator[Samples, None, None]:
    """Decode a file block by block: mono float32 (T,) in [-1, 1] at `sample_rate`, about 10 s each.

    What is wrong with the file as a whole (cut off, too short, silent) is raised behind its last block.
    Works on the descriptor, whose position is kept; the file must not be read elsewhere meanwhile.
    `resampling` measures what part of the time is resampling.
    """
    with _descriptor_of(file) as descriptor:
        form = sniff(descriptor)
        with _open_source(descriptor, form) as source:
            progress = _Progress(source, _max_values(descriptor, form), max_duration_s)
            blocks = _mono_blocks(source, progress)
            yield from _resample(blocks, source.sample_rate, sample_rate, resampling or Stopwatch())
            progress.finish(source.promised_s())


def decode(file: BinaryIO, sample_rate: int, *, max_duration_s: float) -> Samples:
    """The whole track as mono float32 (T,) in [-1, 1] at `sample_rate`."""
    return np.concatenate(list(stream(file, sample_rate, max_duration_s=max_duration_s)))


def decode_windows(
    file: BinaryIO,
    sample_rate: int,
    windows: int,
    window_s: float,
    *,
    max_duration_s: float,
    resampling: Stopwatch | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
) -> tuple[list[Samples], float]:
    """Evenly spaced windows, float32 (T,) in [-1, 1] at `sample_rate`, and the track's duration in seconds.

    Each window lies in the middle of one of `windows` equal parts of the track. A track too short for that
    gives as few windows as cover it wholly (these overlap), or a single shorter one. Where all of the
    track has to be decoded, `on_progress` is told the seconds decoded so far.
    """
    length = round(window_s * sample_rate)
    clock = resampling or Stopwatch()
    with _descriptor_of(file) as descriptor:
        form = sniff(descriptor)
        found = seek_windows(descriptor, form, sample_rate, windows, length, max_duration_s, clock)
    if found:
        return found
    kept: list[Samples] = []
    total = heard = 0

    def whole() -> Iterator[Samples]:
        nonlocal heard
        for block in stream(file, sample_rate, max_duration_s=max_duration_s, resampling=clock):
            heard += len(block)
            on_progress(heard / sample_rate)
            yield block

    for block in whole():
        total += len(block)
        if total <= _KEPT_S * sample_rate:
            kept.append(block)
        else:
            kept.clear()
    blocks: Iterable[Samples] = kept or whole()
    starts = window_starts(total, windows, length)
    return cut_windows(blocks, starts, min(length, total)), total / sample_rate


@contextmanager
def _descriptor_of(file: BinaryIO) -> Iterator[int]:
    """The file's descriptor, put back to its position afterwards."""
    descriptor = file.fileno()
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        yield descriptor
    except OSError as error:
        if is_machine_fault(error):
            raise
        raise Unreadable from error
    finally:
        os.lseek(descriptor, position, os.SEEK_SET)


@contextmanager
def _open_source(descriptor: int, form: Format) -> Iterator[Source]:
    """libsndfile where it can, FFmpeg where that cannot or will not open the file, or is the slower one."""
    with ExitStack() as stack:
        if form.needs_av or form.is_opus:
            source = stack.enter_context(open_av(descriptor, form))
        else:
            try:
                source = stack.enter_context(open_sndfile(descriptor, form))
            except Corrupt:
                source = stack.enter_context(open_av(descriptor, form))
        yield source


def _max_values(descriptor: int, form: Format) -> int:
    size = os.fstat(descriptor).st_size
    if form.demuxer == "flac":
        return max(_AMPLE_IN_FLAC, _PER_BYTE_IN_FLAC * size)
    return max(_AMPLE, _PER_BYTE * size)


def _mono_blocks(source: Source, progress: _Progress) -> Iterator[Samples]:
    for block in source.blocks:
        mixed = mono(block)
        progress.add(len(mixed), peak=clip(mixed))
        yield mixed


def _resample(
    blocks: Iterator[Samples], source_rate: int, sample_rate: int, clock: Stopwatch
) -> Iterator[Samples]:
    """Blocks (T,) at another rate, seamlessly; the end of the signal comes with the last block."""
    if source_rate == sample_rate:
        yield from blocks
        return
    resampler = soxr.ResampleStream(source_rate, sample_rate, 1, dtype="float32", quality="HQ")
    for samples in chain(blocks, [None]):
        last = samples is None
        with clock.measure():
            block = resampler.resample_chunk(np.empty(0, np.float32) if last else samples, last=last)
        clip(block)
        if len(block):
            yield block
