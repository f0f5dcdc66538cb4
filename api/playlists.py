"""Entries of playlists in the extended M3U format."""

from pathlib import PurePath
from urllib.parse import quote

from api import schemas
from api.titles import title_of

M3U_HEADER = "#EXTM3U\n"
UNKNOWN_LENGTH = -1


def m3u_entry(track: schemas.Track, folder: str | PurePath) -> str:
    """A track of the library in this folder; a path that does not fit into one line is a `file:` URI."""
    length = round(track.prediction.duration_s) if track.prediction else UNKNOWN_LENGTH
    path = str(PurePath(folder) / track.path)
    place = path if len(path.splitlines()) == 1 else f"file://{quote(path)}"
    return f"#EXTINF:{length},{' '.join(title_of(track).split())}\n{place}\n"
