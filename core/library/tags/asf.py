"""Tags of ASF (WMA)."""

from mutagen.asf import ASF

from core.library.tags.found import Found
from core.library.window import Window

_NAMES = {
    "Title": "title",
    "Author": "artist",
    "WM/AlbumTitle": "album",
    "WM/AlbumArtist": "albumartist",
    "WM/Genre": "genre",
    "WM/Year": "date",
    "date": "date",
    "WM/TrackNumber": "tracknumber",
    "WM/PartOfSet": "discnumber",
    "WM/Composer": "composer",
    "WM/BeatsPerMinute": "bpm",
    "WM/ISRC": "isrc",
}


def read_asf(window: Window, found: Found) -> None:
    tags = ASF(window).tags  # type: ignore[no-untyped-call]
    for key, name in _NAMES.items():
        if tags is not None and key in tags:
            found.add(name, (str(value) for value in tags[key]))
