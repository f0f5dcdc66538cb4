"""Waveforms: exact levels of equal bins, however the samples arrive."""

from collections.abc import Generator

import numpy as np
import pytest

from core.ml.audio.source import Decoded
from core.ml.audio.waveform import MOST_BINS, Waveform, WaveformBuilder, with_waveform

RATE = 16_000


def noise(samples: int) -> np.ndarray:
    """Noise that swells, so that no two bins are alike."""
    random = np.random.default_rng(7).uniform(-1, 1, samples)
    return (random * np.linspace(0, 1, samples)).astype(np.float32)


def levels(stored: bytes) -> np.ndarray:
    return np.frombuffer(stored, np.uint8).astype(int)


def built(samples: np.ndarray, *cuts: int) -> Waveform:
    builder = WaveformBuilder(RATE)
    for piece in np.split(samples, cuts):
        builder.push(piece)
    return builder.finish()


def expected(samples: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    bins = np.split(samples.astype(np.float64), range(width, len(samples), width))
    peaks = [np.abs(each).max() for each in bins]
    rms = [np.sqrt(np.square(each).mean()) for each in bins]
    return np.round(np.array(peaks) * 255), np.round(np.array(rms) * 255)


@pytest.mark.parametrize("samples", [1, 63, 64, 65, 16_000, 65_535, 65_536, 65_537, 131_072 + 64, 1_000_003])
def test_levels_are_those_of_equal_bins(samples):
    sound = noise(samples)
    found = built(sound, *range(1000, samples, 160_007))
    width = round(found.bin_s * RATE)
    peaks, rms = expected(sound, width)
    assert np.abs(levels(found.peaks) - peaks).max() <= 1
    assert np.abs(levels(found.rms) - rms).max() <= 1
    assert found.duration_s == samples / RATE
    assert len(found.peaks) == len(found.rms) <= MOST_BINS


def test_long_audio_has_many_bins():
    for samples in (65_536, 100_000, 1_000_003):
        assert MOST_BINS / 2 <= len(built(noise(samples)).peaks) <= MOST_BINS


def test_it_does_not_matter_how_the_samples_are_cut():
    sound = noise(300_000)
    whole = built(sound)
    for cuts in ([1], [63, 64, 65], [65_536], list(range(7, 300_000, 997))):
        found = built(sound, *cuts)
        assert found.peaks == whole.peaks
        assert np.abs(levels(found.rms) - levels(whole.rms)).max() <= 1


def test_what_is_passed_on_stays_the_same_and_closing_closes_the_source():
    closed: list[bool] = []

    def source() -> Generator[np.ndarray, None, Decoded]:
        try:
            yield from np.split(noise(1000), [10, 500])
        finally:
            closed.append(True)
        return Decoded(1000 / RATE, ("Some is missing.",))

    pieces, passed = with_waveform(source(), RATE), []
    while True:
        try:
            passed.append(next(pieces))
        except StopIteration as stop:
            decoded = stop.value
            break
    assert np.array_equal(np.concatenate(passed), noise(1000))
    assert decoded == Decoded(1000 / RATE, ("Some is missing.",), built(noise(1000)))
    pieces = with_waveform(source(), RATE)
    next(pieces)
    closed.clear()
    pieces.close()
    assert closed == [True]
