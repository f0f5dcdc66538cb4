"""Boundaries of tags, which are not to be taken for audio."""

from core.library.tag_blocks import id3v2_bytes, trailing_tags_start

_ID3V1, _ID3V1_ENHANCED = 128, 227
_APE_FOOTER = 32


def starts_with_tag(head: bytes) -> bool:
    return head[:3] in (b"ID3", b"TAG") or head[:8] in (b"APETAGEX", b"LYRICSBE")


def tag_length(head: bytes) -> int:
    """Length of the tag that begins with these bytes (64 are enough); 0 if there is none."""
    if head[:3] == b"ID3" and len(head) >= 10:
        return id3v2_bytes(head)
    if head[:4] == b"TAG+":
        return _ID3V1_ENHANCED
    if head[:3] == b"TAG":
        return _ID3V1
    if head[:8] == b"APETAGEX" and len(head) >= _APE_FOOTER:
        return _APE_FOOTER + _little(head, 12)  # the stated size excludes the header
    return 0


def audio_end(descriptor: int, start: int, size: int) -> int:
    """Start of the trailing tags of a file whose audio begins at `start`."""
    return max(start, trailing_tags_start(descriptor, size))


def _little(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")
