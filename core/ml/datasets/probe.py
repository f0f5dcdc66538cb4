"""Checks whether files can be decoded, and their duration, without decoding them completely."""

from dataclasses import dataclass
from pathlib import Path

from core.errors import ItemError
from core.library.content import file_hash, identity_without_audio
from core.ml.audio.sandbox import decode_windows, hash_audio
from core.ml.datasets.credits import Credits, read_credits
from core.ml.datasets.paths import open_audio

_SAMPLE_RATE = 16_000
_WINDOW_S = 3.0
_MAX_DURATION_S = 4 * 3600


@dataclass(frozen=True)
class Unusable:
    """An audio file that is excluded from training, and the reason."""

    path: Path
    code: str
    detail: str


@dataclass(frozen=True)
class Probed:
    duration_s: float
    credits: Credits
    content: bytes  # hash of the audio
    tags_error: str | None = None  # if some of its tags cannot be read


def probe(path: Path, root: Path | None = None) -> Probed | Unusable:
    """Probe a file. Finds damage at its start and middle and in its structure only."""
    try:
        with open_audio(path, root) as file:
            _, track = decode_windows(file, _SAMPLE_RATE, 1, _WINDOW_S, max_duration_s=_MAX_DURATION_S)
            content = hash_audio(file) or identity_without_audio(file_hash(file))
            credits, tags_error = read_credits(file)
            return Probed(track.duration_s, credits, content, tags_error)
    except ItemError as error:
        return Unusable(path, error.code, error.detail)
