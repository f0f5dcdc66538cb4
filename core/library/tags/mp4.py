"""Tags of MP4, as iTunes writes them, and of 3GP."""

from mutagen.mp4 import MP4
from mutagen.mp4._atom import Atoms

from core.library.tags.found import VALUE_BYTES, Found
from core.library.window import Window

_TEXTS = {
    "\xa9nam": "title",
    "\xa9ART": "artist",
    "\xa9alb": "album",
    "aART": "albumartist",
    "\xa9gen": "genre",  # mutagen also returns the numeric `gnre` under this name
    "\xa9day": "date",
    "\xa9wrt": "composer",
    "tmpo": "bpm",
}
_PAIRS = {"trkn": "tracknumber", "disk": "discnumber"}
# 3GPP TS 26.244, 8.2: boxes in the user data.
_TEXTS_3GP = {b"titl": "title", b"perf": "artist", b"auth": "artist", b"albm": "album", b"gnre": "genre"}
_YEAR_3GP = b"yrrc"
_ISRC = "----:com.apple.iTunes:ISRC"


def read_mp4(window: Window, found: Found) -> None:
    tags = MP4(window).tags  # type: ignore[no-untyped-call]
    if tags is None:
        _read_3gp(window, found)
        return
    for key, name in _TEXTS.items():
        found.add(name, (str(value) for value in tags.get(key, [])))
    for key, name in _PAIRS.items():
        pairs = ((number, total) for number, total in tags.get(key, []) if number or total)
        found.add(name, (f"{number}/{total}" if total else str(number) for number, total in pairs))
    found.add("isrc", (found.decode(bytes(value), "utf-8", "isrc") for value in tags.get(_ISRC, [])))
    failed = {*_TEXTS, *_PAIRS, _ISRC, "gnre"} & tags._failed_atoms.keys()
    if failed:
        found.fail(f"these fields are damaged: {', '.join(sorted(failed))}")


def _read_3gp(window: Window, found: Found) -> None:
    """Read 3GPP user data; each text follows a version, flags and a language (6 bytes)."""
    window.seek(0)
    movie = next((atom for atom in Atoms(window).atoms if atom.name == b"moov"), None)
    if movie is None:
        return
    boxes = [box for part in movie.children or () if part.name == b"udta" for box in part.children or ()]
    for box in boxes:
        data = window.at(box._dataoffset, min(box.datalength, VALUE_BYTES))
        if box.name == _YEAR_3GP and len(data) == 6:
            found.add("date", [str(int.from_bytes(data[4:], "big"))])
        elif (name := _TEXTS_3GP.get(box.name)) is not None:
            text = data[6:]
            if text[:2] == b"\xfe\xff":
                found.add(
                    name, [found.decode(text[2 : len(text) // 2 * 2], "utf-16-be", name).split("\0")[0]]
                )
            else:
                found.add(name, [found.decode(text.split(b"\0")[0], "utf-8", name)])
