"""Tags of MP4, as iTunes writes them."""

from mutagen.mp4 import MP4

from core.library.tags.found import Found
from core.library.window import Window

_TEXTS = {
    "\xa9nam": "title",
    "\xa9ART": "artist",
    "\xa9alb": "album",
    "aART": "albumartist",
    "\xa9gen": "genre",  # mutagen gives `gnre`, a number, by this name too
    "\xa9day": "date",
    "\xa9wrt": "composer",
    "tmpo": "bpm",
}
_PAIRS = {"trkn": "tracknumber", "disk": "discnumber"}
_ISRC = "----:com.apple.iTunes:ISRC"


def read_mp4(window: Window, found: Found) -> None:
    tags = MP4(window).tags  # type: ignore[no-untyped-call]
    if tags is None:
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
