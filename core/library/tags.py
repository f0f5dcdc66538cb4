"""Read the tags inside audio files."""

import logging
import unicodedata
import zlib
from types import SimpleNamespace
from typing import Any, BinaryIO, NoReturn

import mutagen
from mutagen.id3 import _frames as id3_frames

_logger = logging.getLogger(__name__)

_MAX_LENGTH = 500
_MAX_VALUES = 20

# our name -> its name in easy tags (MP3, MP4, Vorbis comments), in raw ID3 (WAV, AIFF), in ASF (WMA)
_NAMES = {
    "title": ("title", "TIT2", "Title"),
    "artist": ("artist", "TPE1", "Author"),
    "album": ("album", "TALB", "WM/AlbumTitle"),
    "albumartist": ("albumartist", "TPE2", "WM/AlbumArtist"),
    "genre": ("genre", "TCON", "WM/Genre"),
    "date": ("date", "TDRC", "WM/Year"),
    "tracknumber": ("tracknumber", "TRCK", "WM/TrackNumber"),
    "discnumber": ("discnumber", "TPOS", "WM/PartOfSet"),
    "composer": ("composer", "TCOM", "WM/Composer"),
    "bpm": ("bpm", "TBPM", "WM/BeatsPerMinute"),
    "isrc": ("isrc", "TSRC", "WM/ISRC"),
}


def _refuse(_: bytes) -> NoReturn:
    raise zlib.error("compressed tags are not read")


# mutagen inflates compressed ID3 frames without a limit: 0.5 MB of them would take 2 GB of memory.
id3_frames.zlib = SimpleNamespace(decompress=_refuse, error=zlib.error)  # type: ignore[attr-defined,assignment]


def read_tags(file: BinaryIO) -> dict[str, Any]:
    """Tags by name, JSON-safe: text, and a list of texts for `genre`. Unreadable tags are {}.

    The file's position stays as it was.
    """
    position = file.tell()
    try:
        file.seek(0)
        return _clean(mutagen.File(file, easy=True))
    except Exception as error:  # a broken tag never costs the track, whatever mutagen makes of it
        _logger.debug("tags cannot be read: %r", error)
        return {}
    finally:
        file.seek(position)


def _clean(tags: Any) -> dict[str, Any]:
    if not tags:
        return {}
    cleaned: dict[str, Any] = {}
    for name, sources in _NAMES.items():
        values = next((found for source in sources if (found := _values(tags, source))), [])
        if values:
            cleaned[name] = values if name == "genre" else values[0]
    return cleaned


def _values(tags: Any, source: str) -> list[str]:
    try:
        found = tags[source]
    except (KeyError, ValueError):
        return []
    found = getattr(found, "genres", None) or getattr(found, "text", found)  # raw ID3 frames
    texts = [_printable(str(value)) for value in list(found)[:_MAX_VALUES]]
    return [text for text in texts if text]


def _printable(text: str) -> str:
    """Without control, surrogate and direction-override characters, at most `_MAX_LENGTH` long."""
    kept = (char for char in text[: 4 * _MAX_LENGTH] if unicodedata.category(char) not in ("Cc", "Cf", "Cs"))
    return "".join(kept).strip()[:_MAX_LENGTH]
