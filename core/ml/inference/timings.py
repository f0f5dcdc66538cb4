"""CPU time of each stage of the analysis."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields


@dataclass
class StageTimings:
    """CPU seconds of the thread that runs each stage, summed over tracks."""

    decode_s: float = 0.0  # reading, decoding and mixing down
    resample_s: float = 0.0
    mel_s: float = 0.0
    cnn_s: float = 0.0
    audio_s: float = 0.0  # duration of the analysed audio
    tracks: int = 0

    def stages(self) -> dict[str, float]:
        """Seconds by stage, under the names used in reports."""
        return {
            "decode": self.decode_s,
            "resample": self.resample_s,
            "mel": self.mel_s,
            "cnn": self.cnn_s,
        }

    def __add__(self, other: "StageTimings") -> "StageTimings":
        return StageTimings(
            *(getattr(self, field.name) + getattr(other, field.name) for field in fields(self))
        )

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the CPU time of the block to the field `stage`."""
        start = time.thread_time()
        try:
            yield
        finally:
            setattr(self, stage, getattr(self, stage) + time.thread_time() - start)
