"""Channels to one, values to [-1, 1]."""

import math

import numpy as np

from core.errors import Corrupt
from core.ml.audio.source import Samples

# Channels cancel each other when their mean has less than this share of the power of the loudest. One channel
# of eight that sounds alone leaves 1/64 of it.
_CANCELLED = 1e-2
_LOOK_AT_EVERY = 61
_ABSURD = 1e9  # no scale of samples is that large; sums of such values overflow


def mono(block: Samples) -> Samples:
    """(T, C) -> (T,): the mean over the channels, or the loudest where these cancel each other.

    numpy's own mean(axis=1) takes ten times as long.
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
    """The loudest channel of a block whose channels cancel each other; None: they do not.

    A few samples rule that out for nearly all blocks; where they do not, all of them decide.
    """
    if _loudest_if_cancelled(mixed[::_LOOK_AT_EVERY], block[::_LOOK_AT_EVERY]) is None:
        return None
    return _loudest_if_cancelled(mixed, block)


def _loudest_if_cancelled(mixed: Samples, block: Samples) -> int | None:
    powers = np.einsum("tc,tc->c", block, block)
    loudest = int(powers.argmax())
    return loudest if float(mixed @ mixed) < _CANCELLED * float(powers[loudest]) else None


def without_non_numbers(block: Samples) -> Samples:
    """(T, C) without the frames that hold NaN, infinity or absurd values."""
    kept: Samples = block[(np.abs(block) < _ABSURD).all(axis=1)]
    return kept


def clip(samples: Samples) -> float:
    """Clip to [-1, 1] in place; returns the peak before that. Refuses samples that are no numbers."""
    peak = float(max(samples.max(initial=0), -samples.min(initial=0)))
    if not math.isfinite(peak):
        raise Corrupt("The audio holds values that are not numbers.")
    if peak > 1:
        np.clip(samples, -1, 1, out=samples)
    return peak
