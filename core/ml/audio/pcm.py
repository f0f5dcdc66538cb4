"""Tell whether uncompressed samples go on behind the place where a header says that they end."""

import os
from dataclasses import dataclass

import numpy as np

_MOST_LOUDER, _LEAST_LOUD, _MOST_ROUGHER = 3.0, 0.05, 0.4
# Sound of any level differs from text by a mean near zero, and from random bytes by being smooth.
_MOST_OFFSET, _MOST_ROUGH = 0.5, 0.8
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Pcm:
    """How samples lie in a file."""

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
    """Offset of the first byte in [start, end) that is not digital silence; None: all of it is."""
    silence = os.pread(descriptor, 1, start) if pcm and pcm.sample_bytes == 1 else b"\0"
    while start < end:
        block = os.pread(descriptor, min(_READ_BYTES, end - start), start)
        if not block:
            return None
        if content := block.lstrip(silence):
            return start + len(block) - len(content)
        start += len(block)
    return None


def goes_on(descriptor: int, pcm: Pcm, start: int, end: int, behind: int) -> bool:
    """Whether the second from `behind` on is sound that may belong to the samples in [start, end).

    Junk is as loud as can be, and each of its values is independent of the one before.
    """
    if not pcm.sample_bytes:
        return False
    second = pcm.sample_rate * pcm.frame_bytes
    length = min(second, end - start) // pcm.frame_bytes * pcm.frame_bytes
    behind -= (behind - start) % pcm.frame_bytes
    before = _values(os.pread(descriptor, length, end - length), pcm)
    after = _values(os.pread(descriptor, second, behind), pcm)
    if not len(before) or not after.any() or not np.isfinite(after).all():
        return False
    level, roughness = np.abs(after).mean(), _roughness(after)
    is_as_loud = level <= _MOST_LOUDER * np.abs(before).mean() + _LEAST_LOUD
    is_alike = is_as_loud and roughness <= _roughness(before) + _MOST_ROUGHER
    is_sound = roughness <= _MOST_ROUGH and abs(after.mean()) <= _MOST_OFFSET * level
    return bool(is_alike or is_sound)


def _values(data: bytes, pcm: Pcm) -> np.ndarray:
    """The samples of one channel, roughly, in [-1, 1]: (T,)."""
    width = pcm.sample_bytes
    frames = np.frombuffer(data, np.uint8)[: len(data) // pcm.frame_bytes * pcm.frame_bytes]
    frames = frames.reshape(-1, pcm.frame_bytes)
    if pcm.is_float and width in (4, 8):
        return np.ascontiguousarray(frames[:, :width]).view(f"{pcm.order}f{width}")[:, 0]
    loudest_byte = frames[:, width - 1 if pcm.order == "<" else 0]
    values = loudest_byte.view(np.int8) if pcm.is_signed else loudest_byte.astype(np.float32) - 128
    return values.astype(np.float32) / 128


def _roughness(values: np.ndarray) -> float:
    """How much each value differs from the one before, as a share of their size; 1.3 for random bytes."""
    return (
        float(np.abs(np.diff(values)).mean() / max(np.abs(values).mean(), 1e-6)) if len(values) > 1 else 0.0
    )
