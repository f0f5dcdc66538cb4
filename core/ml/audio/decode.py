"""Turn any audio file into mono samples at one rate, without believing its header or its name."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import BinaryIO

import numpy as np
import soxr

from core.errors import (
    Corrupt,
    Empty,
    ItemError,
    Silent,
    TooComplex,
    TooLong,
    TooShort,
    Unreadable,
    UnsupportedFormat,
    is_machine_fault,
)
from core.ml.audio.damage import judge
from core.ml.audio.mixing import clip, mono, without_non_numbers
from core.ml.audio.opening import following_stream, open_source
from core.ml.audio.sniff import Format, sniff
from core.ml.audio.source import MIN_DURATION_S, SILENCE, Block, Decoded, Samples
from core.ml.audio.stopwatch import Stopwatch
from core.ml.audio.windows import cut_windows, seek_windows, window_starts

# How many values (frames times channels) a file may hold in any case, and to each of its bytes beyond that.
# 90 minutes of stereo at 48 kHz; Opus at its lowest bit rate has 128 to the byte.
_AMPLE, _PER_BYTE = 1 << 29, 150
# 11 minutes; music in FLAC has two to five to the byte, silence thousands.
_AMPLE_IN_FLAC, _PER_BYTE_IN_FLAC = 1 << 26, 16
# Up to here a track decoded as a whole for its windows is kept in memory, above it is decoded twice.
_KEPT_S = 1800
_MOST_STREAMS = 10_000


class _Tally:
    """What was decoded so far, and whether that was worth it."""

    def __init__(self, max_values: int, max_duration_s: float) -> None:
        self._max_values, self._max_duration_s = max_values, max_duration_s
        self._values, self._peak = 0, 0.0
        self.decoded_s = self.missing_s = 0.0
        self.breaks_off = False
        self.ignored_bytes = 0

    def add(self, block: Block, peak: float) -> None:
        self._values += block.samples.size
        self._peak = max(self._peak, peak)
        self.decoded_s += len(block.samples) / block.sample_rate
        if self.decoded_s > self._max_duration_s:
            raise TooLong(f"The audio is longer than {timedelta(seconds=self._max_duration_s)}.")
        if self._values > self._max_values:
            raise TooComplex("The file unpacks to far more audio than music of its size could be.")

    def finish(self) -> tuple[str, ...]:
        """Warnings, or an error: damaged comes before too short, and too short before silent."""
        warnings = judge(self.decoded_s, self.missing_s, breaks_off=self.breaks_off)
        if not self.decoded_s:
            raise Empty
        if self.decoded_s < MIN_DURATION_S:
            raise TooShort(
                f"The audio lasts {self.decoded_s:.2f} s; at least {MIN_DURATION_S:g} s are needed."
            )
        if self._peak < SILENCE:
            raise Silent
        if self.ignored_bytes:
            warnings += (f"{self.ignored_bytes} bytes behind the stated end of the audio are not decoded.",)
        return warnings


def stream(
    file: BinaryIO, sample_rate: int, *, max_duration_s: float, resampling: Stopwatch | None = None
) -> Generator[Samples, None, Decoded]:
    """Decode a file block by block: mono float32 (T,) in [-1, 1] at `sample_rate`, about 10 s each.

    What is wrong with the file as a whole (cut off, too short, silent) is raised behind its last block.
    Works on the descriptor, whose position is kept; the file must not be read elsewhere meanwhile.
    `resampling` measures what part of the time is resampling.
    """
    samples = 0
    with _descriptor_of(file) as descriptor:
        form = sniff(descriptor)
        tally = _Tally(_max_values(descriptor, form), max_duration_s)
        blocks = _mono_blocks(descriptor, form, tally)
        for block in _resample(blocks, sample_rate, resampling or Stopwatch()):
            samples += len(block)
            yield block
        return Decoded(samples / sample_rate, tally.finish())


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
) -> tuple[list[Samples], Decoded]:
    """Evenly spaced windows, float32 (T,) in [-1, 1] at `sample_rate`, and what is known of the track.

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
    total = decoded = 0
    warnings: tuple[str, ...] = ()

    def whole() -> Iterator[Samples]:
        nonlocal decoded, warnings
        blocks = stream(file, sample_rate, max_duration_s=max_duration_s, resampling=clock)
        while True:
            try:
                block = next(blocks)
            except StopIteration as stop:
                warnings = stop.value.warnings
                return
            decoded += len(block)
            on_progress(decoded / sample_rate)
            yield block

    for block in whole():
        total += len(block)
        if total <= _KEPT_S * sample_rate:
            kept.append(block)
        else:
            kept.clear()
    blocks: Iterable[Samples] = kept or whole()
    starts = window_starts(total, windows, length)
    cut = cut_windows(blocks, starts, min(length, total))
    return cut, Decoded(total / sample_rate, warnings)


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


