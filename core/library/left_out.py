"""What a scan leaves out, counted by reason, so that nothing is passed over without a word."""

from collections.abc import Mapping
from enum import StrEnum

MAX_REASONS = 50  # distinct ones in one count


class Reason(StrEnum):
    """Why an entry is left out; one with a suffix that no audio has is counted under the suffix (`.jpg`)."""

    SYSTEM_FOLDER = "system_folder"  #: with all that it holds
    MARKED_FOLDER = "marked_folder"  #: holds `.nomedia` or `.ndignore`; with all that it holds
    APPLE_DOUBLE = "apple_double"  #: attributes that macOS keeps beside a file
    UNFINISHED_COPY = "unfinished_copy"  #: rsync was writing it
    NO_SUFFIX = "no_suffix"  #: has none, and does not begin as audio does
    LINK = "link"  #: to something that is not named as audio is
    SPECIAL_FILE = "special_file"  #: a pipe, socket or device that is not named as audio is
    OTHER = "other"  #: all reasons beyond the first MAX_REASONS


def add_counts(counts: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """The sum of two counts by reason, of at most MAX_REASONS reasons and `other`."""
    total = dict(counts)
    for reason, count in more.items():
        key = reason if reason in total or len(total) < MAX_REASONS else Reason.OTHER
        total[key] = total.get(key, 0) + count
    return total


_WORDS: dict[str, tuple[str, str]] = {  # one, several
    Reason.SYSTEM_FOLDER: ("system folder", "system folders"),
    Reason.MARKED_FOLDER: ("folder with .nomedia or .ndignore", "folders with .nomedia or .ndignore"),
    Reason.APPLE_DOUBLE: ("AppleDouble file", "AppleDouble files"),
    Reason.UNFINISHED_COPY: ("unfinished copy", "unfinished copies"),
    Reason.NO_SUFFIX: ("file without a suffix", "files without a suffix"),
    Reason.LINK: ("link", "links"),
    Reason.SPECIAL_FILE: ("pipe, socket or device", "pipes, sockets and devices"),
    Reason.OTHER: ("of other kinds", "of other kinds"),
}


def as_text(counts: Mapping[str, int]) -> str:
    """`312 .jpg, 12 .cue, 3 system folders`, the most first."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    words = [(count, _WORDS.get(reason, (reason, reason))) for reason, count in ordered]
    return ", ".join(f"{count} {one if count == 1 else several}" for count, (one, several) in words)
