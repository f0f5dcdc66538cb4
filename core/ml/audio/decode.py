"""Decodes any audio file to mono samples at one rate, without trusting its header or name."""

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
from core.ml.audio.damage import check_damage
from core.ml.audio.mixing import clip, mono, without_invalid_frames
from core.ml.audio.opening import next_stream_start, open_source
from core.ml.audio.sniff import Format, sniff
from core.ml.audio.source import MIN_DURATION_S, SILENCE, Block, Decoded, Samples
from core.ml.audio.stopwatch import Stopwatch
from core.ml.audio.windows import cut_windows, seek_windows, window_starts

# Limits on decoded values (frames times channels) against decompression bombs: the larger of a constant and
# a multiple of the file's bytes. 2^29 values are 90 minutes of stereo at 48 kHz; Opus at its lowest bit rate
# has 128 values per byte.
_MIN_VALUE_LIMIT, _VALUES_PER_BYTE = 1 << 29, 150
# 11 minutes; music in FLAC has two to five values per byte, silence thousands.
_MIN_VALUE_LIMIT_FLAC, _VALUES_PER_BYTE_FLAC = 1 << 26, 16
# A longer track that must be decoded whole for its windows is decoded twice instead of kept in memory.
_MAX_KEPT_S = 1800
_MAX_STREAMS = 10_000


class _Totals:
    """Totals of the decoded audio, checked against the limits."""

    def __init__(self, max_values: int, max_duration_s: float) -> None:
        self._max_values, self._max_duration_s = max_values, max_duration_s
        self._values, self._peak = 0, 0.0
        self.decoded_s = self.missing_s = 0.0
        self.is_truncated = False
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
        """The warnings. Raises Corrupt, Empty, TooShort or Silent, in this order of precedence."""
        warnings = check_damage(self.decoded_s, self.missing_s, is_truncated=self.is_truncated)
        if not self.decoded_s:
            raise Empty
        if self.decoded_s < MIN_DURATION_S:
            raise TooShort(
                f"The audio lasts {self.decoded_s:.2f} s; at least {MIN_DURATION_S:g} s are needed."
            )
        if self._peak < SILENCE:
            raise Silent
        if self.ignored_bytes:
            warnings += (f"{self.ignored_bytes} bytes after the stated end of the audio are not decoded.",)
        return warnings


def stream(
    file: BinaryIO, sample_rate: int, *, max_duration_s: float, resampling: Stopwatch | None = None
) -> Generator[Samples, None, Decoded]:
    """Decode a file in blocks of about 10 s: mono float32 (T,) in [-1, 1] at `sample_rate`.

    Errors of the file as a whole (cut off, too short, silent) are raised after its last block.
    Works on the descriptor and restores its position; the file must not be read concurrently.
    `resampling` measures the CPU time of resampling.
    """
    samples = 0
    with _descriptor_of(file) as descriptor:
        fmt = sniff(descriptor)
        totals = _Totals(_max_values(descriptor, fmt), max_duration_s)
        blocks = _mono_blocks(descriptor, fmt, totals)
        for block in _resample(blocks, sample_rate, resampling or Stopwatch()):
            samples += len(block)
            yield block
        return Decoded(samples / sample_rate, totals.finish())


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
    """Evenly spaced windows, float32 (T,) in [-1, 1] at `sample_rate`, and the track's duration and warnings.

    Each window is centred in one of `windows` equal parts of the track. A track too short for that gives the
    smallest number of overlapping windows that cover it, or a single shorter one. If the whole track must be
    decoded, `on_progress` is called with the seconds decoded so far.
    """
    length = round(window_s * sample_rate)
    clock = resampling or Stopwatch()
    with _descriptor_of(file) as descriptor:
        fmt = sniff(descriptor)
        found = seek_windows(descriptor, fmt, sample_rate, windows, length, max_duration_s, clock)
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
        if total <= _MAX_KEPT_S * sample_rate:
            kept.append(block)
        else:
            kept.clear()
    blocks: Iterable[Samples] = kept or whole()
    starts = window_starts(total, windows, length)
    cut = cut_windows(blocks, starts, min(length, total))
    return cut, Decoded(total / sample_rate, warnings)


@contextmanager
def _descriptor_of(file: BinaryIO) -> Iterator[int]:
    """The file's descriptor, whose position is restored afterwards. Read errors raise Unreadable."""
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


def _max_values(descriptor: int, fmt: Format) -> int:
    size = os.fstat(descriptor).st_size
    if fmt.demuxer == "flac":
        return max(_MIN_VALUE_LIMIT_FLAC, _VALUES_PER_BYTE_FLAC * size)
    return max(_MIN_VALUE_LIMIT, _VALUES_PER_BYTE * size)


def _mono_blocks(descriptor: int, fmt: Format, totals: _Totals) -> Iterator[tuple[int, Samples]]:
    """Sample rate and samples (T,) of all concatenated streams of a file."""
    size = os.fstat(descriptor).st_size
    for _ in range(_MAX_STREAMS):
        before_s = totals.decoded_s
        try:
            yield from _blocks_of_stream(descriptor, fmt, totals)
        except (Corrupt, UnsupportedFormat):
            if not before_s:
                raise
            expected_s = (
                before_s * ((fmt.end or size) - fmt.offset) / fmt.offset
            )  # at the average bit rate so far
            totals.missing_s += max(0.0, expected_s - (totals.decoded_s - before_s))
        start = next_stream_start(descriptor, fmt)
        if start is None:
            return
        try:
            fmt = sniff(descriptor, start)
        except ItemError:
            totals.missing_s += totals.decoded_s * (size - start) / start  # at the average bit rate so far
            return


def _blocks_of_stream(descriptor: int, fmt: Format, totals: _Totals) -> Iterator[tuple[int, Samples]]:
    before_s, dropped_s, sample_rate = totals.decoded_s, 0.0, 1
    totals.ignored_bytes += fmt.ignored_bytes
    with open_source(descriptor, fmt) as source:
        for block in source.blocks:
            sample_rate = block.sample_rate
            mixed = mono(block.samples)
            if not np.isfinite(mixed.sum()):
                kept = without_invalid_frames(block.samples)
                dropped_s += (len(block.samples) - len(kept)) / sample_rate
                block, mixed = Block(sample_rate, kept), mono(kept)
            totals.add(block, peak=clip(mixed))
            yield sample_rate, mixed
        there_s = totals.decoded_s - before_s + dropped_s
        totals.missing_s += dropped_s + source.length_check.missing_s(there_s, sample_rate)
        totals.is_truncated = source.length_check.is_truncated


def _resample(blocks: Iterator[tuple[int, Samples]], sample_rate: int, clock: Stopwatch) -> Iterator[Samples]:
    """Resample blocks (T,), seamlessly as long as their rate stays the same."""
    resampler: soxr.ResampleStream | None = None
    source_rate = sample_rate
    for rate, samples in blocks:
        if rate != source_rate:
            yield from _flush(resampler, clock)
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
    yield from _flush(resampler, clock)


def _flush(resampler: soxr.ResampleStream | None, clock: Stopwatch) -> Iterator[Samples]:
    """The last samples held in a resampler."""
    if resampler is None:
        return
    with clock.measure():
        block = resampler.resample_chunk(np.empty(0, np.float32), last=True)
    clip(block)
    if len(block):
        yield block
