"""The contents of one tag."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

VALUE_BYTES = 1 << 16  # maximum per value; longer ones are pictures, lyrics or damage
_MAX_LENGTH = 500
_MAX_VALUES = 20

# Names in Vorbis comments, APEv2 and FFmpeg, in lower case -> field.
FIELDS = {
    "title": "title",
    "artist": "artist",
    "author": "artist",  # RealMedia
    "album": "album",
    "albumartist": "albumartist",
    "album artist": "albumartist",
    "album_artist": "albumartist",
    "genre": "genre",
    "date": "date",
    "year": "date",
    "tracknumber": "tracknumber",
    "track": "tracknumber",
    "discnumber": "discnumber",
    "disc": "discnumber",
    "composer": "composer",
    "bpm": "bpm",
    "isrc": "isrc",
}


@dataclass
class Found:
    """Values by field, and problems."""

    block: str  # the name of its format
    values: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, texts: Iterable[str]) -> None:
        """Add values of a field, without empty and repeated ones."""
        known = self.values.get(name, [])
        for text in texts:
            if len(known) < _MAX_VALUES and (value := printable(text)) and value not in known:
                known.append(value)
        if known:
            self.values[name] = known

    def fail(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def decode(self, data: bytes, encoding: str, name: str) -> str:
        """Decode text; invalid bytes are replaced, and reported for the field `name`."""
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            self.fail(f"{name} is not valid {encoding.upper()}")
            return data.decode(encoding, "replace")


def printable(text: str) -> str:
    """Without control, surrogate and direction-override characters, at most `_MAX_LENGTH` long."""
    kept = (char for char in text[: 4 * _MAX_LENGTH] if unicodedata.category(char) not in ("Cc", "Cf", "Cs"))
    return "".join(kept).strip()[:_MAX_LENGTH]


def legacy_text(data: bytes) -> str:
    """Text of unknown encoding: UTF-8 if valid, else Windows-1252."""
    data = data.split(b"\0", 1)[0]
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
