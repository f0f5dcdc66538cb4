"""What every decoder hands over: blocks of audio, and an account of what should have been there."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.errors import Corrupt, UnsupportedFormat

Samples = npt.NDArray[np.float32]

BLOCK_S = 10

MIN_DURATION_S = 1.0
SILENCE = 1e-4  # -80 dBFS: below the noise of any recording, above the dither of digital silence

MAX_CHANNELS = 8
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 384_000
MAX_DSD_SAMPLE_RATE = 2_822_400  # of DSD512 behind FFmpeg's decoder, which leaves one sample of eight
_MAX_BLOCK_VALUES = 1 << 22

# How much less than promised still is all of it: lossy encoders add up to two frames to either end, which
# some decoders remove.
_SLACK_S, _SLACK_SAMPLES = 0.1, 4096
_EXACT_SLACK_S = 1e-3


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of audio; the samples are valid only until the next block is taken."""

    sample_rate: int
    samples: Samples  # (T, C)


@dataclass
class Account:
    """What a stream promises and what of it was lost; complete behind the last block."""

    promised_s: float | None = None  # the length that the file claims; None: nothing believable
    lost_s: float = 0.0  # what the decoder knows that it could not decode
    is_exact: bool = False  # the promise counts the samples themselves
    breaks_off: bool = False  # the file ends in the middle, and nothing tells how far it went
    is_all_lost: bool = False  # `lost_s` is all that is missing, whatever other decoders take for the promise
    cut_share: float = 0.0  # bytes that are cut off for each that is there

    def missing_s(self, decoded_s: float, sample_rate: int) -> float:
        """Seconds that should be there and are not."""
        short_s = (self.promised_s or 0.0) - decoded_s
        if short_s <= (_EXACT_SLACK_S if self.is_exact else max(_SLACK_S, _SLACK_SAMPLES / sample_rate)):
            short_s = 0.0
        return max(self.lost_s, short_s, self.cut_share * decoded_s)


@dataclass(frozen=True, slots=True)
class Source:
    """Audio being decoded. Sample rate and channels may change from one block to the next."""

    blocks: Iterator[Block]
    account: Account


@dataclass(frozen=True, slots=True)
class Decoded:
    """What is known of a track when its last sample has been decoded."""

    duration_s: float
    warnings: tuple[str, ...] = ()  # sentences on what of the audio is missing


def block_frames(sample_rate: int, channels: int) -> int:
    """Frames per block: about `BLOCK_S` seconds, fewer where that would take much memory."""
    return min(BLOCK_S * sample_rate, _MAX_BLOCK_VALUES // channels)


def check_layout(sample_rate: int, channels: int, most: int = MAX_SAMPLE_RATE) -> None:
    """Refuse layouts that no music has: a forged header must not decide how much memory is taken."""
    if sample_rate <= 0 or channels <= 0:
        raise Corrupt
    if channels > MAX_CHANNELS:
        raise UnsupportedFormat(f"The audio has {channels} channels; at most {MAX_CHANNELS} are supported.")
    if not MIN_SAMPLE_RATE <= sample_rate <= most:
        raise UnsupportedFormat(f"A sample rate of {sample_rate} Hz is not supported.")
