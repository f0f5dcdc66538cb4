"""Mixes channels down to mono, and clips values to [-1, 1]."""

import math

import numpy as np

from core.errors import Corrupt
from core.ml.audio.source import Samples

# Channels cancel each other if their mean has less than this share of the power of the loudest channel. If
# only one of eight channels has sound, the share is 1/64.
_CANCELLED = 1e-2
_SAMPLE_EVERY = 61
_MAX_VALUE = 1e9  # larger than any scale of samples; sums of larger values would overflow


def mono(block: Samples) -> Samples:
    """(T, C) -> (T,): the mean over the channels, or the loudest channel if they cancel each other.

    Ten times faster than `mean(axis=1)`.
    """
    channels = block.shape[1]
    if channels == 1:
        return block[:, 0].copy()
    mixed: Samples = block[:, 0] + block[:, 1]
    for channel in range(2, channels):
        mixed += block[:, channel]
    mixed *= np.float32(1 / channels)
    loudest = _cancelled_by(mixed, block)
    return mixed if loudest is None else block[:, loudest].copy()


def _cancelled_by(mixed: Samples, block: Samples) -> int | None:
    """The loudest channel of a block whose channels cancel each other; None if they do not.

    A few samples rule out cancellation for nearly all blocks; otherwise all samples are used.
    """
    if _loudest_if_cancelled(mixed[::_SAMPLE_EVERY], block[::_SAMPLE_EVERY]) is None:
        return None
    return _loudest_if_cancelled(mixed, block)


def _loudest_if_cancelled(mixed: Samples, block: Samples) -> int | None:
    powers = np.einsum("tc,tc->c", block, block)
    loudest = int(powers.argmax())
    return loudest if float(mixed @ mixed) < _CANCELLED * float(powers[loudest]) else None


def without_invalid_frames(block: Samples) -> Samples:
    """(T, C) without frames that hold NaN, infinity or values beyond `_MAX_VALUE`."""
    kept: Samples = block[(np.abs(block) < _MAX_VALUE).all(axis=1)]
    return kept


def clip(samples: Samples) -> float:
    """Clip to [-1, 1] in place and return the original peak. Raises Corrupt for non-finite values."""
    peak = float(max(samples.max(initial=0), -samples.min(initial=0)))
    if not math.isfinite(peak):
        raise Corrupt("The audio holds values that are not numbers.")
    if peak > 1:
        np.clip(samples, -1, 1, out=samples)
    return peak
