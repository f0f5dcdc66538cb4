"""Playlists in the extended M3U format, in UTF-8."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from api import schemas

UNKNOWN_LENGTH = -1


def write_m3u(out: BinaryIO, tracks: Iterable[schemas.Track], folders: Mapping[str, Path]) -> None:
    """Absolute paths; `folders`: those of the libraries by name."""
    out.write(b"#EXTM3U\n")
    for track in tracks:
        length = round(track.prediction.duration_s) if track.prediction else UNKNOWN_LENGTH
        file = folders.get(track.library, Path()) / track.path
        out.write(f"#EXTINF:{length},{_in_one_line(title_of(track))}\n{file}\n".encode())


def title_of(track: schemas.Track) -> str:
    """`Artist - Title` as far as the tags tell it, else the name of the file."""
    tags = track.tags or {}
    title = str(tags.get("title") or Path(track.path).stem)
    return f"{tags['artist']} - {title}" if tags.get("artist") else title


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
