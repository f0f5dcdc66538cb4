"""The contents of one tag."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

VALUE_BYTES = 1 << 16  # maximum per value; longer ones are pictures, lyrics or damage
_MAX_LENGTH = 500
_MAX_VALUES = 20
_JOINERS = "\u200c\u200d"

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
        """Add values of a field, without empty and repeated ones; report what a limit cuts."""
        known = self.values.get(name, [])
        for text in texts:
            value = printable(text)
            if len(value) > _MAX_LENGTH:
                self.fail(f"{name} is cut after {_MAX_LENGTH} characters")
                value = value[:_MAX_LENGTH].rstrip()
            if not value or value in known:
                continue
            if len(known) == _MAX_VALUES:
                self.fail(f"only the first {_MAX_VALUES} values of {name} are kept")
                break
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

    def decode_legacy(self, data: bytes, name: str) -> str:
        """Text whose encoding is not stated, or stated as Latin-1: UTF-8 if valid, else Windows-1252.

        Windows-1252 is Latin-1 with printable characters where that has control characters.
        """
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return self.decode(data, "cp1252", name)


def printable(text: str) -> str:
    """One line of text without control, surrogate and direction-override characters.

    Zero-width joiners stay: Persian, Indic scripts and emoji need them.
    """
    line = " ".join(text.splitlines()).replace("\t", " ")
    kept = (char for char in line if char in _JOINERS or unicodedata.category(char) not in ("Cc", "Cf", "Cs"))
    return "".join(kept).strip()
