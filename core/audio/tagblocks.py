"""Where blocks of tags begin and end, so that nobody takes them for audio."""

import os

# Behind the last frame lie at most some of these; each may carry a cover.
_MOST_TRAILERS = 8
_ID3V1, _ID3V1_ENHANCED = 128, 227
_APE_FOOTER = 32
_MOST_TAG_BYTES = 256 << 20


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


def audio_end(descriptor: int, start: int, size: int) -> int:
    """Where the tags at the end of a file begin: ID3v1, APEv2, Lyrics3 and ID3v2 with a footer."""
    end = size
    for _ in range(_MOST_TRAILERS):
        tail = os.pread(descriptor, min(256, end - start), max(start, end - 256))
        length = _trailer_length(tail)
        if not 0 < length <= min(end - start, _MOST_TAG_BYTES):
            return end
        end -= length
    return end


def _trailer_length(tail: bytes) -> int:
    """Length of the tag that ends with these bytes."""
    if tail[-_ID3V1:][:3] == b"TAG" and len(tail) >= _ID3V1:
        enhanced = tail[-_ID3V1 - _ID3V1_ENHANCED :][:4] == b"TAG+"
        return _ID3V1 + (_ID3V1_ENHANCED if enhanced else 0)
    footer = tail[-_APE_FOOTER:]
    if footer[:8] == b"APETAGEX":
        has_header = _little(footer, 20) >> 31
        return _little(footer, 12) + (_APE_FOOTER if has_header else 0)
    if tail[-9:] == b"LYRICS200" and tail[-15:-9].isdigit():
        return int(tail[-15:-9]) + 15
    if tail[-10:-7] == b"3DI" and max(tail[-4:]) <= 127:
        return 20 + (tail[-4] << 21 | tail[-3] << 14 | tail[-2] << 7 | tail[-1])
    return 0


def _little(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")
