"""Playlists in the extended M3U format, in UTF-8."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from api import schemas
from core.output.files import whole_file

UNKNOWN_LENGTH = -1


@contextmanager
def m3u_file(file: Path, folders: Mapping[str, Path]) -> Iterator[Callable[[schemas.Track], None]]:
    """A function that adds a track, by its absolute path; `folders`: those of the libraries by name."""
    with whole_file(file) as out:
        out.write(b"#EXTM3U\n")

        def add(track: schemas.Track) -> None:
            length = round(track.prediction.duration_s) if track.prediction else UNKNOWN_LENGTH
            place = folders.get(track.library, Path()) / track.path
            out.write(f"#EXTINF:{length},{_in_one_line(title_of(track))}\n{place}\n".encode())

        yield add


def title_of(track: schemas.Track) -> str:
    """`Artist - Title` as far as the tags tell it, else the name of the file."""
    tags = track.tags or {}
    title = str(tags.get("title") or Path(track.path).stem)
    return f"{tags['artist']} - {title}" if tags.get("artist") else title


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
