"""Playlists in the extended M3U format, in UTF-8."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from api import schemas
from api.playlists import M3U_HEADER, m3u_entry
from core.output.files import whole_file


@contextmanager
def m3u_file(file: Path, folders: Mapping[str, Path]) -> Iterator[Callable[[schemas.Track], None]]:
    """A function that adds a track, by its absolute path; `folders`: those of the libraries by name."""
    with whole_file(file) as out:
        out.write(M3U_HEADER.encode())

        def add(track: schemas.Track) -> None:
            out.write(m3u_entry(track, folders.get(track.library, Path())).encode())

        yield add
