"""The pages of Ogg files (RFC 3533), and the boundaries of chained streams."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from core.errors import Corrupt

_MARK = b"OggS\0"
_HEAD_BYTES = 27 + 255
_SEARCH_BYTES = 1 << 20
_BEGINS, _ENDS = 2, 4
_NO_GRANULE = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Link:
    """One link of a chain: all pages from its first to the first of the next link."""

    end: int  # offset after its last page
    codec: str  # of its first audio stream: vorbis, opus, flac, speex or other
    is_plain: bool  # a single logical stream whose pages are contiguous
    has_more: bool  # another link begins at `end`
    is_cut: bool  # the file ends within a page that is not the last of the stream
    cut_s: float  # estimated audio in the truncated page


@dataclass(frozen=True, slots=True)
class _Page:
    start: int
    end: int
    flags: int
    granule: int
    body: int  # offset of the first packet


def read_link(descriptor: int, start: int, size: int) -> Link:
    """The link whose first page begins at `start`.

    Raises Corrupt if the page that identifies the codec is missing.
    """
    codec, rate, streams = "", 0, 0
    granule = page_granules = cut_granules = 0
    end, is_in_order, has_begun, has_more = start, True, False, False
    is_cut = is_last = False
    for page in _pages(descriptor, start, size):
        begins = bool(page.flags & _BEGINS)
        if begins and has_begun:
            has_more, end = True, page.start
            break
        if begins:
            streams += 1
            name, its_rate = _identify(os.pread(descriptor, 64, page.body))
            if not codec or (codec == "other" and name != "other"):
                codec, rate = name, its_rate
        else:
            has_begun = True
        is_in_order &= page.start == end
        is_known = granule < page.granule < _NO_GRANULE
        if page.end > size:
            is_cut, is_last, end = True, bool(page.flags & _ENDS), size
            cut_granules = page.granule - granule if is_known else page_granules
        else:
            end = page.end
            if is_known:
                granule, page_granules = page.granule, page.granule - granule
    if not codec:
        raise Corrupt("The beginning of the Ogg stream is missing; it cannot be decoded without it.")
    is_plain = streams == 1 and is_in_order and not is_cut
    cut_s = cut_granules / rate if rate else 0.0
    return Link(end, codec, is_plain, has_more, is_cut and not is_last, cut_s)


def _pages(descriptor: int, offset: int, size: int) -> Iterator[_Page]:
    """All pages up to `size`; the last one may extend beyond it.

    If no page begins at the end of the previous one, that one's length is wrong, and the search for the next
    page starts at its header.
    """
    searched_from = offset
    while offset < size:
        head = os.pread(descriptor, _HEAD_BYTES, offset)
        is_page = head[:5] == _MARK[: len(head)]
        if is_page and (len(head) < 27 or len(head) < 27 + head[26]):
            yield _Page(offset, size + 1, 0, _NO_GRANULE, size)  # its header is cut off
            return
        if not is_page:
            found = _find_page(descriptor, searched_from, size)
            if found is None:
                return
            offset = searched_from = found
            continue
        body = offset + 27 + head[26]
        end = body + sum(head[27 : 27 + head[26]])
        searched_from = offset + 27
        if end > size and (found := _find_page(descriptor, searched_from, size)) is not None:
            offset = found
            continue
        yield _Page(offset, end, head[5], int.from_bytes(head[6:14], "little"), body)
        offset = end


def _find_page(descriptor: int, offset: int, size: int) -> int | None:
    while offset < size:
        block = os.pread(descriptor, _SEARCH_BYTES, offset)
        at = block.find(_MARK)
        if at >= 0:
            return offset + at
        offset += max(1, len(block) - 4)
    return None


def _identify(packet: bytes) -> tuple[str, int]:
    """Codec by its identification header, and granules per second (0 if unused)."""
    if packet[:7] == b"\x01vorbis":
        return "vorbis", int.from_bytes(packet[12:16], "little")
    if packet[:8] == b"OpusHead":
        return "opus", 48_000
    if packet[:5] == b"\x7fFLAC":
        return "flac", int.from_bytes(packet[27:30], "big") >> 4
    if packet[:8] == b"Speex   ":
        return "speex", int.from_bytes(packet[36:40], "little")
    return "other", 0
