"""The boxes of MP4 files (ISO 14496-12): what the file's end cuts off."""

import os

from core.errors import Corrupt

_MAX_BOXES = 100_000
_AUDIO_BOXES = (b"moof", b"mdat")  # what others claim behind the end of the file is no audio


def cut_share(descriptor: int, offset: int, size: int) -> float:
    """Bytes that the boxes claim behind the end of a file of fragments (8.8), for each that is there.

    0 for other files: they have an index of the whole. Raises `Corrupt` for a file without such a box.
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
