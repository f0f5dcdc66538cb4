"""Folders of short tracks, each with a sound of its own; some files are none."""

from pathlib import Path

import numpy as np

from core.errors import NotAudio
from tests.faults.checker import LABELLED
from tests.support import sounds

TRACK_S = 6.0
LETTER_EVERY = 15  # one file in so many holds no sound


def make_folder(folder: Path, number: int, tracks: int) -> dict[str, str]:
    """Write the files of job `number`; the outcome that each must have, by name.

    Their names promise mp3, so that a unit is cut to a few of them.
    """
    folder.mkdir(parents=True)
    outcomes = {}
    for index in range(tracks):
        name = f"{index:03d}.mp3"
        if index % LETTER_EVERY == LETTER_EVERY - 1:
            (folder / name).write_text(f"Letter {number}.{index}, not a song.\n" * 20)
            outcomes[name] = NotAudio().code
        else:
            (folder / name).write_bytes(track(1000 * number + index))
            outcomes[name] = LABELLED
    return outcomes


def track(seed: int, duration_s: float = TRACK_S) -> bytes:
    """A chord in noise, as the bytes of a WAV file."""
    tones = sounds.chord([110 + seed % 97, 330 + seed % 89], duration_s)
    samples = tones + sounds.noise(duration_s, seed=seed, level=0.02)
    return sounds.encode(samples.astype(np.float32), sounds.SAMPLE_RATE, "wav")
