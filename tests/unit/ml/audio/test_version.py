"""A change of what decoding and features give is noticed, so that stored features are not mixed."""

import math
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch

from core.config.models import FeatureConfig
from core.ml.audio.features import LogMel, LogMelStream
from core.ml.audio.sandbox import stream
from core.ml.audio.version import CODE_VERSION, feature_version

HINT = (
    "Decoding or features give something else than before: raise CODE_VERSION in core/ml/audio/version.py "
    "and write the new numbers here, so that cached features of earlier code are not used any more."
)
# By version and file: projections of the frames on fixed random directions.
REFERENCE: dict[int, dict[str, list[float]]] = {
    2: {
        "a.wav": [1.1841, 1.069, -0.5725, -1.9917, -2.7186, 0.3467, 0.8691, -1.4718],
        "a.m4a": [1.1841, 1.069, -0.5725, -1.9917, -2.7186, 0.3467, 0.8691, -1.4718],
    }
}


def reference_audio() -> np.ndarray:
    """Two seconds of two channels (T, 2) at 44.1 kHz: a rising tone and noise that fades in."""
    time = np.arange(88_200) / 44_100
    sweep = 0.4 * np.sin(2 * np.pi * (100 * time + 1500 * time**2))
    noise = np.random.default_rng(1).uniform(-0.2, 0.2, (len(time), 2)) * time[:, None] / 2
    return ((sweep[:, None] * (1, 0.5) + noise) * 32767).astype(np.int16)


def write_alac(path: Path, samples: np.ndarray) -> None:
    """What PyAV decodes, without loss."""
    with av.open(str(path), "w", format="ipod") as container:
        track = container.add_stream("alac", rate=44_100, layout="stereo")
        planes = np.ascontiguousarray(samples.T)
        frame = av.AudioFrame.from_ndarray(planes, format="s16p", layout="stereo")
        frame.sample_rate = 44_100
        for each in (frame, None):
            container.mux(track.encode(each))


def projections(path: Path) -> list[float]:
    """Eight numbers that tell any two series of frames (N, F) apart."""
    frames = LogMelStream(LogMel(FeatureConfig()))
    with path.open("rb") as file, torch.inference_mode():
        blocks = stream(file, FeatureConfig().sample_rate, max_duration_s=60)
        pieces = [frames.push(torch.from_numpy(block)) for block in blocks]
        found = torch.cat([*pieces, frames.finish()], dim=-1).double().numpy()
    directions = np.random.default_rng(2).standard_normal((8, found.size)) / math.sqrt(found.size)
    return [float(number) for number in directions @ found.ravel()]


@pytest.mark.parametrize("name", ["a.wav", "a.m4a"])
def test_what_decoding_and_features_give_has_a_version(tmp_path, name):
    path = tmp_path / name
    if name == "a.wav":
        soundfile.write(path, reference_audio(), 44_100, subtype="PCM_16")
    else:
        write_alac(path, reference_audio())
    assert projections(path) == pytest.approx(REFERENCE[CODE_VERSION][name], abs=1e-3), HINT


def test_the_version_names_the_code(monkeypatch):
    before = feature_version()
    assert before.startswith(f"{CODE_VERSION}-")
    feature_version.cache_clear()
    monkeypatch.setattr("core.ml.audio.version.version", lambda name: "another")
    assert feature_version() != before
    feature_version.cache_clear()
