"""Find out whether files can be decoded, and how long they are, without decoding them whole."""

from dataclasses import dataclass
from pathlib import Path

from core.audio.sandbox import decode_windows
from core.datasets.credits import Credits, read_credits
from core.datasets.paths import open_audio
from core.errors import ItemError
from core.library.content import content_hash

_SAMPLE_RATE = 16_000
_WINDOW_S = 3.0
_MAX_DURATION_S = 4 * 3600


@dataclass(frozen=True)
class Unusable:
    """An audio file that is left out of training and why."""

    path: Path
    code: str
    detail: str


@dataclass(frozen=True)
class Probed:
    duration_s: float
    credits: Credits
    content: bytes  # SHA-256 of the file


def probe(path: Path, root: Path | None = None) -> Probed | Unusable:
    """What a glance tells; damage is found where the file's start, middle or structure shows it."""
    try:
        with open_audio(path, root) as file:
            _, track = decode_windows(file, _SAMPLE_RATE, 1, _WINDOW_S, max_duration_s=_MAX_DURATION_S)
            return Probed(track.duration_s, read_credits(file), content_hash(file))
    except ItemError as error:
        return Unusable(path, error.code, error.detail)
