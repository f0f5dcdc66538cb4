"""What a FLAC file says of itself, and where the next one of a row begins (RFC 9639)."""

import os
import re

_MARK = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
_MARK_BYTES = 8
_SEARCH_BYTES = 1 << 22


def promised_s(head: bytes) -> float | None:
    """STREAMINFO (8.2): 20 bits sample rate, 3 channels, 5 bits, 36 bits number of samples."""
    fields = int.from_bytes(head[18:26], "big")
    sample_rate, samples = fields >> 44, fields & (1 << 36) - 1
    return samples / sample_rate if sample_rate and samples else None


def next_stream(descriptor: int, start: int, size: int) -> int | None:
    """Offset of the first stream that begins at or behind `start`; None: there is none."""
    while start < size:
        block = os.pread(descriptor, _SEARCH_BYTES, start)
        if found := _MARK.search(block):
            return start + found.start()
        if start + len(block) >= size or not block:
            return None
        start += max(1, len(block) - _MARK_BYTES)
    return None
