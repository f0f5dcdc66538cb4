"""What tracks are called: as far as their tags tell it, else as their files."""

from pathlib import PurePosixPath

from api import schemas


def title_and_artist(path: str, tags: dict[str, object] | None) -> tuple[str, str]:
    """The name of the file without its suffix if there is no title; the artist may be empty."""
    known = tags or {}
    return str(known.get("title") or PurePosixPath(path).stem), str(known.get("artist") or "")


def title_of(track: schemas.Track) -> str:
    """`Artist - Title`."""
    title, artist = title_and_artist(track.path, track.tags)
    return f"{artist} - {title}" if artist else title
