"""Locates the tags before and after the audio, independently of the audio format.

Formats: ID3v2 (https://id3.org/id3v2.4.0-structure), ID3v1 and its extension TAG+ (https://id3.org/ID3v1),
APEv1 and APEv2 (https://wiki.hydrogenaud.io/index.php?title=APEv2_specification), Lyrics3
(https://id3.org/Lyrics3v2).
"""

import os
import re
from dataclasses import dataclass
from enum import StrEnum

_MAX_BLOCKS = 16
_ID3V1_BYTES, _ID3V1_EXTENSION_BYTES = 128, 227
_APE_BYTES, _APE_HAS_HEADER = 32, 1 << 31
_LYRICS3V1_BYTES = 5100
_FRAME_ID = re.compile(rb"[A-Z][A-Z0-9]{2,3}")
_MAX_FRAMES = 10_000
_SEARCH_BYTES = 1 << 20
_ID3V2 = re.compile(rb"ID3[\2-\4][\0-\xfe].[\0-\x7f]{4}", re.DOTALL)


class TagKind(StrEnum):
    ID3V2 = "ID3v2"
    ID3V1 = "ID3v1"
    APE = "APEv2"
    LYRICS3 = "Lyrics3"


@dataclass(frozen=True, slots=True)
class TagBlock:
    """A tag in the bytes [start, end) of a file; `end` may be beyond the end of a truncated file."""

    kind: TagKind
    start: int
    end: int


def id3v2_bytes(head: bytes) -> int:
    """Length of an ID3v2 tag by its first ten bytes, including header and footer.

    The size is synchsafe (four times seven bits); some writers state a plain 32-bit number.
    """
    size = synchsafe(head[6:10]) if max(head[6:10]) < 128 else int.from_bytes(head[6:10], "big")
    return 10 + size + (10 if head[3] >= 4 and head[5] & 0x10 else 0)


def synchsafe(data: bytes) -> int:
    """A synchsafe number: seven bits per byte."""
    number = 0
    for byte in data:
        number = number << 7 | byte & 127
    return number


def plain_id3v2_bytes(head: bytes) -> int:
    """Length of an ID3v2 tag whose size is a plain number, which is not always detectable."""
    return 10 + int.from_bytes(head[6:10], "big")


def id3v2_content_end(descriptor: int, start: int, end: int) -> int:
    """End of the frames and padding of the ID3v2 tag in [start, end) (ID3v2.3, 3.3).

    If the stated size is too large, audio begins there.
    """
    version = os.pread(descriptor, 4, start)[3:]
    header_bytes, id_bytes = (6, 3) if version == b"\2" else (10, 4)
    position = start + 10
    for _ in range(_MAX_FRAMES):
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
        block = os.pread(descriptor, min(_SEARCH_BYTES, end - position), position)
        if content := block.lstrip(b"\0"):
            return position + len(block) - len(content)
        if not block:
            break
        position += len(block)
    return end


def leading_tags(descriptor: int, size: int, audio_start: int | None = None) -> list[TagBlock]:
    """ID3v2 tags before the audio, in order; `size` is the file's.

    With `audio_start`, wrong sizes of tags are corrected, and tags after junk are found too.
    """
    found: list[TagBlock] = []
    position, end = 0, size if audio_start is None else audio_start
    while position < end and len(found) < _MAX_BLOCKS:
        head = os.pread(descriptor, 10, position)
        if _is_id3v2(head):
            found.append(TagBlock(TagKind.ID3V2, position, _tag_end(descriptor, position, head, audio_start)))
            position = found[-1].end
        elif audio_start is None or (place := _next_id3v2(descriptor, position, end)) is None:
            break
        else:
            position = place
    return found


def _is_id3v2(head: bytes) -> bool:
    return len(head) == 10 and head[:3] == b"ID3" and 0xFF not in head[3:5]


def _tag_end(descriptor: int, start: int, head: bytes, audio_start: int | None) -> int:
    """End of an ID3v2 tag: by its header, unless only another reading leads to audio or another tag."""
    stated = start + id3v2_bytes(head)
    if audio_start is None:
        return stated
    content = id3v2_content_end(descriptor, start, min(stated, audio_start))
    for end in (stated, start + plain_id3v2_bytes(head), content):
        if end == audio_start or (end < audio_start and _is_id3v2(os.pread(descriptor, 10, end))):
            return end
    return min(stated, audio_start)


def _next_id3v2(descriptor: int, start: int, end: int) -> int | None:
    for position in range(start, end, _SEARCH_BYTES):
        block = os.pread(descriptor, min(_SEARCH_BYTES + 9, end - position), position)
        if match := _ID3V2.search(block):
            return position + match.start()
    return None


def trailing_tags(descriptor: int, size: int) -> list[TagBlock]:
    """Tags after the audio, the last one first; `size` is the file's."""
    found: list[TagBlock] = []
    end = size
    while len(found) < _MAX_BLOCKS:
        block = _id3v1(descriptor, end) or _ape(descriptor, end) or _lyrics3(descriptor, end)
        block = block or _id3v2_with_footer(descriptor, end)
        if block is None:
            break
        found.append(block)
        end = block.start
    return found


def trailing_tags_start(descriptor: int, size: int) -> int:
    """Start of the tags after the audio; the file's `size` if there are none."""
    return min((block.start for block in trailing_tags(descriptor, size)), default=size)


def _before(descriptor: int, end: int, length: int) -> bytes:
    return os.pread(descriptor, length, end - length) if end >= length else b""


def _id3v1(descriptor: int, end: int) -> TagBlock | None:
    if _before(descriptor, end, _ID3V1_BYTES)[:3] != b"TAG":
        return None
    start = end - _ID3V1_BYTES
    if _before(descriptor, start, _ID3V1_EXTENSION_BYTES)[:4] == b"TAG+":
        start -= _ID3V1_EXTENSION_BYTES
    return TagBlock(TagKind.ID3V1, start, end)


def _ape(descriptor: int, end: int) -> TagBlock | None:
    footer = _before(descriptor, end, _APE_BYTES)
    if footer[:8] != b"APETAGEX":
        return None
    size = int.from_bytes(footer[12:16], "little")  # items and footer
    has_header = int.from_bytes(footer[20:24], "little") & _APE_HAS_HEADER
    start = end - size - (_APE_BYTES if has_header else 0)
    return TagBlock(TagKind.APE, start, end) if size >= _APE_BYTES and start >= 0 else None


def _lyrics3(descriptor: int, end: int) -> TagBlock | None:
    tail = _before(descriptor, end, 15)
    if tail[6:] == b"LYRICS200" and tail[:6].isdigit():
        start = end - 15 - int(tail[:6])
        is_whole = start >= 0 and os.pread(descriptor, 11, start) == b"LYRICSBEGIN"
        return TagBlock(TagKind.LYRICS3, start, end) if is_whole else None
    if tail[6:] == b"LYRICSEND":
        length = min(end, _LYRICS3V1_BYTES + 20)
        place = _before(descriptor, end, length).rfind(b"LYRICSBEGIN")
        return TagBlock(TagKind.LYRICS3, end - length + place, end) if place >= 0 else None
    return None


def _id3v2_with_footer(descriptor: int, end: int) -> TagBlock | None:
    footer = _before(descriptor, end, 10)
    if footer[:3] != b"3DI" or max(footer[6:10]) > 127:
        return None
    start = end - 20 - synchsafe(footer[6:10])
    is_whole = start >= 0 and os.pread(descriptor, 3, start) == b"ID3"
    return TagBlock(TagKind.ID3V2, start, end) if is_whole else None
