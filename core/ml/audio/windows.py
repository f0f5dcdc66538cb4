"""Decodes only a few evenly spaced windows of a track."""

import math
from collections.abc import Iterable

import numpy as np
import soxr

from core.errors import Corrupt, UnsupportedFormat
from core.ml.audio.mixing import clip, mono
from core.ml.audio.opening import exceeds_declared_length, next_stream_start
from core.ml.audio.sndfile import Seekable, open_seekable, read_segment
from core.ml.audio.sniff import Format
from core.ml.audio.source import MIN_DURATION_S, SILENCE, Decoded, Samples
from core.ml.audio.stopwatch import Stopwatch

_CONTEXT_S = 0.1  # on either side; soxr's HQ filter needs about 10 ms from 44.1 to 16 kHz
# Read to verify the stated length of a track; fewer than the shortest track has.
_LAST_FRAMES = 2048


def window_starts(total: int, windows: int, length: int) -> list[int]:
    """First samples of the windows of `length` samples in a track of `total` samples."""
    if total >= windows * length:
        return [round((index + 0.5) * total / windows - length / 2) for index in range(windows)]
    count = max(1, math.ceil(total / length))
    return [round(index * max(0, total - length) / max(1, count - 1)) for index in range(count)]


def seek_windows(
    descriptor: int,
    fmt: Format,
    sample_rate: int,
    windows: int,
    length: int,
    max_duration_s: float,
    resampling: Stopwatch,
) -> tuple[list[Samples], Decoded] | None:
    """The windows by seeking; None in any doubt, so that the whole track is decoded instead."""
    can_seek = fmt.decoder == "sndfile" or fmt.has_fast_seek
    if not can_seek or fmt.following is not None or fmt.lost_s or fmt.ignored_bytes:
        return None
    try:
        with open_seekable(descriptor, fmt) as track:
            duration_s = float(track.frames / track.samplerate)
            if not MIN_DURATION_S <= duration_s <= max_duration_s:
                return None
            if fmt.length_check.missing_s(duration_s, track.samplerate):
                return None
            starts = window_starts(int(duration_s * sample_rate), windows, length)
            found = [_read_window(track, start, length, sample_rate, resampling) for start in starts]
            if read_segment(track, max(0, track.frames - _LAST_FRAMES), _LAST_FRAMES) is None:
                return None
        if next_stream_start(descriptor, fmt) is not None or exceeds_declared_length(descriptor, fmt):
            return None
    except (Corrupt, UnsupportedFormat):
        return None
    whole = [window for window in found if window is not None]
    if len(whole) < len(found) or max(np.abs(window).max(initial=0) for window in whole) < SILENCE:
        return None
    return whole, Decoded(duration_s)


def _read_window(
    track: Seekable, start: int, length: int, sample_rate: int, resampling: Stopwatch
) -> Samples | None:
    """One window, decoded and resampled with some context so that its edges are exact.

    Decoding starts at a frame that coincides with a resampled frame.
    """
    source_rate: int = track.samplerate
    divisor = math.gcd(source_rate, sample_rate)
    step, context = sample_rate // divisor, round(_CONTEXT_S * sample_rate)
    origin = max(0, start - context) // step * step
    first = origin * source_rate // sample_rate
    last = min(track.frames, math.ceil((start + length + context) * source_rate / sample_rate))
    block = read_segment(track, first, last - first)
    if block is None:
        return None
    samples = mono(block)
    clip(samples)
    if source_rate != sample_rate:
        with resampling.measure():
            samples = soxr.resample(samples, source_rate, sample_rate, quality="HQ")
        clip(samples)
    return samples[start - origin : start - origin + length]


def cut_windows(blocks: Iterable[Samples], starts: list[int], length: int) -> list[Samples]:
    """The windows cut from the blocks of a whole track, zero-padded beyond its end."""
    found = [np.zeros(length, dtype=np.float32) for _ in starts]
    offset = 0
    for block in blocks:
        for start, window in zip(starts, found, strict=True):
            first, last = max(start, offset), min(start + length, offset + len(block))
            if first < last:
                window[first - start : last - start] = block[first - offset : last - offset]
        offset += len(block)
    return found
