"""Detects uncompressed samples beyond the end that a header states."""

import os
from dataclasses import dataclass

import numpy as np

_MAX_LEVEL_RATIO, _MIN_LEVEL, _MAX_ROUGHNESS_INCREASE = 3.0, 0.05, 0.4
# Unlike text, sound has a mean near zero; unlike random bytes, it is smooth.
_MAX_DC_OFFSET, _MAX_ROUGHNESS = 0.5, 0.8
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Pcm:
    """The layout of samples in a file."""

    channels: int
    frame_bytes: int  # of one sample of each channel
    sample_rate: int
    order: str  # "<" or ">", as in `struct`
    is_float: bool = False
    is_signed: bool = True

    @property
    def sample_bytes(self) -> int:
        return self.frame_bytes // self.channels if self.channels else 0


def silence_end(descriptor: int, pcm: Pcm | None, start: int, end: int) -> int | None:
    """Offset of the first byte in [start, end) that is not digital silence; None if there is none."""
    silence = os.pread(descriptor, 1, start) if pcm and pcm.sample_bytes == 1 else b"\0"
    while start < end:
        block = os.pread(descriptor, min(_READ_BYTES, end - start), start)
        if not block:
            return None
        if content := block.lstrip(silence):
            return start + len(block) - len(content)
        start += len(block)
    return None


def continues(descriptor: int, pcm: Pcm, start: int, end: int, after: int) -> bool:
    """Whether the second that begins at `after` is sound that may continue the samples in [start, end).

    Junk, unlike sound, has a high level, and its successive values are independent.
    """
    if not pcm.sample_bytes:
        return False
    second = pcm.sample_rate * pcm.frame_bytes
    length = min(second, end - start) // pcm.frame_bytes * pcm.frame_bytes
    after -= (after - start) % pcm.frame_bytes
    before = _values(os.pread(descriptor, length, end - length), pcm)
    following = _values(os.pread(descriptor, second, after), pcm)
    if not len(before) or not following.any() or not np.isfinite(following).all():
        return False
    level, roughness = np.abs(following).mean(), _roughness(following)
    is_as_loud = level <= _MAX_LEVEL_RATIO * np.abs(before).mean() + _MIN_LEVEL
    is_alike = is_as_loud and roughness <= _roughness(before) + _MAX_ROUGHNESS_INCREASE
    is_sound = roughness <= _MAX_ROUGHNESS and abs(following.mean()) <= _MAX_DC_OFFSET * level
    return bool(is_alike or is_sound)


def _values(data: bytes, pcm: Pcm) -> np.ndarray:
    """The approximate samples (T,) of one channel in [-1, 1]."""
    width = pcm.sample_bytes
    frames = np.frombuffer(data, np.uint8)[: len(data) // pcm.frame_bytes * pcm.frame_bytes]
    frames = frames.reshape(-1, pcm.frame_bytes)
    if pcm.is_float and width in (4, 8):
        return np.ascontiguousarray(frames[:, :width]).view(f"{pcm.order}f{width}")[:, 0]
    loudest_byte = frames[:, width - 1 if pcm.order == "<" else 0]
    values = loudest_byte.view(np.int8) if pcm.is_signed else loudest_byte.astype(np.float32) - 128
    return values.astype(np.float32) / 128


def _roughness(values: np.ndarray) -> float:
    """Mean difference of successive values relative to their mean magnitude; 1.3 for random bytes."""
    return (
        float(np.abs(np.diff(values)).mean() / max(np.abs(values).mean(), 1e-6)) if len(values) > 1 else 0.0
    )
