"""The interface of all decoders: blocks of audio, and a check of the decoded length."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.errors import Corrupt, UnsupportedFormat
from core.ml.audio.waveform import Waveform

Samples = npt.NDArray[np.float32]

BLOCK_S = 10

MIN_DURATION_S = 1.0
SILENCE = 1e-4  # -80 dBFS: below the noise of any recording, above the dither of digital silence

MAX_CHANNELS = 8
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 384_000
MAX_DSD_SAMPLE_RATE = 2_822_400  # of DSD512 as decoded by FFmpeg, which keeps one sample of eight
_MAX_BLOCK_VALUES = 1 << 22

# Tolerated difference from the declared length: lossy encoders add up to two frames at either end, which
# some decoders remove.
_TOLERANCE_S, _TOLERANCE_SAMPLES = 0.1, 4096
_EXACT_TOLERANCE_S = 1e-3


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of audio; the samples are valid only until the next block is taken."""

    sample_rate: int
    samples: Samples  # (T, C)


@dataclass
class LengthCheck:
    """Declared and lost duration of a stream; complete after the last block."""

    declared_s: float | None = None  # length by the file; None if not stated or implausible
    lost_s: float = 0.0  # audio that the decoder could not decode
    is_exact: bool = False  # the file states the number of samples
    is_truncated: bool = False  # the file is cut off and does not state its length
    lost_is_complete: bool = False  # `lost_s` is exact, so the declared length is not to be compared
    cut_share: float = 0.0  # ratio of missing to present bytes

    def missing_s(self, decoded_s: float, sample_rate: int) -> float:
        """Seconds of missing audio."""
        short_s = (self.declared_s or 0.0) - decoded_s
        if short_s <= (
            _EXACT_TOLERANCE_S if self.is_exact else max(_TOLERANCE_S, _TOLERANCE_SAMPLES / sample_rate)
        ):
            short_s = 0.0
        return max(self.lost_s, short_s, self.cut_share * decoded_s)


@dataclass(frozen=True, slots=True)
class Source:
    """Audio being decoded. Sample rate and channels may change between blocks."""

    blocks: Iterator[Block]
    length_check: LengthCheck


@dataclass(frozen=True, slots=True)
class Decoded:
    """The result of decoding a whole track."""

    duration_s: float
    warnings: tuple[str, ...] = ()  # sentences about missing audio
    waveform: Waveform | None = None  # if it was asked for


def block_frames(sample_rate: int, channels: int) -> int:
    """Frames per block: about `BLOCK_S` seconds, fewer if that would take too much memory."""
    return min(BLOCK_S * sample_rate, _MAX_BLOCK_VALUES // channels)


def check_layout(sample_rate: int, channels: int, most: int = MAX_SAMPLE_RATE) -> None:
    """Raise Corrupt or UnsupportedFormat for implausible layouts: forged headers must not exhaust memory."""
    if sample_rate <= 0 or channels <= 0:
        raise Corrupt
    if channels > MAX_CHANNELS:
        raise UnsupportedFormat(f"The audio has {channels} channels; at most {MAX_CHANNELS} are supported.")
    if not MIN_SAMPLE_RATE <= sample_rate <= most:
        raise UnsupportedFormat(f"A sample rate of {sample_rate} Hz is not supported.")
