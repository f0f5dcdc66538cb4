"""How loud a track is from beginning to end, for a picture of its waveform."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from core.ml.audio.source import Decoded, Samples

MOST_BINS = 1024  # in a finished waveform; of audio longer than some seconds at least half as many
_FIRST_WIDTH = 64  # samples
_FULL = 255  # the level 1 as a byte


@dataclass(frozen=True)
class Waveform:
    """Levels of successive bins (N,) as bytes, 255 for full scale; the last bin may be shorter."""

    duration_s: float
    bin_s: float
    peaks: bytes  # highest absolute sample
    rms: bytes  # root of the mean square


class WaveformBuilder:
    """Reduces samples of unknown number to bins: pairs of bins become one whenever there are too many."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._width = _FIRST_WIDTH
        self._samples = 0
        self._peaks = np.empty(0, np.float32)  # of full bins
        self._energies = np.empty(0, np.float32)  # sums of squares
        # The bin that is being filled.
        self._filled, self._peak, self._energy = 0, 0.0, 0.0

    def push(self, samples: "Samples") -> None:
        """Add the next samples (T,) in [-1, 1]."""
        self._samples += len(samples)
        if self._filled:
            missing = self._width - self._filled
            self._fill(samples[:missing])
            samples = samples[missing:]
            if self._filled == self._width:
                self._close_bin()
        whole = len(samples) // self._width * self._width
        if whole:
            bins = samples[:whole].reshape(-1, self._width)
            self._append(np.maximum(bins.max(axis=1), -bins.min(axis=1)), np.einsum("nt,nt->n", bins, bins))
        self._fill(samples[whole:])
        while len(self._peaks) >= MOST_BINS:
            self._halve()

    def finish(self) -> Waveform:
        """The waveform of all samples, of which there must be any."""
        widths = np.full(len(self._peaks), self._width)
        if self._filled:
            widths = np.append(widths, self._filled)
            self._close_bin()
        return Waveform(
            self._samples / self._sample_rate,
            self._width / self._sample_rate,
            _as_bytes(self._peaks),
            _as_bytes(np.sqrt(self._energies / widths)),
        )

    def _fill(self, samples: "Samples") -> None:
        if len(samples):
            self._filled += len(samples)
            self._peak = max(self._peak, float(np.abs(samples).max()))
            self._energy += float(samples @ samples)

    def _close_bin(self) -> None:
        self._append(np.array([self._peak], np.float32), np.array([self._energy], np.float32))
        self._filled, self._peak, self._energy = 0, 0.0, 0.0

    def _append(self, peaks: npt.NDArray[np.float32], energies: npt.NDArray[np.float32]) -> None:
        self._peaks = np.concatenate((self._peaks, peaks))
        self._energies = np.concatenate((self._energies, energies))

    def _halve(self) -> None:
        if len(self._peaks) % 2:  # the last bin becomes the beginning of the one that is being filled
            self._filled += self._width
            self._peak = max(self._peak, float(self._peaks[-1]))
            self._energy += float(self._energies[-1])
        pairs = len(self._peaks) // 2
        self._peaks = self._peaks[: 2 * pairs].reshape(pairs, 2).max(axis=1)
        self._energies = self._energies[: 2 * pairs].reshape(pairs, 2).sum(axis=1)
        self._width *= 2


def _as_bytes(levels: npt.NDArray[np.float32]) -> bytes:
    return np.round(np.clip(levels, 0, 1) * _FULL).astype(np.uint8).tobytes()


def with_waveform(
    pieces: Generator["Samples", None, "Decoded"], sample_rate: int
) -> Generator["Samples", None, "Decoded"]:
    """Pass the pieces of a whole track on, and add its waveform to what is known of it in the end."""
    builder = WaveformBuilder(sample_rate)
    with closing(pieces):
        while True:
            try:
                piece = next(pieces)
            except StopIteration as stop:
                decoded: Decoded = stop.value
                return replace(decoded, waveform=builder.finish())
            builder.push(piece)
            yield piece
