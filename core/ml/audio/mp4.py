"""The boxes of MP4 files (ISO 14496-12), to detect truncated files."""

import os

from core.errors import Corrupt

_MAX_BOXES = 100_000
_AUDIO_BOXES = (b"moof", b"mdat")  # boxes that hold audio


def cut_share(descriptor: int, offset: int, size: int) -> float:
    """Ratio of missing to present bytes in a truncated fragmented file (8.8), by the lengths of its boxes.

    0 for other files, which have an index. Raises Corrupt if the index (`moov`) is missing.
    """
    start, names, name = offset, set(), b""
    for _ in range(_MAX_BOXES):
        if offset >= size:
            break
        head = os.pread(descriptor, 16, offset)
        if len(head) < 8:
            break
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        if length == 0:
            length = size - offset
        if length < 8:
            break
        name = head[4:8]
        names.add(name)
        offset += length
    if b"moov" not in names and offset >= size:
        raise Corrupt(
            "The index of the audio is not where it should be: the file is cut off, or bytes are missing "
            "or were inserted."
        )
    is_cut = b"moof" in names and name in _AUDIO_BOXES
    return max(0, offset - size) / (size - start) if is_cut else 0.0
