"""What every decoder hands over: the layout of the audio and its blocks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.errors import Corrupt, UnsupportedFormat

Samples = npt.NDArray[np.float32]

BLOCK_S = 10
# How much less than promised still counts as whole. Encoder delay, padding and off-by-one frame counts are
# below 0.1 s; 5 % is what a label can do without.
_TOLERANCE = 0.05
_MIN_TOLERANCE_S = 0.25

MIN_DURATION_S = 1.0
SILENCE = 1e-4  # -80 dBFS: below the noise of any recording, above the dither of digital silence

MAX_CHANNELS = 8
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 384_000
_MAX_BLOCK_VALUES = 1 << 22


@dataclass(frozen=True, slots=True)
class Source:
    """Audio being decoded: blocks of (T, C) float32; a block is valid only until the next one is taken."""

    sample_rate: int
    channels: int
    blocks: Iterator[Samples]
    promised_s: Callable[[], float | None]  # the length that the file claims, asked behind the last block


def block_frames(sample_rate: int, channels: int) -> int:
    """Frames per block: about `BLOCK_S` seconds, fewer where that would take much memory."""
    return min(BLOCK_S * sample_rate, _MAX_BLOCK_VALUES // channels)


def check_layout(sample_rate: int, channels: int) -> None:
    """Refuse layouts that no music has: a forged header must not decide how much memory is taken."""
    if sample_rate <= 0 or channels <= 0:
        raise Corrupt
    if channels > MAX_CHANNELS:
        raise UnsupportedFormat(f"The audio has {channels} channels; at most {MAX_CHANNELS} are supported.")
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise UnsupportedFormat(f"A sample rate of {sample_rate} Hz is not supported.")


def is_clearly_less(duration_s: float, promised_s: float) -> bool:
    """Whether so much of the promised length is missing that the file must be damaged."""
    return promised_s - duration_s > max(_MIN_TOLERANCE_S, _TOLERANCE * promised_s)
