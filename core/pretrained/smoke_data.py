"""Synthesises a tiny dataset that every model can learn in seconds: four kinds of sound, a folder each.

python -m core.pretrained.smoke_data DIRECTORY
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile as sf

Samples = npt.NDArray[np.float64]

SAMPLE_RATE = 16_000
DURATION_S = 4.0
CLIPS = 10  # per kind


def low(random: np.random.Generator, time_s: Samples) -> Samples:
    """A deep steady tone."""
    return np.asarray(np.sin(2 * np.pi * random.uniform(80, 160) * time_s))


def high(random: np.random.Generator, time_s: Samples) -> Samples:
    """A high steady tone."""
    return np.asarray(np.sin(2 * np.pi * random.uniform(2000, 4000) * time_s))


def noisy(random: np.random.Generator, time_s: Samples) -> Samples:
    return random.uniform(-1, 1, len(time_s))


def pulsing(random: np.random.Generator, time_s: Samples) -> Samples:
    """Noise that comes and goes several times a second."""
    return np.where(np.sin(2 * np.pi * random.uniform(3, 6) * time_s) > 0, noisy(random, time_s), 0)


KINDS: tuple[Callable[[np.random.Generator, Samples], Samples], ...] = (low, high, noisy, pulsing)


def write_clips(directory: Path, clips: int = CLIPS, duration_s: float = DURATION_S) -> int:
    """Write the clips as FLAC, deterministically; returns their number."""
    time_s = np.arange(round(duration_s * SAMPLE_RATE)) / SAMPLE_RATE
    for number, kind in enumerate(KINDS):
        folder = directory / kind.__name__
        folder.mkdir(parents=True, exist_ok=True)
        for clip in range(clips):
            random = np.random.default_rng((number, clip))
            samples = kind(random, time_s) * random.uniform(0.1, 0.5) + random.normal(0, 0.01, len(time_s))
            sf.write(folder / f"{kind.__name__}_{clip}.flac", samples.astype(np.float32), SAMPLE_RATE)
    return len(KINDS) * clips


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m core.pretrained.smoke_data DIRECTORY")
    sys.stdout.write(f"{sys.argv[1]}: {write_clips(Path(sys.argv[1]))} clips\n")
