"""Vorbis comments (https://xiph.org/vorbis/doc/v-comment.html) in FLAC and in Ogg.

Other values, such as pictures, are skipped.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from core.library.tags.found import FIELDS, VALUE_BYTES, Found
from core.library.window import Window

_MAX_COMMENTS = 10_000
_MAX_FLAC_BLOCKS = 1000
_MAX_PAGES = 20_000
_COMMENTS_BLOCK = 4  # RFC 9639, 8.1

# First bytes of a stream -> number of bytes before the comments in its second packet.
_CODECS = {b"\x01vorbis": 7, b"OpusHead": 8, b"Speex   ": 0, b"\x7fFLAC": 4}


@dataclass
class Packet:
    """A packet of an Ogg stream, whose bytes may be distributed over several pages."""

    window: Window
    starts: list[int] = field(default_factory=list)  # within the packet
    places: list[tuple[int, int]] = field(default_factory=list)  # offset in the window, length
    size: int = 0

    def append(self, offset: int, length: int) -> None:
        self.starts.append(self.size)
        self.places.append((offset, length))
        self.size += length

    def at(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        data = b""
        index = bisect_right(self.starts, offset) - 1
        while len(data) < length:
            place, held = self.places[index]
            skipped = offset + len(data) - self.starts[index]
            data += self.window.at(place + skipped, min(held - skipped, length - len(data)))
            index += 1
        return data


def read_flac(window: Window, found: Found) -> None:
    position = 4
    for _ in range(_MAX_FLAC_BLOCKS):
        head = window.at(position, 4)
        if len(head) < 4:
            found.fail("its metadata is cut off")
            return
        length = int.from_bytes(head[1:], "big")
        if head[0] & 0x7F == _COMMENTS_BLOCK:
            read_comments(window.part(position + 4, position + 4 + length), 0, found)
            return
        position += 4 + length
        if head[0] & 0x80:  # the last block
            return
    found.fail("it has too many blocks of metadata")


def read_ogg(window: Window, found: Found) -> None:
    """Read the comments of the first audio stream."""
    serial, before = None, 0
    packet = Packet(window)
    for page_serial, is_first, offset, lacing in _pages(window):
        if is_first and serial is None:
            head = window.at(offset, 8)
            codec = next((name for name in _CODECS if head.startswith(name)), None)
            if codec is not None:
                serial, before = page_serial, _CODECS[codec]
        elif page_serial == serial:
            length = 0
            for value in lacing:
                length += value
                if value < 255:
                    break
            packet.append(offset, length)
            if lacing and min(lacing) < 255:
                read_comments(packet, before, found)
                return
    if serial is not None:
        found.fail("they are cut off")


def _pages(window: Window) -> Iterator[tuple[int, bool, int, bytes]]:
    """Serial number, whether the page begins its stream, offset of its content, segment table (RFC 3533)."""
    position = 0
    for _ in range(_MAX_PAGES):
        head = window.at(position, 27 + 255)
        if len(head) < 27 or head[:4] != b"OggS":
            return
        lacing = head[27 : 27 + head[26]]
        content = position + 27 + head[26]
        yield int.from_bytes(head[14:18], "little"), bool(head[5] & 2), content, lacing
        position = content + sum(lacing)


def read_comments(source: Window | Packet, start: int, found: Found) -> None:
    """Read the comments, which begin at `start` with the vendor string."""

    def number(position: int) -> int:
        return int.from_bytes(source.at(position, 4), "little")

    position = start + 4 + number(start)
    count = number(position)
    position += 4
    if position > source.size:
        found.fail("they are damaged")
        return
    for _ in range(min(count, _MAX_COMMENTS)):
        length = number(position)
        if position + 4 + length > source.size:
            found.fail("one of them is damaged or cut off")
            return
        key, _, value = source.at(position + 4, min(length, VALUE_BYTES)).partition(b"=")
        name = FIELDS.get(key.decode("latin-1").lower())
        if name is not None:
            found.add(name, found.decode(value, "utf-8", name).split("\0"))
        position += 4 + length
    if count > _MAX_COMMENTS:
        found.fail("they are too many")
