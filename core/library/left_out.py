"""Counts of entries that a scan leaves out, by reason."""

from collections.abc import Mapping
from enum import StrEnum

MAX_REASONS = 50  # distinct reasons in one count


class Reason(StrEnum):
    """Why an entry is left out. A file with a non-audio suffix is counted under the suffix (`.jpg`)."""

    SYSTEM_FOLDER = "system_folder"  #: including its contents
    MARKED_FOLDER = "marked_folder"  #: contains `.nomedia` or `.ndignore`; including its contents
    APPLE_DOUBLE = "apple_double"  #: file attributes stored by macOS
    UNFINISHED_COPY = "unfinished_copy"  #: a temporary file of rsync
    NO_SUFFIX = "no_suffix"  #: no suffix, and no audio signature
    LINK = "link"  #: without an audio suffix
    SPECIAL_FILE = "special_file"  #: a pipe, socket or device without an audio suffix
    OTHER = "other"  #: all reasons beyond the first MAX_REASONS


def add_counts(counts: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """The sum of two counts by reason, with at most MAX_REASONS reasons and `other`."""
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
    """`312 .jpg, 12 .cue, 3 system folders`, in descending order."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    words = [(count, _WORDS.get(reason, (reason, reason))) for reason, count in ordered]
    return ", ".join(f"{count} {one if count == 1 else several}" for count, (one, several) in words)
