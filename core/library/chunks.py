"""What RIFF, AIFF and DSDIFF files have in common: chunks, each with a name and a length."""

import re

PADDING_LOOKAHEAD = 5
_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_ ]{3}")


def is_chunk_name(name: bytes) -> bool:
    """Whether a chunk may have this name: letters, digits, spaces and underscores behind one letter."""
    return _NAME.fullmatch(name) is not None


def padding_bytes(length: int, following: bytes) -> int:
    """Bytes between a chunk of `length` bytes and the next: 1 behind an odd length, unless forgotten.

    `following` are the next `PADDING_LOOKAHEAD` bytes of the file.
    """
    if length % 2 == 0:
        return 0
    return int(not is_chunk_name(following[:4]) or is_chunk_name(following[1:5]))
