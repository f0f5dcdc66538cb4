"""Where blocks of tags begin and end, so that nobody takes them for audio."""

import os
import re

from core.library.tag_blocks import synchsafe, trailing_tags_start

_ID3V1, _ID3V1_ENHANCED = 128, 227
_APE_FOOTER = 32
_FRAME_ID = re.compile(rb"[A-Z][A-Z0-9]{2,3}")
_MOST_ID3_FRAMES = 10_000
_PADDING_BYTES = 1 << 20


def starts_with_tag(head: bytes) -> bool:
    return head[:3] in (b"ID3", b"TAG") or head[:8] in (b"APETAGEX", b"LYRICSBE")


def tag_length(head: bytes) -> int:
    """Length of the tag that begins with these bytes (64 are enough); 0: there is none."""
    if head[:3] == b"ID3" and len(head) >= 10:
        return id3_length(head)
    if head[:4] == b"TAG+":
        return _ID3V1_ENHANCED
    if head[:3] == b"TAG":
        return _ID3V1
    if head[:8] == b"APETAGEX" and len(head) >= _APE_FOOTER:
        return _APE_FOOTER + _little(head, 12)  # the size leaves the header out
    return 0


def id3_length(head: bytes) -> int:
    """Length of an ID3v2 tag by its header (ID3v2.4, 3.1), whose size has 7 bits to the byte.

    Some programs wrote a plain integer; larger bytes give that away.
    """
    body = head[6:10]
    if max(body) > 127:
        return 10 + int.from_bytes(body, "big")
    return 10 + (body[0] << 21 | body[1] << 14 | body[2] << 7 | body[3]) + (10 if head[5] & 0x10 else 0)


def plain_id3_length(head: bytes) -> int:
    """The same when the size is a plain integer, which its bytes do not always give away."""
    return 10 + int.from_bytes(head[6:10], "big")


def id3_content_end(descriptor: int, start: int, end: int) -> int:
    """Where the frames of the ID3v2 tag in [start, end) end, and the zeros behind them (ID3v2.3, 3.3).

    A program that states a tag that is too large leaves audio there.
    """
    version = os.pread(descriptor, 4, start)[3:]
    header_bytes, id_bytes = (6, 3) if version == b"\2" else (10, 4)
    position = start + 10
    for _ in range(_MOST_ID3_FRAMES):
        head = os.pread(descriptor, header_bytes, position)
        if position + header_bytes > end or not _FRAME_ID.fullmatch(head[:id_bytes]):
            break
        size = head[id_bytes:6] if version == b"\2" else head[4:8]
        length = int.from_bytes(size, "big")
        if version == b"\4" and max(size) < 128:
            length = synchsafe(size)
        if position + header_bytes + length > end:
            break
        position += header_bytes + length
    while position < end:
        block = os.pread(descriptor, min(_PADDING_BYTES, end - position), position)
        if content := block.lstrip(b"\0"):
            return position + len(block) - len(content)
        if not block:
            break
        position += len(block)
    return end


def audio_end(descriptor: int, start: int, size: int) -> int:
    """Where the tags at the end of a file begin, which holds audio from `start` on."""
    return max(start, trailing_tags_start(descriptor, size))


def _little(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")
