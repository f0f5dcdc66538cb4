"""The obvious way to run musicnn, as a yardstick for speed and a reference for exactness."""

from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv1d, conv2d, linear, pad

Parameters = dict[str, Tensor]

SAMPLE_RATE = 16_000
PATCH_FRAMES = 187
FRONT = ("timbral.0", "timbral.1", "temporal.0", "temporal.1", "temporal.2")


def plain_forward(patches: Tensor, p: Parameters) -> tuple[Tensor, Tensor]:
    """Patches (B, 1, F, N) -> logits (B, L) and embedding (B, D), layer by layer as the paper draws it."""
    x = _norm(patches, p, "input_norm")
    front = torch.cat([_front(x, p, name) for name in FRONT], dim=1)
    first = _mid(front, p, 0)
    second = _mid(first, p, 1) + first
    third = _mid(second, p, 2) + second
    channels = torch.cat((front, first, second, third), dim=1)
    pooled = torch.stack((channels.amax(2), channels.mean(2)), dim=2).flatten(1)
    hidden = linear(_norm(pooled, p, "pool_norm"), p["dense.weight"], p["dense.bias"]).relu()
    embedding = _norm(hidden, p, "dense_norm")
    return linear(embedding, p["output.weight"], p["output.bias"]), embedding


def _front(x: Tensor, p: Parameters, name: str) -> Tensor:
    weight = p[f"{name}.conv.weight"]
    taps = weight.shape[3]
    y = conv2d(pad(x, ((taps - 1) // 2, taps // 2)), weight, p[f"{name}.conv.bias"]).relu()
    return _norm(y, p, f"{name}.norm").amax(2)


def _mid(x: Tensor, p: Parameters, index: int) -> Tensor:
    y = conv1d(x, p[f"mid.{index}.conv.weight"], p[f"mid.{index}.conv.bias"], padding=3).relu()
    return _norm(y, p, f"mid.{index}.norm")


def _norm(x: Tensor, p: Parameters, name: str) -> Tensor:
    mean, variance = p[f"{name}.running_mean"], p[f"{name}.running_var"]
    return batch_norm(x, mean, variance, p[f"{name}.weight"], p[f"{name}.bias"], eps=1e-3)


def plain_log_mel(waveform: np.ndarray) -> np.ndarray:
    """Waveform (T,) at 16 kHz -> (F, N)."""
    mel = librosa.feature.melspectrogram(y=waveform, sr=SAMPLE_RATE, n_fft=512, hop_length=256, n_mels=96)
    log_mel: np.ndarray = np.log10(10_000 * mel + 1)
    return log_mel


def plain_analyse(path: Path, forward: Callable[[Tensor], tuple[Tensor, Tensor]]) -> tuple[float, np.ndarray]:
    """Duration in seconds and scores (L,) of one file."""
    waveform, _ = librosa.load(path, sr=SAMPLE_RATE)
    log_mel = plain_log_mel(waveform)
    scores = []
    for start in range(0, log_mel.shape[1] - PATCH_FRAMES + 1, PATCH_FRAMES):
        patch = torch.from_numpy(log_mel[None, None, :, start : start + PATCH_FRAMES])
        logits, _ = forward(patch)
        scores.append(logits.sigmoid()[0].numpy())
    return len(waveform) / SAMPLE_RATE, np.mean(scores, axis=0)