def _max_values(descriptor: int, form: Format) -> int:
    size = os.fstat(descriptor).st_size
    if form.demuxer == "flac":
        return max(_AMPLE_IN_FLAC, _PER_BYTE_IN_FLAC * size)
    return max(_AMPLE, _PER_BYTE * size)


def _mono_blocks(descriptor: int, form: Format, tally: _Tally) -> Iterator[tuple[int, Samples]]:
    """Sample rate and samples (T,) of all streams that follow each other in a file."""
    size = os.fstat(descriptor).st_size
    for _ in range(_MOST_STREAMS):
        before_s = tally.decoded_s
        try:
            yield from _blocks_of_stream(descriptor, form, tally)
        except (Corrupt, UnsupportedFormat):
            if not before_s:
                raise
            expected_s = before_s * ((form.end or size) - form.offset) / form.offset  # at the bit rate so far
            tally.missing_s += max(0.0, expected_s - (tally.decoded_s - before_s))
        start = following_stream(descriptor, form)
        if start is None:
            return
        try:
            form = sniff(descriptor, start)
        except ItemError:
            tally.missing_s += tally.decoded_s * (size - start) / start  # at the bit rate of what came before
            return


def _blocks_of_stream(descriptor: int, form: Format, tally: _Tally) -> Iterator[tuple[int, Samples]]:
    before_s, dropped_s, sample_rate = tally.decoded_s, 0.0, 1
    tally.ignored_bytes += form.ignored_bytes
    with open_source(descriptor, form) as source:
        for block in source.blocks:
            sample_rate = block.sample_rate
            mixed = mono(block.samples)
            if not np.isfinite(mixed.sum()):
                kept = without_non_numbers(block.samples)
                dropped_s += (len(block.samples) - len(kept)) / sample_rate
                block, mixed = Block(sample_rate, kept), mono(kept)
            tally.add(block, peak=clip(mixed))
            yield sample_rate, mixed
        there_s = tally.decoded_s - before_s + dropped_s
        tally.missing_s += dropped_s + source.account.missing_s(there_s, sample_rate)
        tally.breaks_off = source.account.breaks_off


def _resample(blocks: Iterator[tuple[int, Samples]], sample_rate: int, clock: Stopwatch) -> Iterator[Samples]:
    """Blocks (T,) at another rate, seamlessly as long as their own rate stays the same."""
    resampler: soxr.ResampleStream | None = None
    source_rate = sample_rate
    for rate, samples in blocks:
        if rate != source_rate:
            yield from _last_of(resampler, clock)
            source_rate = rate
            resampler = None
            if rate != sample_rate:
                resampler = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
        if resampler is None:
            yield samples
            continue
        with clock.measure():
            block = resampler.resample_chunk(samples)
        clip(block)
        if len(block):
            yield block
    yield from _last_of(resampler, clock)


def _last_of(resampler: soxr.ResampleStream | None, clock: Stopwatch) -> Iterator[Samples]:
    """What a resampler still holds back."""
    if resampler is None:
        return
    with clock.measure():
        block = resampler.resample_chunk(np.empty(0, np.float32), last=True)
    clip(block)
    if len(block):
        yield block
