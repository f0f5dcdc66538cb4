"""Find out whether files can be decoded, and how long they are, without decoding them whole."""

from dataclasses import dataclass
from pathlib import Path

from core.audio.sandbox import decode_windows
from core.errors import Disappeared, ItemError, NotAFile, Unreadable

_SAMPLE_RATE = 16_000
_WINDOW_S = 3.0
_MAX_DURATION_S = 4 * 3600


@dataclass(frozen=True)
class Unusable:
    """An audio file that is left out of training and why."""

    path: Path
    code: str
    detail: str


def probe(path: Path) -> float | Unusable:
    """The duration in seconds; damage is found where the file's start, middle or structure shows it."""
    try:
        with path.open("rb") as file:
            _, duration_s = decode_windows(file, _SAMPLE_RATE, 1, _WINDOW_S, max_duration_s=_MAX_DURATION_S)
        return duration_s
    except ItemError as error:
        return Unusable(path, error.code, error.detail)
    except ChildProcessError:  # nothing can be decoded here, whatever the file
        raise
    except OSError as error:
        kind = _kind(error)
        return Unusable(path, kind.code, kind.detail)


def _kind(error: OSError) -> ItemError:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return Disappeared("The file is not there.")
        case IsADirectoryError():
            return NotAFile()
        case _:
            return Unreadable()
